"""Tables as a contrastive-analysis paper lays them out: methods in rows, factors and codes in columns."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from cabench import registry
from cabench.codes import SPACES
from cabench.errors import UserError, did_you_mean
from cabench.report.gather import Report
from cabench.report.intervals import BOARD
from cabench.report.latex import Cell, LatexTable
from cabench.report.leaderboard import SHORT, interval_notes, probes
from cabench.report.marks import marks
from cabench.report.scores import Measured, Measurement, Score, text
from cabench.stats import Interval

SUMMARIES = ("info", "leak", "CAscore", "delta_tot")
# After the methods come those that separate nothing on purpose, then the ceiling; neither competes for a mark.
ROLES = ("method", "floor", "ceiling")
COLUMNS = ("method", "dataset", "factor", "space", "metric", "value", "sd", "source")
FACTORS_PER_PAGE = 3
ARROWS = {"higher": "↑", "lower": "↓"}


@dataclass(frozen=True)
class Column:
    """One column: a probe of a code, or a summary of a cell (factor and space None)."""

    name: str
    factor: str | None = None
    space: str | None = None
    home: bool = True

    @property
    def direction(self) -> Literal["higher", "lower"]:
        """Which values are better: abroad lower ones."""
        if self.factor is None:
            return "lower" if self.name in ("leak", "delta_tot") else "higher"
        return "higher" if self.home else "lower"

    @property
    def title(self) -> str:
        """The code with its arrow, or the summary with its own."""
        return f"{self.space or self.name} {ARROWS[self.direction]}"

    def of(self, metrics: Measured) -> list[Measurement]:
        """Return what a method has in this column."""
        return metrics.get((self.name, self.factor, self.space), [])

    def judged(self, measurement: Measurement) -> float:
        """Return the value by which methods compete: abroad how far from chance, on either side (METHODS 5.2)."""
        if self.home or measurement.chance is None:
            return measurement.value
        return abs(measurement.value - measurement.chance)


def paper_tables(report: Report, published: Sequence[dict[str, str]] = ()) -> Iterator[LatexTable]:
    """Yield tables per data set, source and tier: summaries, then every probe with delta_tot.

    Args:
        report: what is shown.
        published: rows of `read_published`; each method that has some gets a row of its own, marked as such.
    """
    roles = {name: str(plugin.card.get("role") or "method") for name, plugin in registry.find("method").items()}
    found = report.measured
    for key, part in report.table.groupby(BOARD, sort=True):
        dataset, source, tier = map(str, key)
        metrics, intervals = found[key], {name[3:]: of for name, of in report.intervals.items() if name[:3] == key}
        blocks = _blocks(metrics, roles)
        names = _named(part)
        label = f"{dataset.partition('[')[0]}-{source}-{tier}"
        notes = _notes(part)
        heads = [Column(name) for name in SUMMARIES]
        yield LatexTable(
            f"{dataset} ({source} data, {tier} tier): separation.",
            f"tab:{label}",
            ["", *(column.title for column in heads)],
            [_rows(metrics, names, methods, heads, intervals) for methods in blocks],
            notes=notes,
        )
        for number, columns in enumerate(_pages(_columns(metrics)), 1):
            theirs = _published(published, dataset, columns)
            rows = [_rows(metrics, names, methods, columns, intervals) for methods in blocks]
            yield LatexTable(
                f"{dataset} ({source} data, {tier} tier): what a linear probe reads from each code ({number}).",
                f"tab:{label}-probes-{number}",
                ["", *(column.title for column in columns)],
                [[_chance(metrics, columns)], *rows, [_ceiling(metrics, columns)], theirs],
                groups=_groups(columns),
                notes=[*notes, "Italics: as published, on the owners' data: no comparison."] if theirs else notes,
            )


def read_published(path: Path) -> list[dict[str, str]]:
    """Read the published numbers of a paper.

    Raises:
        UserError: the file is missing, or lacks a column or a source.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except FileNotFoundError:
        known = sorted(file.stem for file in path.parent.glob("*.csv"))
        hint = did_you_mean(path.stem, known) or f" Put them there, with the columns {', '.join(COLUMNS)}."
        raise UserError(f"There are no published numbers {path}.{hint}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"The published numbers {path} cannot be read ({error}).") from error
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise UserError(f"The published numbers {path} need the columns {', '.join(COLUMNS)}.")
    for line, row in enumerate(rows, 2):
        if not row["source"]:
            raise UserError(f"{path}, line {line}: a published number needs its source.")
        for name in ("value", "sd"):
            if row[name] or name == "value":
                _number(path, line, row[name])
    return rows


def _number(path: Path, line: int, text: str) -> None:
    try:
        float(text)
    except ValueError:
        raise UserError(f"{path}, line {line}: '{text}' is no number.") from None


def _blocks(methods: Iterable[str], roles: dict[str, str]) -> list[list[str]]:
    """Return the methods of each role, in order of their names."""
    of = {label: roles.get(label.partition("[")[0], "method") for label in methods}
    return [sorted(label for label, role in of.items() if role == wanted) for wanted in ROLES]


def _named(part: pd.DataFrame) -> dict[str, str]:
    """Return what stands before each method's scores: its name, and how many of its seeds failed."""
    names = {}
    for method, runs in part.drop_duplicates(["method", "seed"]).groupby("method"):
        flaws = [(int((runs["status"] == "failed").sum()), "failed"), (int(runs["stale"].sum()), "stale")]
        told = ", ".join(f"{count} of {len(runs)} seeds {word}" for count, word in flaws if count)
        names[str(method)] = f"{method} ({told})" if told else str(method)
    return names


def _columns(methods: Mapping[str, Measured]) -> list[Column]:
    """Return two columns per factor: salient factors, then common ones."""
    factors = {factor: (name, home) for name, factor, _, home in probes(methods)}
    return [
        Column(name, factor, space, home=space == home)
        for factor, (name, home) in factors.items()
        for space in SPACES
    ]


def _pages(probes: list[Column]) -> Iterator[list[Column]]:
    """Yield as many columns as a page is wide; delta_tot stands in the last."""
    width = 2 * FACTORS_PER_PAGE
    for start in range(0, len(probes), width):
        last = start + width >= len(probes)
        yield probes[start : start + width] + ([Column("delta_tot")] if last else [])


def _groups(columns: list[Column]) -> list[tuple[str, int]]:
    """Return the factors over their two columns each."""
    factors = [column for column in columns if column.factor][::2]
    rest = [("", 1) for column in columns if not column.factor]
    return [(f"{column.factor} ({SHORT[column.name]})", 2) for column in factors] + rest


def _rows(
    metrics: Mapping[str, Measured],
    names: Mapping[str, str],
    methods: list[str],
    columns: list[Column],
    intervals: Mapping[tuple[str, ...], Interval],
) -> list[list[Cell]]:
    competing = [
        {method: {row.seed: column.judged(row) for row in column.of(metrics[method])} for method in methods}
        for column in columns
    ]
    found = [marks(scores, column.direction) for scores, column in zip(competing, columns, strict=True)]
    rows = []
    for method in methods:
        row = [Cell(names[method])]
        for column, of_column in zip(columns, found, strict=True):
            known = intervals.get((method, str(column.factor), str(column.space)))
            score = Score.of((one.value for one in column.of(metrics[method])), known)
            row.append(Cell(text(score), of_column.get(method, "")))
        rows.append(row)
    return rows


def _chance(methods: Mapping[str, Measured], columns: list[Column]) -> list[Cell]:
    def chance(column: Column) -> str:
        rows = [row.chance for metrics in methods.values() for row in column.of(metrics)]
        return text(Score.of(rows), interval=False)

    return [Cell("chance"), *(Cell(chance(column)) for column in columns)]


def _ceiling(methods: Mapping[str, Measured], columns: list[Column]) -> list[Cell]:
    def at_home(column: Column) -> str:
        rows = [row.ceiling for metrics in methods.values() for row in column.of(metrics)]
        return text(Score.of(rows), interval=False) if column.home and column.factor else "-"

    return [Cell("supervised ceiling"), *(Cell(at_home(column)) for column in columns)]


def _published(rows: Sequence[dict[str, str]], dataset: str, columns: list[Column]) -> list[list[Cell]]:
    here = [row for row in rows if row["dataset"] == dataset]
    lines = []
    for method, source in dict.fromkeys((row["method"], row["source"]) for row in here):
        line = [Cell(f"{method}, published ({source})", "published")]
        for column in columns:
            wanted: tuple[Any, ...] = (method, source, column.factor or "", column.space or "", column.name)
            values = [
                row
                for row in here
                if (row["method"], row["source"], row["factor"], row["space"], row["metric"]) == wanted
            ]
            line.append(Cell(_printed(values[0]) if values else "-", "published" if values else ""))
        lines.append(line)
    return lines


def _printed(row: dict[str, str]) -> str:
    return f"{float(row['value']):.2f}" + (f" ± {float(row['sd']):.2f} (sd)" if row["sd"] else "")


def _notes(part: pd.DataFrame) -> list[str]:
    done = part[part["status"] == "done"].drop_duplicates("run_id")
    seconds = f" CPU-seconds per cell: {done['cpu_s'].median():.0f} (median)." if len(done) else ""
    places = (
        "Bold, underlined: best and second of their block, where paired seeds tell them from the next; of a "
        "foreign code those nearest to chance."
    )
    return [*interval_notes(part), places + seconds]
