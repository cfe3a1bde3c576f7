"""Uncertainty of scores and comparisons of methods, over training seeds and data sets (METHODS 8.7).

Seeds are few (3 to 10). Percentiles of a bootstrap over so few values are too narrow: they miss the factor
n / (n - 1) of the variance and the heavy tails of t. Every interval here is therefore value +- t * standard
error; resampling only supplies variances that have no formula. The price: roughly normal means are assumed.
A score's variance over test images has a formula: that of the mean of what each image adds to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

Array = NDArray[Any]
# Truth (rows,) and predictions (seeds, rows) -> one score per seed (seeds,), and its influences (seeds, rows): its
# derivative with respect to each row's weight, all weights being 1.
Statistic = Callable[[Array, Array], tuple[Array, Array]]
LEAST_SEEDS = 3
LEAST_DATASETS = 3


class TooFewSeeds(ValueError):
    """Too few seeds to tell luck from merit; the message says how many are needed."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval, in the unit of the scores; low <= value <= high."""

    value: float
    low: float
    high: float


def balanced_accuracy(truth: Array, predictions: Array) -> tuple[Array, Array]:
    """Return the mean recall over the classes that occur in truth, and its influences: a `Statistic`.

    Args:
        truth: class labels (rows,).
        predictions: predicted labels (seeds, rows).

    >>> scores, influences = balanced_accuracy(np.array([0, 0, 1]), np.array([[0, 1, 1], [0, 0, 0]]))
    >>> scores
    array([0.75, 0.5 ])
    >>> influences
    array([[ 0.125, -0.125,  0.   ],
           [ 0.   ,  0.   ,  0.   ]])

    """
    _, label, sizes = np.unique(truth, return_inverse=True, return_counts=True)
    hits = (predictions == truth).astype(np.float64)
    recalls = np.stack([np.bincount(label, right, len(sizes)) for right in hits]) / sizes
    return recalls.mean(axis=-1), (hits - recalls[:, label]) / (sizes * len(sizes))[label]


def r2(truth: Array, predictions: Array) -> tuple[Array, Array]:
    """Return the share of truth's variance that the predictions explain, and its influences: a `Statistic`.

    If truth is constant, the share is 1 for perfect predictions and 0 for others, as in scikit-learn.

    Args:
        truth: numbers (rows,).
        predictions: predicted numbers (seeds, rows).

    >>> r2(np.array([0.0, 1.0, 2.0]), np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]]))[0]
    array([1., 0.])
    """
    errors, spread = np.square(predictions - truth), np.square(truth - truth.mean())
    error, total = errors.sum(axis=-1), spread.sum()
    if total == 0:
        return np.where(error == 0, 1.0, 0.0), np.zeros(errors.shape)
    return 1 - error / total, error[:, None] * spread / total**2 - errors / total


def nested_interval(
    samples: tuple[ArrayLike, ArrayLike],
    statistic: Statistic,
    groups: ArrayLike,
    level: float = 0.95,
) -> Interval:
    """Return the mean score over seeds; its interval holds for new seeds and new test groups at once.

    Seeds and groups are crossed, not nested: all seeds are scored on the same patients, so an easy draw of
    patients lifts all seeds together and more seeds do not average it away.

    The variance of the mean is between / seeds + shared (Obuchowski and Rockette 1995, single modality):
    `between` is the variance of the seeds' scores on the full test set; `shared` is the mean covariance of two
    seeds' scores over draws of groups, times groups / (groups - 1). It is the infinitesimal jackknife's (Efron
    1982, chapter 6): the sum over groups of the product of what the group adds to either score, which is what a
    bootstrap of groups tends to. What a draw of groups does to one seed only is not counted again: it is part
    of `between`.

    The quantile is the mid-point of two classics for the sum of two variances: t at Satterthwaite's degrees
    of freedom, which covers too little at 3 seeds (92 % in place of 95 %, exact normal model), and the
    variance-weighted mean of the two t quantiles (Cochran 1964), which covers too much (97 %). The
    mid-point covers 94 to 97 % at 3, 5 and 10 seeds, whichever of the two variances is the larger.

    Assumes that groups are independent and alike, that seeds are independent, that the mean score is about
    normal: strongly skewed seeds, such as one run in five that collapses, cost coverage (84 % at 3 seeds with
    R^2 losses like a squared normal), and so do scores next to a bound and a handful of groups. The interval
    is not clipped to the statistic's range. It has no width if neither seeds nor groups change the score.

    Args:
        samples: the truth (rows,) and each seed's predictions (seeds, rows): labels or numbers.
        statistic: gives scores and influences.
        groups: the group, such as the patient or the identity, of each row (rows,).
        level: the confidence level.

    Raises:
        TooFewSeeds: fewer than 3 seeds.
        ValueError: empty, NaN or mismatched arrays, fewer than 2 groups, or a score that is not finite.

    >>> truth = np.repeat([0, 1], 20)
    >>> right = np.arange(40) % 4 > 0
    >>> predictions = np.where([right, right, right], truth, 1 - truth)
    >>> nested_interval((truth, predictions), balanced_accuracy, np.arange(40) // 2)  # doctest: +ELLIPSIS
    Interval(value=0.75, low=0.62..., high=0.87...)

    """
    truth, predictions = _array(samples[0], 1, "truth"), _array(samples[1], 2, "predictions")
    if predictions.shape[1:] != truth.shape or np.shape(groups) != truth.shape:
        raise ValueError("truth, groups and each seed's predictions must have the same rows")
    if pd.isna(np.asarray(groups)).any():
        raise ValueError("groups must not be missing")
    seeds = _enough(predictions.shape[0])
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    count = len(names)
    if count < 2:
        raise ValueError("at least 2 groups are needed")

    scores, added = statistic(truth, predictions)
    if scores.shape != (seeds,) or added.shape != predictions.shape:
        raise ValueError("a statistic must return one score and one row of influences per seed")
    if not (np.isfinite(scores).all() and np.isfinite(added).all()):
        raise ValueError("a statistic must be finite on the test set")
    by_group = np.stack([np.bincount(group, weights, count) for weights in added])
    products = np.square(by_group.sum(axis=0)) - np.square(by_group).sum(axis=0)
    shared = max(0.0, float(products.sum()) / (seeds * (seeds - 1)) * count / (count - 1))

    parts, freedoms = np.array([_variance(scores) / seeds, shared]), np.array([seeds - 1, count - 1])
    satterthwaite = _quantile(level, _satterthwaite(parts, freedoms))
    cochran = np.average(_quantile(level, freedoms), weights=parts) if parts.any() else satterthwaite
    return _around(_mean(scores), (satterthwaite + cochran) / 2, parts.sum())


def seed_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of one value per seed and its t interval: for new seeds, on this test set.

    Assumes independent, roughly normal values. Equal values give an interval of no width.

    Args:
        values: one score per seed (seeds,).
        level: the confidence level.

    Raises:
        TooFewSeeds: fewer than 3 values.
        ValueError: empty or NaN values.

    >>> seed_interval([0.5, 0.6, 0.7])  # doctest: +ELLIPSIS
    Interval(value=0.6, low=0.35..., high=0.84...)

    """
    scores = _array(values, 1, "values")
    seeds = _enough(len(scores))
    return _around(_mean(scores), _quantile(level, seeds - 1), _variance(scores) / seeds)


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
    first, second = _pair(a, b, 1)
    return seed_interval(first - second, level)


def least_p(seeds: int) -> float:
    """Return the least two-sided p-value of `paired_permutation`: 2^-(seeds - 1), however large the gap.

    Six seeds are the fewest that can fall below 0.05; Holm over m methods needs p below 0.05 / m.

    Raises:
        TooFewSeeds: fewer than 3 seeds.

    >>> least_p(5), least_p(6)
    (0.0625, 0.03125)

    """
    return float(2.0 ** -(_enough(seeds) - 1))


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
    first, second = _pair(a, b, 1)
    difference, seeds = first - second, _enough(len(first))
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
    p = _array(p_values, 1, "p_values")
    if p.min() < 0 or p.max() > 1:
        raise ValueError("p_values must lie in [0, 1]")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def hierarchical_interval(
    table: ArrayLike, level: float = 0.95, datasets: Literal["fixed", "drawn"] = "fixed"
) -> Interval:
    """Return one method's mean over data sets of the mean over seeds, with its interval.

    "fixed" speaks about these data sets and new seeds: the standard error adds up the variances between
    seeds within each data set, with Satterthwaite's (1946) degrees of freedom. Assumes runs that are
    independent and roughly normal within a data set, with any spread in each; if one data set with 3 seeds
    holds nearly all the spread, a 95 % interval covers 93 %.

    "drawn" asks whether the mean would hold on other data sets like these: the t interval of the data sets'
    means, with their number less one degrees of freedom. Seeds need no term of their own, their noise is in
    those means. Assumes that the data sets are a random draw from a roughly normal population. Ours are six,
    chosen by hand: the interval is wide, and only as good as that assumption.

    For the difference of two methods pass the difference of their tables, seed by seed. Without any variance
    the interval has no width.

    Args:
        table: scores (datasets, seeds), on a scale that the data sets share.
        level: the confidence level.
        datasets: "fixed" or "drawn".

    Raises:
        TooFewSeeds: fewer than 3 seeds.
        ValueError: empty or NaN scores; or fewer than 3 data sets, if these are drawn.

    >>> scores = [[0.4, 0.5, 0.6], [0.5, 0.6, 0.7], [0.6, 0.7, 0.8]]
    >>> hierarchical_interval(scores)  # doctest: +ELLIPSIS
    Interval(value=0.6, low=0.51..., high=0.68...)
    >>> hierarchical_interval(scores, datasets="drawn")  # doctest: +ELLIPSIS
    Interval(value=0.6, low=0.35..., high=0.84...)

    """
    scores = _array(table, 2, "table")
    count, seeds = len(scores), _enough(scores.shape[1])
    if datasets == "drawn":
        if count < LEAST_DATASETS:
            raise ValueError(f"at least {LEAST_DATASETS} data sets are needed, not {count}, if they are drawn")
        return seed_interval(_mean(scores), level)
    if datasets != "fixed":
        raise ValueError(f'datasets must be "fixed" or "drawn", not {datasets!r}')
    parts = _variance(scores) / seeds / count**2
    freedom = _satterthwaite(parts, np.full(count, seeds - 1))
    return _around(_mean(scores.ravel()), _quantile(level, freedom), parts.sum())


def interquartile_mean(scores: ArrayLike, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """Return the mean of the middle half of all runs, with its interval (Agarwal et al. 2021, section 4.3).

    The standard error is that of the stratified bootstrap, seeds drawn within each data set, times
    sqrt(seeds / (seeds - 1)), because n draws of n seeds understate their variance by that factor; then t
    with datasets * (seeds - 1) / 2 degrees of freedom, for half of the runs is trimmed away. The paper's
    percentiles of the same draws cover 83 to 93 % from 3 to 10 seeds, this 94 %; less at 3 seeds if nearly all
    the spread is in one data set.

    Assumes independent runs, a score that the data sets share, and data sets that are all there is. Without
    any variance the interval has no width.

    Args:
        scores: scores (datasets, seeds).
        level: the confidence level.
        resamples: the number of bootstrap draws.
        seed: of the draws.

    Raises:
        TooFewSeeds: fewer than 3 seeds.
        ValueError: empty or NaN scores.

    >>> interquartile_mean([[0.0, 0.25, 0.5, 9.0]] * 3).value
    0.375

    """
    table = _array(scores, 2, "scores")
    count, seeds = len(table), _enough(table.shape[1])
    drawn = np.random.default_rng(seed).integers(seeds, size=(resamples, count, seeds))
    runs = table[np.arange(count)[:, None], drawn].reshape(resamples, -1)
    value = float(stats.trim_mean(table, 0.25, axis=None))
    # Half of the runs are trimmed away, and with them half of the degrees of freedom.
    return _bootstrapped(value, stats.trim_mean(runs, 0.25, axis=1), seeds, count * (seeds - 1) / 2, level)


def probability_of_improvement(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Return how often a run of a beats a run of b on the same data set (Agarwal et al. 2021, section 4.3).

    The mean over data sets of P(a > b) + P(a = b) / 2 over all pairs of runs (Mann and Whitney 1947); higher
    scores are better. The interval is made as in `interquartile_mean`, seeds of a and b drawn apart, and
    clipped to [0, 1]; from 3 to 10 seeds it covers 93 to 97 %.

    Assumes independent runs; seeds shared by a and b usually make it too wide rather than too narrow. If a
    always wins the interval has no width, which says that no run here was lost, not that none ever will be.

    Args:
        a: scores (datasets, seeds).
        b: the other method's scores, of the same shape.
        level: the confidence level.
        resamples: the number of bootstrap draws.
        seed: of the draws.

    Raises:
        TooFewSeeds: fewer than 3 seeds.
        ValueError: empty, NaN or mismatched scores.

    >>> probability_of_improvement([[1.0, 2.0, 3.0]], [[2.0, 2.0, 2.0]]).value
    0.5

    """
    first, second = _pair(a, b, 2)
    count, seeds = len(first), _enough(first.shape[1])
    wins = (np.sign(first[:, :, None] - second[:, None, :]) + 1) / 2
    rng, even = np.random.default_rng(seed), np.full(seeds, 1 / seeds)
    times = rng.multinomial(seeds, even, size=(2, resamples, count)) / seeds
    shares = np.einsum("rdi,dij,rdj->rd", times[0], wins, times[1], optimize=True)
    made = _bootstrapped(_mean(wins.ravel()), _mean(shares), seeds, count * (seeds - 1), level)
    return Interval(made.value, max(0.0, made.low), min(1.0, made.high))


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
    freedom = _enough(n) - 1
    critical = float(_quantile(level, freedom))
    if not (np.isfinite(sd) and sd >= 0):
        raise ValueError("sd must be finite and not negative")

    def surplus(shift: float) -> float:
        # scipy gives NaN for some lower tails that are about 1e-16 and less.
        wrong_side = np.nan_to_num(stats.nct.cdf(-critical, freedom, shift))
        return float(stats.nct.sf(critical, freedom, shift) + wrong_side) - power

    if not (surplus(0.0) < 0 and power < 1):
        raise ValueError("power must lie between 1 - level and 1")
    upper = 1.0
    while surplus(upper) < 0:
        upper *= 2
    return float(sd * optimize.brentq(surplus, 0.0, upper) / np.sqrt(n))


def _array(values: ArrayLike, dims: int, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dims:
        raise ValueError(f"{name} must have {dims} dimension{'s' * (dims > 1)}, not {array.ndim}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must not hold NaN or infinite values")
    return array


def _pair(a: ArrayLike, b: ArrayLike, dims: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = _array(a, dims, "a"), _array(b, dims, "b")
    if first.shape != second.shape:
        raise ValueError(f"a and b must have the same shape, not {first.shape} and {second.shape}")
    return first, second


def _enough(seeds: int) -> int:
    if seeds < LEAST_SEEDS:
        raise TooFewSeeds(
            f"At least {LEAST_SEEDS} seeds are needed, not {seeds}: fewer do not show how much seeds differ."
        )
    return seeds


def _mean(values: Array) -> Any:
    """Mean over the last axis; of equal values exactly their value."""
    return values[..., 0] + (values - values[..., :1]).mean(axis=-1)


def _variance(values: Array) -> Any:
    """Variance over the last axis; of equal values exactly zero, rounding or not."""
    return (values - values[..., :1]).var(axis=-1, ddof=1)


def _satterthwaite(parts: Array, freedoms: Array) -> float:
    """Degrees of freedom of a sum of independent variance estimates (Satterthwaite 1946, equation 17)."""
    scaled = parts / parts.max() if parts.any() else np.ones_like(parts)
    return float(scaled.sum() ** 2 / (scaled**2 / freedoms).sum())


def _quantile(level: float, freedom: float | Array) -> Any:
    if not 0 < level < 1:
        raise ValueError("level must lie between 0 and 1")
    return special.stdtrit(freedom, (1 + level) / 2)


def _around(value: float, quantile: float, variance: float) -> Interval:
    half = float(quantile * np.sqrt(variance))
    return Interval(float(value), float(value) - half, float(value) + half)


def _bootstrapped(value: float, draws: Array, seeds: int, freedom: float, level: float) -> Interval:
    """Interval of a bootstrap of runs, stratified by data set, corrected for few seeds."""
    if len(draws) < 2:
        raise ValueError("at least 2 resamples are needed")
    variance = _variance(draws) * seeds / (seeds - 1)
    return _around(value, _quantile(level, freedom), variance)
