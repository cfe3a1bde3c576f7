"""What each process of a test does: in a module of its own, because the processes import it."""

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from cabench.losses.mmd import mmd
from cabench.losses.pairwise import alignment, joint_entropy, sepclr_pairwise, supervised_alignment, uniformity

DIM, ROWS = 5, 23
BACKENDS = ("tiled", "reference")


def loss_of(model, rows, labels, target, **how):
    """Return every loss of a linear model's codes, summed."""
    codes = model(rows)
    c, s = codes[:, :3], codes[:, 3:]
    pair = mmd(c[target], c[~target], **how)
    values = [uniformity(c, **how), joint_entropy(c, s, **how), *sepclr_pairwise(c, s, target, **how), pair]
    values.append(supervised_alignment(s, labels, **how))
    how = {key: value for key, value in how.items() if key == "group"}
    values.append(alignment(c, 0.5 * c.flip(1), weights=target, **how))
    return torch.stack(values).sum()


def everything():
    """Return the model, and the images, labels and groups of the whole batch, in float64."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = torch.nn.Linear(DIM, 6).double()
    rows = torch.randn(ROWS, DIM, generator=generator, dtype=torch.float64)
    labels = torch.rand(ROWS, generator=generator, dtype=torch.float64)
    return model, rows, labels, torch.rand(ROWS, generator=generator) < 0.5


def work(rank, shards, folder):
    """Compute the loss of one shard, and leave it with the gradients of the parameters in a file."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=len(shards))
    model, *data = everything()
    own = slice(sum(shards[:rank]), sum(shards[: rank + 1]))
    parallel = DistributedDataParallel(model)
    for backend in BACKENDS:
        model.zero_grad(set_to_none=True)
        loss = loss_of(parallel, *(x[own] for x in data), backend=backend, group=dist.group.WORLD)
        loss.backward()
        gradients = [p.grad for p in model.parameters()]
        torch.save([loss.detach(), *gradients], f"{folder}/{backend}-{rank}.pt")
    dist.destroy_process_group()
