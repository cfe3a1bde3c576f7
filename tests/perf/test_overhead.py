"""What the harness costs: a fit as a cell makes it, against a loop over the same losses; one thread, CPU time."""

import numpy as np
import pytest
import torch
from perf.ratios import gate
from perf.steps import bare, built, made, split

from cabench.checkpoint import CHECKPOINT_FILE, Checkpoint
from cabench.loop import stratified_batches
from cabench.method import Context

# Epochs of the quick tier, each with a checkpoint at its end; a fit there has 20, over which its start is spread.
BATCH, BATCHES, EPOCHS = 256, 15, 8


@pytest.mark.slow
def test_the_harness_costs_at_most_three_percent(tmp_path):
    train = split(BATCH * BATCHES)

    def loop():
        step = bare(built(train), train)
        rng = np.random.default_rng(0)
        for _ in range(EPOCHS):
            for rows in stratified_batches(train.y, BATCH, rng):
                step(torch.from_numpy(rows))

    def cell():
        checkpoint = Checkpoint(tmp_path / CHECKPOINT_FILE, "")
        made(epochs=EPOCHS).fit(train, context=Context(checkpoint=checkpoint))
        assert checkpoint.read() is not None
        checkpoint.remove()

    gate(loop, cell, bar=1 / 1.03, rounds=5)
