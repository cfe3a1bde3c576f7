"""How far the cells of a results folder are, as any process can see it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cabench.claim import is_claimed, read_note
from cabench.fingerprint import of_names, stale
from cabench.plan import Plan
from cabench.store import Record, Store, write_text

PLAN_FILE = "plan.json"  # in the results folder: the cells of the last `cabench run`


@dataclass(frozen=True)
class Standing:
    """How far one cell is.

    Attributes:
        cell: data set, method and seed.
        state: waiting, running, stopped (begun, and nobody runs it), done, stale (done by other code) or failed.
        detail: what a running cell does and its epochs, or the reason of a failure.
    """

    cell: str
    state: str
    detail: str = ""


def remember(plan: Plan, store: Store) -> None:
    """Keep the cells of a plan, so that `standings` knows of those that nobody has begun.

    Raises:
        NotWritten: the folder is read-only or full.
    """
    cells = {spec.run_id: " ".join((*reversed(plan.labels[spec.run_id]), str(spec.seed))) for spec in plan.cells}
    write_text(store.root / PLAN_FILE, json.dumps(cells, indent=1))


def standings(store: Store) -> Iterator[Standing]:
    """Yield every cell of the last plan, then every other one that has a record."""
    records = {record["run_id"]: record for record in store.records()}
    names = {name: _name(record) for name, record in records.items()}
    for run_id, cell in (_planned(store) | names).items():
        yield _standing(store, run_id, cell, records.get(run_id))


def _standing(store: Store, run_id: str, cell: str, record: Record | None) -> Standing:
    note = read_note(store, run_id)
    detail = "" if note is None else f"{note.state} {note.epoch}/{note.epochs}" if note.epochs else note.state
    if is_claimed(store, run_id):
        return Standing(cell, "running", detail and f"{detail}, process {note.pid} on {note.host}" if note else "")
    if record is None:
        return Standing(cell, "stopped" if note else "waiting", detail)
    if record["status"] == "failed":
        return Standing(cell, "failed", record["error"])
    changed = stale(record, of_names(record))
    return (
        Standing(cell, "stale", f"the {' and the '.join(changed)} changed") if changed else Standing(cell, "done")
    )


def _name(record: Record) -> str:
    return f"{record['dataset_label']} {record['label']} {record['spec']['seed']}"


def _planned(store: Store) -> dict[str, str]:
    """Return run id -> cell of the last plan; nothing if there is none that can be read."""
    try:
        cells: Any = json.loads((store.root / PLAN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    whole = isinstance(cells, dict) and all(isinstance(name, str) for name in cells.values())
    return cells if whole else {}
