"""Errors against float64, for any number of rows: a sample's rows are copies of few, whose truth is at hand."""

from __future__ import annotations

import torch
from torch import Tensor

from cabench.profiling.cases import Copied, Kernel, Sample, values

# Of several values, so that no two gradients cancel.
MIXTURE = (1.0, 0.7, 1.3)


def errors(
    kernel: Kernel, sample: Sample, truth: tuple[Tensor, Tensor], backend: str, precision: str
) -> tuple[float, float]:
    """Return the largest absolute error of the values and the relative error (2-norm) of all gradients.

    Args:
        kernel: the loss.
        sample: its rows.
        truth: what `true` says of them.
        backend: who computes it, in float32.
        precision: of the products of matrices.
    """
    c, s = sample.rows()
    found = values(kernel, c, s, backend=backend, precision=precision)
    _mixed(found).backward()
    slopes = torch.cat([_gradient(c), _gradient(s)], 1)
    true_values, true_slopes = truth
    wanted = true_slopes[sample.own]
    value_error = (found.detach().double() - true_values).abs().max()
    # Row by row in float32 and in sum in float64: a difference of many rows is not held twice.
    missed = (slopes - wanted).square().sum(dtype=torch.float64).sqrt()
    return float(value_error), float(missed / wanted.double().norm())


def true(kernel: Kernel, sample: Sample) -> tuple[Tensor, Tensor]:
    """Return the values (k,) and the gradients of c and s side by side (m, 2 d), by the formulas in float64.

    Values are those of all n rows; the gradient is that of one copy of each distinct row.
    """
    c, s = (x.double().requires_grad_() for x in (sample.c, sample.s))
    distinct = values(kernel, c, s, backend="reference", precision="exact")
    found = torch.stack(
        [of_copies(x, how, len(c), sample.copies) for x, how in zip(distinct, kernel.copied, strict=True)]
    )
    _mixed(found).backward()
    # A distinct row moves all of its copies, which share its gradient.
    return found.detach(), torch.cat([_gradient(c), _gradient(s)], 1) / sample.copies


def of_copies(value: Tensor, how: Copied, m: int, copies: int) -> Tensor:
    """Return the value for m rows that stand there `copies` times each, from that for the m rows.

    Of the n - 1 other rows of a row, copies - 1 equal it: their kernel is 1 and their distance 0.
    """
    if how == "same":
        return value
    others, equal = copies * (m - 1), copies - 1
    if how == "pairs":
        return value * others / (others + equal)
    return ((others * value.exp() + equal) / (others + equal)).log()


def _mixed(found: Tensor) -> Tensor:
    return (found * torch.tensor(MIXTURE[: len(found)]).to(found)).sum()


def _gradient(x: Tensor) -> Tensor:
    return torch.zeros_like(x) if x.grad is None else x.grad
