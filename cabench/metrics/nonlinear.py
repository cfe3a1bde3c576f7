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
SEED = 0


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
    codes = standardised(train, validation, test, categorical)
    options = {"hidden_layer_sizes": (HIDDEN,), "early_stopping": True, "learning_rate_init": 3e-3,
               "n_iter_no_change": 5, "max_iter": 100, "random_state": SEED}  # fmt: skip
    return _fitted(MLPClassifier if categorical else MLPRegressor, options, codes, train, validation, test)


def tree_probe(train: Pair, validation: Pair, test: Pair, categorical: bool) -> Prediction:
    """Read a factor by boosted trees, stopped early on a tenth of the training rows.

    Takes, gives and raises what `linear_probe` does.
    """
    codes = standardised(train, validation, test, categorical)
    options = {"max_iter": 60, "max_leaf_nodes": 15, "learning_rate": 0.15, "early_stopping": True,
               "n_iter_no_change": 5, "max_bins": 63, "random_state": SEED}  # fmt: skip
    cls = HistGradientBoostingClassifier if categorical else HistGradientBoostingRegressor
    return _fitted(cls, options, codes, train, validation, test)


PROBES = {"linear": linear_probe, "knn": knn_probe, "mlp": mlp_probe, "trees": tree_probe}


def _fitted(
    cls: Any, options: dict[str, Any], codes: list[np.ndarray], train: Pair, validation: Pair, test: Pair
) -> Prediction:
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


def _values(
    watched: np.ndarray, seen: np.ndarray, validation: np.ndarray, test: np.ndarray, scale: float
) -> Prediction:
    variance = floored(float(np.square(watched - validation).mean()), scale or 1.0)
    return Prediction(seen, value_bits(seen, test, variance))
