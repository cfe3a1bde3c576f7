"""A report in every format, into files."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cabench.errors import UserError, did_you_mean
from cabench.report.figures import FORMATS as FIGURE_SUFFIXES
from cabench.report.figures import drawer, save
from cabench.report.gather import Report, gather
from cabench.report.latex import latex
from cabench.report.leaderboard import Board, boards, to_markdown
from cabench.report.paper import paper_tables
from cabench.report.scores import aggregate
from cabench.store import Store, write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "leaderboard"


@dataclass(frozen=True)
class Made:
    """What a format is made from.

    Attributes:
        report: what is shown.
        store: where the runs lie.
        published: rows of `read_published`, for the formats that lay tables out as papers do.
        plugins: files of plugins that are not installed, for figures of their runs.
        data_root: the folder of the raw files, for images of real runs.
    """

    report: Report
    store: Store
    published: tuple[dict[str, str], ...] = ()
    plugins: tuple[Path, ...] = ()
    data_root: Path | None = None


def _markdown(made: Made) -> bytes:
    return to_markdown(list(boards(made.report)), made.report.unread).encode()


def _csv(made: Made) -> bytes:
    return bytes(
        aggregate(made.report.table, made.report.intervals).to_csv(index=False, float_format="%.10g"), "utf-8"
    )


def _parquet(made: Made) -> bytes:
    content = io.BytesIO()
    made.report.table.to_parquet(content, index=False)
    return content.getvalue()


def _latex(made: Made) -> bytes:
    return latex(paper_tables(made.report, made.published)).encode()


def _html(made: Made) -> bytes:
    from cabench.report.figures._parts import run_title
    from cabench.report.page import page
    from cabench.report.runs import RunFigures, best_runs

    figures = {
        f"{name}, {source} source, {tier} tier": png(drawer(name)(part))
        for source, tier, part in apart(made.report)
        for name in PAGE_FIGURES
    }
    if len(made.report.records) <= MOST_WITH_MAPS:
        run_figures = RunFigures(made.report, made.store)
        for record in best_runs(made.report):
            if drawn := run_figures.draw("maps", record):
                figures[f"codes of the best CAscore: {run_title(record)}"] = png(drawn)
    return page(made.report, figures).encode()


# Name -> suffix and content. `parquet` holds every row of every record, `csv` the means over seeds.
FORMATS: dict[str, tuple[str, Callable[[Made], bytes]]] = {
    "markdown": ("md", _markdown),
    "csv": ("csv", _csv),
    "parquet": ("parquet", _parquet),
    "latex": ("tex", _latex),
    "html": ("html", _html),
}
FIGURES = "figures"
# Of the whole report; the heat map says what the page's tables say.
PAGE_FIGURES = ("plane", "ranks", "cost")
REPORT_FIGURES = ("plane", "heatmap", "ranks", "cost")
# Maps take half a second each; a page of more records does without.
MOST_WITH_MAPS = 1000


def check_formats(formats: Iterable[str]) -> None:
    """Raise UserError if a word is no format, before anything is drawn."""
    for name in formats:
        if name not in FORMATS and name not in DRAWN:
            raise UserError(f"There is no format '{name}'.{did_you_mean(name, (*FORMATS, *DRAWN))}")


def write_report(made: Made, formats: Iterable[str], folder: Path) -> list[Path]:
    """Write `leaderboard.*` in each format, or pictures below `figures/` as PNG and PDF, and return the paths.

    Raises:
        UserError: there is no such format, or the folder cannot be written.
    """
    formats, paths = list(formats), []
    check_formats(formats)
    for name in formats:
        if name in DRAWN:
            paths += DRAWN[name](made, folder / FIGURES)
            continue
        suffix, render = FORMATS[name]
        paths.append(folder / f"{NAME}.{suffix}")
        write_bytes(paths[-1], render(made))
    return paths


def write_leaderboard(store: Store) -> list[Board]:
    """Write the Markdown and the CSV of a whole results folder into it and return the tables.

    Raises:
        UserError: there are no records, or the folder cannot be written.
    """
    report = gather(store)
    write_report(Made(report, store), ["markdown", "csv"], store.root)
    return list(boards(report))


def _figures(made: Made, folder: Path) -> list[Path]:
    """Draw the figures of each source and tier."""
    paths = []
    for source, tier, part in apart(made.report):
        for name in REPORT_FIGURES:
            paths += _saved(drawer(name)(part), folder / f"{name}_{source}_{tier}")
    return paths


def _run_figures(made: Made, folder: Path) -> list[Path]:
    """Draw the figures of each method's first run on each data set."""
    from cabench.report.runs import NAMES, RunFigures, first_runs

    figures = RunFigures(made.report, made.store, made.plugins, made.data_root)
    paths = []
    for record in first_runs(made.report):
        for name in NAMES:
            if drawn := figures.draw(name, record):
                paths += _saved(drawn, folder / record["run_id"] / name)
    return paths


# Name -> what is drawn below `figures/`.
DRAWN: dict[str, Callable[[Made, Path], list[Path]]] = {FIGURES: _figures, "runs": _run_figures}


def _saved(figure: Figure, stem: Path) -> list[Path]:
    paths = [stem.with_name(f"{stem.name}{suffix}") for suffix in FIGURE_SUFFIXES]
    for path in paths:
        save(figure, path)
    return paths


def apart(report: Report) -> Iterator[tuple[str, str, Report]]:
    """Yield each source and tier with its part of a report: they never share a figure."""
    for (source, tier), table in report.table.groupby(["source", "tier"], sort=True):
        runs = set(table["run_id"].unique())
        records = [record for record in report.records if record["run_id"] in runs]
        yield str(source), str(tier), replace(report, records=records, table=table.reset_index(drop=True))


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG for a screen."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    return content.getvalue()
