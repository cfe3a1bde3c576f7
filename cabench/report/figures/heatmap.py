"""The probe heat map: every probe of every method between chance and ceiling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cabench.metrics.separation import LEAST_RANGE, gain
from cabench.report.figures._parts import (
    GREY,
    SMALL,
    TEXT,
    board,
    datasets,
    holes,
    literal,
    methods,
    sheet,
    text_height,
    text_width,
    wrapped,
)
from cabench.report.gather import Report
from cabench.report.scores import HEADLINES, aggregate

COLOURS, SCALE = "cividis", Normalize(0, 1)
CELL = 0.36, 0.2  # inches
NAME, ROW, BAR = 2.0, 2.2, 0.8  # inches: the longest name of a method and of a row; the colour bar
NOTE = (
    "In the cells: balanced accuracy, or R² of a continuous factor, mean over seeds. ↑ home code, more is better; "
    "↓ foreign code, leakage. Hatched: no score. White: no supervised ceiling above chance."
)


def heatmap(report: Report) -> Figure:
    """Draw factors and codes (rows, home code first) by methods (columns), a panel per data set.

    A cell shows the mean score over seeds; its colour is the place of that mean between chance (0) and the
    supervised ceiling (1), clipped.

    Raises:
        ValueError: several sources or tiers.
        UserError: no record.
    """
    title = f"What linear probes read ({board(report)})"
    names, labels = methods(report), [wrapped(name, NAME, SMALL) for name in methods(report)]
    tables = {dataset: scores(report, dataset) for dataset in datasets(report)}
    rows = [max(1, len(values)) for values, _ in tables.values()]
    # Names stand upright: their lines need the width of a column, their length the room below.
    width = max(CELL[0], *(text_height(label, SMALL) + 0.06 for label in labels))
    below = max(text_width(line, SMALL) for label in labels for line in label.split("\n"))
    titles = [wrapped(dataset, len(names) * width + ROW, TEXT + 1) for dataset in tables]
    room = sum(text_height(text, TEXT + 1) + below + 0.3 for text in titles)
    size = max(5.0, len(names) * width + ROW), sum(rows) * CELL[1] + room + BAR
    made = sheet(title, [NOTE, *holes(report, ())], size)
    grid = made.subplots(len(rows), 1, squeeze=False, height_ratios=rows)[:, 0]
    for axes, text, (values, gains) in zip(grid, titles, tables.values(), strict=True):
        _panel(axes, values, gains)
        axes.set_title(text, fontsize=TEXT + 1, loc="left")
        axes.set_xticks(np.arange(len(names)) + 0.5, labels, rotation=90, fontsize=SMALL)
    look: dict[str, Any] = {"location": "top", "shrink": 0.6, "aspect": 30, "pad": 0.1 / size[1]}
    bar = made.colorbar(ScalarMappable(SCALE, COLOURS), ax=list(grid), **look)
    bar.set_label("from chance (0) to ceiling (1)", fontsize=TEXT)
    bar.ax.tick_params(labelsize=SMALL)
    return literal(made)


def scores(report: Report, dataset: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the mean scores of a data set's probes and their gains, NaN where there is none.

    Returns:
        Two frames: a row per factor and code, salient factors and home codes first; a column per method.
    """
    table = report.table[(report.table["dataset"] == dataset) & report.table["name"].isin(HEADLINES)]
    homes = table.drop_duplicates(["factor", "space"])
    homes = homes.assign(abroad=homes["space"] != homes["home"])
    homes = homes.sort_values(["home", "factor", "abroad"], ascending=[False, True, True])
    means = aggregate(table)
    # The method that is the ceiling has none of its own.
    means["ceiling"] = means.groupby("factor")["ceiling"].transform("mean")
    means["gain"] = [_gain(*line) for line in means[["mean", "chance", "ceiling"]].itertuples(index=False)]
    probes = pd.MultiIndex.from_frame(homes[["factor", "space"]])
    labels = [f"{row.factor} {row.space} {'↓' if row.abroad else '↑'}" for row in homes.itertuples()]
    values, gains = (
        means.groupby(["factor", "space", "method"])[column]
        .mean()
        .unstack("method")
        .reindex(index=probes, columns=methods(report))
        .set_axis(labels)
        .astype(float)
        for column in ("mean", "gain")
    )
    return values, gains


def _gain(mean: float, chance: float, ceiling: float | None) -> float:
    if pd.isna(ceiling) or ceiling is None or ceiling - chance <= LEAST_RANGE:
        return np.nan
    return gain(mean, chance, ceiling)


def _panel(axes: Axes, values: pd.DataFrame, gains: pd.DataFrame) -> None:
    shape = max(1, len(values)), values.shape[1]
    if values.empty:
        values = gains = pd.DataFrame(np.full(shape, np.nan), ["no probe"], values.columns)
    axes.pcolormesh(gains.to_numpy(), cmap=COLOURS, norm=SCALE, edgecolors="white", linewidth=0.5)
    for (row, column), value in np.ndenumerate(values.to_numpy()):
        if np.isnan(value):
            axes.add_patch(Rectangle((column, row), 1, 1, fill=False, hatch="////", edgecolor=GREY, linewidth=0))
        else:
            # White on the dark half of the colours.
            dark = gains.iat[row, column] < 0.5
            text = f"{np.round(value, 2) + 0.0:.2f}"
            look: dict[str, Any] = {"color": "white" if dark else "black", "ha": "center", "va": "center"}
            axes.text(column + 0.5, row + 0.5, text, fontsize=SMALL - 1, **look)
    axes.set_yticks(
        np.arange(shape[0]) + 0.5, [wrapped(row, ROW - 0.2, SMALL) for row in values.index], fontsize=SMALL
    )
    axes.set(xlim=(0, shape[1]), ylim=(shape[0], 0))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
