"""Triton kernels over tiles of pairs of points (PERFORMANCE 1 to 4).

A point is a row of z = sqrt(log2(e) / tau) (x - centre), given as PARTS matrices (rows, D) whose sum it is, and
half its squared norm: 2^S is the Gaussian kernel, where S_ij = z_i . z_j - half_i - half_j <= 0. The product of
points in two parts is high high + high low + low high. Rows beyond the last point have z = 0 and half = FAR: they
are far from every point, themselves included, so that no sum needs a mask. Triton's maxima drop NaN; they are taken
only where it reaches the result another way.

Symmetric kernels take each pair of tiles once. Tiles are grouped into strips, and program (P, Q) does all pairs of
strip P with strip Q >= P: it alone writes the sums of P's rows to line Q of `sums` and those of Q's to line P. So
the result is the same in every run, without atomics, in memory linear in the number of points.
Kernels by rows give program (row, split) a tile of rows and a run of tiles of columns.
"""

from __future__ import annotations

import triton
import triton.language as tl

FAR = tl.constexpr(1e30)
# Counts of tiles: a kernel compiled for one of them serves all.
COUNTS = ["tiles", "per_strip", "per_split", "width", "width_y", "n", "d"]


@triton.jit(do_not_specialize=COUNTS)
def split_points(
    x: tl.tensor,
    mean: tl.tensor,
    parts: tl.tensor,
    half: tl.tensor,
    n: tl.tensor,
    d: tl.tensor,
    rows: tl.tensor,
    scale: tl.tensor,
    D: tl.constexpr,
    PARTS: tl.constexpr,
    EXACT: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Fill parts (PARTS, rows, D) and half (rows,) with the points of x (n, d), whose mean row is given.

    The centre is rounded to bfloat16: codes of 0, which half of all salient rows have, are then held without a
    remainder, and the distance between two of them is exactly 0.
    """
    at, column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, D)
    inside = (at < n)[:, None] & (column < d)[None, :]
    row = at.to(tl.int64)[:, None]
    centre = (tl.load(mean + column, mask=column < d, other=0.0) * scale).to(tl.bfloat16).to(tl.float32)
    z = tl.fma(tl.load(x + row * d + column[None, :], mask=inside, other=0.0), scale, -centre[None, :])
    z = tl.where(inside, z, 0.0)
    place = parts + row * D + column[None, :]
    if EXACT:
        tl.store(place, z)
    else:
        high = z.to(tl.bfloat16)
        tl.store(place, high)
        if PARTS == 2:
            low = (z - high.to(tl.float32)).to(tl.bfloat16)
            tl.store(place + rows.to(tl.int64) * D, low)
            z = high.to(tl.float32) + low.to(tl.float32)
        else:
            z = high.to(tl.float32)
    tl.store(half + at, tl.where(at < n, tl.sum(z * z, 1) / 2, FAR))


@triton.jit
def load_points(
    z: tl.tensor,
    half: tl.tensor,
    first: tl.tensor,
    rows: tl.tensor,
    D: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> tl.tensor:
    """Return the high parts (BLOCK, D), the low ones (the same with one part) and the half norms from a row on."""
    # One 64 bit product per tile: the offsets within it are the same for all tiles and fit 32 bits.
    within = tl.arange(0, BLOCK)[:, None] * D + tl.arange(0, D)[None, :]
    tile = z + tl.cast(first, tl.int64) * D
    high = tl.load(tile + within)
    low = high
    if PARTS == 2:
        low = tl.load(tile + rows.to(tl.int64) * D + within)
    return high, low, tl.load(half + first + tl.arange(0, BLOCK))


@triton.jit
def exponents(
    high: tl.tensor,
    low: tl.tensor,
    half: tl.tensor,
    other_high: tl.tensor,
    other_low: tl.tensor,
    other_half: tl.tensor,
    PARTS: tl.constexpr,
) -> tl.tensor:
    """Return S (BLOCK_M, BLOCK_N) of two tiles of points; rounding never makes it positive."""
    S = -half[:, None] - other_half[None, :]
    if PARTS == 2:
        S = tl.dot(low, tl.trans(other_high), S)
        S = tl.dot(high, tl.trans(other_low), S)
    # The precision speaks of float32 operands only.
    S = tl.dot(high, tl.trans(other_high), S, input_precision="ieee")
    return tl.minimum(S, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def pull(
    moved: tl.tensor, total: tl.tensor, G: tl.tensor, high: tl.tensor, low: tl.tensor, PARTS: tl.constexpr
) -> tl.tensor:
    """Return `moved` + G z and `total` + the row sums of G, with G rounded to the type of the parts in both."""
    G = G.to(high.dtype)
    if PARTS == 2:
        moved = tl.dot(G, low, moved)
    moved = tl.dot(G, high, moved, input_precision="ieee")
    ones = tl.full((high.shape[0], 16), 1.0, high.dtype)
    return moved, tl.dot(G, ones, total, input_precision="ieee")


@triton.jit
def store_gradient(
    out: tl.tensor,
    moved: tl.tensor,
    total: tl.tensor,
    high: tl.tensor,
    low: tl.tensor,
    at: tl.tensor,
    D: tl.constexpr,
    PARTS: tl.constexpr,
) -> None:
    """Store G z - rowsum(G) z_i."""
    own = high.to(tl.float32)
    if PARTS == 2:
        own += low.to(tl.float32)
    tl.store(
        out + at.to(tl.int64)[:, None] * D + tl.arange(0, D)[None, :],
        moved - (tl.sum(total, 1) / 16)[:, None] * own,
    )


@triton.jit
def add_to(place: tl.tensor, value: tl.tensor, written: tl.tensor) -> None:
    """Add to what this program has written there, or write if it has not."""
    tl.store(place, tl.load(place, mask=written, other=0.0) + value)


@triton.jit(do_not_specialize=COUNTS)
def joint_sums(
    z: tl.tensor,
    half: tl.tensor,
    sums: tl.tensor,
    rows: tl.tensor,
    tiles: tl.tensor,
    per_strip: tl.tensor,
    D: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Symmetric: `sums` (strips, rows), whose sum over strips is r_i = sum_j K_ij with K_ii = 1."""
    P, Q = tl.program_id(0), tl.program_id(1)
    if Q < P:
        return
    by_row = sums + Q.to(tl.int64) * rows
    by_column = sums + P.to(tl.int64) * rows
    for i in range(P * per_strip, min(P * per_strip + per_strip, tiles)):
        at = i * BLOCK + tl.arange(0, BLOCK)
        high, low, own = load_points(z, half, i * BLOCK, rows, D, PARTS, BLOCK)
        total = tl.zeros((BLOCK,), tl.float32)
        for j in range(max(i, Q * per_strip), min(Q * per_strip + per_strip, tiles)):
            to = j * BLOCK + tl.arange(0, BLOCK)
            other_high, other_low, other = load_points(z, half, j * BLOCK, rows, D, PARTS, BLOCK)
            K = tl.exp2(exponents(high, low, own, other_high, other_low, other, PARTS))
            if i == j:
                K = tl.where(at[:, None] == to[None, :], 1.0, K)
            else:
                add_to(by_column + to, tl.sum(K, 0), i > P * per_strip)
            total += tl.sum(K, 1)
        add_to(by_row + at, total, (P == Q) & (i > P * per_strip))
        tl.debug_barrier()


@triton.jit(do_not_specialize=COUNTS)
def sepclr_sums(
    z_c: tl.tensor,
    half_c: tl.tensor,
    z_s: tl.tensor,
    half_s: tl.tensor,
    sums: tl.tensor,
    tops: tl.tensor,
    totals: tl.tensor,
    rows: tl.tensor,
    tiles: tl.tensor,
    per_strip: tl.tensor,
    D_C: tl.constexpr,
    D_S: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Symmetric: `sums` as `joint_sums` of both codes, and for each of them sum_{i<j} K_ij = totals 2^tops.

    `tops` and `totals` are (2, strips, strips), filled by the caller where Q < P.
    """
    P, Q = tl.program_id(0), tl.program_id(1)
    if Q < P:
        return
    by_row = sums + Q.to(tl.int64) * rows
    by_column = sums + P.to(tl.int64) * rows
    top_c = tl.full((BLOCK,), -FAR, tl.float32)
    top_s = tl.full((BLOCK,), -FAR, tl.float32)
    total_c = tl.zeros((BLOCK,), tl.float32)
    total_s = tl.zeros((BLOCK,), tl.float32)
    for i in range(P * per_strip, min(P * per_strip + per_strip, tiles)):
        at = i * BLOCK + tl.arange(0, BLOCK)
        high_c, low_c, own_c = load_points(z_c, half_c, i * BLOCK, rows, D_C, PARTS, BLOCK)
        high_s, low_s, own_s = load_points(z_s, half_s, i * BLOCK, rows, D_S, PARTS, BLOCK)
        total = tl.zeros((BLOCK,), tl.float32)
        for j in range(max(i, Q * per_strip), min(Q * per_strip + per_strip, tiles)):
            to = j * BLOCK + tl.arange(0, BLOCK)
            other_high, other_low, other = load_points(z_c, half_c, j * BLOCK, rows, D_C, PARTS, BLOCK)
            S_c = exponents(high_c, low_c, own_c, other_high, other_low, other, PARTS)
            other_high, other_low, other = load_points(z_s, half_s, j * BLOCK, rows, D_S, PARTS, BLOCK)
            S_s = exponents(high_s, low_s, own_s, other_high, other_low, other, PARTS)
            # Each unordered pair counts once; a tile with itself holds it twice.
            share = tl.where(i == j, 0.5, 1.0)
            if i == j:
                S_c = tl.where(at[:, None] == to[None, :], -FAR, S_c)
                S_s = tl.where(at[:, None] == to[None, :], -FAR, S_s)
            K_c, top_c, total_c = raised(S_c, top_c, total_c, share)
            K_s, top_s, total_s = raised(S_s, top_s, total_s, share)
            K = K_c * K_s * tl.exp2(top_c + top_s)[:, None]
            total += tl.sum(K, 1)
            if i != j:
                add_to(by_column + to, tl.sum(K, 0), i > P * per_strip)
        # The diagonal, left out of both sums, is 1 in the joint one.
        add_to(by_row + at, total + tl.where(P == Q, 1.0, 0.0), (P == Q) & (i > P * per_strip))
        tl.debug_barrier()
    strips = tl.num_programs(0)
    store_total(tops, totals, P * strips + Q, top_c, total_c)
    store_total(tops, totals, (strips + P) * strips + Q, top_s, total_s)


@triton.jit
def raised(S: tl.tensor, top: tl.tensor, total: tl.tensor, share: tl.tensor) -> tl.tensor:
    """Return 2^(S - top), the greatest exponents `top` so far (BLOCK,) and the sums of 2^(S - top) so far."""
    new = tl.maximum(top, tl.max(S, 1))
    K = tl.exp2(S - new[:, None])
    return K, new, total * tl.exp2(top - new) + share * tl.sum(K, 1)


@triton.jit
def store_total(tops: tl.tensor, totals: tl.tensor, place: tl.tensor, top: tl.tensor, total: tl.tensor) -> None:
    """Store sum(total 2^top) as one number and one exponent."""
    greatest = tl.max(top, 0)
    tl.store(tops + place, greatest)
    tl.store(totals + place, tl.sum(total * tl.exp2(top - greatest), 0))


@triton.jit(do_not_specialize=COUNTS)
def uniformity_rows(
    z: tl.tensor,
    half: tl.tensor,
    tops: tl.tensor,
    totals: tl.tensor,
    gradient: tl.tensor,
    rows: tl.tensor,
    tiles: tl.tensor,
    per_split: tl.tensor,
    D: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    WITH_GRADIENT: tl.constexpr,
) -> None:
    """By rows: sum_{j != i} K_ij = totals 2^tops (splits, rows) and sum_j K_ij (z_j - z_i) = gradient 2^tops."""
    row, split = tl.program_id(0), tl.program_id(1)
    at = row * BLOCK_M + tl.arange(0, BLOCK_M)
    high, low, own = load_points(z, half, row * BLOCK_M, rows, D, PARTS, BLOCK_M)
    top = tl.full((BLOCK_M,), -FAR, tl.float32)
    total = tl.zeros((BLOCK_M,), tl.float32)
    rounded = tl.zeros((BLOCK_M, 16), tl.float32)
    moved = tl.zeros((BLOCK_M, D), tl.float32)
    for j in range(split * per_split, min(split * per_split + per_split, tiles)):
        to = j * BLOCK_N + tl.arange(0, BLOCK_N)
        other_high, other_low, other = load_points(z, half, j * BLOCK_N, rows, D, PARTS, BLOCK_N)
        S = exponents(high, low, own, other_high, other_low, other, PARTS)
        if meet(row, j, BLOCK_M, BLOCK_N):
            S = tl.where(at[:, None] == to[None, :], -FAR, S)
        before = top
        K, top, total = raised(S, top, total, 1.0)
        if WITH_GRADIENT:
            fade = tl.exp2(before - top)
            moved, rounded = pull(moved * fade[:, None], rounded * fade[:, None], K, other_high, other_low, PARTS)
    line = split.to(tl.int64) * rows
    tl.store(tops + line + at, top)
    tl.store(totals + line + at, total)
    if WITH_GRADIENT:
        store_gradient(gradient + line * D, moved, rounded, high, low, at, D, PARTS)


@triton.jit
def meet(row: tl.tensor, column: tl.tensor, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr) -> tl.tensor:
    """Return whether a tile holds part of the diagonal."""
    return (row * BLOCK_M < (column + 1) * BLOCK_N) & (column * BLOCK_N < (row + 1) * BLOCK_M)


@triton.jit(do_not_specialize=COUNTS)
def joint_rows(
    z: tl.tensor,
    half: tl.tensor,
    weights: tl.tensor,
    gradient: tl.tensor,
    rows: tl.tensor,
    tiles: tl.tensor,
    per_split: tl.tensor,
    D: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    """By rows: gradient (splits, rows, D) = sum_j G_ij (z_j - z_i), G_ij = K_ij (u_i + u_j), weights u (rows,)."""
    row, split = tl.program_id(0), tl.program_id(1)
    at = row * BLOCK_M + tl.arange(0, BLOCK_M)
    high, low, own = load_points(z, half, row * BLOCK_M, rows, D, PARTS, BLOCK_M)
    u = tl.load(weights + at)
    total = tl.zeros((BLOCK_M, 16), tl.float32)
    moved = tl.zeros((BLOCK_M, D), tl.float32)
    for j in range(split * per_split, min(split * per_split + per_split, tiles)):
        to = j * BLOCK_N + tl.arange(0, BLOCK_N)
        other_high, other_low, other = load_points(z, half, j * BLOCK_N, rows, D, PARTS, BLOCK_N)
        S = exponents(high, low, own, other_high, other_low, other, PARTS)
        if meet(row, j, BLOCK_M, BLOCK_N):
            S = tl.where(at[:, None] == to[None, :], -FAR, S)
        G = tl.exp2(S) * (u[:, None] + tl.load(weights + to)[None, :])
        moved, total = pull(moved, total, G, other_high, other_low, PARTS)
    store_gradient(gradient + split.to(tl.int64) * rows * D, moved, total, high, low, at, D, PARTS)


@triton.jit(do_not_specialize=COUNTS)
def sepclr_rows(
    z_c: tl.tensor,
    half_c: tl.tensor,
    z_s: tl.tensor,
    half_s: tl.tensor,
    weights: tl.tensor,
    factors: tl.tensor,
    gradient_c: tl.tensor,
    gradient_s: tl.tensor,
    rows: tl.tensor,
    tiles: tl.tensor,
    per_split: tl.tensor,
    D_C: tl.constexpr,
    D_S: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    """By rows, as `joint_rows`: G = K_c (f_c + K_s (u_i + u_j)) for c, and the same with c and s exchanged for s.

    `factors` are f_c and f_s: what the two uniformities add.
    """
    row, split = tl.program_id(0), tl.program_id(1)
    at = row * BLOCK_M + tl.arange(0, BLOCK_M)
    high_c, low_c, own_c = load_points(z_c, half_c, row * BLOCK_M, rows, D_C, PARTS, BLOCK_M)
    high_s, low_s, own_s = load_points(z_s, half_s, row * BLOCK_M, rows, D_S, PARTS, BLOCK_M)
    u, f_c, f_s = tl.load(weights + at), tl.load(factors), tl.load(factors + 1)
    total_c = tl.zeros((BLOCK_M, 16), tl.float32)
    total_s = tl.zeros((BLOCK_M, 16), tl.float32)
    moved_c = tl.zeros((BLOCK_M, D_C), tl.float32)
    moved_s = tl.zeros((BLOCK_M, D_S), tl.float32)
    for j in range(split * per_split, min(split * per_split + per_split, tiles)):
        to = j * BLOCK_N + tl.arange(0, BLOCK_N)
        high_to_c, low_to_c, other = load_points(z_c, half_c, j * BLOCK_N, rows, D_C, PARTS, BLOCK_N)
        K_c = tl.exp2(exponents(high_c, low_c, own_c, high_to_c, low_to_c, other, PARTS))
        high_to_s, low_to_s, other = load_points(z_s, half_s, j * BLOCK_N, rows, D_S, PARTS, BLOCK_N)
        K_s = tl.exp2(exponents(high_s, low_s, own_s, high_to_s, low_to_s, other, PARTS))
        if meet(row, j, BLOCK_M, BLOCK_N):
            K_c = tl.where(at[:, None] == to[None, :], 0.0, K_c)
            K_s = tl.where(at[:, None] == to[None, :], 0.0, K_s)
        u_pair = u[:, None] + tl.load(weights + to)[None, :]
        moved_c, total_c = pull(moved_c, total_c, K_c * (f_c + K_s * u_pair), high_to_c, low_to_c, PARTS)
        moved_s, total_s = pull(moved_s, total_s, K_s * (f_s + K_c * u_pair), high_to_s, low_to_s, PARTS)
    line = split.to(tl.int64) * rows
    store_gradient(gradient_c + line * D_C, moved_c, total_c, high_c, low_c, at, D_C, PARTS)
    store_gradient(gradient_s + line * D_S, moved_s, total_s, high_s, low_s, at, D_S, PARTS)
