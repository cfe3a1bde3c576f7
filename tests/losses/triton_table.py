"""The accuracy of the Triton kernels in the interpreter, on the CPU: `python triton_table.py` prints JSON.

A process of its own, because Triton reads TRITON_INTERPRET when it is imported. Products are exact here: what the
interpreter makes of TF32 and bfloat16 says nothing about a GPU.
"""

from __future__ import annotations

import json
import os

os.environ["TRITON_INTERPRET"] = "1"

import torch
from losses.batches import LOSSES, batch, errors, losses, value_and_gradients

from cabench.losses.pairwise import uniformity

SIZES = (2, 3, 31, 97, 128)
WIDTH = 24  # padded to 32
HOW = {"backend": "triton", "precision": "exact"}


def main() -> None:
    table = {}
    for name in LOSSES:
        for kind in ("spread", "clustered", "offset", "coincident"):
            for n in SIZES if kind == "spread" else (97,):
                c, s, target = batch(kind, n, WIDTH)
                if name == "mmd" and n == 2:
                    continue  # a group would be empty
                # With background rows at 0 an offset would be a distance.
                target = torch.ones(n) if kind == "offset" else target
                table[f"{name} {kind} {n}"] = errors(losses(target)[name], c, s, **HOW)
    c, s, target = batch("spread", 31, WIDTH)
    # Here the widest of its kernels alone is not 0.
    table["mmd far 31"] = errors(losses(target)["mmd"], 300 * c, 300 * s, **HOW)
    for word, target in (("background", torch.zeros(31)), ("target", torch.ones(31))):
        table[f"sepclr_pairwise all {word} 31"] = errors(losses(target)["sepclr_pairwise"], c, s, **HOW)
    far = 1e3 * torch.arange(1.0, 8.0)[:, None].expand(7, 16)
    # Row 7 lacks a number in both codes.
    lacking = torch.arange(31)[:, None] == 7
    gaps = [x.masked_fill(lacking, torch.nan) for x in (c, s)]
    facts = {
        "far": float(uniformity(far, **HOW)),
        "far by hand": float(
            torch.logsumexp(-torch.pdist(far.double()).square(), 0) - torch.tensor(21.0).log()
        ),
        "nan": [value_and_gradients(loss, *gaps, **HOW)[0].tolist() for loss in losses(torch.ones(31)).values()],
    }  # fmt: skip
    print(json.dumps({"table": table, "facts": facts}))


if __name__ == "__main__":
    main()
