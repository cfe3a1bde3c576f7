"""The tiles' memory, measured in a process of its own: little, and linear in the rows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Small steps have loaded all code before.
PROGRAM = """
import json, sys, torch
from cabench.profiling.memory import peak_bytes
from perf.cases import step

torch.set_num_threads(1)
for n in (64, 700):
    step(sys.argv[1], n, "tiled")()
print(json.dumps(peak_bytes(step(sys.argv[1], int(sys.argv[2]), "tiled")) / 2**20))
"""


def extra_mebibytes(name, n):
    """Return how much more memory a step takes than was there before it."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    command = [sys.executable, "-c", PROGRAM, name, str(n)]
    # A fixed threshold: otherwise glibc keeps what is freed, the more the larger the arrays were.
    glibc = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    environment = {**os.environ, **glibc, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells a process's peak")
@pytest.mark.parametrize("name", ["joint_entropy", "sepclr_pairwise", "uniformity"])
def test_a_step_of_8192_rows_takes_at_most_40_mebibytes(name):
    extra = extra_mebibytes(name, 8192)
    print(f"{name}: {extra:.1f} MiB")
    assert extra <= 40


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells a process's peak")
def test_four_times_the_rows_take_at_most_four_times_the_memory_and_a_tile():
    few, many = (extra_mebibytes("joint_entropy", n) for n in (8192, 32768))
    print(f"8192: {few:.1f} MiB, 32768: {many:.1f} MiB")
    assert many <= 4 * few + 4
