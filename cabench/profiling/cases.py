"""What is profiled: the pairwise losses, each as a function of the same codes, and one call of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from cabench.losses.backends import Backend, Precision
from cabench.losses.mmd import SCALES, mmd
from cabench.losses.pairwise import joint_entropy, sepclr_pairwise, supervised_alignment, uniformity

Mode = Literal["forward", "full"]
# What becomes of a value when every row stands there k times: nothing, or it is (the logarithm of) a mean over
# pairs of different rows, among which there are now copies.
Copied = Literal["same", "log_pairs", "pairs"]

BACKENDS = tuple(name for name in get_args(Backend) if name != "auto")
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
MODES: tuple[Mode, ...] = get_args(Mode)
DISTINCT = 1024  # rows


@dataclass(frozen=True)
class Gram:
    """One matrix of kernels between all rows, as the least work needs it.

    Attributes:
        width: dimensions of its product.
        share: of the pairs that need it.
        exps: exponentials of a pair.
        sweeps: how often a step with gradients computes it: two where a gradient's weights need all sums first.
    """

    width: int
    share: float = 1.0
    exps: int = 1
    sweeps: int = 1


@dataclass(frozen=True)
class Kernel:
    """A loss.

    Attributes:
        loss: of c and s (n, d), the number of background rows, which come first, and `backend` and `precision`.
        grams: of codes of d dimensions.
        numbers: that it reads of each row, of codes of d dimensions.
        copied: what copies of rows do to each of its values.
        rounded: whether `precision` changes it: whether it multiplies matrices.
    """

    loss: Callable[..., Tensor | tuple[Tensor, ...]]
    grams: Callable[[int], tuple[Gram, ...]]
    numbers: Callable[[int], int]
    copied: tuple[Copied, ...]
    rounded: bool = True


@dataclass(frozen=True)
class Case:
    """One row of a profile.

    Attributes:
        kernel: a name of KERNELS.
        n: rows.
        backend: a name of BACKENDS.
        precision: of the products of matrices.
        mode: "forward" asks for the value, "full" for the gradients too.
    """

    kernel: str
    n: int
    backend: str
    precision: str
    mode: str


def _sepclr(c: Tensor, s: Tensor, background: int, **how: Any) -> tuple[Tensor, ...]:
    return sepclr_pairwise(c, s, torch.arange(len(c), device=c.device) >= background, **how)


KERNELS = {
    "uniformity": Kernel(
        lambda c, s, background, **how: uniformity(c, **how), lambda d: (Gram(d),), lambda d: d, ("log_pairs",)
    ),
    "joint_entropy": Kernel(
        lambda c, s, background, **how: joint_entropy(c, s, **how),
        lambda d: (Gram(2 * d, sweeps=2),),
        lambda d: 2 * d,
        ("same",),
    ),
    # Only pairs of two target rows, a quarter, need the salient kernel.
    "sepclr_pairwise": Kernel(
        _sepclr,
        lambda d: (Gram(d, sweeps=2), Gram(d, 0.25, sweeps=2)),
        lambda d: 2 * d,
        ("log_pairs", "log_pairs", "same"),
    ),
    "mmd": Kernel(
        lambda c, s, background, **how: mmd(c[:background], c[background:], **how),
        lambda d: (Gram(d, exps=len(SCALES)),),
        lambda d: d,
        ("same",),
        rounded=False,
    ),
    # One column and one attribute at a time, as the method does it.
    "supervised_alignment": Kernel(
        lambda c, s, background, **how: supervised_alignment(s[:, :1], c[:, 0], **how),
        lambda d: (Gram(1),),
        lambda d: 2,
        ("pairs",),
        rounded=False,
    ),
}


def spread_codes(n: int, dim: int, seed: int = 0, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Return common codes (n, dim) on the sphere and salient ones (n, dim) about 0, as at the start of training."""
    generator = torch.Generator().manual_seed(seed)
    c = F.normalize(torch.randn(n, dim, generator=generator))
    return c.to(device), (0.3 * torch.randn(n, dim, generator=generator)).to(device)


@dataclass(frozen=True)
class Sample:
    """Codes whose losses are known however many they are: copies of at most DISTINCT rows.

    Attributes:
        c: distinct common codes (m, d); the first half of the rows is background.
        s: distinct salient codes (m, d), 0 for background.
        own: which of them each of the n rows is, background first, in random order (n,).
    """

    c: Tensor
    s: Tensor
    own: Tensor

    @property
    def copies(self) -> int:
        """Return how often each distinct row stands there."""
        return len(self.own) // len(self.c)

    def rows(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Return fresh leaves c and s (n, d)."""
        c, s = (x[self.own].to(dtype).requires_grad_() for x in (self.c, self.s))
        return c, s


def sample(n: int, dim: int, device: str = "cpu") -> Sample:
    """Return n rows; beyond DISTINCT, n is a multiple of it.

    Copies stand in random order: a backend that takes one row for another is not saved by a pattern.
    """
    m = min(n, DISTINCT)
    c, s = spread_codes(m, dim, device=device)
    s[: m // 2] = 0
    generator = torch.Generator().manual_seed(n)
    halves = [torch.arange(m // 2), torch.arange(m // 2, m)]
    copied = [half.repeat(n // m)[torch.randperm(len(half) * (n // m), generator=generator)] for half in halves]
    return Sample(c, s, torch.cat(copied).to(device))


def values(kernel: Kernel, c: Tensor, s: Tensor, **how: Any) -> Tensor:
    """Return the values of a loss, stacked."""
    outputs = kernel.loss(c, s, len(c) // 2, **how)
    return torch.stack(outputs if isinstance(outputs, tuple) else (outputs,))


def step(
    kernel: Kernel, codes: tuple[Tensor, Tensor], backend: str, precision: str, mode: str
) -> Callable[[], None]:
    """Return a function that computes a loss of leaves c and s, and their gradients if the mode is "full"."""

    def forward() -> None:
        with torch.no_grad():
            values(kernel, *codes, backend=backend, precision=precision)

    def full() -> None:
        for code in codes:
            code.grad = None
        values(kernel, *codes, backend=backend, precision=precision).sum().backward()

    return full if mode == "full" else forward
