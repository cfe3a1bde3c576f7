"""The frame -> scores: means over seeds with their intervals, and how they are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cabench.report.intervals import BOARD, Intervals
from cabench.stats import LEAST_SEEDS, Interval, seed_interval

NONE: Mapping[Any, Any] = MappingProxyType({})
HEADLINES = ("balanced_accuracy", "r2")


class Measurement(NamedTuple):
    """One metric of one seed."""

    seed: int
    value: float
    chance: float | None
    ceiling: float | None
    home: str | None


# (name, factor, space) of a metric -> its measurements, one per seed; what a metric does not have is None.
Measured = dict[tuple[str, str | None, str | None], list[Measurement]]


@dataclass(frozen=True)
class Score:
    """A mean over seeds, and half of its 95 % interval: 0 if nobody can tell."""

    mean: float
    half: float = 0.0

    @classmethod
    def of(cls, values: Iterable[float | None], known: Interval | None = None) -> Score | None:
        """Return the score of one value per seed, missing ones left out; None without any.

        Args:
            values: fewer than three have no interval.
            known: the interval, if it is more than the one over seeds.
        """
        numbers = np.array([value for value in values if value is not None and not math.isnan(value)])
        if not len(numbers):
            return None
        if known:
            return cls(float(numbers.mean()), (known.high - known.low) / 2)
        half = _half_width(len(numbers)) * float(numbers.std(ddof=1)) if len(numbers) >= LEAST_SEEDS else 0.0
        return cls(float(numbers.mean()), half)


def text(score: Score | None, digits: int = 2, interval: bool = True) -> str:
    """Return "mean ± half of its interval", "-" for None.

    Args:
        score: what is written.
        digits: after the point.
        interval: whether to show one, if it does not round to nothing.

    >>> text(Score(0.8, 0.246)), text(Score(-0.001)), text(None)
    ('0.80 ± 0.25', '0.00', '-')
    """
    if score is None:
        return "-"
    spread = f" ± {score.half:.{digits}f}" if interval and score.half > 10**-digits / 2 else ""
    return f"{np.round(score.mean, digits) + 0.0:.{digits}f}{spread}"


def measured(table: pd.DataFrame) -> dict[tuple[str, ...], dict[str, Measured]]:
    """Return (dataset, source, tier) -> method -> what was measured; nothing for a method that always failed."""
    found: dict[tuple[str, ...], dict[str, Measured]] = {}
    columns = [*BOARD, "method", "name", "factor", "space", *Measurement._fields]
    # Lists: a look at each of 100,000 rows through pandas takes a minute.
    lists = [table[column].astype(object).where(table[column].notna(), None).tolist() for column in columns]
    for dataset, source, tier, method, name, factor, space, *facts in zip(*lists, strict=True):
        of_method = found.setdefault((dataset, source, tier), {}).setdefault(method, {})
        if name is not None:
            of_method.setdefault((name, factor, space), []).append(Measurement(*facts))
    return {board: dict(sorted(methods.items())) for board, methods in sorted(found.items())}


def over_factors(metrics: Measured, name: str, space: str | None = None) -> Score | None:
    """Return the score of a metric, of several factors the mean, seed by seed.

    Args:
        metrics: of one method on one data set.
        name: the metric.
        space: the code, or None for a metric of both.
    """
    seeds: dict[int, list[float]] = {}
    for (found, _, of_space), rows in metrics.items():
        if found == name and space in (None, of_space):
            for row in rows:
                seeds.setdefault(row.seed, []).append(row.value)
    return Score.of(sum(values) / len(values) for values in seeds.values())


def aggregate(table: pd.DataFrame, intervals: Intervals = NONE) -> pd.DataFrame:
    """Return mean, sd, 95 % interval and number of seeds of every metric, failed cells left out."""
    keys = [*BOARD, "method", "name", "factor", "space", "rows", "direction"]
    grouped = table[table["status"] == "done"].groupby(keys, dropna=False, sort=True)
    lines = grouped.agg(
        mean=("value", "mean"),
        sd=("value", "std"),
        seeds=("seed", "nunique"),
        chance=("chance", "mean"),
        ceiling=("ceiling", "mean"),
        n=("n", "max"),
    ).reset_index()
    half = lines["sd"] * lines["seeds"].map(lambda seeds: _half_width(seeds) if seeds >= LEAST_SEEDS else np.nan)
    lines["low"], lines["high"] = lines["mean"] - half, lines["mean"] + half
    if intervals:
        place = [*BOARD, "method", "factor", "space"]
        known = pd.DataFrame([(*key, made.low, made.high) for key, made in intervals.items()])
        known = known.set_axis([*place, "known_low", "known_high"], axis=1)
        found = lines[place].merge(known, how="left", on=place)
        probes = lines["name"].isin(HEADLINES) & found["known_low"].notna()
        lines["low"] = lines["low"].where(~probes, found["known_low"])
        lines["high"] = lines["high"].where(~probes, found["known_high"])
    return lines[[*keys, "mean", "sd", "low", "high", "seeds", "chance", "ceiling", "n"]]


@cache
def _half_width(seeds: int) -> float:
    """Return half of the width of `seed_interval` for scores whose standard deviation is 1."""
    numbers = np.arange(seeds)
    interval = seed_interval(numbers)
    return float((interval.high - interval.low) / 2 / numbers.std(ddof=1))
