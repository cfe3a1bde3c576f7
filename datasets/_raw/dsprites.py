"""dSprites: one zip of arrays, whose images are too many to be held at once."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from cabench.dataset import RawFile
from cabench.datasets._raw.located import damaged, located

SIDE = 64
SHAPES = ("square", "ellipse", "heart")  # 1, 2 and 3 in the file
LATENTS = ("color", "shape", "scale", "orientation", "pos_x", "pos_y")
_NAME = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
DSPRITES_FILE = RawFile(
    _NAME,
    (
        f"https://github.com/google-deepmind/dsprites-dataset/raw/master/{_NAME}",
        f"https://raw.githubusercontent.com/google-deepmind/dsprites-dataset/master/{_NAME}",
    ),
    "md5:7da33b31b13a06f4b04a70402ce90c2e",
)
BLOCK = 1024  # images that are unpacked at once


def read_latents(root: Path, obtain: str) -> np.ndarray:
    """Return the values of LATENTS of every sprite, float64 (n, 6), in file order.

    Args:
        root: the data root.
        obtain: the sentence that says how to get the file.

    Raises:
        DataMissing: the file is missing or damaged.

    """
    with _member(root, "latents_values", obtain) as (file, (shape, dtype)):
        if len(shape) != 2 or shape[1] != len(LATENTS) or dtype.kind != "f":
            raise ValueError(f"latents_values is {dtype} {shape}, not one row of {len(LATENTS)} numbers per sprite")
        latents = np.frombuffer(_exactly(file, shape[0] * shape[1] * dtype.itemsize), dtype).reshape(shape)
        wrong = np.flatnonzero(~np.isfinite(latents).all(1) | ~np.isin(latents[:, 1], (1, 2, 3)))
        if len(wrong):
            raise ValueError(f"row {wrong[0]} of latents_values is {latents[wrong[0]].tolist()}")
    return np.asarray(latents, np.float64)


def read_sprites(root: Path, rows: np.ndarray, obtain: str) -> dict[int, np.ndarray]:
    """Stream the images and keep those called for, an eighth of their size.

    Args:
        root: the data root.
        rows: numbers of the sprites in file order (m,).
        obtain: the sentence that says how to get the file.

    Returns:
        row -> the sprite's bits, packed, uint8 (512,): `np.unpackbits` gives its 64x64 pixels, 0 or 1.

    Raises:
        DataMissing: the file is missing or damaged, or holds fewer images.

    """
    rows = np.unique(rows)
    sprites: dict[int, np.ndarray] = {}
    with _member(root, "imgs", obtain) as (file, (shape, dtype)):
        if shape[1:] != (SIDE, SIDE) or dtype != np.uint8:
            raise ValueError(f"imgs is {dtype} {shape}, not {SIDE}x{SIDE} bytes per sprite")
        if len(rows) and rows[-1] >= shape[0]:
            raise ValueError(f"it has {shape[0]} images and more rows of latents")
        for start in range(0, shape[0], BLOCK):
            n = min(BLOCK, shape[0] - start)
            block = np.frombuffer(_exactly(file, n * SIDE * SIDE), np.uint8).reshape(n, SIDE * SIDE)
            here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + n)]
            sprites |= zip(here.tolist(), np.packbits(block[here - start], axis=1), strict=True)
    return sprites


@contextmanager
def _member(root: Path, name: str, obtain: str) -> Iterator[tuple[IO[bytes], tuple[tuple[int, ...], np.dtype]]]:
    """Open one array of the zip after its header, which says its shape and type; never a pickled one."""
    path = located(root, DSPRITES_FILE, obtain)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read_header is None:
                raise ValueError(f"{name}.npy is of format {version}")
            shape, by_columns, dtype = read_header(file)
            if by_columns or dtype.hasobject:
                raise ValueError(f"{name} is not an array of plain numbers")
            yield file, (shape, dtype)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, ValueError, RuntimeError) as error:
        raise damaged(path, error, obtain) from error


def _exactly(file: IO[bytes], size: int) -> bytes:
    content = file.read(size)
    if len(content) != size:
        raise EOFError("it ends too early")
    return content
