"""A report in every format, into files."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from cabench.errors import UserError, did_you_mean
from cabench.report.gather import Report
from cabench.report.latex import latex
from cabench.report.leaderboard import aggregate, boards, to_markdown
from cabench.report.paper import paper_tables
from cabench.store import Store, write_bytes

NAME = "leaderboard"


@dataclass(frozen=True)
class Made:
    """What a format is made from.

    Attributes:
        report: what is shown.
        store: where the runs lie.
        published: rows of `read_published`, for the formats that lay tables out as papers do.
    """

    report: Report
    store: Store
    published: tuple[dict[str, str], ...] = ()


def _markdown(made: Made) -> bytes:
    report = made.report
    return to_markdown(list(boards(report.table, report.intervals, report.stabilities)), report.unread).encode()


def _csv(made: Made) -> bytes:
    return bytes(aggregate(made.report.table, made.report.intervals).to_csv(index=False), "utf-8")


def _parquet(made: Made) -> bytes:
    content = io.BytesIO()
    made.report.table.to_parquet(content, index=False)
    return content.getvalue()


def _latex(made: Made) -> bytes:
    return latex(paper_tables(made.report, made.published)).encode()


# Name -> suffix and content. `parquet` holds every row of every record, `csv` the means over seeds.
FORMATS: dict[str, tuple[str, Callable[[Made], bytes]]] = {
    "markdown": ("md", _markdown),
    "csv": ("csv", _csv),
    "parquet": ("parquet", _parquet),
    "latex": ("tex", _latex),
}


def write_report(made: Made, formats: Iterable[str], folder: Path) -> list[Path]:
    """Write `leaderboard.*` in each format and return the paths.

    Raises:
        UserError: there is no such format, or the folder cannot be written.
    """
    paths = []
    for name in formats:
        if name not in FORMATS:
            raise UserError(f"There is no format '{name}'.{did_you_mean(name, FORMATS)}")
        suffix, render = FORMATS[name]
        paths.append(folder / f"{NAME}.{suffix}")
        write_bytes(paths[-1], render(made))
    return paths
