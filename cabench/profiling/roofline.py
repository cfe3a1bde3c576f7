"""The least time that a loss can take on a device, and the unit that sets it: what the units do best, by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cabench.profiling.cases import Gram, Kernel

Unit = Literal["matmul", "exp", "memory"]
BYTES = 4  # of a number
# Products of two parts each (PERFORMANCE 2): the precision "default" needs no more than three of bfloat16.
PRODUCTS = {"default": 3, "fast": 1}


@dataclass(frozen=True)
class Peaks:
    """What a device does at best, per second.

    Attributes:
        fp32: floating point operations in products of float32 matrices on ordinary units.
        bf16: the same of bfloat16 matrices; None: no faster than float32.
        exps: exponentials of float32.
        memory: bytes read or written.
        source: where the figures come from.
    """

    fp32: float
    bf16: float | None
    exps: float
    memory: float
    source: str


# Dense rates of the makers' data sheets; exponentials are 16 per processor and clock.
# By the beginning of the name that CUDA gives, after "NVIDIA ". SXM boards.
TABLE = {
    "H200": Peaks(67e12, 989e12, 4.0e12, 4.8e12, "table"),
    "H100 80GB HBM3": Peaks(67e12, 989e12, 4.0e12, 3.35e12, "table"),
    "A100-SXM4-80GB": Peaks(19.5e12, 312e12, 2.4e12, 2.04e12, "table"),
    "A100-SXM4-40GB": Peaks(19.5e12, 312e12, 2.4e12, 1.56e12, "table"),
}


@dataclass(frozen=True)
class Work:
    """The least work of one call.

    Attributes:
        flop: floating point operations in products of matrices.
        exps: exponentials.
        bytes: to and from memory.
    """

    flop: float
    exps: float
    bytes: float


def known_peaks(device_name: str) -> Peaks | None:
    """Return the figures of a GPU by its name, None for one that the table lacks."""
    name = device_name.removeprefix("NVIDIA ")
    return next((peaks for start, peaks in TABLE.items() if name.startswith(start)), None)


def pairs(n: int) -> int:
    """Return the number of unordered pairs of different rows."""
    return n * (n - 1) // 2


def work(kernel: Kernel, n: int, dim: int, mode: str) -> Work:
    """Return the least work of a loss of n rows: each unordered pair once per sweep, inputs and gradients once.

    A product of a pair takes 2 width operations; a gradient takes two more, one for each of both rows.
    """
    full = mode == "full"
    grams = kernel.grams(dim)
    flop = sum(gram.share * 2 * gram.width * (gram.sweeps + 2 if full else 1) for gram in grams)
    exps = sum(gram.share * gram.exps * _sweeps(gram, full) for gram in grams)
    moved = n * kernel.numbers(dim) * BYTES * (2 if full else 1)
    return Work(pairs(n) * flop, pairs(n) * exps, moved)


def _sweeps(gram: Gram, full: bool) -> int:
    return gram.sweeps if full else 1


def floor(needed: Work, peaks: Peaks, precision: str) -> tuple[float, Unit]:
    """Return the least seconds of some work, and the unit that takes them: units work at the same time.

    The rate of products is the best that a precision allows, whichever a backend uses.
    """
    rate = peaks.fp32
    if precision in PRODUCTS and peaks.bf16 is not None:
        rate = max(rate, peaks.bf16 / PRODUCTS[precision])
    times: dict[Unit, float] = {
        "matmul": needed.flop / rate,
        "exp": needed.exps / peaks.exps,
        "memory": needed.bytes / peaks.memory,
    }
    unit = max(times, key=lambda name: times[name])
    return times[unit], unit
