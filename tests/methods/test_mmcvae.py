"""MM-cVAE against METHODS 2.7."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from training_step import batch_of, draws, total, touched
from vae_oracle import (
    SMALL,
    decoder_input,
    evidence,
    fitted,
    images,
    moments_at_each_step,
    moved_by_each_step,
    salient_gradient,
    weights_of,
)

from cabench.augment.views import Canvas, whole
from cabench.codes import Augmentation
from cabench.methods.mmcvae import MMcVAE


@pytest.fixture
def fit(make_split):
    return partial(fitted, MMcVAE, make_split)


def kernel(a, b):
    squared = sum((p - q) ** 2 for p, q in zip(a, b, strict=True))
    return sum(math.exp(-(10.0**power) * squared) for power in range(-6, 7))


def mmd(u, w):
    def mean(a, b):
        return sum(kernel(p, q) for p in a for q in b) / (len(a) * len(b))

    return mean(u, u) + mean(w, w) - 2 * mean(u, w)


def published(method, rows, common_penalty, salient_penalty):
    """METHODS 2.7: sums over a batch, image by image, and each MMD a scalar beside them."""
    loss = evidence(method, rows)
    background, target = ([image for image in rows if image.y == group] for group in (0, 1))
    loss += common_penalty * mmd([image.c for image in background], [image.c for image in target])
    zeros = [[0.0] * method.salient_dim] * len(background)
    return loss + salient_penalty * mmd([image.s for image in background], zeros)


def test_the_loss_is_the_published_sum_over_images_divided_by_the_batch(fit, make_split):
    """With the published weights of the MMDs divided by the batch size (M4)."""
    batch = batch_of(make_split(share=0.4))
    n = len(batch.y)
    method = fit(common_beta=0.5, salient_beta=0.7, common_mmd_weight=1e3 / n, salient_mmd_weight=1e2 / n)
    method.networks_.eval()
    expected = published(method, images(method, batch), 1e3, 1e2) / n
    assert total(method.training_loss(batch, draws())).item() == pytest.approx(expected, rel=1e-5)


def test_background_is_decoded_from_a_salient_code_of_exactly_zero(fit, make_split):
    batch = batch_of(make_split())
    _, salient = decoder_input(fit(), batch)
    assert not salient[batch.y == 0].any()
    assert salient[batch.y == 1].abs().amin() > 0


def test_each_term_reaches_its_own_networks(fit, make_split):
    method, batch = fit(), batch_of(make_split())
    routes = {
        "reconstruction": {"common", "salient", "decoder"},
        "kl_common": {"common"},
        "kl_salient": {"salient"},
        "mmd_common": {"common"},
        "mmd_salient": {"salient"},
    }
    assert set(method.training_loss(batch, draws())) == set(routes)
    for name, networks in routes.items():
        assert touched(method, method.training_loss(batch, draws())[name][0]) == networks, name


def test_background_salient_codes_feel_their_mmd_alone_mean_and_variance(fit, make_split):
    method, batch = fit(), batch_of(make_split())
    evidence = ("reconstruction", "kl_common", "kl_salient", "mmd_common")
    assert not salient_gradient(method, batch, *evidence)[batch.y == 0].any()
    gradient = salient_gradient(method, batch, "mmd_salient")
    assert not gradient[batch.y == 1].any() and gradient[batch.y == 0].abs().min() > 0


def test_the_model_moves_as_a_whole(make_split, monkeypatch):
    moved = moved_by_each_step(MMcVAE(**SMALL), make_split().blind(), monkeypatch)
    assert moved == [{"common", "salient", "decoder"}] * 4


@pytest.mark.parametrize(
    ("group", "absent"), [(0, {"kl_salient", "mmd_common"}), (1, {"mmd_common", "mmd_salient"})]
)
@pytest.mark.parametrize("track", ["matched", "native"])
def test_the_terms_of_an_absent_group_are_exact_zeros_that_are_connected(track, group, absent, fit, make_split):
    method, split = fit(track=track), make_split(n=12)
    method.networks_.train()
    terms = method.training_loss(batch_of(split, split.y == group), draws())
    for name in absent:
        assert terms[name][0].item() == 0 and terms[name][0].requires_grad
    total(terms).backward()
    assert all(raw.isfinite() for raw, _ in terms.values())
    assert all(value.isfinite().all() for value in method.networks_.state_dict().values())  # running statistics
    assert all(p.grad.isfinite().all() for p in method.networks_.parameters() if p.grad is not None)


def test_a_negative_estimate_is_not_cut_off(fit, make_split, monkeypatch):
    """M5: the release returns an integer 0, without a gradient, where rounding makes the estimate negative."""
    monkeypatch.setattr("cabench.methods.mmcvae.mmd", lambda a, b: a.mean() - a.mean().detach() - 1)
    method = fit()
    for name, space in (("mmd_common", "common"), ("mmd_salient", "salient")):
        raw, _ = method.training_loss(batch_of(make_split()), draws())[name]
        assert raw.item() == -1 and touched(method, raw) == {space}


def test_native_forwards_the_groups_separately_and_matched_together(fit, make_split):
    """M3: in training, BatchNorm sees one group at a time, in encoders and decoder."""
    for track, side in (("native", 64), ("matched", 16)):
        method, batch = fit(track=track), batch_of(make_split(n=12))
        method.networks_.train()
        z = method.latents(batch, draws())
        decoded = method.reconstruct(z)
        apart = []
        for group in (0, 1):
            rows = batch.y == group
            x = whole(batch.x[rows], side)
            codes = torch.cat([z.c[rows], z.s[rows] * group], 1)
            apart += [
                torch.allclose(z.common.mean[rows], method.posterior("common", x).mean, atol=1e-5),
                torch.allclose(z.salient.mean[rows], method.posterior("salient", x).mean, atol=1e-5),
                torch.allclose(decoded[rows], method.networks_["decoder"](codes), atol=1e-5),
            ]
        assert apart == [track == "native"] * 6


def test_separate_groups_give_the_same_as_one_pass_when_nothing_is_normalised_by_the_batch(fit, make_split):
    method, batch = fit(track="native"), batch_of(make_split(n=12))
    method.networks_.eval()
    z = method.latents(batch, draws())
    torch.testing.assert_close(z.common.mean, method.posterior("common", z.x).mean, atol=1e-5, rtol=1e-5)
    together = method.generate(z.c, z.s * z.target[:, None])
    torch.testing.assert_close(method.reconstruct(z), together, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("axes", "channels"), [(2, 3), (3, 1)])
def test_native_networks_are_those_of_the_release(axes, channels):
    method = MMcVAE(common_dim=6, salient_dim=5)
    assert method.native_side(32) == 64
    networks = method.native_networks(Canvas(channels, 64, axes, Augmentation(64)))
    flat = 256 * 4**axes
    *convolutions, _, heads = networks["salient"]
    first, activation, unflatten, *transposed, last, squash = networks["decoder"]
    for layers, widths in ((convolutions, [32, 64, 128, 256]), (transposed, [128, 64, 32])):
        assert [m.out_channels for m in layers[::3]] == widths
        assert all(m.bias is None and m.kernel_size[0] == 4 for m in layers[::3])
        assert all(isinstance(m, nn.LeakyReLU) and m.negative_slope == 0.2 for m in layers[1::3])
        assert all("BatchNorm" in type(m).__name__ for m in layers[2::3])
    assert (heads.in_features, heads.out_features, heads.bias) == (flat, 10, None)
    assert (first.in_features, first.out_features) == (11, flat) and first.bias is not None
    assert isinstance(activation, nn.LeakyReLU) and unflatten.unflattened_size == (256, *[4] * axes)
    assert (last.out_channels, last.bias) == (channels, None) and isinstance(squash, nn.Sigmoid)
    with torch.no_grad():
        x = torch.rand(1, channels, *[64] * axes)
        assert networks["common"](x).shape == (1, 12)
        assert networks["decoder"](torch.randn(1, 11)).shape == x.shape


@pytest.mark.parametrize(("every", "forgets"), [(0, [0]), (1, [0, 4])])
def test_adam_forgets_its_moments_after_so_many_epochs(every, forgets, make_split, monkeypatch):
    method = MMcVAE(**SMALL | {"epochs": 2, "optimizer_reset_epochs": every})
    known = moments_at_each_step(method, make_split().blind(), monkeypatch)
    assert [i for i, n in enumerate(known) if n == 0] == forgets


def test_weights_are_the_parameters(fit, make_split):
    method = fit(common_beta=2.0, salient_beta=3.0, common_mmd_weight=5.0, salient_mmd_weight=7.0)
    assert weights_of(method.training_loss(batch_of(make_split()), draws())) == {
        "reconstruction": 1.0,
        "kl_common": 2.0,
        "kl_salient": 3.0,
        "mmd_common": 5.0,
        "mmd_salient": 7.0,
    }


def test_published_settings():
    paper = MMcVAE.settings["paper"]
    expected = {  # dimensions, betas, weights of the MMDs beside sums, batch, epochs
        "cifar_mnist": (64, 64, 0.5, 0.5, 1e3, 1e2, 512, 250),
        "celeba_accessories": (16, 6, 1, 1, 1e4, 1e3, 128, 100),
        "chexpert_subtypes": (128, 128, 0.5, 0.1, 1e3, 1e2, 512, 100),
    }
    for name, values in expected.items():
        method = MMcVAE(**paper["*"] | paper.get(name, {}))
        assert values == (
            method.common_dim,
            method.salient_dim,
            method.common_beta,
            method.salient_beta,
            method.common_mmd_weight * method.batch_size,
            method.salient_mmd_weight * method.batch_size,
            method.batch_size,
            method.epochs,
        )
        assert method.learning_rate == 1e-3
