"""What the salient code says where nothing is salient: on background rows (METHODS 8.3)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.linalg import svdvals
from scipy.stats import entropy
from sklearn.utils import check_array, check_consistent_length

from cabench.codes import Factor
from cabench.metrics.evidence import Evidence, Pair, Part, Rows
from cabench.metrics.probe import linear_probe, prior_bits, usable_information

FALSE_ALARMS = 0.05


def null_background_ratio(s: np.ndarray, y: np.ndarray) -> float:
    """Return E||s_b - E s_b||^2 / E||s_t - E s_t||^2: how much s moves on background, relative to target.

    In [0, inf), lower is better: 0 if every background image has the same salient code, about 1 if s takes no
    notice of y. A constant s takes none: it scores 1.

    Args:
        s: salient codes (n, d).
        y: 0 for background rows, 1 for target rows (n,).

    Raises:
        ValueError: s is not finite, a group has fewer than two rows, or s is constant on the target rows only.

    >>> null_background_ratio(np.array([[0.0], [2.0], [0.0], [4.0]]), np.array([0, 0, 1, 1]))
    0.25

    """
    groups = _groups(s, y)
    for group, what in zip(groups, ("background", "target"), strict=True):
        if len(group) < 2:
            raise ValueError(f"a spread needs two {what} rows, there are {len(group)}")
    background, target = (_spread(group) for group in groups)
    if target > 0:
        return background / target
    if background > 0:
        raise ValueError("the salient code varies on background rows and not on target rows: it has no ratio")
    return 1.0


def effective_rank(z: np.ndarray) -> float:
    """Return the effective rank of the covariance of a code: exp of the entropy of its normalised spectrum.

    In [1, min(d, n - 1)], neither direction is better: d if all units vary alike and uncorrelated, 1 if all rows
    stand on a line. A constant code spans nothing: 0. Source: Roy & Vetterli, EUSIPCO 2007, definition 1, with
    the covariance for its matrix, so the spectrum is of variances.

    Args:
        z: codes (n, d).

    Raises:
        ValueError: z is not finite, or has fewer than two rows.

    >>> round(effective_rank(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])), 6)
    2.0

    """
    z = check_array(z, dtype=np.float64, ensure_min_samples=2, input_name="z")
    z = z[:, np.ptp(z, axis=0) > 0]
    if not z.shape[1]:
        return 0.0
    # Squared singular values of the centred code are the eigenvalues of its covariance, times n.
    deviations = svdvals(z - z.mean(0))
    return math.exp(entropy(np.square(deviations / deviations.max())))


def detection_rate(
    train_s: np.ndarray,
    train_y: np.ndarray,
    test_s: np.ndarray,
    test_y: np.ndarray,
    false_alarms: float = FALSE_ALARMS,
) -> dict[str, float]:
    """Call an image a target if its s is far from the background's, and count how often that is right.

    The distance is ||s - mu_b||, mu_b the mean of the background rows of train. The alarm is raised above the
    distance that a share `false_alarms` of these rows exceeds; labels of target rows are not used.

    Args:
        train_s: salient codes (n, d) whose background rows set mean and threshold.
        train_y: 0 for background rows, 1 for target rows (n,).
        test_s: salient codes (m, d) that are scored.
        test_y: the same as train_y for test (m,).
        false_alarms: the share of train's background rows that may raise an alarm, in (0, 1).

    Returns:
        detection_rate: the share of test's target rows that raise an alarm, in [0, 1], higher is better; about
        `false_alarms` is chance, and a constant code never raises one.
        false_alarm_rate: the share of test's background rows that do; above `false_alarms` the threshold did
        not carry over.

    Raises:
        ValueError: a code is not finite, the units of train and test differ, test lacks a group, or train has
            fewer than 1 / false_alarms background rows.

    >>> train, test = np.linspace(-1, 1, 40)[:, None], np.array([[0.0], [0.5], [3.0], [0.1]])
    >>> detection_rate(train, np.zeros(40, int), test, np.array([0, 0, 1, 1]))
    {'detection_rate': 0.5, 'false_alarm_rate': 0.0}

    """
    if not 0 < false_alarms < 1:
        raise ValueError(f"false_alarms must lie between 0 and 1, not {false_alarms}")
    reference = _groups(train_s, train_y)[0]
    background, target = _groups(test_s, test_y)
    if reference.shape[1] != background.shape[1]:
        raise ValueError(f"train codes have {reference.shape[1]} units, test codes {background.shape[1]}")
    if len(reference) * false_alarms < 1:
        raise ValueError(
            f"{false_alarms:.0%} false alarms cannot be set on {len(reference)} background rows of train: "
            f"give {math.ceil(1 / false_alarms)} or more"
        )
    if not len(background) or not len(target):
        raise ValueError("test needs background rows and target rows")
    centre = reference.mean(0)
    distances = [np.linalg.norm(group - centre, axis=1) for group in (reference, background, target)]
    # An observed distance, so that no more than the allowed share exceeds it.
    threshold = np.quantile(distances[0], 1 - false_alarms, method="inverted_cdf")
    false_alarm_rate, detected = (float((distance > threshold).mean()) for distance in distances[1:])
    return {"detection_rate": detected, "false_alarm_rate": false_alarm_rate}


def measure(evidence: Evidence) -> Rows:
    """Yield what s does on background rows, and how many bits of each common factor it holds there."""
    train, test = evidence.train, evidence.test
    s = test.codes.salient
    here: dict[str, Any] = {"space": "salient", "rows": "background", "n": int(np.sum(test.y == 0))}
    if np.ptp(s[test.y == 1], axis=0).any() or not np.ptp(s[test.y == 0], axis=0).any():
        yield evidence.row("null_background_ratio", null_background_ratio(s, test.y), **here, chance=1.0)
    yield evidence.row("background_rank", effective_rank(s[test.y == 0]), **here)
    if np.sum(train.y == 0) * FALSE_ALARMS >= 1:
        found = detection_rate(train.codes.salient, train.y, s, test.y)
        yield evidence.row("detection_rate", found["detection_rate"], **here | {"rows": "all"}, chance=FALSE_ALARMS)
        yield evidence.row("false_alarm_rate", found["false_alarm_rate"], **here, chance=FALSE_ALARMS)
    for factor in evidence.factors:
        if factor.home == "common" and _varies(evidence, factor):
            yield evidence.row("background_bits", _bits(evidence, factor), factor, **here, chance=0.0)


def _labelled(part: Part, factor: Factor) -> np.ndarray:
    """Return the background rows (n,) whose label is known, also of a factor that is probed on target rows."""
    known: np.ndarray = (part.y == 0) & ~np.isnan(part.labels[factor.name])
    return known


def _varies(evidence: Evidence, factor: Factor) -> bool:
    """Return whether background images differ in a factor, and every part has some that are labelled."""
    values = [part.values(factor, _labelled(part, factor)) for part in evidence.parts]
    return all(len(found) for found in values) and bool(np.ptp(values[0]) > 0)


def _bits(evidence: Evidence, factor: Factor) -> float:
    """Return the usable information of s about a factor on background rows, for a linear probe."""

    def pair(part: Part) -> Pair:
        rows = _labelled(part, factor)
        return part.codes.salient[rows], part.values(factor, rows)

    train, validation, test = (pair(part) for part in evidence.parts)
    prior = prior_bits(train[1], validation[1], test[1], bool(factor.classes))
    return usable_information(prior, linear_probe(train, validation, test, bool(factor.classes)))


def _groups(s: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the background rows and the target rows of s, checked."""
    s = check_array(s, dtype=np.float64, input_name="s")
    y = np.asarray(y)
    check_consistent_length(s, y)
    if y.ndim != 1 or not np.isin(y, (0, 1)).all():
        raise ValueError(f"y must hold 0 or 1 for each of the {len(s)} rows")
    return s[y == 0], s[y == 1]


def _spread(z: np.ndarray) -> float:
    # Seen from a row, not from 0: a constant code then has no spread at all, rounding included.
    return float((z - z[0]).var(0).sum())
