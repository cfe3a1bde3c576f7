"""The Python interface: load_dataset, load_method, load_run, evaluate, run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from cabench import registry
from cabench.codes import Splits
from cabench.dataset import SOURCES, TIERS
from cabench.errors import UserError, did_you_mean
from cabench.execute import execute
from cabench.measure import measure
from cabench.metrics.evidence import Ceilings
from cabench.model_file import fitted
from cabench.plan import make_plan, tier_settings
from cabench.report.frame import frame
from cabench.spec import resolve
from cabench.store import Record, Store
from cabench.worker import Options

SHOWN = 10  # runs that a message names


def load_dataset(
    name: str,
    source: str = "synthetic",
    tier: str = "quick",
    seed: int = 0,
    data_root: str | Path | None = None,
    **params: Any,
) -> Splits:
    """Return the train, validation and test splits of a data set.

    Args:
        name: see `cabench list datasets`.
        source: "synthetic" (rendered, needs nothing) or "real" (prepared from the owners' files).
        tier: "smoke", "quick", "converged" (as many as quick) or "paper": how many images.
        seed: the data's seed (its parameter `data_seed`); a run uses 0 for every training seed.
        data_root: the folder of the raw files; by default $CABENCH_DATA or the user's data folder.
        params: parameters of the data set.

    Raises:
        UserError: a name is unknown, or raw files are missing.

    """
    for word, known, what in ((tier, TIERS, "tier"), (source, SOURCES, "source")):
        if word not in known:
            raise UserError(f"There is no {what} '{word}'.{did_you_mean(word, known)}")
    cls = registry.get("dataset", name).load()
    dataset = cls(**resolve(cls, [{"data_seed": seed} if seed else {}, params], name))
    splits: Splits = dataset.load(source=source, root=Path(data_root) if data_root else None, tier=tier)
    return splits


def load_method(name: str, tier: str = "quick", dataset: str = "", **params: Any) -> Any:
    """Return an unfitted method with the settings of a tier, and of a data set if one is named.

    Raises:
        UserError: the method or one of its parameters is unknown.

    """
    if tier not in TIERS:
        raise UserError(f"There is no tier '{tier}'.{did_you_mean(tier, TIERS)}")
    cls = registry.get("method", name).load()
    return cls(**resolve(cls, [*tier_settings(cls, tier, dataset), params], name))


def load_run(run_id: str, results: str | Path = "results", plugins: Iterable[str | Path] = ()) -> Any:
    """Return the fitted method of a finished run, on the CPU.

    Args:
        run_id: the run's id, or a beginning that no other run shares.
        results: the results folder.
        plugins: files of methods that are not installed.

    Raises:
        UserError: the run is unknown or not done, or its model is missing or damaged.

    """
    record = find_run(run_id, results)
    folder = Store(Path(results)).folder(record["run_id"])
    return fitted(record, folder, [Path(p) for p in plugins])


def find_run(run_id: str, results: str | Path = "results") -> Record:
    """Return the record of a finished run by its id, or by a beginning of it that no other run shares.

    Raises:
        UserError: there is none, there are several, or the run is not done.

    """
    record = find_record(run_id, results)
    if record["status"] != "done":
        raise UserError(f"The run {record['run_id']} is not done but {record['status']} ({record['error']}).")
    return record


def find_record(run_id: str, results: str | Path = "results") -> Record:
    """Return the record of a run, done or failed, by its id or by a beginning of it that no other run shares.

    Raises:
        UserError: there is none, or there are several.

    """
    found = _beginning_with(run_id, results)
    if len(found) > 1:
        names = [record["run_id"] for record in found]
        some = ", ".join(names[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
        raise UserError(f"'{run_id}' is the beginning of {len(found)} runs, give more of one: {some}")
    return found[0]


def find_runs(words: Iterable[str], results: str | Path = "results") -> list[Record]:
    """Return the finished runs whose ids begin with one of the words; all of them for "all".

    Raises:
        UserError: no finished run begins with a word.

    """
    found: dict[str, Record] = {}
    for word in words:
        if not word:
            raise UserError("A run has a name; give the beginning of one, or all.")
        done = [r for r in _beginning_with("" if word == "all" else word, results) if r["status"] == "done"]
        if not done:
            raise UserError(f"No run of '{word}' in {results} is done; `cabench run` goes on with them.")
        found |= {record["run_id"]: record for record in done}
    return list(found.values())


def _beginning_with(text: str, results: str | Path) -> list[Record]:
    known = {record["run_id"]: record for record in Store(Path(results)).records()}
    if not known:
        raise UserError(f"There are no runs in {results}; run `cabench run` first or name another --results.")
    found = [record for name, record in known.items() if name.startswith(text)]
    if not found:
        cells = {name.rsplit("-", 2)[0] for name in known}  # without seed and hash
        raise UserError(f"There is no run '{text}' in {results}.{did_you_mean(text, cells)}")
    return found


def evaluate(method: Any, splits: Splits, ceilings: Ceilings | None = None, metrics: str = "core") -> pd.DataFrame:
    """Measure both codes of a fitted method; one row per metric, factor and space.

    Args:
        method: fitted.
        splits: the data set; the metrics of the test part are fitted on its other parts.
        ceilings: (factor, metric) -> supervised score: the scale of `info`, `leak` and `CAscore`.
        metrics: "core", "full", or families and metrics by name.

    Raises:
        UserError: there is no such metric.

    """
    return pd.DataFrame(measure(method, splits, ceilings, metrics))


def run(
    methods: str = "all",
    datasets: str = "all",
    seeds: str = "0",
    tier: str = "quick",
    source: str = "synthetic",
    data_root: str | Path | None = None,
    results: str | Path = "results",
    overrides: Iterable[str] = (),
    plugins: Iterable[str | Path] = (),
    device: str = "auto",
    metrics: str = "core",
) -> pd.DataFrame:
    """Run cells as `cabench run` does and return their metrics, one row each.

    Raises:
        UserError: something is unknown, malformed or missing.

    """
    plan = make_plan(methods, datasets, seeds, tier, source, overrides, [Path(p) for p in plugins])
    options = Options(Path(data_root) if data_root else None, device, metrics)
    return frame(execute(plan, Store(Path(results)), options))
