"""5,016 records, with codes and predictions, become each report within ten CPU-seconds and 1 GB."""

import os
import sys

import numpy as np
import pytest
from page_records import FACTORS, record, stored
from processes import measured
from safetensors.numpy import save_file

from cabench.codes import SPACES, Codes, Factor
from cabench.codes_file import CODES_FILE, PREDICTIONS_FILE, write_codes
from cabench.metrics.evidence import Evidence, Part
from cabench.store import Store

METHODS, DATASETS, SEEDS, ROWS = 19, 6, 44, 500
MOST_SECONDS, MOST_BYTES = 10, 1e9
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder of as many runs; their codes and predictions are links to the same two files."""
    folder = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(0)
    classes = tuple(map(str, range(10)))
    factors = tuple(Factor(name, home, "all", classes) for name, home in FACTORS.items())
    labels = {factor.name: rng.integers(10, size=ROWS).astype(float) for factor in factors}
    codes = Codes(*rng.normal(size=(2, ROWS, 32)).astype(np.float32))
    part = Part(codes, np.arange(ROWS) % 2, labels, np.arange(ROWS))
    write_codes(folder / CODES_FILE, Evidence(factors, part, part, part))
    guesses = {f"probe/{name}/{space}": rng.integers(10, size=ROWS) for name in FACTORS for space in SPACES}
    save_file(guesses, folder / PREDICTIONS_FILE)
    store = Store(folder / "results")
    for method in range(METHODS):
        for dataset in range(DATASETS):
            for seed in range(SEEDS):
                made = stored(
                    record(f"method_{method:02}", seed, f"data_{dataset}", params={"rate": method / 1000})
                )
                store.write(made)
                for name in (CODES_FILE, PREDICTIONS_FILE):
                    os.link(folder / name, store.folder(made["run_id"]) / name)
    return store.root


@pytest.mark.parametrize("formats", ["html", "markdown,csv", "latex"])
def test_a_report_takes_ten_seconds_and_a_gigabyte(results, tmp_path, formats):
    words = ["report", "--results", results, "--format", formats, "--out", tmp_path]
    command = ["env", "OMP_NUM_THREADS=1", sys.executable, "-m", "cabench", *words]
    _, seconds, most = measured(command, tmp_path)
    print(f"{formats}: {seconds:.1f} s of CPU, {most / 1e6:.0f} MB")
    assert seconds < MOST_SECONDS and most < MOST_BYTES
    if formats == "html":
        assert (tmp_path / "leaderboard.html").stat().st_size < 5_000_000
