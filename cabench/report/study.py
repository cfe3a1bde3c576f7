"""The figure and the table of a study: every measure against the parameter that varies, a line per method."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cabench.report.scores import HEADLINES
from cabench.stats import TooFewSeeds, seed_interval
from cabench.store import Record, write_bytes, write_text
from cabench.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL, HEAD = (2.9, 2.6), 1.1  # inches: a panel; titles above, the legend beside them
MEASURE = {"balanced_accuracy": "balanced accuracy", "r2": "R²"}


def write_study(study: Study, records: Iterable[Record], results: Path, name: str) -> list[Path]:
    """Write `<name>.csv` and `<name>.png` into the results folder and return where they lie.

    Raises:
        UserError: the folder cannot be written.
    """
    table = study_table(study, records)
    paths = [results / f"{name}.csv", results / f"{name}.png"]
    write_text(paths[0], table.to_csv(index=False))
    if not table.empty:
        drawn = io.BytesIO()
        figure(study, table).savefig(drawn, format="png", dpi=150)
        write_bytes(paths[1], drawn.getvalue())
    return [path for path in paths if path.exists()]


def study_table(study: Study, records: Iterable[Record]) -> pd.DataFrame:
    """Return mean and interval over seeds of each shown item, per data set, method and value.

    Returns:
        Columns dataset, method, value, item, measure, mean, low, high (NaN with fewer seeds than an interval
        needs), seeds, chance, wanted ("high" or "low"). Failed cells are left out.
    """
    rows = [
        {"dataset": record["spec"]["dataset"], "method": record["spec"]["method"], "value": _value(study, record)}
        | {"item": item, "measure": metric["name"], "score": metric["value"], "chance": metric["chance"]}
        | {"wanted": _wanted(metric)}
        for record in records
        if record["status"] == "done"
        for metric in record["metrics"]
        for item in study.show
        if _shows(item, metric)
    ]
    columns = ["dataset", "method", "value", "item", "measure", "mean", "low", "high", "seeds", "chance", "wanted"]
    if not rows:
        return pd.DataFrame(columns=columns)
    grouped = pd.DataFrame(rows).groupby(columns[:5], sort=False)
    summed = []
    for key, cells in grouped:
        scores = cells["score"]
        first = cells.iloc[0]
        line = (*key, scores.mean(), *_bounds(scores), len(scores), first["chance"], first["wanted"])
        summed.append(dict(zip(columns, line, strict=True)))
    return pd.DataFrame(summed, columns=columns)


def figure(study: Study, table: pd.DataFrame) -> Figure:
    """Draw a row of panels per data set: one per shown item, its chance as a dotted line."""
    import seaborn as sns
    from matplotlib.figure import Figure

    datasets, methods = table["dataset"].unique(), table["method"].unique()
    colours = dict(zip(methods, sns.color_palette("colorblind", len(methods)), strict=True))
    size = PANEL[0] * len(study.show) + HEAD, PANEL[1] * len(datasets) + HEAD
    made = Figure(figsize=size, layout="constrained")
    grid = made.subplots(len(datasets), len(study.show), squeeze=False, sharex=True)
    for row, dataset in zip(grid, datasets, strict=True):
        for axes, item in zip(row, study.show, strict=True):
            cells = table[(table["dataset"] == dataset) & (table["item"] == item)]
            _panel(axes, cells, colours, study)
            title = f"{_title(item)}\n(wanted: {', '.join(cells['wanted'].unique())})"
            axes.set_title(title if len(datasets) == 1 else f"{dataset}: {title}", fontsize=9)
    made.suptitle(study.title, fontsize=11)
    made.supxlabel(study.axis or study.parameter.replace("_", " "), fontsize=9)
    handles, labels = grid[0][0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside right center", fontsize=9, frameon=False)
    return made


def _panel(axes: Axes, cells: pd.DataFrame, colours: dict[str, Any], study: Study) -> None:
    places = {value: place for place, value in enumerate(study.values)}
    for method, line in cells.groupby("method", sort=False):
        at = [places[value] for value in line["value"]]
        axes.plot(at, line["mean"], marker="o", color=colours[method], label=method)
        axes.fill_between(at, line["low"], line["high"], color=colours[method], alpha=0.2, linewidth=0)
    for chance in cells["chance"].dropna().unique()[:1]:
        axes.axhline(chance, color="0.5", linestyle=":", linewidth=1)
        axes.annotate("chance", (0, chance), fontsize=7, color="0.4", va="bottom")
    axes.set_xticks(list(places.values()), [str(value) for value in places])
    axes.set_ylabel("\n".join(MEASURE.get(name, name) for name in cells["measure"].unique()), fontsize=9)
    axes.set_ylim(min(0.0, cells["mean"].min()), max(1.0, cells["mean"].max()) * 1.02)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _value(study: Study, record: Record) -> Any:
    params = "params" if study.owner == "methods" else "dataset_params"
    return record["spec"][params][study.parameter]


def _shows(item: str, metric: dict[str, Any]) -> bool:
    if metric["factor"] is None:
        return bool(item == metric["name"])
    return metric["name"] in HEADLINES and item == f"{metric['factor']} {metric['space']}"


def _wanted(metric: dict[str, Any]) -> str:
    """Return which values are good: of a factor that a code should not hold, low ones."""
    abroad = metric["factor"] is not None and metric["space"] != metric["home"]
    return "high" if (metric["direction"] == "higher") != abroad else "low"


def _title(item: str) -> str:
    """Return "digit salient" as "digit, read from the salient code"; a metric as it is."""
    factor, _, space = item.rpartition(" ")
    return f"{factor}, read from the {space} code" if factor else item


def _bounds(scores: pd.Series) -> tuple[float, float]:
    try:
        interval = seed_interval(scores.to_numpy(), 0.95)
    except TooFewSeeds:
        return float("nan"), float("nan")
    return interval.low, interval.high
