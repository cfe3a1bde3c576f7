"""Mean ranks: which methods come first over all data sets."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cabench.report.figures._parts import (
    TEXT,
    board,
    datasets,
    holes,
    literal,
    methods,
    sheet,
    styles,
    text_height,
    wrapped,
)
from cabench.report.gather import Report
from cabench.stats import LEAST_SEEDS
from cabench.stats.basics import quantile

NAME, WIDTH = 2.4, 6.5  # inches: the widest name; the panel with the names
RESAMPLES, LEVEL = 2000, 0.95
# (method, data set) -> one score per seed.
Scores = dict[tuple[str, str], np.ndarray]


def ranks(report: Report) -> Figure:
    """Draw the methods by their mean rank over data sets, 1 for the highest CAscore; equal scores share a rank.

    Methods that miss a data set are left out and named below. See `mean_ranks` for the intervals.

    Raises:
        ValueError: several sources or tiers.
        UserError: no record.
    """
    table = report.table[report.table["name"] == "CAscore"]
    cells = table.groupby(["method", "dataset"])["value"]
    scores = {(str(key[0]), str(key[1])): values.to_numpy(float) for key, values in cells}
    sets, style = datasets(report), styles(methods(report))
    whole = [method for method in style if all((method, dataset) in scores for dataset in sets)]
    title = f"Mean rank by CAscore over data sets: {', '.join(sets)} ({board(report)})"
    found = mean_ranks({key: scores[key] for key in scores if key[0] in whole}) if whole else pd.DataFrame()

    labels = [wrapped(name, NAME, TEXT) for name in found.index]
    heights = [text_height(label, TEXT) + 0.1 for label in labels]
    made = sheet(title, _notes(report, whole, found), (WIDTH, max(sum(heights), 0.6) + 0.7))
    axes = made.add_subplot()
    # A name of several lines takes the room of several.
    places = np.cumsum(heights) - np.array(heights) / 2
    for place, line in zip(places, found.itertuples(), strict=True):
        axes.plot([line.low, line.high], [place, place], color=style[line.Index]["color"], linewidth=1.2)
        axes.plot(line.rank, place, markersize=7, **style[line.Index])
    axes.set_yticks(places, labels, fontsize=TEXT)
    axes.set(xlim=(0.7, max(2, len(whole)) + 0.3), ylim=(max(sum(heights), 0.6), 0))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("mean rank (1 is best)", fontsize=TEXT)
    axes.tick_params(labelsize=TEXT)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return literal(made)


def mean_ranks(scores: Scores, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Return each method's mean rank over data sets, with its 95 % interval, the best first.

    Resampled are the training seeds: in every draw each cell's scores are drawn with replacement, apart from
    those of other cells, and the methods are ranked again by their means. The data sets are not resampled: the
    interval holds for new seeds on these data sets. As in `cabench.stats`, it is the mean rank +- t times the
    standard deviation of the draws, clipped to the ranks there are. Deviations of a cell's drawn means are
    stretched by sqrt(n / (n - 1)), since n draws of n seeds understate their spread; the degrees of freedom are
    those of the cell with the fewest seeds, times the data sets.

    Args:
        scores: one for every pair of a method and a data set; higher is better.
        resamples: how often the seeds are drawn.

    Returns:
        Index method; columns rank, low and high. The latter are NaN for a method with fewer than three seeds on
        a data set, and for all if a cell has but one.
    """
    names, sets = (sorted({key[i] for key in scores}) for i in (0, 1))
    rng = np.random.default_rng(0)
    means, draws = np.empty((len(names), len(sets))), np.empty((resamples, len(names), len(sets)))
    for place in np.ndindex(means.shape):
        values = scores[names[place[0]], sets[place[1]]]
        n = len(values)
        means[place] = values.mean()
        drawn = values[rng.integers(n, size=(resamples, n))].mean(axis=1)
        draws[:, *place] = means[place] + (drawn - means[place]) * np.sqrt(n / max(1, n - 1))
    # Means of equal scores in another order differ in the last digits; they shall tie.
    rank, of_draws = (_ranks(-a.round(12)).mean(axis=-1) for a in (means, draws))
    fewest = np.array([min(len(scores[name, dataset]) for dataset in sets) for name in names])
    # The rank of a method with seeds enough depends on the luck of others, which one seed does not show.
    sure = (fewest >= LEAST_SEEDS) & (fewest.min() > 1)
    width = quantile(LEVEL, len(sets) * (fewest.min() - 1))
    half = np.where(sure, width * of_draws.std(axis=0, ddof=1), np.nan)
    bounds = {"low": np.maximum(rank - half, 1), "high": np.minimum(rank + half, len(names))}
    return pd.DataFrame({"rank": rank} | bounds, index=names).sort_values("rank", kind="stable")


def _ranks(scores: np.ndarray) -> np.ndarray:
    """Return the ranks of scores (..., methods, data sets) among methods, 1 for the least; equal ones share one."""
    lines = np.swapaxes(scores, -1, -2)
    ranks = pd.DataFrame(lines.reshape(-1, lines.shape[-1])).rank(axis=1).to_numpy()
    return np.swapaxes(ranks.reshape(lines.shape), -1, -2)


def _notes(report: Report, whole: list[str], found: pd.DataFrame) -> list[str]:
    unsure = found.index[found["low"].isna()] if whole else []
    notes = ["Bars: 95 % intervals for other training seeds on these data sets, bootstrapped within each."]
    if len(unsure):
        notes.append(
            f"No bar: {', '.join(unsure)}. It takes three seeds on every data set, and two of every other method."
        )
    left_out = [name for name in methods(report) if name not in whole]
    if left_out:
        notes.append(f"Left out, for want of a CAscore on every data set: {', '.join(left_out)}.")
    return notes + holes(report, ["CAscore"])
