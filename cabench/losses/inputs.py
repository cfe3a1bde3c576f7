"""What every loss does to its arguments first: check them, make them float32, gather them from all processes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from cabench.losses.gathered import gather_rows


def matrices(group: ProcessGroup | None = None, **named: Tensor) -> list[Tensor]:
    """Return matrices with one row per image as contiguous float32, or float64 where all of them are.

    Args:
        group: processes whose rows follow each other in the result; None = this one's alone.
        named: matrices (n, d), each under the name that an error calls it by.

    Raises:
        ValueError: one is not a matrix of floating point numbers, or they live on different devices.
    """
    for name, x in named.items():
        if x.ndim != 2 or not x.is_floating_point():
            raise ValueError(f"'{name}' must be a floating point matrix (rows, dimensions), not {_kind(x)}.")
    if len({x.device for x in named.values()}) > 1:
        devices = ", ".join(f"'{name}' on {x.device}" for name, x in named.items())
        raise ValueError(f"All matrices must be on one device, not {devices}.")
    dtype = torch.float64 if all(x.dtype == torch.float64 for x in named.values()) else torch.float32
    return [gather_rows(x.to(dtype), group).contiguous() for x in named.values()]


def same_rows(**named: Tensor) -> None:
    """Raise a ValueError unless all tensors have as many rows."""
    if len({len(x) for x in named.values()}) > 1:
        raise ValueError(f"{_shapes(named)} must have as many rows.")


def same_width(**named: Tensor) -> None:
    """Raise a ValueError unless all matrices have as many columns."""
    if len({x.shape[-1] for x in named.values()}) > 1:
        raise ValueError(f"{_shapes(named)} must have as many columns.")


def nothing(*tensors: Tensor) -> Tensor:
    """Return an exact 0 that is connected to the graph of the tensors."""
    return torch.stack([0.0 * x.sum() for x in tensors]).sum()


def _kind(x: Tensor) -> str:
    return f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}"


def _shapes(named: dict[str, Tensor]) -> str:
    return " and ".join(f"'{name}' {tuple(x.shape)}" for name, x in named.items())
