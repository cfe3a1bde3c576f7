"""What the contrastive VAEs share: Gaussians, the evidence, decoding, swaps, the discriminator's player."""

import inspect
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence
from training_step import batch_of, draws, total
from vae_oracle import weights_of

from cabench.augment.views import whole
from cabench.codes import Augmentation, Codes, Split
from cabench.errors import UserError
from cabench.losses.gaussian import kl_of_variances
from cabench.nets.discriminator import code_discriminator
from cabench.train import EMBED_ROWS
from cabench.vae import LOGVAR_RANGE, ContrastiveVAE, Gaussian, Latents, with_discriminator


@dataclass(kw_only=True, eq=False)
class Toy(ContrastiveVAE):
    name = "toy"

    def build(self, train, view):
        return super().build(train, view) | {
            "discriminator": code_discriminator(self.common_dim + self.salient_dim)
        }

    def training_loss(self, batch, draws):
        return self.evidence(self.latents(batch, draws))

    def native_side(self, stored):
        return stored // 2

    def native_networks(self, view):
        flat = view.channels * view.size**view.axes
        return {
            "common": nn.Sequential(nn.Flatten(), nn.Linear(flat, 2 * self.common_dim)),
            "salient": nn.Sequential(nn.Flatten(), nn.Linear(flat, 2 * self.salient_dim)),
            "decoder": nn.Sequential(
                nn.Linear(self.common_dim + self.salient_dim, flat),
                nn.Sigmoid(),
                nn.Unflatten(1, (view.channels, *[view.size] * view.axes)),
            ),
        }


def split_of(n=24, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, 3, 20, 28), dtype=np.uint8)
    return Split(x, np.arange(n) % 2, augmentation=Augmentation(16, crop=0.5))


def fit(**parameters):
    return Toy(common_dim=3, salient_dim=2, **{"epochs": 1, "batch_size": 12} | parameters).fit(split_of())


@pytest.fixture(scope="module")
def fitted():
    return fit()


def gaussian(n=4, d=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Gaussian(*(torch.randn(n, d, generator=generator, requires_grad=True) for _ in range(2)))


def test_kl_is_that_of_diagonal_gaussians():
    g = gaussian()
    exact = kl_divergence(Normal(g.mean, (g.logvar / 2).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(g.kl(), exact)
    assert Gaussian(torch.zeros(2, 3), torch.zeros(2, 3)).kl().tolist() == [0, 0]


def test_kl_of_background_codes_as_in_the_oracle():
    """METHODS 7: the total, and the part of the mean, alpha / 2 * ||mu||^2."""
    mean = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    total_kl, at_zero = (kl_of_variances(m, 0.1, 0.025).item() for m in (mean, torch.zeros_like(mean)))
    assert total_kl == pytest.approx(4.2137060, abs=1e-6)
    assert total_kl - at_zero == pytest.approx(2.6, abs=1e-12)


def test_kl_of_a_fixed_variance_is_that_of_gaussians():
    mean = gaussian().mean
    exact = kl_divergence(Normal(mean, math.sqrt(0.3)), Normal(0.0, math.sqrt(0.7))).sum(1)
    torch.testing.assert_close(kl_of_variances(mean, 0.3, 0.7), exact)


def test_w2_is_the_mean_square_of_the_samples():
    """The squared 2-Wasserstein distance to a point is the mean squared distance to it."""
    g = Gaussian(torch.tensor([[1.0, -2.0]]).expand(100_000, 2), torch.tensor([[0.3, -1.0]]).expand(100_000, 2))
    samples = g.sample(torch.Generator().manual_seed(0))
    assert g.w2_to_zero()[0].item() == pytest.approx(samples.square().sum(1).mean().item(), rel=0.02)
    assert g.w2_to_zero()[0].item() == pytest.approx(5 + math.exp(0.3) + math.exp(-1), rel=1e-6)


def test_samples_have_the_mean_and_the_spread_of_the_posterior():
    g = Gaussian(torch.full((20_000, 1), 2.0), torch.full((20_000, 1), 2 * math.log(0.5)))
    drawn = g.sample(torch.Generator().manual_seed(0))
    assert drawn.mean().item() == pytest.approx(2, abs=0.02) and drawn.std().item() == pytest.approx(0.5, abs=0.02)


def test_samples_come_from_the_generator_and_send_gradients_to_mean_and_variance():
    g = gaussian()
    one, same, other = (g.sample(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    one.sum().backward()
    assert (g.mean.grad == 1).all() and (g.logvar.grad != 0).all()


def test_an_extreme_log_variance_is_clamped():
    g = Gaussian.of(torch.tensor([[0.5, 100.0], [0.5, -100.0]]))
    assert g.mean.tolist() == [[0.5], [0.5]] and g.logvar.tolist() == [[LOGVAR_RANGE], [-LOGVAR_RANGE]]
    assert g.kl().isfinite().all()


def test_every_term_is_a_mean_over_the_batch(fitted):
    """The squared error summed over pixels, a KL over units; only target rows have a salient one."""
    fitted.networks_.eval()
    z = fitted.latents(batch_of(split_of()), draws())
    terms = {name: raw.item() for name, (raw, _) in fitted.evidence(z).items()}
    decoded = fitted.generate(z.c, z.s * z.target[:, None]).detach()
    assert terms["reconstruction"] == pytest.approx(((decoded - z.x) ** 2).sum().item() / 24, rel=1e-5)
    assert terms["kl_common"] == pytest.approx(z.common.kl().sum().item() / 24, rel=1e-5)
    assert terms["kl_salient"] == pytest.approx(z.salient.kl()[z.target == 1].sum().item() / 24, rel=1e-5)
    assert set(terms) == {"reconstruction", "kl_common", "kl_salient"}


def test_weights_are_the_parameters():
    method = fit(common_beta=2.0, salient_beta=3.0, null_term="w2", null_weight=5.0)
    terms = method.training_loss(batch_of(split_of()), draws())
    assert weights_of(terms) == {"reconstruction": 1.0, "kl_common": 2.0, "kl_salient": 3.0, "null": 5.0}


def test_the_null_term_draws_background_posteriors_alone_to_the_point_0():
    method = fit(null_term="w2")
    z = method.latents(batch_of(split_of()), draws())
    z.salient.mean.retain_grad()
    z.salient.logvar.retain_grad()
    raw, _ = method.evidence(z)["null"]
    expected = (z.salient.mean**2 + z.salient.logvar.exp())[z.target == 0].sum().item() / 24
    assert raw.item() == pytest.approx(expected, rel=1e-5)
    raw.backward()
    for gradient, value in ((z.salient.mean.grad, z.salient.mean), (z.salient.logvar.grad, 1.0)):
        assert not gradient[z.target == 1].any()
        assert (gradient * value)[z.target == 0].gt(0).all()


@pytest.mark.parametrize(("group", "absent"), [(0, "kl_salient"), (1, "null")])
def test_an_absent_group_gives_an_exact_0_that_is_connected(group, absent):
    method = fit(null_term="w2")
    terms = method.training_loss(batch_of(split_of(), split_of().y == group), draws())
    assert terms[absent][0].item() == 0 and terms[absent][0].requires_grad
    total(terms).backward()
    assert all(raw.isfinite() for raw, _ in terms.values())
    assert all(p.grad.isfinite().all() for p in method.networks_.parameters() if p.grad is not None)


def test_codes_are_posterior_means_and_background_keeps_its_salient_one(fitted):
    split = split_of()
    codes = fitted.embed(split.x)
    x = whole(torch.from_numpy(split.x), 16)
    with torch.no_grad():
        for space, dim in (("common", 3), ("salient", 2)):
            np.testing.assert_allclose(codes[space], fitted.networks_[space](x)[:, :dim], atol=1e-6)
    assert np.abs(codes.salient[split.y == 0]).min() > 0


def test_encoding_has_no_way_to_see_the_group():
    assert list(inspect.signature(ContrastiveVAE.encode).parameters) == ["self", "x"]


def test_decode_gives_float_images_of_the_side_seen_in_any_number(fitted):
    rng = np.random.default_rng(0)
    n = EMBED_ROWS + 3
    codes = Codes(*(rng.normal(size=(n, d)).astype(np.float32) for d in (3, 2)))
    images = fitted.decode(codes)
    assert images.shape == (n, 3, 16, 16) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1
    last = fitted.decode(Codes(codes.common[-3:], codes.salient[-3:]))
    np.testing.assert_allclose(images[-3:], last, atol=1e-6)


def test_decode_leaves_the_running_statistics_alone(fitted):
    codes = fitted.embed(split_of().x)
    fitted.networks_.train()
    before = {name: value.clone() for name, value in fitted.networks_.state_dict().items()}
    fitted.decode(codes)
    assert all(torch.equal(before[name], value) for name, value in fitted.networks_.state_dict().items())


def test_a_swap_moves_the_salient_code_and_leaves_none_behind(fitted):
    x = split_of().x
    with_it, without = fitted.swap(x[:5], x[5:10])
    b, t = fitted.embed(x[:5]), fitted.embed(x[5:10])
    np.testing.assert_allclose(with_it, fitted.decode(Codes(b.common, t.salient)), atol=1e-6)
    np.testing.assert_allclose(without, fitted.decode(Codes(t.common, np.zeros_like(t.salient))), atol=1e-6)


def test_a_swap_of_unequal_numbers_is_one_clear_sentence(fitted):
    with pytest.raises(UserError, match=r"as many target images \(2\) as background images \(3\)\.$"):
        fitted.swap(split_of().x[:3], split_of().x[:2])


def test_the_native_track_has_its_own_networks_at_its_own_side():
    method = fit(track="native")
    assert fit().canvas_.size == 16
    assert (method.canvas_.size, method.canvas_.augmentation.size) == (10, 10)  # half of the stored shorter side
    assert method.canvas_.augmentation.crop == 0.5
    assert method.decode(method.embed(split_of().x)).shape == (24, 3, 10, 10)
    assert isinstance(method.networks_["common"], nn.Sequential)
    restored = Toy(common_dim=3, salient_dim=2, track="native").restore(method.state())
    assert np.array_equal(restored.embed(split_of().x).common, method.embed(split_of().x).common)


@pytest.mark.parametrize("target_only", [True, False])
def test_the_discriminator_sees_detached_samples_of_its_rows_and_the_model_is_the_rest(target_only, fitted):
    discriminator, model = with_discriminator(fitted, 0.5, target_only)
    seen = []
    hook = fitted.networks_["discriminator"].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    fitted.networks_.zero_grad(set_to_none=True)
    total(discriminator.loss(batch_of(split_of()), draws())).backward()
    hook.remove()
    assert [len(codes) for codes in seen] == [12 if target_only else 24] * 2
    assert not any(codes.requires_grad for codes in seen)
    moved = {name.split(".")[0] for name, p in fitted.networks_.named_parameters() if p.grad is not None}
    assert moved == set(discriminator.networks) == {"discriminator"}
    assert set(model.networks) == {"common", "salient", "decoder"}
    assert (discriminator.learning_rate, model.learning_rate) == (0.5, fitted.learning_rate)
    assert model.loss == fitted.training_loss


def test_the_discriminator_loses_nothing_without_its_rows(fitted):
    loss = with_discriminator(fitted, 0.5, True)[0].loss(batch_of(split_of(), split_of().y == 0), draws())
    (raw, _) = loss["cross_entropy"]
    assert raw.item() == 0 and raw.requires_grad


def test_latents_hold_the_samples_before_background_is_zeroed(fitted):
    z = fitted.latents(batch_of(split_of()), draws())
    assert isinstance(z, Latents) and z.s[z.target == 0].abs().min() > 0
    assert z.x.shape == (24, 3, 16, 16) and z.target.tolist() == split_of().y.tolist()
