"""Records -> the JSON that the page's panels are drawn from; what records share is stored once."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from cabench.command import command
from cabench.report.page.tables import SCORES
from cabench.store import Record

COLUMNS = ["run_id", "seed", "status", "error", "scores", "facts", "shared_facts", "params", "data_params"]
COLUMNS += ["command", "curves"]
# A page holds at most so many points of loss curves, which keeps that of 5,000 records below 5 MB.
POINTS = 125_000
ESCAPES = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})


class Rule(NamedTuple):
    """How much of the loss curves is kept: points per curve, and whether of every term or of the totals."""

    points: int
    terms: bool

    def keeps(self, term: str) -> bool:
        """Whether a term's curve is kept; a weighted term has the shape of the raw one."""
        return not term.endswith("/weighted") if self.terms else term in ("train/loss", "validation/loss")

    def __str__(self) -> str:
        """Say it for the page."""
        if not self.points:
            return "Loss curves are left out: there are too many records; the records themselves hold them."
        which = "of each unweighted term" if self.terms else "of the total alone, because there are many records"
        return f"Loss curves: {which}, thinned to at most {self.points} points each."


RULES = (Rule(40, True), Rule(15, True), Rule(40, False), Rule(12, False), Rule(0, False))


class _Pool:
    """Numbers the values that it is shown; equal ones have one number."""

    def __init__(self) -> None:
        self._places: dict[Hashable, int] = {}

    def __call__(self, value: Hashable) -> int:
        return self._places.setdefault(value, len(self._places))

    def each(self, values: Iterable[Hashable]) -> int:
        """Number a list whose items are numbered themselves."""
        return self(tuple(self(value) for value in values))

    def values(self) -> list[Hashable]:
        return list(self._places)


def rule_for(records: list[Record]) -> Rule:
    """Return the first rule under which the curves of all records have at most `POINTS` points."""
    lengths = [_lengths(record) for record in records]

    def points(rule: Rule) -> int:
        return sum(min(n, rule.points) for terms in lengths for term, n in terms.items() if rule.keeps(term))

    return next(rule for rule in RULES if points(rule) <= POINTS)


def data(records: list[Record], rule: Rule) -> str:
    """Return the JSON of all records, fit to stand inside a <script>.

    Its `runs` have one row per record with the `columns`; whole numbers in `facts` and the columns after it are
    places in `shared`, as are those in the lists found there.
    """
    pool = _Pool()
    runs = [_row(record, pool, rule) for record in records]
    text = json.dumps(
        {"columns": COLUMNS, "runs": runs, "shared": pool.values()}, allow_nan=False, separators=(",", ":")
    )
    # json.dumps has escaped whatever is not ASCII, U+2028 and U+2029 too.
    return text.translate(ESCAPES)


def _row(record: Record, pool: _Pool, rule: Rule) -> list[Any]:
    spec = record["spec"]
    return [
        record["run_id"],
        spec["seed"],
        record["status"],
        None if record["error"] is None else pool(str(record["error"])),
        _scores(record),
        _facts(record["provenance"]),
        pool.each(_shared_facts(record).items()),
        pool.each(_texts(spec["params"])),
        pool.each(_texts(spec["dataset_params"])),
        # Parameters repeat from command to command, so its pieces between commas are what is shared.
        [pool(piece) for piece in command(record).split(",")],
        _curves(record["training"].get("history", []), pool, rule),
    ]


def _scores(record: Record) -> list[float | None]:
    values = {row["name"]: row["value"] for row in record["metrics"] if row["factor"] is None}
    return [_rounded(values.get(name)) for name, _ in SCORES.values()]


def _facts(provenance: Mapping[str, Any]) -> list[Any]:
    return [provenance.get(name) for name in ("started", "wall_s", "cpu_s", "peak_memory_mb")]


def _shared_facts(record: Record) -> dict[str, str]:
    """What many records have in common: label -> text."""
    told = record["provenance"]
    git, packages = told.get("git"), told.get("packages", {})
    facts = {
        "validation loss": record["training"].get("trend"),
        "data digest": told.get("data_digest"),
        "git": git and git["commit"] + (", with local changes" if git["dirty"] else ""),
        "cabench": told.get("cabench"),
        "packages": ", ".join(f"{name} {version}" for name, version in packages.items()),
        "Python": told.get("python"),
        "device": told.get("device"),
        "CPU": told.get("cpu"),
        "cores": told.get("cores"),
        "platform": told.get("platform"),
        "metrics": ", ".join(f"{name} {version}" for name, version in record["families"].items()),
    }
    return {name: str(value) if value else "-" for name, value in facts.items()}


def _texts(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, str(value) if value != "" else "(empty)") for name, value in sorted(params.items())]


def _lengths(record: Record) -> dict[str, int]:
    found: dict[str, int] = {}
    for epoch in record["training"].get("history", []):
        for term in epoch:
            found[term] = found.get(term, 0) + 1
    return found


def _curves(history: list[Mapping[str, float]], pool: _Pool, rule: Rule) -> list[list[Any]]:
    """Return [term, epochs, values] per curve."""
    found: dict[str, list[int]] = {}
    for at, epoch in enumerate(history):
        for term in filter(rule.keeps, epoch):
            found.setdefault(term, []).append(at)
    curves = []
    for term, epochs in sorted(found.items()) if rule.points else ():
        kept = tuple(epochs[place] for place in _spread(len(epochs), rule.points))
        curves.append(
            [pool(term), pool(tuple(at + 1 for at in kept)), [_rounded(history[at][term]) for at in kept]]
        )
    return curves


@cache
def _spread(n: int, most: int) -> list[int]:
    """Return at most so many of n places, evenly spread."""
    return [int(place) for place in np.linspace(0, n - 1, min(n, most)).round()]


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")
