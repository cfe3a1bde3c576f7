"""Sub-groups found in a code without labels, against the classes that are known (METHODS 8.4)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler, normalize
from sklearn.utils import check_array, check_consistent_length
from threadpoolctl import threadpool_limits

from cabench.codes import SPACES
from cabench.metrics.evidence import PREDICTED, Evidence, Rows

WAYS = ("kmeans", "kmeans_directions", "gaussian_mixture")
INITS = 10
HALVINGS = 3
SEED = 0


@dataclass(frozen=True, eq=False)
class Clustering:
    """The rows of a code in k clusters, and how well these match the classes.

    Attributes:
        assignments: cluster of each row, int64 (n,); names of clusters mean nothing.
        reproducibility: agreement of clusterings of two halves of the rows, in [-0.5, 1]; uses no label.
        ari: adjusted Rand index with the classes, in [-0.5, 1], chance 0.
        ami: adjusted mutual information with the classes, at most 1, chance 0.
        accuracy: `hungarian_accuracy`, in (0, 1].

    """

    assignments: np.ndarray
    reproducibility: float
    ari: float
    ami: float
    accuracy: float


def find_subgroups(s: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Clustering]:
    """Cluster target rows of a code into as many clusters as there are classes, in three ways.

    `kmeans` sees the standardised code, `kmeans_directions` the rows scaled to length 1, `gaussian_mixture`
    (diagonal covariances) the standardised code; each is the best of ten starts. Constant units are ignored. A
    constant code, or any code of which a way makes one cluster, has ARI, AMI and reproducibility 0.

    Reproducibility (Lange et al., Neural Computation 16, 2004): the rows are halved at random, both halves are
    clustered, each model assigns all rows; the adjusted Rand index of the two, mean over three halvings.

    Args:
        s: codes (n, d) of the rows on which the classes are defined.
        labels: class numbers (n,); they score the clusters and give their number, no more.
        seed: of the starts and the halvings.

    Returns:
        The clusterings by name; higher is better for every score.

    Raises:
        ValueError: s or labels are not finite, there is one class, or there are fewer than two rows per class.

    >>> s = np.repeat([[0.0, 1.0], [9.0, 1.0]], 10, axis=0) + np.linspace(0, 1, 20)[:, None]
    >>> found = find_subgroups(s, np.repeat([4, 7], 10), seed=0)
    >>> [(name, round(clustering.ari, 6)) for name, clustering in found.items()]
    [('kmeans', 1.0), ('kmeans_directions', 1.0), ('gaussian_mixture', 1.0)]

    """
    s = check_array(s, dtype=np.float64, input_name="s")
    labels = _names(labels)
    check_consistent_length(s, labels)
    k = len(np.unique(labels))
    if k < 2:
        raise ValueError("sub-groups need two classes, there is one")
    if len(s) < 2 * k:
        raise ValueError(f"{k} clusters of half the rows need {2 * k} rows, there are {len(s)}")
    varying = s[:, np.ptp(s, axis=0) > 0]
    if not varying.shape[1]:
        return dict.fromkeys(WAYS, _scored(np.zeros(len(s)), 0.0, labels))
    standard, directions = StandardScaler().fit_transform(varying), normalize(varying)
    kmeans = partial(KMeans, k, n_init=INITS, random_state=seed)
    mixture = partial(GaussianMixture, k, covariance_type="diag", n_init=INITS, random_state=seed)
    # Fewer distinct rows than clusters, or a mixture still moving after 100 steps: the scores say what that costs.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return {
            way: _scored(make().fit_predict(z), _reproducibility(make, z, seed), labels)
            for way, make, z in zip(WAYS, (kmeans, kmeans, mixture), (standard, directions, standard), strict=True)
        }


def headline(clusterings: Mapping[str, Clustering]) -> str:
    """Return the name of the most reproducible clustering, the first of equals: whom the report quotes.

    Chosen without labels, since the best of three ARI would be a score that no user can reach. Not by silhouette:
    it is not comparable across the spaces in which the clusters are sought, and it praises a lone outlier.

    Args:
        clusterings: what `find_subgroups` returns.

    Raises:
        ValueError: there are none.

    >>> scores = {"a": (0.4, 0.9, 0.9, 1.0), "b": (0.6, 0.5, 0.5, 0.8)}
    >>> headline({name: Clustering(np.arange(2), *some) for name, some in scores.items()})
    'b'

    """
    if not clusterings:
        raise ValueError("there is no clustering to choose from")
    return max(clusterings, key=lambda name: clusterings[name].reproducibility)


def hungarian_accuracy(labels: np.ndarray, assignments: np.ndarray) -> float:
    """Return the share of rows that are right when each cluster is given the class that suits all best.

    In (0, 1], higher is better; one cluster for all scores the share of the largest class. A cluster in excess of
    the classes counts as wrong. Source: Kuhn, Naval Research Logistics Quarterly 2, 1955.

    Args:
        labels: class numbers (n,).
        assignments: cluster numbers (n,).

    Raises:
        ValueError: no rows, unequal lengths, or numbers that are not finite.

    >>> hungarian_accuracy(np.array([0, 0, 1, 1]), np.array([5, 5, 3, 5]))
    0.75

    """
    labels, assignments = _names(labels), _names(assignments)
    check_consistent_length(labels, assignments)
    table = contingency_matrix(labels, assignments)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / table.sum())


def stability(assignments: Sequence[np.ndarray]) -> float:
    """Return the mean adjusted Rand index over pairs of clusterings of the same rows; needs no labels.

    In [-0.5, 1], higher is better, chance 0. A clustering with one cluster separates nothing: its pairs count 0,
    where the index itself would call two of them a perfect match.

    Args:
        assignments: cluster numbers (n,), one array per run.

    Raises:
        ValueError: fewer than two clusterings, unequal lengths, no rows, or numbers that are not finite.

    >>> stability([np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0])])
    1.0

    """
    if len(assignments) < 2:
        raise ValueError(f"stability needs two clusterings, there are {len(assignments)}")
    runs = [_names(run) for run in assignments]
    check_consistent_length(*runs)
    parted = [len(np.unique(run)) > 1 for run in runs]
    pairs = combinations(range(len(runs)), 2)
    return float(
        np.mean([adjusted_rand_score(runs[a], runs[b]) if parted[a] and parted[b] else 0.0 for a, b in pairs])
    )


def measure(evidence: Evidence) -> Rows:
    """Yield the scores of both codes' clusters for a main factor with classes: s should find them, c not."""
    for factor in evidence.factors:
        if not (factor.main and factor.classes):
            continue
        for space in SPACES:
            code, labels = evidence.probed(factor, space)[2]
            if len(np.unique(labels)) < 2 or len(labels) < 2 * len(np.unique(labels)):
                continue  # the test part has no sub-groups to find
            clusterings = find_subgroups(code, labels, SEED)
            best = clusterings[headline(clusterings)]
            found = {"ari": (best.ari, 0.0), "ami": (best.ami, 0.0), "subgroup_accuracy": (best.accuracy, None),
                     "reproducibility": (best.reproducibility, 0.0)}  # fmt: skip
            for name, (value, chance) in found.items():
                row = evidence.row(name, value, factor, space=space, chance=chance, n=len(labels))
                yield row | ({PREDICTED: best.assignments} if name == "ami" else {})


def _reproducibility(make: Callable[[], Any], z: np.ndarray, seed: int) -> float:
    rng = np.random.default_rng(seed)
    scores = []
    for _ in range(HALVINGS):
        order = rng.permutation(len(z))
        halves = order[: len(z) // 2], order[len(z) // 2 :]
        scores.append(stability([make().fit(z[half]).predict(z) for half in halves]))
    return float(np.mean(scores))


def _scored(assignments: np.ndarray, reproducibility: float, labels: np.ndarray) -> Clustering:
    return Clustering(
        assignments.astype(np.int64),
        reproducibility,
        float(adjusted_rand_score(labels, assignments)),
        float(adjusted_mutual_info_score(labels, assignments)),
        hungarian_accuracy(labels, assignments),
    )


def _names(numbers: np.ndarray) -> np.ndarray:
    """Return class or cluster numbers (n,), checked, as 0, 1, ... in their order."""
    numbers = check_array(numbers, ensure_2d=False, input_name="labels")
    if numbers.ndim != 1:
        raise ValueError(f"labels must have shape (n,), not {numbers.shape}")
    return np.unique(numbers, return_inverse=True)[1]
