"""Supervised alignment: squared distances of codes, weighted by a kernel of the attributes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cabench.losses.backends.tiled.tiles import LOG2_E, Scratch, length, pairs, tiles
from cabench.losses.once import once


def supervised_alignment(s: Tensor, y: Tensor, tau: float = 0.5, precision: str = "default") -> Tensor:
    """Return SA(s, y): see `cabench.losses.pairwise.supervised_alignment`."""
    value: Tensor = _SupervisedAlignment.apply(s, y, tau)
    return value


class _SupervisedAlignment(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, s: Tensor, y: Tensor, tau: float) -> Tensor:
        n, total, pulls = len(s), s.new_zeros((), dtype=torch.float64), torch.zeros_like(s)
        scratch = Scratch(s)
        for i, j in pairs(tiles(0, n, s.device)):
            W = _weights(y, i, j, tau, scratch)
            for column in range(s.shape[1]):
                # Codes and attributes are scalars or few: differences are exact and cost no more than a product.
                gaps = _gaps(s, i, j, column, scratch)
                weighted = torch.mul(W, gaps, out=scratch.take("weighted", *W.shape))
                pulls[i, column] += weighted.sum(1)
                if i != j:
                    pulls[j, column] -= weighted.sum(0)
                total.add_(torch.dot(weighted.flatten(), gaps.flatten()), alpha=1 if i == j else 2)
        ctx.save_for_backward(s, pulls.mul_(4 / (n * (n - 1))))
        return (total / (n * (n - 1))).to(s.dtype)

    @staticmethod
    @once
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        _, gradient = ctx.saved_tensors
        return outer * gradient, None, None


def _weights(y: Tensor, i: slice, j: slice, tau: float, scratch: Scratch) -> Tensor:
    W = scratch.take("W", length(i), length(j)).zero_()
    for column in range(y.shape[1]):
        gaps = _gaps(y, i, j, column, scratch)
        W.addcmul_(gaps, gaps, value=-LOG2_E / (2 * tau))
    return W.exp2_()


def _gaps(x: Tensor, i: slice, j: slice, column: int, scratch: Scratch) -> Tensor:
    return torch.sub(x[i, column, None], x[j, column], out=scratch.take("gaps", length(i), length(j)))
