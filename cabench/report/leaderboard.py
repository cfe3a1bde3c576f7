"""The leaderboard: per data set a summary table and a table of every probe."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from cabench.report.intervals import BOARD, Intervals
from cabench.report.stability import Stabilities
from cabench.stats import LEAST_SEEDS, Interval, seed_interval

NONE: Mapping[Any, Any] = MappingProxyType({})
LISTED = "What all measures mean: cabench list metrics."
HEADLINES = ("balanced_accuracy", "r2")
SHORT = {"balanced_accuracy": "bacc", "r2": "R2"}
# The worst over the seeds is shown: one seed that had not converged makes the row one "at this budget".
TRENDS = {"falling": "falling: at this budget", "rising": "rising: past its best", "flat": "flat"}
SUMMARIES = {"info": "info ↑", "leak": "leak ↓", "CAscore": "CAscore ↑", "delta_tot": "delta_tot ↓"}
# Title -> metric and space.
MORE: dict[str, tuple[str, str | None]] = {
    "leak_max ↓": ("leak_max", None),
    "null ratio ↓": ("null_background_ratio", None),
    "background bits ↓": ("background_bits", None),
    "detection ↑": ("detection_rate", None),
    "MI(c;s) ↓": ("gaussian_mi", None),
    "dCor(c,s) ↓": ("distance_correlation", None),
    "AMI(s) ↑": ("ami", "salient"),
    "AMI(c) ↓": ("ami", "common"),
    "MIG ↑": ("mig", None),
    "transfer ↑": ("salient_transfer", None),
}


@dataclass(frozen=True)
class Board:
    """One data set, source and tier: tables of text, ready to print, and notes below them."""

    title: str
    summary: pd.DataFrame
    more: pd.DataFrame
    probes: pd.DataFrame
    notes: list[str]


def aggregate(table: pd.DataFrame, intervals: Intervals = NONE) -> pd.DataFrame:
    """Return mean, sd, 95 % interval and number of seeds of every metric, failed cells left out."""
    keys = [*BOARD, "method", "name", "factor", "space", "rows", "direction"]
    done = table[table["status"] == "done"]
    lines = []
    for key, cells in done.groupby(keys, dropna=False, sort=True):
        line = dict(zip(keys, key, strict=True))
        interval = _interval(cells["value"], intervals.get(_probe(line)) if line["name"] in HEADLINES else None)
        lines.append(
            line
            | {"mean": cells["value"].mean(), "sd": cells["value"].std()}
            | {"low": interval.low if interval else None, "high": interval.high if interval else None}
            | {"seeds": cells["seed"].nunique(), "chance": cells["chance"].mean()}
            | {"ceiling": cells["ceiling"].mean(), "n": cells["n"].max()}
        )
    values = ["mean", "sd", "low", "high", "seeds", "chance", "ceiling", "n"]
    return pd.DataFrame(lines, columns=[*keys, *values])


def boards(table: pd.DataFrame, intervals: Intervals = NONE, stabilities: Stabilities = NONE) -> Iterator[Board]:
    """Yield one board per data set, source and tier; the sources and tiers never share a table."""
    for key, part in table.groupby(BOARD, sort=True):
        dataset, source, tier = key
        stable = {name[-1]: value for name, value in stabilities.items() if name[:-1] == key}
        title = f"{dataset} ({source}, {tier} tier)"
        yield Board(
            title, _summary(part), _more(part, stable), _probes(part, intervals), [*interval_notes(part), LISTED]
        )


def to_markdown(made: list[Board], unread: Iterable[str] = ()) -> str:
    """Return all boards as one Markdown page, and below them what could not be read."""
    parts = ["# Leaderboard", ""]
    if not made:
        parts.append("No finished cell yet.")
    for board in made:
        tables = [table for table in (board.summary, board.more, board.probes) if not table.empty]
        parts += [f"## {escape(board.title)}", ""]
        parts += [line for table in tables for line in (markdown(table), "")]
        parts += [f"- {escape(note)}" for note in board.notes]
        parts.append("")
    parts += [f"- {escape(sentence)}" for sentence in unread]
    return "\n".join(parts) + "\n"


def escape(text: str) -> str:
    r"""Return text that Markdown prints as it is, on one line.

    >>> escape("a|b <i>")
    'a\\|b &lt;i&gt;'
    """
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # An underscore within a word means nothing; a bracket does where a link's address follows.
    return re.sub(r"([\\`*|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=\])\()", r"\\\1", plain)


def markdown(table: pd.DataFrame) -> str:
    """Return a frame of text as a Markdown table."""
    escaped = table.map(lambda text: escape(str(text))).rename(columns=lambda title: escape(str(title)))
    return str(escaped.to_markdown(index=False, disable_numparse=True))


def _summary(part: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for method, cells in part.groupby("method", sort=True):
        scores = {title: shown(cells[cells["name"] == name]["value"]) for name, title in SUMMARIES.items()}
        per_seed = cells.drop_duplicates("seed")
        failed = int((per_seed["status"] == "failed").sum())
        seeds = f"{len(per_seed) - failed}" + (f" ({failed} failed)" if failed else "")
        seconds = per_seed[per_seed["status"] == "done"]["wall_s"]
        trends = set(per_seed["trend"].dropna())
        rows.append(
            {
                "method": method,
                "seeds": seeds,
                **scores,
                "s/cell": shown(seconds, digits=0, interval=False),
                "validation loss": next((TRENDS[t] for t in TRENDS if t in trends), "-"),
            }
        )
    return pd.DataFrame(rows)


def _more(part: pd.DataFrame, stable: Mapping[str, float]) -> pd.DataFrame:
    """One row per method: what goes beyond linear probes, as far as it was measured."""
    rows = []
    for method, cells in part.groupby("method", sort=True):
        row = {"method": method}
        for title, (name, space) in MORE.items():
            values = cells[(cells["name"] == name) & ((cells["space"] == space) | (space is None))]
            # Of several factors the mean, seed by seed.
            row[title] = shown(values.groupby("seed")["value"].mean())
        row["stability ↑"] = f"{stable[method]:.2f}" if method in stable else "-"
        rows.append(row)
    table = pd.DataFrame(rows)
    measured = [title for title in table if title != "method" and (table[title] != "-").any()]
    return table[["method", *measured]] if measured else pd.DataFrame()


def _probes(part: pd.DataFrame, intervals: Intervals) -> pd.DataFrame:
    """One row per factor and code, home code first; chance, every method and the ceiling side by side."""
    heads = part[part["name"].isin(HEADLINES)]
    ordered = heads.drop_duplicates(["factor", "space"]).copy()
    ordered["abroad"] = ordered["space"] != ordered["home"]
    ordered = ordered.sort_values(["home", "factor", "abroad"], ascending=[False, True, True], kind="stable")
    rows = []
    for row in ordered.itertuples():
        probes = _pick(heads, (row.factor, row.space))
        line = {
            "factor": row.factor,
            "metric": SHORT[row.name],
            "code": f"{row.space} {'↓' if row.abroad else '↑'}",
            "chance": shown(probes["chance"], interval=False),
        }
        for method, cells in probes.groupby("method", sort=True):
            known = intervals.get(_probe(cells.iloc[0].to_dict()))
            line[method] = shown(cells["value"], known=known)
        rows.append(line | {"ceiling": shown(probes["ceiling"], interval=False)})
    return pd.DataFrame(rows).fillna("-")


def _pick(table: pd.DataFrame, key: tuple[str, str]) -> pd.DataFrame:
    return table[(table["factor"] == key[0]) & (table["space"] == key[1])]


def _probe(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(line[name] for name in (*BOARD, "method", "factor", "space"))


def shown(values: pd.Series, digits: int = 2, interval: bool = True, known: Interval | None = None) -> str:
    """Return "mean ± half of its 95 % interval" of numbers, "-" without any.

    Args:
        values: one number per seed; fewer than three have no interval.
        digits: after the point.
        interval: whether to show one, if it does not round to nothing.
        known: the interval, if it is more than the one over seeds.
    """
    numbers = values.dropna().astype(float)
    if numbers.empty:
        return "-"
    found = _interval(numbers, known) if interval else None
    half = (found.high - found.low) / 2 if found else 0.0
    spread = f" ± {half:.{digits}f}" if half > 10**-digits / 2 else ""
    return f"{np.round(numbers.mean(), digits) + 0.0:.{digits}f}{spread}"


def _interval(values: pd.Series, known: Interval | None = None) -> Interval | None:
    if known or len(values) < LEAST_SEEDS:
        return known
    return seed_interval(values.to_numpy(float))


def interval_notes(part: pd.DataFrame) -> list[str]:
    """Return what a reader must know of a table's numbers, and the reason of every failed cell."""
    seeds = sorted(part["seed"].unique())
    notes = [
        f"Seeds {', '.join(map(str, seeds))}; ± is half of the 95 % interval, from three seeds on: of probes for "
        "other seeds and test images, of the rest for other seeds. ↑ home code, higher is better; ↓ leakage; bacc "
        "is balanced accuracy, R2 is R². ceiling: the supervised pair at the same budget."
    ]
    for row in part[part["status"] == "failed"].itertuples():
        notes.append(f"{row.method}, seed {row.seed}: failed. {row.error}")
    return notes
