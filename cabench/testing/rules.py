"""The rules of `check_method`, each by a function that raises Broken."""

from __future__ import annotations

import contextlib
import inspect
import tempfile
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cabench import registry
from cabench.checkpoint import Checkpoint
from cabench.codes import SPACES, Batch, Split
from cabench.dataset import TIERS
from cabench.errors import UserError
from cabench.measure import check_codes
from cabench.method import Context, Method
from cabench.model_file import read_model, write_model
from cabench.params import declared
from cabench.player import Draws
from cabench.spec import resolve
from cabench.testing.images import SHAPES, tiny_split
from cabench.testing.parameter_rule import every_parameter_counts
from cabench.testing.subject import ROWS, Broken, Subject, close, own_images, require, same_codes
from cabench.train import LightningMethod

CUDA_ROUNDING = 2e-2  # TF32 keeps three digits per product
# Two launched fits on an H200 differed by up to 2.4e-2 after four steps: sums there have no fixed order.
CUDA_ORDER = 0.1


def _card(subject: Subject) -> None:
    cls = subject.cls
    plugin = registry.read("method", Path(inspect.getsourcefile(cls) or ""), cls=cls.__name__)
    require(plugin, f"{cls.__name__} sets `factors`, as data sets do")
    assert plugin is not None
    require(plugin.error is None, f"{plugin.error} ({cls.__name__} in {plugin.file})")
    for key in ("name", "title", "paper", "kind", "supervision"):
        require(key in plugin.card, f"`{key}` must be a plain string in the body of {cls.__name__}")
        require(plugin.card[key] == getattr(cls, key), f"`{key}` is not what the source says")
        require(key not in subject.defaults, f"`{key}` has an annotation, which makes it a parameter")
    require(cls.name and cls.title, "`name` and `title` must say something")
    for key in ("kind", "supervision", "role"):
        words = _words(key)
        require(getattr(cls, key) in words, f"`{key}` must be one of {', '.join(words)}, not '{getattr(cls, key)}'")


def _words(attribute: str) -> tuple[str, ...]:
    (literal,) = typing.get_args(typing.get_type_hints(Method)[attribute])
    return typing.get_args(literal)


def _settings(subject: Subject) -> None:
    for tier, table in subject.cls.settings.items():
        require(tier in TIERS, f"there is no tier '{tier}', only {', '.join(TIERS)}")
        for dataset, settings in table.items():
            try:
                subject.cls(**resolve(subject.cls, [settings], subject.cls.name))
            except UserError as error:
                raise Broken(f"{tier}, {dataset}: {error}") from error


def _parameters_are_declared(subject: Subject) -> None:
    for name, default in subject.defaults.items():
        require(default is not inspect.Parameter.empty, f"'{name}' has no default")
        require(name in declared(subject.cls), f"'{name}' is not declared with cabench.params: nothing checks it")
    for method, given in ((subject.cls(), subject.defaults), (subject.make(), subject.params)):
        for name, value in given.items():
            require(getattr(method, name) == value, f"'{name}' is not stored as given")


def _shapes(subject: Subject) -> None:
    for kind in SHAPES:
        codes = subject.fitted(kind).embed(own_images(kind))
        check_codes(codes, ROWS)
        for space in SPACES:
            require(codes[space].dtype == np.float32, f"the {space} code is {codes[space].dtype}, not float32")


def _deterministic(subject: Subject) -> None:
    method, x = subject.fitted(), own_images()
    require(same_codes(method.embed(x), method.embed(x)), "embedding twice gives different codes")


def _alone(subject: Subject) -> None:
    method, split = subject.fitted(), tiny_split(n=ROWS)
    together = method.embed(split.x)
    choices = {
        "alone": np.array([5]),
        "in another order": np.arange(ROWS)[::-1],
        "without target images": np.flatnonzero(split.y == 0),
        "without background images": np.flatnonzero(split.y == 1),
        "among twice as many": np.tile(np.arange(ROWS), 2),
    }
    for what, rows in choices.items():
        codes = method.embed(np.ascontiguousarray(split.x[rows]))
        for space in SPACES:
            require(close(codes[space], together[space][rows]), f"an image has another {space} code {what}")


def _seed(subject: Subject) -> None:
    codes = subject.fitted().embed(own_images())
    require(same_codes(codes, subject.watched.codes), "two fits with the same seed give different codes")


def _trace(subject: Subject) -> None:
    changed = subject.watched.changed
    require(not changed, f"a fit changes {' and '.join(changed)}")


def _silence(subject: Subject) -> None:
    said = " ".join(subject.watched.said)
    require(not said, f"a fit says '{said[:200]}'")


def _inputs(subject: Subject) -> None:
    require(subject.watched.intact, "a fit changes the images, groups or labels")


def _refit(subject: Subject) -> None:
    method = subject.fit(subject.make(), tiny_split("grey", ROWS), Context(seed=3))
    codes = subject.fit(method, tiny_split(n=ROWS)).embed(own_images())
    require(same_codes(codes, subject.fitted().embed(own_images())), "a second fit depends on the first")


def _labels(subject: Subject) -> None:
    if subject.cls.supervision == "attributes":
        return
    train = tiny_split(n=ROWS)
    with_and_without = [
        subject.make().fit(split, None, Context()).embed(train.x) for split in (train, train.blind())
    ]
    require(same_codes(*with_and_without), "it fits the labels, which only supervision 'attributes' may")


def _group(subject: Subject) -> None:
    if subject.cls.supervision != "none":
        return
    train = tiny_split(n=ROWS).blind()
    first, second = (
        _learned(subject.make(), Split(train.x, y, augmentation=train.augmentation)) for y in (train.y, 1 - train.y)
    )
    require(first == second, "it tells background from target, which supervision 'none' may not")


def _learned(method: Method, train: Split) -> Any:
    """Return what must not depend on the groups: losses, or the codes of a method that has none.

    The harness draws its batches by group, so that other groups give another training.
    """
    if not isinstance(method, LightningMethod) or not method.epochs:
        codes = method.fit(train, None, Context()).embed(train.x)
        return [codes[space].tobytes() for space in SPACES]
    method.fit(Split(train.x, np.arange(len(train)) % 2, augmentation=train.augmentation), None, Context())
    batch = Batch.of(torch.from_numpy(train.x), torch.from_numpy(train.y))
    draws = Draws(torch.Generator().manual_seed(0), torch.Generator().manual_seed(0))
    return [
        {name: raw.item() * weight for name, (raw, weight) in player.loss(batch, draws).items()}
        for player in method.players()
    ]


def _one_group(subject: Subject) -> None:
    for share, missing in ((0.0, "target"), (1.0, "background")):
        train = subject.seen(tiny_split(n=ROWS, share=share))
        try:
            check_codes(subject.make().fit(train, None, Context()).embed(train.x), ROWS)
        except UserError as error:
            named = all(group in str(error) for group in ("background", "target"))
            require(named, f"without {missing} images the error does not name background and target: {error}")
        except Exception as error:
            raise Broken(f"without {missing} images: {type(error).__name__}: {error}") from error


def _saved(subject: Subject) -> None:
    method, fresh = subject.fitted(), subject.make()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        write_model(path, method)
        read_model(path, fresh)
    require(
        same_codes(fresh.embed(own_images()), method.embed(own_images())),
        "a model read from its file has other codes",
    )


def _resumed(subject: Subject) -> None:
    train, epochs = tiny_split(n=ROWS), []

    def interrupt(epoch: int, _: int) -> None:
        epochs.append(epoch)
        raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint"
        with contextlib.suppress(KeyboardInterrupt):
            subject.fit(subject.make(), train, Context(progress=interrupt, checkpoint=Checkpoint(path, "")))
        if epochs:
            again = Context(checkpoint=Checkpoint(path, ""))
            codes = subject.fit(subject.make(), train, again).embed(own_images())
            require(same_codes(codes, subject.fitted().embed(own_images())), "a resumed fit has other codes")


def _decoded(subject: Subject) -> None:
    generates = [hasattr(subject.cls, name) for name in ("decode", "swap")]
    require(all(generates) or not any(generates), "`decode` and `swap` come together")
    if not any(generates):
        return
    for kind in SHAPES:
        method: Any = subject.fitted(kind)
        split = tiny_split(kind, ROWS)
        background, target = split.x[split.y == 0][:5], split.x[split.y == 1][:5]
        swapped = method.swap(background, target)
        require(isinstance(swapped, tuple) and len(swapped) == 2, "`swap` must return two arrays")
        for image in (method.decode(method.embed(background)), *swapped):
            _check_images(image, background.shape)


def _check_images(images: Any, like: tuple[int, ...]) -> None:
    require(isinstance(images, np.ndarray) and images.dtype == np.float32, "images must be float32 arrays")
    shape, sides = images.shape, set(images.shape[2:])
    good = shape[:2] == like[:2] and len(shape) == len(like) and len(sides) == 1
    require(good, f"images must have shape ({like[0]}, {like[1]}, side, ...), not {shape}")
    # A NaN compares false.
    require(images.min() >= 0 and images.max() <= 1, "images must lie in [0, 1]")


def _cuda(subject: Subject) -> None:
    if not torch.cuda.is_available():
        return
    x, fresh = own_images(), subject.make()
    method = subject.fit(subject.make(), tiny_split(n=ROWS), Context(device="cuda"))
    codes = check_codes(method.embed(x), ROWS)
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder) / "model", method)
        read_model(Path(folder) / "model", fresh)
    for space in SPACES:
        require(close(fresh.embed(x)[space], codes[space], CUDA_ROUNDING), f"the CPU gives another {space} code")
    if getattr(method, "replayed", False):
        plain: Any = subject.make()
        plain.replayed = False
        again = subject.fit(plain, tiny_split(n=ROWS), Context(device="cuda")).embed(x)
        for space in SPACES:
            require(close(again[space], codes[space], CUDA_ORDER), f"replayed steps give another {space} code")


RULES: tuple[tuple[str, Callable[[Subject], None]], ...] = (
    ("card", _card),
    ("settings", _settings),
    ("parameters", _parameters_are_declared),
    ("shapes", _shapes),
    ("inputs", _inputs),
    ("deterministic", _deterministic),
    ("alone", _alone),
    ("seed", _seed),
    ("trace", _trace),
    ("silence", _silence),
    ("refit", _refit),
    ("labels", _labels),
    ("group", _group),
    ("one_group", _one_group),
    ("saved", _saved),
    ("resumed", _resumed),
    ("images", _decoded),
    ("parameters", every_parameter_counts),
    ("cuda", _cuda),
)
