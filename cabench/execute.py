"""One RunSpec -> one record: load, fit, embed, measure. A failure is a record too."""

from __future__ import annotations

import resource
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from cabench import provenance
from cabench.codes import SPACES, Codes, Splits
from cabench.codes_file import CODES_FILE, kept, read_codes, write_codes
from cabench.cost import fit_cost
from cabench.errors import UserError, did_you_mean
from cabench.fingerprint import stale
from cabench.metrics.catalogue import FAMILIES, families
from cabench.metrics.evaluate import evaluate_families, evidence, home_scores
from cabench.metrics.evidence import PARTS, PREDICTED, Ceilings, Evidence, Swaps
from cabench.plan import Plan, dataset_key
from cabench.spec import RunSpec
from cabench.store import SCHEMA_VERSION, Record, Store
from cabench.swaps import swap_images

DEVICES = ("auto", "cpu", "cuda")
# (cell, state, epoch, epochs); states: loading, preparing, ceiling, training, measuring, done, failed, kept.
Watch = Callable[[RunSpec, str, int, int], None]
FAILED: dict[str, Any] = {"status": "failed", "metrics": [], "families": {}, "cost": {}, "training": {}}


def execute(
    plan: Plan,
    store: Store,
    root: Path | None = None,
    device: str = "auto",
    watch: Watch = lambda *_: None,
    metrics: str = "core",
    force: bool = False,
) -> list[Record]:
    """Run every cell of the plan that has no finished record of today's code, and return all their records.

    A finished cell that lacks some of the metrics, or holds those of an older version, is measured again from its
    codes.

    Args:
        plan: the cells.
        store: where their records lie.
        root: the folder of the raw files, for real sources.
        device: one of `DEVICES`.
        watch: is told what goes on.
        metrics: families or metrics by name.
        force: whether to run finished cells again.

    Raises:
        UserError: a data set's raw files are missing, or the results folder cannot be written.

    """
    wanted = families(metrics)
    store.check_writable()
    device = choose_device(device)
    shelf = _Shelf(plan, root)
    records = []
    for spec in plan.cells:
        record = store.read(spec.run_id)
        if force or record is None or record["status"] != "done" or stale(record, plan.fingerprints(spec)):
            record = _cell(spec, plan, store, shelf, device, watch, wanted)
            store.write(record)
            watch(spec, record["status"], 0, 0)
            records.append(record)
            continue
        if names := _other_names(record, plan):
            record = record | names
            store.write(record)
        if missing := outdated(record, wanted):
            watch(spec, "measuring", 0, 0)
            classes = plan.methods[spec.method], plan.datasets[spec.dataset]
            record = measure_again(record, store, missing, *classes)
            watch(spec, "done", 0, 0)
        else:
            watch(spec, "kept", 0, 0)
        records.append(record)
    return records


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


class _Shelf:
    """Keeps the data set at hand: the plan orders cells so that one at a time is enough."""

    def __init__(self, plan: Plan, root: Path | None) -> None:
        self._plan, self._root = plan, root
        self._key: tuple[str, str] | None = None
        self._splits: Splits | None = None
        self._digest = ""
        self._failed: dict[tuple[str, str], Exception] = {}

    def take(self, spec: RunSpec, watch: Watch = lambda *_: None) -> tuple[Splits, str]:
        key = dataset_key(spec)
        if key in self._failed:
            raise self._failed[key]
        if key != self._key or self._splits is None:
            self._splits, self._key = None, None
            try:
                dataset = self._plan.datasets[spec.dataset](**spec.dataset_params)
                where = {"source": spec.source, "root": self._root, "tier": spec.tier}
                self._splits = dataset.load(**where, progress=lambda *at: watch(spec, "preparing", *at))
            except UserError:
                raise
            except Exception as error:
                self._failed[key] = error
                raise
            self._digest, self._key = self._splits.test.digest(), key
        return self._splits, self._digest


def _cell(
    spec: RunSpec, plan: Plan, store: Store, shelf: _Shelf, device: str, watch: Watch, wanted: Sequence[str]
) -> Record:
    clock = _Clock()
    record: Record = {
        "schema_version": SCHEMA_VERSION,
        "run_id": spec.run_id,
        "label": plan.labels[spec.run_id].method,
        "dataset_label": plan.labels[spec.run_id].dataset,
        "spec": spec.to_json(),
        "fingerprints": plan.fingerprints(spec),
    }
    digest: str | None = None
    watch(spec, "loading", 0, 0)
    try:
        splits, digest = shelf.take(spec, watch)
        watch(spec, "ceiling", 0, 0)
        ceilings = _ceilings(spec, plan, store, shelf, device, watch)
        clock = _Clock()
        folder = store.folder(spec.run_id)
        measured = _fit_and_measure(spec, plan, splits, ceilings, folder, device, watch, wanted)
        outcome: dict[str, Any] = {"status": "done", "error": None} | measured
    except UserError as error:
        if digest is None:  # the data are missing: no cell of this data set can say anything
            raise
        outcome = FAILED | {"error": str(error)}
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        outcome = FAILED | {"error": reason, "traceback": traceback.format_exc()}
    times = clock.read()
    return (
        record
        | outcome
        | {
            "provenance": provenance.static() | {"data_digest": digest, "device": device} | times,
        }
    )


def _fit_and_measure(
    spec: RunSpec,
    plan: Plan,
    splits: Splits,
    ceilings: Ceilings,
    folder: Path,
    device: str,
    watch: Watch,
    wanted: Sequence[str],
) -> dict[str, Any]:
    """Train and measure; keep model, codes and predictions in the folder and return the record's part."""
    from cabench.method import Context
    from cabench.model_file import MODEL_FILE, write_model

    method = plan.methods[spec.method](**spec.params)
    context = Context(
        seed=spec.seed, device=device, progress=lambda epoch, epochs: watch(spec, "training", epoch, epochs)
    )
    watch(spec, "training", 0, 0)
    clock = _Clock()
    if method.supervision == "attributes":
        method.fit(splits.train, splits.validation, context)
    else:
        method.fit(splits.train.blind(), splits.validation.blind(), context)
    cost = clock.read()
    unsaved = None
    try:
        write_model(folder / MODEL_FILE, method)
    except TypeError as error:  # someone's method that cannot be kept can still be measured
        unsaved = str(error)
    watch(spec, "measuring", 0, 0)
    dataset = plan.datasets[spec.dataset](**spec.dataset_params)
    facts = fit_cost(method, splits.train, cost)
    seen = look(method, splits, ceilings, cost=facts, swaps=lambda: swap_images(method, dataset, spec))
    write_codes(folder / CODES_FILE, seen)
    return {
        "metrics": kept(evaluate_families(seen, wanted), folder),
        "families": {name: FAMILIES[name].version for name in wanted},
        "cost": seen.cost,
        "training": {
            "trend": getattr(method, "trend_", None),
            "history": getattr(method, "history_", []),
            "unsaved": unsaved,
        },
    }


def _ceilings(spec: RunSpec, plan: Plan, store: Store, shelf: _Shelf, device: str, watch: Watch) -> Ceilings:
    """Return the supervised scores of the cell's data set, measured once and kept in `references/`."""
    ceiling = plan.ceilings.get(dataset_key(spec))
    if ceiling is None or ceiling.run_id == spec.run_id:
        return {}
    record = store.read(ceiling.run_id, "references") or store.read(ceiling.run_id)
    if record is None or record["status"] != "done" or stale(record, plan.fingerprints(ceiling)):
        splits, digest = shelf.take(spec)
        clock = _Clock()

        def relay(_: RunSpec, __: str, epoch: int, epochs: int) -> None:
            watch(spec, "ceiling", epoch, epochs)

        folder = store.folder(ceiling.run_id, "references")
        measured = _fit_and_measure(ceiling, plan, splits, {}, folder, device, relay, families("core"))
        record = {
            "schema_version": SCHEMA_VERSION,
            "run_id": ceiling.run_id,
            "label": ceiling.method,
            "dataset_label": plan.labels[spec.run_id].dataset,
            "spec": ceiling.to_json(),
            "fingerprints": plan.fingerprints(ceiling),
            "status": "done",
            "error": None,
            **measured,
            "provenance": provenance.static() | {"data_digest": digest, "device": device} | clock.read(),
        }
        store.write(record, "references")
    return home_scores(record["metrics"])


def _other_names(record: Record, plan: Plan) -> dict[str, str]:
    """Return how this plan calls a kept cell, if not as its record does: one run can be asked for in two ways."""
    label = plan.labels[record["run_id"]]
    names = {"label": label.method, "dataset_label": label.dataset}
    return {key: name for key, name in names.items() if record.get(key) != name}


class _Clock:
    def __init__(self) -> None:
        self.started, self.wall, self.cpu = datetime.now(UTC), time.perf_counter(), _cpu_seconds()

    def read(self) -> dict[str, Any]:
        return {
            "started": self.started.isoformat(timespec="seconds"),
            "wall_s": round(time.perf_counter() - self.wall, 3),
            "cpu_s": round(_cpu_seconds() - self.cpu, 3),
            "peak_memory_mb": round(provenance.peak_memory_mb(), 1),
        }


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def choose_device(name: str) -> str:
    """Return "cpu" or "cuda" for one of DEVICES.

    Raises:
        UserError: there is no such device, in words or in this machine.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name not in DEVICES:
        raise UserError(f"There is no device '{name}'.{did_you_mean(name, DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("This machine has no CUDA device that torch can use; run with --device cpu.")
    return name
