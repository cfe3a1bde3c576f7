"""The tiny images of the conformance suite."""

from __future__ import annotations

import numpy as np

from cabench.codes import TARGET, Augmentation, Factor, Split

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
