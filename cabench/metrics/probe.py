"""Linear probes: how well a factor is read from a code."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, balanced_accuracy_score, mean_absolute_error, r2_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

INVERSE_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)
RIDGE_PENALTIES = (1e-3, 1e-1, 1e1, 1e2, 1e3)

Part = tuple[np.ndarray, np.ndarray]


def linear_probe(train: Part, validation: Part, test: Part, categorical: bool) -> dict[str, float]:
    """Fit on train, choose the penalty on validation, score on test (METHODS 5.1).

    Args:
        train: a code (n, d) with the factor's values (n,); no NaN.
        validation: the same for the rows that choose the penalty.
        test: the same for the rows that are scored.
        categorical: multinomial logistic regression if true, ridge regression if not.

    Returns:
        balanced_accuracy and accuracy, or r2 and mae (in the factor's unit).

    Raises:
        ValueError: a part has no rows, or a categorical factor has one class only in train.

    >>> z = np.repeat([[0.0], [1.0]], 20, axis=0); t = np.repeat([0, 1], 20)
    >>> linear_probe((z, t), (z, t), (z, t), categorical=True)["accuracy"]
    1.0

    """
    if min(len(train[1]), len(validation[1]), len(test[1])) == 0:
        raise ValueError("a probe needs rows in train, validation and test")
    scaler = StandardScaler().fit(train[0].astype(np.float64))
    codes = [scaler.transform(part[0].astype(np.float64)) for part in (train, validation, test)]
    if not categorical:
        centre, scale = float(train[1].mean()), float(train[1].std()) or 1.0
        return _ridge(codes, train[1], validation[1], test[1], centre, scale)
    if len(np.unique(train[1])) < 2:
        raise ValueError("a categorical probe needs two classes in train")
    return _logistic(codes, train[1], validation[1], test[1])


def chance(train: np.ndarray, test: np.ndarray, categorical: bool, classes: int) -> dict[str, float]:
    """Return what a probe scores on a code that says nothing, given the values (n,) of the factor."""
    if categorical:
        share = float(np.bincount(test.astype(int)).max() / len(test))
        return {"balanced_accuracy": 1.0 / classes, "accuracy": share}
    return {"r2": 0.0, "mae": float(np.abs(test - np.median(train)).mean())}


def _logistic(
    codes: list[np.ndarray], train: np.ndarray, validation: np.ndarray, test: np.ndarray
) -> dict[str, float]:
    best, best_score = test, -np.inf
    model = LogisticRegression(max_iter=300, warm_start=True)
    # One BLAS thread: more only fight over small matrices.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for penalty in INVERSE_PENALTIES:
            model.set_params(C=penalty).fit(codes[0], train)
            score = _balanced(validation, model.predict(codes[1]))
            if score > best_score:
                best, best_score = model.predict(codes[2]), score
    return {"balanced_accuracy": _balanced(test, best), "accuracy": float(accuracy_score(test, best))}


def _balanced(truth: np.ndarray, predicted: np.ndarray) -> float:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
        return float(balanced_accuracy_score(truth, predicted))


def _ridge(
    codes: list[np.ndarray],
    train: np.ndarray,
    validation: np.ndarray,
    test: np.ndarray,
    centre: float,
    scale: float,
) -> dict[str, float]:
    best, best_score = test, np.inf
    with threadpool_limits(1):
        for penalty in RIDGE_PENALTIES:
            model = Ridge(alpha=penalty).fit(codes[0], (train - centre) / scale)
            error = float(np.square(model.predict(codes[1]) * scale + centre - validation).mean())
            if error < best_score:
                best, best_score = model.predict(codes[2]) * scale + centre, error
    return {"r2": float(r2_score(test, best)), "mae": float(mean_absolute_error(test, best))}
