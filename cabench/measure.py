"""From a fitted method, or the codes that its run has kept, to rows of metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cabench.codes import SPACES, Codes, Splits
from cabench.codes_file import CODES_FILE, kept, read_codes
from cabench.metrics.catalogue import FAMILIES, families
from cabench.metrics.evaluate import evaluate_families, evidence
from cabench.metrics.evidence import PARTS, PREDICTED, Ceilings, Evidence, Swaps
from cabench.spec import RunSpec
from cabench.store import Record, Store
from cabench.swaps import swap_images


def outdated(record: Record, wanted: Sequence[str]) -> list[str]:
    """Return the families of metrics that a record lacks, or holds in an older version."""
    return [name for name in wanted if record["families"].get(name) != FAMILIES[name].version]


def measure_again(record: Record, store: Store, chosen: Sequence[str], method: type, dataset: type) -> Record:
    """Compute families of metrics from what a finished cell has kept, and write its record.

    Args:
        record: of the cell.
        store: where it lies.
        chosen: the families.
        method: the cell's class of method; its model is read if images are to be drawn.
        dataset: the cell's class of data set; it renders if images are to be drawn.

    Raises:
        UserError: codes or model are missing or damaged.

    """
    from cabench.model_file import MODEL_FILE, read_model

    spec = RunSpec(**record["spec"])
    folder = store.folder(record["run_id"])
    codes = read_codes(folder / CODES_FILE)
    ceilings = {(row["factor"], row["name"]): row["ceiling"] for row in record["metrics"]}
    scale = {key: value for key, value in ceilings.items() if value is not None}

    def swaps() -> Swaps | None:
        if not hasattr(method, "swap"):
            return None
        fitted = read_model(folder / MODEL_FILE, method(**spec.params))
        return swap_images(fitted, dataset(**spec.dataset_params), spec)

    seen = replace(codes, ceilings=scale, cost=record["cost"], swaps=swaps)
    others = [row for row in record["metrics"] if row["family"] not in chosen]
    record = record | {
        "metrics": others + kept(evaluate_families(seen, chosen), folder),
        "families": record["families"] | {name: FAMILIES[name].version for name in chosen},
    }
    store.write(record)
    return record


def check_codes(codes: Any, n: int) -> Codes:
    """Return the codes if they are finite float arrays with one row per image.

    Raises:
        ValueError: says what is wrong with them.

    """
    if not isinstance(codes, Codes):
        raise ValueError(f"embed must return Codes, not {type(codes).__name__}")
    for space in SPACES:
        code = codes[space]
        if not isinstance(code, np.ndarray) or code.ndim != 2 or len(code) != n or code.shape[1] == 0:
            raise ValueError(f"the {space} code must have shape ({n}, d), not {getattr(code, 'shape', type(code))}")
        if not np.issubdtype(code.dtype, np.floating) or not np.isfinite(code).all():
            raise ValueError(f"the {space} code holds values that are not finite numbers")
    return codes


def look(method: Any, splits: Splits, ceilings: Ceilings | None = None, **more: Any) -> Evidence:
    """Embed the three splits with a fitted method and return what the metrics may see.

    Raises:
        ValueError: the codes are not what a method must give.

    """
    codes = {}
    for part in PARTS:
        split = getattr(splits, part)
        codes[part] = check_codes(method.embed(split.x), len(split))
    return evidence(codes, splits, ceilings, **more)


def measure(
    method: Any, splits: Splits, ceilings: Ceilings | None = None, metrics: str = "core"
) -> list[dict[str, Any]]:
    """Embed the three splits with a fitted method and return the metric rows."""
    rows = evaluate_families(look(method, splits, ceilings), families(metrics))
    return [{name: value for name, value in row.items() if name != PREDICTED} for row in rows]
