"""Maximum mean discrepancy with the thirteen kernels of MM-cVAE (METHODS 2.7), on exact distances (M6)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from cabench.losses.backends import Backend, Precision, compute
from cabench.losses.inputs import matrices, nothing, same_width

SCALES = tuple(10.0**p for p in range(-6, 7))


def kernel_sum(a: Tensor, b: Tensor) -> Tensor:
    """Return sum_p exp(-10^p ||a_i - b_j||^2), p = -6..6, for a (n, d) and b (m, d) -> (n, m)."""
    # Differences, not the Gram form: its rounding at distance 0 is 1e-5, which a scale of 10^6 turns into e^-10.
    squared = (a[:, None] - b[None]).square().sum(2)
    return torch.stack([(-scale * squared).exp() for scale in SCALES]).sum(0)


def mmd(
    a: Tensor,
    b: Tensor,
    *,
    backend: Backend = "auto",
    precision: Precision = "default",
    group: ProcessGroup | None = None,
) -> Tensor:
    """Return the biased estimate of MMD^2 (diagonals included) of a (n, d) and b (m, d); 0 if either is empty.

    Args:
        a: rows of one group (n, d).
        b: rows of the other group (m, d).
        backend: how to compute it.
        precision: of the products of matrices.
        group: processes that share both groups.
    """
    same_width(a=a, b=b)
    a, b = matrices(group, a=a, b=b)
    if len(a) == 0 or len(b) == 0:
        return nothing(a, b)
    value: Tensor = compute("mmd", a, b, backend=backend, precision=precision)
    return value
