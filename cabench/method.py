"""The contract of a method: `fit` on a training split, `embed` images into a common and a salient code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np

from cabench.codes import Codes, Split

Kind = Literal["contrastive", "generative", "linear", "reference"]
Supervision = Literal["none", "domain", "attributes"]
Settings = dict[str, dict[str, dict[str, Any]]]


def _silent(epoch: int, epochs: int) -> None:
    """Take no notice of progress."""


@dataclass(frozen=True)
class Context:
    """What a fit needs besides data and parameters.

    Attributes:
        seed: the training seed; every random stream is derived from it.
        device: "cpu" or "cuda".
        threads: CPU threads of torch during the fit; None leaves them as they are.
        progress: called with (finished epochs, all epochs).
    """

    seed: int = 0
    device: str = "cpu"
    threads: int | None = None
    progress: Callable[[int, int], None] = _silent


class Method(ABC):
    """Subclass it in one file of `methods/`. The constructor only stores its keyword parameters.

    Attributes:
        name, title, paper: the card (plain string literals: they are listed without importing the file).
        kind: the family.
        supervision: what it uses of the labels: nothing, the group y, or the factors themselves.
        role: "ceiling" marks the method whose scores are the ceiling of every table, "floor" those that separate
            nothing on purpose and show what the images give away by themselves.
        settings: tier -> data set name or "*" -> parameters that differ from the signature's defaults.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    kind: ClassVar[Kind]
    supervision: ClassVar[Supervision]
    role: ClassVar[Literal["method", "floor", "ceiling"]] = "method"
    settings: ClassVar[Settings] = {}

    @abstractmethod
    def fit(self, train: Split, validation: Split | None = None, context: Context = Context()) -> Self:
        """Learn from `train` and forget any earlier fit; `validation` may be watched, never fitted.

        Learned state goes into attributes whose names end in `_`.
        """

    @abstractmethod
    def embed(self, x: np.ndarray) -> Codes:
        """Return the codes of uint8 images (n, channels, ...): deterministic, each image on its own."""
