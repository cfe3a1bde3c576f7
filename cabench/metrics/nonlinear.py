"""Non-linear probes: neighbours, a small network and boosted trees, each a function like `linear_probe`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from cabench.metrics.evidence import Pair
from cabench.metrics.probe import Prediction, class_bits, floored, linear_probe, standardised, value_bits

NEIGHBOURS = 20
HIDDEN = 256
NETWORK: dict[str, Any] = {"hidden_layer_sizes": (HIDDEN,), "learning_rate_init": 3e-3, "max_iter": 100}
TREES: dict[str, Any] = {"max_leaf_nodes": 15, "learning_rate": 0.15, "max_bins": 63, "max_iter": 60}
SHARED: dict[str, Any] = {"n_iter_no_change": 5, "random_state": 0}
HELD_OUT = 0.1  # of the training rows, scikit-learn's share for stopping early


def knn_probe(train: Pair, validation: Pair, test: Pair, categorical: bool) -> Prediction:
    """Read a factor from the 20 nearest neighbours in cosine distance (METHODS 5.1).

    Takes, gives and raises what `linear_probe` does; there is nothing to choose.

    >>> z = np.repeat([[0.0, 1.0], [1.0, 0.0]], 30, axis=0); t = np.repeat([0, 1], 30)
    >>> bool((knn_probe((z, t), (z, t), (z, t), True).point == t).all())
    True
    """
    codes = standardised(train, validation, test, categorical)
    # In a constant code all rows are equally near.
    k = min(NEIGHBOURS, len(codes[0])) if codes[0].any() else len(codes[0])
    with threadpool_limits(1):
        search = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(codes[0])
        near = [train[1][search.kneighbors(code, return_distance=False)] for code in codes[1:]]
    if categorical:
        classes = np.unique(train[1])
        votes = (near[1][:, :, None] == classes).mean(1)
        return Prediction(classes[votes.argmax(1)], class_bits(votes, classes, test[1]))
    points = [values.mean(1) for values in near]
    return _values(points[0], points[1], validation[1], test[1], float(train[1].std()))


def mlp_probe(train: Pair, validation: Pair, test: Pair, categorical: bool) -> Prediction:
    """Read a factor by a network with one hidden layer of 256, stopped early on a tenth of the training rows.

    Takes, gives and raises what `linear_probe` does.
    """
    return _fitted(MLPClassifier if categorical else MLPRegressor, NETWORK, train, validation, test, categorical)


def tree_probe(train: Pair, validation: Pair, test: Pair, categorical: bool) -> Prediction:
    """Read a factor by boosted trees, stopped early on a tenth of the training rows.

    Takes, gives and raises what `linear_probe` does.
    """
    trees = HistGradientBoostingClassifier if categorical else HistGradientBoostingRegressor
    return _fitted(trees, TREES, train, validation, test, categorical)


PROBES = {"linear": linear_probe, "knn": knn_probe, "mlp": mlp_probe, "trees": tree_probe}


def _fitted(
    cls: Any, options: dict[str, Any], train: Pair, validation: Pair, test: Pair, categorical: bool
) -> Prediction:
    codes = standardised(train, validation, test, categorical)
    options = options | SHARED | {"early_stopping": _stops(train[1], categorical)}
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if hasattr(cls, "predict_proba"):
            model = cls(**options).fit(codes[0], train[1])
            seen = model.predict_proba(codes[2])
            return Prediction(model.classes_[seen.argmax(1)], class_bits(seen, model.classes_, test[1]))
        centre, scale = float(train[1].mean()), float(train[1].std()) or 1.0
        model = cls(**options).fit(codes[0], (train[1] - centre) / scale)
        points = [model.predict(code) * scale + centre for code in codes[1:]]
    return _values(points[0], points[1], validation[1], test[1], scale)


def _stops(values: np.ndarray, categorical: bool) -> bool:
    """Return whether a share of the rows can be held out: it must be able to hold every class."""
    least = HELD_OUT * len(values)
    if not categorical:
        return bool(least >= 2)
    counts = np.unique(values, return_counts=True)[1]
    return bool(counts.min() >= 2 and least >= len(counts))


def _values(
    watched: np.ndarray, seen: np.ndarray, validation: np.ndarray, test: np.ndarray, scale: float
) -> Prediction:
    variance = floored(float(np.square(watched - validation).mean()), scale or 1.0)
    return Prediction(seen, value_bits(seen, test, variance))
