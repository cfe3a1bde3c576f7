"""Alignment, uniformity and joint entropy (SepCLR, METHODS 2.1) on squared distances and logsumexp.

Everything runs in float32 (float64 if the input is) with autocast off. No root is taken, so every gradient
at a zero distance is zero and never NaN.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

TEMPERATURE = 0.5


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


def alignment(a: Tensor, b: Tensor, weights: Tensor | None = None, tau: float = TEMPERATURE) -> Tensor:
    """Return mean_i ||a_i - b_i||^2 / (2 tau) for a, b (n, d).

    Args:
        a: codes of one view (n, d).
        b: codes of the other view (n, d).
        weights: (n,), 1 for rows that count and 0 for the others; with none that count the result is 0.
        tau: temperature.
    """
    with torch.autocast(a.device.type, enabled=False):
        a, b = (z if z.dtype == torch.float64 else z.float() for z in (a, b))
        distances = (a - b).square().sum(1) / (2 * tau)
        weights = torch.ones_like(distances) if weights is None else weights.to(distances)
        return (distances * weights).sum() / weights.sum().clamp(min=1)


def uniformity(x: Tensor, tau: float = TEMPERATURE) -> Tensor:
    """Return log mean_{i<j} exp(-||x_i - x_j||^2 / (2 tau)) for x (n, d): one log, the diagonal left out.

    With fewer than two rows it is exactly 0, connected to the graph.
    """
    n = len(x)
    if n < 2:
        return 0.0 * x.sum()
    with torch.autocast(x.device.type, enabled=False):
        exponents = -squared_distances(x) / (2 * tau)
        off = ~torch.eye(n, dtype=torch.bool, device=x.device)
        return torch.logsumexp(exponents.masked_fill(~off, -math.inf).flatten(), 0) - math.log(n * (n - 1))


def joint_entropy(c: Tensor, s: Tensor, tau: float = TEMPERATURE) -> Tensor:
    """Return mean_i log mean_j exp(-(||c_i - c_j||^2 + ||s_i - s_j||^2) / (2 tau)), j = i included.

    Minus the kernel density estimate of the joint entropy H(c, s): adding it to a loss spreads the pairs.

    Args:
        c: common codes (n, d_c).
        s: salient codes (n, d_s).
        tau: temperature.
    """
    if len(c) == 0:
        return 0.0 * (c.sum() + s.sum())
    with torch.autocast(c.device.type, enabled=False):
        exponents = -(squared_distances(c) + squared_distances(s)) / (2 * tau)
        return torch.logsumexp(exponents, 1).mean() - math.log(len(c))
