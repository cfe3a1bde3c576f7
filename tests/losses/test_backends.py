"""The choice of a backend, what each must agree on, and what callers are told if they ask for the wrong thing."""

import importlib.util
import math
import os
import subprocess
import sys

import pytest
import torch
from losses.batches import LOSSES, batch, errors, losses, value_and_gradients

from cabench.errors import UserError
from cabench.losses import backends
from cabench.losses.backends import last_backend, load
from cabench.losses.mmd import mmd
from cabench.losses.pairwise import alignment, joint_entropy, sepclr_pairwise, supervised_alignment, uniformity


@pytest.mark.parametrize("name", LOSSES)
def test_auto_takes_the_tiles_on_cpu_and_says_so(name):
    c, s, target = batch("spread", 40)
    value_and_gradients(losses(target)[name], c, s, backend="reference")
    assert last_backend() == "reference"
    value = value_and_gradients(losses(target)[name], c, s)[0]
    assert last_backend() == "tiled"
    assert torch.equal(value, value_and_gradients(losses(target)[name], c, s, backend="tiled")[0])


def test_a_backend_is_imported_when_it_is_asked_for():
    code = (
        "import sys, torch; from cabench.losses.pairwise import uniformity; "
        "loaded = lambda: sorted(name[24:] for name in sys.modules if name.startswith('cabench.losses.backends.'));"
        "print(loaded()); uniformity(torch.rand(4, 2), backend='reference'); print(loaded())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "['reference']"]


@pytest.mark.parametrize("n", [3, 40])
@pytest.mark.parametrize("name", LOSSES)
def test_the_textbook_formula_is_what_the_tiles_compute(name, n):
    """Both in float64 and far from the rounding of the formula's distances."""
    c, s, target = batch("spread", n)
    found, expected = (
        value_and_gradients(losses(target)[name], c.double(), s.double(), backend=backend)
        for backend in ("tiled", "reference")
    )
    rtol = 1e-6 if name == "mmd" else 1e-9
    torch.testing.assert_close(found[0], expected[0], rtol=rtol, atol=1e-9)
    torch.testing.assert_close(found[1], expected[1], rtol=rtol, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_the_compiled_formula_is_as_exact(name):
    for n in (65, 130):
        c, s, target = batch("spread", n)
        value, gradient = errors(losses(target)[name], c, s, backend="compiled")
        assert value < 1e-5 and gradient < (1e-5 if name == "mmd" else 2e-6)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("pykeops") is None, reason="needs the extra keops")
@pytest.mark.parametrize("name", LOSSES)
def test_keops_is_as_exact(name):
    for n in (65, 130):
        c, s, target = batch("spread", n)
        value, gradient = errors(losses(target)[name], c, s, backend="keops")
        assert value < 1e-5 and gradient < (1e-5 if name == "mmd" else 2e-6)


# --- who is told what ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda: uniformity(torch.zeros(3, 2, dtype=torch.long)), "'x' must be a floating point matrix"),
        (lambda: uniformity(torch.rand(3)), "not float32 (3,)"),
        (lambda: mmd(torch.rand(3, 2), torch.rand(3, 4)), "'a' (3, 2) and 'b' (3, 4) must have as many columns"),
        (lambda: joint_entropy(torch.rand(3, 2), torch.rand(4, 2)), "'s' (4, 2) must have as many rows"),
        (lambda: sepclr_pairwise(torch.rand(3, 2), torch.rand(3, 2), torch.ones(2)), "'target' (2,)"),
        (lambda: alignment(torch.rand(3, 2), torch.rand(1, 2)), "'b' (1, 2) must have as many rows"),
        (lambda: alignment(torch.rand(3, 2), torch.rand(3, 2), torch.rand(1)), "'weights' (1,)"),
        (lambda: supervised_alignment(torch.rand(3, 2), torch.rand(2)), "'y' (2,) must have as many rows"),
        (lambda: uniformity(torch.rand(3, 2), backend="trition"), "no backend 'trition'. Did you mean 'triton'?"),
        (lambda: uniformity(torch.rand(3, 2), precision="exat"), "no precision 'exat'. Did you mean 'exact'?"),
    ],
)  # fmt: skip
def test_a_programmers_mistake_is_a_value_error_of_one_sentence(loss, words):
    with pytest.raises(ValueError) as caught:
        loss()
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_matrices_on_two_devices_are_a_value_error():
    with pytest.raises(ValueError, match="on one device, not 'c' on cpu, 's' on meta"):
        joint_entropy(torch.rand(3, 2), torch.rand(3, 2, device="meta"))


@pytest.mark.parametrize("backend", ["triton", "keops"])
def test_an_absent_package_is_the_users_to_install(backend, monkeypatch):
    monkeypatch.setattr(backends, "_installed", lambda package: False)
    with pytest.raises(UserError, match=f"The backend '{backend}' needs .* not installed"):
        uniformity(torch.rand(3, 2), backend=backend)


def test_triton_without_a_gpu_is_a_user_error(monkeypatch):
    monkeypatch.setattr(backends, "_installed", lambda package: True)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(UserError, match="'triton' needs tensors on a GPU; 'tiled' runs on any device"):
        load("triton", "cpu")


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("backend", ["tiled", "reference"])
def test_too_few_rows_give_exact_zeros_on_the_graph_with_every_backend(n, backend):
    c, s, target = (x[:n] for x in batch("spread", 2))
    for name, loss in losses(target).items():
        value, gradients = value_and_gradients(loss, c, s, backend=backend)
        assert not value.any() and not torch.cat(gradients).any(), name


def test_one_row_that_is_not_finite_is_nan():
    assert math.isnan(uniformity(torch.tensor([[math.nan]])).item())
