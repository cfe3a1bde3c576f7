"""Records of a results folder -> everything that a report shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import pandas as pd

from cabench.errors import UserError, did_you_mean
from cabench.fingerprint import of_names, stale
from cabench.plan import split_list
from cabench.report.frame import frame, newest
from cabench.report.intervals import Intervals, probe_intervals
from cabench.report.scores import Measured, measured
from cabench.report.stability import Stabilities, subgroup_stability
from cabench.store import Record, Store

EMPTY: Mapping[Any, Any] = MappingProxyType({})
# What a filter can name, and where a record says it.
FILTERS: dict[str, Callable[[Record], str]] = {
    "methods": lambda record: str(record["label"]),
    "datasets": lambda record: str(record["dataset_label"]),
    "tiers": lambda record: str(record["spec"]["tier"]),
    "sources": lambda record: str(record["spec"]["source"]),
    "seeds": lambda record: str(record["spec"]["seed"]),
}


@dataclass(frozen=True)
class Report:
    """What tables, figures and pages are made of.

    Attributes:
        records: one per cell, the newest.
        table: one row per metric of every record, see `frame`.
        intervals: (dataset, source, tier, method, factor, space) -> the headline probe's 95 % interval.
        stabilities: (dataset, source, tier, method) -> how well two seeds' sub-groups agree.
        unread: a sentence per file that could not be read.
    """

    records: list[Record]
    table: pd.DataFrame
    intervals: Intervals = field(default_factory=lambda: EMPTY)
    stabilities: Stabilities = field(default_factory=lambda: EMPTY)
    unread: list[str] = field(default_factory=list)

    @cached_property
    def measured(self) -> dict[tuple[str, ...], dict[str, Measured]]:
        """(dataset, source, tier) -> method -> what was measured, see `cabench.report.scores.measured`."""
        return measured(self.table)


def gather(store: Store, chosen: Mapping[str, str] = EMPTY) -> Report:
    """Return the report of a folder's records.

    Args:
        store: the folder.
        chosen: filter -> names, separated by commas, one of which a record must have; methods and data sets are
            named with or without their parameters.

    Raises:
        UserError: there are no records, or none has such a name.
    """
    found, unread = store.scan()
    records = newest(found)
    if not records and not unread:
        raise UserError(f"There are no records in {store.root}; run `cabench run` first or name another --results.")
    for name, words in chosen.items():
        records = _filtered(records, name, words)
    # A failed run is made anew in any case.
    done = (record for record in records if record["status"] == "done")
    changed = {record["run_id"] for record in done if stale(record, of_names(record))}
    table = frame(records, changed)
    return Report(records, table, probe_intervals(store, table), subgroup_stability(store, table), unread)


def _filtered(records: list[Record], name: str, words: str) -> list[Record]:
    of = FILTERS[name]
    names = split_list(words)
    known = {label for record in records for label in (of(record), of(record).partition("[")[0])}
    for word in names:
        if word not in known:
            raise UserError(f"No record is of {name[:-1]} '{word}'.{did_you_mean(word, sorted(known))}")
    return [record for record in records if {of(record), of(record).partition("[")[0]} & set(names)]
