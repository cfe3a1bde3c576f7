"""KeOps' symbolic matrices: O(n d) memory by a formula that is compiled for each loss; the rival that is published.

Needs the extra `keops`. It compiles for seconds on the first call of each loss.
"""

from __future__ import annotations

import math

import torch
from pykeops import config
from pykeops.torch import LazyTensor
from torch import Tensor

from cabench.errors import UserError
from cabench.losses.mmd import SCALES


def uniformity(x: Tensor, tau: float = 0.5, precision: str = "default") -> Tensor:
    """Return U(x): see `cabench.losses.pairwise.uniformity`."""
    n, rows = len(x), torch.arange(len(x), device=x.device, dtype=x.dtype)[:, None]
    # 1 on the diagonal and 0 beside it; a finite hole, for 0 times infinity has no gradient.
    own = (0.5 - (_i(rows) - _j(rows)).square().sum(-1)).step()
    exponents = _exponents(x, tau) - own * 1e30
    per_row = exponents.logsumexp(1, backend=_device(x))
    return torch.logsumexp(per_row.flatten(), 0) - math.log(n * (n - 1))


def joint_entropy(c: Tensor, s: Tensor, tau: float = 0.5, precision: str = "default") -> Tensor:
    """Return J(c, s): see `cabench.losses.pairwise.joint_entropy`."""
    per_row = _exponents(torch.cat([c, s], 1), tau).exp().sum(1, backend=_device(c))
    value: Tensor = per_row.log().mean() - math.log(len(c))
    return value


def sepclr_pairwise(
    c: Tensor, s: Tensor, target: Tensor, tau: float = 0.5, precision: str = "default"
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the three losses, one after the other."""
    return uniformity(c, tau), uniformity(s, tau), joint_entropy(c, s, tau)


def mmd(a: Tensor, b: Tensor, precision: str = "default") -> Tensor:
    """Return MMD^2(a, b): see `cabench.losses.mmd.mmd`."""
    return _mean_kernels(a, a) + _mean_kernels(b, b) - 2 * _mean_kernels(a, b)


def supervised_alignment(s: Tensor, y: Tensor, tau: float = 0.5, precision: str = "default") -> Tensor:
    """Return SA(s, y): see `cabench.losses.pairwise.supervised_alignment`."""
    weighted = _exponents(y, tau).exp() * (_i(s) - _j(s)).square().sum(-1)
    value: Tensor = weighted.sum(1, backend=_device(s)).sum() / (len(s) * (len(s) - 1))
    return value


def _i(x: Tensor) -> LazyTensor:
    return LazyTensor(x[:, None, :])


def _j(x: Tensor) -> LazyTensor:
    return LazyTensor(x[None, :, :])


def _exponents(x: Tensor, tau: float) -> LazyTensor:
    return -(_i(x) - _j(x)).square().sum(-1) / (2 * tau)


def _mean_kernels(a: Tensor, b: Tensor) -> Tensor:
    squared = (_i(a) - _j(b)).square().sum(-1)
    kernels = sum((-scale * squared).exp() for scale in SCALES[1:]) + (-SCALES[0] * squared).exp()
    mean: Tensor = kernels.sum(1, backend=_device(a)).sum() / (len(a) * len(b))
    return mean


def _device(x: Tensor) -> str:
    """Return the device's name in KeOps, which would compute on CPU without a word."""
    if x.is_cuda and not config.gpu_available:
        raise UserError("KeOps finds no CUDA compiler: set CUDA_PATH, or move the tensors to the CPU.")
    return "GPU" if x.is_cuda else "CPU"
