"""Milliseconds of a SepCLR step on a GPU, plain and as the loop takes it.

`PYTHONPATH=tests python -m perf.gpu_steps` prints them.
"""

from __future__ import annotations

import time
from itertools import pairwise

import torch
from perf.steps import built, made, plain, split

from cabench.method import Context

IMAGES, EPOCHS, REPEATS = 8192, 5, 10


def taken_plainly(tier: str) -> float:
    """Return the milliseconds of `perf.steps.plain`, with kornia on the GPU."""
    train = split(IMAGES)
    method = built(train, tier)
    step, rows = plain(method, train, "cuda"), torch.arange(method.batch_size, device="cuda")
    for _ in range(3):
        step(rows)
    start = time.perf_counter()
    for _ in range(REPEATS):
        step(rows)
    torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start) / REPEATS


def looped(tier: str, replayed: bool) -> float:
    """Return the milliseconds of a step in the fastest epoch of a fit."""
    method, ends = made(tier, EPOCHS), []
    method.replayed = replayed

    def progress(epoch: int, epochs: int) -> None:
        torch.cuda.synchronize()
        ends.append(time.perf_counter())

    method.fit(split(IMAGES), context=Context(device="cuda", progress=progress))
    return 1000 * min(b - a for a, b in pairwise(ends)) / (IMAGES // method.batch_size)


if __name__ == "__main__":
    for tier in ("quick", "paper"):
        launched, replayed = (looped(tier, how) for how in (False, True))
        print(f"{tier}: plain {taken_plainly(tier):.2f} ms, launched {launched:.2f} ms, replayed {replayed:.2f} ms")
