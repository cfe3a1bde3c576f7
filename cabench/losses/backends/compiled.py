"""Whole matrices on centred rows with exact diagonals, fused by torch.compile: a few n x n instead of many.

The first call with a new loss, type or device compiles for seconds; sizes are dynamic.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cabench.losses.distances import squared_distances
from cabench.losses.mmd import kernel_sum


def uniformity(x: Tensor, tau: float = 0.5, precision: str = "default") -> Tensor:
    """Return U(x): see `cabench.losses.pairwise.uniformity`."""
    value: Tensor = _uniformity(x, tau)
    return value


def joint_entropy(c: Tensor, s: Tensor, tau: float = 0.5, precision: str = "default") -> Tensor:
    """Return J(c, s): see `cabench.losses.pairwise.joint_entropy`."""
    value: Tensor = _joint_entropy(c, s, tau)
    return value


def sepclr_pairwise(
    c: Tensor, s: Tensor, target: Tensor, tau: float = 0.5, precision: str = "default"
) -> tuple[Tensor, Tensor, Tensor]:
    """Return U(c), U(s) and J(c, s): see `cabench.losses.pairwise.sepclr_pairwise`."""
    U_c, U_s, J = _sepclr_pairwise(c, s, tau)
    return U_c, U_s, J


def mmd(a: Tensor, b: Tensor, precision: str = "default") -> Tensor:
    """Return MMD^2(a, b): see `cabench.losses.mmd.mmd`."""
    value: Tensor = _mmd(a, b)
    return value


def supervised_alignment(s: Tensor, y: Tensor, tau: float = 0.5, precision: str = "default") -> Tensor:
    """Return SA(s, y): see `cabench.losses.pairwise.supervised_alignment`."""
    value: Tensor = _supervised_alignment(s, y, tau)
    return value


def _fused(formula: Callable[..., Any]) -> Callable[..., Any]:
    fused: Callable[..., Any] = torch.compile(formula, dynamic=True)
    return fused


def _log_mean(squared: Tensor, tau: float) -> Tensor:
    n = len(squared)
    off = ~torch.eye(n, dtype=torch.bool, device=squared.device)
    exponents = (-squared / (2 * tau)).masked_fill(~off, -math.inf)
    return torch.logsumexp(exponents.flatten(), 0) - math.log(n * (n - 1))


def _mean_log_mean(squared: Tensor, tau: float) -> Tensor:
    return torch.logsumexp(-squared / (2 * tau), 1).mean() - math.log(len(squared))


@_fused
def _uniformity(x: Tensor, tau: float) -> Tensor:
    return _log_mean(squared_distances(x), tau)


@_fused
def _joint_entropy(c: Tensor, s: Tensor, tau: float) -> Tensor:
    return _mean_log_mean(squared_distances(torch.cat([c, s], 1)), tau)


@_fused
def _sepclr_pairwise(c: Tensor, s: Tensor, tau: float) -> tuple[Tensor, Tensor, Tensor]:
    apart_c, apart_s = squared_distances(c), squared_distances(s)
    return _log_mean(apart_c, tau), _log_mean(apart_s, tau), _mean_log_mean(apart_c + apart_s, tau)


@_fused
def _mmd(a: Tensor, b: Tensor) -> Tensor:
    return kernel_sum(a, a).mean() + kernel_sum(b, b).mean() - 2 * kernel_sum(a, b).mean()


@_fused
def _supervised_alignment(s: Tensor, y: Tensor, tau: float) -> Tensor:
    n = len(s)
    weights = (-(y[:, None] - y[None]).square().sum(2) / (2 * tau)).exp()
    return (weights * (s[:, None] - s[None]).square().sum(2)).sum() / (n * (n - 1))
