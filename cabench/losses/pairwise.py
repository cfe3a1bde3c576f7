"""The pairwise losses of SepCLR (METHODS 2.1, 2.2): alignment, uniformity, joint entropy, attributes.

Half precision is raised to float32 and autocast is off inside. `backend` and `precision` are those of
`cabench.losses.backends`; "auto" takes the fastest backend, and `last_backend` says which that was. With a process
group the rows of all its processes are one batch, whose loss every process returns, and gradients are ready for
DistributedDataParallel (`cabench.losses.gathered`). Derivatives are first ones: a second backward raises.
Every loss takes (n, d) matrices of floating point numbers and raises ValueError for others.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from cabench.losses.backends import Backend, Precision, compute
from cabench.losses.gathered import gather_rows
from cabench.losses.inputs import matrices, nothing, same_rows, same_width

TEMPERATURE = 0.5


def alignment(
    a: Tensor,
    b: Tensor,
    weights: Tensor | None = None,
    tau: float = TEMPERATURE,
    *,
    group: ProcessGroup | None = None,
) -> Tensor:
    """Return mean_i ||a_i - b_i||^2 / (2 tau) for a, b (n, d); it has no pairs, so it needs no backend.

    Args:
        a: codes of one view (n, d).
        b: codes of the other view (n, d).
        weights: (n,), 1 for rows that count and 0 for the others; with none that count the result is 0.
        tau: temperature.
        group: processes that share the batch.
    """
    same_rows(a=a, b=b) if weights is None else same_rows(a=a, b=b, weights=weights)
    same_width(a=a, b=b)
    a, b = matrices(group, a=a, b=b)
    with torch.autocast(a.device.type, enabled=False):
        distances = (a - b).square().sum(1) / (2 * tau)
        weights = torch.ones_like(distances) if weights is None else gather_rows(weights.to(distances), group)
        return (distances * weights).sum() / weights.sum().clamp(min=1)


def uniformity(
    x: Tensor,
    tau: float = TEMPERATURE,
    *,
    backend: Backend = "auto",
    precision: Precision = "default",
    group: ProcessGroup | None = None,
) -> Tensor:
    """Return U = log mean_{i<j} exp(-||x_i - x_j||^2 / (2 tau)) for x (n, d): one log, the diagonal left out.

    With fewer than two rows it is exactly 0, connected to the graph.
    """
    (x,) = matrices(group, x=x)
    if len(x) < 2:
        return nothing(x)
    value: Tensor = compute("uniformity", x, tau=tau, backend=backend, precision=precision)
    return value


def joint_entropy(
    c: Tensor,
    s: Tensor,
    tau: float = TEMPERATURE,
    *,
    backend: Backend = "auto",
    precision: Precision = "default",
    group: ProcessGroup | None = None,
) -> Tensor:
    """Return J = mean_i log mean_j exp(-(||c_i - c_j||^2 + ||s_i - s_j||^2) / (2 tau)), j = i included.

    Minus the kernel density estimate of the joint entropy H(c, s): adding it to a loss spreads the pairs.

    Args:
        c: common codes (n, d_c).
        s: salient codes (n, d_s).
        tau: temperature.
        backend: how to compute it.
        precision: of the products of matrices.
        group: processes that share the batch.
    """
    same_rows(c=c, s=s)
    c, s = matrices(group, c=c, s=s)
    if len(c) == 0:
        return nothing(c, s)
    value: Tensor = compute("joint_entropy", c, s, tau=tau, backend=backend, precision=precision)
    return value


def sepclr_pairwise(
    c: Tensor,
    s: Tensor,
    target: Tensor,
    tau: float = TEMPERATURE,
    *,
    backend: Backend = "auto",
    precision: Precision = "default",
    group: ProcessGroup | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return U(c), U(s') and J(c, s') in one sweep over the pairs, where s' is s with background rows at 0.

    All pairs of background rows have the same s', and its distance to a target row is the norm of that row:
    only pairs of two target rows are computed in the salient space (PERFORMANCE 1.4).

    Args:
        c: common codes (n, d_c).
        s: salient codes (n, d_s); those of background rows get no gradient.
        target: groups (n,): 1 or True for target rows, 0 or False for background rows.
        tau: temperature.
        backend: how to compute it.
        precision: of the products of matrices.
        group: processes that share the batch.
    """
    same_rows(c=c, s=s, target=target)
    c, s = matrices(group, c=c, s=s)
    flags = gather_rows(target.reshape(-1).to(c.device, torch.uint8), group).bool()
    s = s * flags.to(s.dtype)[:, None]
    if len(c) < 2:
        return nothing(c), nothing(s), nothing(c, s)
    U_c, U_s, J = compute("sepclr_pairwise", c, s, flags, tau=tau, backend=backend, precision=precision)
    return U_c, U_s, J


def supervised_alignment(
    s: Tensor,
    y: Tensor,
    tau: float = TEMPERATURE,
    *,
    backend: Backend = "auto",
    precision: Precision = "default",
    group: ProcessGroup | None = None,
) -> Tensor:
    """Return mean_{i<j} exp(-||y_i - y_j||^2 / (2 tau)) ||s_i - s_j||^2: alike attributes draw codes together.

    It is divided by the number of pairs, not by the sum of the weights, and not by 2 tau (METHODS 2.2). With fewer
    than two rows it is exactly 0, connected to the graph.

    Args:
        s: codes (n, d).
        y: attributes (n,) or (n, d_y); no gradient flows to them.
        tau: squared width of the kernel of the attributes.
        backend: how to compute it.
        precision: of the products of matrices.
        group: processes that share the batch.
    """
    same_rows(s=s, y=y)
    y = y.detach().to(torch.float64 if s.dtype == torch.float64 else torch.float32)
    y = y[:, None] if y.ndim == 1 else y
    s, y = matrices(group, s=s, y=y)
    if len(s) < 2:
        return nothing(s)
    value: Tensor = compute("supervised_alignment", s, y, tau=tau, backend=backend, precision=precision)
    return value
