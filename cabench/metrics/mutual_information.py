"""How many nats the common and the salient code of the same images share: two estimators, and their calibration.

Both take codes c (n, d_c) and s (n, d_s); shift and scale of a code do not matter (METHODS 8.1). Both are corrected
for bias, so as often a little below 0 as above where nothing is shared; none is clipped. A code that is constant up
to the rounding of float32 shares exactly 0. NaN, infinity (of float32), unequal lengths or fewer than 20 rows raise
ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import digamma, ndtri
from scipy.stats import rankdata
from sklearn.covariance import ledoit_wolf
from threadpoolctl import threadpool_limits

from cabench.metrics.evidence import Pair

LEAST_ROWS = 20
MOST_DIMENSIONS = 32
# With two, some sample correlation of any two codes is 1.
ROWS_PER_DIMENSION = 3
PAIRS = 4
# Relative to the largest value: below it float32 codes differ by rounding.
LEAST_RANGE = 1e-6
FLOAT32 = np.finfo(np.float32)
# 1 - rho^2 of a copied coordinate, whose information is infinite: it counts as 6.9 nats.
LEAST_UNEXPLAINED = 1e-6
# Of a standard deviation: rows that differ by the rounding of float32, as zeros from a GPU do, are ties.
DECIMALS = 6
JITTER = 1e-10


@threadpool_limits.wrap(limits=1)
def gaussian_mi(c: np.ndarray, s: np.ndarray, seed: int, permutations: int = 50) -> float:
    """Return -1/2 sum_k log(1 - rho_k^2) of rank-Gaussianised codes, less its mean over permutations of s, in nats.

    METHODS 8.1.2, but with all principal components, at most 32 and one per three rows: keeping 95 % of the
    variance drops directions of codes whose units vary alike, and of 3 nats in one of 32 coordinates 1.2 remained.
    Of their Gaussian ranks the canonical correlations rho_k are taken. The Ledoit-Wolf shrunk covariance of each
    code regularises the canonical directions; rho_k is the sample's correlation along them. Shrinking the joint
    covariance would shrink the rho_k themselves: of 1 nat between two of 32 + 32 coordinates 0.04 would remain at
    n = 2000.
    For Gaussian codes the bias of the log-determinants does not depend on rho, so that the permutations remove it.

    It sees linear dependence between the kept coordinates only, so it is low for most codes; but it is no bound:
    codes in separate clusters look like Gaussians of high correlation and can exceed the entropy of the clusters.

    Args:
        c: common codes (n, d_c).
        s: salient codes (n, d_s).
        seed: chooses the permutations.
        permutations: how many correct the bias.

    Returns:
        A value of at most 6.9 nats per pair of coordinates, around 0 if the codes are independent; lower is better.

    Raises:
        ValueError: see the module.

    >>> z = np.random.default_rng(0).standard_normal((500, 2))
    >>> round(gaussian_mi(z[:, :1], 2 * z[:, :1] + z[:, 1:], seed=0), 1), gaussian_mi(z, 0 * z, seed=0)
    (0.8, 0.0)

    """
    x, y = (_gaussian_ranks(_project(z, *_principal(z))) for z in checked(c, s))
    if not (x.shape[1] and y.shape[1]):
        return 0.0
    S_x, S_y = x.T @ x / len(x), y.T @ y / len(y)
    W_x, W_y = _shrunk_whitener(x), _shrunk_whitener(y)

    def information(shuffled: np.ndarray) -> float:
        S_xy = x.T @ shuffled / len(x)
        u, _, vt = np.linalg.svd(W_x.T @ S_xy @ W_y, full_matrices=False)
        a, b = W_x @ u, W_y @ vt.T
        variances = np.sum(a * (S_x @ a), 0) * np.sum(b * (S_y @ b), 0)
        rho = np.sum(a * (S_xy @ b), 0) / np.sqrt(np.maximum(variances, np.finfo(float).tiny))
        return -0.5 * float(np.log(np.maximum(1 - rho**2, LEAST_UNEXPLAINED)).sum())

    rng = np.random.default_rng(seed)
    return information(y) - float(np.mean([information(rng.permutation(y)) for _ in range(permutations)]))


@threadpool_limits.wrap(limits=1)
def ksg_mi(c: np.ndarray, s: np.ndarray, seed: int, neighbours: int = 3) -> float:
    """Return the sum of the nearest-neighbour informations of the four leading canonical pairs, in nats.

    Each pair, one variate of c against one of s, is measured by estimator 1 of Kraskov et al., Phys. Rev. E 2004
    (eq. 8), which is far too low for four against four dimensions (METHODS 8.1.3). The directions are fitted on one
    half of the rows and the information measured on the other, then the halves change places, and the two values
    are averaged: directions that overfit find nothing in the other half.

    The sum is the information of the pairs together if they are independent of one another, as for a Gaussian
    copula; it is then a lower reference, because other directions are left out and the fitted ones are not exact.
    Where one source drives several pairs, as clusters do, it is counted several times.

    Args:
        c: common codes (n, d_c).
        s: salient codes (n, d_s).
        seed: chooses the halves and the jitter that separates tied rows.
        neighbours: k; fewer is less bias and more variance.

    Returns:
        A value around 0 if the codes are independent, without an upper bound; lower is better.

    Raises:
        ValueError: see the module.

    >>> z = np.random.default_rng(0).standard_normal((500, 2))
    >>> round(ksg_mi(z[:, :1], 2 * z[:, :1] + z[:, 1:], seed=0), 1), ksg_mi(z, 0 * z, seed=0)
    (0.8, 0.0)

    """
    c, s = checked(c, s)
    rng = np.random.default_rng(seed)
    halves = np.array_split(rng.permutation(len(c)), 2)
    total = 0.0
    for fitted, held in (halves, halves[::-1]):
        (m_c, W_c), (m_s, W_s) = (_principal(z[fitted]) for z in (c, s))
        x, y = _project(c[fitted], m_c, W_c), _project(s[fitted], m_s, W_s)
        u, _, vt = np.linalg.svd(x.T @ y, full_matrices=False)
        a, b = _project(c[held], m_c, W_c @ u[:, :PAIRS]), _project(s[held], m_s, W_s @ vt[:PAIRS].T)
        a, b = (_gaussian_ranks(z) + JITTER * rng.standard_normal(z.shape) for z in (a, b))
        total += sum(_ksg_pair(a[:, k], b[:, k], neighbours) for k in range(a.shape[1]))
    return total / 2


def calibration(
    n: int, d_c: int, d_s: int, seed: int, informations: Sequence[float] = (0.0, 0.5, 1.0, 2.0, 3.0)
) -> list[dict[str, Any]]:
    """Run gaussian_mi and ksg_mi on Gaussian codes of known information (METHODS 8.1.6).

    k coordinates of c each correlate with one of s by rho, with -k/2 log(1 - rho^2) = I; all others are noise of
    the same variance, and a random rotation of each code spreads the k over its coordinates.

    Args:
        n: rows.
        d_c: dimensions of c.
        d_s: dimensions of s.
        seed: of the data and of the estimators.
        informations: the I, in nats.

    Returns:
        Rows with estimator, variant, n, d_c, d_s, true, estimate, seed. The variants are gaussian-k and mixture-k,
        k = 1 and 4 (1 only where a code has fewer than 4 dimensions). In a mixture the first half of the rows is
        background, s = 0. Then `true` is still the I of the target rows, though the estimate is from all n: there
        the presence of s is independent of c, so that all rows together carry I times the share of target rows, and
        an exact estimator returns about true / 2.

    Raises:
        ValueError: n < 20.

    >>> rows = calibration(n=200, d_c=2, d_s=2, seed=0, informations=[1.0])
    >>> [(row["estimator"], row["variant"], round(row["estimate"])) for row in rows[:2]]
    [('gaussian_mi', 'gaussian-1', 1), ('ksg_mi', 'gaussian-1', 1)]

    """
    rng = np.random.default_rng(seed)
    common = {"n": n, "d_c": d_c, "d_s": d_s, "seed": seed}
    rows = []
    for true in informations:
        for pairs in (1, PAIRS) if min(d_c, d_s) >= PAIRS else (1,):
            c, s = _gaussian_codes(n, d_c, d_s, true, pairs, rng)
            background = (np.arange(n) < n // 2)[:, None]
            for variant, salient in (("gaussian", s), ("mixture", np.where(background, 0.0, s))):
                for estimator in (gaussian_mi, ksg_mi):
                    what = {"estimator": estimator.__name__, "variant": f"{variant}-{pairs}", "true": true}
                    rows.append({**what, "estimate": estimator(c, salient, seed), **common})
    return rows


def checked(c: np.ndarray, s: np.ndarray) -> Pair:
    """Return both codes in float64; raises ValueError as the module says."""
    c, s = np.asarray(c, dtype=np.float64), np.asarray(s, dtype=np.float64)
    if c.ndim != 2 or s.ndim != 2 or len(c) != len(s):
        raise ValueError(f"codes must be (n, d_c) and (n, d_s) of the same rows, not {c.shape} and {s.shape}")
    if len(c) < LEAST_ROWS:
        raise ValueError(f"dependence needs at least {LEAST_ROWS} rows, not {len(c)}")
    # False for NaN too.
    if not all((np.abs(z) <= FLOAT32.max).all() for z in (c, s)):
        raise ValueError("codes must be finite: a NaN, an infinity or a value beyond float32 is among them")
    return c, s


def varies(x: np.ndarray) -> np.ndarray:
    """Return which columns (d,) are not constant."""
    least = np.maximum(LEAST_RANGE * np.abs(x).max(0), FLOAT32.smallest_subnormal)
    return np.asarray(np.ptp(x, axis=0) >= least)


def _principal(x: np.ndarray) -> Pair:
    """Return the mean (d,) of x and the loadings (d, p) of its leading components, scaled to variance 1."""
    mean = x.mean(0)
    _, scales, vt = np.linalg.svd((x - mean) * varies(x), full_matrices=False)
    scales = scales[scales > LEAST_RANGE * scales.max(initial=FLOAT32.smallest_subnormal)]
    count = min(MOST_DIMENSIONS, len(x) // ROWS_PER_DIMENSION, len(scales))
    return mean, np.asarray(vt[:count].T / scales[:count] * np.sqrt(len(x)))


def _project(x: np.ndarray, mean: np.ndarray, loadings: np.ndarray) -> np.ndarray:
    return np.asarray((x - mean) @ loadings)


def _gaussian_ranks(x: np.ndarray) -> np.ndarray:
    """Give the columns of x (n, d), of variance about 1, the values of a Gaussian; ties share their mean rank."""
    z = ndtri((rankdata(np.round(x, DECIMALS), axis=0) - 0.5) / len(x))
    return np.asarray(z - z.mean(0))


def _shrunk_whitener(x: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(ledoit_wolf(x, assume_centered=True)[0])
    return np.asarray(vectors / np.sqrt(np.maximum(values, LEAST_UNEXPLAINED)))


def _ksg_pair(x: np.ndarray, y: np.ndarray, neighbours: int) -> float:
    """Return the estimate for x (n,) and y (n,) without ties."""
    n = len(x)
    both = np.column_stack([x, y])
    radii = cKDTree(both).query(both, neighbours + 1, p=np.inf)[0][:, -1]
    # Strictly nearer, and the row itself, which is the 1 of eq. 8.
    inside = np.nextafter(radii, 0)
    near = [cKDTree(z).query_ball_point(z, inside, p=np.inf, return_length=True) for z in (x[:, None], y[:, None])]
    return float(digamma(neighbours) + digamma(n) - np.mean(digamma(near[0]) + digamma(near[1])))


def _gaussian_codes(n: int, d_c: int, d_s: int, information: float, pairs: int, rng: np.random.Generator) -> Pair:
    c, s = rng.standard_normal((n, d_c)), rng.standard_normal((n, d_s))
    unexplained = np.exp(-2 * information / pairs)
    s[:, :pairs] = np.sqrt(1 - unexplained) * c[:, :pairs] + np.sqrt(unexplained) * s[:, :pairs]
    rotations = (np.linalg.qr(rng.standard_normal((d, d)))[0] for d in (d_c, d_s))
    return c @ next(rotations), s @ next(rotations)
