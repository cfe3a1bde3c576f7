"""What a device does at best, measured: products of matrices, exponentials, copies."""

from __future__ import annotations

import torch

from cabench.losses.backends.tiled.tiles import plain_products
from cabench.profiling.roofline import BYTES, Peaks
from cabench.profiling.timing import Clock, Function, clock_of

LOOKS = 5
# Side of a square matrix, numbers of one exponentiation and of one copy: enough to fill the device, and a copy that
# no cache holds.
SIZES = {"cpu": (1024, 1 << 15, 1 << 25), "cuda": (8192, 1 << 22, 1 << 28)}


def measure_peaks(device: str) -> Peaks:
    """Return the best rates of "cpu", on the threads that torch uses, or of "cuda"; a few seconds."""
    clock, (side, numbers, large) = clock_of(device), SIZES[device]
    a, b = torch.randn(2, side, side, device=device)
    with plain_products(a, "exact"):
        fp32 = 2 * side**3 / _best(clock, lambda: torch.mm(a, b))
    bf16 = None
    if device == "cuda":
        low, other = a.bfloat16(), b.bfloat16()
        bf16 = 2 * side**3 / _best(clock, lambda: torch.mm(low, other))
    source = torch.randn(large, device=device)
    copy = torch.empty_like(source)
    memory = 2 * BYTES * large / _best(clock, lambda: copy.copy_(source))
    return Peaks(fp32, bf16, _exponentials(device, numbers, clock), memory, "measured")


def _exponentials(device: str, numbers: int, clock: Clock) -> float:
    """Return exponentials per second of numbers at hand: in a core's cache, or in registers of a GPU."""
    x = -torch.rand(numbers, device=device)
    out = torch.empty_like(x)
    if device == "cpu":
        # Not powers of two: PyTorch computes those up to five times slower in some processes.
        return numbers / _best(clock, lambda: torch.exp(x, out=out))
    from cabench.profiling.triton_exponentials import BLOCK, TIMES, exponentials

    return numbers * TIMES / _best(clock, lambda: exponentials[(numbers // BLOCK,)](x, out, BLOCK, TIMES))


def _best(clock: Clock, function: Function) -> float:
    clock(function, 1)
    repeats = max(1, round(0.05 / max(1e-6, clock(function, 1))))
    return min(clock(function, repeats) for _ in range(LOOKS))
