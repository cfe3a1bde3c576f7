"""Records -> one tidy frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

CELL = [
    "dataset",
    "source",
    "tier",
    "method",
    "seed",
    "status",
    "error",
    "trend",
    "wall_s",
    "cpu_s",
    "run_id",
]
METRIC = ["name", "factor", "space", "home", "rows", "value", "chance", "ceiling", "direction", "n"]


def newest(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one record per cell, in order: of several (an older setting, say) the one that started last."""
    cells: dict[tuple[Any, ...], dict[str, Any]] = {}
    for record in sorted(records, key=lambda r: r["provenance"]["started"]):
        cells[_cell(record)] = record
    return [record for _, record in sorted(cells.items())]


def frame(records: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return one row per metric of every cell; a failed cell is one row with empty metric columns."""
    rows = []
    for record in newest(records):
        dataset, source, tier, label, seed = _cell(record)
        cell = {
            "dataset": dataset,
            "source": source,
            "tier": tier,
            "method": label,
            "seed": seed,
            "status": record["status"],
            "error": record["error"],
            "trend": record.get("training", {}).get("trend"),
            "wall_s": record["provenance"]["wall_s"],
            "cpu_s": record["provenance"]["cpu_s"],
            "run_id": record["run_id"],
        }
        rows += [cell | metric for metric in record["metrics"]] or [cell]
    return pd.DataFrame(rows, columns=[*CELL, *METRIC])


def _cell(record: dict[str, Any]) -> tuple[Any, ...]:
    spec = record["spec"]
    dataset = record.get("dataset_label", spec["dataset"])
    return dataset, spec["source"], spec["tier"], record["label"], spec["seed"]
