"""The memory of a call: what it held at once, not what stood there before or was free."""

from pathlib import Path

import pytest
import torch

from cabench.profiling.memory import bounded, out_of_memory, peak_bytes

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells a process's peak")
MIB = 2**20


@pytest.mark.slow
def test_the_peak_is_that_of_the_call_also_the_second_time():
    def call():
        twice = torch.ones(5 * MIB), torch.ones(5 * MIB)
        assert len(twice) == 2

    held = torch.ones(30 * MIB)
    for _ in range(2):
        assert peak_bytes(call) / MIB == pytest.approx(40, abs=2)
    assert peak_bytes(lambda: None) / MIB < 2
    assert len(held)


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
