"""Squared distances between all rows, as a matrix."""

from __future__ import annotations

import torch
from torch import Tensor


def squared_distances(x: Tensor) -> Tensor:
    """Return the matrix (n, n) of squared distances between the rows of x (n, d), its diagonal exactly 0.

    The rows are centred first: the Gram form loses digits to a common offset.
    """
    x = x if x.dtype == torch.float64 else x.float()
    x = x - x.mean(0, keepdim=True).detach()
    half = x.square().sum(1) / 2
    distances = 2 * (half[:, None] + half[None, :] - x @ x.T)
    off = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    return torch.where(off, distances.clamp(min=0), 0.0)
