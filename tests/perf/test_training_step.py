"""A SepCLR step of the quick tier against the step as one writes it down first: one thread, CPU time."""

import pytest
import torch
from perf.ratios import gate
from perf.steps import bare, built, plain, plain_loss, split
from training_step import batch_of, draws, total

from cabench.augment.views import views

BATCH = 256


@pytest.fixture(scope="module")
def train():
    return split(4 * BATCH)


def test_both_steps_have_the_same_loss(train):
    method, batch = built(train), batch_of(train, slice(0, BATCH))
    stream = draws().augmentation
    seen = [views(batch.x, method.canvas_.augmentation, stream) for _ in range(2)]
    loss = plain_loss(method, seen, batch.y)
    assert total(method.training_loss(batch, draws())).item() == pytest.approx(loss.item(), rel=1e-5)


def test_a_step_is_half_as_fast_again_as_the_plain_one(train):
    method, rows = built(train), torch.arange(BATCH)
    steps = [make(method, train) for make in (plain, bare)]
    gate(*(lambda step=step: step(rows) for step in steps), bar=1.5)
