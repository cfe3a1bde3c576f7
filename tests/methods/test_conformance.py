"""What every method promises, whatever it computes."""

import ast
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from cabench.codes import SPACES, Batch
from cabench.errors import UserError
from cabench.method import Context
from cabench.methods.constant import Constant
from cabench.methods.cvae import CVAE
from cabench.methods.pca import BackgroundPCA
from cabench.methods.random import RandomEncoders
from cabench.methods.sepclr import SepCLR
from cabench.methods.simclr import SimCLR
from cabench.methods.supervised import Supervised
from cabench.train import Draws, stratified_batches

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
KINDS = ("colour", "grey", "volume")  # of tiny images: neither square nor of the size seen
TRAINED = ("sepclr", "cvae", "simclr", "supervised")


def make(name, **changes):
    cls, parameters = METHODS[name]
    return cls(**parameters | changes)


def seen(method, split):
    return split if method.supervision == "attributes" else split.blind()


def fit(name, split, validation=None, seed=0, **changes):
    method = make(name, **changes)
    return method.fit(seen(method, split), validation and seen(method, validation), Context(seed=seed))


@pytest.fixture(scope="module")
def fitted(make_split):
    """Give the method fitted on tiny images of a kind, the same object each time: only to be looked at."""

    @cache
    def get(name, kind="colour"):
        return fit(name, make_split(kind), make_split(kind, 24, seed=1))

    return get


def same(a, b):
    return all(np.array_equal(a[space], b[space]) for space in SPACES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METHODS)
def test_codes_are_finite_float32_rows_and_the_same_each_time(name, kind, fitted, make_split):
    method, x = fitted(name, kind), make_split(kind, 24, seed=1).x
    before = x.copy()
    codes = method.embed(x)
    for space in SPACES:
        assert codes[space].dtype == np.float32
        assert codes[space].ndim == 2 and len(codes[space]) == len(x)
        assert np.isfinite(codes[space]).all()
    assert same(codes, method.embed(x))
    assert np.array_equal(x, before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METHODS)
def test_the_code_of_an_image_depends_on_that_image_alone(name, kind, fitted, make_split):
    method, x = fitted(name, kind), make_split(kind, 24, seed=1).x
    all_of_them, one = method.embed(x), method.embed(x[5:6])
    for space in SPACES:
        np.testing.assert_allclose(one[space], all_of_them[space][5:6], atol=2e-4)


@pytest.mark.parametrize("name", METHODS)
def test_a_second_fit_forgets_the_first_and_repeats_its_numbers(name, fitted, make_split):
    split, validation = make_split(), make_split(n=24, seed=1)
    method = fit(name, make_split("grey", seed=5), seed=3)
    method.fit(seen(method, split), seen(method, validation), Context())
    assert same(method.embed(split.x), fitted(name).embed(split.x))
    assert getattr(method, "history_", None) == getattr(fitted(name), "history_", None)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("constant", "pca")])
def test_another_seed_gives_another_fit(name, fitted, make_split):
    split = make_split()
    assert not same(fit(name, split, seed=1).embed(split.x), fitted(name).embed(split.x))


@pytest.mark.parametrize("name", METHODS)
def test_a_fit_leaves_nothing_behind(name, make_split, tmp_path, monkeypatch):
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
    fit(name, make_split(), make_split(seed=1)).embed(make_split().x)
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


def test_a_method_without_supervision_never_looks_at_the_group_of_an_image(fitted, make_split):
    method, split = fitted("simclr"), make_split()
    x, y = torch.from_numpy(split.x), torch.from_numpy(split.y)

    def loss(groups):
        draws = Draws(*(torch.Generator().manual_seed(0) for _ in range(2)))
        return [raw.item() for raw, _ in method.training_loss(Batch(x, groups), draws).values()]

    assert loss(y) == loss(1 - y)


@pytest.mark.parametrize("name", TRAINED)
def test_history_holds_every_term_raw_and_weighted(name, make_split):
    method = fit(name, make_split(), make_split(n=24, seed=1), epochs=6)
    assert len(method.history_) == 6
    for epoch in method.history_:
        for part in ("train", "validation"):
            weighted = [v for k, v in epoch.items() if k.startswith(part) and k.endswith("/weighted")]
            assert weighted and sum(weighted) == pytest.approx(epoch[f"{part}/loss"], rel=1e-4, abs=1e-4)
        assert all(key.removesuffix("/weighted") in epoch for key in epoch)
    assert method.trend_ in ("flat", "falling", "rising")
    assert fit(name, make_split()).trend_ is None


@pytest.mark.parametrize("name", TRAINED)
def test_progress_counts_the_epochs(name, make_split):
    calls, method = [], make(name)
    method.fit(seen(method, make_split()), None, Context(progress=lambda *at: calls.append(at)))
    assert calls == [(1, 2), (2, 2)]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fit_uses_the_threads_it_is_given_and_gives_them_back(threads, make_split):
    used, before = [], torch.get_num_threads()

    def progress(*_):
        used.append(torch.get_num_threads())

    make("simclr").fit(make_split().blind(), None, Context(threads=threads, progress=progress))
    assert used == [threads] * 2 and torch.get_num_threads() == before


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


@pytest.mark.parametrize(("n", "targets", "size"), [(100, 50, 16), (97, 3, 20), (200, 2, 16), (10, 5, 64)])
def test_every_batch_holds_two_rows_of_both_groups(n, targets, size):
    y = np.random.default_rng(0).permutation(np.arange(n) < targets).astype(np.int64)
    batches = stratified_batches(y, size, np.random.default_rng(1))
    assert len(batches) == max(1, n // size)
    assert all((y[rows] == group).sum() >= 2 for rows in batches for group in (0, 1))
    assert set(np.concatenate(batches)) == set(range(n))
    common = np.concatenate([rows[y[rows] == 0] for rows in batches])
    assert len(common) == n - targets  # the larger group is seen once
    again = stratified_batches(y, size, np.random.default_rng(1))
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


@pytest.mark.parametrize("name", ["sepclr", "cvae"])
def test_a_rare_group_is_in_every_batch(name, make_split):
    method = make(name).fit(make_split(share=0.05).blind(), None, Context())  # 2 target rows, 4 batches
    assert all(np.isfinite(list(epoch.values())).all() for epoch in method.history_)


def test_a_loss_that_becomes_nan_stops_the_fit(make_split):
    class Breaks(SimCLR):
        def training_loss(self, batch, draws):
            terms = super().training_loss(batch, draws)
            broken = float("nan") if len(finished) == 2 else 1.0
            return {name: (raw * broken, weight) for name, (raw, weight) in terms.items()}

    finished = []
    context = Context(progress=lambda *at: finished.append(at))
    with pytest.raises(RuntimeError, match=r"^the loss became NaN at epoch 3$"):
        Breaks(epochs=50, batch_size=12).fit(make_split().blind(), None, context)
    assert finished == [(1, 50), (2, 50)]


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


PRINT_HISTORY = """
import sys
sys.path[:0] = [{root!r}, {here!r}]
import torch
from conftest import tiny_split
from test_conformance import history_and_codes
torch.set_num_threads(1)
print(history_and_codes(tiny_split()))
"""


def history_and_codes(split):
    """Return everything that two fits must have in common, as text."""
    methods = [fit(name, split) for name in ("sepclr", "cvae", "supervised", "pca", "random")]
    codes = [method.embed(split.x) for method in methods]
    return [getattr(m, "history_", None) for m in methods], [c.common.tobytes().hex() for c in codes]


def test_another_process_gets_the_same_bits(make_split):
    script = PRINT_HISTORY.format(root=str(ROOT), here=str(Path(__file__).parent))
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(history_and_codes(make_split()))
