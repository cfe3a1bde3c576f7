"""dSprites over a grid of four handwritten digits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cabench.codes import Augmentation, Factor
from cabench.dataset import Dataset, Reader, Recipe, Rendered
from cabench.datasets._raw.dsprites import DSPRITES_FILE, LATENTS, read_latents, read_sprites
from cabench.datasets._raw.idx import MNIST, MNIST_FILES, mnist_sources, read_mnist
from cabench.datasets._raw.located import located
from cabench.datasets._raw.tenth import tenth
from cabench.datasets._synthetic.digits import bank, draw
from cabench.datasets._synthetic.sprites import SHAPES, SIDE, render_sprites
from cabench.datasets._synthetic.wear import exchanged
from cabench.errors import DataMissing
from cabench.seeds import numpy_stream

if TYPE_CHECKING:
    import pandas as pd

QUADRANTS = ("top_left", "bottom_left", "top_right", "bottom_right")  # of the digits 1, 2, 3, 4
CELL = SIDE // 2
CHUNK = 500
# Within 34 degrees no square looks like a square turned the other way.
LARGEST_TURN = 0.6
# The grid is darker than the sprite, or white on white would hide its outline.
GRID_INTENSITY = 0.6
# Of the real source: the released numbers of sprites, and the turn above which a square looks like another square.
TEST, TRAIN_PER_TEST = 5000, 10
TURN = np.pi / 4
MARGIN = slice(2, CELL - 2)  # MNIST's 28 pixels within a quadrant
SPRITE_FACTORS = ("shape", "scale", "orientation", "x", "y")  # in the order of LATENTS[1:]
Cell = tuple[np.ndarray, int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # what `digits.draw` takes


class DspritesGrid(Dataset):
    """Background: a grid of the digits 1 to 4. Target: the same with a white sprite (METHODS 3.3).

    Of the sprites turned by less than 45 degrees, in shuffled order, 50,000 go to train and 5,000 to test; in each
    the first half are background images, whose sprite is not drawn. Their digits are drawn with replacement, from
    MNIST's train for train and validation and from its test for test. A tenth of train is held for validation (D1).
    `variant=official` shuffles with seed 0, as the release means to; its call of the wrong shuffle, its unseeded
    digits, of which the last was never drawn (S13), and its attributes of sprites that were not drawn (S15) are
    mended in both variants. `variant=standard` shuffles by the data seed and draws validation's digits from a tenth
    of MNIST's train from which train does not draw.
    """

    name = "dsprites_grid"
    title = "A grid of four digits, with a sprite over it in the target"
    modality = "rendered images, 64x64, grey"
    licence = "dSprites is Apache-2.0, MNIST open; scikit-learn's digits are CC BY 4.0"
    obtain = (
        "Run `cabench data fetch dsprites_grid`, or put dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz from "
        "github.com/google-deepmind/dsprites-dataset and the four MNIST files (train-images-idx3-ubyte.gz, ...) "
        "into one folder and name it with --data-root."
    )
    files = (DSPRITES_FILE, *MNIST_FILES)
    factors = (
        Factor("shape", "salient", "target", SHAPES),
        Factor("scale", "salient", "target"),
        Factor("orientation", "salient", "target", unit="rad"),
        Factor("x", "salient", "target", main=True),
        Factor("y", "salient", "target", main=True),
        *(Factor(f"stroke_{q}", "common") for q in QUADRANTS),
        *(Factor(f"slant_{q}", "common") for q in QUADRANTS),
    )
    # No jitter: a change of brightness or contrast is a change of stroke, which is a factor here.
    augmentation = Augmentation(size=32, crop=0.92, shift=1 / 32, noise=0.05)
    sizes: ClassVar[dict[str, tuple[int, int, int]]] = {
        "smoke": (400, 160, 200),
        "quick": (4000, 1000, 4000),
        "paper": (40000, 5000, 10000),
    }

    def synthetic(self, n: int, seed: int, part: str, wear: np.ndarray | None = None) -> Rendered:
        """Render chunk by chunk: large temporaries cost more than the drawing."""
        rng = np.random.default_rng(seed)
        starts = range(0, n, CHUNK)
        # All is drawn before anything is rendered, since an image may wear the sprite of a later chunk.
        drawn = [_draw(min(CHUNK, n - i), part, rng) for i in starts]
        y = exchanged((np.arange(n) >= n // 2).astype(np.int64), wear, 0)
        lender = np.arange(n) if wear is None else wear
        sprites = {name: np.concatenate([d[1][name] for d in drawn])[lender] for name in drawn[0][1]}
        pieces = [
            _chunk(grid, {name: values[i : i + CHUNK] for name, values in sprites.items()}, y[i : i + CHUNK])
            for i, (grid, _) in zip(starts, drawn, strict=True)
        ]
        labels = {name: np.concatenate([p[1][name] for p in pieces]) for name in pieces[0][1]}
        return Rendered(np.concatenate([p[0] for p in pieces]), y, labels)

    def recipe(self, root: Path) -> Recipe:
        """Deal out sprites and digits; an image's number and group is the row of the sprite that stands for it.

        The numbers of its four digits, in MNIST's train or test, are kept as the columns mnist_top_left, ...
        """
        import pandas as pd

        latents = read_latents(root, self.obtain)
        official = self.variant == "official"
        shuffler = np.random.RandomState(0) if official else numpy_stream(self.data_seed, self.name, "sprites")
        order = shuffler.permutation(len(latents))
        kept = order[np.abs(_wrapped(latents[order, LATENTS.index("orientation")])) < TURN]
        n_test = min(TEST, len(kept) // (TRAIN_PER_TEST + 1))
        n_train = TRAIN_PER_TEST * n_test
        rows = kept[: n_train + n_test]
        table = pd.DataFrame({"id": [f"image-{row}" for row in rows], "group": rows})
        table["part"] = np.repeat(["train", "test"], (n_train, n_test)).astype(object)
        table["target"] = np.concatenate([np.arange(n) >= n // 2 for n in (n_train, n_test)]).astype(np.int64)
        strata = 10 * table["target"].to_numpy() + latents[rows, LATENTS.index("shape")]
        held = tenth(strata[:n_train], self.data_seed, self.name, "validation")
        table.loc[np.flatnonzero(held), "part"] = "validation"
        table["raw_sprite"] = np.where(table["target"] == 1, rows, -1)
        for name, values in _sprite_factors(latents[rows]).items():
            table[name] = np.where(table["target"] == 1, values, np.nan)
        table = table.assign(**self._grid(root, table["part"].to_numpy()))
        return Recipe(
            table,
            (1, SIDE, SIDE),
            self.factors,
            {
                "sprites turned by 45 degrees or more": len(latents) - len(kept),
                "sprites that the recipe does not use": len(kept) - len(rows),
            },
            (DSPRITES_FILE.path, *mnist_sources(root, self.obtain)),
        )

    def reader(self, root: Path, table: pd.DataFrame) -> Reader:
        """Hold the sprites that are drawn as bits (14 MB of the real ones) and MNIST as bytes."""
        sprites = read_sprites(root, table.loc[table["target"] == 1, "raw_sprite"].to_numpy(), self.obtain)
        digits = {part: read_mnist(root, part, self.obtain)[0] for part in ("train", "test")}

        def read(row: Any) -> np.ndarray:
            image = np.zeros((1, SIDE, SIDE), np.uint8)
            for index, quadrant in enumerate(QUADRANTS):
                top, left = CELL * (index % 2), CELL * (index // 2)
                cell = image[0, top : top + CELL, left : left + CELL]
                cell[MARGIN, MARGIN] = digits[_mnist_part(row.part)][getattr(row, f"mnist_{quadrant}")]
            if row.target:
                image[0, np.unpackbits(sprites[row.raw_sprite]).reshape(SIDE, SIDE) == 1] = 255
            return image

        return read

    def _grid(self, root: Path, parts: np.ndarray) -> dict[str, np.ndarray]:
        """Draw the digits of each image and measure them: column -> values (n,)."""
        mnist = {part: read_mnist(root, part, self.obtain) for part in ("train", "test")}
        pools = {part: np.ones(len(labels), bool) for part, (_, labels) in mnist.items()}
        pools["validation"] = pools["train"]
        if self.variant == "standard":
            pools["validation"] = tenth(mnist["train"][1], self.data_seed, self.name, "digits")
            pools["train"] = ~pools["validation"]
        columns: dict[str, np.ndarray] = {}
        for part, pool in pools.items():
            here = np.flatnonzero(parts == part)
            rng = numpy_stream(self.data_seed, self.name, "grid", part)
            images, labels = mnist[_mnist_part(part)]
            for index, quadrant in enumerate(QUADRANTS):
                numbers = np.flatnonzero(pool & (labels == index + 1))
                if not len(numbers):
                    where = located(root, MNIST[_mnist_part(part)][1], self.obtain)
                    raise DataMissing(f"{where} has no digit {index + 1} for the {part} images. {self.obtain}")
                for what, values in _measured(rng.choice(numbers, len(here)), images).items():
                    columns.setdefault(f"{what}_{quadrant}", np.zeros(len(parts), values.dtype))[here] = values
        return columns


def _mnist_part(part: str) -> str:
    return "test" if part == "test" else "train"


def _wrapped(orientation: np.ndarray) -> np.ndarray:
    return np.where(orientation > np.pi, orientation - 2 * np.pi, orientation)


def _sprite_factors(latents: np.ndarray) -> dict[str, np.ndarray]:
    values = dict(zip(SPRITE_FACTORS, latents.T[1:], strict=True))
    return values | {"shape": values["shape"] - 1, "orientation": _wrapped(values["orientation"])}


def _measured(numbers: np.ndarray, digits: np.ndarray) -> dict[str, np.ndarray]:
    """Measure digits (m, 28, 28) called for by number (n,) as they are measured on a rendered quadrant."""
    drawn, image = np.unique(numbers, return_inverse=True)
    stroke, slant = np.zeros(len(drawn)), np.zeros(len(drawn))
    for start in range(0, len(drawn), CHUNK):
        some = slice(start, start + CHUNK)
        cell = np.zeros((len(drawn[some]), CELL, CELL), np.float32)
        cell[:, MARGIN, MARGIN] = digits[drawn[some]] / np.float32(255)
        stroke[some], slant[some] = cell.mean((1, 2)), _slant(cell)
    return {"mnist": numbers, "stroke": stroke[image], "slant": slant[image]}


def _draw(n: int, part: str, rng: np.random.Generator) -> tuple[list[Cell], dict[str, np.ndarray]]:
    """Draw what `digits.draw` needs for each quadrant, and the attributes of a sprite per image."""
    scans, digits = bank(part)
    grid = [
        (
            scans[rng.choice(np.flatnonzero(digits == index + 1), n)], CELL, rng.uniform(0.72, 0.8, n),
            rng.uniform(-0.5, 0.5, n), rng.uniform(-0.05, 0.05, (n, 2)), rng.uniform(0.5, 2.0, n),
        )
        for index in range(len(QUADRANTS))
    ]  # fmt: skip
    return grid, {
        "shape": rng.integers(0, len(SHAPES), n).astype(float),
        "scale": rng.uniform(0.65, 1, n),
        "orientation": rng.uniform(-LARGEST_TURN, LARGEST_TURN, n),
        "x": rng.uniform(0, 1, n),
        "y": rng.uniform(0, 1, n),
    }


def _chunk(
    grid: list[Cell], sprite: dict[str, np.ndarray], y: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    image = np.zeros((len(y), SIDE, SIDE), np.float32)
    labels: dict[str, np.ndarray] = {}
    for index, quadrant in enumerate(QUADRANTS):
        cell = draw(*grid[index])
        top, left = CELL * (index % 2), CELL * (index // 2)
        image[:, top : top + CELL, left : left + CELL] = GRID_INTENSITY * cell
        labels[f"stroke_{quadrant}"] = cell.mean((1, 2)).astype(float)
        labels[f"slant_{quadrant}"] = _slant(cell)
    image += render_sprites(**sprite) * y[:, None, None]
    # A background image shows no sprite, so it has no attributes of one (S15 of METHODS 6).
    labels |= {name: np.where(y == 1, values, np.nan) for name, values in sprite.items()}
    return np.rint(255 * image.clip(0, 1)).astype(np.uint8)[:, None], labels


def _slant(cell: np.ndarray) -> np.ndarray:
    """Return mu11 / mu02 of the ink of each cell (n, h, w): the shear that would straighten it."""
    axis = np.arange(cell.shape[1], dtype=float)
    mass = cell.sum((1, 2))
    x, y = ((cell * axis[None, :]).sum((1, 2)) / mass, (cell * axis[:, None]).sum((1, 2)) / mass)
    dx, dy = axis[None, None, :] - x[:, None, None], axis[None, :, None] - y[:, None, None]
    return np.asarray((cell * dx * dy).sum((1, 2)) / (cell * dy * dy).sum((1, 2)))
