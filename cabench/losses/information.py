"""Estimates of the mutual information of two codes, for methods that minimise it (METHODS 2.3).

The bounds read a Gaussian q(s | c) per row, as mean and logvar (n, d); with too few rows each is 0 on the graph.
Everything runs in float32 (float64 if the input is) with autocast off.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cabench.losses.distances import squared_distances
from cabench.losses.gaussian import kl_to_standard

LOG_2PI = math.log(2 * math.pi)
SMALLEST_BANDWIDTH = 1e-12


def log_density(mean: Tensor, logvar: Tensor, s: Tensor) -> Tensor:
    """Return log N(s; mean, exp logvar), summed over the last axis; the arguments broadcast."""
    with torch.autocast(s.device.type, enabled=False):
        mean, logvar, s = _precise(mean, logvar, s)
        return -0.5 * ((s - mean).square() / logvar.exp() + logvar + LOG_2PI).sum(-1)


def vclub(mean: Tensor, logvar: Tensor, s: Tensor) -> Tensor:
    """Return mean_i log q(s_i | c_i) - mean_ij log q(s_j | c_i), j = i included (Cheng et al., ICML 2020).

    Args:
        mean: of q(. | c_i) (n, d).
        logvar: of q(. | c_i) (n, d).
        s: codes (n, d).
    """
    every = log_density(mean[:, None], logvar[:, None], s[None])
    return _mean(log_density(mean, logvar, s)) - _mean(every)


def vclub_sample(mean: Tensor, logvar: Tensor, s: Tensor, generator: torch.Generator) -> Tensor:
    """Return `vclub` with one partner per row, by a random permutation, instead of all (Cheng et al., ICML 2020).

    A row may be its own partner: only so is the expectation over permutations that of `vclub`.
    """
    partners = s[torch.randperm(len(s), generator=generator, device=s.device)]
    return _mean(log_density(mean, logvar, s) - log_density(mean, logvar, partners))


def vl1out(mean: Tensor, logvar: Tensor, s: Tensor) -> Tensor:
    """Return mean_i [log q(s_i | c_i) - log mean_{j != i} q(s_i | c_j)] (Poole et al., ICML 2019)."""
    n = len(s)
    if n < 2:
        return 0.0 * (mean.sum() + logvar.sum() + s.sum())
    every = log_density(mean[None], logvar[None], s[:, None])
    own = torch.eye(n, dtype=torch.bool, device=s.device)
    others = torch.logsumexp(every.masked_fill(own, -math.inf), 1) - math.log(n - 1)
    return _mean(every.diagonal() - others)


def vub(mean: Tensor, logvar: Tensor) -> Tensor:
    """Return mean_i KL(q(. | c_i) || N(0, I)) (Alemi et al., 2016)."""
    with torch.autocast(mean.device.type, enabled=False):
        mean, logvar = _precise(mean, logvar)
        return _mean(kl_to_standard(mean, logvar))


def hsic(c: Tensor, s: Tensor) -> Tensor:
    """Return tr(K_c H K_s H) / (n - 1)^2 of codes (n, d_c) and (n, d_s) (Gretton et al., ALT 2005).

    K = exp(-||x_i - x_j||^2 / (2 m)), m the median squared distance of two rows, through which no gradient flows.
    """
    n = len(c)
    if n < 2:
        return 0.0 * (c.sum() + s.sum())
    with torch.autocast(c.device.type, enabled=False):
        K_c, K_s = _median_kernel(c), _median_kernel(s)
        centred = K_c - K_c.mean(0, keepdim=True) - K_c.mean(1, keepdim=True) + K_c.mean()
        return (centred * K_s).sum() / (n - 1) ** 2


def _median_kernel(x: Tensor) -> Tensor:
    distances = squared_distances(x)
    upper = torch.triu_indices(len(x), len(x), 1, device=x.device)
    median = distances.detach()[upper[0], upper[1]].median().clamp(min=SMALLEST_BANDWIDTH)
    return (-distances / (2 * median)).exp()


def _mean(x: Tensor) -> Tensor:
    return x.sum() / max(1, x.numel())


def _precise(*tensors: Tensor) -> list[Tensor]:
    return [z if z.dtype == torch.float64 else z.float() for z in tensors]
