"""What every method promises, whatever it computes."""

import ast
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cabench.codes import SPACES
from cabench.errors import UserError
from cabench.method import Context
from cabench.methods.constant import Constant
from cabench.methods.cvae import CVAE
from cabench.methods.pca import BackgroundPCA
from cabench.methods.random import RandomEncoders
from cabench.methods.sepclr import SepCLR
from cabench.methods.simclr import SimCLR
from cabench.methods.supervised import Supervised

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"epochs": 2, "batch_size": 12}
METHODS = {
    "sepclr": (SepCLR, SMALL | {"common_dim": 6, "salient_dim": 5}),
    "cvae": (CVAE, SMALL | {"common_dim": 6, "salient_dim": 5}),
    "simclr": (SimCLR, SMALL | {"dim": 6}),
    "supervised": (Supervised, SMALL | {"common_dim": 6, "salient_dim": 5}),
    "random": (RandomEncoders, {"common_dim": 6, "salient_dim": 5}),
    "pca": (BackgroundPCA, {"common_dim": 6, "salient_dim": 5}),
    "constant": (Constant, {}),
}
TRAINED = ("sepclr", "cvae", "simclr", "supervised")


def make(name, **changes):
    cls, parameters = METHODS[name]
    return cls(**parameters | changes)


def seen(method, split):
    return split if method.supervision == "attributes" else split.blind()


def fitted(name, tiny, seed=0, **changes):
    method = make(name, **changes)
    return method.fit(seen(method, tiny.train), seen(method, tiny.validation), Context(seed=seed))


def same(a, b):
    return all(np.array_equal(a[space], b[space]) for space in SPACES)


@pytest.mark.parametrize("name", METHODS)
def test_codes_are_finite_float32_rows_and_the_same_each_time(name, tiny):
    method, x = fitted(name, tiny), tiny.validation.x
    before = x.copy()
    codes = method.embed(x)
    for space in SPACES:
        assert codes[space].dtype == np.float32
        assert codes[space].ndim == 2 and len(codes[space]) == len(x)
        assert np.isfinite(codes[space]).all()
    assert same(codes, method.embed(x))
    assert np.array_equal(x, before)
    one = method.embed(x[:1])
    for space in SPACES:
        np.testing.assert_allclose(one[space], codes[space][:1], atol=2e-4)
        assert len(method.embed(x[:0])[space]) == 0


@pytest.mark.parametrize("name", METHODS)
def test_the_code_of_an_image_depends_on_that_image_alone(name, tiny):
    method, x = fitted(name, tiny), tiny.validation.x
    order = np.random.default_rng(0).permutation(len(x))
    for space in SPACES:
        np.testing.assert_allclose(method.embed(x[order])[space], method.embed(x)[space][order], atol=2e-4)


@pytest.mark.parametrize("name", METHODS)
def test_a_second_fit_forgets_the_first_and_repeats_its_numbers(name, tiny, make_split):
    method = fitted(name, tiny)
    first = method.embed(tiny.validation.x)
    other = make_split("grey", seed=5)
    method.fit(seen(method, other), None, Context(seed=3))
    method.fit(seen(method, tiny.train), seen(method, tiny.validation), Context(seed=0))
    assert same(method.embed(tiny.validation.x), first)
    assert same(fitted(name, tiny).embed(tiny.validation.x), first)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("constant", "pca")])
def test_another_seed_gives_another_fit(name, tiny):
    assert not same(fitted(name, tiny).embed(tiny.train.x), fitted(name, tiny, 1).embed(tiny.train.x))


@pytest.mark.parametrize("name", METHODS)
def test_a_fit_leaves_nothing_behind(name, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def world():
        handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
        modes = (
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
        )
        return (
            handlers,
            modes,
            list(warnings.filters),
            random.getstate(),
            dict(os.environ),
            torch.get_default_dtype(),
        )

    torch.manual_seed(7)
    before, torch_state, numpy_state = world(), torch.get_rng_state(), np.random.get_state()[1].copy()
    fitted(name, tiny).embed(tiny.validation.x)
    assert world() == before
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", METHODS)
def test_a_fit_says_nothing(name, make_split, capfd):
    method, split = make(name), make_split()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        method.fit(seen(method, split), None, Context())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", METHODS)
def test_the_global_generator_does_not_steer_a_fit(name, make_split):
    split, codes = make_split(), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        method = make(name)
        codes.append(method.fit(seen(method, split), None, Context()).embed(split.x))
    assert same(*codes)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "supervised"])
def test_a_method_that_is_blind_to_labels_gives_the_same_with_and_without_them(name, make_split):
    split = make_split()
    blind = make(name).fit(split.blind(), None, Context()).embed(split.x)
    assert same(make(name).fit(split, None, Context()).embed(split.x), blind)


@pytest.mark.parametrize("name", [n for n, (cls, _) in METHODS.items() if cls.supervision == "none"])
def test_a_method_without_supervision_never_looks_at_the_group_of_an_image(name, make_split):
    """The sampler may know y, the loss may not: with one batch for all, flipping y changes nothing."""
    split = make_split()
    flipped = replace(split, y=np.where(np.arange(len(split)) < 1, split.y, split.y))
    kwargs = {"batch_size": len(split)} if name == "simclr" else {}
    first, second = (make(name, **kwargs).fit(s.blind(), None, Context()).embed(s.x) for s in (split, flipped))
    assert same(first, second)


@pytest.mark.parametrize("name", TRAINED)
def test_history_holds_every_term_raw_and_weighted(name, tiny):
    method = fitted(name, tiny, epochs=6)
    assert len(method.history_) == 6
    for epoch in method.history_:
        weighted = [v for k, v in epoch.items() if k.startswith("train/") and k.endswith("/weighted")]
        assert weighted and sum(weighted) == pytest.approx(epoch["train/loss"], rel=1e-4, abs=1e-4)
        assert all(key.removesuffix("/weighted") in epoch for key in epoch)
        assert "validation/loss" in epoch
    assert isinstance(method.flattened_, bool)
    assert method.fit(seen(method, tiny.train), None, Context()).flattened_ is None


@pytest.mark.parametrize("name", TRAINED)
def test_progress_counts_the_epochs(name, make_split):
    calls, method = [], make(name)
    method.fit(seen(method, make_split()), None, Context(progress=lambda *at: calls.append(at)))
    assert calls == [(1, 2), (2, 2)]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fit_uses_the_threads_it_is_given_and_gives_them_back(threads, make_split):
    seen_threads, before = [], torch.get_num_threads()
    progress = lambda *_: seen_threads.append(torch.get_num_threads())  # noqa: E731
    make("simclr").fit(make_split().blind(), None, Context(threads=threads, progress=progress))
    assert seen_threads == [threads] * 2 and torch.get_num_threads() == before


@pytest.mark.parametrize("name", ["sepclr", "cvae", "pca"])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_missing_group_is_one_clear_sentence(name, share, make_split):
    with pytest.raises(UserError, match=r"needs .*background.*target.*\.$"):
        make(name).fit(make_split(share=share).blind(), None, Context())


@pytest.mark.parametrize("name", ["simclr", "random", "constant", "supervised"])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_other_methods_do_with_one_group(name, share, make_split):
    method, split = make(name), make_split(share=share)
    codes = method.fit(seen(method, split), None, Context()).embed(split.x)
    assert np.isfinite(codes.common).all() and np.isfinite(codes.salient).all()


@pytest.mark.parametrize("name", ["sepclr", "cvae"])
def test_a_rare_group_is_in_every_batch(name, make_split):
    method = make(name).fit(make_split(share=0.05).blind(), None, Context())  # 2 target rows, 4 batches
    assert all(np.isfinite(list(epoch.values())).all() for epoch in method.history_)


@pytest.mark.parametrize("name", TRAINED)
def test_a_loss_that_becomes_nan_stops_the_fit(name, make_split):
    method = make(name, learning_rate=float("nan"), epochs=50)
    with pytest.raises(RuntimeError, match=r"the loss became NaN at epoch 1$"):
        method.fit(seen(method, make_split()), None, Context())


def test_ctrl_c_comes_out_as_keyboard_interrupt(make_split):
    before = signal.getsignal(signal.SIGINT)

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make("simclr").fit(make_split().blind(), None, Context(progress=interrupt))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_fit_works_outside_the_main_thread(make_split):
    made = []
    thread = threading.Thread(target=lambda: made.append(make("simclr").fit(make_split().blind())))
    thread.start()
    thread.join()
    assert made


@pytest.mark.parametrize("name", ["sepclr", "cvae", "simclr", "random", "supervised"])
def test_a_misspelt_backbone_gets_a_hint(name, make_split):
    method = make(name, backbone="smal")
    with pytest.raises(UserError, match="Did you mean 'small'"):
        method.fit(seen(method, make_split()), None, Context())


@pytest.mark.parametrize("name", METHODS)
def test_the_card_can_be_read_without_importing_the_file(name):
    cls = METHODS[name][0]
    (node,) = [
        n for n in ast.parse((ROOT / "methods" / f"{name}.py").read_text()).body if isinstance(n, ast.ClassDef)
    ]
    card = {
        n.targets[0].id: ast.literal_eval(n.value)
        for n in node.body
        if isinstance(n, ast.Assign) and isinstance(n.value, ast.Constant)
    }
    for key in ("name", "title", "paper", "kind", "supervision"):
        assert card[key] == getattr(cls, key)
    assert card["name"] == name


@pytest.mark.parametrize("name", METHODS)
def test_settings_name_parameters_of_the_constructor(name):
    cls = METHODS[name][0]
    for tier, table in cls.settings.items():
        assert tier in ("smoke", "quick", "paper")
        for parameters in table.values():
            made = cls(**parameters)
            assert all(getattr(made, key) == value for key, value in parameters.items())


FIT_AND_HASH = """
import sys; sys.path[:0] = [{root!r}, {here!r}]
import hashlib
from conftest import tiny_split
from test_conformance import make, seen
from cabench.method import Context
for name in ("sepclr", "cvae", "supervised", "pca"):
    method, split = make(name), tiny_split()
    codes = method.fit(seen(method, split), None, Context(seed=4, threads=1)).embed(split.x)
    print(name, hashlib.sha256(codes.common.tobytes() + codes.salient.tobytes()).hexdigest())
"""


def test_two_processes_get_the_same_bits():
    script = FIT_AND_HASH.format(root=str(ROOT), here=str(Path(__file__).parent))
    outputs = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert outputs[0] == outputs[1] and outputs[0].count("\n") == 4
