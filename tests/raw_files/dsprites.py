"""dSprites as its owners distribute it: a full-factorial npz with a pickled description."""

import itertools

import numpy as np

NAME = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"


def latents(scales=1, orientations=40, positions=2):
    """Classes (n, 6) and values (n, 6) of the latents: colour, shape, scale, orientation, posX, posY."""
    sizes = (1, 3, scales, orientations, positions, positions)
    classes = np.array(list(itertools.product(*map(range, sizes))))
    steps = (
        np.ones(1), np.array([1.0, 2, 3]), np.linspace(0.5, 1, scales), np.linspace(0, 2 * np.pi, orientations),
        np.linspace(0, 1, positions), np.linspace(0, 1, positions),
    )  # fmt: skip
    return classes, np.stack([step[classes[:, i]] for i, step in enumerate(steps)], axis=1)


def write_dsprites(root, description=None, **sizes):
    """Write a small grid whose sprites are random dots; returns (imgs, latents_values)."""
    classes, values = latents(**sizes)
    imgs = np.random.default_rng(3).integers(0, 2, (len(values), 64, 64), dtype=np.uint8)
    # The description is a pickled dict.
    metadata = np.array(description or {"title": "dSprites dataset"}, dtype=object)
    np.savez_compressed(root / NAME, metadata=metadata, imgs=imgs, latents_classes=classes, latents_values=values)
    return imgs, values
