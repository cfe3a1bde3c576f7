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


def frame(records: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return one row per metric of every record; a failed cell is one row with empty metric columns.

    Of several records of one cell (an older setting, say) the one that started last counts.
    """
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for record in sorted(records, key=lambda r: r["provenance"]["started"]):
        spec = record["spec"]
        newest[
            (
                record.get("dataset_label", spec["dataset"]),
                spec["source"],
                spec["tier"],
                record["label"],
                spec["seed"],
            )
        ] = record
    rows = []
    for (dataset, source, tier, label, seed), record in sorted(newest.items()):
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
