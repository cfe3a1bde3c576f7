"""Codes of three splits -> the metric rows of a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cabench.codes import SPACES, Codes, Factor, Split, Splits
from cabench.metrics.catalogue import METRICS
from cabench.metrics.probe import chance, linear_probe
from cabench.metrics.separation import separation

Ceilings = Mapping[tuple[str, str], float]


def evaluate_codes(
    codes: Mapping[str, Codes], splits: Splits, ceilings: Ceilings | None = None
) -> list[dict[str, Any]]:
    """Probe both codes for every factor and summarise.

    Args:
        codes: "train", "validation", "test" -> the split's codes, row by row.
        splits: the images' labels.
        ceilings: (factor, metric) -> the supervised score; rows carry None where it is missing.

    Returns:
        Rows with name, factor, space, rows, value, chance, ceiling, direction, n, home. The summary
        rows (info, leak, ...) have factor and space None.

    """
    ceilings = ceilings or {}
    rows = []
    for factor in splits.factors:
        targets = {part: _values(getattr(splits, part), factor) for part in ("train", "validation", "test")}
        guesses = chance(targets["train"][1], targets["test"][1], bool(factor.classes), len(factor.classes or ()))
        for space in SPACES:
            train, validation, test = (
                (codes[part][space][keep], values) for part, (keep, values) in targets.items()
            )
            for name, value in linear_probe(train, validation, test, bool(factor.classes)).items():
                rows.append(
                    {
                        "name": name,
                        "factor": factor.name,
                        "space": space,
                        "home": factor.home,
                        "rows": factor.rows,
                        "value": value,
                        "chance": guesses[name],
                        "ceiling": ceilings.get((factor.name, name)),
                        "direction": METRICS[name].direction,
                        "n": len(targets["test"][1]),
                    }
                )
    n = len(splits.test)
    for name, score in separation(rows, splits.factors).items():
        if score is not None:
            rows.append(_summary(name, score, n))
    return rows


def home_scores(rows: list[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """Return (factor, metric) -> score in the factor's home space: a ceiling, if the codes were supervised."""
    return {
        (row["factor"], row["name"]): row["value"] for row in rows if row["factor"] and row["space"] == row["home"]
    }


def _summary(name: str, value: float, n: int) -> dict[str, Any]:
    empty = {"factor": None, "space": None, "home": None, "rows": "all", "chance": None, "ceiling": None}
    return {"name": name, "value": value, "direction": METRICS[name].direction, "n": n, **empty}


def _values(split: Split, factor: Factor) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows on which a factor is probed, and its values there; missing labels are left out."""
    column = split.labels[factor.name]
    keep = factor.mask(split.y) & ~np.isnan(column)
    values = column[keep]
    return keep, values.astype(np.int64) if factor.classes else values
