"""MNIST: its four files, in the idx format."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from cabench.dataset import RawFile
from cabench.datasets._raw.located import damaged, located

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
SIDE = 28
BYTES = 8  # the code of unsigned bytes in an idx header


def _file(name: str, md5: str) -> RawFile:
    urls = tuple(f"{mirror}{name}.gz" for mirror in MIRRORS)
    return RawFile(f"{name}.gz", urls, f"md5:{md5}", (name, f"MNIST/raw/{name}.gz", f"MNIST/raw/{name}"))


# Part -> (images, labels).
MNIST = {
    "train": (
        _file("train-images-idx3-ubyte", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        _file("train-labels-idx1-ubyte", "d53e105ee54ea40749a09fcbcd1e9432"),
    ),
    "test": (
        _file("t10k-images-idx3-ubyte", "9fb629c4189551a2d022fa330f9573f3"),
        _file("t10k-labels-idx1-ubyte", "ec29112dd5afa0611ce80d1b7f02629c"),
    ),
}
MNIST_FILES = (*MNIST["train"], *MNIST["test"])


def read_mnist(root: Path, part: str, obtain: str) -> tuple[np.ndarray, np.ndarray]:
    """Read one part of MNIST, in file order.

    Args:
        root: the data root; the files lie there or in its folder MNIST/raw, compressed or not.
        part: train or test.
        obtain: the sentence that says how to get the files.

    Returns:
        digits in white on black, uint8 (n, 28, 28), and which they are, int64 (n,).

    Raises:
        DataMissing: a file is missing or damaged.

    """
    image_file, label_file = (located(root, file, obtain) for file in MNIST[part])
    images, labels = _read_idx(image_file, 3, obtain), _read_idx(label_file, 1, obtain)
    if images.shape[1:] != (SIDE, SIDE):
        raise damaged(image_file, f"its images are {images.shape[1]}x{images.shape[2]}, not {SIDE}x{SIDE}", obtain)
    if len(images) != len(labels):
        why = f"it labels {len(labels)} images, and {image_file.name} holds {len(images)}"
        raise damaged(label_file, why, obtain)
    wrong = np.flatnonzero(labels > 9)
    if len(wrong):
        raise damaged(label_file, f"row {wrong[0]} says {labels[wrong[0]]}, which is no digit", obtain)
    return images, labels.astype(np.int64)


def mnist_sources(root: Path, obtain: str) -> tuple[str, ...]:
    """Return where the four files lie, relative to the data root."""
    return tuple(located(root, file, obtain).relative_to(root).as_posix() for file in MNIST_FILES)


def _read_idx(path: Path, axes: int, obtain: str) -> np.ndarray:
    """Read two zero bytes, a type, the number of axes, big-endian sizes, and the bytes themselves."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if struct.unpack(">HBB", content[:4]) != (0, BYTES, axes):
            raise ValueError(f"its header is not that of an idx file of bytes with {axes} axes")
        shape = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes])
        return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise damaged(path, error, obtain) from error
