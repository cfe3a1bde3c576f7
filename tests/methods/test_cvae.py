"""The cVAE against METHODS 2.4."""

import numpy as np
import pytest
import torch

from cabench.augment.views import whole
from cabench.codes import Batch
from cabench.errors import UserError
from cabench.method import Context
from cabench.methods.cvae import CVAE, kl_to_standard, sample
from cabench.train import Draws


@pytest.fixture
def fitted(make_split):
    return CVAE(common_dim=6, salient_dim=5, epochs=2, batch_size=12, beta=0.5).fit(make_split().blind())


def batch_of(split, group=None):
    rows = slice(None) if group is None else split.y == group
    return Batch(torch.from_numpy(split.x[rows]), torch.from_numpy(split.y[rows]))


def draws(seed=0):
    return Draws(torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed))


def decoder_inputs(method, batch):
    inputs = []
    hook = method.networks_["decoder"].register_forward_pre_hook(lambda m, args: inputs.append(args[0].detach()))
    terms = method.training_loss(batch, draws())
    hook.remove()
    (code,) = inputs
    return code[:, : method.common_dim], code[:, method.common_dim :], terms


def test_background_is_decoded_from_a_salient_code_of_exactly_zero(fitted, make_split):
    batch = batch_of(make_split())
    _, salient, _ = decoder_inputs(fitted, batch)
    assert not salient[batch.y == 0].any()
    assert salient[batch.y == 1].abs().amin() > 0


def test_the_loss_equals_a_transcription_per_image(fitted, make_split):
    batch = batch_of(make_split())
    fitted.networks_.eval()
    noise = torch.Generator().manual_seed(0)
    x = whole(batch.x, 16).double()
    networks = fitted.networks_
    with torch.no_grad():
        (mc, lc), (ms, ls) = (networks[s](x.float()).chunk(2, 1) for s in ("common", "salient"))
        c = mc + (lc / 2).exp() * torch.randn(mc.shape, generator=noise)
        s = ms + (ls / 2).exp() * torch.randn(ms.shape, generator=noise)
        s[batch.y == 0] = 0
        decoded = networks["decoder"](torch.cat([c, s], 1)).double()
    expected = 0.0
    for i in range(len(x)):
        expected += sum(float(v) ** 2 for v in (x[i] - decoded[i]).flatten()) / len(x)
        for mean, logvar, counts in ((mc, lc, True), (ms, ls, batch.y[i] == 1)):
            if counts:
                m, v = mean[i].double(), logvar[i].double().exp()
                expected += 0.5 * fitted.beta * float((m**2 + v - 1 - v.log()).sum()) / len(x)
    terms = fitted.training_loss(batch, draws())
    assert sum(raw * weight for raw, weight in terms.values()).item() == pytest.approx(expected, rel=1e-5)


def test_background_has_no_salient_kl_and_sends_the_salient_encoder_no_gradient(fitted, make_split):
    batch = batch_of(make_split(), group=0)
    fitted.networks_.eval()
    terms = fitted.training_loss(batch, draws())
    assert terms["kl_salient"][0].item() == 0
    fitted.networks_.zero_grad(set_to_none=True)
    sum(raw * weight for raw, weight in terms.values()).backward()
    assert not any(p.grad.any() for p in fitted.networks_["salient"].parameters())
    assert any(p.grad.any() for p in fitted.networks_["common"].parameters())


@pytest.mark.parametrize("beta", [0.0, 2.0])
def test_beta_weighs_the_kl_terms_alone(beta, fitted, make_split):
    fitted.beta = beta
    terms = fitted.training_loss(batch_of(make_split()), draws())
    weights = {name: weight for name, (_, weight) in terms.items()}
    assert weights == {"reconstruction": 1.0, "kl_common": beta, "kl_salient": beta}


def test_kl_closed_form():
    assert kl_to_standard(torch.zeros(3, 4), torch.zeros(3, 4)).tolist() == [0, 0, 0]
    mean, variance = torch.tensor([[0.3, -0.2]]), torch.tensor([[0.1, 0.5]])
    normal = torch.distributions.Normal
    exact = torch.distributions.kl_divergence(normal(mean, variance.sqrt()), normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_to_standard(mean, variance.log()), exact)


def test_samples_have_the_posterior_mean_and_spread():
    mean, logvar = torch.full((20000, 1), 2.0), torch.full((20000, 1), 2 * np.log(0.5))
    drawn = sample(mean, logvar, torch.Generator().manual_seed(0))
    assert drawn.mean().item() == pytest.approx(2, abs=0.02) and drawn.std().item() == pytest.approx(0.5, abs=0.02)


def test_codes_are_posterior_means_of_background_too(fitted, make_split):
    split = make_split()
    codes = fitted.embed(split.x)
    with torch.no_grad():
        salient = fitted.networks_["salient"](whole(torch.from_numpy(split.x), 16))[:, :5]
    np.testing.assert_allclose(codes.salient, salient.numpy(), atol=1e-6)
    assert np.abs(codes.salient[split.y == 0]).min() > 0


@pytest.mark.parametrize("tc", ["official_joint", "adversarial", "nonne"])
def test_another_total_correlation_is_refused(tc, make_split):
    with pytest.raises(UserError, match="total-correlation"):
        CVAE(tc=tc).fit(make_split().blind(), None, Context())


def test_an_extreme_log_variance_stays_finite(fitted, make_split):
    for parameter in fitted.networks_["common"].code.parameters():
        parameter.data.mul_(1e4)
    terms = fitted.training_loss(batch_of(make_split()), draws())
    assert all(torch.isfinite(raw) for raw, _ in terms.values())
