"""Triton kernels of the losses on exact distances, which are sums of squared differences and not products.

A kernel of scale 10^6 turns the rounding of a Gram matrix into e^-10 (PERFORMANCE 1.6), and attributes have one or
two dimensions, where a product of matrices gains nothing. Rows beyond the last one carry no weight.
Program (row, split) has a tile of rows and a run of tiles of columns, and nobody else writes where it does.

Tiles are (columns, rows), with 32 rows for each warp: one thread then has one row and all columns of a tile, and
sums over columns need no other thread.
"""

from __future__ import annotations

import triton
import triton.language as tl

from cabench.losses.backends.triton_kernels import COUNTS, add_to

LOG2_E = tl.constexpr(1.4426950408889634)
LEAST = tl.constexpr(-126.0)  # below it exp2 gives 0


@triton.jit
def squared_distances(x: tl.tensor, at: tl.tensor, to: tl.tensor, rows: tl.tensor, width: tl.tensor) -> tl.tensor:
    """Return ||x_j - x_i||^2 (columns j, rows i) from differences, exact at 0, for x (width, rows)."""
    squared = tl.zeros((to.shape[0], at.shape[0]), tl.float32)
    a, b = x + at, x + to
    for _ in range(width):
        gap = tl.load(b)[:, None] - tl.load(a)[None, :]
        squared += gap * gap
        a += rows
        b += rows
    return squared


@triton.jit
def pull_differences(
    gradient: tl.tensor,
    x: tl.tensor,
    G: tl.tensor,
    at: tl.tensor,
    to: tl.tensor,
    rows: tl.tensor,
    width: tl.tensor,
    written: tl.tensor,
) -> None:
    """Add sum_j G_ji (x_j - x_i) to gradient (width, rows)."""
    a, b, place = x + at, x + to, gradient + at
    for _ in range(width):
        add_to(place, tl.sum(G * (tl.load(b)[:, None] - tl.load(a)[None, :]), 0), written)
        a += rows
        b += rows
        place += rows
    tl.debug_barrier()


@triton.jit
def thirteen_kernels(squared: tl.tensor) -> tuple[tl.tensor, tl.tensor]:
    """Return sum_p exp(-10^p d^2) and sum_p 10^p exp(-10^p d^2), p = -6..6."""
    # The widest kernel is taken in any case and says where a distance is NaN, which a minimum does not.
    K = tl.exp2(squared * (-LOG2_E * 1e-6))
    slope = K * 1e-6
    nearest = tl.min(tl.min(squared, 0), 0)
    for p in tl.static_range(-5, 7):
        if nearest * (-LOG2_E * 10.0**p) >= LEAST:
            term = tl.exp2(squared * (-LOG2_E * 10.0**p))
            K += term
            slope += term * (10.0**p)
    return K, slope


@triton.jit(do_not_specialize=COUNTS)
def mmd_rows(
    x: tl.tensor,
    weights: tl.tensor,
    totals: tl.tensor,
    gradient: tl.tensor,
    rows: tl.tensor,
    width: tl.tensor,
    tiles: tl.tensor,
    per_split: tl.tensor,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    WITH_GRADIENT: tl.constexpr,
) -> None:
    """By rows: totals (splits, rows) = sum_j w_j sum_p exp(-10^p d_ij^2) and its pull (splits, width, rows).

    The pull is sum_j w_j sum_p 10^p exp(-10^p d_ij^2) (x_j - x_i); x is (width, rows), weights w are (rows,).
    """
    row, split = tl.program_id(0), tl.program_id(1)
    line = split.to(tl.int64) * rows
    at = row * BLOCK_M + tl.arange(0, BLOCK_M)
    total = tl.zeros((BLOCK_M,), tl.float32)
    for j in range(split * per_split, min(split * per_split + per_split, tiles)):
        to = j * BLOCK_N + tl.arange(0, BLOCK_N)
        w = tl.load(weights + to)[:, None]
        squared = squared_distances(x, at, to, rows, width)
        K, slope = thirteen_kernels(squared)
        total += tl.sum(K * w, 0)
        if WITH_GRADIENT:
            pull_differences(gradient + line * width, x, slope * w, at, to, rows, width, j > split * per_split)
    tl.store(totals + line + at, total)


@triton.jit(do_not_specialize=COUNTS)
def supervised_rows(
    s: tl.tensor,
    y: tl.tensor,
    totals: tl.tensor,
    gradient: tl.tensor,
    rows: tl.tensor,
    width: tl.tensor,
    width_y: tl.tensor,
    tiles: tl.tensor,
    per_split: tl.tensor,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    WITH_GRADIENT: tl.constexpr,
) -> None:
    """By rows: totals (splits, rows) = sum_j W_ij d_ij^2 and its pull sum_j W_ij (s_j - s_i) (splits, width, rows).

    W_ij = 2^(-||y_i - y_j||^2); s is (width, rows), y (width_y, rows).
    """
    row, split = tl.program_id(0), tl.program_id(1)
    line = split.to(tl.int64) * rows
    at = row * BLOCK_M + tl.arange(0, BLOCK_M)
    total = tl.zeros((BLOCK_M,), tl.float32)
    for j in range(split * per_split, min(split * per_split + per_split, tiles)):
        to = j * BLOCK_N + tl.arange(0, BLOCK_N)
        W = tl.exp2(-squared_distances(y, at, to, rows, width_y))
        total += tl.sum(W * squared_distances(s, at, to, rows, width), 0)
        if WITH_GRADIENT:
            pull_differences(gradient + line * width, s, W, at, to, rows, width, j > split * per_split)
    tl.store(totals + line + at, total)
