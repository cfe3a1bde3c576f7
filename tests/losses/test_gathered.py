"""Losses of a batch that lies in several processes: the value and every gradient are those of one process."""

from itertools import product

import pytest
import torch
import torch.multiprocessing as mp
from losses.shards import BACKENDS, ROWS, everything, loss_of, work

SHARDS = {2: (9, 14), 3: (11, 0, 12)}


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
