"""Maps of the two codes: what lies close together, and which factor orders it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cabench.codes import SPACES, Factor, Space
from cabench.codes_file import CODES_FILE, read_codes
from cabench.metrics.evidence import Part
from cabench.report.figures._parts import (
    SMALL,
    TEXT,
    literal,
    run_of,
    run_title,
    sheet,
    standardised,
    styles,
    wrapped,
)
from cabench.report.gather import Report
from cabench.store import Store

SIDE, KEY = 2.9, 1.6  # inches: a panel; the legend of a row
NOTE = (
    "Each code standardised, then projected on its first two principal components (PC), with the share of its "
    "variance. Grey: images on which the factor is not defined or not known."
)


def maps(report: Report, store: Store, run: str) -> Figure:
    """Draw c and s of a run's test images in two dimensions, coloured by a salient and by a common factor.

    A row per factor: the main salient one, or else the first, and the first common one. A column per code.

    Args:
        report: holds the run.
        store: the results folder that keeps its codes.
        run: its id.

    Raises:
        UserError: there is no such run, or it left no codes.
    """
    record = run_of(report, run)
    evidence = read_codes(store.folder(run) / CODES_FILE)
    factors = chosen(evidence.factors)
    made = sheet(f"Codes of {run_title(record)}", [NOTE], (2 * SIDE + KEY, len(factors) * SIDE))
    grid = made.subplots(len(factors), len(SPACES), squeeze=False)
    for column, space in enumerate(SPACES):
        points, shares = projected(evidence.test.codes[space])
        for row, factor in enumerate(factors):
            axes = grid[row, column]
            _panel(axes, points, evidence.test, factor, last=column == len(SPACES) - 1)
            axes.set_title(wrapped(f"{space} code by {factor.name}", SIDE - 0.4, TEXT), fontsize=TEXT)
            axes.set_xlabel(_component(0, shares, space), fontsize=SMALL)
            axes.set_ylabel(_component(1, shares, space), fontsize=SMALL)
    return literal(made)


def chosen(factors: tuple[Factor, ...]) -> list[Factor]:
    """Return the factors that colour the maps: the main salient (or else the first) and the first common one."""
    salient = sorted((factor for factor in factors if factor.home == "salient"), key=lambda factor: not factor.main)
    common = [factor for factor in factors if factor.home == "common"]
    return salient[:1] + common[:1]


def projected(code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two principal components of a code (n, d), standardised, and their shares of its variance.

    Returns:
        Arrays (n, 2) and (2,); 0 where a code of one unit, or of one value, has no component.
    """
    units = standardised(code)
    values, vectors = np.linalg.eigh(units.T @ units)
    # Units of variance 0 in front make two components of any code.
    values, vectors = np.pad(values, (2, 0)), np.pad(vectors, ((0, 0), (2, 0)))
    axes = vectors[:, :-3:-1]
    # The sign of a component means nothing; this one does not depend on the library.
    axes = axes * np.where(axes.sum(axis=0) < 0, -1, 1)
    return units @ axes, values[:-3:-1] / max(values.sum(), np.finfo(float).tiny)


def _component(i: int, shares: np.ndarray, space: Space) -> str:
    return f"PC {i + 1} of the standardised {space} code ({100 * shares[i]:.0f} %)"


def _panel(axes: Axes, points: np.ndarray, test: Part, factor: Factor, last: bool) -> None:
    rows = test.rows(factor)
    values = test.values(factor, rows)
    x, y = points[rows].T
    dots: dict[str, Any] = {"s": 5, "linewidths": 0}
    axes.scatter(*points[~rows].T, color="0.85", **dots)
    if factor.classes:
        key = styles(factor.classes)
        for i, name in enumerate(factor.classes):
            of_class = values == i
            axes.scatter(x[of_class], y[of_class], label=wrapped(name, KEY - 0.4, SMALL), **key[name], **dots)
        if last:
            look = {"fontsize": SMALL, "frameon": False, "markerscale": 2, "handletextpad": 0.2}
            axes.legend(loc="upper left", bbox_to_anchor=(1, 1), **look)
    else:
        seen = axes.scatter(x, y, c=values, cmap="viridis", **dots)
        if last:
            bar = axes.figure.colorbar(seen, ax=axes, aspect=30)
            bar.set_label(f"{factor.name} {f'({factor.unit})' if factor.unit else ''}", fontsize=SMALL)
            bar.ax.tick_params(labelsize=SMALL)
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)
