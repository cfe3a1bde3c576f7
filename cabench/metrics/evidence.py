"""What every metric is computed from: the codes and labels of three splits, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from cabench.codes import Codes, Factor, Space, Split
from cabench.metrics.catalogue import METRICS

PARTS = ("train", "validation", "test")
# A code (n, d) and the values (n,) of a factor; and those of train, validation and test.
Pair = tuple[np.ndarray, np.ndarray]
Probed = tuple[Pair, Pair, Pair]
# (factor, metric) -> the supervised score.
Ceilings = Mapping[tuple[str, str], float]
# One value: name, factor, space, home, rows, value, chance, ceiling, direction, n and what a family adds.
Row = dict[str, Any]
# The key of a row under which a probe's points for the test rows travel; a record keeps them apart.
PREDICTED = "predicted"


@dataclass(frozen=True)
class Part:
    """One split of a cell, without its images.

    Attributes:
        codes: both codes (n, d).
        y: groups (n,).
        labels: factor name -> values (n,); NaN where missing.
        groups: patient or identity (n,).
    """

    codes: Codes
    y: np.ndarray
    labels: Mapping[str, np.ndarray]
    groups: np.ndarray

    @classmethod
    def of(cls, split: Split, codes: Codes) -> Part:
        """Return what metrics may see of a split."""
        return cls(codes, split.y, split.labels, split.groups)

    def rows(self, factor: Factor) -> np.ndarray:
        """Return the boolean rows (n,) on which a factor is probed: its own, where the label is known."""
        known: np.ndarray = factor.mask(self.y) & ~np.isnan(self.labels[factor.name])
        return known

    def values(self, factor: Factor, rows: np.ndarray) -> np.ndarray:
        """Return a factor's values on boolean rows: integers if it has classes."""
        column: np.ndarray = self.labels[factor.name][rows]
        return column.astype(np.int64) if factor.classes else column


@dataclass(frozen=True)
class Swaps:
    """Test images whose salient code was swapped, beside what that should have given.

    Attributes:
        drawn: float (n, channels, ...) in [0, 1], background images with the salient code of a target.
        background: the same shape, the background images.
        truth: the same shape, the true composites.
        rebuilt: the same shape, the background images as the method rebuilds them.
    """

    drawn: np.ndarray
    background: np.ndarray
    truth: np.ndarray
    rebuilt: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """Everything that is known of a cell when it is measured.

    Attributes:
        factors: the data set's factors, `target` included.
        train, validation, test: the splits' codes and labels.
        ceilings: what supervision reads; without it nothing can be put on a scale.
        cost: what the fit took: see `cabench.metrics.cost`.
        swaps: draws swapped images; None if the method draws none or nobody knows the truth.
    """

    factors: tuple[Factor, ...]
    train: Part
    validation: Part
    test: Part
    ceilings: Ceilings = field(default_factory=lambda: MappingProxyType({}))
    cost: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    swaps: Callable[[], Swaps | None] | None = None

    @property
    def parts(self) -> tuple[Part, Part, Part]:
        """The splits in the order of a probe: it is fitted, chosen and scored on them."""
        return self.train, self.validation, self.test

    def probed(self, factor: Factor, space: Space) -> Probed:
        """Return (code, values) of train, validation and test on the rows of a factor."""

        def pair(part: Part) -> Pair:
            rows = part.rows(factor)
            return part.codes[space][rows], part.values(factor, rows)

        return pair(self.train), pair(self.validation), pair(self.test)

    def row(self, name: str, value: float, factor: Factor | None = None, **more: Any) -> Row:
        """Return one row of a record; `more` overrides the columns of a cell's summary."""
        row = {
            "name": name,
            "factor": factor.name if factor else None,
            "space": None,
            "home": factor.home if factor else None,
            "rows": factor.rows if factor else "all",
            "value": float(value),
            "chance": None,
            "ceiling": self.ceilings.get((factor.name, name)) if factor else None,
            "direction": METRICS[name].direction,
            "n": len(self.test.y),
        }
        return row | more


Rows = Iterator[Row]
