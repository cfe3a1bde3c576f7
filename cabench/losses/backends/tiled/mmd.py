"""Maximum mean discrepancy: one symmetric sweep over the union of both groups, on differences of rows."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from cabench.losses.backends.tiled.tiles import LN_2, LOG2_E, Scratch, pairs, plain_products, tiles
from cabench.losses.mmd import SCALES
from cabench.losses.once import once

NOTHING_LEFT = 150.0  # 2^-150 rounds to 0 in float32, and is nothing beside the 1 of a row with itself in float64
FAR = 1e30  # a squared distance at which every kernel is 0


def mmd(a: Tensor, b: Tensor, precision: str = "default") -> Tensor:
    """Return MMD^2(a, b): see `cabench.losses.mmd.mmd`."""
    value: Tensor = _MMD.apply(a, b)
    return value


class _MMD(torch.autograd.Function):
    """sum_ij w_i w_j k(x_i, x_j) over the union x of a and b, with w = 1 / n for a and -1 / m for b."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        # Scaled for exponents of two, which are the cheaper ones.
        scale = math.sqrt(LOG2_E)
        x = torch.cat([a, b]) * scale
        # No tile mixes the groups, so a tile has one weight.
        parts = [(part, 1 / len(a)) for part in tiles(0, len(a), x.device)]
        parts += [(part, -1 / len(b)) for part in tiles(len(a), len(x), x.device)]
        # A row and itself: 1 for each scale. The sum over x is NaN where x is not finite.
        total = len(SCALES) * (1 / len(a) + 1 / len(b)) + 0 * x.double().sum()
        gradient = torch.zeros_like(x) if any(ctx.needs_input_grad) else None
        scratch = Scratch(x)
        with plain_products(x, "exact"):
            for (i, w_i), (j, w_j) in pairs(parts):
                total += _tile(x, i, j, w_i * w_j, scratch, gradient)
        ctx.save_for_backward(a, b, gradient if gradient is None else gradient.mul_(scale))
        ctx.rows = len(a)
        return total.to(x.dtype)

    @staticmethod
    @once
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor]:
        *_, gradient = ctx.saved_tensors
        return outer * gradient[: ctx.rows], outer * gradient[ctx.rows :]


def _tile(x: Tensor, i: slice, j: slice, weight: float, scratch: Scratch, gradient: Tensor | None) -> Tensor:
    """Return what a tile and its mirror image add to the sum, without the diagonal; add their gradient."""
    differentiate = gradient is not None
    with torch.set_grad_enabled(differentiate):
        ends = [x[part].detach().clone().requires_grad_(differentiate) for part in (i, j)]
        # By differences: the narrow kernels do not survive the rounding of a product, nor do close pairs.
        distances = torch.cdist(*ends, compute_mode="donot_use_mm_for_euclid_dist")
    K, slopes = _kernels(distances.detach(), i == j, scratch)
    weight = weight if i == j else 2 * weight
    if gradient is not None:
        slopes.mul_(distances.detach()).mul_(-2 * LN_2 * weight)
        pulls = torch.autograd.grad(distances, ends, slopes)
        gradient[i] += pulls[0]
        gradient[j] += pulls[1]
    return weight * K.sum(dtype=torch.float64)


def _kernels(distances: Tensor, diagonal: bool, scratch: Scratch) -> tuple[Tensor, Tensor]:
    """Return sum_p 2^(-10^p d^2) and sum_p 10^p 2^(-10^p d^2) of distances d (rows, columns)."""
    shape = distances.shape
    squared = torch.mul(distances, distances, out=scratch.take("squared", *shape))
    if diagonal:
        squared.fill_diagonal_(FAR)
    nearest = float(squared.min())
    K, slopes = (scratch.take(name, *shape).zero_() for name in ("K", "slopes"))
    for scale in SCALES:
        if scale * nearest > NOTHING_LEFT:
            break
        kernel = torch.mul(squared, -scale, out=scratch.take("kernel", *shape)).exp2_()
        K.add_(kernel)
        slopes.add_(kernel, alpha=scale)
    return K, slopes
