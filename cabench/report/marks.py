"""Which score of a column is the best, and which the second, as far as the seeds can tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pandas as pd

from cabench.stats import TooFewSeeds, paired_difference

Mark = Literal["best", "second"]
PLACES: tuple[Mark, Mark] = ("best", "second")


def marks(scores: pd.DataFrame, direction: Literal["higher", "lower"]) -> Mapping[str, Mark]:
    """Return the marks of one column: a place is given only if it is beyond the next one's reach.

    The first is "best" if the 95 % interval of its paired difference to the second, seed by seed, excludes 0; the
    second is "second" if its difference to the third does. Without three seeds in common nothing is told apart.

    Args:
        scores: columns method, seed and value.
        direction: which values are better.
    """
    table = scores.pivot_table(values="value", index="seed", columns="method")
    ordered = table.mean().sort_values(ascending=direction == "lower", kind="stable").index
    found: dict[str, Mark] = {}
    for place, first, next_one in zip(PLACES, ordered, ordered[1:], strict=False):
        if not _apart(table[[first, next_one]].dropna()):
            break
        found[first] = place
    return found


def _apart(pair: pd.DataFrame) -> bool:
    try:
        interval = paired_difference(pair.iloc[:, 0].to_numpy(), pair.iloc[:, 1].to_numpy())
    except TooFewSeeds:
        return False
    return not interval.low <= 0 <= interval.high
