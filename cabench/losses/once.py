"""Backward passes that are not differentiable themselves, and say so."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def once(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function's backward raise a RuntimeError where its result is differentiated again.

    `once_differentiable` of PyTorch lets a second derivative through as silent zeros if the outer gradient is a
    constant. The function must have saved its inputs for the backward pass: through them a second one comes here.
    """

    @functools.wraps(backward)
    def first(ctx: Any, *outer: Tensor) -> Any:
        with torch.no_grad():
            gradients = backward(ctx, *outer)
        if not torch.is_grad_enabled():
            return gradients
        return tuple(g if g is None else _Dead.apply(g, *outer, *ctx.saved_tensors) for g in gradients)

    return first


class _Dead(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *sources: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        raise RuntimeError("The pairwise losses have no second derivative.")
