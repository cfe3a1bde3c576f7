"""The peak of a piece of work is not that of the work before it, nor that of the process that watches it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cabench.clock import Clock, Observer
from cabench.memory import forget_peak, held_memory, peak_memory

MEGABYTE = 2**20
# Works for a second before it is observed and for another one while it is, and holds 200 MB.
BUSY = """
import time
def work():
    until = time.process_time() + 1
    while time.process_time() < until:
        pass
work()
print("began", flush=True)
input()
held = b"1" * (200 * 2**20)
work()
print("worked", flush=True)
time.sleep(600)
"""


def hold(megabytes):
    np.ones(megabytes * MEGABYTE, dtype=np.uint8)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets a peak")
def test_a_clock_tells_the_peak_since_what_was_before_was_forgotten():
    before = held_memory() / MEGABYTE
    hold(300)
    assert forget_peak()
    clock = Clock()
    assert clock.read()["peak_memory_mb"] < before + 100
    hold(200)
    Clock()  # takes nothing from the one that runs
    assert before + 150 < clock.read()["peak_memory_mb"] < before + 280


def test_an_observer_tells_what_a_process_took_after_it_is_gone():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", BUSY], **pipes)
    assert process.stdout.readline() == "began\n"
    observer = Observer(process.pid)
    print(file=process.stdin, flush=True)
    assert process.stdout.readline() == "worked\n"
    observer.look()
    process.kill()
    process.wait()
    observer.look()
    took = observer.read()
    assert 0.9 < took["cpu_s"] < 1.5
    assert 200 < took["peak_memory_mb"] < 280
    assert took["wall_s"] >= 0.9
    assert set(took) == set(Clock().read())


def test_an_observer_of_a_process_that_is_gone_already_tells_nothing():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    took = Observer(process.pid).read()
    assert (took["cpu_s"], took["peak_memory_mb"]) == (0.0, 0.0)


def test_without_clear_refs_nothing_is_forgotten(monkeypatch, tmp_path):
    monkeypatch.setattr("cabench.memory._CLEAR", tmp_path / "missing" / "clear_refs")
    hold(200)
    peak = peak_memory()
    assert not forget_peak()
    assert peak_memory() >= peak >= 200 * MEGABYTE
