"""The textbook formulas on whole matrices, as their authors publish them: the slow side of every comparison.

In float64 they are the truth that other backends are measured against. In float32 they have the published faults:
uniformity is -inf, with gradients that are NaN, where all rows are far apart, and the MMD is off by percents, for
its narrow kernels meet the rounding of distances that are 0 (PERFORMANCE 1.2, 1.6). They keep several matrices of
n x n, and uniformity's gradient one of n x n x d.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cabench.losses.mmd import SCALES


def uniformity(x: Tensor, tau: float = 0.5, precision: str = "default") -> Tensor:
    """Return the logarithm of the mean over all pairs of different rows."""
    return torch.pdist(x).pow(2).mul(-1 / (2 * tau)).exp().mean().log()


def joint_entropy(c: Tensor, s: Tensor, tau: float = 0.5, precision: str = "default") -> Tensor:
    """Return the mean over rows of the logarithm of the mean over rows."""
    return (_kernel(c, tau) * _kernel(s, tau)).mean(-1).log().mean()


def sepclr_pairwise(
    c: Tensor, s: Tensor, target: Tensor, tau: float = 0.5, precision: str = "default"
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the three losses, one after the other."""
    return uniformity(c, tau), uniformity(s, tau), joint_entropy(c, s, tau)


def mmd(a: Tensor, b: Tensor, precision: str = "default") -> Tensor:
    """Return the means of the kernels within both groups, without twice the one between them."""
    return _kernels(a, a).mean() + _kernels(b, b).mean() - 2 * _kernels(a, b).mean()


def supervised_alignment(s: Tensor, y: Tensor, tau: float = 0.5, precision: str = "default") -> Tensor:
    """Return the mean over pairs of different rows of the weighted squared distances."""
    weights = torch.pdist(y).pow(2).mul(-1 / (2 * tau)).exp()
    return (weights * torch.pdist(s).pow(2)).mean()


def _kernel(x: Tensor, tau: float) -> Tensor:
    return torch.cdist(x, x).pow(2).mul(-1 / (2 * tau)).exp()


def _kernels(a: Tensor, b: Tensor) -> Tensor:
    squared = torch.cdist(a, b).pow(2)
    return torch.stack([(-scale * squared).exp() for scale in SCALES]).sum(0)
