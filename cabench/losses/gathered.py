"""One batch that lies in several processes: every process sees all of its rows (PERFORMANCE 1.7)."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from cabench.losses.once import once


def gather_rows(x: Tensor, group: ProcessGroup | None) -> Tensor:
    """Return the rows (n, ...) of all processes of a group, in the order of their ranks; x itself without a group.

    Shards may differ in length and be empty. A loss of the gathered rows is the same in every process, so its
    gradient of the own rows is complete without any communication. DistributedDataParallel takes the mean over
    processes of the parameters' gradients: they are therefore multiplied by the number of processes, and every
    parameter has the gradient that one process has of the whole batch.
    """
    if group is None:
        return x
    gathered: Tensor = _Gather.apply(x, group)
    return gathered


class _Gather(torch.autograd.Function):
    """Concatenation over processes; backward takes the own rows, times the number of processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        ctx.save_for_backward(x)
        ranks, rank = dist.get_world_size(group), dist.get_rank(group)
        sizes = [torch.zeros(1, dtype=torch.long, device=x.device) for _ in range(ranks)]
        dist.all_gather(sizes, torch.tensor([len(x)], device=x.device), group)
        lengths = [int(size) for size in torch.cat(sizes).tolist()]
        # Collectives want equal shapes.
        padded = x.new_zeros(max(lengths), *x.shape[1:])
        padded[: len(x)] = x
        parts = [torch.empty_like(padded) for _ in range(ranks)]
        dist.all_gather(parts, padded, group)
        ctx.own, ctx.ranks = slice(sum(lengths[:rank]), sum(lengths[: rank + 1])), ranks
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    @staticmethod
    @once
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient[ctx.own] * ctx.ranks, None
