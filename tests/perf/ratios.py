"""How many times faster one function is than another, on a machine that others use too."""

from __future__ import annotations

import time
import warnings
from statistics import median

import numpy as np

SHORTEST = 0.03  # CPU seconds that one measurement should take at least
FIRST_ROUNDS = 7


def seconds(function, repeats=1):
    """Return the CPU time of one call, the mean of some."""
    start = time.process_time()
    for _ in range(repeats):
        function()
    return (time.process_time() - start) / repeats


def interleaved(slow, fast, rounds):
    """Return slow / fast of each round, in which both take turns: what slows the machine down slows both."""
    repeats = [max(1, round(SHORTEST / max(1e-6, min(seconds(f) for _ in range(2))))) for f in (slow, fast)]
    found = []
    for turn in range(rounds):
        pair = [(slow, repeats[0]), (fast, repeats[1])]
        times = [seconds(*one) for one in (pair if turn % 2 == 0 else reversed(pair))]
        found.append(times[0] / times[1] if turn % 2 == 0 else times[1] / times[0])
    return found


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
