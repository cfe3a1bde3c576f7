"""The three losses of SepCLR of one view: two sweeps over the common code, and a quarter of them over the salient.

Rows are sorted, targets first, and no tile mixes the groups. Background rows have the salient code 0: the salient
kernel of two of them is 1, and that of a target row and any of them depends on the target row alone.
"""

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
from cabench.losses.backends.tiled.uniformity import UNDERFLOW, far_value_and_gradient
from cabench.losses.once import once


def sepclr_pairwise(
    c: Tensor, s: Tensor, target: Tensor, tau: float = 0.5, precision: str = "default"
) -> tuple[Tensor, Tensor, Tensor]:
    """Return U(c), U(s) and J(c, s): see `cabench.losses.pairwise.sepclr_pairwise`."""
    U_c, U_s, J = _SepCLR.apply(c, s, target, tau, precision)
    return U_c, U_s, J


class _SepCLR(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, c: Tensor, s: Tensor, target: Tensor, tau: float, precision: str
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.order = torch.cat([group.nonzero()[:, 0] for group in (target, ~target)])
        ctx.precision, n, targets = precision, len(c), int(target.sum())
        sorted_c, sorted_s = c[ctx.order], s[ctx.order]
        with plain_products(c, precision):
            ctx.sweep = sweep = _Sweep(sorted_c, sorted_s[:targets], tau)
            r, total_c, total_s = sweep.sums()
            ctx.far = [
                far_value_and_gradient(x, tau, differentiate=True) if total < UNDERFLOW else None
                for x, total in ((sorted_c, total_c), (sorted_s, total_s))
            ]
        ctx.save_for_backward(c, s, r, total_c, total_s)
        U_c, U_s = (
            (total.log() - math.log(n * (n - 1))).to(c.dtype) if far is None else far[0]
            for total, far in zip((total_c, total_s), ctx.far, strict=True)
        )
        J = (r.log().mean(dtype=torch.float64) - math.log(n)).to(c.dtype)
        # The salient codes of background rows are 0 or not finite, and that must show.
        strange = sorted_s[targets:].sum()
        return U_c, U_s + strange, J + strange

    @staticmethod
    @once
    def backward(
        ctx: Any, outer_c: Tensor, outer_s: Tensor, outer_joint: Tensor
    ) -> tuple[Tensor, Tensor, None, None, None]:
        *_, r, total_c, total_s = ctx.saved_tensors
        # The weight of a kernel in U, and of a row in J.
        slopes = [
            0.0 if far is not None else float(2 * outer / total)
            for outer, total, far in zip((outer_c, outer_s), (total_c, total_s), ctx.far, strict=True)
        ]
        with plain_products(r, ctx.precision):
            gradients = ctx.sweep.gradients(outer_joint / (len(r) * r), *slopes)
        unsorted = []
        for gradient, outer, far in zip(gradients, (outer_c, outer_s), ctx.far, strict=True):
            if far is not None:
                gradient += outer * far[1]
            unsorted.append(torch.empty_like(gradient).index_copy_(0, ctx.order, gradient))
        return unsorted[0], unsorted[1], None, None, None


class _Sweep:
    """The tiles of both kernels, rows sorted.

    Attributes:
        c: common codes of all rows (n, d_c).
        s: salient codes of the target rows (n_1, d_s).
        raw: s, scaled but not centred.
        zero: kernel of each target row and the salient code 0 (n_1,).
        near: tiles of target rows.
        null: tiles of background rows.
    """

    def __init__(self, c: Tensor, s: Tensor, tau: float) -> None:
        self.c, self.s = Rows(c, tau), Rows(s, tau)
        self.raw = s * self.s.scale
        self.zero = self.raw.square().sum(1).mul_(-0.5).exp2_()
        self.near, self.null = (tiles(*ends, c.device) for ends in ((0, len(s)), (len(s), len(c))))

    def kernel_c(self, i: slice, j: slice, scratch: Scratch) -> Tensor:
        return self.c.kernel(i, j, scratch.take("K_c", length(i), length(j)))

    def kernel_s(self, i: slice, j: slice, scratch: Scratch) -> Tensor:
        return self.s.kernel(i, j, scratch.take("K_s", length(i), length(j)))

    def sums(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return r (n,), the row sums of the product of both kernels, and the sums over i != j of each alone."""
        z, zero, scratch = self.c.z, self.zero, Scratch(self.c.z)
        nulls, targets = len(z) - len(zero), len(zero)
        # Of a row with itself.
        r, w_c, w_s = torch.ones_like(z[:, 0]), torch.zeros_like(z[:, 0]), torch.zeros_like(zero)
        for i, j in pairs(self.near):
            K, K_s = self.kernel_c(i, j, scratch), self.kernel_s(i, j, scratch)
            add_sums(w_s, i, j, K_s)
            add_sums(w_c, i, j, K)
            add_sums(r, i, j, K.mul_(K_s))
        for i in self.near:
            for j in self.null:
                K = self.kernel_c(i, j, scratch)
                rows = K.sum(1)
                w_c[i] += rows
                w_c[j] += K.sum(0)
                r[i] += rows.mul_(zero[i])
                r[j] += torch.mv(K.T, zero[i])
        background = slice(targets, None)
        before = w_c[background].clone()
        for i, j in pairs(self.null):
            add_sums(w_c, i, j, self.kernel_c(i, j, scratch))
        r[background] += w_c[background] - before
        total_s = w_s.sum(dtype=torch.float64) + nulls * (nulls - 1) + 2 * nulls * zero.sum(dtype=torch.float64)
        return r, w_c.sum(dtype=torch.float64), total_s

    def gradients(self, inverse: Tensor, slope_c: float, slope_s: float) -> tuple[Tensor, Tensor]:
        """Return the gradients of the rows, c (n, d_c) and s (n, d_s).

        Args:
            inverse: weight of each row of J (n,): a pair has that of both.
            slope_c: weight of each pair of U(c).
            slope_s: weight of each pair of U(s).
        """
        c, s, zero, scratch = self.c.z, self.s.z, self.zero, Scratch(self.c.z)
        sums_c, products_c = torch.zeros_like(c[:, 0]), torch.zeros_like(c)
        sums_s, products_s = torch.zeros_like(zero), torch.zeros_like(s)
        # Of a target row and all rows at 0.
        to_zero = zero * slope_s * (len(c) - len(zero))

        def add_c(i: slice, j: slice, tile: Tensor) -> None:
            add_sums(sums_c, i, j, tile)
            add_products(products_c, i, j, tile, c)

        def weights(i: slice, j: slice) -> Tensor:
            return torch.add(inverse[i, None], inverse[j], out=scratch.take("weights", length(i), length(j)))

        for i, j in pairs(self.near):
            K_c, K_s = self.kernel_c(i, j, scratch), self.kernel_s(i, j, scratch)
            G = weights(i, j).mul_(K_c).mul_(K_s)
            tile = torch.add(G, K_s, alpha=slope_s, out=K_s)
            add_sums(sums_s, i, j, tile)
            add_products(products_s, i, j, tile, s)
            add_c(i, j, torch.add(G, K_c, alpha=slope_c, out=K_c))
        for i in self.near:
            for j in self.null:
                K_c = self.kernel_c(i, j, scratch)
                G = weights(i, j).mul_(zero[i, None]).mul_(K_c)
                to_zero[i] += G.sum(1)
                add_c(i, j, torch.add(G, K_c, alpha=slope_c, out=K_c))
        for i, j in pairs(self.null):
            add_c(i, j, weights(i, j).add_(slope_c).mul_(self.kernel_c(i, j, scratch)))
        to_rows = LN_2 * self.c.scale
        gradient_c = products_c.sub_(sums_c[:, None] * c).mul_(to_rows)
        gradient_s = products_s.sub_(sums_s[:, None] * s).sub_(to_zero[:, None] * self.raw).mul_(to_rows)
        return gradient_c, torch.cat([gradient_s, s.new_zeros(len(c) - len(zero), s.shape[1])])
