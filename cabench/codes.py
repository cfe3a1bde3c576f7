"""The frozen dataclasses that travel: Factor, Augmentation, Split, Splits, Batch, Codes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import torch

Space = Literal["common", "salient"]
Rows = Literal["target", "background", "all"]
SPACES: tuple[Space, ...] = ("common", "salient")


@dataclass(frozen=True)
class Factor:
    """One thing that varies in the images and that a probe can try to read from a code.

    Attributes:
        name: the column in `Split.labels`.
        home: the space that should hold it; in the other space it is leakage.
        rows: the rows on which it is defined and probed.
        classes: the class names of a categorical factor (labels are 0..K-1); None if continuous.
        unit: the unit of a continuous factor (for tables).
        main: the salient factor by which the data set is summarised.
        learnable: False if even a supervised net cannot be expected to read it well.

    """

    name: str
    home: Space
    rows: Rows = "all"
    classes: tuple[str, ...] | None = None
    unit: str = ""
    main: bool = False
    learnable: bool = True

    @property
    def kind(self) -> Literal["categorical", "continuous"]:
        """Whether the factor has classes or a value."""
        return "categorical" if self.classes else "continuous"

    @property
    def metric(self) -> Literal["balanced_accuracy", "r2"]:
        """The headline metric: balanced accuracy for classes, R^2 for values."""
        return "balanced_accuracy" if self.classes else "r2"

    @property
    def chance(self) -> float:
        """The headline metric of a code that says nothing: 1/K, or an R^2 of 0."""
        return 1.0 / len(self.classes) if self.classes else 0.0

    @classmethod
    def stored(cls, fields: Mapping[str, Any]) -> Factor:
        """Return the factor whose fields went through JSON, which has no tuples."""
        classes = fields["classes"]
        return cls(**{**fields, "classes": None if classes is None else tuple(classes)})

    def mask(self, y: np.ndarray) -> np.ndarray:
        """Return the boolean rows (n,) on which the factor is probed."""
        if self.rows == "all":
            return np.ones(len(y), bool)
        return np.asarray(y == (1 if self.rows == "target" else 0))


# y itself is a factor of every data set, probed on all rows.
TARGET = Factor("target", "salient", "all", ("background", "target"))


@dataclass(frozen=True)
class Augmentation:
    """The random views under which an image of this data set stays the same image.

    Declared by the data set, because only it knows which changes keep its factors readable.

    Attributes:
        size: side in pixels of the image that a method sees, in training and in evaluation.
        crop: smallest area share of a random resized crop (1 = no crop).
        shift: largest translation, as a share of the side.
        flip: probability of a horizontal flip.
        rotation: largest rotation in degrees.
        brightness, contrast, saturation, hue: jitter strengths, applied with probability `jitter`.
        grey: probability of dropping the colour.
        noise: largest standard deviation of added Gaussian noise (images are in [0, 1]).
        cutout: side of an erased square or cube as a share of the side (0 = none).

    """

    size: int
    crop: float = 1.0
    shift: float = 0.0
    flip: float = 0.0
    rotation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    jitter: float = 0.8
    grey: float = 0.0
    noise: float = 0.0
    cutout: float = 0.0


@dataclass(frozen=True)
class Split:
    """Images with what is known of them.

    Attributes:
        x: uint8 array of shape (n, channels, height, width) or (n, 1, depth, height, width).
        y: int64 array (n,), 0 = background, 1 = target.
        labels: factor name -> float array (n,); NaN where the factor is missing or undefined.
        groups: int64 array (n,); rows of one group (patient, identity) never stand in two splits.
        factors: what the labels mean.
        augmentation: how a training view may differ from the image.
        dataset: name of the data set.

    """

    x: np.ndarray
    y: np.ndarray
    labels: Mapping[str, np.ndarray] = field(default_factory=lambda: MappingProxyType({}))
    groups: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    factors: tuple[Factor, ...] = ()
    augmentation: Augmentation | None = None
    dataset: str = ""

    def __post_init__(self) -> None:
        """Check shapes and types, so that no later step has to."""
        n = len(self.x)
        if self.x.dtype != np.uint8 or self.x.ndim not in (4, 5):
            raise ValueError(f"x must be uint8 (n, c, h, w) or (n, c, d, h, w), not {self.x.dtype} {self.x.shape}")
        if self.y.shape != (n,) or not np.isin(self.y, (0, 1)).all():
            raise ValueError(f"y must hold 0 or 1 for each of the {n} images")
        for name, column in self.labels.items():
            if column.shape != (n,):
                raise ValueError(f"label '{name}' must have shape ({n},), not {column.shape}")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.x)

    def blind(self) -> Split:
        """Return the split without labels and factors: all that an unsupervised method may see."""
        return replace(self, labels=MappingProxyType({}), factors=())

    def digest(self) -> str:
        """Return a SHA-256 over images and labels, to trace a number to its data."""
        h = hashlib.sha256()
        for part in (self.x, self.y, *(self.labels[name] for name in sorted(self.labels))):
            h.update(np.ascontiguousarray(part).data)
        return h.hexdigest()


@dataclass(frozen=True)
class Splits:
    """A data set, loaded: train for methods and probes, validation for choices, test for the table."""

    train: Split
    validation: Split
    test: Split

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The factors, `target` included."""
        return self.test.factors


@dataclass(frozen=True)
class Batch:
    """What a training step sees.

    Attributes:
        x: uint8 tensor (n, channels, ...), both groups present.
        y: int64 tensor (n,).
        labels: factor name -> float tensor (n,); empty unless `supervision = "attributes"`.
        groups: the row numbers of the background and of the target, int64 tensors.
    """

    x: torch.Tensor
    y: torch.Tensor
    labels: Mapping[str, torch.Tensor]
    groups: tuple[torch.Tensor, torch.Tensor]

    @classmethod
    def of(cls, x: torch.Tensor, y: torch.Tensor, labels: Mapping[str, torch.Tensor] | None = None) -> Batch:
        """Return a batch whose groups are looked up in `y`, for which a program waits if that lies on a GPU."""
        background, target = ((y == group).nonzero()[:, 0] for group in (0, 1))
        return cls(x, y, labels or {}, (background, target))


@dataclass(frozen=True)
class Codes:
    """The two codes of n images: float32 arrays (n, d_common) and (n, d_salient)."""

    common: np.ndarray
    salient: np.ndarray

    def __getitem__(self, space: Space) -> Any:
        """Return the code of one space."""
        return getattr(self, space)
