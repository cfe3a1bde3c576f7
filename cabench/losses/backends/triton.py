"""The losses by Triton kernels on a GPU: all pairs in linear memory, and the same bits in every run.

`precision` of the products of matrices: "exact" is float32 on the ordinary units. "default" and "fast" run on the
tensor cores and take a point as the sum of two or as one number of bfloat16: the loss is that of points moved by
2^-17 or 2^-9 of their size. Unlike TF32, bfloat16 needs no transposed copy for the gradient's product, is rounded
and not cut off, and is split once per step, not once per tile.
`mmd` and `supervised_alignment` are sums of differences in float32 whatever the precision.

With TRITON_INTERPRET=1 tensors on CPU work too, as slowly as tests bear. Parts are then float32 numbers that
bfloat16 holds, cut off and not rounded: twice the error of a GPU; and nothing rounds the weights of the gradient.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from cabench.errors import UserError
from cabench.losses.backends import interpreted, triton_differences, triton_kernels
from cabench.losses.backends.triton_launch import by_differences, by_rows, by_strips
from cabench.losses.once import once

LN_2 = math.log(2)
FAR = triton_kernels.FAR.value
# Rows are padded to the largest tile.
PADDING = 128
ROWS_SPLIT = 32  # by one program of `split_points`
# The kernel of such a pair is nothing beside that of a row with itself, which J holds.
NEAR = -60.0


@dataclass(frozen=True)
class Points:
    """Rows of a code as the kernels take them.

    Attributes:
        parts: (1 or 2, rows, D), whose sum is z = scale (x - centre), 0 beyond the code's rows and dimensions.
        half: half the squared norm of z (rows,), FAR beyond the code's rows.
        shape: of the code, (n, d).
        scale: sqrt(log2(e) / tau).
    """

    parts: Tensor
    half: Tensor
    shape: tuple[int, int]
    scale: float

    @property
    def rows(self) -> int:
        """Return the number of rows with the padding."""
        return len(self.half)

    @property
    def width(self) -> int:
        """Return the number of dimensions with the padding."""
        return int(self.parts.shape[2])

    def gradient(self, pulled: Tensor, factor: Tensor | float = 1.0) -> Tensor:
        """Return the gradient of x (n, d), from `pulled` (splits, rows, D) times a factor."""
        n, d = self.shape
        total = pulled[0] if len(pulled) == 1 else pulled.sum(0)
        return total[:n, :d] * (factor * (LN_2 * self.scale))


def points(x: Tensor, tau: float, precision: str) -> Points:
    """Return the rows of x (n, d), centred, scaled and split."""
    n, d = _float32(x).shape
    scale = math.sqrt(math.log2(math.e) / tau)
    rows, width = -(-n // PADDING) * PADDING, max(16, triton.next_power_of_2(d))
    exact = precision == "exact"
    parts = torch.empty(
        2 if precision == "default" else 1, rows, width,
        dtype=torch.float32 if exact or interpreted() else torch.bfloat16, device=x.device,
    )  # fmt: skip
    half = x.new_empty(rows)
    triton_kernels.split_points[rows // ROWS_SPLIT,](
        x, x.mean(0), parts, half, n, d, rows, scale,
        D=width, PARTS=len(parts), EXACT=exact, BLOCK=ROWS_SPLIT,
    )  # fmt: skip
    return Points(parts, half, (n, d), scale)


def uniformity(x: Tensor, tau: float = 0.5, precision: str = "default") -> Tensor:
    """Return U(x): see `cabench.losses.pairwise.uniformity`."""

    def compute(differentiate: bool, x: Tensor) -> tuple[Tensor, Tensor | None]:
        n, p = len(x), points(x, tau, precision)
        launch = by_rows(n, p.width, precision, x.device)
        tops, totals = (x.new_empty(launch.splits, p.rows) for _ in range(2))
        pulled = x.new_empty(launch.splits, p.rows, p.width) if differentiate else tops
        triton_kernels.uniformity_rows[launch.grid](
            p.parts, p.half, tops, totals, pulled, p.rows, launch.tiles, launch.per_program,
            D=p.width, PARTS=len(p.parts), WITH_GRADIENT=differentiate, **launch.options,
        )  # fmt: skip
        log2_total, total, shares = log2_sum(tops[:, :n], totals[:, :n])
        value = (log2_total * LN_2 - math.log(n * (n - 1))).float()
        if not differentiate:
            return value, None
        pulled[:, :n] *= shares[..., None]
        return value, p.gradient(pulled, (2 / total).float())

    return one_pass(compute, x)


def log2_sum(tops: Tensor, totals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return log2 of sum(totals 2^tops), that sum times 2^-max(tops), and 2^(tops - max(tops))."""
    top = tops.max()
    shares = (tops - top).exp2()
    total = (totals * shares).sum(dtype=torch.float64)
    return total.log2() + top, total, shares


def joint_entropy(c: Tensor, s: Tensor, tau: float = 0.5, precision: str = "default") -> Tensor:
    """Return J(c, s): see `cabench.losses.pairwise.joint_entropy`. Both codes are one, with one product."""
    value: Tensor = _JointEntropy.apply(torch.cat([c, s], 1), tau, precision)
    return value


class _JointEntropy(torch.autograd.Function):
    """A symmetric sweep for the sums of rows, and one by rows for the gradient, whose weights those are."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, tau: float, precision: str) -> Tensor:
        with torch.cuda.device_of(x):
            n, p = len(x), points(x, tau, precision)
            launch = by_strips(n, p.width, precision, x.device)
            sums = x.new_empty(launch.grid[0], p.rows)
            triton_kernels.joint_sums[launch.grid](
                p.parts, p.half, sums, p.rows, launch.tiles, launch.per_program,
                D=p.width, PARTS=len(p.parts), **launch.options,
            )  # fmt: skip
        ctx.points, ctx.precision = p, precision
        r = sums[:, :n].sum(0)
        ctx.save_for_backward(x, r)
        return _mean_log(r)

    @staticmethod
    @once
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        (_, r), p = ctx.saved_tensors, ctx.points
        launch = by_rows(len(r), p.width, ctx.precision, r.device)
        pulled = r.new_empty(launch.splits, p.rows, p.width)
        triton_kernels.joint_rows[launch.grid](
            p.parts, p.half, _weights(r, p.rows), pulled, p.rows, launch.tiles, launch.per_program,
            D=p.width, PARTS=len(p.parts), **launch.options,
        )  # fmt: skip
        return p.gradient(pulled, outer), None, None


def sepclr_pairwise(
    c: Tensor, s: Tensor, target: Tensor, tau: float = 0.5, precision: str = "default"
) -> tuple[Tensor, Tensor, Tensor]:
    """Return U(c), U(s) and J(c, s): see `cabench.losses.pairwise.sepclr_pairwise`.

    J takes the salient kernel of every pair, also of background rows, so that U(s) costs no more than its sum.
    """
    U_c, U_s, J = _SepCLR.apply(c, s, target.bool(), tau, precision)
    return U_c, U_s, J


class _SepCLR(torch.autograd.Function):
    """Two kernels and their product, and a gradient for each code."""

    @staticmethod
    def forward(
        ctx: Any, c: Tensor, s: Tensor, target: Tensor, tau: float, precision: str
    ) -> tuple[Tensor, Tensor, Tensor]:
        with torch.cuda.device_of(c):
            n, p_c, p_s = len(c), points(c, tau, precision), points(s, tau, precision)
            launch = by_strips(n, p_c.width + p_s.width, precision, c.device, codes=2)
            sums = c.new_empty(launch.grid[0], p_c.rows)
            tops, totals = c.new_full((2, *launch.grid), -FAR), c.new_zeros(2, *launch.grid)
            triton_kernels.sepclr_sums[launch.grid](
                p_c.parts, p_c.half, p_s.parts, p_s.half, sums, tops, totals, p_c.rows, launch.tiles,
                launch.per_program, D_C=p_c.width, D_S=p_s.width, PARTS=len(p_c.parts), **launch.options,
            )  # fmt: skip
        ctx.points, ctx.precision = (p_c, p_s), precision
        r = sums[:, :n].sum(0)
        log2_totals = torch.stack([log2_sum(tops[code], totals[code])[0] for code in range(2)])
        ctx.save_for_backward(c, s, target, r, log2_totals)
        U_c, U_s = (log2_totals * LN_2 - math.log(n * (n - 1) / 2)).float()
        return U_c, U_s, _mean_log(r)

    @staticmethod
    @once
    def backward(
        ctx: Any, outer_c: Tensor, outer_s: Tensor, outer_joint: Tensor
    ) -> tuple[Tensor, Tensor, None, None, None]:
        _, _, target, r, log2_totals = ctx.saved_tensors
        p_c, p_s = ctx.points
        # Where all kernels of a code would vanish they are taken relative to their sum, and the weights of the
        # product, which does vanish, are multiplied by it.
        shifts = torch.where(log2_totals < NEAR, log2_totals, 0.0)
        half_c, half_s = (p.half + shift / 2 for p, shift in zip((p_c, p_s), shifts.float(), strict=True))
        factors = (torch.stack([outer_c, outer_s]) * (shifts - log2_totals).exp2()).float()
        weights = _weights(r, p_c.rows) * (outer_joint * shifts.sum().exp2()).float()
        launch = by_rows(len(r), p_c.width + p_s.width, ctx.precision, r.device, codes=2)
        pulled_c, pulled_s = (r.new_empty(launch.splits, p.rows, p.width) for p in (p_c, p_s))
        triton_kernels.sepclr_rows[launch.grid](
            p_c.parts, half_c, p_s.parts, half_s, weights, factors, pulled_c, pulled_s, p_c.rows, launch.tiles,
            launch.per_program, D_C=p_c.width, D_S=p_s.width, PARTS=len(p_c.parts), **launch.options,
        )  # fmt: skip
        gradient_s = torch.where(target[:, None], p_s.gradient(pulled_s), 0.0)
        return p_c.gradient(pulled_c), gradient_s, None, None, None


def _mean_log(r: Tensor) -> Tensor:
    return (r.log().mean(dtype=torch.float64) - math.log(len(r))).float()


def _weights(r: Tensor, rows: int) -> Tensor:
    """Return u = 1 / (n r), 0 in the padding (rows,)."""
    weights = r.new_zeros(rows)
    weights[: len(r)] = 1 / (len(r) * r)
    return weights


def mmd(a: Tensor, b: Tensor, precision: str = "default") -> Tensor:
    """Return MMD^2(a, b): see `cabench.losses.mmd.mmd`. One pass over the union, weighted 1 / n and -1 / m."""

    def compute(differentiate: bool, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        n, m = len(a), len(b)
        x = columns(torch.cat([a, b]))
        weights = x.new_zeros(x.shape[1])
        weights[:n], weights[n : n + m] = 1 / n, -1 / m
        totals, pulled = differences(triton_differences.mmd_rows, n + m, differentiate, x, weights)
        value = (weights * totals).sum(dtype=torch.float64).float()
        if pulled is None:
            return value, None, None
        gradient = 4 * weights[: n + m, None] * pulled
        return value, gradient[:n], gradient[n:]

    return one_pass(compute, a, b)


def supervised_alignment(s: Tensor, y: Tensor, tau: float = 0.5, precision: str = "default") -> Tensor:
    """Return SA(s, y): see `cabench.losses.pairwise.supervised_alignment`."""
    n, pairs = len(s), len(s) * (len(s) - 1)
    # A row of padding is unlike every row.
    attributes = columns(y * math.sqrt(math.log2(math.e) / (2 * tau)), beyond=math.sqrt(FAR))

    def compute(differentiate: bool, s: Tensor) -> tuple[Tensor, Tensor | None]:
        kernel, widths = triton_differences.supervised_rows, {"width_y": len(attributes)}
        totals, pulled = differences(kernel, n, differentiate, columns(s), attributes, **widths)
        value = (totals[:n].sum(dtype=torch.float64) / pairs).float()
        return value, None if pulled is None else -4 / pairs * pulled

    return one_pass(compute, s)


def columns(x: Tensor, beyond: float = 0.0) -> Tensor:
    """Return x (n, d) as (d, rows), with another value beyond its rows."""
    n, d = _float32(x).shape
    padded = x.new_full((d, -(-n // PADDING) * PADDING), beyond)
    padded[:, :n] = x.T
    return padded


def _float32(x: Tensor) -> Tensor:
    if x.dtype != torch.float32:
        raise UserError("The backend 'triton' computes in float32: for float64 ask for 'tiled' or 'reference'.")
    return x


def differences(
    kernel: Any, n: int, differentiate: bool, x: Tensor, other: Tensor, **widths: int
) -> tuple[Tensor, Tensor | None]:
    """Return the sums over columns of a kernel of `triton_differences`: totals (rows,), pull (n, d) if asked."""
    launch = by_differences(n, x.device)
    totals = x.new_zeros(launch.splits, x.shape[1])
    pulled = x.new_empty(launch.splits, *x.shape) if differentiate else totals
    kernel[launch.grid](
        x, other, totals, pulled, rows=x.shape[1], width=x.shape[0], **widths, tiles=launch.tiles,
        per_split=launch.per_program, WITH_GRADIENT=differentiate, **launch.options,
    )  # fmt: skip
    return totals.sum(0), pulled.sum(0)[:, :n].T if differentiate else None


def one_pass(compute: Callable[..., Any], *tensors: Tensor) -> Tensor:
    """Return the value of `compute(differentiate, *tensors)`, which returns the gradients too if asked."""
    # Within the function autograd is off, and nothing there says whether it was on.
    differentiate = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    value: Tensor = _OnePass.apply(functools.partial(compute, differentiate), *tensors)
    return value


class _OnePass(torch.autograd.Function):
    """A loss that is linear in its kernel, or the logarithm of one sum: its gradients come with its value."""

    @staticmethod
    def forward(ctx: Any, compute: Callable[..., Any], *tensors: Tensor) -> Tensor:
        with torch.cuda.device_of(tensors[0]):
            value, *gradients = compute(*tensors)
        ctx.save_for_backward(*tensors, *gradients)
        return value

    @staticmethod
    @once
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        return None, *(outer * gradient for gradient in saved[len(saved) // 2 :])
