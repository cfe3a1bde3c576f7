"""Divergences of diagonal Gaussians, summed over dimensions: one value per row (n,)."""

from __future__ import annotations

import math

from torch import Tensor


def kl_to_standard(mean: Tensor, logvar: Tensor) -> Tensor:
    """Return KL(N(mean, exp logvar) || N(0, 1)) for mean and logvar (n, d)."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1)


def kl_of_variances(mean: Tensor, variance: float, prior_variance: float) -> Tensor:
    """Return KL(N(mean, variance) || N(0, prior_variance)) for means (n, d)."""
    ratio = variance / prior_variance
    constant = 0.5 * (ratio - 1 - math.log(ratio)) * mean.shape[1]
    return mean.square().sum(1) / (2 * prior_variance) + constant
