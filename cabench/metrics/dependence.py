"""How much the common and the salient code of the same images depend on each other (METHODS 8.1).

Every function takes codes c (n, d_c) and s (n, d_s); shift and scale of a code do not matter. Whatever is corrected
for bias is as often a little below 0 as above where nothing is shared; none is clipped. A code that is constant up
to the rounding of float32 depends on nothing: exactly 0, with p = 1. NaN, infinity (of float32), unequal lengths or
fewer than 20 rows raise ValueError. No value proves independence: each function sees some kinds of dependence only.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy.spatial.distance import pdist, squareform
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from cabench.metrics.evidence import Evidence, Pair, Part, Rows
from cabench.metrics.mutual_information import LEAST_ROWS, checked, gaussian_mi, ksg_mi, varies

Statistic = Literal["distance_correlation", "hsic"]

SEED = 0
# The matrices of pairs of rows grow with the square of this.
MOST_ROWS = 1000
# The last are for codes that say nothing: their slopes should vanish.
PENALTIES = np.logspace(-3, 6, 10)
ROUNDING = 1e-10


def distance_correlation(c: np.ndarray, s: np.ndarray, seed: int = 0) -> float:
    """Return the bias-corrected squared distance correlation, on at most 1000 rows.

    Szekely and Rizzo, J. Multivariate Analysis 2013 (R*_n), in the U-centred form of their paper in the Annals of
    Statistics 2014 (definition 2). The columns are standardised, the constant ones dropped.

    Args:
        c: common codes (n, d_c).
        s: salient codes (n, d_s).
        seed: chooses the rows if there are more than 1000.

    Returns:
        A value in [-1, 1], around 0 if the codes are independent; lower is better.

    Raises:
        ValueError: see the module.

    >>> z = np.arange(40.0)[:, None]
    >>> round(distance_correlation(z, 3 - 2 * z), 6), distance_correlation(z, 0 * z)
    (1.0, 0.0)

    """
    A, B = _pair_matrices(c, s, "distance_correlation", np.random.default_rng(seed))
    norms = np.sqrt(np.vdot(A, A) * np.vdot(B, B))
    return float(np.vdot(A, B) / norms) if norms > 0 else 0.0


def hsic(c: np.ndarray, s: np.ndarray, seed: int = 0) -> float:
    """Return the unbiased Hilbert-Schmidt independence criterion, on at most 1000 rows.

    Song et al., JMLR 2012 (HSIC_1), with K = exp(-||x_i - x_j||^2 / (2 m)) and m the median squared distance of two
    rows that differ. The columns are standardised, the constant ones dropped.

    Args:
        c: common codes (n, d_c).
        s: salient codes (n, d_s).
        seed: chooses the rows if there are more than 1000.

    Returns:
        A value in [-0.28, 0.28], around 0 if the codes are independent; lower is better. Its scale falls with the
        dimensions: it is the covariance of the kernels, not their correlation.

    Raises:
        ValueError: see the module.

    >>> z = np.arange(40.0)[:, None]
    >>> hsic(z, z) > 0.05, hsic(z, 0 * z)
    (True, 0.0)

    """
    A, B = _pair_matrices(c, s, "hsic", np.random.default_rng(seed))
    return float(np.vdot(A, B) / (len(A) * (len(A) - 3)))


def permutation_test(
    c: np.ndarray,
    s: np.ndarray,
    statistic: Statistic,
    seed: int = 0,
    permutations: int = 200,
) -> float:
    """Return the p-value of a statistic against permutations of the rows of s: (1 + #{>= observed}) / (1 + B).

    Rows must be exchangeable: of grouped rows (two images of one patient) pass one per group.

    Args:
        c: common codes (n, d_c).
        s: salient codes (n, d_s).
        statistic: the function above whose value on the same seed, so on the same rows, is tested.
        seed: chooses the rows, then the permutations.
        permutations: B.

    Returns:
        A value in [1 / (1 + B), 1]; small means dependent, 1 if a code is constant.

    Raises:
        ValueError: see the module.

    >>> z = np.arange(40.0)[:, None]
    >>> permutation_test(z, z, "hsic", permutations=99), permutation_test(z, 0 * z, "hsic")
    (0.01, 1.0)

    """
    rng = np.random.default_rng(seed)
    A, B = _pair_matrices(c, s, statistic, rng)
    # Permuting rows and columns of B together leaves its centring and its norm alone, so sum(A * B) is enough.
    # What is equal but for the order of the sum counts as equal.
    observed = np.vdot(A, B) - ROUNDING * np.sqrt(np.vdot(A, A) * np.vdot(B, B))
    orders = (rng.permutation(len(B)) for _ in range(permutations))
    # Row by row: a permuted copy of B would not fit in the cache.
    drawn = [sum(a @ B[i][order] for a, i in zip(A, order, strict=True)) for order in orders]
    return float((1 + np.count_nonzero(np.array(drawn) >= observed)) / (1 + permutations))


@threadpool_limits.wrap(limits=1)
def cross_predictability(train: Pair, test: Pair) -> dict[str, float]:
    """Return how well ridge regression predicts each code from the other (METHODS 8.1.5).

    The penalty is chosen by leave-one-out error on the training rows.

    Args:
        train: the codes c (n, d_c) and s (n, d_s) that are fitted.
        test: the same for the rows that are scored.

    Returns:
        r2_c_to_s and r2_s_to_c, each the mean R^2 of the predicted code's dimensions weighted by their variance on
        the test rows, in (-inf, 1]; lower is better and 0 what the mean scores. A code that is constant in train
        predicts at 0, and one that is constant in train or in test is predicted at 0.

    Raises:
        ValueError: see the module, for train and for test; or a code's dimensions differ between them.

    >>> z = np.random.default_rng(0).standard_normal((60, 2))
    >>> scores = cross_predictability((z, z[:, :1]), (z, z[:, :1]))
    >>> round(scores["r2_c_to_s"], 2), 0.4 < scores["r2_s_to_c"] < 0.7
    (1.0, True)

    """
    for part in (train, test):
        checked(*part)
    n = len(train[0])
    c, s = (np.concatenate(parts).astype(np.float64) for parts in zip(train, test, strict=True))
    return {"r2_c_to_s": _ridge_r2(c, s, n), "r2_s_to_c": _ridge_r2(s, c, n)}


def measure(evidence: Evidence) -> Rows:
    """Yield all of it on target rows: on all rows the group itself would be what the codes share."""

    def codes(part: Part) -> Pair:
        return part.codes.common[part.y == 1], part.codes.salient[part.y == 1]

    train, test = codes(evidence.train), codes(evidence.test)
    here: dict[str, Any] = {"rows": "target", "n": len(test[0])}
    if min(len(train[0]), len(test[0])) < LEAST_ROWS:
        return
    statistics: dict[Statistic, float] = {
        "distance_correlation": distance_correlation(*test, seed=SEED),
        "hsic": hsic(*test, seed=SEED),
    }
    for statistic, dependence in statistics.items():
        yield evidence.row(statistic, dependence, **here, chance=0.0)
        yield evidence.row(f"{statistic}_p", permutation_test(*test, statistic, seed=SEED), **here)
    yield evidence.row("gaussian_mi", gaussian_mi(*test, SEED), **here, chance=0.0)
    yield evidence.row("ksg_mi", ksg_mi(*test, SEED), **here, chance=0.0)
    for name, value in cross_predictability(train, test).items():
        yield evidence.row(name, value, **here, chance=0.0)


def _pair_matrices(c: np.ndarray, s: np.ndarray, statistic: str, rng: np.random.Generator) -> Pair:
    """Return the U-centred matrices (m, m) of distances or kernels of at most 1000 rows, 0 of a constant code."""
    c, s = checked(c, s)
    if len(c) > MOST_ROWS:
        chosen = rng.choice(len(c), MOST_ROWS, replace=False)
        c, s = c[chosen], s[chosen]
    matrix = {"distance_correlation": _distances, "hsic": _kernels}[statistic]
    return _centred(matrix(c)), _centred(matrix(s))


def _distances(x: np.ndarray, metric: str = "euclidean") -> np.ndarray:
    x = x[:, varies(x)]
    return np.asarray(squareform(pdist((x - x.mean(0)) / x.std(0), metric)))


def _kernels(x: np.ndarray) -> np.ndarray:
    distances = _distances(x, "sqeuclidean")
    apart = distances[distances > 0]
    K = np.exp(-distances / (2 * np.median(apart))) if apart.size else np.zeros_like(distances)
    np.fill_diagonal(K, 0.0)
    return np.asarray(K)


def _centred(x: np.ndarray) -> np.ndarray:
    """Return the U-centred form of x (n, n), with diagonal 0: the product of two, over n (n - 3), is unbiased."""
    n = len(x)
    means = x.sum(0) / (n - 2)
    centred = np.asarray(x - means - means[:, None] + x.sum() / ((n - 1) * (n - 2)))
    np.fill_diagonal(centred, 0.0)
    # Of rows equally far apart, or all equal but one, only rounding is left, which must not be normalised.
    return centred if np.linalg.norm(centred) > ROUNDING * np.linalg.norm(x) else np.zeros_like(centred)


def _ridge_r2(source: np.ndarray, target: np.ndarray, n: int) -> float:
    """Return the R^2 on the rows from n on, fitted on those before."""
    seen, scored = varies(source[:n]), varies(target[:n]) & varies(target[n:])
    if not (seen.any() and scored.any()):
        return 0.0
    z, t = StandardScaler().fit(source[:n, seen]).transform(source[:, seen]), target[:, scored]
    error = t[n:] - RidgeCV(PENALTIES).fit(z[:n], t[:n]).predict(z[n:]).reshape(t[n:].shape)
    return 1.0 - float(np.square(error).sum() / np.square(t[n:] - t[n:].mean(0)).sum())
