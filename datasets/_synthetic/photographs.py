"""Natural textures: crops of the two photographs that scikit-learn carries.

china.jpg by danielbuechele, flower.jpg by vultilion, both CC BY 2.0.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

CROPS = 400  # of each photograph
SMALLEST, LARGEST = 48, 200  # sides of a crop in pixels


@cache
def crops(side: int) -> np.ndarray:
    """Return square crops of both photographs: float32 (2 * CROPS, 3, side, side).

    Each channel has mean 0 and standard deviation 1, less where it hardly varies. Every call gives the same crops.
    """
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    pieces = []
    for photograph in load_sample_images().images:
        height, width = photograph.shape[:2]
        for _ in range(CROPS):
            size = int(rng.integers(SMALLEST, LARGEST))
            top, left = rng.integers(0, height - size), rng.integers(0, width - size)
            crop = Image.fromarray(photograph[top : top + size, left : left + size])
            pieces.append(np.asarray(crop.resize((side, side), Image.Resampling.BOX), np.float32))
    stack = np.stack(pieces).transpose(0, 3, 1, 2)
    stack -= stack.mean((2, 3), keepdims=True)
    return np.asarray(stack / (stack.std((2, 3), keepdims=True) + 1))


def draw_textures(n: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """Return n random crops, mirrored and turned by quarters at random: float32 (n, 3, side, side), mean 0."""
    bank = crops(side)
    chosen: np.ndarray = bank[rng.integers(0, len(bank), n)]
    flip, turns = rng.random(n) < 0.5, rng.integers(0, 4, n)
    chosen[flip] = chosen[flip, :, :, ::-1]
    for quarter in (1, 2, 3):
        rows = turns == quarter
        chosen[rows] = np.rot90(chosen[rows], quarter, (2, 3))
    return chosen
