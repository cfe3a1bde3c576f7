"""Ways to compute the pairwise losses: one module per backend, imported when it is first asked for.

Every module has the same functions, whose arguments the public ones of `cabench.losses` have checked: matrices are
contiguous, of one device, all float32 or all float64, with autocast off and at least the rows that the loss needs.

    uniformity(x, tau=0.5, precision="default") -> U                          x (n, d), n >= 2
    joint_entropy(c, s, tau=0.5, precision="default") -> J                    c (n, d_c), s (n, d_s), n >= 1
    sepclr_pairwise(c, s, target, tau=0.5, precision="default") -> U_c, U_s, J
        target (n,) bool, n >= 2; rows of s outside the target are already 0
    mmd(a, b, precision="default") -> MMD^2                                   a (n, d), b (m, d), n, m >= 1
    supervised_alignment(s, y, tau=0.5, precision="default") -> SA            s (n, d), y (n, d_y), n >= 2
        y needs no gradient

`precision` speaks of the products of matrices: "exact" is float32 throughout, "default" may split them into parts
of fewer bits that keep gradients within 2e-3, "fast" may round them to TF32 or bfloat16. It changes nothing on CPU.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from types import ModuleType
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from cabench.errors import UserError, did_you_mean

Backend = Literal["auto", "reference", "tiled", "compiled", "triton", "keops"]
Precision = Literal["exact", "default", "fast"]
NEEDS = {"triton": "triton", "keops": "pykeops"}

_last: str | None = None


def last_backend() -> str | None:
    """Return the backend that computed the last pairwise loss, which is what "auto" chose; None before any."""
    return _last


def choose(x: Tensor) -> Backend:
    """Return the fastest backend for tensors like x: Triton for float32 on a GPU, tiles for all else.

    On CPU tiles win at every size: a batch of one tile is the plain formula without its temporaries.
    """
    if x.device.type == "cuda" and x.dtype == torch.float32 and _installed("triton"):
        return "triton"
    return "tiled"


def compute(loss: str, *tensors: Tensor, backend: Backend, precision: Precision, **options: Any) -> Any:
    """Return what a backend's function `loss` makes of checked tensors.

    Raises:
        ValueError: there is no such backend or precision.
        UserError: the backend needs something that is not there.
    """
    global _last
    if precision not in get_args(Precision):
        raise ValueError(f"There is no precision '{precision}'.{did_you_mean(precision, get_args(Precision))}")
    name = choose(tensors[0]) if backend == "auto" else backend
    module = load(name, tensors[0].device)
    if not torch.is_grad_enabled():
        # A function is told which inputs need a gradient, but not that no one will ask for it.
        tensors = tuple(x.detach() for x in tensors)
    with torch.autocast(tensors[0].device.type, enabled=False):
        value = getattr(module, loss)(*tensors, precision=precision, **options)
    _last = name
    return value


def load(name: str, device: torch.device | str = "cpu") -> ModuleType:
    """Return the module of a backend that can compute on a device.

    Raises:
        ValueError: there is no such backend.
        UserError: its package is not installed, or it needs a GPU.
    """
    if name not in get_args(Backend) or name == "auto":
        raise ValueError(f"There is no backend '{name}'.{did_you_mean(name, get_args(Backend))}")
    if name in NEEDS and not _installed(NEEDS[name]):
        hint = "`pip install cabench[keops]`" if name == "keops" else "a build of PyTorch with Triton"
        raise UserError(f"The backend '{name}' needs {NEEDS[name]}, which is not installed: it comes with {hint}.")
    if name == "triton" and torch.device(device).type != "cuda" and not interpreted():
        raise UserError("The backend 'triton' needs tensors on a GPU; 'tiled' runs on any device.")
    if name == "tiled":
        # Imported by name, unlike the others: what the numbers of a CPU come from counts as the code of a method.
        from cabench.losses.backends import tiled

        return tiled
    return importlib.import_module(f"{__name__}.{name}")


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def interpreted() -> bool:
    """Return whether Triton's kernels run in its interpreter, on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"
