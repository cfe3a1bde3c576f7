"""Usable information: how many bits of a factor probes read from a code, and how simply (METHODS 8.2)."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from cabench.codes import SPACES, Factor, Space
from cabench.metrics.evidence import Evidence, Pair, Probed, Row, Rows
from cabench.metrics.nonlinear import PROBES
from cabench.metrics.probe import (
    chance,
    class_bits,
    confounded,
    prior_bits,
    scores,
    standardised,
    usable_information,
)
from cabench.metrics.separation import separation

# Shares of the training rows after which the online code is refitted (Voita and Titov, 2020).
SHARES = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0)


def compression(train: Pair, seed: int = 0) -> float:
    """Return uniform code length / online code length of classes, given a code (Voita and Titov, EMNLP 2020).

    The rows are sent in blocks; a linear probe trained on all earlier blocks codes the next. 1 or less: the code
    does not help. A probe that needs many examples pays for them.

    Args:
        train: a code (n, d) and classes (n,).
        seed: of the order in which the rows are sent.

    Raises:
        ValueError: fewer than 20 rows, or one class only.
    """
    if len(train[1]) < 20:
        raise ValueError("an online code needs at least 20 rows")
    code = standardised(train, train, train, categorical=True)[0]
    order = np.random.default_rng(seed).permutation(len(code))
    code, values = code[order], train[1][order]
    classes = np.unique(values)
    ends = sorted({max(1, round(share * len(code))) for share in SHARES})
    uniform = np.log2(len(classes))
    length = ends[0] * uniform
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for start, end in pairwise(ends):
            length += float(_online_bits(code, values, classes, start, end).sum())
    return float(len(code) * uniform / length)


def _online_bits(code: np.ndarray, values: np.ndarray, classes: np.ndarray, start: int, end: int) -> np.ndarray:
    """Return the bits of rows start to end from a probe of the rows before, mixed with a uniform guess."""
    known = np.unique(values[:start])
    table = np.zeros((end - start, len(classes)))
    if len(known) == 1:
        table[:, np.searchsorted(classes, known[0])] = 1.0
    else:
        model = LogisticRegression(max_iter=300).fit(code[:start], values[:start])
        table[:, np.searchsorted(classes, known)] = model.predict_proba(code[start:end])
    # After few rows a class may not have occurred yet: the mixture, ever weaker, keeps its price finite.
    doubt = len(classes) / (start + len(classes))
    return class_bits((1 - doubt) * table + doubt / len(classes), classes, values[start:end])


def measure(evidence: Evidence) -> Rows:
    """Yield every probe's score, the largest usable information, and separation with the worst leak over probes."""
    strongest: list[Row] = []
    for factor in evidence.factors:
        for space in SPACES:
            parts = evidence.probed(factor, space)
            rows, best = _probed(evidence, factor, space, parts)
            yield from rows
            strongest.append(best)
            if factor.classes:
                yield evidence.row("compression", compression(parts[0]), factor, space=space, chance=1.0)
    summary = separation(strongest, evidence.factors)
    for name in ("info", "leak", "CAscore"):
        value = summary[name]
        if value is not None:
            yield evidence.row(f"{name}_max", value)


def _probed(evidence: Evidence, factor: Factor, space: Space, parts: Probed) -> tuple[list[Row], Row]:
    """Return the rows of a factor and code, and a headline row that holds the best probe's score."""
    categorical, truth = bool(factor.classes), parts[2][1]
    prior = prior_bits(parts[0][1], parts[1][1], truth, categorical)
    here: dict[str, Any] = {"space": space, "n": len(truth)}
    guess = chance(parts[0][1], truth, categorical, len(factor.classes or ()))[factor.metric]
    ceiling = evidence.ceilings.get((factor.name, factor.metric))
    rows, reached, bits = [], [], []
    for name, probe in PROBES.items():
        prediction = probe(*parts, categorical=categorical)
        reached.append(scores(truth, prediction, categorical)[factor.metric])
        bits.append(usable_information(prior, prediction))
        if name != "linear":  # that one is the family `probe`
            row = evidence.row(f"{factor.metric}_{name}", reached[-1], factor, **here)
            rows.append(row | {"chance": guess, "ceiling": ceiling})
    rows.append(evidence.row("usable_bits", max(bits), factor, **here, chance=0.0))
    excused = None
    if space != factor.home:
        # Codes are read by the best of all probes, so what is excused is too.
        given = [confounded(evidence, factor, probe).get(factor.metric) for probe in PROBES.values()]
        excused = max((score for score in given if score is not None), default=None)
    best = {"name": factor.metric, "factor": factor.name, "space": space, "value": max(reached)}
    return rows, best | {"chance": guess, "ceiling": ceiling, "confounded": excused}
