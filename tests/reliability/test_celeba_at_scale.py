"""As many faces as the recipe of CelebA keeps: how fast they are prepared, in what memory, and despite a kill."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import environment, measured
from raw_files.celeba import HEIGHT, WIDTH, balanced, write_celeba

from cabench.datasets.celeba_accessories import SIDE, CelebaAccessories
from cabench.prepare import CHUNK_BYTES, JOURNAL
from cabench.prepared import MANIFEST, partial_folder, prepared_folder

FACES, DISTINCT = 24_000, 200
RATE = 400  # images a second on two cores
PEAK = 1e9  # bytes
CHUNKS = -(-FACES // (CHUNK_BYTES // (3 * SIDE * SIDE)))

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Undisturbed:
    """A preparation that nothing interrupted: its folder, seconds of the whole call, bytes at the peak."""

    folder: Path
    seconds: float
    peak: float


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A folder `celeba/` with 24,000 pictures, of which every 200th is the same file."""
    root = tmp_path_factory.mktemp("raw")
    write_celeba(root, balanced(FACES // 8, images_per_person=2), pictures=False)
    rng, folder = np.random.default_rng(5), root / "celeba" / "img_align_celeba"
    pictures = [folder / f"{i + 1:06d}.jpg" for i in range(FACES)]
    for i, path in enumerate(pictures):
        if i < DISTINCT:
            blots = Image.fromarray(rng.integers(0, 256, (22, 18, 3), dtype=np.uint8))
            blots.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(path, quality=90)
        else:
            path.hardlink_to(pictures[i % DISTINCT])
    yield root / "celeba"
    shutil.rmtree(root)


@pytest.fixture
def root(raw, tmp_path):
    """A data root with the pictures linked into it; it does not outlive the test."""
    yield linked(raw, tmp_path / "root")
    shutil.rmtree(tmp_path / "root")


@pytest.fixture(scope="module")
def undisturbed(raw, tmp_path_factory):
    """One preparation for all tests."""
    root = linked(raw, tmp_path_factory.mktemp("first") / "root")
    seconds, _, peak = measured(prepare_in(root), root)
    yield Undisturbed(prepared_folder(CelebaAccessories(), root), seconds, peak)
    shutil.rmtree(root)


def linked(raw, root):
    root.mkdir()
    (root / "celeba").symlink_to(raw)
    return root


def prepare_in(root):
    words = ("data", "prepare", "celeba_accessories", "--data-root", str(root), "--jobs", "2")
    return [sys.executable, "-m", "cabench", *words]


def test_every_face_is_prepared_at_400_a_second_or_more(undisturbed):
    manifest = json.loads((undisturbed.folder / MANIFEST).read_text())
    assert sum(part["images"] for part in manifest["splits"].values()) == FACES
    assert FACES / undisturbed.seconds >= RATE


def test_the_peak_is_1_gb_at_most(undisturbed):
    assert undisturbed.peak <= PEAK


def test_kill_9_in_the_middle_and_a_second_call_end_in_the_same_manifest(undisturbed, root):
    folder = prepared_folder(CelebaAccessories(), root)
    journal = partial_folder(folder) / JOURNAL
    quiet = {"cwd": root, "env": environment(), "stdout": subprocess.DEVNULL}
    with subprocess.Popen(prepare_in(root), **quiet) as process:
        while not journal.exists() or len(journal.read_text().splitlines()) <= CHUNKS // 3:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not folder.exists()
    assert len(journal.read_text().splitlines()) < CHUNKS
    subprocess.run(prepare_in(root), **quiet, check=True)
    assert (folder / MANIFEST).read_bytes() == (undisturbed.folder / MANIFEST).read_bytes()
