"""The rules that every method keeps, for the author of a new one: `check_method`; and the tiny images it uses."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import tempfile
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cabench import registry
from cabench.codes import SPACES, TARGET, Augmentation, Batch, Codes, Factor, Split
from cabench.dataset import TIERS
from cabench.errors import UserError
from cabench.execute import check_codes
from cabench.method import Context, Method
from cabench.model_file import read_model, write_model
from cabench.params import declared
from cabench.seeds import stream_seed
from cabench.spec import resolve, signature_defaults
from cabench.train import Draws, LightningMethod
from cabench.world import hushed, seed_generators, undone, world_state

AUGMENTATION = Augmentation(
    16,
    crop=0.5,
    flip=0.5,
    rotation=10,
    brightness=0.2,
    contrast=0.2,
    hue=0.05,
    grey=0.1,
    noise=0.05,
    cutout=0.2,
)
FACTORS = (
    Factor("side", "common", classes=("left", "right")),
    Factor("glow", "common"),
    Factor("mark", "salient", "target", ("dot", "bar", "cross"), main=True),
    Factor("size", "salient", "target"),
    TARGET,
)
# Neither square nor of the size that methods see.
SHAPES = {"colour": (3, 20, 28), "grey": (1, 16, 16), "volume": (1, 18, 20, 16)}
SMALL = {"epochs": 2, "batch_size": 12, "common_dim": 6, "salient_dim": 5, "dim": 6}
ROWS = 24  # images of a fit
FEW = 16  # images of a fit that only has to differ from another
# Other words of these may be too much for tiny images; and no other parameter waits for a large backbone.
LIMITED = ("backbone", "track")
ONE_STEP = {"epochs": 1, "batch_size": 4}
# A word may make no difference by chance: a term that is cut off at 0 and never negative.
SEEDS = (0, 1, 2, 3)
# A batch of another size sums in another order; as a share of the largest number of a code.
ROUNDING = 1e-4
CUDA_ROUNDING = 2e-2  # TF32 keeps three digits per product


def tiny_split(kind: str = "colour", n: int = 48, seed: int = 0, share: float = 0.5) -> Split:
    """Return n images whose target rows are brighter in a corner; a share of the labels is missing.

    Args:
        kind: "colour" (3, 20, 28), "grey" (1, 16, 16) or "volume" (1, 18, 20, 16); all are seen with side 16.
        n: number of images.
        seed: of pixels, groups and labels.
        share: of the target images.
    """
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 200, (n, *SHAPES[kind]), dtype=np.uint8)
    y = (np.arange(n) < round(n * share)).astype(np.int64)
    rng.shuffle(y)
    x[y == 1, ..., :8, :8] += 50
    labels = {
        "side": rng.integers(0, 2, n).astype(float),
        "glow": rng.normal(50, 20, n),
        "mark": np.where(y == 1, rng.integers(0, 3, n), np.nan),
        "size": np.where(y == 1, rng.normal(5, 2, n), np.nan),
        "target": y.astype(float),
    }
    for name in ("side", "glow", "size"):
        labels[name][rng.random(n) < 0.2] = np.nan
    return Split(x, y, labels, np.arange(n), FACTORS, AUGMENTATION, "tiny")


def check_method(cls: type[Method], **params: Any) -> None:
    """Check what `cabench.method` asks of a method, on tiny images, in a few seconds.

    - card: name, title, paper, kind and supervision are plain strings in the class body, read without an import.
    - settings: each tier's table names parameters and values that the constructor takes.
    - parameters: defaults make a method; every parameter is declared with `cabench.params`, is stored under its
      name, and changes the codes: each other word of a choice, and another number, if need be together with other
      words of the other choices. Only `backbone` and `track` may refuse tiny images, by a UserError.
    - shapes: the codes of colour and grey images and volumes, not square, are finite float32 (n, d).
    - inputs: images, groups and labels stay as they were.
    - deterministic: embedding twice gives the same codes.
    - alone: the code of an image depends neither on the images embedded with it nor on their order and number.
    - seed: the same seed gives the same fit, wherever the global generators stand.
    - trace: a fit changes no global state (generators, threads, modes, environment, signals, warnings, files).
    - silence: a fit prints and warns nothing.
    - refit: a second fit forgets the first.
    - labels: without `supervision = "attributes"`, labels change nothing.
    - group: with `supervision = "none"`, the groups change nothing.
    - one_group: without a group it trains, or raises a UserError that names background and target.
    - saved: a fresh instance gives the same codes after `cabench.model_file`.
    - images: what `decode` and `swap` return, where there are any, is float32 of the size seen, in [0, 1].
    - cuda: the same on a GPU; left out without one.

    Args:
        cls: the class of the method.
        params: parameters that differ from its defaults; those named in `SMALL` are small unless given here.

    Raises:
        AssertionError: a rule is broken; it starts with the rule's name.

    """
    subject = _Subject(cls, params)
    for name, rule in RULES:
        with undone():
            torch.set_num_threads(1)  # the networks are too small for more
            try:
                rule(subject)
            except _Broken as broken:
                raise AssertionError(f"{name}: {broken}") from broken.__cause__
            except Exception as error:
                raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error


class _Broken(Exception):
    """Says how a rule was broken."""


def _require(kept: Any, otherwise: str) -> None:
    if not kept:
        raise _Broken(otherwise)


class _Subject:
    """A class under test, with parameters so small that it can be fitted many times."""

    def __init__(self, cls: type[Method], params: Mapping[str, Any]) -> None:
        self.cls: Any = cls
        self.defaults = signature_defaults(cls)
        self.params = {name: value for name, value in SMALL.items() if name in self.defaults} | dict(params)
        self._fitted: dict[str, Method] = {}

    def make(self, **changes: Any) -> Method:
        """Return an unfitted method."""
        made: Method = self.cls(**self.params | changes)
        return made

    def seen(self, split: Split) -> Split:
        """Return what the harness would show of a split."""
        return split if self.cls.supervision == "attributes" else split.blind()

    def fit(self, method: Method, train: Split, seed: int = 0, device: str = "cpu") -> Method:
        """Fit as the harness does; the validation images are of the kind of the others."""
        kind = next(kind for kind, shape in SHAPES.items() if shape == train.x.shape[1:])
        return method.fit(self.seen(train), self.seen(tiny_split(kind, ROWS, seed=1)), Context(seed, device))

    def fitted(self, kind: str = "colour") -> Method:
        """Return the method fitted on tiny images of a kind: only to be looked at."""
        if kind not in self._fitted:
            self._fitted[kind] = self.fit(self.make(), tiny_split(kind, ROWS))
        return self._fitted[kind]

    @cached_property
    def watched(self) -> _Watched:
        """What a second fit with the same seed leaves behind; the first one has imported what there is."""
        self.fitted()
        return _watch(self)


def _images(kind: str = "colour") -> np.ndarray:
    return tiny_split(kind, ROWS).x


def _same(a: Codes, b: Codes) -> bool:
    return all(np.array_equal(a[space], b[space]) for space in SPACES)


def _card(subject: _Subject) -> None:
    cls = subject.cls
    plugin = registry.read("method", Path(inspect.getsourcefile(cls) or ""), cls=cls.__name__)
    _require(plugin, f"{cls.__name__} sets `factors`, as data sets do")
    assert plugin is not None
    _require(plugin.error is None, f"{plugin.error} ({cls.__name__} in {plugin.file})")
    for key in ("name", "title", "paper", "kind", "supervision"):
        _require(key in plugin.card, f"`{key}` must be a plain string in the body of {cls.__name__}")
        _require(plugin.card[key] == getattr(cls, key), f"`{key}` is not what the source says")
        _require(key not in subject.defaults, f"`{key}` has an annotation, which makes it a parameter")
    _require(cls.name and cls.title, "`name` and `title` must say something")
    for key in ("kind", "supervision", "role"):
        words = _words(key)
        _require(
            getattr(cls, key) in words, f"`{key}` must be one of {', '.join(words)}, not '{getattr(cls, key)}'"
        )


def _words(attribute: str) -> tuple[str, ...]:
    (literal,) = typing.get_args(typing.get_type_hints(Method)[attribute])
    return typing.get_args(literal)


def _settings(subject: _Subject) -> None:
    for tier, table in subject.cls.settings.items():
        _require(tier in TIERS, f"there is no tier '{tier}', only {', '.join(TIERS)}")
        for dataset, settings in table.items():
            try:
                subject.cls(**resolve(subject.cls, [settings], subject.cls.name))
            except UserError as error:
                raise _Broken(f"{tier}, {dataset}: {error}") from error


def _parameters_are_declared(subject: _Subject) -> None:
    for name, default in subject.defaults.items():
        _require(default is not inspect.Parameter.empty, f"'{name}' has no default")
        _require(name in declared(subject.cls), f"'{name}' is not declared with cabench.params: nothing checks it")
    for method, given in ((subject.cls(), subject.defaults), (subject.make(), subject.params)):
        for name, value in given.items():
            _require(getattr(method, name) == value, f"'{name}' is not stored as given")


def _shapes(subject: _Subject) -> None:
    for kind in SHAPES:
        codes = subject.fitted(kind).embed(_images(kind))
        check_codes(codes, ROWS)
        for space in SPACES:
            _require(codes[space].dtype == np.float32, f"the {space} code is {codes[space].dtype}, not float32")


def _deterministic(subject: _Subject) -> None:
    method, x = subject.fitted(), _images()
    _require(_same(method.embed(x), method.embed(x)), "embedding twice gives different codes")


def _alone(subject: _Subject) -> None:
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
            _require(_close(codes[space], together[space][rows]), f"an image has another {space} code {what}")


def _close(a: np.ndarray, b: np.ndarray, tolerance: float = ROUNDING) -> bool:
    return a.shape == b.shape and np.allclose(a, b, rtol=0, atol=tolerance * max(1.0, np.abs(b).max()))


def _seed(subject: _Subject) -> None:
    codes = subject.fitted().embed(_images())
    _require(_same(codes, subject.watched.codes), "two fits with the same seed give different codes")


def _trace(subject: _Subject) -> None:
    changed = subject.watched.changed
    _require(not changed, f"a fit changes {' and '.join(changed)}")


def _silence(subject: _Subject) -> None:
    said = " ".join(subject.watched.said)
    _require(not said, f"a fit says '{said[:200]}'")


def _inputs(subject: _Subject) -> None:
    _require(subject.watched.intact, "a fit changes the images, groups or labels")


@dataclass(frozen=True)
class _Watched:
    """What a fit and an embedding gave, changed and said."""

    codes: Codes
    changed: list[str]
    said: list[str]
    intact: bool


def _watch(subject: _Subject) -> _Watched:
    train, x = subject.seen(tiny_split(n=ROWS)), _images()
    digest = train.digest()
    said: list[str] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), hushed(said), undone():
        # Where no other fit of the check starts from.
        seed_generators(stream_seed(0, "elsewhere"))
        before = world_state()
        codes = subject.fit(subject.make(), train).embed(x)
        changed = [what for what, value in world_state().items() if value != before[what]]
        if list(Path(folder).iterdir()):
            changed.append("the working folder")
    intact = train.digest() == digest and np.array_equal(x, _images())
    return _Watched(codes, changed, said, intact)


def _refit(subject: _Subject) -> None:
    method = subject.fit(subject.make(), tiny_split("grey", ROWS), seed=3)
    codes = subject.fit(method, tiny_split(n=ROWS)).embed(_images())
    _require(_same(codes, subject.fitted().embed(_images())), "a second fit depends on the first")


def _labels(subject: _Subject) -> None:
    if subject.cls.supervision == "attributes":
        return
    train = tiny_split(n=ROWS)
    with_and_without = [
        subject.make().fit(split, None, Context()).embed(train.x) for split in (train, train.blind())
    ]
    _require(_same(*with_and_without), "it fits the labels, which only supervision 'attributes' may")


def _group(subject: _Subject) -> None:
    if subject.cls.supervision != "none":
        return
    train = tiny_split(n=ROWS).blind()
    first, second = (
        _learned(subject.make(), Split(train.x, y, augmentation=train.augmentation)) for y in (train.y, 1 - train.y)
    )
    _require(first == second, "it tells background from target, which supervision 'none' may not")


def _learned(method: Method, train: Split) -> Any:
    """Return what must not depend on the groups: losses, or the codes of a method that has none.

    The harness draws its batches by group, so that other groups give another training.
    """
    if not isinstance(method, LightningMethod) or not method.epochs:
        codes = method.fit(train, None, Context()).embed(train.x)
        return [codes[space].tobytes() for space in SPACES]
    method.fit(Split(train.x, np.arange(len(train)) % 2, augmentation=train.augmentation), None, Context())
    batch = Batch(torch.from_numpy(train.x), torch.from_numpy(train.y))
    draws = Draws(torch.Generator().manual_seed(0), torch.Generator().manual_seed(0))
    return [
        {name: raw.item() * weight for name, (raw, weight) in player.loss(batch, draws).items()}
        for player in method.players()
    ]


def _one_group(subject: _Subject) -> None:
    for share, missing in ((0.0, "target"), (1.0, "background")):
        train = subject.seen(tiny_split(n=ROWS, share=share))
        try:
            check_codes(subject.make().fit(train, None, Context()).embed(train.x), ROWS)
        except UserError as error:
            named = all(group in str(error) for group in ("background", "target"))
            _require(named, f"without {missing} images the error does not name background and target: {error}")
        except Exception as error:
            raise _Broken(f"without {missing} images: {type(error).__name__}: {error}") from error


def _saved(subject: _Subject) -> None:
    method, fresh = subject.fitted(), subject.make()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        write_model(path, method)
        read_model(path, fresh)
    _require(_same(fresh.embed(_images()), method.embed(_images())), "a model read from its file has other codes")


def _decoded(subject: _Subject) -> None:
    generates = [hasattr(subject.cls, name) for name in ("decode", "swap")]
    _require(all(generates) or not any(generates), "`decode` and `swap` come together")
    if not any(generates):
        return
    for kind in SHAPES:
        method: Any = subject.fitted(kind)
        split = tiny_split(kind, ROWS)
        background, target = split.x[split.y == 0][:5], split.x[split.y == 1][:5]
        swapped = method.swap(background, target)
        _require(isinstance(swapped, tuple) and len(swapped) == 2, "`swap` must return two arrays")
        for image in (method.decode(method.embed(background)), *swapped):
            _check_images(image, background.shape)


def _check_images(images: Any, like: tuple[int, ...]) -> None:
    _require(isinstance(images, np.ndarray) and images.dtype == np.float32, "images must be float32 arrays")
    shape, sides = images.shape, set(images.shape[2:])
    good = shape[:2] == like[:2] and len(shape) == len(like) and len(sides) == 1
    _require(good, f"images must have shape ({like[0]}, {like[1]}, side, ...), not {shape}")
    # A NaN compares false.
    _require(images.min() >= 0 and images.max() <= 1, "images must lie in [0, 1]")


def _every_parameter_counts(subject: _Subject) -> None:
    fits = _Fits(subject)
    for name in subject.defaults:
        may = declared(subject.cls)[name]
        if "choices" not in may:
            fits.must_differ(name, _other_numbers(may, fits.base[name]))
        for word in may.get("choices", ()):
            if word != fits.base[name]:
                fits.must_differ(name, [word])


def _other_numbers(may: Mapping[str, Any], value: Any) -> list[Any]:
    """Return numbers that the declaration of a parameter allows, other than its value."""
    if "above" in may:
        return [2 * value]
    if isinstance(value, int):
        # A number of components only matters below the number of images.
        numbers = dict.fromkeys([value + 1, value // 2, FEW - 2, may["least"]])
        others: list[Any] = [number for number in numbers if number >= may["least"]]
    else:
        others = [0.0, min(2 * value + 1, may["most"])]
    return [number for number in others if number != value]


class _Fits:
    """Codes of a method with other parameters, each fitted once."""

    def __init__(self, subject: _Subject) -> None:
        self._subject = subject
        self._codes: dict[str, Codes | UserError] = {}
        self.base = {**subject.defaults, **subject.params}
        choices = {
            name: [self.base[name], *(word for word in may["choices"] if word != self.base[name])]
            for name, may in declared(subject.cls).items()
            if "choices" in may and name in self.base and name != "backbone"
        }
        # Few changes first, and a method's own choices, which vary fastest, before those that it inherits.
        names = list(choices)
        every = [dict(zip(names, words, strict=True)) for words in itertools.product(*(choices[n] for n in names))]
        self._attempts = sorted(
            itertools.product(every, SEEDS),
            key=lambda attempt: attempt[1] + sum(word != self.base[name] for name, word in attempt[0].items()),
        )

    def must_differ(self, name: str, others: list[Any]) -> None:
        """Break the rule unless a parameter with one of the other values changes the codes somewhere."""
        refusals = set()
        for words, seed in self._attempts:
            if words.get(name, self.base[name]) != self.base[name]:
                continue
            for other in others:
                codes, changed = (
                    self._fit(words | {name: value}, seed, name in LIMITED) for value in (self.base[name], other)
                )
                if isinstance(changed, UserError):
                    refusals.add(str(changed))
                elif isinstance(codes, Codes) and not _same(codes, changed):
                    return
        if not (refusals and name in LIMITED):
            tried = " or ".join(map(repr, others))
            raise _Broken(f"'{name}' = {tried} changes nothing. {' '.join(sorted(refusals))}".strip())

    def _fit(self, changes: dict[str, Any], seed: int, one_step: bool) -> Codes | UserError:
        if one_step:
            changes = changes | {name: value for name, value in ONE_STEP.items() if name in self.base}
        changes = {name: value for name, value in changes.items() if value != self.base[name]}
        key = f"{seed} {sorted(changes.items())}"
        if key not in self._codes:
            train = self._subject.seen(tiny_split(n=ONE_STEP["batch_size"] if one_step else FEW))
            try:
                self._codes[key] = self._subject.make(**changes).fit(train, None, Context(seed)).embed(train.x)
            except UserError as error:
                self._codes[key] = error
            except Exception as error:
                raise _Broken(f"with {changes}: {type(error).__name__}: {error}") from error
        return self._codes[key]


def _cuda(subject: _Subject) -> None:
    if not torch.cuda.is_available():
        return
    x, fresh = _images(), subject.make()
    method = subject.fit(subject.make(), tiny_split(n=ROWS), device="cuda")
    codes = check_codes(method.embed(x), ROWS)
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder) / "model", method)
        read_model(Path(folder) / "model", fresh)
    for space in SPACES:
        _require(_close(fresh.embed(x)[space], codes[space], CUDA_ROUNDING), f"the CPU gives another {space} code")


RULES: tuple[tuple[str, Callable[[_Subject], None]], ...] = (
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
    ("images", _decoded),
    ("parameters", _every_parameter_counts),
    ("cuda", _cuda),
)
