"""CIFAR-10: pickled batches, in their archive or unpacked."""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cabench.dataset import RawFile
from cabench.datasets._raw.located import damaged, located

SIDE = 32
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
NAMES = (*BATCHES["train"], *BATCHES["test"])
FOLDER = "cifar-10-batches-py"
CIFAR_FILE = RawFile(
    "cifar-10-python.tar.gz",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
    "md5:c58f30108f718f92721af3b95e74349a",
    (f"{FOLDER}/",),
)
_RECONSTRUCT = np.empty(0).__reduce__()[0]  # what every pickled array is rebuilt by


def read_batches(root: Path, names: Collection[str], obtain: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield the batches called `names`, in the order in which they lie in the archive.

    Args:
        root: the data root, with the archive or the unpacked folder.
        names: of BATCHES.
        obtain: the sentence that says how to get the files.

    Yields:
        the name, the images, uint8 (n, 3, 32, 32), and their classes, int64 (n,).

    Raises:
        DataMissing: the archive, or a batch of it, is missing or damaged.

    """
    place = located(root, CIFAR_FILE, obtain)
    for name, content in _unpacked(place, names, obtain) if place.is_dir() else _packed(place, names, obtain):
        try:
            images, labels = _parse(content)
        except Exception as error:  # damaged pickles raise whatever their bytes happen to say
            raise damaged(place / name, error, obtain) from error
        yield name, images, labels


def cifar_sources(root: Path, obtain: str) -> tuple[str, ...]:
    """Return the archive, or else the unpacked batches, relative to the data root."""
    place = located(root, CIFAR_FILE, obtain).relative_to(root).as_posix()
    return tuple(f"{place}/{name}" for name in NAMES) if place == FOLDER else (place,)


def _unpacked(folder: Path, names: Collection[str], obtain: str) -> Iterator[tuple[str, bytes]]:
    for name in names:
        yield name, located(folder, RawFile(name), obtain).read_bytes()


def _packed(archive: Path, names: Collection[str], obtain: str) -> Iterator[tuple[str, bytes]]:
    """Read in one pass; members are read into memory by name and nothing is unpacked, whatever paths there are."""
    lacking = {f"{FOLDER}/{name}" for name in names}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() and member.name in lacking else None
                if file:
                    lacking.remove(member.name)
                    yield member.name.removeprefix(f"{FOLDER}/"), file.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise damaged(archive, error, obtain) from error
    if lacking:
        raise damaged(archive, f"it lacks {min(lacking)}", obtain)


def _parse(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    batch = _Restricted(io.BytesIO(content), encoding="bytes").load()
    images, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"], np.int64)
    if images.dtype != np.uint8 or images.shape != (len(labels), 3 * SIDE * SIDE):
        raise ValueError(f"its data are {images.dtype} {images.shape} for {len(labels)} labels")
    wrong = np.flatnonzero((labels < 0) | (labels >= len(CLASSES)))
    if len(wrong):
        raise ValueError(f"row {wrong[0]} has the label {labels[wrong[0]]}, which is no class")
    return images.reshape(-1, 3, SIDE, SIDE), labels


class _Restricted(pickle.Unpickler):
    """The owners distribute pickles; this reads arrays, lists and text out of them and can call nothing else."""

    ALLOWED = frozenset({("multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")})

    def find_class(self, module: str, name: str) -> Any:
        if (module.rpartition(".")[2], name) in self.ALLOWED and module.split(".")[0] == "numpy":
            return _RECONSTRUCT if name == "_reconstruct" else getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return lambda text, coding: text.encode(coding)
        raise pickle.UnpicklingError(f"it wants to load {module}.{name}")
