"""Ratios of densities by a discriminator, on logits: cross-entropy for it, its logit for the others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def binary_loss(logits: Tensor, truth: float) -> Tensor:
    """Return the mean binary cross-entropy of logits (n, 1) or (n,) against one truth, 0 or 1; 0 for no rows."""
    if logits.numel() == 0:
        return 0.0 * logits.sum()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))


def deranged(codes: Tensor, generator: torch.Generator) -> Tensor:
    """Return the rows of codes (n, d) in a random order in which no row keeps its place, if there are two."""
    order = torch.randperm(len(codes), generator=generator, device=codes.device)
    source = torch.empty_like(order)
    source[order] = order.roll(1)
    return codes[source]


def dependence_loss(discriminator: nn.Module, c: Tensor, s: Tensor, generator: torch.Generator) -> Tensor:
    """Return the loss of telling pairs of one image (1) from pairs of two images (0).

    Args:
        discriminator: (n, d_c + d_s) -> logits (n, 1).
        c: common codes (n, d_c).
        s: salient codes (n, d_s).
        generator: draws the partners, by a derangement (P4).
    """
    own = discriminator(torch.cat([c, s], 1))
    others = discriminator(torch.cat([c, deranged(s, generator)], 1))
    return binary_loss(own, 1.0) + binary_loss(others, 0.0)


def mean_logit(discriminator: nn.Module, c: Tensor, s: Tensor) -> Tensor:
    """Return the mean logit of pairs of one image, the estimate of KL(q(c, s) || q(c) q(s)); 0 for no rows."""
    logits: Tensor = discriminator(torch.cat([c, s], 1))
    return logits.sum() / max(1, len(c))
