"""Which cases a suite has."""

from cabench.profiling.suite import Suite


def precisions(device, **names):
    """Return the precisions of each backend's cases, in their order."""
    suite = Suite(device, sizes=(64,), modes=("full",), backends=("reference", "tiled", "triton"), **names)
    return {b: [case.precision for case in suite.cases() if case.backend == b] for b in suite.backends}


def test_only_precisions_that_differ_are_measured():
    everywhere = {name: ["exact"] for name in ("reference", "tiled", "triton")}
    assert precisions("cpu", kernels=("joint_entropy",)) == everywhere
    assert precisions("cuda", kernels=("mmd",)) == everywhere
    assert precisions("cuda", kernels=("joint_entropy",)) == {
        "reference": ["exact"],
        "tiled": ["exact", "fast"],
        "triton": ["exact", "default", "fast"],
    }


def test_a_precision_that_a_backend_lacks_is_the_one_that_it_uses():
    assert precisions("cuda", kernels=("joint_entropy",), precisions=("default",)) == {
        "reference": ["exact"],
        "tiled": ["exact"],
        "triton": ["default"],
    }
