"""The pairwise losses against the oracles of METHODS 7, closed forms and a slow float64 reference."""

import math

import pytest
import torch

from cabench.losses.distances import squared_distances
from cabench.losses.pairwise import alignment, joint_entropy, uniformity

ON_CIRCLE = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
WITH_TWINS = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 2.0]])


def rows(n, d, seed=0, scale=1.0):
    return scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def slow_distances(x):
    return [[sum((a - b) ** 2 for a, b in zip(u, v, strict=True)) for v in x.tolist()] for u in x.tolist()]


def far_points(n, dim, gap):
    """n points on an axis, neighbours `gap` apart."""
    return gap * torch.arange(n, dtype=torch.float32)[:, None] * torch.eye(1, dim)


def gradients(loss, *inputs):
    inputs = [x.clone().requires_grad_() for x in inputs]
    value = loss(*inputs)
    value.backward()
    return value.detach(), [x.grad for x in inputs]


# --- the published oracles -----------------------------------------------------------------------


@pytest.mark.parametrize(("x", "expected"), [(ON_CIRCLE, -2.3399885), (WITH_TWINS, -1.0852264)])
def test_uniformity_oracle(x, expected):
    assert uniformity(x).item() == pytest.approx(expected, abs=1e-5)


def test_joint_entropy_oracle():
    assert joint_entropy(ON_CIRCLE, WITH_TWINS).item() == pytest.approx(-1.0133448, abs=1e-5)


def test_alignment_oracle():
    assert alignment(ON_CIRCLE, WITH_TWINS).item() == pytest.approx(3.3333333, abs=1e-5)


@pytest.mark.parametrize(("dim", "expected"), [(16, -1.876), (32, -1.938)])
def test_uniformity_of_points_on_the_sphere(dim, expected):
    x = torch.nn.functional.normalize(rows(4096, dim))
    assert uniformity(x).item() == pytest.approx(expected, abs=0.01)


def test_salient_floor_with_far_targets():
    """n = 512 and n0 = 256 zeroed rows: log(n0 (n0 - 1) / (n (n - 1)))."""
    salient = torch.zeros(512, 8)
    salient[256:] = far_points(257, 8, 30.0)[1:]
    assert uniformity(salient).item() == pytest.approx(-1.3882532, abs=1e-5)


def test_joint_entropy_of_collapsed_codes_is_zero():
    collapsed = torch.full((50, 4), 3.7)
    assert joint_entropy(collapsed, collapsed).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("n", [2, 64])
def test_joint_entropy_of_far_points_is_minus_log_n(n):
    spread = far_points(n, 4, 13.0)
    assert joint_entropy(spread, torch.zeros(n, 2)).item() == pytest.approx(-math.log(n), abs=1e-5)


def test_uniformity_of_far_points_is_finite_where_the_naive_form_is_not():
    far = far_points(6, 4, 16.0)
    naive = torch.exp(-torch.nn.functional.pdist(far).square()).mean().log()
    assert naive.item() == -math.inf
    value, (gradient,) = gradients(uniformity, far)
    assert math.isfinite(value) and gradient.isfinite().all()
    # The five neighbouring pairs dominate: log(5 / 15) - 16^2.
    assert value.item() == pytest.approx(math.log(5 / 15) - 256, abs=1e-3)


# --- empty classes and degenerate batches --------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1])
def test_uniformity_of_fewer_than_two_rows_is_zero_on_the_graph(n):
    value, (gradient,) = gradients(uniformity, rows(n, 3))
    assert value.item() == 0
    assert gradient.shape == (n, 3) and not gradient.any()


def test_alignment_without_a_counting_row_is_zero_on_the_graph():
    value, found = gradients(lambda a, b: alignment(a, b, weights=torch.zeros(5)), rows(5, 3), rows(5, 3, seed=1))
    assert value.item() == 0
    assert all(not gradient.any() for gradient in found)


@pytest.mark.parametrize("n", [0, 1])
def test_joint_entropy_of_fewer_than_two_rows_is_zero_on_the_graph(n):
    value, found = gradients(joint_entropy, rows(n, 3), rows(n, 2))
    assert value.item() == pytest.approx(0, abs=1e-7)
    assert all(not gradient.any() for gradient in found)


def test_gradients_are_finite_where_points_coincide():
    for loss in (uniformity, lambda x: joint_entropy(x, x), lambda x: alignment(x, x)):
        _, (gradient,) = gradients(loss, torch.zeros(4, 3))
        assert gradient.isfinite().all()


# --- against the definition ----------------------------------------------------------------------


def test_alignment_counts_only_weighted_rows():
    a, b = rows(6, 3), rows(6, 3, seed=1)
    weights = torch.tensor([1.0, 0, 0, 1, 1, 0])
    kept = weights.bool()
    assert alignment(a, b, weights=weights).item() == pytest.approx(alignment(a[kept], b[kept]).item(), rel=1e-6)


@pytest.mark.parametrize("tau", [0.5, 0.1])
def test_losses_equal_slow_loops(tau):
    c, s = rows(9, 4).double(), rows(9, 3, seed=1).double()
    dc, ds = slow_distances(c), slow_distances(s)
    pairs = [math.exp(-dc[i][j] / (2 * tau)) for i in range(9) for j in range(i + 1, 9)]
    assert uniformity(c, tau).item() == pytest.approx(math.log(sum(pairs) / len(pairs)), abs=1e-10)
    entropy = 0.0
    for i in range(9):
        entropy += math.log(sum(math.exp(-(dc[i][j] + ds[i][j]) / (2 * tau)) for j in range(9)) / 9) / 9
    assert joint_entropy(c, s, tau).item() == pytest.approx(entropy, abs=1e-10)


@pytest.mark.parametrize("loss", [uniformity, lambda x: joint_entropy(x, x[:, :2]), squared_distances])
def test_gradients_equal_finite_differences(loss):
    assert torch.autograd.gradcheck(loss, rows(5, 3).double().requires_grad_())


# --- precision -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (10.0, 0.0), (1.0, 1000.0)])
def test_self_distances_are_exactly_zero_and_none_is_negative(scale, offset):
    """The matmul path of cdist has self-distances up to 2e-3 here (METHODS 1.6)."""
    x = rows(256, 32, scale=scale) + offset
    distances = squared_distances(x)
    assert not distances.diagonal().any()
    assert (distances >= 0).all()
    exact = torch.cdist(x.double(), x.double(), compute_mode="donot_use_mm_for_euclid_dist").square()
    torch.testing.assert_close(distances.double(), exact, rtol=1e-5, atol=1e-4 * scale)


def test_near_twins_never_have_a_negative_distance():
    x = rows(40, 8).repeat(2, 1)
    x[40:] += 1e-6
    assert (squared_distances(x) >= 0).all()


@pytest.mark.parametrize("loss", [uniformity, lambda x: joint_entropy(x, x), lambda x: alignment(x, x.flip(0))])
def test_losses_run_in_float32_under_autocast(loss):
    x = rows(64, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(x)
    assert inside.dtype == torch.float32
    assert inside.item() == loss(x).item()
    assert loss(x.bfloat16()).dtype == torch.float32
