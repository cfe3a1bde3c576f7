"""A class under test: small parameters, fits that are kept, and what a fit leaves behind."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cabench.codes import SPACES, Codes, Split
from cabench.method import Context, Method
from cabench.seeds import stream_seed
from cabench.spec import signature_defaults
from cabench.testing.images import SHAPES, tiny_split
from cabench.testing.world import hushed, seed_generators, undone, world_state

SMALL = {"epochs": 2, "batch_size": 12, "common_dim": 6, "salient_dim": 5, "dim": 6}

ROWS = 24  # images of a fit

# A batch of another size sums in another order; as a share of the largest number of a code.
ROUNDING = 1e-4


class Broken(Exception):
    """Says how a rule was broken."""


def require(kept: Any, otherwise: str) -> None:
    """Raise Broken, with what is `otherwise` the case, unless something was kept to."""
    if not kept:
        raise Broken(otherwise)


class Subject:
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

    def fit(self, method: Method, train: Split, context: Context = Context()) -> Method:
        """Fit as the harness does; the validation images are of the kind of the others."""
        kind = next(kind for kind, shape in SHAPES.items() if shape == train.x.shape[1:])
        return method.fit(self.seen(train), self.seen(tiny_split(kind, ROWS, seed=1)), context)

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


@dataclass(frozen=True)
class _Watched:
    """What a fit and an embedding gave, changed and said."""

    codes: Codes
    changed: list[str]
    said: list[str]
    intact: bool


def _watch(subject: Subject) -> _Watched:
    train, x = subject.seen(tiny_split(n=ROWS)), own_images()
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
    intact = train.digest() == digest and np.array_equal(x, own_images())
    return _Watched(codes, changed, said, intact)


def own_images(kind: str = "colour") -> np.ndarray:
    """Return the images of a kind that the subject was fitted on."""
    return tiny_split(kind, ROWS).x


def same_codes(a: Codes, b: Codes) -> bool:
    """Whether both codes agree in every bit."""
    return all(np.array_equal(a[space], b[space]) for space in SPACES)


def close(a: np.ndarray, b: np.ndarray, tolerance: float = ROUNDING) -> bool:
    """Whether two codes agree to a share of their largest number."""
    return a.shape == b.shape and np.allclose(a, b, rtol=0, atol=tolerance * max(1.0, np.abs(b).max()))
