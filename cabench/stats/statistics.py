"""Scores of predictions, with what each row adds to them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cabench.stats.basics import Array

# Truth (rows,) and predictions (seeds, rows) -> one score per seed (seeds,), and its influences (seeds, rows): its
# derivative with respect to each row's weight, all weights being 1.
Statistic = Callable[[Array, Array], tuple[Array, Array]]


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
