"""What intervals and comparisons share: their types, checked arrays, means, variances, quantiles of t."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Array = NDArray[Any]
LEAST_SEEDS = 3


class TooFewSeeds(ValueError):
    """Too few seeds to tell luck from merit; the message says how many are needed."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval, in the unit of the scores; low <= value <= high."""

    value: float
    low: float
    high: float


def array(values: ArrayLike, dims: int, name: str) -> NDArray[np.float64]:
    """Return values as finite float64 of so many dimensions; raises ValueError, which calls them by `name`."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dims:
        raise ValueError(f"{name} must have {dims} dimension{'s' * (dims > 1)}, not {array.ndim}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must not hold NaN or infinite values")
    return array


def pair(a: ArrayLike, b: ArrayLike, dims: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two arrays of one shape, checked as `array` does."""
    first, second = array(a, dims, "a"), array(b, dims, "b")
    if first.shape != second.shape:
        raise ValueError(f"a and b must have the same shape, not {first.shape} and {second.shape}")
    return first, second


def enough(seeds: int) -> int:
    """Return the number of seeds; raises TooFewSeeds if they do not show how much seeds differ."""
    if seeds < LEAST_SEEDS:
        raise TooFewSeeds(
            f"At least {LEAST_SEEDS} seeds are needed, not {seeds}: fewer do not show how much seeds differ."
        )
    return seeds


def mean(values: Array) -> Any:
    """Mean over the last axis; of equal values exactly their value."""
    return values[..., 0] + (values - values[..., :1]).mean(axis=-1)


def variance(values: Array) -> Any:
    """Variance over the last axis; of equal values exactly zero, rounding or not."""
    return (values - values[..., :1]).var(axis=-1, ddof=1)


def quantile(level: float, freedom: float | Array) -> Any:
    """Return the two-sided quantile of t: a confidence interval is so many standard errors wide on either side."""
    if not 0 < level < 1:
        raise ValueError("level must lie between 0 and 1")
    return special.stdtrit(freedom, (1 + level) / 2)


def around(value: float, quantile: float, variance: float) -> Interval:
    """Return the interval of a value with a variance."""
    half = float(quantile * np.sqrt(variance))
    return Interval(float(value), float(value) - half, float(value) + half)
