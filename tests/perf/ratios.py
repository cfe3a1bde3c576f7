"""How many times faster one function is than another, on a machine that others use too."""

from __future__ import annotations

import warnings
from statistics import median

import numpy as np

from cabench.profiling.timing import takes

FIRST_ROUNDS = 7


def interleaved(slow, fast, rounds):
    """Return slow / fast of each round, in CPU time."""
    return [before / after for before, after in takes([slow, fast], rounds)]


def interval(values, resamples=2000):
    """Return the bootstrap interval of 95 % of a median."""
    draws = np.random.default_rng(0).choice(values, (resamples, len(values)))
    return tuple(float(end) for end in np.quantile(np.median(draws, 1), [0.025, 0.975]))


def gate(slow, fast, bar, rounds=FIRST_ROUNDS):
    """Fail if `fast` is surely not `bar` times as fast as `slow`, by a second and longer look too; print the ratio.

    Only the favourable end of the interval can fail; a median below the bar inside it is a warning.
    """
    for attempt in (rounds, 3 * rounds):
        ratios = interleaved(slow, fast, attempt)
        low, high = interval(ratios)
        words = f"{median(ratios):.2f}x [{low:.2f}, {high:.2f}], bar {bar}x, {attempt} rounds"
        print(words)
        if high >= bar:
            break
    assert high >= bar, words
    if median(ratios) < bar:
        warnings.warn(f"inconclusive: {words}", stacklevel=2)
