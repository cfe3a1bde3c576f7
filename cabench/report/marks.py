"""Which score of a column is the best, and which the second, as far as the seeds can tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from cabench.stats import paired_difference

Mark = Literal["best", "second"]
PLACES: tuple[Mark, Mark] = ("best", "second")


def marks(scores: Mapping[str, Mapping[int, float]], direction: Literal["higher", "lower"]) -> Mapping[str, Mark]:
    """Return the marks of one column: a place is given only if it is beyond the next one's reach.

    The first is "best" if the 95 % interval of its paired difference to the second, seed by seed, excludes 0; the
    second is "second" if its difference to the third does. Without three seeds in common nothing is told apart.

    Args:
        scores: method -> seed -> value; a method without any has no place.
        direction: which values are better.
    """
    means = {method: sum(seeds.values()) / len(seeds) for method, seeds in scores.items() if seeds}
    ordered = sorted(means, key=lambda method: means[method], reverse=direction == "higher")
    found: dict[str, Mark] = {}
    for place, first, next_one in zip(PLACES, ordered, ordered[1:], strict=False):
        if not _apart(scores[first], scores[next_one]):
            break
        found[first] = place
    return found


def _apart(one: Mapping[int, float], other: Mapping[int, float]) -> bool:
    shared = sorted(set(one) & set(other))
    try:
        interval = paired_difference([one[seed] for seed in shared], [other[seed] for seed in shared])
    except ValueError:  # too few seeds in common, or none
        return False
    return not interval.low <= 0 <= interval.high
