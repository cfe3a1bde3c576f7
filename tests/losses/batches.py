"""Batches on which pairwise losses are measured, the losses as functions of their inputs, and the truth."""

from __future__ import annotations

import torch

from cabench.losses.mmd import mmd
from cabench.losses.pairwise import joint_entropy, sepclr_pairwise, supervised_alignment, uniformity
from cabench.profiling.cases import spread_codes


def batch(kind, n, dim=32, seed=0):
    """Return c, s (n, dim) and the groups (n,).

    Codes are "spread", "offset" by 5, in "coincident" pairs, or in 16 tight clusters ("clustered").
    """
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(n, generator=generator) < 0.5
    if kind == "clustered":
        centres = torch.randn(2, 16, dim, generator=generator)
        own = torch.randint(16, (n,), generator=generator)
        c, s = (rows[own] + 0.05 * torch.randn(n, dim, generator=generator) for rows in centres)
        return c, s, target
    c, s = spread_codes(n, dim, seed)
    if kind == "coincident":
        c, s = (rows[torch.arange(n) // 2] for rows in (c, s))
    return (c + 5, s + 5, target) if kind == "offset" else (c, s, target)


def losses(target):
    """Return the losses of c and s, each with the keyword arguments of the public function."""
    return {
        "uniformity": lambda c, s, **how: uniformity(c, **how),
        "joint_entropy": joint_entropy,
        "sepclr_pairwise": lambda c, s, **how: sepclr_pairwise(c, s, target, **how),
        "supervised_alignment": lambda c, s, **how: supervised_alignment(s[:, :2], c[:, 0], **how),
        "mmd": lambda c, s, **how: mmd(c[: len(c) // 3, :8], c[len(c) // 3 :, :8], **how),
    }


LOSSES = tuple(losses(None))


def value_and_gradients(loss, c, s, **how):
    """Return the values of a loss stacked, and the gradients for c and s of a fixed mixture of them."""
    c, s = (x.detach().clone().requires_grad_() for x in (c, s))
    outputs = loss(c, s, **how)
    values = torch.stack(outputs if isinstance(outputs, tuple) else (outputs,))
    (values * torch.tensor([1.0, 0.7, 1.3]).to(values)[: len(values)]).sum().backward()
    return values.detach(), [torch.zeros_like(x) if x.grad is None else x.grad for x in (c, s)]


def errors(loss, c, s, **how):
    """Return the absolute error of the values and the relative one of all gradients, against float64 formulas."""
    truth, slopes = value_and_gradients(loss, c.double(), s.double(), backend="reference")
    values, found = value_and_gradients(loss, c, s, **how)
    assert values.dtype == torch.float32
    slopes, found = torch.cat(slopes, 1), torch.cat(found, 1).double()
    return (values.double() - truth).abs().max().item(), ((found - slopes).norm() / slopes.norm()).item()
