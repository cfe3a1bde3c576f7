"""The contract of a method: `fit` on a training split, `embed` images into a common and a salient code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from cabench.codes import Codes, Split
from cabench.errors import UserError
from cabench.params import check

if TYPE_CHECKING:
    from cabench.checkpoint import Checkpoint

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
        device: "cpu" or "cuda", where a fit multiplies and convolves in bfloat16.
        threads: CPU threads of torch during the fit; None leaves them as they are.
        progress: called with (finished epochs, all epochs).
        checkpoint: where the fit leaves its state after each epoch, and goes on from; None if it cannot be resumed.
    """

    seed: int = 0
    device: str = "cpu"
    threads: int | None = None
    progress: Callable[[int, int], None] = _silent
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True)
class State:
    """What a fit learned, in types that a file can hold without pickle.

    Attributes:
        arrays: name -> array.
        facts: JSON values.
    """

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


class Method(ABC):
    """Subclass it in one file of `methods/`. The constructor stores its keyword parameters and does nothing else.

    A dataclass with the declarations of `cabench.params` has them checked when it is made.

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

    def __post_init__(self) -> None:
        """Check the parameters of a dataclass; raises UserError for a value that its declaration forbids."""
        check(type(self), vars(self), self.name)

    def accept(self, train: Split) -> None:
        """Look whether it can be fitted on a split, before anything is trained.

        Raises:
            UserError: it cannot; here, because the split is empty.
        """
        if len(train) == 0:
            raise UserError(f"'{self.name}' needs images to train.")

    @abstractmethod
    def fit(self, train: Split, validation: Split | None = None, context: Context = Context()) -> Self:
        """Learn from `train` and forget any earlier fit; `validation` may be watched, never fitted.

        Learned state goes into attributes whose names end in `_`.
        """

    @abstractmethod
    def embed(self, x: np.ndarray) -> Codes:
        """Return the codes of uint8 images (n, channels, ...): deterministic, each image on its own."""

    def state(self) -> State:
        """Return what `fit` learned: by default the attributes whose names end in `_`."""
        learned = {name: value for name, value in vars(self).items() if name.endswith("_")}
        arrays = {name: value for name, value in learned.items() if isinstance(value, np.ndarray)}
        return State(arrays, {name: value for name, value in learned.items() if name not in arrays})

    def restore(self, state: State) -> Self:
        """Take the state of another fit with the same parameters; `embed` then gives the same codes."""
        vars(self).update({**state.arrays, **state.facts})
        return self
