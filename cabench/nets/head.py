"""Projection heads."""

from __future__ import annotations

from torch import nn

HIDDEN = 128


def projector(dim: int) -> nn.Sequential:
    """Return Linear(dim, 128) - BatchNorm - ReLU - Linear(128, dim), the head of SepCLR (METHODS 2.1)."""
    return nn.Sequential(nn.Linear(dim, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, dim))
