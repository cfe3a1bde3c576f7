"""ConVAE against METHODS 2.6."""

from functools import partial

import pytest
import torch
from torch import nn
from training_step import batch_of, draws, total, touched
from vae_oracle import (
    SMALL,
    cross_entropy,
    decoder_input,
    evidence,
    fitted,
    images,
    logits,
    moments_at_each_step,
    moved_by_each_step,
    salient_gradient,
    weights_of,
)

from cabench.augment.views import Canvas
from cabench.codes import Augmentation
from cabench.methods.convae import ConVAE
from cabench.vae import Gaussian, Latents


@pytest.fixture
def fit(make_split):
    return partial(fitted, ConVAE, make_split)


def published(method, rows):
    """METHODS 2.9 without what 2.6 takes away: sums over a batch, image by image."""
    loss = evidence(method, rows)
    for image in rows:
        (logit,) = logits(method, "discriminator", [image.c + image.s])
        loss += method.tc_weight * max(logit, 0)
    return loss


def test_the_loss_is_the_published_sum_over_images_divided_by_the_batch(fit, make_split):
    method = fit(tc_weight=30.0, common_beta=0.5, salient_beta=0.7)
    batch = batch_of(make_split(share=0.4))
    method.networks_.eval()
    # Half of the logits on each side of 0.
    rows = images(method, batch)
    middle = sorted(logits(method, "discriminator", [image.c + image.s for image in rows]))[24]
    method.networks_["discriminator"][-1].bias.data -= middle
    expected = published(method, rows) / len(batch.y)
    assert total(method.training_loss(batch, draws())).item() == pytest.approx(expected, rel=1e-5)


def test_the_discriminator_minimises_the_cross_entropy_of_all_rows(fit, make_split):
    method, batch = fit(), batch_of(make_split(share=0.4))
    method.networks_.eval()
    rows = images(method, batch)
    expected = cross_entropy(method, rows, len(rows)) / len(rows)
    assert total(method.players()[0].loss(batch, draws())).item() == pytest.approx(expected, rel=1e-5)


def test_background_is_decoded_from_0_while_the_discriminator_sees_its_salient_sample(fit, make_split):
    method, batch = fit(), batch_of(make_split())
    seen = []
    hook = method.networks_["discriminator"].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    _, decoded = decoder_input(method, batch)
    hook.remove()
    assert not decoded[batch.y == 0].any() and decoded[batch.y == 1].abs().min() > 0
    assert seen[0][batch.y == 0, 6:].abs().min() > 0


@pytest.mark.parametrize(("clip", "expected"), [("sample", 2 / 3), ("batch_mean", 0.0), ("none", -1.0)])
def test_the_total_correlation_is_cut_off_where_the_parameter_says(clip, expected, fit):
    method = fit(tc_clip=clip)
    assert method.total_correlation(planted(method, [2.0, -1.0, -4.0])).item() == pytest.approx(expected)


@pytest.mark.parametrize("clip", ["sample", "batch_mean", "none"])
def test_a_saturated_discriminator_keeps_loss_and_gradient(clip, fit):
    """METHODS 7: a logit of 50 is a loss of 50 with a gradient of 1."""
    method = fit(tc_clip=clip)
    z = planted(method, [50.0])
    z.c.requires_grad_()
    loss = method.total_correlation(z)
    loss.backward()
    assert loss.item() == 50 and z.c.grad[0, 0].item() == 1


def planted(method, values):
    """Return latents whose logits are `values`: the discriminator reads the first common unit."""
    linear = nn.Linear(11, 1, bias=False)
    linear.weight.data = torch.eye(11)[:1]
    method.networks_["discriminator"] = linear
    c = torch.zeros(len(values), 6)
    c[:, 0] = torch.tensor(values)
    nothing = Gaussian(c, c)
    # No term of these looks at images or groups.
    return Latents(c, c[:, 0], (c, c), nothing, nothing, c, torch.zeros(len(values), 5))


def test_each_term_reaches_its_own_networks(fit, make_split):
    method, batch = fit(tc_clip="none"), batch_of(make_split())
    routes = {
        "reconstruction": {"common", "salient", "decoder"},
        "kl_common": {"common"},
        "kl_salient": {"salient"},
        "total_correlation": {"common", "salient", "discriminator"},
    }
    assert set(method.training_loss(batch, draws())) == set(routes)
    for name, networks in routes.items():
        assert touched(method, method.training_loss(batch, draws())[name][0]) == networks, name


def test_background_salient_codes_feel_the_total_correlation_alone(fit, make_split):
    method, batch = fit(tc_clip="none"), batch_of(make_split())
    evidence = ("reconstruction", "kl_common", "kl_salient")
    assert not salient_gradient(method, batch, *evidence)[batch.y == 0].any()
    assert salient_gradient(method, batch, "total_correlation")[batch.y == 0].abs().min() > 0


def test_each_player_moves_its_own_networks(make_split, monkeypatch):
    method = ConVAE(**SMALL, tc_clip="none")  # so that the discriminator gets a gradient in every step
    moved = moved_by_each_step(method, make_split().blind(), monkeypatch)
    assert moved == [{"discriminator"}, {"common", "salient", "decoder"}] * 4


@pytest.mark.parametrize("group", [0, 1])
def test_an_absent_group_leaves_everything_finite(group, fit, make_split):
    method, split = fit(), make_split()
    terms = method.training_loss(batch_of(split, split.y == group), draws())
    total(terms).backward()
    assert all(raw.isfinite() for raw, _ in terms.values())
    assert all(p.grad.isfinite().all() for p in method.networks_.parameters() if p.grad is not None)
    assert (terms["kl_salient"][0].item() == 0) == (group == 0)


@pytest.mark.parametrize(("every", "forgets"), [(0, [0]), (1, [0, 4, 8]), (2, [0, 8])])
def test_adam_forgets_its_moments_after_so_many_epochs(every, forgets, make_split, monkeypatch):
    method = ConVAE(**SMALL | {"epochs": 3, "optimizer_reset_epochs": every})
    known = moments_at_each_step(method, make_split().blind(), monkeypatch)
    discriminator, model = known[::2], known[1::2]  # 4 batches an epoch
    assert [i for i, n in enumerate(discriminator) if n == 0] == forgets
    assert [i for i, n in enumerate(model) if n == 0] == forgets


def test_weights_and_rates_are_the_parameters(fit, make_split):
    method = fit(common_beta=2.0, salient_beta=3.0, tc_weight=5.0, discriminator_rate=0.5)
    assert weights_of(method.training_loss(batch_of(make_split()), draws())) == {
        "reconstruction": 1.0,
        "kl_common": 2.0,
        "kl_salient": 3.0,
        "total_correlation": 5.0,
    }
    assert method.players()[0].learning_rate == 0.5


NATIVE = {
    # side: convolutions, linear layers of the encoder; linear layers, transposed convolutions of the decoder
    32: ([32, 32, 32, 256], [(256, 256), (256, 12)], [(11, 256), (256, 256)], [32, 32, 32, 3]),
    64: ([32, 32, 64, 128, 256], [(256, 12), (12, 12)], [(11, 256)], [128, 64, 32, 32, 3]),
    128: ([32, 32, 64, 128, 256, 512], [(512, 12), (12, 12)], [(11, 512)], [512, 256, 128, 64, 32, 3]),
}


@pytest.mark.parametrize("side", NATIVE)
def test_native_networks_are_those_of_the_release(side):
    networks = ConVAE(common_dim=6, salient_dim=5).native_networks(Canvas(3, side, 2, Augmentation(side)))
    convolutions, linear, first, transposed = NATIVE[side]
    x = torch.rand(2, 3, side, side)
    assert networks["common"](x).shape == (2, 12) and networks["salient"](x).shape == (2, 10)
    assert networks["decoder"](torch.randn(2, 11)).shape == x.shape
    kinds = {type(m) for network in networks.values() for m in network}
    assert kinds == {nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.ReLU, nn.Flatten, nn.Unflatten, nn.Sigmoid}

    def channels(network):
        return [m.out_channels for m in network if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]

    def sizes(network):
        return [(m.in_features, m.out_features) for m in network if isinstance(m, nn.Linear)]

    assert channels(networks["common"]) == convolutions and sizes(networks["common"]) == linear
    assert channels(networks["decoder"]) == transposed and sizes(networks["decoder"]) == first


def test_native_networks_of_volumes_have_the_same_widths():
    networks = ConVAE(common_dim=6, salient_dim=5).native_networks(Canvas(1, 32, 3, Augmentation(32)))
    x = torch.rand(1, 1, 32, 32, 32)
    assert networks["salient"](x).shape == (1, 10) and networks["decoder"](torch.randn(1, 11)).shape == x.shape


@pytest.mark.parametrize(
    ("stored", "side"), [(16, 32), (32, 32), (63, 32), (64, 64), (127, 64), (128, 128), (224, 128)]
)
def test_the_native_side_is_the_largest_published_one_that_the_images_fill(stored, side):
    assert ConVAE().native_side(stored) == side


def test_native_trains_and_draws_at_its_side(fit, make_split):
    method = fit(track="native")
    assert method.decode(method.embed(make_split().x[:3])).shape == (3, 3, 32, 32)


def test_published_settings():
    paper = ConVAE.settings["paper"]
    expected = {  # dimensions, betas, kappa, epochs
        "cifar_mnist": (64, 0.5, 0.5, 1, 250),
        "celeba_accessories": (16, 0.5, 0.5, 2, 200),
        "chexpert_subtypes": (128, 0.5, 0.1, 10, 100),
    }
    for name, values in expected.items():
        method = ConVAE(**paper["*"] | paper.get(name, {}))
        assert (
            method.common_dim,
            method.common_beta,
            method.salient_beta,
            method.tc_weight,
            method.epochs,
        ) == values
        assert method.salient_dim == method.common_dim
        assert (method.batch_size, method.learning_rate, method.optimizer_reset_epochs) == (512, 1e-3, 1)
        assert method.tc_clip == "sample"
