"""A point per method with its intervals, a panel per data set: what the plane and the cost share."""

from __future__ import annotations

from math import ceil
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cabench.report.figures._parts import (
    INTERVALS,
    TEXT,
    Styles,
    board,
    datasets,
    holes,
    measured,
    methods,
    sheet,
    styles,
    wrapped,
)
from cabench.report.gather import Report

COLUMNS, PANEL = 3, 3.0  # inches
EDGE = 0.06  # so much is seen beyond 0 and 1


def points(report: Report, title: str, x: str, y: str) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """Draw the means of two metrics over seeds, with their intervals.

    Args:
        report: of one source and tier.
        title: to which source and tier are added.
        x: the metric on the horizontal axis.
        y: the metric on the vertical axis.

    Returns:
        The figure, and per data set its panel and its points: index method, columns x, x_low, x_high, y, y_low,
        y_high.

    Raises:
        ValueError: several sources or tiers.
        UserError: no record.
    """
    title = f"{title} ({board(report)})"
    names, key = datasets(report), styles(methods(report))
    columns = min(COLUMNS, len(names))
    rows = ceil(len(names) / columns)
    made = sheet(title, [INTERVALS, *holes(report, (x, y))], (columns * PANEL, rows * PANEL), key)
    table = pd.concat([_side(report, x, "x"), _side(report, y, "y")], axis=1, join="inner")
    panels = []
    for i, dataset in enumerate(names):
        axes = made.add_subplot(rows, columns, i + 1)
        cells = table[table.index.get_level_values("dataset") == dataset].droplevel("dataset")
        _panel(axes, cells, key)
        axes.set_title(wrapped(dataset, PANEL - 0.7, TEXT + 1), fontsize=TEXT + 1)
        axes.tick_params(labelsize=TEXT - 1)
        axes.spines[["top", "right"]].set_visible(False)
        panels.append((axes, cells))
    return made, panels


def _side(report: Report, name: str, axis: str) -> pd.DataFrame:
    return measured(report, name)[["mean", "low", "high"]].set_axis([axis, f"{axis}_low", f"{axis}_high"], axis=1)


def _panel(axes: Axes, cells: pd.DataFrame, key: Styles) -> None:
    colours = [key[method]["color"] for method in cells.index]
    bars: dict[str, Any] = {"colors": colours, "linewidth": 1.0, "alpha": 0.7}
    axes.hlines(cells["y"], cells["x_low"], cells["x_high"], **bars)
    axes.vlines(cells["x"], cells["y_low"], cells["y_high"], **bars)
    for point in cells.itertuples():
        style = key[point.Index]
        axes.plot(point.x, point.y, markersize=6, markeredgecolor="white", markeredgewidth=0.5, **style)
