"""dSprites over a grid of four handwritten digits."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from cabench.codes import Augmentation, Factor
from cabench.dataset import Dataset, Rendered
from cabench.datasets._synthetic.digits import bank, draw
from cabench.datasets._synthetic.sprites import SHAPES, SIDE, render_sprites

QUADRANTS = ("top_left", "bottom_left", "top_right", "bottom_right")  # of the digits 1, 2, 3, 4
CELL = SIDE // 2
CHUNK = 500
# Within 34 degrees no square looks like a square turned the other way.
LARGEST_TURN = 0.6
# The grid is darker than the sprite, or white on white would hide its outline.
GRID_INTENSITY = 0.6


class DspritesGrid(Dataset):
    """Background: a grid of the digits 1 to 4. Target: the same with a white sprite (METHODS 3.3)."""

    name = "dsprites_grid"
    title = "A grid of four digits, with a sprite over it in the target"
    modality = "rendered images, 64x64, grey"
    licence = "dSprites is Apache-2.0, MNIST open; scikit-learn's digits are CC BY 4.0"
    obtain = (
        "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz from github.com/google-deepmind/dsprites-dataset, "
        "and the four MNIST files."
    )
    factors = (
        Factor("shape", "salient", "target", SHAPES),
        Factor("scale", "salient", "target"),
        Factor("orientation", "salient", "target", unit="rad"),
        Factor("x", "salient", "target", main=True),
        Factor("y", "salient", "target", main=True),
        *(Factor(f"stroke_{q}", "common") for q in QUADRANTS),
        *(Factor(f"slant_{q}", "common") for q in QUADRANTS),
    )
    augmentation = Augmentation(size=32, shift=1 / 32, brightness=0.2, contrast=0.2, noise=0.05)
    sizes: ClassVar[dict[str, tuple[int, int, int]]] = {
        "smoke": (400, 160, 200),
        "quick": (4000, 1000, 4000),
        "paper": (40000, 5000, 10000),
    }

    def synthetic(self, n: int, seed: int, part: str) -> Rendered:
        """Render chunk by chunk: large temporaries cost more than the drawing."""
        rng = np.random.default_rng(seed)
        y = (np.arange(n) >= n // 2).astype(np.int64)
        pieces = [_chunk(y[i : i + CHUNK], part, rng) for i in range(0, n, CHUNK)]
        labels = {name: np.concatenate([p[1][name] for p in pieces]) for name in pieces[0][1]}
        return Rendered(np.concatenate([p[0] for p in pieces]), y, labels)


def _chunk(y: np.ndarray, part: str, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    n = len(y)
    scans, digits = bank(part)
    image = np.zeros((n, SIDE, SIDE), np.float32)
    labels: dict[str, np.ndarray] = {}
    for index, quadrant in enumerate(QUADRANTS):
        ones = np.flatnonzero(digits == index + 1)
        cell = draw(
            scans[rng.choice(ones, n)], CELL, rng.uniform(0.72, 0.8, n), rng.uniform(-0.5, 0.5, n),
            rng.uniform(-0.05, 0.05, (n, 2)), rng.uniform(0.5, 2.0, n),
        )  # fmt: skip
        top, left = CELL * (index % 2), CELL * (index // 2)
        image[:, top : top + CELL, left : left + CELL] = GRID_INTENSITY * cell
        labels[f"stroke_{quadrant}"] = cell.mean((1, 2)).astype(float)
        labels[f"slant_{quadrant}"] = _slant(cell)
    sprite = {
        "shape": rng.integers(0, len(SHAPES), n).astype(float),
        "scale": rng.uniform(0.65, 1, n),
        "orientation": rng.uniform(-LARGEST_TURN, LARGEST_TURN, n),
        "x": rng.uniform(0, 1, n),
        "y": rng.uniform(0, 1, n),
    }
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
