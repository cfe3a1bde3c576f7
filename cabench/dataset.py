"""The contract of a data set: a card, factors, a renderer, and a recipe for the owners' files."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from cabench.codes import TARGET, Augmentation, Factor, Split, Splits
from cabench.difficulty import Difficulty, render
from cabench.errors import UserError, did_you_mean
from cabench.seeds import stream_seed

if TYPE_CHECKING:
    import pandas as pd

Source = Literal["synthetic", "real"]
Tier = Literal["smoke", "quick", "converged", "paper"]
SOURCES: tuple[Source, ...] = ("synthetic", "real")
TIERS: tuple[Tier, ...] = ("smoke", "quick", "converged", "paper")
# A tier without images or settings of its own takes those of another.
BASED_ON: dict[str, Tier] = {"converged": "quick"}
PARTS = ("train", "validation", "test")
VARIANTS = ("standard", "official")


@dataclass(frozen=True)
class Rendered:
    """What a renderer returns: see `cabench.codes.Split` for shapes. `labels` holds no `target`."""

    x: np.ndarray
    y: np.ndarray
    labels: dict[str, np.ndarray]


@dataclass(frozen=True)
class RawFile:
    """A file or folder that the owners distribute.

    Attributes:
        path: where it lies below the data root; a folder's path ends in "/".
        urls: mirrors, tried in order; none for a gated file, which nobody may fetch for the user.
        checksum: "sha256:..." or the owner's "md5:..."; empty if the owner publishes none.
        alternatives: other paths, or patterns of them, that serve as well (the unpacked folder of an archive, say).

    """

    path: str
    urls: tuple[str, ...] = ()
    checksum: str = ""
    alternatives: tuple[str, ...] = ()

    def locate(self, root: Path) -> Path | None:
        """Return where the file, or the first alternative to it, lies below the data root; None if nowhere."""
        found = (here for path in (self.path, *self.alternatives) for here in sorted(root.glob(path)))
        return next(found, None)


class Unreadable(ValueError):
    """One image cannot be read; it is left out, listed and counted. Says why, without the file's name."""


@dataclass(frozen=True)
class Recipe:
    """What the label files say, before any pixel is read.

    Attributes:
        table: one row per image that the recipe keeps, in a deterministic order, with the columns
            `id` (text, unique), `part` (train, validation or test), `target` (0 or 1), `group` (an integer per
            patient or identity), one float column per factor (NaN = missing), and columns of the recipe's
            own whose names start with "raw_", which tell the reader where the pixels are.
        shape: (channels, height, width) or (1, depth, height, width) of every image.
        factors: what the factor columns mean in the real files; without `target`.
        left_out: reason -> number of rows or images that the recipe drops.
        sources: the label files and archives that were read, relative to the data root; they are hashed.
        shares_groups: true if the published split puts one patient or identity on two sides.

    """

    table: pd.DataFrame
    shape: tuple[int, ...]
    factors: tuple[Factor, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    shares_groups: bool = False


# Reads one row of a recipe's table, a named tuple as `table.itertuples()` gives it, into uint8 pixels of
# the recipe's shape. Called from several threads at once.
Reader = Callable[[Any], np.ndarray]


class Dataset(ABC):
    """Subclass it in one file of `datasets/`; the class attributes are the card.

    Attributes:
        name, title, modality, licence, obtain: the card (plain string literals: they are listed
            without importing the file). `obtain` says in one sentence how to get the real files.
        steps: the numbered steps to gated files; empty if every file can be fetched.
        files: what the real source reads.
        factors: every factor but `target`, which all data sets have.
        sizes: tier -> (train, validation, test) number of synthetic images; of real ones at most so many
            are used in the smoke and quick tiers, and all in the paper tier.
        augmentation: the views that keep this data set's factors.
        recipe_version: raised when a change of the recipe makes prepared files stale.

    Args:
        variant: of the real source: "standard" (grouped by patient or identity, stratified, seeded) or
            "official" (the released recipe with its own split).
        data_seed: what is rendered, or how the real images are split; apart from every training seed.
        salient_strength, noise, nuisance, confounding, confounder, confounding_with, contamination, target_share,
            train_share: knobs of the synthetic source, see `cabench.difficulty.Difficulty`; the defaults change
            no byte.

    Raises:
        UserError: a value is out of its range, or names a variant or factor that there is not.

    """

    name: ClassVar[str]
    title: ClassVar[str]
    modality: ClassVar[str]
    licence: ClassVar[str]
    obtain: ClassVar[str]
    steps: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[tuple[RawFile, ...]] = ()
    factors: ClassVar[tuple[Factor, ...]]
    augmentation: ClassVar[Augmentation]
    recipe_version: ClassVar[int] = 1
    sizes: ClassVar[dict[str, tuple[int, int, int]]] = {
        "smoke": (400, 160, 200),
        "quick": (4000, 1000, 2000),
        "paper": (40000, 5000, 10000),
    }

    # Here for the data sets of others whose constructor takes none of this.
    variant: str = "standard"
    data_seed: int = 0
    difficulty: Difficulty = Difficulty()

    def __init__(
        self,
        *,
        variant: str = "standard",
        data_seed: int = 0,
        salient_strength: float = 1.0,
        noise: float = 0.0,
        nuisance: float = 0.0,
        confounding: float = 0.0,
        confounder: str = "",
        confounding_with: str = "target",
        contamination: float = 0.0,
        target_share: float = 0.5,
        train_share: float = 1.0,
    ) -> None:
        if variant not in VARIANTS:
            raise UserError(f"'{self.name}' has no variant '{variant}'.{did_you_mean(variant, VARIANTS)}")
        self.variant = variant
        self.data_seed = data_seed
        self.difficulty = Difficulty(
            salient_strength=salient_strength,
            noise=noise,
            nuisance=nuisance,
            confounding=confounding,
            confounder=confounder,
            confounding_with=confounding_with,
            contamination=contamination,
            target_share=target_share,
            train_share=train_share,
        )
        self.difficulty.check(self.name, self.factors)

    @abstractmethod
    def synthetic(self, n: int, seed: int, part: str, wear: np.ndarray | None = None) -> Rendered:
        """Render `n` images, half of them target; the same arguments give the same bytes.

        Args:
            n: number of images.
            seed: already differs between the parts.
            part: train, validation or test.
            wear: counterfactuals: image i is drawn with the salient content of image `wear[i]` (n,), with none
                where that is -1, and is otherwise the same image; None leaves each its own.

        """

    def recipe(self, root: Path) -> Recipe:
        """Read the owners' label files below `root` and say which images go where, by `self.variant`.

        Raises:
            DataMissing: a file is missing or damaged; says which, and for a table in which row.

        """
        raise UserError(f"'{self.name}' has no real source; run it with --source synthetic.")

    def reader(self, root: Path, table: pd.DataFrame) -> Reader:
        """Return what reads the pixels of one row of the recipe's table.

        The reader raises Unreadable if one image is damaged; a damaged archive is DataMissing.
        """
        raise NotImplementedError

    def load(
        self,
        source: Source = "synthetic",
        root: Path | None = None,
        tier: Tier = "quick",
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> Splits:
        """Return the three splits: rendered, or prepared from the owners' files below `root`.

        `progress` is called with (images prepared, images in all) where the files were not prepared yet.

        Raises:
            UserError: raw files are missing or damaged, or `variant` or a knob makes no sense for the source.

        """
        tier = BASED_ON.get(tier, tier)
        if source == "real" and self.difficulty.changed:
            knobs = self.difficulty.changed
            raise UserError(
                f"'{self.name}' takes {knobs} on its synthetic source only; leave that or --source real out."
            )
        if source == "real":
            from cabench.prepare import prepare
            from cabench.prepared import load_prepared

            return load_prepared(self, prepare(self, data_root(root), progress=progress), tier)
        if self.variant != "standard":
            raise UserError(
                f"variant={self.variant} of '{self.name}' is a recipe for its real files; add --source real."
            )
        sizes = self.sizes[tier]
        # Side by side: renderers spend their time in numpy and torch, which let another thread go on.
        with ThreadPoolExecutor(2) as pool:
            seeds = map(self.part_seed, PARTS)
            rendered = list(pool.map(render, repeat(self), sizes, seeds, PARTS))
        starts = np.cumsum((0, *sizes[:-1]))
        splits = (
            self.split(images, np.arange(start, start + len(images.x)))
            for images, start in zip(rendered, starts, strict=True)
        )
        return Splits(*splits)

    def part_seed(self, part: str) -> int:
        """Return the seed with which `load` renders a part."""
        return stream_seed(self.data_seed, self.name, part)

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


def data_root(named: Path | None = None) -> Path:
    """Return the folder of raw and prepared files: the one named, $CABENCH_DATA, or the user's data folder."""
    if named is not None:
        return named
    from platformdirs import user_data_path

    return Path(os.environ.get("CABENCH_DATA") or user_data_path("cabench"))
