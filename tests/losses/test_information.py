"""The estimates of mutual information against METHODS 7, slow float64 loops and Gaussians of known information."""

import math

import pytest
import torch

from cabench.losses.distances import squared_distances
from cabench.losses.information import hsic, log_density, vclub, vclub_sample, vl1out, vub

C, S = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.2], [0.8], [3.5]])
RHO = 0.8


def rows(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def q(n=7, d=3):
    """Mean and log-variance of q, and salient codes."""
    return rows(n, d), rows(n, d, 1) / 2, rows(n, d, 2)


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def sampled(mean, logvar, s):
    return vclub_sample(mean, logvar, s, draw())


def upper(mean, logvar, s):
    return vub(mean, logvar) + 0 * s.sum()


def kernels(mean, logvar, s):
    return hsic(mean, s) + 0 * logvar.sum()


def slow_log_density(mean, logvar, s):
    parts = zip(mean.tolist(), logvar.tolist(), s.tolist(), strict=True)
    return sum(
        math.log(math.exp(-((x - m) ** 2) / (2 * math.exp(v))) / math.sqrt(2 * math.pi * math.exp(v)))
        for m, v, x in parts
    )


def slow_table(mean, logvar, s):
    """log q(s_j | c_i) at [i][j]."""
    n = len(s)
    return [[slow_log_density(mean[i], logvar[i], s[j]) for j in range(n)] for i in range(n)]


def average(values):
    values = list(values)
    return sum(values) / len(values)


# --- the published oracles -----------------------------------------------------------------------


@pytest.mark.parametrize(("bound", "expected"), [(vclub, 1.7666669), (vl1out, 1.8294592)])
def test_oracles_of_the_bounds_that_read_the_salient_code(bound, expected):
    assert bound(C, torch.zeros(3, 1), S).item() == pytest.approx(expected, abs=1e-5)


def test_vub_oracle():
    assert vub(C, torch.zeros(3, 1)).item() == pytest.approx(1.6666667, abs=1e-5)


# --- against the definitions ---------------------------------------------------------------------


def test_log_density_is_that_of_a_normal():
    mean, logvar, s = q()
    exact = torch.distributions.Normal(mean, (logvar / 2).exp()).log_prob(s).sum(1)
    torch.testing.assert_close(log_density(mean, logvar, s), exact)


def test_vclub_equals_a_slow_loop():
    table, n = slow_table(*q()), 7
    expected = average(table[i][i] for i in range(n)) - average(table[i][j] for i in range(n) for j in range(n))
    assert vclub(*q()).item() == pytest.approx(expected, abs=1e-10)


def test_vclub_sample_equals_a_slow_loop_over_one_permutation():
    table, partners = slow_table(*q()), torch.randperm(7, generator=draw()).tolist()
    expected = average(table[i][i] - table[i][j] for i, j in enumerate(partners))
    assert sampled(*q()).item() == pytest.approx(expected, abs=1e-10)


def test_vclub_sample_is_vclub_on_average():
    """A derangement would give 3 / 2 of it here."""
    mean, logvar, s = C, torch.zeros(3, 1), S
    draws = [vclub_sample(mean, logvar, s, draw(seed)).item() for seed in range(1000)]
    assert average(draws) == pytest.approx(1.7666669, rel=0.1)


def test_vl1out_equals_a_slow_loop():
    table, n = slow_table(*q()), 7
    expected = average(
        table[i][i] - math.log(average(math.exp(table[j][i]) for j in range(n) if j != i)) for i in range(n)
    )
    assert vl1out(*q()).item() == pytest.approx(expected, abs=1e-10)


def test_vub_equals_the_divergence_of_normals():
    mean, logvar, _ = q()
    normal = torch.distributions.Normal
    exact = torch.distributions.kl_divergence(normal(mean, (logvar / 2).exp()), normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(vub(mean, logvar), exact)


def test_hsic_equals_the_trace_with_the_median_bandwidth():
    c, s, n = rows(7, 3), rows(7, 2, 1), 7
    centring = torch.eye(n, dtype=torch.float64) - 1 / n

    def kernel(x):
        pairs = [sum((a - b) ** 2 for a, b in zip(u, v, strict=True)) for u in x.tolist() for v in x.tolist()]
        upper = sorted(pairs[i * n + j] for i in range(n) for j in range(i + 1, n))
        return torch.tensor([math.exp(-p / (2 * upper[10])) for p in pairs], dtype=torch.float64).view(n, n)

    expected = torch.trace(kernel(c) @ centring @ kernel(s) @ centring) / (n - 1) ** 2
    assert hsic(c, s).item() == pytest.approx(expected.item(), abs=1e-12)


@pytest.mark.parametrize("loss", [vclub, sampled, vl1out, upper])
def test_gradients_equal_finite_differences(loss):
    assert torch.autograd.gradcheck(loss, [x.requires_grad_() for x in q(n=4)])


def test_no_gradient_flows_through_the_bandwidth_of_hsic():
    c, s = rows(6, 2).requires_grad_(), rows(6, 2, 1)
    (found,) = torch.autograd.grad(hsic(c, s), c)
    upper = torch.triu_indices(6, 6, 1)

    def fixed(x):
        median = squared_distances(x)[upper[0], upper[1]].median().item()
        return lambda z: (-squared_distances(z) / (2 * median)).exp()

    centring = torch.eye(6, dtype=torch.float64) - 1 / 6
    (expected,) = torch.autograd.grad(torch.trace(fixed(c)(c) @ centring @ fixed(s)(s) @ centring) / 25, c)
    torch.testing.assert_close(found, expected)


# --- against known information -------------------------------------------------------------------


def test_bounds_of_correlated_normals_are_the_closed_forms():
    """With the true q: vCLUB = rho^2 / (1 - rho^2); vL1Out and vUB = the information, -log(1 - rho^2) / 2."""
    n, variance = 2000, 1 - RHO**2
    c = rows(n, 1)
    mean, logvar = RHO * c, torch.full((n, 1), math.log(variance), dtype=torch.float64)
    s = mean + math.sqrt(variance) * rows(n, 1, 1)
    information = -math.log(variance) / 2
    assert vclub(mean, logvar, s).item() == pytest.approx(RHO**2 / variance, rel=0.05)
    assert vl1out(mean, logvar, s).item() == pytest.approx(information, rel=0.05)
    assert vub(mean, logvar).item() == pytest.approx(information, rel=0.05)


def test_hsic_tells_a_nonlinear_dependence_from_none_at_any_scale():
    c, other = rows(300, 1), rows(300, 1, 1)
    dependent = hsic(c, c.square())
    assert dependent > 20 * hsic(c, other)
    assert hsic(100 * c + 3, c.square() / 100).item() == pytest.approx(dependent.item(), rel=1e-6)


# --- few rows, coinciding rows, precision --------------------------------------------------------


TOO_FEW = {vclub: (0, 1), sampled: (0, 1), vl1out: (0, 1), upper: (0,), kernels: (0, 1)}


@pytest.mark.parametrize(("loss", "n"), [(loss, n) for loss, counts in TOO_FEW.items() for n in counts])
def test_too_few_rows_give_exactly_zero_on_the_graph(loss, n):
    inputs = [x.requires_grad_() for x in q(n=n)]
    value = loss(*inputs)
    value.backward()
    assert value.item() == 0
    assert all(x.grad.shape == (n, 3) and x.grad.abs().sum() < 1e-15 for x in inputs)


def test_collapsed_codes_have_no_hsic_and_a_finite_gradient():
    c, s = torch.ones(6, 2, requires_grad=True), torch.zeros(6, 3, requires_grad=True)
    value = hsic(c, s)
    value.backward()
    assert value.item() == 0 and c.grad.isfinite().all() and s.grad.isfinite().all()


@pytest.mark.parametrize("loss", [vclub, sampled, vl1out, upper, kernels])
def test_estimates_run_in_float32_under_autocast(loss):
    inputs = [x.float() for x in q(n=40)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(*inputs)
    assert inside.dtype == torch.float32 and inside.item() == loss(*inputs).item()
    assert loss(*(x.bfloat16() for x in inputs)).dtype == torch.float32
