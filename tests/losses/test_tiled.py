"""The tiles: as exact as the formula in float64 on data of every kind, linear in memory, once differentiable."""

import importlib
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from losses.batches import LOSSES, batch, errors, losses, value_and_gradients
from torch.utils._python_dispatch import TorchDispatchMode

from cabench.losses.backends.tiled import tiles
from cabench.losses.mmd import kernel_sum, mmd
from cabench.losses.pairwise import joint_entropy, sepclr_pairwise, supervised_alignment, uniformity

BARS = {"spread": 2e-6, "offset": 1e-5, "clustered": 1e-5}  # relative, of gradients


@pytest.fixture(autouse=True)
def small_tiles(request, monkeypatch):
    """Tiles of at most 64 rows, so that small batches have many; the mark keeps those of every day."""
    if "everyday_tiles" not in request.fixturenames:
        monkeypatch.setattr(tiles, "TILE", 64)


@pytest.fixture
def everyday_tiles():
    """Leave the size of the tiles alone."""


# --- against float64 -----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [257, 1024])
@pytest.mark.parametrize("kind", BARS)
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "mmd"])
def test_values_and_gradients_are_those_of_float64(name, kind, n, everyday_tiles):
    c, s, target = batch(kind, n)
    value, gradient = errors(losses(target)[name], c, s, backend="tiled")
    assert value < 3e-6 and gradient < BARS[kind]


@pytest.mark.parametrize("n", [2, 3, 31, 64, 65, 127, 130, 193])
@pytest.mark.parametrize("name", LOSSES)
def test_sizes_that_no_tile_divides_have_the_same_loss(name, n):
    if name == "mmd":
        n = max(n, 3)  # a row of the one group and two of the other
    c, s, target = batch("spread", n)
    value, gradient = errors(losses(target)[name], c, s, backend="tiled")
    assert value < 2e-6 and gradient < 2e-6


@pytest.mark.parametrize("kind", BARS)
def test_mmd_is_that_of_float64_where_the_published_float32_formula_is_percents_off(kind, everyday_tiles):
    rows, _, _ = batch(kind, 500, 16)
    a, b = rows[:300], 0.9 * rows[300:] + 0.05
    found, true = [a.clone().requires_grad_(), b.clone().requires_grad_()], None
    exact = [a.double().requires_grad_(), b.double().requires_grad_()]
    true = sum(w * kernel_sum(exact[i], exact[j]).mean() for i, j, w in ((0, 0, 1), (1, 1, 1), (0, 1, -2)))
    true.backward()
    value = mmd(*found, backend="tiled")
    value.backward()
    assert value.item() == pytest.approx(true.item(), rel=1e-5)
    for x, y in zip(found, exact, strict=True):
        assert (x.grad - y.grad).norm() < 1e-5 * y.grad.norm()
    published = mmd(a, b, backend="reference").item()
    assert kind == "clustered" or abs(published / true.item() - 1) > 1e-3


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_equal_finite_differences(name, monkeypatch):
    monkeypatch.setattr(tiles, "TILE", 3)
    c, s, target = batch("spread", 7, 3)
    # Apart by so much that the narrowest kernels of the MMD are flat, which finite differences need.
    c, s = (4 * c if name == "mmd" else c).double().requires_grad_(), s.double().requires_grad_()

    def loss(c, s):
        return losses(target)[name](c, s, backend="tiled")

    if name == "supervised_alignment":
        assert torch.autograd.gradcheck(lambda s: loss(c.detach(), s), (s,))
    else:
        assert torch.autograd.gradcheck(lambda c: loss(c, s.detach()), (c,))
        assert name in ("uniformity", "mmd") or torch.autograd.gradcheck(lambda s: loss(c.detach(), s), (s,))


# --- what a loss does not depend on ---------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(n=st.integers(3, 150), seed=st.integers(0, 99), shift=st.floats(-3, 3))
@pytest.mark.parametrize("name", ["uniformity", "joint_entropy", "sepclr_pairwise"])
def test_neither_the_order_of_rows_nor_a_shift_of_the_common_code_matters(name, n, seed, shift):
    c, s, target = batch("spread", n, 8, seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    value, gradients = value_and_gradients(losses(target)[name], c, s, backend="tiled")
    other, moved = value_and_gradients(losses(target[order])[name], c[order] + shift, s[order], backend="tiled")
    torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(gradients, moved, strict=True):
        torch.testing.assert_close(mine[order], theirs, rtol=1e-4, atol=1e-5)
    assert gradients[0].sum(0).abs().max() < 1e-5  # nothing moves the whole batch


# --- far, coincident, empty, strange ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["uniformity", "sepclr_pairwise"])
def test_uniformity_is_exact_and_finite_where_the_reference_is_minus_infinity(name):
    generator = torch.Generator().manual_seed(0)
    c, s = (60 * torch.randn(150, 16, generator=generator) for _ in range(2))
    loss = losses(torch.ones(150))[name]
    assert value_and_gradients(loss, c, s, backend="reference")[0].isinf().any()
    value, gradients = value_and_gradients(loss, c, s, backend="tiled")
    # In float64 the formula itself has nothing left at these distances.
    logs = [torch.logsumexp(-torch.pdist(x.double()).square(), 0) - math.log(150 * 149 / 2) for x in (c, s)]
    assert value[0].item() == pytest.approx(logs[0].item(), rel=1e-6)
    assert name == "uniformity" or value[1].item() == pytest.approx(logs[1].item(), rel=1e-6)
    assert all(gradient.isfinite().all() for gradient in gradients) and gradients[0].any()


@pytest.mark.parametrize("name", LOSSES)
def test_coincident_rows_have_finite_gradients_and_no_distance(name):
    c = torch.full((130, 8), 0.7)
    value, gradients = value_and_gradients(losses(torch.ones(130))[name], c, c, backend="tiled")
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert value.abs().max() < 1e-6 and torch.cat(gradients).abs().max() < 1e-6


@pytest.mark.parametrize("group", [0, 1])
@pytest.mark.parametrize("n", [2, 130])
def test_a_batch_of_one_group_has_all_three_losses(group, n):
    c, s, _ = batch("spread", n)
    target = torch.full((n,), group)
    found = [x.item() for x in sepclr_pairwise(c, s, target, backend="tiled")]
    zeroed = s * group
    expected = [uniformity(c), uniformity(zeroed), joint_entropy(c, zeroed)]
    assert found == pytest.approx([x.item() for x in expected], abs=1e-6)
    assert group == 1 or found[1] == pytest.approx(0, abs=1e-6)


def test_background_salient_codes_count_as_zeros_and_get_no_gradient():
    c, s, target = batch("spread", 130)
    loss = losses(target)["sepclr_pairwise"]
    value, gradients = value_and_gradients(loss, c, s, backend="tiled")
    other, _ = value_and_gradients(loss, c, torch.where(target[:, None], s, 1e3), backend="tiled")
    assert torch.equal(value, other) and not gradients[1][~target].any() and gradients[1][target].any()


@pytest.mark.parametrize("strange", [math.nan, math.inf])
@pytest.mark.parametrize("row", [0, 99, 149])
@pytest.mark.parametrize("name", LOSSES)
def test_what_is_not_finite_comes_out_as_nan(name, row, strange):
    c, s, target = batch("spread", 150)
    c[row, 0] = s[row, 0] = strange
    value, _ = value_and_gradients(losses(target)[name], c, s, backend="tiled")
    assert value.isnan().all()


def test_a_salient_code_of_the_background_that_is_not_finite_shows_although_it_counts_as_zero():
    c, s, target = batch("spread", 150)
    s[(~target).nonzero()[0, 0], 3] = math.nan
    U_c, U_s, J = sepclr_pairwise(c, s, target, backend="tiled")
    assert U_c.isfinite() and U_s.isnan() and J.isnan()


@pytest.mark.parametrize("name", LOSSES)
def test_strided_and_half_precision_inputs_are_those_of_float32(name):
    c, s, target = batch("spread", 130)
    loss, how = losses(target)[name], {"backend": "tiled"}
    expected, _ = value_and_gradients(loss, c, s, **how)
    strided = c.T.contiguous().T, torch.stack([s, s], 2).flatten(1)[:, ::2]
    assert torch.equal(value_and_gradients(loss, *strided, **how)[0], expected)
    for kind in (torch.float16, torch.bfloat16):
        value, gradients = value_and_gradients(loss, c.to(kind), s.to(kind), **how)
        assert value.dtype == torch.float32 and gradients[0].dtype == kind
        assert torch.equal(value, value_and_gradients(loss, c.to(kind).float(), s.to(kind).float(), **how)[0])


# --- how it is computed ----------------------------------------------------------------------------


class Largest(TorchDispatchMode):
    """Remembers the number of elements of the largest tensor that any operation returns."""

    def __init__(self):
        super().__init__()
        self.size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(x, torch.Tensor):
                self.size = max(self.size, x.numel(), x.untyped_storage().nbytes() // x.element_size())
        return result


@pytest.mark.parametrize("name", LOSSES)
def test_no_matrix_of_all_pairs_is_ever_allocated(name):
    c, s, target = batch("spread", 1000, 8)
    sizes = []
    for backend in ("tiled", "reference"):
        with Largest() as largest:
            value_and_gradients(losses(target)[name], c, s, backend=backend)
        sizes.append(largest.size)
    assert sizes[0] <= max(64 * 64, 1000 * 20) < 1000 * 1000 / 4 <= sizes[1]


@pytest.mark.parametrize("name", LOSSES)
def test_a_second_derivative_raises(name):
    c, s, target = batch("spread", 20)
    s.requires_grad_(), c.requires_grad_()
    value = losses(target)[name](c, s, backend="tiled")
    value = sum(value) if isinstance(value, tuple) else value
    (gradient,) = torch.autograd.grad(value, s if name in ("supervised_alignment",) else c, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        (value + gradient.sum()).backward()


@pytest.mark.parametrize("name", LOSSES)
def test_neither_autocast_nor_the_process_wide_precision_changes_a_bit(name):
    c, s, target = batch("spread", 130)
    loss = losses(target)[name]
    expected = value_and_gradients(loss, c, s, backend="tiled")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):  # over the backward pass too
            found = value_and_gradients(loss, c, s, backend="tiled")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(found[0], expected[0])
    assert all(torch.equal(*pair) for pair in zip(found[1], expected[1], strict=True))


def test_without_a_gradient_none_is_computed(monkeypatch):
    c, _, _ = batch("spread", 130)

    def never(*args):
        raise AssertionError("a product for the gradient")

    monkeypatch.setattr(importlib.import_module("cabench.losses.backends.tiled.uniformity"), "add_products", never)
    assert uniformity(c, backend="tiled").isfinite()
    with torch.no_grad():
        assert uniformity(c.requires_grad_(), backend="tiled").isfinite()


def test_supervised_alignment_of_classes_counts_pairs_of_one_class_alone():
    s, y = torch.tensor([[0.0], [1.0], [5.0], [7.0]]), torch.tensor([0, 0, 3, 3])
    assert supervised_alignment(s, y, 5e-6, backend="tiled").item() == pytest.approx((1 + 4) / 6)


def test_supervised_alignment_oracle():
    s, y = torch.tensor([[0.1], [0.4], [-0.3]]), torch.tensor([0.5, 0.6, 1.0])
    assert supervised_alignment(s, y, 0.025, backend="tiled").item() == pytest.approx(0.0315791, abs=1e-6)
