"""Whole training steps of SepCLR with the published weights, against a slow transcription of METHODS 2.1."""

import math

import pytest
import torch
from sepclr_oracle import doubled, slow_step
from training_step import batch_of, draws, total

from cabench.augment.views import views
from cabench.codes import SPACES
from cabench.methods.sepclr import SepCLR
from cabench.testing import tiny_split

OFFICIAL = {name: SepCLR.settings["paper"]["*"][name] for name in ("salient_weight", "null_weight")}  # 1000 both
STEPS = 20
# What a batch's mean takes away again has a gradient of 0: Adam moves it by the sign of a rounding error.
SHIFTS = ("code.bias", "head.0.bias", "head.1.running_mean")


class Watched(SepCLR):
    """SepCLR in float64, which notes the views and the groups of each step and how the networks stand at first."""

    name = "watched"

    def build(self, train, view):
        networks = {name: network.double() for name, network in super().build(train, view).items()}
        self.views_, self.groups_ = {"common": [], "salient": []}, []
        for space, seen in self.views_.items():
            networks[space].register_forward_pre_hook(lambda m, args, seen=seen: noted(args[0].double(), seen))
        return networks

    def training_loss(self, batch, draws):
        if not self.groups_:
            self.start_ = doubled(self.networks_)
        self.groups_.append(batch.y.tolist())
        return super().training_loss(batch, draws)


def noted(view, seen):
    seen.append(view)
    return view


def watched(**changes):
    parameters = {"common_dim": 6, "salient_dim": 5, "epochs": STEPS // 2, "batch_size": 12} | OFFICIAL | changes
    return Watched(**parameters).fit(tiny_split(n=24).blind())


def test_every_gradient_of_a_step_equals_that_of_a_slow_transcription():
    method, batch = watched(epochs=1), batch_of(tiny_split(), slice(0, 16))
    stream = draws().augmentation
    seen = [views(batch.x, method.canvas_.augmentation, stream) for _ in range(2)]
    p = doubled(method.networks_)
    expected = slow_step(seen, batch.y.tolist(), p, *OFFICIAL.values(), 10.0)
    expected.backward()
    method.networks_.train()
    method.networks_.zero_grad(set_to_none=True)
    loss = total(method.training_loss(batch, draws()))
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for name, parameter in method.networks_.named_parameters():
        # A bias before batch normalisation has a gradient of 0, whose rounding has no relative error.
        torch.testing.assert_close(parameter.grad, p[name].grad, rtol=1e-5, atol=1e-9, msg=name)
        assert parameter.grad.any(), name


def test_twenty_steps_of_the_loop_end_where_twenty_slow_steps_end():
    """Per view its own batch statistics, a gradient through the zeroed copy, Adam as published, our rates."""
    method = watched(learning_rate=1e-2)
    p = method.start_
    start = {name: value.detach().clone() for name, value in p.items()}
    parameters = [value for value in p.values() if value.requires_grad]
    moments = [(torch.zeros_like(value), torch.zeros_like(value)) for value in parameters]
    assert len(method.groups_) == STEPS
    for step, groups in enumerate(method.groups_):
        seen = method.views_["common"][2 * step : 2 * step + 2]
        assert all(map(torch.equal, seen, method.views_["salient"][2 * step : 2 * step + 2]))
        slow_step(seen, groups, p, *OFFICIAL.values(), 10.0).backward()
        rate = 1e-2 * (0.5 + 0.5 * math.cos(math.pi * (step - 1) / (STEPS - 1)) if step else 1.0)
        for value, (first, second) in zip(parameters, moments, strict=True):
            slow_adam(value, first, second, step + 1, rate)
    for name, value in method.networks_.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert value == 2 * STEPS  # one view after the other
        else:
            slack = 1e-5 if name.endswith(SHIFTS) else 1e-11
            torch.testing.assert_close(value, p[name].detach(), rtol=0, atol=slack, msg=name)
    assert all((p[f"{space}.code.weight"] - start[f"{space}.code.weight"]).abs().max() > 1e-2 for space in SPACES)


def slow_adam(value, first, second, step, rate):
    """Kingma and Ba, ICLR 2015, algorithm 1."""
    with torch.no_grad():
        first.copy_(0.9 * first + 0.1 * value.grad)
        second.copy_(0.999 * second + 0.001 * value.grad**2)
        value -= rate * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        value.grad = None
