"""Methods train under bfloat16 autocast on a GPU: on CPU, which has it too, it keeps losses and gradients."""

from itertools import pairwise

import pytest
import torch
from training_step import batch_of, draws

from cabench import loop, registry
from cabench.augment.views import canvas, views
from cabench.spec import signature_defaults
from cabench.testing import SMALL, tiny_split
from cabench.train import LightningMethod

CLASSES = {name: plugin.load() for name, plugin in registry.find("method").items()}
TRAINED = [name for name, cls in CLASSES.items() if issubclass(cls, LightningMethod) and cls().epochs]


def fit(name, **changes):
    known = signature_defaults(CLASSES[name])
    return CLASSES[name](**{key: value for key, value in SMALL.items() if key in known} | changes).fit(tiny_split())


def terms_and_gradient(method, player, half):
    """Return the raw terms of a player, and the gradient of their weighted sum in one vector."""
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        terms = player.loss(batch_of(tiny_split()), draws())
        loss = torch.stack([raw * weight for raw, weight in terms.values()]).sum()
    method.networks_.zero_grad(set_to_none=True)
    loss.backward()
    gradients = [p.grad.flatten() for p in method.networks_.parameters() if p.grad is not None]
    return {name: raw.item() for name, (raw, _) in terms.items()}, torch.cat(gradients)


@pytest.mark.parametrize("name", TRAINED)
def test_half_precision_keeps_every_term_and_the_direction_of_the_gradient(name):
    method = fit(name)
    method.networks_.train()
    start = {key: value.clone() for key, value in method.networks_.state_dict().items()}
    for player in method.players():
        (terms, gradient), (rounded, turned) = (
            (method.networks_.load_state_dict(start), terms_and_gradient(method, player, half))[1]
            for half in (False, True)
        )
        assert rounded == pytest.approx(terms, rel=0.02, abs=0.02)
        assert rounded != terms
        assert turned.dtype == torch.float32
        assert torch.cosine_similarity(gradient, turned, 0) > 0.97


def test_a_fit_in_half_precision_keeps_float32_networks_and_nearly_the_same_losses(monkeypatch):
    one_step = {"epochs": 1, "batch_size": len(tiny_split())}
    full = fit("sepclr", **one_step)
    monkeypatch.setitem(loop.PRECISION, "cpu", loop.PRECISION["gpu"])
    half = fit("sepclr", **one_step)
    assert {p.dtype for p in half.networks_.parameters()} == {torch.float32}
    assert half.history_[0] == pytest.approx(full.history_[0], rel=0.02, abs=0.02)
    assert half.history_ != full.history_


def test_each_of_several_steps_on_a_batch_sees_what_the_last_one_moved(monkeypatch):
    monkeypatch.setitem(loop.PRECISION, "cpu", loop.PRECISION["gpu"])
    x, seen = torch.ones(1, 6), []

    def estimator_loss(self, batch, stream):
        network = self.networks_["posterior"]
        seen.append([part.tolist() for part in network(x)])
        return {"first": (network(x)[0].float().square().sum(), 1.0)}

    monkeypatch.setattr(CLASSES["sepclr"], "estimator_loss", estimator_loss)
    fit("sepclr", mi_term="vub", inner_steps=3, inner_rate=0.1, epochs=1, batch_size=len(tiny_split()))
    assert len(seen) == 3 and all(before != after for before, after in pairwise(seen))


def test_a_view_is_the_same_in_half_precision():
    split = tiny_split()
    x, augmentation = torch.from_numpy(split.x), canvas(split).augmentation
    expected = views(x, augmentation, draws().augmentation)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(views(x, augmentation, draws().augmentation), expected)
