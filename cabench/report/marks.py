"""Which score of a column is the best, and which the second, as far as the seeds can tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from cabench.stats import paired_difference

Mark = Literal["best", "second"]
PLACES: tuple[Mark, Mark] = ("best", "second")


def marks(scores: Mapping[str, Mapping[int, float]], direction: Literal["higher", "lower"]) -> Mapping[str, Mark]:
    """Return the marks of one column: a place is given only if it is beyond the next one's reach.

    The first by its mean is "best" if the 95 % interval of what it gains on the second, seed by seed, lies above 0;
    the second is "second" if what it gains on the third does. Without three seeds in common nothing is told apart.

    Args:
        scores: method -> seed -> value; a method without any has no place.
        direction: which values are better.
    """
    sign = 1 if direction == "higher" else -1
    means = {method: sum(seeds.values()) / len(seeds) for method, seeds in scores.items() if seeds}
    ordered = sorted(means, key=lambda method: means[method], reverse=direction == "higher")
    found: dict[str, Mark] = {}
    for place, first, next_one in zip(PLACES, ordered, ordered[1:], strict=False):
        if not _ahead(scores[first], scores[next_one], sign):
            break
        found[first] = place
    return found


def _ahead(one: Mapping[int, float], other: Mapping[int, float], sign: int) -> bool:
    shared = sorted(set(one) & set(other))
    try:
        gained = paired_difference([sign * one[seed] for seed in shared], [sign * other[seed] for seed in shared])
    except ValueError:  # too few seeds in common, or none
        return False
    # Means are over all seeds, differences over shared ones: they may disagree about who is ahead.
    return gained.low > 0
