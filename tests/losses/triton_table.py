"""The accuracy of the Triton kernels in the interpreter, on the CPU: `python triton_table.py` prints JSON.

A process of its own, because Triton reads TRITON_INTERPRET when it is imported. Products are exact here: what the
interpreter makes of TF32 and bfloat16 says nothing about a GPU.
"""

from __future__ import annotations

import json
import os

os.environ["TRITON_INTERPRET"] = "1"

import torch
import torch.nn.functional as F
from torch import Tensor

from cabench.losses.mmd import mmd
from cabench.losses.pairwise import joint_entropy, sepclr_pairwise, supervised_alignment, uniformity

SIZES = (2, 3, 31, 97, 128)
LOSSES = {
    "uniformity": lambda c, s, t, how: uniformity(s, **how),
    "joint_entropy": lambda c, s, t, how: joint_entropy(c, s, **how),
    "sepclr_pairwise": lambda c, s, t, how: sum(
        w * u for w, u in zip((1, 2, 3), sepclr_pairwise(c, s, t, **how), strict=True)
    ),
    "supervised_alignment": lambda c, s, t, how: supervised_alignment(s, c[:, :1], **how),
    "mmd": lambda c, s, t, how: mmd(c, s[:, : c.shape[1]], **how),
}


def rows(kind: str, n: int) -> tuple[Tensor, Tensor]:
    """Return common codes (n, 32) and salient codes (n, 48)."""
    generator = torch.Generator().manual_seed(n)
    c, s = torch.randn(n, 32, generator=generator), torch.randn(n, 48, generator=generator) / 2
    if kind == "clustered":
        centres = torch.randn(16, 48, generator=generator) / 2
        s = centres[torch.arange(n) % 16] + 0.05 * s
    if kind == "coincident":
        # Near each other too: pairs of equal rows alone have a gradient of nothing but rounding.
        s = 0.2 * s[torch.arange(n) // 2]
    shift = 5 if kind == "offset" else 0
    return F.normalize(c) + shift, s + shift


def errors(name: str, c: Tensor, s: Tensor, target: Tensor) -> tuple[float, float]:
    """Return the value's absolute and the gradients' largest relative error against float64."""
    found = []
    for backend, dtype in (("triton", torch.float32), ("reference", torch.float64)):
        leaves = [code.to(dtype).clone().requires_grad_() for code in (c, s)]
        value = LOSSES[name](*leaves, target, {"backend": backend, "precision": "exact"})
        value.backward()
        found.append(
            (float(value.detach()), [None if leaf.grad is None else leaf.grad.double() for leaf in leaves])
        )
    (value, gradients), (truth, slopes) = found
    pairs = [(a, b) for a, b in zip(gradients, slopes, strict=True) if a is not None and b.norm() > 1e-9]
    return abs(value - truth), max((float((a - b).norm() / b.norm()) for a, b in pairs), default=0.0)


def main() -> None:
    table = {}
    for name in LOSSES:
        for kind in ("spread", "clustered", "offset", "coincident"):
            for n in SIZES if kind == "spread" else (97,):
                # With background rows at 0 an offset would be a distance.
                target = torch.ones(n) if kind == "offset" else torch.arange(n) % 2
                table[f"{name} {kind} {n}"] = errors(name, *rows(kind, n), target)
    for word, target in (("background", 0), ("target", 1)):
        table[f"sepclr_pairwise all {word} 31"] = errors(
            "sepclr_pairwise", *rows("spread", 31), torch.full((31,), target)
        )
    far = 1e3 * torch.arange(1.0, 8.0)[:, None].expand(7, 16)
    missing = torch.where(torch.arange(31)[:, None] == 7, torch.nan, rows("spread", 31)[1])
    facts = {
        "far": float(uniformity(far, backend="triton", precision="exact")),
        "far by hand": float(
            torch.logsumexp(-torch.pdist(far.double()).square(), 0) - torch.tensor(21.0).log()
        ),
        "nan": [float(LOSSES[name](rows("spread", 31)[0], missing, torch.ones(31), {"backend": "triton"}))
                for name in LOSSES],
    }  # fmt: skip
    print(json.dumps({"table": table, "facts": facts}))


if __name__ == "__main__":
    main()
