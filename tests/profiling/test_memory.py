"""The memory of a call: what it held at once, not what stood there before or was free."""

import sys
from pathlib import Path

import pytest
from processes import ROOT, run

from cabench.profiling.memory import bounded, out_of_memory

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells a process's peak")
PEAKS = """
import torch
from cabench.profiling.memory import peak_bytes

MIB = 2**20
held = torch.ones(30 * MIB)

def call():
    return len((torch.ones(5 * MIB), torch.ones(5 * MIB)))

for function in (call, call, lambda: None):
    print(peak_bytes(function) / MIB)
"""


def test_the_peak_is_that_of_the_call_also_the_second_time():
    """In a process of its own, as a profile is: what hundreds of tests left in the heap is not to be seen."""
    done = run([sys.executable, "-c", PEAKS], ROOT)
    assert done.returncode == 0, done.stderr
    first, second, none = map(float, done.stdout.split())
    assert first == pytest.approx(40, abs=4) and second == pytest.approx(40, abs=2)
    assert none < 2


def test_the_bound_is_lifted_afterwards():
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    with bounded("cpu"):
        assert resource.getrlimit(resource.RLIMIT_DATA) != before
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_only_memory_is_out_of_memory():
    assert out_of_memory(MemoryError())
    assert not out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not out_of_memory(ValueError("out of memory"))
