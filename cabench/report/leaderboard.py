"""The leaderboard: per data set a summary table and a table of every probe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cabench.store import Store, write_text

from .frame import frame

HEADLINES = ("balanced_accuracy", "r2")
SHORT = {"balanced_accuracy": "bacc", "r2": "R2"}
# The worst over the seeds is shown: one seed that had not converged makes the row one "at this budget".
TRENDS = {"falling": "falling: at this budget", "rising": "rising: past its best", "flat": "flat"}
SUMMARIES = {"info": "info ↑", "leak": "leak ↓", "CAscore": "CAscore ↑", "delta_tot": "delta_tot ↓"}


@dataclass(frozen=True)
class Board:
    """One data set, source and tier: tables of text, ready to print, and notes below them."""

    title: str
    summary: pd.DataFrame
    probes: pd.DataFrame
    notes: list[str]


def write_leaderboard(store: Store) -> list[Board]:
    """Render every record of a results folder into `leaderboard.md` and `leaderboard.csv`."""
    table = frame(store.records())
    made = list(boards(table))
    write_text(store.root / "leaderboard.md", to_markdown(made))
    write_text(store.root / "leaderboard.csv", aggregate(table).to_csv(index=False))
    return made


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean, sd and number of seeds of every metric, failed cells left out."""
    keys = ["dataset", "source", "tier", "method", "name", "factor", "space", "rows", "direction"]
    done = table[table["status"] == "done"]
    grouped = done.groupby(keys, dropna=False, sort=True)
    return grouped.agg(
        mean=("value", "mean"),
        sd=("value", "std"),
        seeds=("seed", "nunique"),
        chance=("chance", "mean"),
        ceiling=("ceiling", "mean"),
        n=("n", "max"),
    ).reset_index()


def boards(table: pd.DataFrame) -> Iterator[Board]:
    """Yield one board per data set, source and tier; the sources and tiers never share a table."""
    for (dataset, source, tier), part in table.groupby(["dataset", "source", "tier"], sort=True):
        title = f"{dataset} ({source}, {tier} tier)"
        yield Board(title, _summary(part), _probes(part), _notes(part))


def to_markdown(made: list[Board]) -> str:
    """Return all boards as one Markdown page."""
    parts = ["# Leaderboard", ""]
    if not made:
        parts.append("No finished cell yet.")
    for board in made:
        parts += [f"## {board.title}", "", markdown(board.summary), "", markdown(board.probes), ""]
        parts += [f"- {note}" for note in board.notes]
        parts.append("")
    return "\n".join(parts) + "\n"


def markdown(table: pd.DataFrame) -> str:
    """Return a frame of text as a Markdown table."""
    return str(table.to_markdown(index=False, disable_numparse=True))


def _summary(part: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for method, cells in part.groupby("method", sort=True):
        scores = {title: mean(cells[cells["name"] == name]["value"]) for name, title in SUMMARIES.items()}
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
                "s/cell": mean(seconds, digits=0),
                "validation loss": next((TRENDS[t] for t in TRENDS if t in trends), "-"),
            }
        )
    return pd.DataFrame(rows)


def _probes(part: pd.DataFrame) -> pd.DataFrame:
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
            "chance": mean(probes["chance"]),
        }
        line |= {method: mean(cells["value"]) for method, cells in probes.groupby("method", sort=True)}
        rows.append(line | {"ceiling": mean(probes["ceiling"])})
    return pd.DataFrame(rows).fillna("-")


def _pick(table: pd.DataFrame, key: tuple[str, str]) -> pd.DataFrame:
    return table[(table["factor"] == key[0]) & (table["space"] == key[1])]


def mean(values: pd.Series, digits: int = 2) -> str:
    """Return "mean ± sd" of numbers, "-" without any; a spread that rounds to nothing is left out."""
    numbers = values.dropna().astype(float)
    if numbers.empty:
        return "-"
    spread = f" ± {numbers.std():.{digits}f}" if len(numbers) > 1 and numbers.std() > 10**-digits / 2 else ""
    return f"{np.round(numbers.mean(), digits) + 0.0:.{digits}f}{spread}"


def _notes(part: pd.DataFrame) -> list[str]:
    seeds = sorted(part["seed"].unique())
    notes = [
        f"Seeds {', '.join(map(str, seeds))}; ± is the standard deviation over seeds. "
        "↑ home code, higher is better; ↓ leakage; bacc is balanced accuracy, R2 is R². "
        "ceiling: the supervised pair at the same budget."
    ]
    for row in part[part["status"] == "failed"].itertuples():
        notes.append(f"{row.method}, seed {row.seed}: failed. {row.error}")
    return notes
