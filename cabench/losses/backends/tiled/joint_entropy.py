"""Joint entropy: the mean of one logarithm per row."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from cabench.losses.backends.tiled.tiles import (
    LN_2,
    Rows,
    Scratch,
    add_products,
    add_sums,
    length,
    pairs,
    plain_products,
    tiles,
)
from cabench.losses.once import once


def joint_entropy(c: Tensor, s: Tensor, tau: float = 0.5, precision: str = "default") -> Tensor:
    """Return J(c, s): see `cabench.losses.pairwise.joint_entropy`."""
    # Distances add up, so the kernel of both codes is that of one longer code.
    value: Tensor = _JointEntropy.apply(torch.cat([c, s], 1), tau, precision)
    return value


class _JointEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, tau: float, precision: str) -> Tensor:
        with plain_products(x, precision):
            rows = Rows(x, tau)
            sums = _row_sums(rows)
        ctx.save_for_backward(x, sums)
        ctx.rows, ctx.precision = rows, precision
        return sums.log().mean(dtype=torch.float64).sub(math.log(len(x))).to(x.dtype)

    @staticmethod
    @once
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        _, sums = ctx.saved_tensors
        with plain_products(sums, ctx.precision):
            gradient = _gradient(ctx.rows, sums)
        return outer * gradient, None, None


def _row_sums(rows: Rows) -> Tensor:
    """Return sum_j K_ij (n,): each has the 1 of a row with itself, so none overflows or lacks a logarithm."""
    scratch, sums = Scratch(rows.z), torch.ones_like(rows.z[:, 0])
    for i, j in pairs(tiles(0, len(sums), sums.device)):
        add_sums(sums, i, j, rows.kernel(i, j, scratch.take("K", length(i), length(j))))
    return sums


def _gradient(rows: Rows, sums: Tensor) -> Tensor:
    """Return dJ/dx (n, d), the Laplacian of the weights G_ij = K_ij (1 / r_i + 1 / r_j) / n applied to the rows."""
    z, scratch, inverse = rows.z, Scratch(rows.z), 1 / (len(sums) * sums)
    weights, products = torch.zeros_like(sums), torch.zeros_like(z)
    for i, j in pairs(tiles(0, len(z), z.device)):
        shape = length(i), length(j)
        G = rows.kernel(i, j, scratch.take("K", *shape))
        G *= torch.add(inverse[i, None], inverse[j], out=scratch.take("inverse", *shape))
        add_sums(weights, i, j, G)
        add_products(products, i, j, G, z)
    return products.sub_(weights[:, None] * z).mul_(LN_2 * rows.scale)
