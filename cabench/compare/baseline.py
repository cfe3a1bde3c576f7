"""What is compared: plain scores per cell and seed, of a baseline file or of a results folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cabench import provenance
from cabench.errors import UserError
from cabench.fingerprint import of_names, stale
from cabench.report.frame import newest
from cabench.stats import LEAST_SEEDS
from cabench.store import Record, Store, read_json, write_text

BASELINE_VERSION = 1
Kind = Literal["scores", "speed"]
MADE = ("reason", "date", "commit")
SLOWNESS = "slowness"  # CPU-seconds of a cell over those of the yardstick


class Cell(NamedTuple):
    """A method on a data set, as tables name them."""

    method: str
    dataset: str
    source: str
    tier: str


Values = dict[str, dict[int, float]]  # metric -> seed -> value


@dataclass(frozen=True)
class Scores:
    """Scores of some cells.

    Attributes:
        cells: what each cell scored; a metric is there if it is one number per run.
        flaws: cell -> why its scores do not count.
        notes: sentences about files that could not be read.
        made: of a baseline: reason, date, commit.
    """

    cells: dict[Cell, Values]
    flaws: Mapping[Cell, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    made: Mapping[str, Any] = field(default_factory=dict)


def read_results(store: Store, kind: Kind) -> Scores:
    """Return the scores, or the slowness, of a results folder.

    Raises:
        UserError: there are no records.
    """
    records, notes = store.scan()
    if not records:
        told = " ".join(["", *notes])
        raise UserError(
            f"There are no records in {store.root}; run `cabench run` first or name another --results.{told}"
        )
    cells: dict[Cell, Values] = {}
    flaws: dict[Cell, str] = {}
    for record in newest(records):
        cell = _cell(record)
        if flaw := _flaw(record, kind):
            flaws.setdefault(cell, flaw)
            continue
        for metric, value in _values(record, kind).items():
            cells.setdefault(cell, {}).setdefault(metric, {})[record["spec"]["seed"]] = value
    return Scores(cells, flaws, notes)


def read_baseline(path: Path, kind: Kind) -> Scores:
    """Return a baseline file's scores.

    Raises:
        UserError: it is missing, damaged, of another kind or of another version.
    """
    make = "`--update --reason ...` makes one from the results"
    try:
        content = read_json(path)
    except OSError as error:
        raise UserError(f"The baseline {path} cannot be read ({error.strerror}); {make}.") from error
    except ValueError as error:
        raise UserError(f"The baseline {path} cannot be read: {error}; {make}.") from error
    if not isinstance(content, dict) or "kind" not in content:
        raise UserError(f"{path} is no baseline; {make}.")
    version = content.get("schema_version")
    if version != BASELINE_VERSION:
        raise UserError(f"The baseline {path} has schema {version}, this version reads {BASELINE_VERSION}; {make}.")
    if content["kind"] != kind:
        option = "leave --speed out" if kind == "speed" else "add --speed"
        raise UserError(f"The baseline {path} holds {content['kind']}, not {kind}; {option} or name another file.")
    try:
        cells = {Cell(**_texts(row["cell"])): _plain(row["values"]) for row in content["cells"]}
        if not cells:
            raise ValueError("it has no cells")
        made = _texts(content["made"])
        return Scores(cells, made={key: made[key] for key in MADE})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"The baseline {path} is damaged ({error}); {make}.") from error


def write_baseline(path: Path, kind: Kind, scores: Scores, reason: str) -> None:
    """Write scores as the new baseline, with why, when and from which commit.

    Raises:
        UserError: a cell failed, is stale or has fewer than three seeds; or the file cannot be written.
    """
    for cell, flaw in scores.flaws.items():
        raise UserError(f"{name(cell)}: {flaw}; a baseline is made of finished cells of today's code.")
    for cell, values in scores.cells.items():
        fewest = min(map(len, values.values()), default=0)
        if fewest < LEAST_SEEDS:
            raise UserError(f"{name(cell)} has {fewest} seeds, its spread shows from {LEAST_SEEDS} on; run more.")
    git = provenance.static()["git"] or {}
    content = {
        "schema_version": BASELINE_VERSION,
        "kind": kind,
        "made": {
            "reason": reason,
            "date": datetime.now(UTC).date().isoformat(),
            "commit": git.get("commit", "unknown") + " with changes" * git.get("dirty", False),
        },
        "cells": [{"cell": cell._asdict(), "values": values} for cell, values in sorted(scores.cells.items())],
    }
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def name(cell: Cell) -> str:
    """Return a cell as a sentence names it."""
    return f"{cell.method} on {cell.dataset} ({cell.source}, {cell.tier} tier)"


def _cell(record: Record) -> Cell:
    spec = record["spec"]
    return Cell(record["label"], record["dataset_label"], spec["source"], spec["tier"])


def _flaw(record: Record, kind: Kind) -> str:
    """Say why a record does not count; nothing if it does."""
    seed = record["spec"]["seed"]
    if record["status"] != "done":
        return f"seed {seed} {record['status']}: {record['error']}"
    if changed := stale(record, of_names(record)):
        return (
            f"seed {seed} is stale, the {' and the '.join(changed)} changed: the same `cabench run` makes it anew"
        )
    if kind == "speed" and not record["provenance"].get("yardstick_s"):
        return f"seed {seed} was run without the yardstick, by an older version"
    return ""


def _values(record: Record, kind: Kind) -> dict[str, float]:
    """Return a record's metrics that are one number per run; of a speed gate, its slowness."""
    if kind == "speed":
        times = record["provenance"]
        return {SLOWNESS: times["cpu_s"] / times["yardstick_s"]}
    rows = (row for row in record["metrics"] if row["family"] != "cost")
    return {row["name"]: row["value"] for row in rows if row["factor"] is None and row["space"] is None}


def _texts(content: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in content.items()}


def _plain(values: Mapping[str, Mapping[str, float]]) -> Values:
    read = {metric: {int(seed): float(value) for seed, value in of.items()} for metric, of in values.items()}
    for metric, of in read.items():
        good = all(math.isfinite(value) and (value > 0 or metric != SLOWNESS) for value in of.values())
        if len(of) < LEAST_SEEDS or not good:
            raise ValueError(f"{metric} needs {LEAST_SEEDS} finite values, times above 0")
    return read
