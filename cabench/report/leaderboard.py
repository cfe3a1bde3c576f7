"""The leaderboard: per data set a summary table and a table of every probe."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cabench.report.gather import Report
from cabench.report.intervals import BOARD
from cabench.report.scores import HEADLINES, Measured, Score, over_factors, text
from cabench.stats import Interval

LISTED = "What all measures mean: cabench list metrics."
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


def boards(report: Report) -> Iterator[Board]:
    """Yield one board per data set, source and tier; the sources and tiers never share a table."""
    found = report.measured
    for key, part in report.table.groupby(BOARD, sort=True):
        dataset, source, tier = key
        yield Board(
            f"{dataset} ({source}, {tier} tier)",
            _summary(part, found[key]),
            _more(found[key], {name[-1]: value for name, value in report.stabilities.items() if name[:-1] == key}),
            _probes(found[key], {name[3:]: value for name, value in report.intervals.items() if name[:3] == key}),
            [*interval_notes(part), LISTED],
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
    r"""Return text that Markdown prints as it is, on one line; what is not printable is replaced.

    >>> escape("a|b <i>")
    'a\\|b &lt;i&gt;'
    """
    printed = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
    plain = printed.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # An underscore within a word means nothing; a bracket does where a link's address follows.
    return re.sub(r"([\\`*|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=\])\()", r"\\\1", plain)


def markdown(table: pd.DataFrame) -> str:
    """Return a frame of text as a Markdown table."""
    escaped = table.map(lambda text: escape(str(text))).rename(columns=lambda title: escape(str(title)))
    return str(escaped.to_markdown(index=False, disable_numparse=True))


def _summary(part: pd.DataFrame, methods: Mapping[str, Measured]) -> pd.DataFrame:
    runs: dict[str, list[dict[str, Any]]] = {}
    facts = ["method", "status", "stale", "wall_s", "trend"]
    for run in part.drop_duplicates(["method", "seed"])[facts].to_dict("records"):
        runs.setdefault(run["method"], []).append(run)
    rows = []
    for method, metrics in methods.items():
        done = [run for run in runs[method] if run["status"] == "done"]
        flaws = lacks(failed=len(runs[method]) - len(done), stale=sum(run["stale"] for run in runs[method]))
        trends = {run["trend"] for run in runs[method]}
        rows.append(
            {
                "method": method,
                "seeds": f"{len(done)}{flaws}",
                **{title: text(over_factors(metrics, name)) for name, title in SUMMARIES.items()},
                "s/cell": text(Score.of(run["wall_s"] for run in done), digits=0, interval=False),
                "validation loss": next((TRENDS[name] for name in TRENDS if name in trends), "-"),
            }
        )
    return pd.DataFrame(rows)


def _more(methods: Mapping[str, Measured], stable: Mapping[str, float]) -> pd.DataFrame:
    """One row per method: what goes beyond linear probes, as far as it was measured."""
    rows = []
    for method, metrics in methods.items():
        row = {title: text(over_factors(metrics, *what)) for title, what in MORE.items()}
        rows.append({"method": method, **row, "stability ↑": f"{stable[method]:.2f}" if method in stable else "-"})
    table = pd.DataFrame(rows)
    found = [title for title in table if title != "method" and (table[title] != "-").any()]
    return table[["method", *found]] if found else pd.DataFrame()


def _probes(methods: Mapping[str, Measured], intervals: Mapping[tuple[str, ...], Interval]) -> pd.DataFrame:
    """One row per factor and code, home code first; chance, every method and the ceiling side by side."""
    rows = []
    for name, factor, space, home in probes(methods):
        by_method = {method: metrics.get((name, factor, space), []) for method, metrics in methods.items()}
        every = [row for some in by_method.values() for row in some]
        rows.append(
            {
                "factor": factor,
                "metric": SHORT[name],
                "code": f"{space} {'↑' if space == home else '↓'}",
                "chance": text(Score.of(row.chance for row in every), interval=False),
                **{
                    method: text(Score.of((row.value for row in some), intervals.get((method, factor, space))))
                    for method, some in by_method.items()
                    if some
                },
                "ceiling": text(Score.of(row.ceiling for row in every), interval=False),
            }
        )
    return pd.DataFrame(rows).fillna("-")


def probes(methods: Mapping[str, Measured]) -> list[tuple[str, str, str, str]]:
    """Return name, factor, code and home of every headline probe: salient factors first, the home code first."""
    found = {}
    for metrics in methods.values():
        for (name, factor, space), rows in metrics.items():
            if name in HEADLINES:
                found[str(factor), str(space)] = name, str(factor), str(space), str(rows[0].home)
    ordered = sorted(found.values(), key=lambda probe: (probe[1], probe[2] != probe[3]))
    return sorted(ordered, key=lambda probe: probe[3], reverse=True)


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
    old = part[part["stale"]].drop_duplicates(["method", "seed"])
    if len(old):
        which = "; ".join(
            f"{method} (seed {', '.join(map(str, runs['seed']))})" for method, runs in old.groupby("method")
        )
        notes.append(f"Stale, the code has changed since: {which}. The same cabench run makes them anew.")
    return notes


def lacks(**counts: int) -> str:
    """Return what is wrong with some of a method's seeds.

    >>> lacks(failed=1, stale=0, missing=2), lacks(failed=0)
    (' (1 failed, 2 missing)', '')
    """
    found = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f" ({found})" if found else ""
