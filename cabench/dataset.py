"""The contract of a data set: a card, factors, and `load`, which gives three splits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from cabench.codes import TARGET, Augmentation, Factor, Split, Splits
from cabench.errors import UserError
from cabench.seeds import stream_seed

Source = Literal["synthetic", "real"]
Tier = Literal["smoke", "quick", "paper"]
SOURCES: tuple[Source, ...] = ("synthetic", "real")
TIERS: tuple[Tier, ...] = ("smoke", "quick", "paper")


@dataclass(frozen=True)
class Rendered:
    """What a renderer returns: see `cabench.codes.Split` for shapes. `labels` holds no `target`."""

    x: np.ndarray
    y: np.ndarray
    labels: dict[str, np.ndarray]


class Dataset(ABC):
    """Subclass it in one file of `datasets/`; the class attributes are the card.

    Attributes:
        name, title, modality, licence, obtain: the card (plain string literals: they are listed
            without importing the file). `obtain` says how to get the real files.
        factors: every factor but `target`, which all data sets have.
        sizes: tier -> (train, validation, test) number of synthetic images.
        augmentation: the views that keep this data set's factors.

    """

    name: ClassVar[str]
    title: ClassVar[str]
    modality: ClassVar[str]
    licence: ClassVar[str]
    obtain: ClassVar[str]
    factors: ClassVar[tuple[Factor, ...]]
    augmentation: ClassVar[Augmentation]
    sizes: ClassVar[dict[str, tuple[int, int, int]]] = {
        "smoke": (400, 160, 200),
        "quick": (4000, 1000, 2000),
        "paper": (40000, 5000, 10000),
    }

    @abstractmethod
    def synthetic(self, n: int, seed: int, part: str) -> Rendered:
        """Render `n` images, half of them target, for `part` in train, validation, test.

        The same arguments give the same bytes; `seed` already differs between the parts.
        """

    def real(self, root: Path, seed: int) -> dict[str, Split]:
        """Read the owner's files below `root` into {"train": ..., "validation": ..., "test": ...}.

        Raises:
            DataMissing: a file is missing or damaged.

        """
        raise UserError(
            f"The real source of '{self.name}' comes with a later release; run it with --source synthetic."
        )

    def load(
        self, source: Source = "synthetic", root: Path | None = None, tier: Tier = "quick", seed: int = 0
    ) -> Splits:
        """Return the three splits; `seed` is the data's own seed, apart from any training seed."""
        if source == "real":
            if root is None:
                raise UserError(f"The real source of '{self.name}' needs --data-root DIR. {self.obtain}")
            return Splits(**self.real(root, seed))
        parts = {}
        first_group = 0
        for part, n in zip(("train", "validation", "test"), self.sizes[tier], strict=True):
            rendered = self.synthetic(n, stream_seed(seed, self.name, part), part)
            parts[part] = self.split(rendered, np.arange(first_group, first_group + n))
            first_group += n
        return Splits(**parts)

    def split(self, rendered: Rendered, groups: np.ndarray) -> Split:
        """Wrap images and labels, `target` added, into a Split of this data set."""
        y = rendered.y.astype(np.int64)
        labels = {name: np.asarray(column, np.float64) for name, column in rendered.labels.items()}
        return Split(
            x=rendered.x,
            y=y,
            labels=labels | {"target": y.astype(np.float64)},
            groups=groups.astype(np.int64),
            factors=(*self.factors, TARGET),
            augmentation=self.augmentation,
            dataset=self.name,
        )
