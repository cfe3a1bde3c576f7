"""Uniformity: the logarithm of one sum, whose gradient is there as soon as the sum is."""

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

# Below it the sum over pairs loses digits to the smallest float32, about 1e-38 for each.
UNDERFLOW = 1e-20


def uniformity(x: Tensor, tau: float = 0.5, precision: str = "default") -> Tensor:
    """Return U(x): see `cabench.losses.pairwise.uniformity`."""
    value: Tensor = _Uniformity.apply(x, tau, precision)
    return value


class _Uniformity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, tau: float, precision: str) -> Tensor:
        with plain_products(x, precision):
            value, gradient = value_and_gradient(x, tau, ctx.needs_input_grad[0])
        ctx.save_for_backward(x, gradient)
        return value

    @staticmethod
    @once
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        _, gradient = ctx.saved_tensors
        return outer * gradient, None, None


def value_and_gradient(x: Tensor, tau: float, differentiate: bool) -> tuple[Tensor, Tensor | None]:
    """Return U(x) and, if asked, dU/dx (n, d)."""
    rows = Rows(x, tau)
    sums, products = _sweep(rows, differentiate)
    total = sums.sum(dtype=torch.float64)
    if total < UNDERFLOW:
        return far_value_and_gradient(x, tau, differentiate)
    return _finish(rows, sums, products, total, 0.0, x)


def far_value_and_gradient(x: Tensor, tau: float, differentiate: bool) -> tuple[Tensor, Tensor | None]:
    """Return the same in float64 and relative to the closest pair, for rows so far apart that no kernel is left."""
    rows = Rows(x.double(), tau)
    shift = _largest_exponent(rows)
    sums, products = _sweep(rows, differentiate, shift)
    return _finish(rows, sums, products, sums.sum(), shift, x)


def _finish(
    rows: Rows, sums: Tensor, products: Tensor | None, total: Tensor, shift: float, x: Tensor
) -> tuple[Tensor, Tensor | None]:
    n = len(x)
    value = (total.log() + shift * LN_2 - math.log(n * (n - 1))).to(x.dtype)
    if products is None:
        return value, None
    slope = (2 * LN_2 * rows.scale / total).to(sums.dtype)
    return value, (slope * products.sub_(sums[:, None] * rows.z)).to(x.dtype)


def _sweep(rows: Rows, differentiate: bool, shift: float = 0.0) -> tuple[Tensor, Tensor | None]:
    """Return the row sums (n,) of the kernel, without its diagonal and times 2^-shift, and its product with z."""
    z, scratch = rows.z, Scratch(rows.z)
    sums, products = z.new_zeros(len(z)), torch.zeros_like(z) if differentiate else None
    for i, j in pairs(tiles(0, len(z), z.device)):
        K = rows.kernel(i, j, scratch.take("K", length(i), length(j)), shift)
        add_sums(sums, i, j, K)
        if products is not None:
            add_products(products, i, j, K, z)
    return sums, products


def _largest_exponent(rows: Rows) -> float:
    scratch, largest = Scratch(rows.z), -math.inf
    for i, j in pairs(tiles(0, len(rows.z), rows.z.device)):
        S = rows.exponents(i, j, scratch.take("S", length(i), length(j)))
        if i == j:
            S.fill_diagonal_(-math.inf)
        largest = max(largest, float(S.max()))
    return largest
