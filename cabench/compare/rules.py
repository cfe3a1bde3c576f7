"""What change of a metric matters, as `--fail-on` says it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cabench.compare.baseline import SLOWNESS
from cabench.errors import UserError, did_you_mean
from cabench.metrics.catalogue import METRICS


@dataclass(frozen=True)
class Rule:
    """What change of a metric matters.

    Attributes:
        metric: its name.
        tolerance: a loss of so much must not pass; above 0, in the metric's unit.
        higher: whether higher is better.
        allowed: a loss that may surely be there.
        ratio: whether values are compared by their ratio; tolerance and allowed are logarithms then.
    """

    metric: str
    tolerance: float
    higher: bool
    allowed: float = 0.0
    ratio: bool = False


def parse_rule(text: str) -> Rule:
    """Read "CAscore:-0.05" or "leak:+0.05": the sign is that of a loss.

    Raises:
        UserError: it is malformed, names no metric, or its sign is that of a gain.

    >>> parse_rule("leak:+0.05")
    Rule(metric='leak', tolerance=0.05, higher=False, allowed=0.0, ratio=False)
    """
    metric, _, loss = text.partition(":")
    try:
        size = float(loss)
    except ValueError:
        size = math.nan
    if not (math.isfinite(size) and size):
        raise UserError(f"--fail-on is written CAscore:-0.05, a metric and the loss that fails, not '{text}'.")
    if metric not in METRICS:
        raise UserError(f"--fail-on: there is no metric '{metric}'.{did_you_mean(metric, METRICS)}")
    higher = METRICS[metric].direction == "higher"
    if (size < 0) != higher:
        better = "higher" if higher else "lower"
        sign = "-" if higher else "+"
        raise UserError(f"{metric} is better when {better}: write its loss as {metric}:{sign}{abs(size):g}.")
    return Rule(metric, abs(size), higher)


def speed_rule(slowdown: float) -> Rule:
    """Return the rule that a cell must not surely be slower than so many times the baseline.

    Raises:
        UserError: `slowdown` is not a number above 1.
    """
    if not (math.isfinite(slowdown) and slowdown > 1):
        raise UserError(f"--slowdown is how many times slower fails, a number above 1, not {slowdown:g}.")
    return Rule(SLOWNESS, math.log(slowdown), higher=False, allowed=math.log(slowdown), ratio=True)
