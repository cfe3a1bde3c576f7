"""Counterfactuals: one image's salient content on another image that is otherwise the same."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np

# What becomes of a chunk's draw (n, ...) that belongs to the salient content; called in the order of the draws.
Exchange = Callable[[np.ndarray], np.ndarray]


def exchanged(values: np.ndarray, wear: np.ndarray | None, bare: float) -> np.ndarray:
    """Return salient values (n,) as `wear` (see `Dataset.synthetic`) deals them out, `bare` where it is -1."""
    if wear is None:
        return values
    return np.where(wear < 0, bare, values[wear]).astype(values.dtype)


class Wardrobe:
    """Deals out the draws that shape the salient content: those of the image that is worn.

    Such draws stand between others in one random stream, so what an image lends is known only once its chunk was
    painted. If images wear others', everything is painted twice: `keep` notes the draws, `lend` deals them out.

    Args:
        wear: as in `Dataset.synthetic` (n,).

    """

    def __init__(self, wear: np.ndarray | None) -> None:
        self._wear = wear
        self._kept: list[np.ndarray] = []  # number of the draw within its chunk -> (n, ...)
        self.lends = wear is not None and bool((wear >= 0).any())

    def keep(self, rows: slice) -> Exchange:
        """Return what notes the draws of the images `rows`, and leaves each its own."""
        assert self._wear is not None
        n, numbers = len(self._wear), count()

        def exchange(values: np.ndarray) -> np.ndarray:
            number = next(numbers)
            if number == len(self._kept):
                self._kept.append(np.empty((n, *values.shape[1:]), values.dtype))
            self._kept[number][rows] = values
            return values

        return exchange

    def lend(self, rows: slice) -> Exchange:
        """Return what replaces the draws of the images `rows` by those of the images that they wear."""
        if self._wear is None or not self.lends:
            return lambda values: values
        wear, draws = self._wear[rows], iter(self._kept)
        return lambda values: next(draws)[wear]
