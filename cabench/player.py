"""What a training step is made of: who steps, on which loss, with which random draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cabench.codes import Batch

Terms = dict[str, tuple[Tensor, float]]
# What the validation loss did when the budget ended.
Trend = Literal["flat", "falling", "rising"]


@dataclass(frozen=True)
class Draws:
    """The random streams of a training step."""

    augmentation: torch.Generator
    noise: torch.Generator


@dataclass(frozen=True)
class Player:
    """Networks that step together on a loss of their own, all others held still: the model, a discriminator.

    Attributes:
        name: stands before its terms in the history, but for the last player's.
        networks: names of the networks that move.
        loss: returns the terms: name -> (raw scalar, weight).
        learning_rate: of its Adam, with warm-up and cosine.
        betas: of its Adam.
        steps: steps per batch.
    """

    name: str
    networks: tuple[str, ...]
    loss: Callable[[Batch, Draws], Terms]
    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)
    steps: int = 1
