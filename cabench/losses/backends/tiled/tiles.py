"""Gaussian kernels between rows, one square tile after the other, for the tiled backend."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

# A tile of float32 takes 256 KB: it stays in a core's cache while it is exponentiated, summed and multiplied.
TILE = 256
# On a GPU a tile of 64 MB: with small ones the launches take all the time (121 us per tile of 256 on an H200).
GPU_TILE = 4096
LOG2_E, LN_2 = math.log2(math.e), math.log(2)
Part = TypeVar("Part")


class Scratch:
    """Named buffers that every tile writes into anew."""

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self.buffers: dict[str, Tensor] = {}

    def take(self, name: str, rows: int, columns: int) -> Tensor:
        """Return a contiguous matrix (rows, columns) of undefined content, the same memory under the same name."""
        size = rows * columns
        if name not in self.buffers or self.buffers[name].numel() < size:
            self.buffers[name] = self.like.new_empty(size)
        return self.buffers[name][:size].view(rows, columns)


class Rows:
    """Rows x (n, d), centred, and scaled so that 2^(z_i.z_j - h_i - h_j) = exp(-||x_i - x_j||^2 / (2 tau)).

    Attributes:
        z: the centred and scaled rows (n, d).
        scale: dz / dx.
    """

    def __init__(self, x: Tensor, tau: float) -> None:
        self.scale = math.sqrt(LOG2_E / tau)
        # Distances do not feel the shift, and the products below lose no digits to a common offset.
        self.z = (x - x.mean(0)) * self.scale
        h = self.z.square().sum(1, keepdim=True) / 2
        one = torch.ones_like(h)
        # The exponent is one product of matrices, without a pass that subtracts the norms.
        self.left = torch.cat([self.z, h, one], 1)
        self.right = torch.cat([self.z, -one, -h], 1)

    def exponents(self, i: slice, j: slice, out: Tensor) -> Tensor:
        """Write the exponents of two, -||x_i - x_j||^2 log2(e) / (2 tau), into `out`."""
        return torch.mm(self.left[i], self.right[j].T, out=out)

    def kernel(self, i: slice, j: slice, out: Tensor, shift: float = 0.0) -> Tensor:
        """Write the kernel, times 2^-shift, into `out`; its diagonal, a row with itself, becomes 0."""
        K = self.exponents(i, j, out)
        K = (K.sub_(shift) if shift else K).exp2_()
        return K.fill_diagonal_(0) if i == j else K


def tiles(start: int, stop: int, device: torch.device) -> list[slice]:
    """Return slices of at most TILE rows, on a GPU GPU_TILE, of lengths that differ by at most one."""
    n = stop - start
    count = math.ceil(n / (TILE if device.type == "cpu" else GPU_TILE))
    return [slice(start + n * k // count, start + n * (k + 1) // count) for k in range(count)]


def pairs(parts: list[Part]) -> Iterator[tuple[Part, Part]]:
    """Return all unordered pairs of parts, each with itself too."""
    return ((i, j) for k, i in enumerate(parts) for j in parts[k:])


def length(part: slice) -> int:
    """Return the number of rows of a slice."""
    return int(part.stop - part.start)


def add_sums(sums: Tensor, i: slice, j: slice, tile: Tensor) -> None:
    """Add the row sums of a tile of a symmetric matrix, and its column sums, to those of the matrix (n,)."""
    sums[i] += tile.sum(1)
    if i != j:
        sums[j] += tile.sum(0)


def add_products(products: Tensor, i: slice, j: slice, tile: Tensor, z: Tensor) -> None:
    """Add a tile times z_j to rows i, and its mirror image times z_i to rows j, of a product with z (n, d)."""
    products[i].addmm_(tile, z[j])
    if i != j:
        products[j].addmm_(tile.T, z[i])


@contextmanager
def plain_products(x: Tensor, precision: str) -> Iterator[None]:
    """Multiply float32 matrices in float32 ("fast": in TF32 on a GPU), whatever the process has set for others."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "fast" and x.is_cuda else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
