"""Nearest neighbours: which images a code takes for alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cabench.codes import SPACES, Codes
from cabench.report.figures._parts import standardised
from cabench.report.swaps import Group
from cabench.report.swaps import figure as grid

HEADING = "images and, of all others, those with the nearest common and salient codes (Euclidean, standardised)"


def neighbours(title: str, images: np.ndarray, codes: Codes, queries: Sequence[int], count: int = 4) -> Figure:
    """Draw a row per query: the image, its nearest neighbours by the common and by the salient code, nearest first.

    Args:
        title: whose codes they are.
        images: uint8 (n, channels, height, width) or (n, 1, depth, height, width); of a volume the middle slice
            is shown.
        codes: of these images.
        queries: which images, by row.
        count: neighbours per code; fewer if there are fewer images.

    Raises:
        ValueError: images and codes differ in number, or there is no query.
    """
    if not len(images) == len(codes.common) == len(codes.salient):
        raise ValueError(
            f"{len(images)} images have {len(codes.common)} common and {len(codes.salient)} salient codes"
        )
    if not len(queries):
        raise ValueError("at least one query is needed")
    groups: list[Group] = [{"query": images[list(queries)] / 255}]
    for space in SPACES:
        rows = nearest(codes[space], queries, count)
        groups.append({f"{space}\nneighbour {i + 1}": images[found] / 255 for i, found in enumerate(rows.T)})
    return grid([group for group in groups if group], f"{title}: {HEADING}")


def nearest(code: np.ndarray, queries: Sequence[int], count: int) -> np.ndarray:
    """Return the rows (queries, count) that lie nearest to each query in a code (n, d), itself left out.

    >>> nearest(np.array([[0.0], [1.0], [1.5], [9.0]]), [0, 2], 2)
    array([[1, 2],
           [1, 0]])
    """
    units = standardised(code)
    distances = np.stack([np.square(units - units[query]).sum(axis=1) for query in queries])
    distances[np.arange(len(queries)), list(queries)] = np.inf
    return np.argsort(distances, axis=1, kind="stable")[:, : min(count, len(code) - 1)]
