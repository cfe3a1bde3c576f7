"""A forward and a backward pass of each loss by each backend, ready to be timed or weighed."""

from __future__ import annotations

from cabench.profiling import cases


def step(name, n, backend):
    """Return a function that computes a loss of spread codes (n, 32) and their gradients."""
    return cases.step(cases.KERNELS[name], cases.sample(n, 32).rows(), backend, "exact", "full")
