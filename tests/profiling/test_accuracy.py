"""The truth for many rows, from few: that of the formula on all of them."""

import pytest
import torch

from cabench.profiling import cases
from cabench.profiling.accuracy import MIXTURE, errors, true
from cabench.profiling.cases import KERNELS, sample, values


@pytest.fixture(autouse=True)
def few_distinct(monkeypatch):
    monkeypatch.setattr(cases, "DISTINCT", 16)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("n", [7, 16, 48])
def test_copies_have_the_value_and_the_gradients_of_the_whole_batch(name, n):
    kernel, rows = KERNELS[name], sample(n, 4)
    c, s = rows.rows(torch.float64)
    found = values(kernel, c, s, backend="reference", precision="exact")
    (found * torch.tensor(MIXTURE)[: len(found)]).sum().backward()
    wanted, slopes = true(kernel, rows)
    torch.testing.assert_close(found.detach(), wanted, rtol=1e-12, atol=1e-12)
    gradients = torch.cat([torch.zeros_like(x) if x.grad is None else x.grad for x in (c, s)], 1)
    torch.testing.assert_close(gradients, slopes[rows.own], rtol=1e-9, atol=1e-12)


def test_a_sample_has_its_background_first_and_at_zero_and_every_row_equally_often():
    rows = sample(48, 4)
    assert rows.own.bincount().tolist() == [3] * 16
    assert rows.own[:24].max() < 8 <= rows.own[24:].min()
    assert not rows.rows()[1][:24].any() and rows.rows()[1][24:].any(1).all()
    # No pattern: a backend that takes row i for row i + 8 is found out.
    assert (rows.own[:8] != rows.own[8:16]).any()


def test_a_planted_error_is_measured():
    def loss(c, s, background, backend, precision):
        value = KERNELS["uniformity"].loss(c, s, background, backend="reference", precision=precision)
        return value if backend == "reference" else 1.01 * value + 0.5

    kernel = cases.Kernel(loss, KERNELS["uniformity"].grams, lambda d: d, ("log_pairs",))
    rows = sample(48, 4)
    truth = true(kernel, rows)
    value_error, gradient_error = errors(kernel, rows, truth, "tiled", "exact")
    assert value_error == pytest.approx(abs(0.01 * float(truth[0]) + 0.5), rel=1e-5)
    assert gradient_error == pytest.approx(0.01, rel=1e-3)
