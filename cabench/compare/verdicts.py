"""A verdict per cell and metric, from the intervals of what has changed."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cabench.compare.baseline import Cell, Scores
from cabench.compare.rules import Rule
from cabench.errors import UserError
from cabench.stats import LEAST_SEEDS, Interval, detectable_difference, paired_difference, unpaired_difference

Verdict = Literal["worse", "missing", "inconclusive", "better", "same"]
VERDICTS: tuple[Verdict, ...] = ("worse", "missing", "inconclusive", "better", "same")
FAILING: tuple[Verdict, ...] = ("worse", "missing")
ALARMS = 1 / 200  # the share of comparisons of unchanged code that may call any cell worse
POWER = 0.95
MOST_SEEDS = 100
ROUNDING = 1e-9  # 0.45 is less than 0.05 below 0.5


@dataclass(frozen=True)
class Change:
    """What has changed in one metric of one cell.

    Attributes:
        then, now: means over the seeds that the interval is made of.
        interval: of now - then, in the metric's unit; of times, of the logarithm of their ratio.
        sd: the spread of one seed's change, in the same unit.
        level: the confidence level of the interval.
    """

    then: float
    now: float
    interval: Interval
    sd: float
    level: float


@dataclass(frozen=True)
class Comparison:
    """A verdict, and what it stands on.

    Attributes:
        cell, rule: what was compared.
        verdict: one of `VERDICTS`.
        change: None if the cell is missing.
        flaw: why it is missing.
    """

    cell: Cell
    rule: Rule
    verdict: Verdict
    change: Change | None = None
    flaw: str = ""

    def seeds_needed(self) -> int | None:
        """Return how many seeds, of baseline and results each, find a loss that matters; None: more than 100.

        At this spread and level, in 95 % of cases.
        """
        assert self.change
        sd, level, loss = self.change.sd, self.change.level, self.rule.tolerance
        counts = range(LEAST_SEEDS, MOST_SEEDS + 1)
        first = bisect_left(counts, True, key=lambda n: detectable_difference(sd, n, level, POWER) <= loss)
        return counts[first] if first < len(counts) else None


def compare(baseline: Scores, results: Scores, rules: Iterable[Rule]) -> list[Comparison]:
    """Return a comparison for every cell of the baseline and every rule, the gravest first.

    The chance that unchanged code run on other seeds is called worse anywhere is at most 1 in 200: Bonferroni
    over all comparisons (Dunn 1961).

    Raises:
        UserError: a rule names a metric that a cell of the baseline lacks.
    """
    rules = list(rules)
    # An interval errs on either side; only one of them is an alarm.
    level = 1 - 2 * ALARMS / (len(baseline.cells) * len(rules))
    found = list(_comparisons(baseline, results, rules, level))
    return sorted(found, key=lambda one: (VERDICTS.index(one.verdict), one.cell, one.rule.metric))


def judge(then: Mapping[int, float], now: Mapping[int, float], rule: Rule, level: float) -> tuple[Verdict, Change]:
    """Return the verdict on one metric of one cell: seed -> value, before and after.

    Worse: surely a loss of more than `rule.allowed`, and one of `rule.tolerance` cannot be excluded. Better: the
    mirror image. Same: surely no change of `rule.tolerance`. Inconclusive: so few seeds cannot tell.

    With three seeds in common, the interval is the narrower of two, each with half of the error: of those seeds,
    paired, and of all seeds. Where the same seed gives nearly the same number, the first is narrow; where it does
    not, the second knows the spread from more seeds. Both hold at once with the confidence `level`, so either may
    be read.

    Raises:
        TooFewSeeds: fewer than three seeds before or after.
    """
    shared = sorted(then.keys() & now.keys())
    if len(shared) < LEAST_SEEDS:
        change = _change(then, now, rule, level)
    else:
        half = (1 + level) / 2
        pairs = {seed: then[seed] for seed in shared}, {seed: now[seed] for seed in shared}
        change = min(_change(*pairs, rule, half, paired=True), _change(then, now, rule, half), key=_width)
    return _verdict(change.interval, rule), change


def _change(
    then: Mapping[int, float], now: Mapping[int, float], rule: Rule, level: float, paired: bool = False
) -> Change:
    values = [np.array(list(scores.values())) for scores in (then, now)]
    old, new = (np.log(of) if rule.ratio else of for of in values)
    if paired:
        interval, sd = paired_difference(new, old, level), float(np.std(new - old, ddof=1))
    else:
        interval, sd = unpaired_difference(new, old, level), math.sqrt(2) * _spread(new, old)
    return Change(float(values[0].mean()), float(values[1].mean()), interval, sd, level)


def _width(change: Change) -> float:
    return change.interval.high - change.interval.low


def _verdict(interval: Interval, rule: Rule) -> Verdict:
    low, high = (interval.low, interval.high) if rule.higher else (-interval.high, -interval.low)
    matters = rule.tolerance - ROUNDING
    if high < -rule.allowed and low <= -matters:
        return "worse"
    if low > rule.allowed and high >= matters:
        return "better"
    return "same" if -matters < low and high < matters else "inconclusive"


def _comparisons(baseline: Scores, results: Scores, rules: list[Rule], level: float) -> Iterator[Comparison]:
    for cell, values in baseline.cells.items():
        for rule in rules:
            then = values.get(rule.metric)
            if then is None:
                raise UserError(f"The baseline has no '{rule.metric}'; it holds {', '.join(values)}.")
            now = results.cells.get(cell, {}).get(rule.metric, {})
            flaw = results.flaws.get(cell, "")
            if not flaw and len(now) < LEAST_SEEDS:
                flaw = f"{len(now)} of at least {LEAST_SEEDS} seeds have been run"
            if flaw:
                yield Comparison(cell, rule, "missing", flaw=flaw)
            else:
                yield Comparison(cell, rule, *judge(then, now, rule, level))


def _spread(*groups: NDArray[np.float64]) -> float:
    """Return the standard deviation within groups."""
    squares = sum(float(group.var()) * len(group) for group in groups)
    return math.sqrt(squares / (sum(map(len, groups)) - len(groups)))
