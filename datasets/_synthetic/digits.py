"""Handwritten digits: scikit-learn's bundled scans, split so that no scan stands in two parts."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

# Shares of the 1,797 scans that go to each part, as bounds on a fixed permutation.
BOUNDS = {"train": (0.0, 0.6), "validation": (0.6, 0.75), "test": (0.75, 1.0)}


@cache
def bank(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the scans of one part: float32 (m, 8, 8) in [0, 1] and their digits (m,)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    low, high = (round(bound * len(order)) for bound in BOUNDS[part])
    rows = order[low:high]
    return (digits.images[rows] / 16).astype(np.float32), digits.target[rows]


def draw(
    scans: np.ndarray, side: int, height: np.ndarray, shear: np.ndarray, shift: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Write scans onto black squares.

    Args:
        scans: (n, 8, 8) in [0, 1].
        side: side of the squares in pixels.
        height: height of each digit as a share of the side (n,).
        shear: horizontal shear of each digit (n,).
        shift: offset of the centre, as shares of half the side (n, 2), x then y.
        weight: exponent on the ink (n,): below 1 thickens the stroke.

    Returns:
        float32 (n, side, side) in [0, 1].
    """
    n = len(scans)
    theta = np.zeros((n, 2, 3), np.float32)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / height
    theta[:, 0, 1] = shear / height
    theta[:, 0, 2] = -(shift[:, 0] + shear * shift[:, 1]) / height
    theta[:, 1, 2] = -shift[:, 1] / height
    grid = F.affine_grid(torch.from_numpy(theta), [n, 1, side, side], align_corners=False)
    # Bicubic at eight times the scans' size hides their pixels; sampling that is smooth again.
    fine = F.interpolate(torch.from_numpy(scans)[:, None], size=(32, 32), mode="bicubic").clamp(0, 1)
    fine = (1.6 * fine - 0.3).clamp(0, 1)
    drawn = F.grid_sample(fine, grid, mode="bilinear", padding_mode="zeros", align_corners=False)[:, 0].numpy()
    return np.asarray(drawn ** weight[:, None, None], np.float32)
