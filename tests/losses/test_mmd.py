"""The maximum mean discrepancy against METHODS 7 and slow float64 loops."""

import math

import pytest
import torch

from cabench.losses.mmd import SCALES, kernel_sum, mmd

U, W = torch.tensor([[0.0], [1.0]], dtype=torch.float64), torch.tensor([[0.0]], dtype=torch.float64)


def rows(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_mean_kernel(a, b):
    def kernel(u, v):
        squared = sum((p - q) ** 2 for p, q in zip(u, v, strict=True))
        return sum(math.exp(-(10.0**p) * squared) for p in range(-6, 7))

    return sum(kernel(u, v) for u in a.tolist() for v in b.tolist()) / (len(a) * len(b))


def test_oracle_of_two_points_against_one():
    assert mmd(U, W).item() == pytest.approx(3.3691492, abs=1e-7)


def test_equal_sets_have_none():
    assert mmd(U, U).item() == pytest.approx(0, abs=1e-12)


def test_thirteen_kernels_are_summed_and_a_point_meets_itself_with_exactly_thirteen():
    """The Gram form of a distance gives self-distances that the narrow kernels do not survive (M6)."""
    x = rows(256, 32).float()
    assert len(SCALES) == 13
    assert (kernel_sum(x, x).diagonal() == 13).all()


def test_equals_slow_loops_with_the_diagonals_in():
    a, b = rows(5, 3), rows(4, 3, 1) / 2
    expected = slow_mean_kernel(a, a) + slow_mean_kernel(b, b) - 2 * slow_mean_kernel(a, b)
    assert mmd(a, b).item() == pytest.approx(expected, abs=1e-10)
    assert mmd(b, a).item() == pytest.approx(expected, abs=1e-10)


def test_the_biased_estimate_is_never_negative_and_grows_with_a_shift():
    a, b = rows(200, 2), rows(200, 2, 1)
    values = [mmd(a, b + shift).item() for shift in (0.0, 1.0, 3.0)]
    assert 0 <= values[0] < values[1] < values[2]


@pytest.mark.parametrize(("n", "m"), [(0, 3), (3, 0), (0, 0)])
def test_an_empty_set_gives_exactly_zero_on_the_graph(n, m):
    a, b = rows(n, 2).requires_grad_(), rows(m, 2).requires_grad_()
    value = mmd(a, b)
    value.backward()
    assert value.item() == 0 and not a.grad.any() and not b.grad.any()


def test_gradients_equal_finite_differences():
    # Apart by so much that the narrowest kernels are flat, which finite differences need.
    assert torch.autograd.gradcheck(mmd, (rows(3, 2).requires_grad_(), (rows(2, 2, 1) + 1).requires_grad_()))


def test_the_gradient_is_finite_where_points_coincide():
    a, b = torch.zeros(3, 2, requires_grad=True), torch.zeros(2, 2, requires_grad=True)
    mmd(a, b).backward()
    assert not a.grad.any() and not b.grad.any()


def test_runs_in_float32_under_autocast():
    a, b = rows(20, 8).float(), rows(20, 8, 1).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = mmd(a, b)
    assert inside.dtype == torch.float32 and inside.item() == mmd(a, b).item()
    assert mmd(a.bfloat16(), b.bfloat16()).dtype == torch.float32
