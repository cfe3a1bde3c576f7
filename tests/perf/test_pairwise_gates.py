"""The promised ratios of the tiles to the published formulas, forward and backward, one thread, CPU time."""

import importlib.util

import pytest
from perf.cases import step
from perf.ratios import gate

PROMISES = [
    ("sepclr_pairwise", 512, 3.0, 9),
    ("uniformity", 512, 1.3, 9),
    # Large ones run by name: beside other processes, which share the caches, they read up to half of what they are.
    pytest.param("sepclr_pairwise", 4096, 8.0, 3, marks=pytest.mark.slow),
    pytest.param("joint_entropy", 4096, 10.0, 3, marks=pytest.mark.slow),
    pytest.param("uniformity", 8192, 5.0, 3, marks=pytest.mark.slow),
    pytest.param("joint_entropy", 8192, 10.0, 3, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "n", "bar", "rounds"), PROMISES)
def test_the_tiles_are_so_many_times_faster_than_the_published_formula(name, n, bar, rounds):
    gate(step(name, n, "reference"), step(name, n, "tiled"), bar, rounds)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("pykeops") is None, reason="needs the extra keops")
@pytest.mark.parametrize("name", ["joint_entropy", "uniformity"])
@pytest.mark.parametrize("n", [2048, 4096])
def test_the_tiles_are_twenty_times_faster_than_keops(name, n):
    gate(step(name, n, "keops"), step(name, n, "tiled"), 20.0, 3)
