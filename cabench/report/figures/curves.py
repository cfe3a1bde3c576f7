"""Training curves: how each term of a run's loss fell."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cabench.report.figures._parts import (
    GREY,
    SMALL,
    TEXT,
    literal,
    methods,
    run_of,
    run_title,
    sheet,
    styles,
    wrapped,
)
from cabench.report.gather import Report

COLUMNS, PANEL = 4, (2.3, 1.7)  # inches
# A term times its weight: the same curve on another scale.
WEIGHTED = "/weighted"
History = list[dict[str, float]]


def curves(report: Report, run: str) -> Figure:
    """Draw the terms of a run's loss before their weights, a panel each, against the epoch; the sum comes first.

    Args:
        report: holds the run.
        run: its id.

    Raises:
        UserError: there is no such run.
    """
    record = run_of(report, run)
    history: History = record["training"].get("history", [])
    colour = styles(methods(report))[record["label"]]["color"]
    names = terms(history)
    columns = min(COLUMNS, max(1, len(names)))
    rows = ceil(len(names) / columns)
    size = max(4.5, columns * PANEL[0]), max(0.2, rows * PANEL[1])
    made = sheet(f"Training of {run_title(record)}", _notes(record["error"], history), size)
    for i, term in enumerate(names):
        axes = made.add_subplot(rows, columns, i + 1)
        _panel(axes, history, term, colour)
        axes.set_title(wrapped(term, PANEL[0] - 0.5, TEXT), fontsize=TEXT)
        axes.set_xlabel("epoch", fontsize=SMALL)
    return literal(made)


def terms(history: History) -> list[str]:
    """Return the names of the terms, without split and weight: the sum, then as they are in the record.

    >>> terms([{"train/kl": 1.0, "train/kl/weighted": 0.5, "train/loss": 0.5, "validation/kl": 1.0}])
    ['loss', 'kl']
    """
    keys = [key for epoch in history for key in epoch if not key.endswith(WEIGHTED)]
    return sorted(dict.fromkeys(key.partition("/")[2] for key in keys), key=lambda name: name != "loss")


def _panel(axes: Axes, history: History, term: str, colour: Any) -> None:
    for split, look in {"train": colour, "validation": GREY}.items():
        values = np.array([epoch.get(f"{split}/{term}", np.nan) for epoch in history], float)
        # Validation is not measured in every epoch.
        known = np.flatnonzero(~np.isnan(values))
        axes.plot(known + 1, values[known], marker=".", markersize=3, linewidth=1, color=look, label=split)
    axes.set_xlim(0, len(history) + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=SMALL)
    axes.yaxis.get_offset_text().set_fontsize(SMALL)
    axes.spines[["top", "right"]].set_visible(False)


def _notes(error: str | None, history: History) -> list[str]:
    notes = [f"The run failed. {error}"] if error else []
    if not history:
        return [*notes, "There is no curve: the record holds no epoch of training."]
    return [*notes, "In colour: train; grey: validation. Each term before its weight; loss is the weighted sum."]
