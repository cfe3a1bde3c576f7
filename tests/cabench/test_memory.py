"""The peak of a piece of work is not that of the work before it."""

from pathlib import Path

import numpy as np
import pytest

from cabench.clock import Clock
from cabench.memory import forget_peak, held_memory, peak_memory

MEGABYTE = 2**20


def hold(megabytes):
    np.ones(megabytes * MEGABYTE, dtype=np.uint8)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets a peak")
def test_a_clock_tells_the_peak_since_it_was_made():
    before = held_memory() / MEGABYTE
    hold(300)
    clock = Clock()
    assert clock.read()["peak_memory_mb"] < before + 100
    hold(200)
    assert before + 150 < clock.read()["peak_memory_mb"] < before + 280


def test_without_clear_refs_nothing_is_forgotten(monkeypatch, tmp_path):
    monkeypatch.setattr("cabench.memory._CLEAR", tmp_path / "missing" / "clear_refs")
    hold(200)
    peak = peak_memory()
    assert not forget_peak()
    assert peak_memory() >= peak >= 200 * MEGABYTE
