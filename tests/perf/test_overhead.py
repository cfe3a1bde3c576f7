"""What the harness costs: a fit through cabench against a loop over the method's losses, one thread, CPU time."""

import numpy as np
import pytest
import torch
from perf.ratios import gate
from perf.steps import bare, built, quick, split

from cabench.loop import stratified_batches

BATCH, BATCHES, EPOCHS = 256, 4, 8


@pytest.mark.slow
def test_the_harness_costs_at_most_three_percent():
    train = split(BATCH * BATCHES)

    def loop():
        step = bare(built(train), train)
        rng = np.random.default_rng(0)
        for _ in range(EPOCHS):
            for rows in stratified_batches(train.y, BATCH, rng):
                step(torch.from_numpy(rows))

    gate(loop, lambda: quick(EPOCHS).fit(train), bar=1 / 1.03)
