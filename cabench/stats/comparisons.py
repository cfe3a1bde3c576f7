"""Comparisons of two methods, or of two states of one, and what so many seeds can tell apart."""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from cabench.stats.basics import Interval, around, array, enough, mean, pair, quantile, variance
from cabench.stats.intervals import seed_interval


def paired_difference(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of a - b and its t interval; what a seed does to both methods cancels.

    Assumes that a[i] and b[i] share seed i, and independent, roughly normal differences. Equal differences
    give an interval of no width.

    Args:
        a: one score per seed (seeds,).
        b: the other method's scores for the same seeds.
        level: the confidence level.

    Raises:
        TooFewSeeds: fewer than 3 seeds.
        ValueError: empty, NaN or mismatched scores.

    >>> paired_difference([0.75, 0.5, 0.75], [0.5, 0.25, 0.5])
    Interval(value=0.25, low=0.25, high=0.25)

    """
    first, second = pair(a, b, 1)
    return seed_interval(first - second, level)


def unpaired_difference(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of a less that of b and its t interval (Student 1908): seeds need not be shared.

    Assumes independent, roughly normal scores that spread alike in a and b. What two runs of the same code do is
    just that; all seeds of both then tell how large the spread is, which Welch's interval would learn from the
    smaller of them alone.

    Args:
        a: one score per seed.
        b: the other scores; there may be more or fewer.
        level: the confidence level.

    Raises:
        TooFewSeeds: fewer than 3 seeds of either.
        ValueError: empty or NaN scores.

    >>> unpaired_difference([0.75, 0.75, 0.75, 0.75], [0.5, 0.5, 0.5])
    Interval(value=0.25, low=0.25, high=0.25)

    """
    first, second = array(a, 1, "a"), array(b, 1, "b")
    counts = np.array([enough(len(first)), enough(len(second))])
    squares = (counts - 1) * [variance(first), variance(second)]
    freedom = int(counts.sum()) - 2
    error = squares.sum() / freedom * (1 / counts).sum()
    return around(mean(first) - mean(second), float(quantile(level, freedom)), error)


def least_p(seeds: int) -> float:
    """Return the least two-sided p-value of `paired_permutation`: 2^-(seeds - 1), however large the gap.

    Six seeds are the fewest that can fall below 0.05; Holm over m methods needs p below 0.05 / m.

    Raises:
        TooFewSeeds: fewer than 3 seeds.

    >>> least_p(5), least_p(6)
    (0.0625, 0.03125)

    """
    return float(2.0 ** -(enough(seeds) - 1))


def paired_permutation(a: ArrayLike, b: ArrayLike, resamples: int = 9999, seed: int = 0) -> float:
    """Return the two-sided p-value of the sign-flip test that a and b score alike (Fisher 1935).

    Assumes only that, if the methods are alike, the difference of each seed is as likely to be negative as
    positive, and that seeds are independent. All 2^seeds sign patterns are tried if these are no more
    than `resamples` (up to 13 seeds); else that many random ones, the observed pattern counting as one of
    them (Phipson and Smyth 2010). See `least_p` for the smallest value possible. Ties count against the
    difference: p is 1 if all differences are 0.

    Args:
        a: one score per seed (seeds,).
        b: the other method's scores for the same seeds.
        resamples: the most sign patterns to try.
        seed: of the random patterns.

    Raises:
        TooFewSeeds: fewer than 3 seeds.
        ValueError: empty, NaN or mismatched scores.

    >>> paired_permutation([3.0, 3.0, 4.0], [1.0, 2.0, 1.0])
    0.25

    """
    first, second = pair(a, b, 1)
    difference, seeds = first - second, enough(len(first))
    if resamples < 1:
        raise ValueError("at least 1 resample is needed")
    exact = 2**seeds <= resamples
    if exact:
        minus = np.arange(2**seeds)[:, None] >> np.arange(seeds) & 1
    else:
        minus = np.random.default_rng(seed).integers(2, size=(resamples, seeds))
    # Sums that are equal on paper differ in the last digits; a miss would lower p.
    bar = abs(difference.sum()) - 1e-12 * np.abs(difference).sum()
    hits = int(np.count_nonzero(np.abs((1 - 2 * minus) @ difference) >= bar))
    return hits / 2**seeds if exact else (hits + 1) / (resamples + 1)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values adjusted for several comparisons, in the given order (Holm 1979).

    The chance of any false alarm stays below the level at which the result is read, whatever the dependence
    between the comparisons. Assumes that each p-value is valid alone.

    Raises:
        ValueError: empty, NaN, or outside [0, 1].

    >>> holm([0.25, 0.125])
    array([0.25, 0.25])

    """
    p = array(p_values, 1, "p_values")
    if p.min() < 0 or p.max() > 1:
        raise ValueError("p_values must lie in [0, 1]")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def detectable_difference(sd: float, n: int, level: float = 0.95, power: float = 0.8) -> float:
    """Return the least true difference that n paired seeds find with the given power.

    To find it is to have a `paired_difference` interval that excludes 0: the t test's power, by the
    non-central t distribution (Johnson and Welch 1940), solved for the difference. Assumes independent,
    normal differences with a known sd. The permutation test finds less, and nothing where `least_p` is too
    large.

    Args:
        sd: standard deviation of the per-seed differences; the answer has its unit, and is 0 if it is 0.
        n: number of seeds.
        level: confidence level of the interval.
        power: the wanted chance to find the difference, above 1 - level.

    Raises:
        TooFewSeeds: fewer than 3 seeds.
        ValueError: sd negative or not finite; power not between 1 - level and 1.

    >>> round(detectable_difference(sd=1.0, n=10), 3)
    0.996

    """
    freedom = enough(n) - 1
    critical = float(quantile(level, freedom))
    if not (np.isfinite(sd) and sd >= 0):
        raise ValueError("sd must be finite and not negative")

    def surplus(shift: float) -> float:
        # scipy gives NaN for some lower tails that are about 1e-16 and less.
        wrong_side = np.nan_to_num(scipy.stats.nct.cdf(-critical, freedom, shift))
        return float(scipy.stats.nct.sf(critical, freedom, shift) + wrong_side) - power

    if not (surplus(0.0) < 0 and power < 1):
        raise ValueError("power must lie between 1 - level and 1")
    upper = 1.0
    while surplus(upper) < 0:
        upper *= 2
    return float(sd * scipy.optimize.brentq(surplus, 0.0, upper) / np.sqrt(n))
