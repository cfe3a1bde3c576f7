"""What every method promises, whatever it computes: all that the registry finds, without naming one."""

import dataclasses
import signal
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from cabench import registry
from cabench.codes import SPACES, Split
from cabench.errors import UserError
from cabench.loop import stratified_batches
from cabench.method import Context
from cabench.nets.encoder import SMALLEST
from cabench.params import declared
from cabench.spec import resolve, signature_defaults
from cabench.testing import SMALL, check_method, tiny_split
from cabench.train import LightningMethod

ROOT = Path(__file__).resolve().parents[2]
CLASSES = {name: plugin.load() for name, plugin in registry.find("method").items()}
TRAINED = [name for name, cls in CLASSES.items() if issubclass(cls, LightningMethod) and cls().epochs]
PAIRED = [name for name, cls in CLASSES.items() if getattr(cls, "needs_both_groups", cls.supervision == "domain")]
ANY = "simclr"  # for promises of the training loop, which all share


def make(name, **changes):
    cls = CLASSES[name]
    known = signature_defaults(cls)
    return cls(**{key: value for key, value in SMALL.items() if key in known} | changes)


def seen(method, split):
    return split if method.supervision == "attributes" else split.blind()


def fit(name, split, validation=None, seed=0, **changes):
    method = make(name, **changes)
    return method.fit(seen(method, split), validation and seen(method, validation), Context(seed))


@cache
def fitted(name):
    """Return the method after six epochs: only to be looked at."""
    return fit(name, tiny_split(n=24), tiny_split(n=24, seed=1), epochs=6)


@pytest.mark.parametrize("name", CLASSES)
def test_it_keeps_the_rules_of_a_method(name):
    check_method(CLASSES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, cls in CLASSES.items() if "track" in declared(cls)])
def test_it_keeps_the_rules_in_its_native_track(name):
    check_method(CLASSES[name], track="native")


@pytest.mark.parametrize("name", CLASSES)
def test_settings_name_data_sets_and_build_on_each_other(name):
    cls, datasets = CLASSES[name], registry.find("dataset")
    for table in cls.settings.values():
        assert set(table) <= {"*", *datasets}
        for dataset in datasets:
            cls(**resolve(cls, [table.get("*", {}), table.get(dataset, {})], name))


@pytest.mark.parametrize("name", [name for name, cls in CLASSES.items() if issubclass(cls, LightningMethod)])
def test_another_seed_gives_another_fit(name):
    split = tiny_split(n=24)
    one, other = (fit(name, split, seed=seed).embed(split.x) for seed in (0, 1))
    assert not all(np.array_equal(one[space], other[space]) for space in SPACES)


@pytest.mark.parametrize("name", TRAINED)
def test_history_holds_every_term_raw_and_weighted(name):
    method = fitted(name)
    assert len(method.history_) == 6
    for epoch in method.history_:
        for part in ("train", "validation"):
            terms = {key: value for key, value in epoch.items() if key.count("/") - key.endswith("/weighted") == 1}
            weighted = [v for k, v in terms.items() if k.startswith(part) and k.endswith("/weighted")]
            assert weighted and sum(weighted) == pytest.approx(epoch[f"{part}/loss"], rel=1e-4, abs=1e-4)
        assert all(key.removesuffix("/weighted") in epoch for key in epoch)
    assert method.trend_ in ("flat", "falling", "rising")
    assert fit(name, tiny_split(n=24)).trend_ is None


@pytest.mark.parametrize("name", TRAINED)
def test_a_second_fit_writes_the_same_history(name):
    again = fit(name, tiny_split("grey", 24), epochs=6)
    again.fit(seen(again, tiny_split(n=24)), seen(again, tiny_split(n=24, seed=1)), Context())
    assert again.history_ == fitted(name).history_


@pytest.mark.parametrize("name", TRAINED)
def test_progress_counts_the_epochs(name):
    calls, method = [], make(name)
    method.fit(seen(method, tiny_split(n=24)), None, Context(progress=lambda *at: calls.append(at)))
    assert calls == [(1, 2), (2, 2)]


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("name", [name for name, cls in CLASSES.items() if cls.supervision == "none"])
def test_a_method_that_is_blind_to_groups_does_with_one(name, share):
    split = tiny_split(n=24, share=share)
    codes = fit(name, split).embed(split.x)
    assert np.isfinite(codes.common).all() and np.isfinite(codes.salient).all()


@pytest.mark.parametrize("name", [name for name in PAIRED if name in TRAINED])
def test_a_rare_group_is_in_every_batch(name):
    method = fit(name, tiny_split(share=0.05))  # 2 target rows, 4 batches
    assert all(np.isfinite(list(epoch.values())).all() for epoch in method.history_)


# Bad input: one sentence that says what is wrong, before training starts.


def refuses(name, sentence, split, **changes):
    """Fit and see the error; an epoch may not have passed."""

    def started(*_):
        raise AssertionError("training has started")

    with pytest.raises(UserError, match=sentence) as error:
        method = make(name, **changes)
        method.fit(seen(method, split), None, Context(progress=started))
    assert str(error.value).endswith((".", "?")) and "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("name", PAIRED)
def test_one_group_only_is_refused(name, share):
    refuses(name, "needs .*background.*target", tiny_split(n=24, share=share))


@pytest.mark.parametrize("name", [name for name in TRAINED if CLASSES[name].needs_full_batch])
def test_a_batch_larger_than_the_split_is_refused(name):
    refuses(name, r"batches of 25 images .* holds 24; set batch_size", tiny_split(n=24), batch_size=25)


@pytest.mark.parametrize("name", [name for name in TRAINED if not CLASSES[name].needs_full_batch])
def test_other_methods_train_on_fewer_images_than_a_batch(name):
    method = fit(name, tiny_split(n=24), batch_size=25)
    assert all(np.isfinite(list(epoch.values())).all() for epoch in method.history_)


@pytest.mark.parametrize("name", TRAINED)
def test_images_that_are_too_small_are_refused(name):
    split = tiny_split(n=24)
    small = dataclasses.replace(split.augmentation, size=SMALLEST - 1)
    refuses(name, "side|too small", dataclasses.replace(split, augmentation=small))


def cases(*keys):
    """Return (method, parameter) for every parameter declared with one of some limits."""
    return [
        (name, parameter)
        for name, cls in CLASSES.items()
        for parameter, may in declared(cls).items()
        if any(key in may for key in keys)
    ]


@pytest.mark.parametrize(("name", "parameter"), [(n, p) for n, p in cases("whole") if p.endswith("dim")])
def test_a_code_of_no_units_is_refused(name, parameter):
    with pytest.raises(UserError, match=rf"{name}\[{parameter}\] must be at least .*, not 0\.$"):
        make(name, **{parameter: 0})


@pytest.mark.parametrize("value", [-1, float("nan")])
@pytest.mark.parametrize(("name", "parameter"), cases("least", "above"))
def test_a_number_that_is_negative_or_none_at_all_is_refused(name, parameter, value):
    with pytest.raises(UserError, match=rf"{name}\[{parameter}\] must be "):
        make(name, **{parameter: value})


@pytest.mark.parametrize(("name", "parameter"), cases("choices"))
def test_a_misspelt_word_gets_a_hint(name, parameter):
    word = declared(CLASSES[name])[parameter]["choices"][0]
    with pytest.raises(UserError, match=rf"cannot be '{word}e'. Did you mean '{word}'"):
        make(name, **{parameter: word + "e"})


@pytest.mark.parametrize("name", [name for name, cls in CLASSES.items() if cls.role == "ceiling"])
def test_a_factor_with_one_class_is_refused_by_the_ceiling(name):
    split = tiny_split(n=24)
    one = np.where(np.isnan(split.labels["side"]), np.nan, 1.0)
    refuses(name, "'side'.* 'right'", dataclasses.replace(split, labels={**split.labels, "side": one}))
    none = np.full(24, np.nan)
    refuses(name, "'mark'", dataclasses.replace(split, labels={**split.labels, "mark": none}))


@pytest.mark.parametrize("x", [np.full((4, 3, 16, 16), np.nan), np.ones((4, 3, 16, 16), np.float32)])
def test_pixels_that_are_not_bytes_make_no_split(x):
    with pytest.raises(ValueError, match="x must be uint8"):
        Split(x, np.array([0, 0, 1, 1]))


# The training loop, which all trained methods share.


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fit_uses_the_threads_it_is_given_and_gives_them_back(threads):
    used, before = [], torch.get_num_threads()

    def progress(*_):
        used.append(torch.get_num_threads())

    make(ANY).fit(tiny_split().blind(), None, Context(threads=threads, progress=progress))
    assert used == [threads] * 2 and torch.get_num_threads() == before


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


def test_a_loss_that_becomes_nan_stops_the_fit():
    class Breaks(CLASSES[ANY]):
        def training_loss(self, batch, draws):
            terms = super().training_loss(batch, draws)
            broken = float("nan") if len(finished) == 2 else 1.0
            return {name: (raw * broken, weight) for name, (raw, weight) in terms.items()}

    finished = []
    context = Context(progress=lambda *at: finished.append(at))
    with pytest.raises(RuntimeError, match=r"^the loss became NaN or infinite at epoch 3$"):
        Breaks(epochs=50, batch_size=12).fit(tiny_split().blind(), None, context)
    assert finished == [(1, 50), (2, 50)]


def test_ctrl_c_comes_out_as_keyboard_interrupt():
    before = signal.getsignal(signal.SIGINT)

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(ANY).fit(tiny_split().blind(), None, Context(progress=interrupt))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_fit_works_outside_the_main_thread():
    made = []
    thread = threading.Thread(target=lambda: made.append(make(ANY).fit(tiny_split().blind())))
    thread.start()
    thread.join()
    assert made


PRINT_HISTORY = """
import sys
sys.path[:0] = [{root!r}, {here!r}]
import torch
from test_conformance import history_and_codes
torch.set_num_threads(1)
print(history_and_codes())
"""


def history_and_codes():
    """Return everything that two fits must have in common, as text."""
    split = tiny_split(n=24)
    methods = [fit(name, split) for name in CLASSES]
    codes = [method.embed(split.x) for method in methods]
    return [getattr(m, "history_", None) for m in methods], [c.common.tobytes().hex() for c in codes]


def test_another_process_gets_the_same_bits():
    script = PRINT_HISTORY.format(root=str(ROOT), here=str(Path(__file__).parent))
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(history_and_codes())
