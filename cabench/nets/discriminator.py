"""Discriminators: they return logits, for a ratio of densities is a logit and log(p / (1 - p)) overflows."""

from __future__ import annotations

from torch import nn


def code_discriminator(dim: int) -> nn.Sequential:
    """Return Linear(dim, dim) - ReLU - Linear(dim, dim) - ReLU - Linear(dim, 1), SepVAE's (METHODS 2.9)."""
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 1))
