"""What the training loop promises to players."""

import gc
import math
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from cabench import loop
from cabench.augment.views import whole
from cabench.codes import Batch, Split
from cabench.params import count, rate
from cabench.train import LightningMethod, Player

STATE = {"weight": "0.weight", "statistics": "1.running_mean"}


@dataclass(kw_only=True, eq=False)
class Duel(LightningMethod):
    """Two networks; each player's loss reads both, and notes how they stand before its step."""

    name = "duel"
    epochs: int = count(2)
    batch_size: int = count(8)
    learning_rate: float = rate(1e-2)

    def build(self, train, view):
        self.seen_, self.asked_, self.batches_ = [], [], []
        return {name: nn.Sequential(nn.Linear(16, 3), nn.BatchNorm1d(3)) for name in ("first", "second")}

    def players(self):
        return [Player(name, (name,), self.training_loss, self.learning_rate) for name in ("first", "second")]

    def training_loss(self, batch, draws):
        self.batches_.append(batch)
        standing = {name: network.state_dict() for name, network in self.networks_.items()}
        self.seen_.append(
            {(name, what): standing[name][key].clone() for name in standing for what, key in STATE.items()}
        )
        asked = {name for name, network in self.networks_.items() if network[0].weight.requires_grad}
        self.asked_.append(asked)
        x = whole(batch.x, 4).flatten(1)
        return {"both": (sum((network(x) - 1).square().mean() for network in self.networks_.values()), 1.0)}

    def encode(self, x):
        return self.networks_["first"](x.flatten(1)), self.networks_["second"](x.flatten(1))


def test_a_step_moves_the_parameters_and_the_statistics_of_its_own_networks_alone():
    x = np.random.default_rng(0).integers(0, 255, (16, 1, 4, 4), dtype=np.uint8)
    method = Duel().fit(Split(x, np.arange(16) % 2))
    assert len(method.seen_) == 8
    assert method.asked_ == [{"first"}, {"second"}] * 4  # no gradient is computed that nobody uses
    for step, (before, after) in enumerate(zip(method.seen_, method.seen_[1:], strict=False)):
        own = ("first", "second")[step % 2]
        moved = {key for key in before if not torch.equal(before[key], after[key])}
        assert moved == {(own, what) for what in STATE}
    assert all(p.requires_grad for p in method.networks_.parameters())


@pytest.mark.parametrize("y", [np.arange(17) % 3 == 0, np.arange(16) % 2, np.zeros(16)])
def test_the_groups_of_a_batch_are_its_rows_of_each_group(y, monkeypatch):
    monkeypatch.setattr(Duel, "needs_both_groups", False)
    y = y.astype(np.int64)
    x = np.repeat(np.arange(len(y), dtype=np.uint8), 16).reshape(-1, 1, 4, 4)
    batches = Duel().fit(Split(x, y)).batches_
    assert len(batches) == 8
    for batch in batches:
        assert torch.equal(batch.y, torch.from_numpy(y)[batch.x[:, 0, 0, 0].long()])
        background, target = batch.groups
        assert batch.y[background].tolist() == [0] * len(background)
        assert batch.y[target].tolist() == [1] * len(target)
        assert sorted([*background.tolist(), *target.tolist()]) == list(range(len(batch.y)))


def test_a_batch_finds_its_groups_by_itself():
    background, target = Batch.of(torch.zeros(5, 1, 4, 4), torch.tensor([1, 0, 0, 1, 0])).groups
    assert background.tolist() == [1, 2, 4] and target.tolist() == [0, 3]


def test_what_was_recorded_is_let_go_when_the_fit_ends(monkeypatch):
    made, step_of = [], loop._Module._step_of

    def noted(self, player):
        step = step_of(self, player)
        made.append(weakref.ref(step))
        return step

    monkeypatch.setattr(loop._Module, "_step_of", noted)
    x = np.zeros((16, 1, 4, 4), np.uint8)
    gc.disable()  # no cycle is in the way
    try:
        Duel().fit(Split(x, np.arange(16) % 2))
        assert [step() for step in made] == [None, None]
    finally:
        gc.enable()


def test_every_player_warms_up_and_then_follows_a_half_cosine(monkeypatch):
    rates, step = [], torch.optim.Adam.step

    def noted(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    Duel(learning_rate=0.1).fit(Split(np.zeros((16, 1, 4, 4), np.uint8), np.arange(16) % 2))
    # Four batches, of which one is the least warm-up; then thirds of half a turn.
    expected = [0.1, 0.1, 0.075, 0.025]
    assert rates == pytest.approx([rate for rate in expected for _ in range(2)])
    longer = [loop.warm_up_cosine(at, 100) for at in (0, 4, 5, 52, 100)]
    assert longer == pytest.approx([0.2, 1, 1, 0.5 * (1 + math.cos(math.pi * 47 / 95)), 0])
