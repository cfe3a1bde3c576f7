"""The separation plane: what the codes tell of their own factors against what they tell of the others'."""

from __future__ import annotations

from matplotlib.figure import Figure

from cabench.report.figures._parts import GREY, SMALL, TEXT, literal
from cabench.report.figures._points import EDGE, points
from cabench.report.gather import Report


def plane(report: Report) -> Figure:
    """Draw leak (horizontal) and info (vertical) of every method, a panel per data set.

    Point and interval are mean and t interval over training seeds.

    Raises:
        ValueError: several sources or tiers.
        UserError: no record.
    """
    made, panels = points(report, "Separation of common and salient", "leak", "info")
    for axes, _ in panels:
        axes.plot(0, 1, marker="*", markersize=13, color="none", markeredgecolor=GREY, zorder=1)
        axes.annotate("ideal", (0, 1), (8, 0), textcoords="offset points", va="center", fontsize=SMALL, color=GREY)
        axes.set(xlim=(-EDGE, 1 + EDGE), ylim=(-EDGE, 1 + EDGE), aspect="equal")
        axes.set_xlabel("leak (less is better)", fontsize=TEXT)
        axes.set_ylabel("info (more is better)", fontsize=TEXT)
    return literal(made)
