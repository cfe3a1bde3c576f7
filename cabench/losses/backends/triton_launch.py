"""How the Triton kernels are started: tiles, warps and programs for a size, a width and a GPU.

The choices go by buckets, so that no batch size compiles anew. Those of products up to 128 dimensions were timed on
an H200, with 2048 to 32768 rows of 16, 32 and 64 dimensions per code: a few spilled registers cost less than a
smaller tile. Those of differences follow from the instructions that they compile to.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch

from cabench.errors import UserError

STRIPS = 64
LARGE = 8192
SMALL = 1024
WIDEST = 256
# An A100, an H100; not a card for games, which has 99 KiB.
ROOMY = 160 * 1024
PROGRAMS_INTERPRETED = 8


@dataclass(frozen=True)
class Launch:
    """How a kernel is started.

    Attributes:
        grid: numbers of programs.
        tiles: number of tiles of columns.
        per_program: number of those in a strip or split.
        options: of the kernel: blocks, warps, stages.
    """

    grid: tuple[int, int]
    tiles: int
    per_program: int
    options: dict[str, int]

    @property
    def splits(self) -> int:
        """Return how many programs share the columns of a tile of rows."""
        return self.grid[1]


def by_strips(n: int, width: int, precision: str, device: torch.device, codes: int = 1) -> Launch:
    """Return the launch of a symmetric kernel.

    Args:
        n: number of points.
        width: of all codes together, with their padding.
        precision: of the products of matrices.
        device: where the points are.
        codes: how many codes of a point have a product of their own.

    Raises:
        UserError: the codes are too wide.
    """
    options = strip_options(n, width, precision, _roomy(width, device), codes)
    tiles = -(-n // options["BLOCK"])
    per_strip = -(-tiles // STRIPS)
    strips = -(-tiles // per_strip)
    return Launch((strips, strips), tiles, per_strip, options)


def by_rows(n: int, width: int, precision: str, device: torch.device, codes: int = 1) -> Launch:
    """Return the launch of a kernel by rows; arguments and errors are those of `by_strips`."""
    options = row_options(n, width, precision, _roomy(width, device), codes)
    row_tiles, tiles = -(-n // options["BLOCK_M"]), -(-n // options["BLOCK_N"])
    per_split, runs = splits(row_tiles, tiles, device)
    return Launch((row_tiles, runs), tiles, per_split, options)


def strip_options(n: int, width: int, precision: str, roomy: bool, codes: int) -> dict[str, int]:
    """Return the side of a tile, the warps and the stages of a symmetric kernel."""
    block, stages = 64, 2
    if precision == "exact":
        block = 64 if width <= 64 else 32
    elif n <= SMALL and width <= 64:
        block = 32
    elif width > 128 or codes == 2:
        stages = 1
    elif n >= LARGE and width <= 64 and roomy:
        block = 128
    return {"BLOCK": block, "num_warps": 4, "num_stages": stages}


def row_options(n: int, width: int, precision: str, roomy: bool, codes: int) -> dict[str, int]:
    """Return both sides of a tile, the warps and the stages of a kernel by rows."""
    rows, columns, warps, stages = 64, 64, 4, 2
    if precision == "exact":
        rows, columns, warps, stages = (64, 32, 8, 2) if width <= 64 else (32, 32, 4 * codes, 1)
    elif width > 64:
        columns, warps = (64, 4) if width <= 128 and roomy else (32, 8)
    elif n <= SMALL:
        columns = 32
    elif n >= LARGE and codes == 1 and roomy:
        rows, stages = (128 if width > 32 else 64), 3
    return {"BLOCK_M": rows, "BLOCK_N": columns, "num_warps": warps, "num_stages": stages}


def by_differences(n: int, device: torch.device) -> Launch:
    """Return the launch of a kernel of `triton_differences`."""
    options = difference_options(n)
    row_tiles, tiles = -(-n // options["BLOCK_M"]), -(-n // options["BLOCK_N"])
    # A program has few warps.
    per_split, runs = splits(row_tiles, tiles, device, each=8)
    return Launch((row_tiles, runs), tiles, per_split, options)


def difference_options(n: int) -> dict[str, int]:
    """Return both sides of a tile and the warps, one for 32 rows, of the kernels of `triton_differences`."""
    rows, columns = (32, 16) if n <= 2 * SMALL else (128, 32)
    return {"BLOCK_M": rows, "BLOCK_N": columns, "num_warps": rows // 32}


def splits(row_tiles: int, tiles: int, device: torch.device, each: int = 2) -> tuple[int, int]:
    """Return (tiles per split, splits) such that each processor has about so many programs."""
    programs = each * _properties(device)["multiprocessor_count"]
    per_split = -(-tiles // min(tiles, max(1, programs // row_tiles)))
    return per_split, -(-tiles // per_split)


def _roomy(width: int, device: torch.device) -> bool:
    roomy = _properties(device)["max_shared_mem"] >= ROOMY
    widest = WIDEST if roomy else WIDEST // 2
    if width > widest:
        raise UserError(
            f"The backend 'triton' takes {widest} dimensions on this GPU, each code's rounded up to a power of 2, "
            f"not {width}: ask for 'tiled'."
        )
    return roomy


@functools.cache
def _properties(device: torch.device) -> dict[str, int]:
    if device.type != "cuda":
        return {"multiprocessor_count": PROGRAMS_INTERPRETED // 2, "max_shared_mem": ROOMY}
    from triton.runtime import driver

    index = torch.cuda.current_device() if device.index is None else device.index
    properties: dict[str, int] = driver.active.utils.get_device_properties(index)
    return properties
