"""Linear probes: how well a factor is read from a code, and the separation scores made of that."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, balanced_accuracy_score, mean_absolute_error, r2_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from cabench.codes import SPACES, Factor
from cabench.metrics.evidence import PREDICTED, Evidence, Pair, Part, Row, Rows
from cabench.metrics.separation import separation

INVERSE_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)
RIDGE_PENALTIES = (1e-3, 1e-1, 1e1, 1e2, 1e3)
# The share of a probability that goes to all classes alike: one that a probe never saw costs bits, not infinity.
SMOOTHING = 1e-3


@dataclass(frozen=True)
class Prediction:
    """What a probe says of the test rows.

    Attributes:
        point: the class or the value (n,) that it reads; classes by the probe of the best balanced accuracy on
            validation, values by that of the least squared error.
        bits: -log2 of the probability, or of the density per unit of the factor, that it gives to the truth (n,);
            from the probe of the fewest bits on validation.
    """

    point: np.ndarray
    bits: np.ndarray


# (train, validation, test, categorical) -> what it says of test.
Probe = Callable[[Pair, Pair, Pair, bool], Prediction]


def linear_probe(train: Pair, validation: Pair, test: Pair, categorical: bool) -> Prediction:
    """Fit on train, choose the penalty on validation, predict test (METHODS 5.1).

    Args:
        train: a code (n, d) with the factor's values (n,); no NaN.
        validation: the same for the rows that choose the penalty.
        test: the same for the rows that are predicted.
        categorical: multinomial logistic regression if true, ridge regression if not.

    Raises:
        ValueError: a part has no rows, or a categorical factor has one class only in train.

    >>> z = np.repeat([[0.0], [1.0]], 20, axis=0); t = np.repeat([0, 1], 20)
    >>> scores(t, linear_probe((z, t), (z, t), (z, t), categorical=True), True)["accuracy"]
    1.0

    """
    codes = standardised(train, validation, test, categorical)
    fit = _logistic if categorical else _ridge
    # One BLAS thread: more only fight over small matrices.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit(codes, train[1], validation[1], test[1])


def standardised(train: Pair, validation: Pair, test: Pair, categorical: bool) -> list[np.ndarray]:
    """Return the three codes, each column with mean 0 and variance 1 on train (a constant one stays 0).

    Raises:
        ValueError: a part has no rows, or a categorical factor has one class only in train.
    """
    if min(len(train[1]), len(validation[1]), len(test[1])) == 0:
        raise ValueError("a probe needs rows in train, validation and test")
    if categorical and len(np.unique(train[1])) < 2:
        raise ValueError("a categorical probe needs two classes in train")
    scaler = StandardScaler().fit(train[0].astype(np.float64))
    return [scaler.transform(part[0].astype(np.float64)) for part in (train, validation, test)]


def scores(truth: np.ndarray, prediction: Prediction, categorical: bool) -> dict[str, float]:
    """Return balanced_accuracy and accuracy, or r2 and mae (in the factor's unit), of values (n,)."""
    point = prediction.point
    if categorical:
        return {"balanced_accuracy": balanced(truth, point), "accuracy": float(accuracy_score(truth, point))}
    # Of equal values nothing can be explained; scikit-learn's convention there is 1 for a perfect guess.
    r2 = float(r2_score(truth, point)) if np.ptp(truth) > 0 else 0.0
    return {"r2": r2, "mae": float(mean_absolute_error(truth, point))}


def balanced(truth: np.ndarray, point: np.ndarray) -> float:
    """Return the balanced accuracy over the classes that occur in `truth` (n,)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
        return float(balanced_accuracy_score(truth, point))


def chance(train: np.ndarray, test: np.ndarray, categorical: bool, classes: int) -> dict[str, float]:
    """Return what a probe scores on a code that says nothing, given the values (n,) of the factor."""
    if categorical:
        share = float(np.bincount(test.astype(int)).max() / len(test))
        return {"balanced_accuracy": 1.0 / classes, "accuracy": share}
    return {"r2": 0.0, "mae": float(np.abs(test - np.median(train)).mean())}


def class_bits(probabilities: np.ndarray, classes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return -log2 of the smoothed probability of the true classes.

    Args:
        probabilities: of the classes that a probe knows (n, k).
        classes: which they are (k,), in order.
        truth: the true classes (n,); one that is not among them has what smoothing leaves.
    """
    place = np.searchsorted(classes, truth).clip(max=len(classes) - 1)
    known = classes[place] == truth
    p = np.where(known, probabilities[np.arange(len(truth)), place], 0.0)
    bits: np.ndarray = -np.log2((1 - SMOOTHING) * p + SMOOTHING / len(classes))
    return bits


def value_bits(point: np.ndarray, truth: np.ndarray, variance: float) -> np.ndarray:
    """Return -log2 of the Gaussian density of true values (n,) about the points (n,)."""
    nats = 0.5 * (np.square(truth - point) / variance + np.log(2 * np.pi * variance))
    bits: np.ndarray = nats / np.log(2)
    return bits


def prior_bits(train: np.ndarray, validation: np.ndarray, test: np.ndarray, categorical: bool) -> np.ndarray:
    """Return the code length of test values (n,) for someone who sees no code: by frequencies, or a Gaussian.

    >>> prior_bits(np.array([0, 1]), np.array([0]), np.array([0, 1, 1]), True).round(6).tolist()
    [1.0, 1.0, 1.0]
    """
    if categorical:
        classes, counts = np.unique(train, return_counts=True)
        return class_bits(np.tile(counts / len(train), (len(test), 1)), classes, test)
    variance = floored(float(np.square(validation - train.mean()).mean()), float(train.std()) or 1.0)
    return value_bits(np.full(len(test), train.mean()), test, variance)


def usable_information(prior: np.ndarray, prediction: Prediction) -> float:
    """Return H_V(f) - H_V(f | z) in bits, at least 0 (Xu et al., ICLR 2020, definition 2).

    Args:
        prior: bits per test row (n,) without the code.
        prediction: of a probe that sees it; where it loses to the prior it could have ignored its input.
    """
    return max(0.0, float(prior.mean() - prediction.bits.mean()))


def _logistic(codes: list[np.ndarray], train: np.ndarray, validation: np.ndarray, test: np.ndarray) -> Prediction:
    point, bits, best, fewest = test, np.empty(0), -np.inf, np.inf
    model = LogisticRegression(max_iter=300, warm_start=True)
    for penalty in INVERSE_PENALTIES:
        model.set_params(C=penalty).fit(codes[0], train)
        watched, seen = (model.predict_proba(code) for code in codes[1:])
        score = balanced(validation, model.classes_[watched.argmax(1)])
        if score > best:
            point, best = model.classes_[seen.argmax(1)], score
        length = float(class_bits(watched, model.classes_, validation).mean())
        if length < fewest:
            bits, fewest = class_bits(seen, model.classes_, test), length
    return Prediction(point, bits)


def _ridge(codes: list[np.ndarray], train: np.ndarray, validation: np.ndarray, test: np.ndarray) -> Prediction:
    centre, scale = float(train.mean()), float(train.std()) or 1.0
    point, least = test, np.inf
    for penalty in RIDGE_PENALTIES:
        model = Ridge(alpha=penalty).fit(codes[0], (train - centre) / scale)
        error = float(np.square(model.predict(codes[1]) * scale + centre - validation).mean())
        if error < least:
            point, least = model.predict(codes[2]) * scale + centre, error
    return Prediction(point, value_bits(point, test, floored(least, scale)))


def floored(variance: float, scale: float) -> float:
    """Return the variance of a Gaussian code: at least that of an error of a thousandth of the factor's spread."""
    return max(variance, (1e-3 * scale) ** 2)


def measure(evidence: Evidence) -> Rows:
    """Yield the scores of both codes for every factor, then what they say together.

    A foreign code's row carries `confounded`: what the same probe reads from the true factors of that space.
    A headline row carries the points of the test rows.
    """
    rows: list[Row] = []
    for factor in evidence.factors:
        for space in SPACES:
            parts = evidence.probed(factor, space)
            guesses = chance(parts[0][1], parts[2][1], bool(factor.classes), len(factor.classes or ()))
            prediction = linear_probe(*parts, categorical=bool(factor.classes))
            ideal = confounded(evidence, factor) if space != factor.home else {}
            for name, value in scores(parts[2][1], prediction, bool(factor.classes)).items():
                row = evidence.row(name, value, factor, space=space, chance=guesses[name], n=len(parts[2][1]))
                row["confounded"] = ideal.get(name)
                rows.append(row | ({PREDICTED: prediction.point} if name == factor.metric else {}))
    yield from rows
    for name, score in separation(rows, evidence.factors).items():
        if score is not None:
            yield evidence.row(name, score)


def confounded(evidence: Evidence, factor: Factor, probe: Probe = linear_probe) -> dict[str, float]:
    """Return what a probe reads of a factor from the true factors of the other space (METHODS 5.2).

    A perfect code of that space knows as much without any leakage. Empty if that space has no factors.

    Args:
        evidence: holds the labels.
        factor: what is read.
        probe: the one that reads it from the codes.
    """
    others = [
        other for other in evidence.factors if other.home != factor.home and _known(evidence.train, factor, other)
    ]

    def pair(part: Part) -> Pair:
        rows = part.rows(factor)
        return attributes(part.labels, others, rows), part.values(factor, rows)

    train, validation, test = (pair(part) for part in evidence.parts)
    if not train[0].shape[1]:
        return {}
    prediction = probe(train, validation, test, bool(factor.classes))
    return scores(test[1], prediction, bool(factor.classes))


def _known(part: Part, factor: Factor, other: Factor) -> bool:
    """Return whether the other space can know another factor's values on all rows on which a factor is probed.

    A salient code sees whether its own factors are there. A common code does not see the group: a factor without
    values in one of the groups would tell them apart by its gaps, which no code may.
    """
    if other.home == "salient":
        return True
    rows = part.rows(factor)
    missing = np.isnan(part.labels[other.name])
    return not any(missing[rows & (part.y == group)].all() for group in np.unique(part.y[rows]))


def attributes(labels: Mapping[str, np.ndarray], factors: Iterable[Factor], rows: np.ndarray) -> np.ndarray:
    """Return the true factors as a code (n, k): a column per class or value, and one for what is missing."""
    columns = []
    for factor in factors:
        values = labels[factor.name][rows]
        missing = np.isnan(values)
        filled = np.where(missing, 0.0, values)
        if factor.classes:
            columns += [(filled == k) & ~missing for k in range(len(factor.classes))]
        else:
            columns.append(filled)
        columns.append(missing)
    return np.stack(columns, 1).astype(float) if columns else np.empty((int(rows.sum()), 0))
