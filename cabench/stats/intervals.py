"""Confidence intervals of scores over training seeds, test groups and data sets."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike

from cabench.stats.basics import Array, Interval, around, array, enough, mean, pair, quantile, variance
from cabench.stats.statistics import Statistic

LEAST_DATASETS = 3


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

    >>> from cabench.stats import balanced_accuracy
    >>> truth = np.repeat([0, 1], 20)
    >>> right = np.arange(40) % 4 > 0
    >>> predictions = np.where([right, right, right], truth, 1 - truth)
    >>> nested_interval((truth, predictions), balanced_accuracy, np.arange(40) // 2)  # doctest: +ELLIPSIS
    Interval(value=0.75, low=0.62..., high=0.87...)

    """
    truth, predictions = array(samples[0], 1, "truth"), array(samples[1], 2, "predictions")
    if predictions.shape[1:] != truth.shape or np.shape(groups) != truth.shape:
        raise ValueError("truth, groups and each seed's predictions must have the same rows")
    if pd.isna(np.asarray(groups)).any():
        raise ValueError("groups must not be missing")
    seeds = enough(predictions.shape[0])
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

    parts, freedoms = np.array([variance(scores) / seeds, shared]), np.array([seeds - 1, count - 1])
    satterthwaite = quantile(level, _satterthwaite(parts, freedoms))
    cochran = np.average(quantile(level, freedoms), weights=parts) if parts.any() else satterthwaite
    return around(mean(scores), (satterthwaite + cochran) / 2, parts.sum())


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
    scores = array(values, 1, "values")
    seeds = enough(len(scores))
    return around(mean(scores), quantile(level, seeds - 1), variance(scores) / seeds)


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
    scores = array(table, 2, "table")
    count, seeds = len(scores), enough(scores.shape[1])
    if datasets == "drawn":
        if count < LEAST_DATASETS:
            raise ValueError(f"at least {LEAST_DATASETS} data sets are needed, not {count}, if they are drawn")
        return seed_interval(mean(scores), level)
    if datasets != "fixed":
        raise ValueError(f'datasets must be "fixed" or "drawn", not {datasets!r}')
    parts = variance(scores) / seeds / count**2
    freedom = _satterthwaite(parts, np.full(count, seeds - 1))
    return around(mean(scores.ravel()), quantile(level, freedom), parts.sum())


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
    table = array(scores, 2, "scores")
    count, seeds = len(table), enough(table.shape[1])
    drawn = np.random.default_rng(seed).integers(seeds, size=(resamples, count, seeds))
    runs = table[np.arange(count)[:, None], drawn].reshape(resamples, -1)
    value = float(scipy.stats.trim_mean(table, 0.25, axis=None))
    # Half of the runs are trimmed away, and with them half of the degrees of freedom.
    return _bootstrapped(value, scipy.stats.trim_mean(runs, 0.25, axis=1), seeds, count * (seeds - 1) / 2, level)


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
    first, second = pair(a, b, 2)
    count, seeds = len(first), enough(first.shape[1])
    wins = (np.sign(first[:, :, None] - second[:, None, :]) + 1) / 2
    rng, even = np.random.default_rng(seed), np.full(seeds, 1 / seeds)
    times = rng.multinomial(seeds, even, size=(2, resamples, count)) / seeds
    shares = np.einsum("rdi,dij,rdj->rd", times[0], wins, times[1], optimize=True)
    made = _bootstrapped(mean(wins.ravel()), mean(shares), seeds, count * (seeds - 1), level)
    return Interval(made.value, max(0.0, made.low), min(1.0, made.high))


def _satterthwaite(parts: Array, freedoms: Array) -> float:
    """Degrees of freedom of a sum of independent variance estimates (Satterthwaite 1946, equation 17)."""
    scaled = parts / parts.max() if parts.any() else np.ones_like(parts)
    return float(scaled.sum() ** 2 / (scaled**2 / freedoms).sum())


def _bootstrapped(value: float, draws: Array, seeds: int, freedom: float, level: float) -> Interval:
    """Interval of a bootstrap of runs, stratified by data set, corrected for few seeds."""
    if len(draws) < 2:
        raise ValueError("at least 2 resamples are needed")
    return around(value, quantile(level, freedom), variance(draws) * seeds / (seeds - 1))
