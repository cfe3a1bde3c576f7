"""Faithfulness of swapped images to the true counterfactual, where a renderer knows it (METHODS 8.6)."""

from __future__ import annotations

import numpy as np

from cabench.metrics.evidence import Evidence, Rows

# Of grey levels in [0, 1]: where background and truth differ by more, there is salient content.
THRESHOLD = 4 / 255


def swap_error(drawn: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean squared error of swapped images (n, channels, ...) in [0, 1]; 0 is best.

    >>> swap_error(np.zeros((1, 1, 2, 2)), np.ones((1, 1, 2, 2)))
    1.0
    """
    return float(np.square(drawn - truth).mean())


def salient_transfer(drawn: np.ndarray, background: np.ndarray, truth: np.ndarray) -> float:
    """Return 1 - error of the swapped / error of the unchanged background, where there is salient content.

    Args:
        drawn: background images with the salient code of a target (n, channels, ...), in [0, 1].
        background: the same images as they were.
        truth: the same images with the target's salient content.

    Returns:
        1: the truth; 0: no better than to change nothing; there is no least value.

    Raises:
        ValueError: truth and background are the same everywhere.
    """
    mask = salient_mask(background, truth)
    if not mask.any():
        raise ValueError("a swap that changes nothing cannot be judged")
    error, unchanged = (np.square(images - truth) * mask for images in (drawn, background))
    return float(1 - error.sum() / unchanged.sum())


def common_change(drawn: np.ndarray, rebuilt: np.ndarray, background: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean absolute change by the swap where there is no salient content; 0 is best.

    Args:
        drawn: as for `salient_transfer`.
        rebuilt: the background images as the method rebuilds them, so that its blur does not count as a change.
        background: as for `salient_transfer`.
        truth: as for `salient_transfer`.

    Raises:
        ValueError: there is salient content everywhere.
    """
    outside = np.broadcast_to(~salient_mask(background, truth), drawn.shape)
    if not outside.any():
        raise ValueError("a swap that may change everything cannot be judged")
    return float(np.abs(drawn - rebuilt)[outside].mean())


def salient_mask(background: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return bool (n, 1, ...): where the two differ in any channel by more than 4 grey levels of 255."""
    return np.asarray((np.abs(truth - background) > THRESHOLD).any(1, keepdims=True))


def measure(evidence: Evidence) -> Rows:
    """Yield the three, if the method draws images and the truth is known."""
    swaps = evidence.swaps() if evidence.swaps else None
    if swaps is None:
        return
    n = len(swaps.drawn)
    yield evidence.row("swap_mse", swap_error(swaps.drawn, swaps.truth), n=n)
    transfer = salient_transfer(swaps.drawn, swaps.background, swaps.truth)
    yield evidence.row("salient_transfer", transfer, n=n, chance=0.0)
    yield evidence.row(
        "common_change", common_change(swaps.drawn, swaps.rebuilt, swaps.background, swaps.truth), n=n
    )
