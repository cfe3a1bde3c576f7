"""A fixed piece of work: how fast is this machine, now? Times of two machines are compared as multiples of it."""

from __future__ import annotations

import time

import numpy as np
from threadpoolctl import threadpool_limits

REPEATS = 5


def yardstick_seconds() -> float:
    """Return the CPU-seconds of one thread for some arithmetic, sorting and plain Python: the best of five."""
    rng = np.random.default_rng(0)
    square, long = rng.normal(size=(512, 512)).astype(np.float32), rng.normal(size=200_000)
    with threadpool_limits(1, user_api="blas"):
        return min(_once(square, long) for _ in range(REPEATS))


def _once(square: np.ndarray, long: np.ndarray) -> float:
    start = time.thread_time()
    for _ in range(4):
        square @ square
    np.sort(long)
    sum(number * number for number in range(200_000))
    return time.thread_time() - start
