"""CIFAR-10 with MNIST digits over the target images."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from cabench.codes import Augmentation, Factor, Split
from cabench.dataset import Dataset, Rendered
from cabench.datasets._synthetic.digits import bank, draw
from cabench.datasets._synthetic.objects import CLASSES, SIDE, render_objects
from cabench.errors import DataMissing
from cabench.seeds import numpy_stream

FOLDER, ARCHIVE = "cifar-10-batches-py", "cifar-10-python.tar.gz"
BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
MNIST = {"train": "train", "test": "t10k"}
PIXELS = 3 * SIDE * SIDE
VALIDATION_SHARE = 0.1


class CifarMnist(Dataset):
    """Background: objects at half brightness. Target: the same with a digit added (METHODS 3.1)."""

    name = "cifar_mnist"
    title = "Objects, with a handwritten digit over them in the target"
    modality = "natural images, 32x32, colour"
    licence = "CIFAR-10 and MNIST are open; scikit-learn's digits are CC BY 4.0"
    obtain = (
        "Put cifar-10-python.tar.gz (or cifar-10-batches-py/) from cs.toronto.edu/~kriz/cifar.html and the four "
        "MNIST files (train-images-idx3-ubyte.gz, ...) into one folder and name it with --data-root."
    )
    factors = (
        Factor("digit", "salient", "target", tuple("0123456789"), main=True),
        Factor("object", "common", "target", CLASSES),
    )
    augmentation = Augmentation(size=24, crop=0.4, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grey=0.2)
    sizes: ClassVar[dict[str, tuple[int, int, int]]] = {
        "smoke": (400, 160, 200),
        "quick": (4000, 1000, 4000),
        "paper": (40000, 5000, 10000),
    }

    def synthetic(self, n: int, seed: int, part: str) -> Rendered:
        """Render objects, and scans of digits over the second half of the images."""
        rng = np.random.default_rng(seed)
        kind = rng.integers(0, len(CLASSES), n)
        y = (np.arange(n) >= n // 2).astype(np.int64)
        scans, digits = bank(part)
        chosen = rng.integers(0, len(scans), n)
        ink = draw(
            scans[chosen], SIDE, rng.uniform(0.62, 0.75, n), rng.uniform(-0.2, 0.2, n),
            rng.uniform(-0.1, 0.1, (n, 2)), np.ones(n),
        )  # fmt: skip
        x = 0.5 * render_objects(kind, rng) + 0.5 * ink[:, None] * y[:, None, None, None]
        labels = {"object": kind.astype(float), "digit": np.where(y == 1, digits[chosen], np.nan)}
        return Rendered(np.rint(255 * x).astype(np.uint8), y, labels)

    def real(self, root: Path, seed: int) -> dict[str, Split]:
        """Read the owners' files; all test images are used, and a tenth of train is the validation split."""
        train, test = (self._compose(root, part) for part in ("train", "test"))
        rng = numpy_stream(seed, self.name, "validation")
        held = np.zeros(len(train.y), bool)
        for group in (0, 1):
            rows = np.flatnonzero(train.y == group)
            held[rng.permutation(rows)[: max(1, round(VALIDATION_SHARE * len(rows)))]] = True
        numbers = np.arange(len(train.y))
        return {
            "train": self.split(_rows(train, ~held), numbers[~held]),
            "validation": self.split(_rows(train, held), numbers[held]),
            "test": self.split(test, np.arange(len(train.y), len(train.y) + len(test.y))),
        }

    def _compose(self, root: Path, part: str) -> Rendered:
        """The first half in file order is background, the second half target; image i goes with digit i."""
        images, objects = _cifar(root, part)
        inks, digits = _mnist(root, part)
        n = min(len(images), len(inks))
        y = (np.arange(n) >= n // 2).astype(np.int64)
        # In 16 bits, because the sum of two bytes wraps in eight.
        ink = np.pad(inks[:n], ((0, 0), (2, 2), (2, 2))).astype(np.uint16) * y[:, None, None].astype(np.uint16)
        x = ((images[:n].astype(np.uint16) + ink[:, None] + 1) // 2).astype(np.uint8)
        labels = {"object": objects[:n].astype(float), "digit": np.where(y == 1, digits[:n], np.nan)}
        return Rendered(x, y, labels)


def _rows(part: Rendered, keep: np.ndarray) -> Rendered:
    return Rendered(part.x[keep], part.y[keep], {name: column[keep] for name, column in part.labels.items()})


def _missing(what: str, root: Path, why: str = "is missing") -> DataMissing:
    return DataMissing(f"{what} {why} (looked in {root}). {CifarMnist.obtain}")


def _cifar(root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = [], []
    for name in BATCHES[part]:
        content = _cifar_file(root, name)
        try:
            batch = _Restricted(io.BytesIO(content), encoding="bytes").load()
            images.append(np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, SIDE, SIDE))
            labels.append(np.asarray(batch[b"labels"], np.int64))
        except (pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise _missing(f"{FOLDER}/{name}", root, f"is damaged ({error})") from error
    return np.concatenate(images), np.concatenate(labels)


def _cifar_file(root: Path, name: str) -> bytes:
    path = root / FOLDER / name
    if path.is_file():
        return path.read_bytes()
    archive = root / ARCHIVE
    if not archive.is_file():
        raise _missing(f"{FOLDER}/{name} or {ARCHIVE}", root)
    try:
        with tarfile.open(archive) as tar:
            member = tar.extractfile(f"{FOLDER}/{name}")
            if member is None:
                raise KeyError(name)
            return member.read()
    except (tarfile.TarError, KeyError, EOFError, OSError, zlib.error) as error:
        raise _missing(ARCHIVE, root, f"is damaged or lacks {name} ({error})") from error


class _Restricted(pickle.Unpickler):
    """The owners distribute pickles; this reads arrays, lists and text out of them and can call nothing else."""

    ALLOWED = frozenset({("_reconstruct", "multiarray"), ("ndarray", "numpy"), ("dtype", "numpy")})

    def find_class(self, module: str, name: str) -> Any:
        if (name, module.rpartition(".")[2]) in self.ALLOWED and module.split(".")[0] == "numpy":
            return np._core.multiarray._reconstruct if name == "_reconstruct" else getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return lambda text, coding: text.encode(coding)
        raise pickle.UnpicklingError(f"it wants to load {module}.{name}")


def _mnist(root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    images = _idx(root, f"{MNIST[part]}-images-idx3-ubyte", 3)
    labels = _idx(root, f"{MNIST[part]}-labels-idx1-ubyte", 1)
    return images, labels.astype(np.int64)


def _idx(root: Path, name: str, axes: int) -> np.ndarray:
    """Read an idx file, compressed or not: two zero bytes, type 8, the number of axes, big-endian sizes, bytes."""
    folders = (root, root / "MNIST" / "raw")
    found = [folder / file for folder in folders for file in (name, f"{name}.gz") if (folder / file).is_file()]
    if not found:
        raise _missing(f"{name}.gz", root)
    try:
        content = gzip.decompress(found[0].read_bytes()) if found[0].suffix == ".gz" else found[0].read_bytes()
        kind, dims = struct.unpack(">HBB", content[:4])[1:]
        shape = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes])
        if (kind, dims) != (8, axes):
            raise ValueError("its header is not that of an idx file of bytes")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise _missing(found[0].name, found[0].parent, f"is damaged ({error})") from error
