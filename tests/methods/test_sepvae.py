"""SepVAE against METHODS 2.9."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from training_step import batch_of, draws, total, touched
from vae_oracle import (
    SMALL,
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

from cabench.methods.sepvae import SepVAE


@pytest.fixture
def fit(make_split):
    return partial(fitted, SepVAE, make_split)


def published(method, rows):
    """METHODS 2.9: sums over a batch, image by image, and without the constant of the background KL."""
    loss, alpha = evidence(method, rows), 1 / method.prior_variance
    for image in rows:
        if not image.y:
            loss += method.salient_beta * alpha * 0.5 * sum(m * m for m in image.mean_s)
        (logit,) = logits(method, "discriminator", [image.c + image.s])
        (group,) = logits(method, "classifier", [image.s])
        loss += method.tc_weight * max(logit, 0)
        loss += method.classifier_weight * math.log1p(math.exp(-group if image.y else group))
    return loss


def constant(method, rows):
    """Return what the published loss leaves out."""
    ratio = method.background_variance / method.prior_variance
    background = sum(1 for image in rows if not image.y)
    return method.salient_beta * background * method.salient_dim * 0.5 * (ratio - 1 - math.log(ratio))


def test_the_loss_is_the_published_sum_over_images_divided_by_the_batch(fit, make_split):
    method = fit(
        tc_weight=30.0,
        common_beta=0.5,
        salient_beta=0.7,
        classifier_weight=20.0,
        prior_variance=0.03,
        background_variance=0.2,
    )
    batch = batch_of(make_split(share=0.4))
    method.networks_.eval()
    rows = images(method, batch, background_variance=0.2)
    # Half of the logits on each side of 0.
    middle = sorted(logits(method, "discriminator", [image.c + image.s for image in rows]))[24]
    method.networks_["discriminator"][-1].bias.data -= middle
    expected = (published(method, rows) + constant(method, rows)) / len(batch.y)
    assert total(method.training_loss(batch, draws())).item() == pytest.approx(expected, rel=1e-5)


def test_the_kl_of_background_codes_is_the_oracle(fit, make_split):
    """METHODS 7: 4.2137060 per background image with these means, 0 per target image."""
    method = fit(salient_dim=2, prior_variance=0.025)
    split = make_split()
    batch = batch_of(split)
    for parameter in method.networks_["salient"].code.parameters():
        parameter.data.zero_()
    method.networks_["salient"].code.bias.data[:2] = torch.tensor([0.3, -0.2])
    raw, _ = method.training_loss(batch, draws())["kl_background"]
    assert raw.item() == pytest.approx(4.2137060 * np.mean(split.y == 0), abs=1e-5)


def test_the_discriminator_minimises_the_cross_entropy_of_all_rows(fit, make_split):
    method, batch = fit(), batch_of(make_split(share=0.4))
    method.networks_.eval()
    rows = images(method, batch, background_variance=method.background_variance)
    expected = cross_entropy(method, rows, len(rows)) / len(rows)
    assert total(method.players()[0].loss(batch, draws())).item() == pytest.approx(expected, rel=1e-5)


def test_background_is_decoded_from_0_while_classifier_and_discriminator_see_its_sample(fit, make_split):
    method, batch = fit(), batch_of(make_split())
    seen = {}
    for name in ("classifier", "discriminator"):
        method.networks_[name].register_forward_pre_hook(
            lambda module, args, name=name: seen.update({name: args[0]})
        )
    _, decoded = decoder_input(method, batch)
    assert not decoded[batch.y == 0].any() and decoded[batch.y == 1].abs().min() > 0
    assert seen["classifier"].shape == (48, 5) and seen["classifier"][batch.y == 0].abs().min() > 0
    assert torch.equal(seen["discriminator"][:, 6:], seen["classifier"])


def test_background_posteriors_have_the_fixed_variance_and_no_gradient_to_theirs(fit, make_split):
    method, batch = fit(tc_clip="none", classifier_weight=1.0, background_variance=0.3), batch_of(make_split())
    z = method.latents(batch, draws())
    background = z.target == 0
    assert torch.equal(z.salient.logvar[background], torch.full((24, 5), math.log(0.3)))
    assert (z.salient.logvar[~background] != math.log(0.3)).all()
    gradient = salient_gradient(method, batch)
    assert not gradient[background, 5:].any()
    assert gradient[background, :5].abs().min() > 0 and gradient[~background].abs().min() > 0


def test_samples_of_background_spread_by_the_fixed_variance(fit, make_split):
    method, batch = fit(background_variance=0.3), batch_of(make_split())
    posterior, noise = method.latents(batch, draws()).salient, torch.Generator().manual_seed(0)
    samples = torch.stack([posterior.sample(noise) for _ in range(400)])
    assert samples[:, batch.y == 0].var(0).mean().item() == pytest.approx(0.3, rel=0.05)


def test_codes_are_the_means_whatever_the_group(fit, make_split):
    """The fixed variance is of training: a code holds the encoder's mean."""
    method, split = fit(), make_split()
    method.networks_.eval()
    z = method.latents(batch_of(split), draws())
    np.testing.assert_allclose(method.embed(split.x).salient, z.salient.mean.detach(), atol=1e-5)


def test_each_term_reaches_its_own_networks(fit, make_split):
    method, batch = fit(tc_clip="none"), batch_of(make_split())
    routes = {
        "reconstruction": {"common", "salient", "decoder"},
        "kl_common": {"common"},
        "kl_salient": {"salient"},
        "kl_background": {"salient"},
        "classification": {"salient", "classifier"},
        "total_correlation": {"common", "salient", "discriminator"},
    }
    assert set(method.training_loss(batch, draws())) == set(routes)
    for name, networks in routes.items():
        assert touched(method, method.training_loss(batch, draws())[name][0]) == networks, name


def test_each_player_moves_its_own_networks(make_split, monkeypatch):
    model = {"common", "salient", "decoder"}
    for weight, moving in ((1.0, model | {"classifier"}), (0.0, model)):
        # Without a clip the discriminator gets a gradient in every step.
        method = SepVAE(**SMALL, classifier_weight=weight, tc_clip="none")
        with monkeypatch.context() as patch:
            moved = moved_by_each_step(method, make_split().blind(), patch)
        assert moved == [{"discriminator"}, moving] * 4


@pytest.mark.parametrize(("group", "absent"), [(0, "kl_salient"), (1, "kl_background")])
def test_the_term_of_an_absent_group_is_an_exact_0_that_is_connected(group, absent, fit, make_split):
    method, split = fit(), make_split()
    terms = method.training_loss(batch_of(split, split.y == group), draws())
    assert terms[absent][0].item() == 0 and terms[absent][0].requires_grad
    total(terms).backward()
    assert all(raw.isfinite() for raw, _ in terms.values())
    assert all(p.grad.isfinite().all() for p in method.networks_.parameters() if p.grad is not None)


def test_a_narrower_prior_holds_background_codes_nearer_to_0(make_split):
    split, spread = make_split(), {}
    for variance in (1e-3, 10.0):
        method = SepVAE(**SMALL | {"epochs": 10, "prior_variance": variance}).fit(split.blind())
        spread[variance] = np.square(method.embed(split.x).salient[split.y == 0]).mean()
    assert spread[1e-3] < spread[10.0] / 4


def test_weights_are_the_parameters(fit, make_split):
    method = fit(common_beta=2.0, salient_beta=3.0, tc_weight=5.0, classifier_weight=7.0)
    assert weights_of(method.training_loss(batch_of(make_split()), draws())) == {
        "reconstruction": 1.0,
        "kl_common": 2.0,
        "kl_salient": 3.0,
        "kl_background": 3.0,
        "classification": 7.0,
        "total_correlation": 5.0,
    }


def test_published_settings():
    paper = SepVAE.settings["paper"]
    expected = {  # dimension, 1 / alpha, betas, kappa, gamma, epochs, epochs to a reset
        "cifar_mnist": (64, 0.01, 0.5, 0.5, 2, 1e-10, 250, 1),
        "celeba_accessories": (16, 0.025, 0.5, 0.5, 2, 1e-9, 200, 1),
        "chexpert_subtypes": (128, 0.05, 0.5, 0.1, 2, 5e-10, 100, 1),
        "schizophrenia_mri": (128, 0.01, 1, 0.1, 10, 1e-8, 500, 0),
    }
    for name, values in expected.items():
        method = SepVAE(**paper["*"] | paper.get(name, {}))
        assert values == (
            method.common_dim,
            method.prior_variance,
            method.common_beta,
            method.salient_beta,
            method.tc_weight,
            method.classifier_weight,
            method.epochs,
            method.optimizer_reset_epochs,
        )
        assert method.salient_dim == method.common_dim and method.background_variance == 0.1
        assert (method.batch_size, method.learning_rate, method.tc_clip) == (512, 1e-3, "sample")
