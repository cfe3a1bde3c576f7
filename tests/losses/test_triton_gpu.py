"""The Triton kernels on a GPU keep the accuracy that each precision promises."""

import pytest
import torch
from losses.batches import batch, errors, losses

if not torch.cuda.is_available():
    pytest.skip("there is no GPU", allow_module_level=True)

ROUNDED = ("uniformity", "joint_entropy", "sepclr_pairwise")
# Absolute errors of values and relative ones of gradients, on spread data and on all other.
PROMISED = {
    "exact": ((1e-5, 2e-6), (1e-5, 1e-5)),
    "default": ((1e-5, 2e-3), (2e-4, 2e-3)),
    "fast": ((1e-3, 1e-2), (2e-3, 5e-2)),
}
WIDTH = 24


def found(name, kind, n, precision):
    c, s, target = batch(kind, n, WIDTH)
    # With background rows at 0 an offset would be a distance.
    target = torch.ones(n) if kind == "offset" else target
    c, s, target = c.cuda(), s.cuda(), target.cuda()
    return errors(losses(target)[name], c, s, backend="triton", precision=precision)


@pytest.mark.parametrize("precision", PROMISED)
@pytest.mark.parametrize("name", ROUNDED)
@pytest.mark.parametrize("n", [97, 128, 1000, 4099, 8200])
def test_spread_rows(n, name, precision):
    value, gradient = found(name, "spread", n, precision)
    assert value < PROMISED[precision][0][0] and gradient < PROMISED[precision][0][1]


@pytest.mark.parametrize("precision", PROMISED)
@pytest.mark.parametrize("name", ROUNDED)
@pytest.mark.parametrize("kind", ["clustered", "offset", "coincident"])
@pytest.mark.parametrize("n", [97, 4099])
def test_other_rows(n, kind, name, precision):
    value, gradient = found(name, kind, n, precision)
    assert value < PROMISED[precision][1][0] and gradient < PROMISED[precision][1][1]


@pytest.mark.parametrize("n", [3, 31, 97, 1000, 4099])
@pytest.mark.parametrize("kind", ["spread", "clustered", "offset", "coincident"])
@pytest.mark.parametrize("name", ["mmd", "supervised_alignment"])
def test_losses_of_differences(name, kind, n):
    value, gradient = found(name, kind, n, "default")
    assert value < 1e-5 and gradient < 1e-5
