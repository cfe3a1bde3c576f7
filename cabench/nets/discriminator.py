"""Discriminators: they return logits, for a ratio of densities is a logit and log(p / (1 - p)) overflows."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
