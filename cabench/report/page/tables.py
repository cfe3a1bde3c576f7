"""Records -> the tables of the page: like the leaderboard's, with what is missing, and numbers to sort by."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from itertools import groupby

from cabench.report.gather import Report
from cabench.report.leaderboard import MORE, SHORT, TRENDS, lacks, probes
from cabench.report.scores import Measured, Score, over_factors, text
from cabench.store import Record

SCORES = {"CAscore ↑": ("CAscore", None), "info ↑": ("info", None), "leak ↓": ("leak", None)}
OTHERS = {"delta_tot ↓": ("delta_tot", None)} | MORE
STABILITY = "stability ↑"


@dataclass(frozen=True)
class Cell:
    """A text, and the number behind it, by which it is sorted."""

    text: str
    number: float | None = None


@dataclass(frozen=True)
class Row:
    """A method, or a probe.

    Attributes:
        name: in the first column.
        cells: the other columns.
        state: "done", "failed" (no seed finished) or "hole" (no record).
        first: number of the method's first record on the page.
        runs: how many records follow it.
        factor: of a probe.
    """

    name: str
    cells: list[Cell]
    state: str = "done"
    first: int = 0
    runs: int = 0
    factor: str = ""


@dataclass(frozen=True)
class Table:
    """Titles of all columns, and rows."""

    columns: list[str]
    rows: list[Row]


@dataclass(frozen=True)
class Board:
    """One data set, source and tier.

    Attributes:
        dataset, source, tier: whose.
        methods: a row per method, the best CAscore first.
        probes: a row per factor and code.
        gaps: a sentence per failed cell, and per method of what is stale and missing.
    """

    dataset: str
    source: str
    tier: str
    methods: Table
    probes: Table
    gaps: list[str]

    @property
    def factors(self) -> list[str]:
        """The factors that the probes read."""
        return sorted({row.factor for row in self.probes.rows})


def place(record: Record) -> tuple[str, str, str]:
    """Return the data set, source and tier of a record, as `frame` names them."""
    spec = record["spec"]
    return record.get("dataset_label", spec["dataset"]), spec["source"], spec["tier"]


def boards(report: Report, records: list[Record]) -> list[Board]:
    """Return one board per data set, source and tier.

    Args:
        report: has the intervals and stabilities.
        records: of the report, ordered by place, method and seed: rows count them.
    """
    plain: dict[tuple[str, str], set[str]] = {}
    for record in records:
        if record["label"] == record["spec"]["method"]:
            plain.setdefault(place(record)[1:], set()).add(record["label"])
    metrics, stale = report.measured, set(report.table["run_id"][report.table["stale"]].unique())
    made, first = [], 0
    for key, found in groupby(records, place):
        here = list(found)
        made.append(_board(report, key, here, metrics[key], plain.get(key[1:], set()), stale, first))
        first += len(here)
    return made


def _board(
    report: Report,
    key: tuple[str, str, str],
    here: list[Record],
    metrics: Mapping[str, Measured],
    plain: set[str],
    stale: Container[str],
    first: int,
) -> Board:
    methods = {label: list(found) for label, found in groupby(here, lambda record: str(record["label"]))}
    holes, seeds = sorted(plain - set(methods)), {record["spec"]["seed"] for record in here}
    titles = {title: what for title, what in OTHERS.items() if any(_has(rows, *what) for rows in metrics.values())}
    stable = {label: report.stabilities[*key, label] for label in methods if (*key, label) in report.stabilities}
    columns = ["method", *SCORES, "seeds", "CPU s", "validation loss", *titles, *([STABILITY] if stable else [])]
    rows = []
    for label, records in methods.items():
        cells = [_cell(over_factors(metrics[label], *what)) for what in SCORES.values()]
        cells += _facts(records, len(seeds), stale)
        cells += [_cell(over_factors(metrics[label], *what)) for what in titles.values()]
        cells += [_cell(Score.of([stable.get(label)]))] if stable else []
        state = "done" if any(record["status"] == "done" for record in records) else "failed"
        if state == "failed":
            cells[0] = Cell(state)
        rows.append(Row(label, cells, state, first, len(records)))
        first += len(records)
    rows.sort(key=lambda row: -1.0 if row.cells[0].number is None else row.cells[0].number, reverse=True)
    empty = [Cell("-")] * (len(columns) - 1)
    nothing = [Cell("not run"), *empty[1:3], Cell(f"0 ({len(seeds)} missing)"), *empty[4:]]
    rows += [Row(label, nothing, "hole") for label in holes]
    return Board(*key, Table(columns, rows), _probes(report, key, metrics), _gaps(methods, holes, seeds, stale))


def _has(metrics: Measured, name: str, space: str | None) -> bool:
    return any(key[0] == name and space in (None, key[2]) for key in metrics)


def _facts(records: list[Record], expected: int, stale: Container[str]) -> list[Cell]:
    """Seeds, CPU-seconds, and the worst that the validation loss did."""
    done = [record for record in records if record["status"] == "done"]
    failed, missing = len(records) - len(done), expected - len(records)
    seeds = f"{len(done)}{lacks(failed=failed, stale=sum(r['run_id'] in stale for r in done), missing=missing)}"
    seconds = _cell(Score.of(record["provenance"]["cpu_s"] for record in done), digits=0, interval=False)
    trends = {record["training"].get("trend") for record in done}
    return [Cell(seeds), seconds, Cell(next((TRENDS[name] for name in TRENDS if name in trends), "-"))]


def _probes(report: Report, key: tuple[str, str, str], methods: Mapping[str, Measured]) -> Table:
    """One row per factor and code, in the leaderboard's order."""
    rows = []
    for name, factor, space, home in probes(methods):
        by_method = {label: metrics.get((name, factor, space), []) for label, metrics in methods.items()}
        every = [row for some in by_method.values() for row in some]
        cells = [
            Cell(SHORT[name]),
            _cell(Score.of(row.chance for row in every), interval=False),
            *(
                _cell(Score.of((row.value for row in some), report.intervals.get((*key, label, factor, space))))
                for label, some in by_method.items()
            ),
            _cell(Score.of(row.ceiling for row in every), interval=False),
        ]
        rows.append(Row(f"{factor}: {space} {'↑' if space == home else '↓'}", cells, factor=factor))
    return Table(["factor: code", "measure", "chance", *methods, "ceiling"], rows)


def _cell(score: Score | None, digits: int = 2, interval: bool = True) -> Cell:
    return Cell(text(score, digits, interval), None if score is None else float(f"{score.mean:.4g}"))


def _gaps(
    methods: Mapping[str, list[Record]], holes: list[str], seeds: set[int], stale: Container[str]
) -> list[str]:
    gaps = []
    for label, records in methods.items():
        failed = [record for record in records if record["status"] != "done"]
        gaps += [f"{label}, seed {record['spec']['seed']}: failed. {record['error']}" for record in failed]
        if old := [record["spec"]["seed"] for record in records if record["run_id"] in stale]:
            gaps.append(f"{label}, {_named(old)}: stale, the code has changed since.")
        if lacking := sorted(seeds - {record["spec"]["seed"] for record in records}):
            gaps.append(f"{label}, {_named(lacking)}: no record, though other methods of this table have one.")
    if holes:
        gaps.append(f"{', '.join(holes)}: no record, though another data set of this source and tier has one.")
    return gaps


def _named(seeds: list[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
