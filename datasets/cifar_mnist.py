"""CIFAR-10 with MNIST digits over the target images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cabench.codes import Augmentation, Factor
from cabench.dataset import Dataset, Reader, Recipe, Rendered
from cabench.datasets._raw import cifar
from cabench.datasets._raw.idx import MNIST_FILES, mnist_sources, read_mnist
from cabench.datasets._raw.tenth import tenth
from cabench.datasets._synthetic.digits import bank, draw
from cabench.datasets._synthetic.objects import CLASSES, SIDE, render_objects
from cabench.datasets._synthetic.wear import exchanged

if TYPE_CHECKING:
    import pandas as pd

# Digits are 28x28, and no pixel of them is scaled.
INSIDE = slice(2, SIDE - 2)
OFFICIAL_TEST = 1000


class CifarMnist(Dataset):
    """Background: objects at half brightness. Target: the same with a digit added (METHODS 3.1).

    Image i of CIFAR-10 goes with digit i of MNIST, in file order; the first half is background, the second target,
    in train and in test. `variant=official` is the released recipe with its test of 1,000 images, 500 of them with
    a digit (S10 of METHODS 6); `variant=standard` tests on all images. Both hold a seeded tenth of train for
    validation, with every object and digit in its share, since the release has none (D1).
    """

    name = "cifar_mnist"
    title = "Objects, with a handwritten digit over them in the target"
    modality = "natural images, 32x32, colour"
    licence = "CIFAR-10 and MNIST are open; scikit-learn's digits are CC BY 4.0, its photographs CC BY 2.0"
    obtain = (
        "Run `cabench data fetch cifar_mnist`, or put cifar-10-python.tar.gz (or cifar-10-batches-py/) from "
        "cs.toronto.edu/~kriz/cifar.html and the four MNIST files (train-images-idx3-ubyte.gz, ...) into one "
        "folder and name it with --data-root."
    )
    files = (cifar.CIFAR_FILE, *MNIST_FILES)
    factors = (
        Factor("digit", "salient", "target", tuple("0123456789"), main=True),
        Factor("object", "common", "target", CLASSES),
    )
    augmentation = Augmentation(size=24, crop=0.4, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grey=0.2)
    sizes: ClassVar[dict[str, tuple[int, int, int]]] = {
        "smoke": (400, 160, 200),
        "quick": (4000, 1000, 4000),
        "paper": (40000, 5000, 10000),
    }

    def synthetic(self, n: int, seed: int, part: str, wear: np.ndarray | None = None) -> Rendered:
        """Render objects, and scans of digits over the second half of the images."""
        rng = np.random.default_rng(seed)
        kind = rng.integers(0, len(CLASSES), n)
        y = (np.arange(n) >= n // 2).astype(np.int64)
        scans, digits = bank(part)
        chosen = rng.integers(0, len(scans), n)
        ink = draw(
            scans[chosen], SIDE, rng.uniform(0.62, 0.75, n), rng.uniform(-0.2, 0.2, n),
            rng.uniform(-0.1, 0.1, (n, 2)), np.ones(n),
        )  # fmt: skip
        lender = np.arange(n) if wear is None else wear
        y, ink, digit = exchanged(y, wear, 0), ink[lender], digits[chosen][lender]
        x = 0.5 * render_objects(kind, rng) + 0.5 * ink[:, None] * y[:, None, None, None]
        labels = {"object": kind.astype(float), "digit": np.where(y == 1, digit, np.nan)}
        return Rendered(np.rint(255 * x).astype(np.uint8), y, labels)

    def recipe(self, root: Path) -> Recipe:
        """Pair images with digits; an image's group is its number among the images of train and then of test."""
        import pandas as pd

        objects = {name: labels for name, _, labels in cifar.read_batches(root, cifar.NAMES, self.obtain)}
        limits = {"train": None, "test": OFFICIAL_TEST if self.variant == "official" else None}
        pieces, left_out = [], {}
        for part, limit in limits.items():
            digits = read_mnist(root, part, self.obtain)[1]
            images = sum(len(objects[name]) for name in cifar.BATCHES[part])
            piece = _pairs(part, objects, digits)[:limit]
            pieces.append(piece.assign(target=(np.arange(len(piece)) >= len(piece) // 2).astype(np.int64)))
            left_out[f"CIFAR-10 {part} images that the recipe does not use"] = images - len(piece)
            left_out[f"MNIST {part} digits that the recipe does not use"] = len(digits) - len(piece)
        table = pd.concat(pieces, ignore_index=True)
        table["group"] = np.arange(len(table))
        table["digit"] = table["digit"].where(table["target"] == 1)
        train = table[table["part"] == "train"]
        strata = 1000 * train["target"] + 10 * train["object"] + train["digit"].fillna(0)
        held = tenth(strata.to_numpy(), self.data_seed, self.name, "validation")
        table.loc[train.index[held], "part"] = "validation"
        return Recipe(
            table,
            (3, SIDE, SIDE),
            tuple(replace(f, classes=cifar.CLASSES) if f.name == "object" else f for f in self.factors),
            {reason: count for reason, count in left_out.items() if count},
            (*cifar.cifar_sources(root, self.obtain), *mnist_sources(root, self.obtain)),
        )

    def reader(self, root: Path, table: pd.DataFrame) -> Reader:
        """Hold both sets as bytes (240 MB of the real ones) and mix one image at a time."""
        names = set(table["raw_batch"])
        images = {name: pixels for name, pixels, _ in cifar.read_batches(root, names, self.obtain)}
        digits = {part: read_mnist(root, part, self.obtain)[0] for part in cifar.BATCHES}

        def read(row: Any) -> np.ndarray:
            # In 16 bits, because the sum of two bytes wraps in eight.
            total = images[row.raw_batch][row.raw_row].astype(np.uint16)
            if row.target:
                total[:, INSIDE, INSIDE] += digits["test" if row.part == "test" else "train"][row.raw_digit]
            return np.asarray((total + 1) // 2, np.uint8)

        return read


def _pairs(part: str, objects: dict[str, np.ndarray], digits: np.ndarray) -> pd.DataFrame:
    """Return one row per image of train or test that has a digit, in file order."""
    import pandas as pd

    batches = [
        pd.DataFrame({"raw_batch": name, "raw_row": np.arange(len(objects[name])), "object": objects[name]})
        for name in cifar.BATCHES[part]
    ]
    table = pd.concat(batches, ignore_index=True)[: len(digits)].astype({"object": float})
    number = np.arange(len(table))
    names = table["raw_batch"] + "/" + table["raw_row"].astype(str)
    return table.assign(id=names, part=part, raw_digit=number, digit=digits[: len(table)].astype(float))
