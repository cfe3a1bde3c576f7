"""Discriminators: they return logits, for a ratio of densities is a logit and log(p / (1 - p)) overflows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def code_discriminator(dim: int) -> nn.Sequential:
    """Return Linear(dim, dim) - ReLU - Linear(dim, dim) - ReLU - Linear(dim, 1), SepVAE's (METHODS 2.9)."""
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 1))


class ImageCodeDiscriminator(nn.Module):
    """The features of an image beside a code, and a head of both to one logit.

    Args:
        trunk: (n, channels, ...) -> (n, features).
        head: (n, features + dim) -> (n, 1).

    Shape: (n, channels, ...) and (n, dim) -> (n,).
    """

    def __init__(self, trunk: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, image: Tensor, code: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.head(torch.cat([self.trunk(image), code], 1))
        return logits[:, 0]


@contextmanager
def still_statistics(network: nn.Module) -> Iterator[None]:
    """Normalise by the batch as in training, but keep the running statistics of every BatchNorm as they are.

    For images that a generator drew: codes are computed with the running statistics, which shall be the data's.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
