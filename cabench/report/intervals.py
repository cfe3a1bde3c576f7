"""Intervals of the probes' scores over training seeds and test groups, from what the probes predicted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cabench.codes import SPACES
from cabench.codes_file import CODES_FILE, read_part, read_predictions
from cabench.errors import UserError
from cabench.stats import LEAST_SEEDS, Interval, balanced_accuracy, nested_interval, r2
from cabench.store import Store

BOARD = ["dataset", "source", "tier"]
# (dataset, source, tier, method, factor, space) -> the headline probe's interval.
Intervals = Mapping[tuple[str, ...], Interval]


def probe_intervals(store: Store, table: pd.DataFrame) -> Intervals:
    """Return the interval of every headline probe of a method with at least three finished seeds.

    Args:
        store: holds the runs' predictions; a method whose run lost its own has none, for a mean over all seeds is
            not described by an interval over some.
        table: what `cabench.report.frame.frame` makes of the records.
    """
    found: dict[tuple[str, ...], Interval] = {}
    done = table[table["status"] == "done"]
    for key, cells in done.groupby([*BOARD, "method"], sort=False):
        runs = list(cells["run_id"].unique())
        if len(runs) >= LEAST_SEEDS:
            found |= {(*key, *probe): interval for probe, interval in _of_method(store, runs).items()}
    return found


def _of_method(store: Store, runs: list[str]) -> dict[tuple[str, str], Interval]:
    """Return (factor, space) -> interval over runs that differ in their seed."""
    try:
        factors, test = read_part(store.folder(runs[0]) / CODES_FILE, "test")
        predicted = [read_predictions(store.folder(run)) for run in runs]
    except UserError:
        return {}
    found: dict[tuple[str, str], Interval] = {}
    for factor in factors:
        rows = test.rows(factor)
        truth, groups = test.values(factor, rows), test.groups[rows]
        statistic = balanced_accuracy if factor.classes else r2
        for space in SPACES:
            name = f"probe/{factor.name}/{space}"
            points = [run[name] for run in predicted if name in run and len(run[name]) == len(truth)]
            if len(points) == len(runs):
                samples = truth, np.stack(points)
                found[factor.name, space] = nested_interval(samples, statistic, groups)
    return found
