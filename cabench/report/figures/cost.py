"""Quality against cost: which methods are worth their time."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from cabench.report.figures._parts import GREY, TEXT, literal
from cabench.report.figures._points import EDGE, points
from cabench.report.gather import Report

# Below a tenth of a second the axis is linear: some methods take no time at all, which has no logarithm.
LINEAR = 0.1
SECONDS = (0.0, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6)


def cost(report: Report) -> Figure:
    """Draw CAscore against the CPU-seconds of the fit, a panel per data set, and the Pareto front as a line.

    Methods on the front are beaten in CAscore only by slower ones. Point and interval are mean and t interval
    over training seeds.

    Raises:
        ValueError: several sources or tiers.
        UserError: no record.
    """
    made, panels = points(report, "Quality against cost of the fit, and the Pareto front", "fit_cpu_s", "CAscore")
    for axes, cells in panels:
        best = front(cells)
        axes.plot(best["x"], best["y"], drawstyle="steps-post", color=GREY, linewidth=1, linestyle="--", zorder=1)
        longest = max(cells["x"].max(), cells["x_high"].max(), 1.0) if len(cells) else 1.0
        axes.set_xscale("symlog", linthresh=LINEAR, linscale=0.5)
        axes.set_xticks(SECONDS, [f"{seconds:g}" for seconds in SECONDS])
        axes.set_xticks([], minor=True)
        axes.set(xlim=(-LINEAR / 3, longest * 1.7), ylim=(-EDGE, 1 + EDGE))
        axes.set_xlabel("CPU-seconds of the fit (less is better)", fontsize=TEXT)
        axes.set_ylabel("CAscore (more is better)", fontsize=TEXT)
    return literal(made)


def front(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that no other beats in x (less is better) and y (more is better), by x.

    >>> front(pd.DataFrame({"x": [1, 2, 3], "y": [0.5, 0.4, 0.9]}, index=["a", "b", "c"])).index.tolist()
    ['a', 'c']
    """
    ordered = cells.sort_values(["x", "y"], ascending=[True, False], kind="stable")
    return ordered[ordered["y"] > ordered["y"].cummax().shift(fill_value=float("-inf"))]
