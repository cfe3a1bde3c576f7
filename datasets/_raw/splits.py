"""Splits that keep a patient or identity on one side and every stratum in its share."""

from __future__ import annotations

import numpy as np

from cabench.seeds import numpy_stream

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def group_by_group(groups: np.ndarray, seed: int, name: str) -> np.ndarray:
    """Return the rows (n,) in a seeded order of groups (n,), the rows of each in file order."""
    _, group = np.unique(groups, return_inverse=True)
    place = numpy_stream(seed, name, "groups").permutation(len(groups))
    return np.argsort(place[group], kind="stable")


def grouped_split(groups: np.ndarray, strata: np.ndarray, seed: int, name: str) -> np.ndarray:
    """Return the part of each image (n,), text: train, validation or test, in shares of .8, .1 and .1.

    Args:
        groups: patient or identity of each image (n,).
        strata: class of each image (n,); a group belongs to the rarest class among its images, and the groups of
            each class are shared out apart, so that every part holds every class that has three groups or more.
        seed: the data's seed.
        name: the data set, which has a random stream of its own.

    """
    _, group = np.unique(groups, return_inverse=True)
    classes, stratum, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    rarity = np.argsort(np.argsort(sizes, kind="stable"), kind="stable")[stratum]
    of_group = np.full(group.max() + 1, len(classes))
    np.minimum.at(of_group, group, rarity)
    images = np.bincount(group)
    parts = np.full(len(of_group), "train", dtype="<U10")
    rng = numpy_stream(seed, name, "split")
    for rank in range(len(classes)):
        members = rng.permutation(np.flatnonzero(of_group == rank))
        for part in ("validation", "test"):
            if len(members) < 2:
                break
            share = SHARES[part] * images[of_group == rank].sum()
            taken = int(np.searchsorted(np.cumsum(images[members]), share)) + 1
            taken = min(taken, len(members) - 1)
            parts[members[:taken]] = part
            members = members[taken:]
    return parts[group]
