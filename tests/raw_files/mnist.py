"""MNIST as its owners distribute it: idx files, compressed or not."""

import gzip
import struct

import numpy as np

NAMES = {"train": "train", "test": "t10k"}


def idx(array):
    """An array of bytes in the idx format."""
    axes = array.ndim
    return struct.pack(f">HBB{axes}I", 0, 8, axes, *array.shape) + array.tobytes()


def write_mnist(root, rows=90, test_rows=30, packed=True, folder=""):
    """Write the four files, the digits of each in turn; returns part -> (images, labels)."""
    rng = np.random.default_rng(1)
    made = {}
    (root / folder).mkdir(parents=True, exist_ok=True)
    for part, n in (("train", rows), ("test", test_rows)):
        images, labels = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), (np.arange(n) % 10).astype(np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            path = root / folder / f"{NAMES[part]}-{name}-ubyte"
            if packed:
                path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(idx(array), compresslevel=1))
            else:
                path.write_bytes(idx(array))
        made[part] = images, labels
    return made
