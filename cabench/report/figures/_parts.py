"""What the figures share: which method is drawn how, room for names and notes, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

from cabench.errors import UserError, did_you_mean
from cabench.report.gather import Report
from cabench.report.scores import aggregate
from cabench.store import Record

# Method -> keywords of `Axes.plot`.
Styles = Mapping[str, dict[str, Any]]

# Seaborn's "colorblind", told apart by the colour-blind; its import takes longer than most figures. As seven shares
# no factor with ten, 70 pairs differ.
COLOURS = ["#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"]
COLOURS += ["#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"]
MARKERS = "os^DvPX"
TITLE, TEXT, SMALL = 11, 8, 7  # points
HINTED = 1.08  # letters on a grid of pixels are so much wider at most
LINE = 1.25  # a line's height in units of its letters'
MARGIN, NAME, KEY = 0.1, 2.0, 0.35  # inches: around the sheet; the widest name in a legend; the sign before it
GREY = "0.4"
INTERVALS = "Bars: 95 % intervals over training seeds, from three seeds on."


def styles(names: Iterable[str]) -> Styles:
    """Return each method's colour and marker, which depend on the sorted names alone.

    >>> styles(["b", "a"]) == styles(["a", "b", "a"])
    True
    """
    return {
        name: {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        for i, name in enumerate(sorted(set(names)))
    }


def board(report: Report) -> str:
    """Return the source and the tier of a report in words.

    Raises:
        ValueError: there are several, which never share a figure.
        UserError: there is no record.
    """
    pairs = sorted(report.table[["source", "tier"]].drop_duplicates().itertuples(index=False, name=None))
    if not pairs:
        raise UserError("There is no record to draw; run `cabench run` first or name another --results.")
    if len(pairs) > 1:
        held = ", ".join(f"{source} {tier}" for source, tier in pairs)
        raise ValueError(f"sources and tiers never share a figure, this report holds several: {held}")
    return "{} source, {} tier".format(*pairs[0])


def methods(report: Report) -> list[str]:
    """Return the names of all methods, sorted; those that failed too."""
    return sorted(report.table["method"].unique())


def datasets(report: Report) -> list[str]:
    """Return the names of all data sets, sorted."""
    return sorted(report.table["dataset"].unique())


def measured(report: Report, name: str) -> pd.DataFrame:
    """Return mean, low, high (NaN below three seeds) and seeds of a metric, by (dataset, method)."""
    rows = aggregate(report.table[report.table["name"] == name])
    return rows.set_index(["dataset", "method"])[["mean", "low", "high", "seeds"]].astype(float)


def holes(report: Report, names: Iterable[str]) -> list[str]:
    """Return a sentence per data set on which a method failed, was not run, is stale or lacks a metric."""
    place = ["dataset", "method"]
    cells = report.table.drop_duplicates([*place, "seed"])
    runs = cells["status"].mask(cells["stale"], "stale").groupby([cells[name] for name in place]).agg(list)
    found = report.table.drop_duplicates([*place, "name"]).groupby(place)["name"].agg(set)
    notes = []
    for dataset in datasets(report):
        reasons: dict[str, list[str]] = {}
        for method in methods(report):
            cell = dataset, method
            reason = _hole(runs[cell], found[cell], names) if cell in runs.index else "not run"
            reasons.setdefault(reason, []).append(method)
        reasons.pop("", None)
        if reasons:
            notes.append(f"{dataset}: " + "; ".join(f"{r}: {', '.join(who)}" for r, who in reasons.items()) + ".")
    if report.unread:
        notes.append(f"Records that could not be read: {len(report.unread)}.")
    return notes


def _hole(status: list[str], found: set[str], names: Iterable[str]) -> str:
    flaws = {state: status.count(state) for state in ("failed", "stale")}
    if flaws["failed"] == len(status):
        return "failed"
    missing = [name for name in names if name not in found]
    if missing:
        return f"no {' and no '.join(missing)}"
    told = [f"{count} of {len(status)} seeds {state}" for state, count in flaws.items() if count]
    return " and ".join(told)


def run_of(report: Report, run: str) -> Record:
    """Return the record of a run.

    Raises:
        UserError: the report has no such run.
    """
    records = {record["run_id"]: record for record in report.records}
    if run not in records:
        raise UserError(f"There is no run '{run}'.{did_you_mean(run, records)}")
    return records[run]


def run_title(record: Record) -> str:
    """Return what a run is in words."""
    spec = record["spec"]
    what = f"{record['label']} on {record.get('dataset_label', spec['dataset'])}"
    return f"{what}, seed {spec['seed']} ({spec['source']} source, {spec['tier']} tier)"


@cache
def text_width(text: str, size: float) -> float:
    """Return the greatest width of a line in inches, at any resolution; its dollars are dollars."""
    width: float = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), False)[0]
    return HINTED * width / 72


def text_height(text: str, size: float) -> float:
    """Return the height of lines in inches."""
    return (text.count("\n") + 1) * size * LINE / 72 if text else 0.0


def wrapped(text: str, width: float, size: float) -> str:
    """Break a text so that no line is wider than `width` inches: after blanks and commas, else anywhere."""
    lines = [""]
    for piece in re.findall(r"[^\s,]*[\s,]?", re.sub(r"\s", " ", text)):
        if text_width(lines[-1] + piece.rstrip(), size) > width:
            lines.append("")
        whole = text_width(lines[-1] + piece.rstrip(), size) <= width
        for part in [piece] if whole else piece:
            if text_width(lines[-1] + part.rstrip(), size) > width:
                lines.append("")
            lines[-1] += part
    return "\n".join(line.rstrip() for line in lines if line)


def sheet(title: str, notes: list[str], size: tuple[float, float], key: Styles | None = None) -> Figure:
    """Return a figure with a title, notes below and a legend on the right; what lies between is for panels.

    Args:
        title: wrapped to the width.
        notes: a paragraph each.
        size: width and height in inches of the place for panels.
        key: the methods of the legend, or none.
    """
    labels = [wrapped(name, NAME, TEXT) for name in key or {}]
    lines = [line for label in labels for line in label.split("\n")]
    side = KEY + 2 * MARGIN + max(text_width(line, TEXT) for line in lines) if lines else 0.0
    # Half a line between two names.
    panels = max(size[1], (len(lines) + len(labels) / 2 + 1) * TEXT * LINE / 72)
    width = size[0] + side
    head = wrapped(title, width - 2 * MARGIN, TITLE)
    foot = "\n".join(wrapped(note, width - 2 * MARGIN, SMALL) for note in notes)
    above, below = text_height(head, TITLE) + 1.5 * MARGIN, text_height(foot, SMALL) + 2 * MARGIN
    height = above + panels + below

    made = Figure(figsize=(width, height))
    area = (0, below / height, size[0] / width, panels / height)
    made.set_layout_engine("constrained", rect=area, w_pad=0.06, h_pad=0.06)
    made.text(MARGIN / width, 1 - MARGIN / height, head, fontsize=TITLE, va="top")
    made.text(MARGIN / width, MARGIN / height, foot, fontsize=SMALL, va="bottom", color=GREY, linespacing=LINE)
    if key:
        signs = [Line2D([], [], linestyle="", markersize=6, **style) for style in key.values()]
        corner = size[0] / width, (below + panels) / height
        look = {"fontsize": TEXT, "frameon": False, "handlelength": 1.2}
        made.legend(signs, labels, loc="upper left", bbox_to_anchor=corner, **look)
    return made


def literal(figure: Figure) -> Figure:
    """Return the figure with every text drawn as it is written: names may hold dollars."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
    return figure


def standardised(code: np.ndarray) -> np.ndarray:
    """Return a code (n, d) with mean 0 and variance 1 in every unit; a unit that never changes is 0."""
    # Less its first row, a unit that never changes is 0 exactly, not nearly.
    shifted = (code - code[:1]).astype(np.float64)
    spread = shifted.std(axis=0)
    scaled: np.ndarray = (shifted - shifted.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return scaled
