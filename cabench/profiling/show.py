"""A profile for people: a table of text, and time against rows as a picture."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from cabench.profiling.bench import ABSENT, OK, Row
from cabench.profiling.cases import Case
from cabench.profiling.roofline import Peaks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS, PANEL, LEGEND = 3, (3.1, 2.6), 1.4  # panels in a line; inches
CASE = tuple(field.name for field in fields(Case))
DASHES = {"exact": "-", "default": "--", "fast": ":"}


def table(rows: list[Row]) -> pd.DataFrame:
    """Return rows as text, those of absent backends left out."""
    shown = pd.DataFrame([_texts(row) for row in rows if row["status"] != ABSENT])
    # A CPU launches nothing.
    return shown if any(row["launched_ms"] for row in rows) else shown.drop(columns="launched ms", errors="ignore")


def notes(rows: list[Row], peaks: Peaks | None) -> list[str]:
    """Return a sentence per absent backend, per case that was not measured, and about the peaks."""
    reasons = {row["backend"]: row["reason"] for row in rows if row["status"] == ABSENT}
    said = [f"{backend} is absent: {reason}" for backend, reason in reasons.items()]
    left_out: dict[str, list[str]] = {}
    for row in rows:
        if row["status"] not in (OK, ABSENT):
            case = " ".join(str(row[name]) for name in CASE)
            left_out.setdefault(f"{row['status']}: {row['reason']}", []).append(case)
    said += [
        f"{cases[0]}{f' and {len(cases) - 1} more' if len(cases) > 1 else ''}: {why}"
        for why, cases in left_out.items()
    ]
    if peaks is None:
        return [*said, "No peaks of this device are known, so there is no roofline: --measure-peaks measures them."]
    rates = (
        f"{peaks.fp32 / 1e9:.0f} GFLOP/s in float32, {peaks.exps / 1e9:.3g} Gexp/s, {peaks.memory / 1e9:.3g} GB/s"
    )
    return [*said, f"Peaks ({peaks.source}): {rates}."]


def _texts(row: Row) -> dict[str, str]:
    ok = row["status"] == OK
    shown = {name: str(row[name]) for name in CASE}
    return shown | {
        "ms": _ms(row["ms"]) if ok else row["status"],
        "quartiles": f"{_ms(row['ms_q1'])}-{_ms(row['ms_q3'])}" if ok else "",
        "launched ms": _number(row["launched_ms"], ".3g"),
        "Gpairs/s": f"{row['pairs_per_s'] / 1e9:.3g}" if ok else "",
        "MiB": _number(row["peak_mib"], ".3g"),
        "value err": _number(row["value_error"], ".1e"),
        "grad err": _number(row["gradient_error"], ".1e"),
        "of the roof": "" if row["bound"] is None else f"{row['roofline']:.1%} {row['bound']}",
        "x faster": _number(row["ratio"], ".3g"),
    }


def _ms(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def figure(rows: list[Row], device_name: str) -> Figure:
    """Draw the time of a call against the rows: a panel per kernel, a line per backend and precision."""
    import seaborn as sns

    cells = pd.DataFrame(rows)
    # With gradients, if there are some.
    mode = "full" if (cells["mode"] == "full").any() else "forward"
    backends = list(dict.fromkeys(cells["backend"]))
    cells = cells[(cells["mode"] == mode) & (cells["status"] == OK)]
    colours = dict(zip(backends, sns.color_palette("colorblind", len(backends)), strict=True))
    kernels = list(dict.fromkeys(row["kernel"] for row in rows))
    columns = min(COLUMNS, len(kernels))
    lines = -(-len(kernels) // columns)
    made = Figure(figsize=(PANEL[0] * columns + LEGEND, PANEL[1] * lines + 0.4), layout="constrained")
    grid = made.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for axes, kernel in zip(grid.flat, kernels, strict=False):
        _panel(axes, cells[cells["kernel"] == kernel], colours, sorted(set(cells["n"])))
        axes.set_title(kernel, fontsize=9)
    for axes in grid.flat[len(kernels) :]:
        axes.set_axis_off()
    signs = {
        " ".join(key): Line2D([], [], **_look(*key, colours))
        for key in dict.fromkeys(zip(cells["backend"], cells["precision"], strict=True))
    }
    made.suptitle(f"Milliseconds of a {mode} call against rows, {device_name}", fontsize=10)
    made.legend(signs.values(), signs.keys(), loc="outside right center", fontsize=8, frameon=False)
    return made


def _panel(axes: Axes, cells: pd.DataFrame, colours: dict[str, Any], sizes: list[int]) -> None:
    """Draw medians, and quartiles as bands."""
    for (backend, precision), line in cells.groupby(["backend", "precision"], sort=False):
        look = _look(backend, precision, colours)
        axes.plot(line["n"], line["ms"], **look)
        axes.fill_between(line["n"], line["ms_q1"], line["ms_q3"], color=look["color"], alpha=0.2, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.set_xticks([], minor=True)
    axes.yaxis.set_minor_formatter(NullFormatter())
    # Below some panels there is none.
    axes.tick_params(labelsize=8, labelbottom=True)
    axes.grid(alpha=0.3)


def _look(backend: str, precision: str, colours: dict[str, Any]) -> dict[str, Any]:
    return {"color": colours[backend], "linestyle": DASHES[precision], "marker": "o", "markersize": 3.5}
