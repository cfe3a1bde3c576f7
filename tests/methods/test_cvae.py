"""The cVAE against METHODS 2.4 and 2.5."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from training_step import batch_of, draws, total, touched
from vae_oracle import (
    cross_entropy,
    decoder_input,
    evidence,
    fitted,
    images,
    logits,
    moved_by_each_step,
    salient_gradient,
    weights_of,
)

from cabench.augment.views import Canvas
from cabench.codes import Augmentation
from cabench.losses.density_ratio import deranged
from cabench.methods.cvae import CVAE
from cabench.vae import Gaussian, Latents

VARIANTS = ("none", "adversarial", "official_joint")


@pytest.fixture
def fit(make_split):
    return partial(fitted, CVAE, make_split)


def published(method, rows):
    """METHODS 2.4, sums over a batch as in 2.5, term by term and image by image."""
    loss = evidence(method, rows)
    if method.tc == "none":
        return loss
    targets = [image for image in rows if image.y]
    own = logits(method, "discriminator", [image.c + image.s for image in targets])
    loss += method.tc_weight * sum(own)
    if method.tc == "official_joint":
        loss += cross_entropy(method, targets, len(rows))
    return loss


@pytest.mark.parametrize("tc", VARIANTS)
def test_the_loss_is_the_published_sum_over_images_divided_by_the_batch(tc, fit, make_split):
    method = fit(tc=tc, tc_weight=3.0, common_beta=0.5, salient_beta=0.7)
    batch = batch_of(make_split(share=0.4))
    method.networks_.eval()

    expected = published(method, images(method, batch)) / len(batch.y)
    assert total(method.training_loss(batch, draws())).item() == pytest.approx(expected, rel=1e-5)


def test_the_discriminator_minimises_the_cross_entropy_of_target_rows(fit, make_split):
    method, batch = fit(tc="adversarial"), batch_of(make_split(share=0.4))
    method.networks_.eval()
    targets = [image for image in images(method, batch) if image.y]
    expected = cross_entropy(method, targets, len(batch.y)) / len(targets)
    assert total(method.players()[0].loss(batch, draws())).item() == pytest.approx(expected, rel=1e-5)


def test_background_is_decoded_from_a_salient_code_of_exactly_zero(fit, make_split):
    batch = batch_of(make_split())
    _, salient = decoder_input(fit(), batch)
    assert not salient[batch.y == 0].any()
    assert salient[batch.y == 1].abs().amin() > 0


@pytest.mark.parametrize("tc", VARIANTS)
def test_background_sends_the_salient_encoder_no_gradient(tc, fit, make_split):
    batch = batch_of(make_split())
    gradient = salient_gradient(fit(tc=tc), batch)
    assert not gradient[batch.y == 0].any()
    assert gradient[batch.y == 1].abs().sum(1).min() > 0


@pytest.mark.parametrize("tc", VARIANTS)
def test_a_batch_of_background_alone_has_no_salient_and_no_total_correlation_term(tc, fit, make_split):
    method, split = fit(tc=tc), make_split()
    terms = method.training_loss(batch_of(split, split.y == 0), draws())
    for name in {"kl_salient", "total_correlation", "discriminator"} & set(terms):
        assert terms[name][0].item() == 0 and terms[name][0].requires_grad
    assert touched(method, total(terms)) == {"common", "decoder"}
    gradients = [p.grad for p in method.networks_.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_each_term_reaches_its_own_networks(fit, make_split):
    method, batch = fit(tc="official_joint"), batch_of(make_split())
    routes = {
        "reconstruction": {"common", "salient", "decoder"},
        "kl_common": {"common"},
        "kl_salient": {"salient"},
        "total_correlation": {"common", "salient", "discriminator"},
        "discriminator": {"common", "salient", "discriminator"},
    }
    for name, networks in routes.items():
        assert touched(method, method.training_loss(batch, draws())[name][0]) == networks, name


def test_each_player_moves_its_own_networks(make_split, monkeypatch):
    pair = {"common", "salient", "decoder"}
    for tc, steps in {
        "none": [pair] * 4,
        "adversarial": [{"discriminator"}, pair] * 4,
        "official_joint": [pair | {"discriminator"}] * 4,
    }.items():
        method = CVAE(common_dim=6, salient_dim=5, epochs=1, batch_size=12, tc=tc)
        with monkeypatch.context() as patch:
            assert moved_by_each_step(method, make_split().blind(), patch) == steps


def test_weights_are_the_parameters(fit, make_split):
    method = fit(common_beta=2.0, salient_beta=3.0, tc="official_joint", tc_weight=5.0)
    assert weights_of(method.training_loss(batch_of(make_split()), draws())) == {
        "reconstruction": 1.0,
        "kl_common": 2.0,
        "kl_salient": 3.0,
        "total_correlation": 5.0,
        "discriminator": 1.0,
    }
    assert fit(tc="adversarial", discriminator_rate=0.5).players()[0].learning_rate == 0.5


def planted(n=512, dim=4):
    """Return the latents of target rows whose salient sample is nearly the common one."""
    generator = torch.Generator().manual_seed(0)
    c = torch.randn(n, dim, generator=generator)
    s = c + 0.05 * torch.randn(n, dim, generator=generator)
    nothing = Gaussian(torch.zeros(n, dim), torch.zeros(n, dim))
    groups = torch.arange(0), torch.arange(n)
    return Latents(torch.zeros(n, 3, 16, 16), torch.ones(n), groups, nothing, nothing, c, s)


def train_on_planted(method, z, terms):
    """Minimise terms over the discriminator alone; return its probabilities of codes of one image and of two."""
    method.latents, method.evidence = lambda batch, draws: z, lambda z: {}
    discriminator = method.networks_["discriminator"]
    adam = torch.optim.Adam(discriminator.parameters(), lr=2e-2)
    noise = draws()
    for _ in range(600):
        adam.zero_grad()
        terms(noise).backward()
        adam.step()
    with torch.no_grad():
        others = torch.cat([z.c, deranged(z.s, noise.noise)], 1)
        return discriminator(torch.cat([z.c, z.s], 1)).sigmoid(), discriminator(others).sigmoid()


def test_at_weight_1_the_official_objective_makes_the_discriminator_say_0_to_all(fit):
    """V3: the oracle of METHODS 7."""
    method = fit(common_dim=4, salient_dim=4, tc="official_joint")
    of_one, of_two = train_on_planted(method, planted(), lambda noise: total(method.training_loss(None, noise)))
    assert of_one.mean() < 0.02 and of_two.mean() < 0.02


def test_the_adversarial_discriminator_tells_them_apart(fit):
    method = fit(common_dim=4, salient_dim=4, tc="adversarial")
    player = method.players()[0]
    of_one, of_two = train_on_planted(method, planted(), lambda noise: total(player.loss(None, noise)))
    assert ((of_one > 0.5).float().mean() + (of_two < 0.5).float().mean()) / 2 > 0.95


@pytest.mark.parametrize(("axes", "channels"), [(2, 3), (3, 1)])
def test_native_networks_are_those_released_for_celeba(axes, channels):
    method = CVAE(common_dim=6, salient_dim=5)
    networks = method.native_networks(Canvas(channels, method.native_side(64), axes, Augmentation(28)))
    assert method.native_side(64) == 28
    x = torch.rand(2, channels, *[28] * axes)
    assert networks["common"](x).shape == (2, 12) and networks["salient"](x).shape == (2, 10)
    assert networks["decoder"](torch.randn(2, 11)).shape == x.shape

    def layers(network):
        found = [m for m in network if isinstance(m, nn.Linear) or "Conv" in type(m).__name__]
        return [
            (m.in_features, m.out_features) if isinstance(m, nn.Linear) else (m.out_channels, m.stride[0])
            for m in found
        ]

    flat = 64 * 7**axes
    assert layers(networks["common"]) == [(32, 2), (64, 2), (flat, 128), (128, 12)]
    assert layers(networks["decoder"]) == [(11, 128), (128, flat), (16, 2), (8, 2), (channels, 1)]


def test_native_trains_and_draws_at_its_side(fit, make_split):
    method = fit(track="native")
    assert method.decode(method.embed(make_split().x[:3])).shape == (3, 3, 28, 28)


def test_published_settings():
    paper = CVAE.settings["paper"]
    assert paper["*"]["learning_rate"] == 1e-3
    celeba = replace(CVAE(), **paper["*"] | paper["celeba_accessories"])
    assert (celeba.common_dim, celeba.salient_dim, celeba.batch_size, celeba.epochs) == (16, 6, 128, 100)
    assert celeba.tc == "none"
