"""Records -> one tidy frame."""

from __future__ import annotations

from collections.abc import Container, Iterable
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
    "stale",
]
METRIC = ["name", "factor", "space", "home", "rows", "value", "chance", "ceiling", "direction", "n"]


def newest(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one record per cell, in order: of several (an older setting, say) the one that started last."""
    cells: dict[tuple[Any, ...], dict[str, Any]] = {}
    for record in sorted(records, key=lambda r: r["provenance"]["started"]):
        cells[_cell(record)] = record
    return [record for _, record in sorted(cells.items())]


def frame(records: Iterable[dict[str, Any]], stale: Container[str] = ()) -> pd.DataFrame:
    """Return one row per metric of every cell; a failed cell is one row with empty metric columns.

    Args:
        records: of runs.
        stale: run ids of finished ones whose code has changed since.
    """
    columns: dict[str, list[Any]] = {name: [] for name in (*CELL, *METRIC)}
    for record in newest(records):
        metrics = record["metrics"] or [{}]
        told = record["provenance"]
        trend = record.get("training", {}).get("trend")
        cell = *_cell(record), record["status"], record["error"], trend
        cell = *cell, told["wall_s"], told["cpu_s"], record["run_id"], record["run_id"] in stale
        for name, value in zip(CELL, cell, strict=True):
            columns[name] += [value] * len(metrics)
        for name in METRIC:
            columns[name] += [metric.get(name) for metric in metrics]
    return pd.DataFrame(columns)


def _cell(record: dict[str, Any]) -> tuple[Any, ...]:
    spec = record["spec"]
    dataset = record.get("dataset_label", spec["dataset"])
    return dataset, spec["source"], spec["tier"], record["label"], spec["seed"]
