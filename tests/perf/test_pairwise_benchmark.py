"""Times for developers, to be compared on one machine only: `tox -e perf`."""

import importlib.util

import pytest
from perf.cases import step

BACKENDS = ("reference", "tiled", "compiled", "keops")


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [512, 2048])
@pytest.mark.parametrize("name", ["uniformity", "joint_entropy", "sepclr_pairwise"])
def test_time(name, n, backend, benchmark):
    if backend == "keops" and importlib.util.find_spec("pykeops") is None:
        pytest.skip("needs the extra keops")
    benchmark.group = f"{name} {n}"
    run = step(name, n, backend)
    run()
    benchmark(run)
