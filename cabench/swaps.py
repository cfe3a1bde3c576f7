"""Pairs of test images whose salient codes are swapped, with the true composite where a renderer knows it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cabench.codes import Codes
from cabench.dataset import BASED_ON
from cabench.difficulty import counterfactuals
from cabench.metrics.evidence import Swaps
from cabench.seeds import numpy_stream
from cabench.spec import RunSpec

MEASURED = 200  # pairs behind the metrics


@dataclass(frozen=True)
class Pairs:
    """Test images to swap between.

    Attributes:
        background: uint8 (n, channels, ...).
        target: uint8 (n, channels, ...), one partner each.
        truth: uint8 (n, channels, ...), the background images with their partners' salient content; None where
            nobody knows it.
    """

    background: np.ndarray
    target: np.ndarray
    truth: np.ndarray | None


def draw_pairs(dataset: Any, spec: RunSpec, n: int, root: Path | None = None) -> Pairs:
    """Draw `n` pairs from the test split of a run's Dataset, the same for every method and training seed.

    Raises:
        UserError: raw files are missing or damaged.
    """
    rng = numpy_stream(0, "swaps")
    if knows_truth(dataset, spec):
        images = dataset.sizes[BASED_ON.get(spec.tier, spec.tier)][2]
        known = counterfactuals(dataset, images, dataset.part_seed("test"), "test", rng)
        rows = _some(np.arange(len(known.rows)), n, rng)
        return Pairs(known.background[rows], known.donors[rows], known.composites.x[rows])
    test = dataset.load(source=spec.source, root=root, tier=spec.tier).test
    background, target = (_some(np.flatnonzero(test.y == group), n, rng) for group in (0, 1))
    n = min(len(background), len(target))
    return Pairs(test.x[background[:n]], test.x[target[:n]], None)


def knows_truth(dataset: Any, spec: RunSpec) -> bool:
    """Return whether counterfactuals can be rendered; a data set of somebody else's may not."""
    return spec.source == "synthetic" and "wear" in inspect.signature(dataset.synthetic).parameters


def swap_images(method: Any, dataset: Any, spec: RunSpec) -> Swaps | None:
    """Return swapped test images beside the truth; None if the method draws none or nobody knows it."""
    if not hasattr(method, "swap") or not knows_truth(dataset, spec):
        return None
    pairs = draw_pairs(dataset, spec, MEASURED)
    codes = method.embed(pairs.background)
    null = method.null_code(len(codes.common)).cpu().numpy()
    drawn, _ = method.swap(pairs.background, pairs.target)
    rebuilt = method.decode(Codes(codes.common, null))
    return Swaps(drawn, seen_images(method, pairs.background), seen_images(method, pairs.truth), rebuilt)


def seen_images(method: Any, x: Any) -> np.ndarray:
    """Return uint8 images (n, channels, ...) as a method sees them: its side, in [0, 1]."""
    import torch

    from cabench.augment.views import whole

    return np.asarray(whole(torch.from_numpy(x), method.canvas_.size))


def _some(rows: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return at most `n` of the rows."""
    return rng.permutation(rows)[:n]
