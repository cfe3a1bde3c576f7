"""Evidence -> the metric rows of a record, family by family."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from cabench.codes import Codes, Splits
from cabench.metrics.evidence import PARTS, Ceilings, Evidence, Part, Row


def evidence(codes: Mapping[str, Codes], splits: Splits, ceilings: Ceilings | None = None, **more: Any) -> Evidence:
    """Return what the metrics may see: "train", "validation", "test" -> the split's codes, with its labels."""
    train, validation, test = (Part.of(getattr(splits, part), codes[part]) for part in PARTS)
    return Evidence(splits.factors, train, validation, test, ceilings or {}, **more)


def evaluate_families(seen: Evidence, families: Iterable[str]) -> list[Row]:
    """Return the rows of the families of metrics, each with its family's name."""
    rows = []
    for family in families:
        module = importlib.import_module(f"cabench.metrics.{family}")
        rows += [row | {"family": family} for row in module.measure(seen)]
    return rows


def home_scores(rows: Iterable[Row]) -> dict[tuple[str, str], float]:
    """Return (factor, metric) -> score in the factor's home space: a ceiling, if the codes were supervised."""
    return {
        (row["factor"], row["name"]): row["value"] for row in rows if row["factor"] and row["space"] == row["home"]
    }
