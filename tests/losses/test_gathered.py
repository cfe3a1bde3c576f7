"""Losses of a batch that lies in several processes: the value and every gradient are those of one process."""

import sys
from itertools import product

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from cabench.losses.mmd import mmd
from cabench.losses.pairwise import alignment, joint_entropy, sepclr_pairwise, supervised_alignment, uniformity

DIM, ROWS = 5, 23
SHARDS = {2: (9, 14), 3: (11, 0, 12)}


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


BACKENDS = ("tiled", "reference")


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


@pytest.mark.skipif(sys.platform == "win32", reason="gloo meets in a file")
@pytest.mark.parametrize("ranks", SHARDS)
def test_each_process_has_the_loss_of_the_whole_batch_and_every_gradient_of_its_model(ranks, tmp_path):
    shards = SHARDS[ranks]
    assert sum(shards) == ROWS
    mp.spawn(work, (shards, str(tmp_path)), nprocs=ranks)
    for rank, backend in product(range(ranks), BACKENDS):
        model, *data = everything()
        expected = loss_of(model, *data, backend=backend)
        expected.backward()
        loss, *gradients = torch.load(tmp_path / f"{backend}-{rank}.pt", weights_only=True)
        torch.testing.assert_close(loss, expected.detach(), rtol=1e-14, atol=1e-14)
        for found, parameter in zip(gradients, model.parameters(), strict=True):
            torch.testing.assert_close(found, parameter.grad, rtol=1e-11, atol=1e-13)
