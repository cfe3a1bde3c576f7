"""A data set of 8x8 images, small enough for every test: brightness is salient, a bar is common."""

from __future__ import annotations

import numpy as np

from cabench.codes import Augmentation, Factor
from cabench.dataset import Dataset, Rendered


class Toy(Dataset):
    """Two bars in common, two brightnesses in the target."""

    name = "toy"
    title = "Bars with a bright corner"
    modality = "toy"
    licence = "none"
    obtain = "There are no real files."
    factors = (
        Factor("bar", "common", "all", ("row", "column")),
        Factor("glow", "salient", "target", ("dim", "bright"), main=True),
    )
    augmentation = Augmentation(size=8)
    sizes = {"smoke": (80, 40, 60), "quick": (80, 40, 60), "paper": (80, 40, 60)}

    def synthetic(self, n: int, seed: int, part: str, wear: np.ndarray | None = None) -> Rendered:
        """Render `n` images."""
        rng = np.random.default_rng(seed)
        y, bar, glow = np.arange(n) % 2, rng.integers(0, 2, n), rng.integers(0, 2, n)
        x = rng.normal(40, 4, (n, 1, 8, 8))
        if wear is not None:
            y, glow = np.where(wear < 0, 0, y[wear]), glow[wear]
        x[bar == 0, :, 4] += 100
        x[bar == 1, :, :, 4] += 100
        x[y == 1, :, :2, :2] += (60 + 100 * glow[y == 1])[:, None, None, None]
        labels = {"bar": bar.astype(float), "glow": np.where(y == 1, glow, np.nan)}
        return Rendered(x.clip(0, 255).astype(np.uint8), y, labels)
