"""Density ratios on logits: safety, the definition, known information, and what the released objective does."""

import math

import pytest
import torch
from torch import nn

from cabench.losses.density_ratio import binary_loss, dependence_loss, deranged, mean_logit
from cabench.nets.discriminator import code_discriminator

DIM = 8


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(n, d, seed=0):
    return torch.randn(n, d, generator=draw(seed))


# --- logits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("logit", "truth", "slope"), [(50.0, 0.0, 1.0), (-50.0, 1.0, -1.0)])
def test_a_sure_and_wrong_discriminator_has_a_loss_of_50_and_a_gradient_of_1(logit, truth, slope):
    x = torch.tensor([[logit]], requires_grad=True)
    loss = binary_loss(x, truth)
    loss.backward()
    assert loss.item() == pytest.approx(50) and x.grad.item() == pytest.approx(slope)


def test_a_sure_discriminator_leaves_the_estimate_and_its_gradient_finite():
    c = torch.full((3, 1), 25.0, requires_grad=True)
    value = mean_logit(lambda pair: pair.sum(1, keepdim=True), c, c)
    value.backward()
    assert value.item() == pytest.approx(50) and c.grad.flatten().tolist() == pytest.approx([2 / 3] * 3)


@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_the_loss_is_the_mean_cross_entropy(truth):
    logits = rows(6, 1).double()
    chances = [1 / (1 + math.exp(-v)) for v in logits.flatten().tolist()]
    expected = -sum(math.log(p if truth else 1 - p) for p in chances) / 6
    assert binary_loss(logits, truth).item() == pytest.approx(expected, abs=1e-12)


def test_no_rows_give_exactly_zero_on_the_graph():
    network, empty = code_discriminator(4), torch.zeros(0, 2, requires_grad=True)
    for value in (mean_logit(network, empty, empty), dependence_loss(network, empty, empty, draw())):
        value.backward()
        assert value.item() == 0
    assert all(not p.grad.any() for p in network.parameters())


# --- pairs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 50])
def test_no_row_is_its_own_partner_and_each_is_one_once(n):
    codes = torch.arange(n)[:, None]
    for seed in range(20):
        partners = deranged(codes, draw(seed))
        assert (partners != codes).all() and sorted(partners.flatten().tolist()) == list(range(n))


def test_partners_are_drawn_not_shifted():
    """The released code shifts by one place (P4)."""
    codes = torch.arange(30)[:, None]
    steps = (deranged(codes, draw()) - codes).flatten() % 30
    assert len(set(steps.tolist())) > 5
    assert not torch.equal(deranged(codes, draw(0)), deranged(codes, draw(1)))


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_rows_stay_as_they_are(n):
    assert torch.equal(deranged(rows(n, 2), draw()), rows(n, 2))


def test_pairs_of_one_image_are_true_and_pairs_of_two_are_false():
    c, s, network = rows(5, 2).double(), rows(5, 3, 1).double(), nn.Linear(5, 1).double()
    others = deranged(s, draw())

    def logit(a, b):
        return network(torch.cat([a, b])).item()

    expected = sum(math.log(1 + math.exp(-logit(a, b))) for a, b in zip(c, s, strict=True)) / 5
    expected += sum(math.log(1 + math.exp(logit(a, b))) for a, b in zip(c, others, strict=True)) / 5
    assert dependence_loss(network, c, s, draw()).item() == pytest.approx(expected, abs=1e-12)
    assert mean_logit(network, c, s).item() == pytest.approx(
        sum(logit(a, b) for a, b in zip(c, s, strict=True)) / 5, abs=1e-12
    )


def test_the_mean_logit_of_the_true_ratio_is_the_information():
    rho, n = 0.8, 20000
    c = rows(n, 1).double()
    s = rho * c + math.sqrt(1 - rho**2) * rows(n, 1, 1).double()

    def ratio(pair):
        own = torch.distributions.Normal(rho * pair[:, :1], math.sqrt(1 - rho**2)).log_prob(pair[:, 1:])
        return own - torch.distributions.Normal(0.0, 1.0).log_prob(pair[:, 1:])

    assert mean_logit(ratio, c, s).item() == pytest.approx(-math.log(1 - rho**2) / 2, rel=0.05)


# --- the released objective (V2, V3) -------------------------------------------------------------


def planted(n, seed):
    """Dependent codes: the salient one is the common one with a tenth of noise."""
    c = rows(n, DIM, seed)
    return c, c + 0.1 * rows(n, DIM, seed + 1)


def trained(objective):
    """Return a discriminator of planted codes after 300 steps on an objective."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(2 * DIM, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    adam, noise = torch.optim.Adam(network.parameters(), lr=3e-3), draw()
    for step in range(300):
        c, s = planted(128, 2 * step)
        adam.zero_grad()
        objective(network, c, s, noise).backward()
        adam.step()
    return network


def chances(network):
    """Return D of fresh pairs of one image, and of pairs of two."""
    c, s = planted(1000, 10**6)
    with torch.no_grad():
        return network(torch.cat([c, s], 1)).sigmoid(), network(torch.cat([c, deranged(s, draw())], 1)).sigmoid()


def test_minimised_jointly_at_weight_1_the_discriminator_says_0_to_everything():
    """log D - log(1 - D) and -log D cancel: what is left, -log(1 - D) on both sets, is least at D = 0 (V3)."""
    own, others = chances(trained(lambda d, c, s, noise: mean_logit(d, c, s) + dependence_loss(d, c, s, noise)))
    assert own.mean() < 0.01 and others.mean() < 0.01


def test_trained_on_its_own_loss_the_discriminator_tells_dependent_codes_apart():
    own, others = chances(trained(dependence_loss))
    accuracy = ((own > 0.5).float().mean() + (others < 0.5).float().mean()) / 2
    assert accuracy > 0.95
