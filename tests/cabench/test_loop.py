"""What the training loop promises to players."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from cabench.augment.views import whole
from cabench.codes import Split
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
        self.seen_, self.asked_ = [], []
        return {name: nn.Sequential(nn.Linear(16, 3), nn.BatchNorm1d(3)) for name in ("first", "second")}

    def players(self):
        return [Player(name, (name,), self.training_loss, self.learning_rate) for name in ("first", "second")]

    def training_loss(self, batch, draws):
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
