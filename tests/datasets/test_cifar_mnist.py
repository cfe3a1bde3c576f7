"""The synthetic source, and the real one on small files in exactly the owners' formats."""

import gzip
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest

from cabench.datasets._synthetic.digits import bank
from cabench.datasets.cifar_mnist import CifarMnist
from cabench.errors import DataMissing

CIFAR_ROWS, MNIST_ROWS, TEST_ROWS = 20, 90, 30  # five batches of 20; the shorter set decides


def write_cifar(root, rng, packed):
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    files = {}
    for name in names:
        rows = TEST_ROWS if name == "test_batch" else CIFAR_ROWS
        batch = {
            b"batch_label": name.encode(),
            b"labels": rng.integers(0, 10, rows).tolist(),
            b"data": rng.integers(0, 256, (rows, 3072), dtype=np.uint8),
            b"filenames": [b"x.png"] * rows,
        }
        files[name] = (batch, pickle.dumps(batch, protocol=2))
    if packed:
        with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as tar:
            for name, (_, content) in files.items():
                info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    else:
        (root / "cifar-10-batches-py").mkdir()
        for name, (_, content) in files.items():
            (root / "cifar-10-batches-py" / name).write_bytes(content)
    return {name: batch for name, (batch, _) in files.items()}


def write_mnist(root, rng, packed):
    made = {}
    for part, rows in (("train", MNIST_ROWS), ("t10k", TEST_ROWS)):
        images = rng.integers(0, 256, (rows, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, rows).astype(np.uint8)
        for name, array, axes in (("images-idx3", images, 3), ("labels-idx1", labels, 1)):
            content = struct.pack(">HBB", 0, 8, axes) + struct.pack(f">{axes}I", *array.shape) + array.tobytes()
            if packed:
                (root / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(content))
            else:
                (root / f"{part}-{name}-ubyte").write_bytes(content)
        made[part] = (images, labels)
    return made


@pytest.fixture(params=[True, False], ids=["packed", "unpacked"])
def raw(request, tmp_path):
    rng = np.random.default_rng(0)
    return tmp_path, write_cifar(tmp_path, rng, request.param), write_mnist(tmp_path, rng, request.param)


def test_the_real_source_follows_the_recipe(raw):
    root, cifar, mnist = raw
    splits = CifarMnist().load("real", root)
    images = np.concatenate([cifar[f"data_batch_{i}"][b"data"] for i in range(1, 6)]).reshape(-1, 3, 32, 32)
    inks, digits = mnist["train"]
    rows = splits.train.groups
    half = MNIST_ROWS // 2
    assert (splits.train.y == (rows >= half)).all()
    for row, x, digit in zip(rows, splits.train.x, splits.train.labels["digit"], strict=True):
        expected = 0.5 * images[row] / 255.0
        if row >= half:
            expected = expected + 0.5 * np.pad(inks[row], 2) / 255.0
            assert digit == digits[row]
        else:
            assert np.isnan(digit)
        assert np.abs(x / 255.0 - expected).max() <= 0.5 / 255 + 1e-9
    assert len(splits.train) + len(splits.validation) == MNIST_ROWS
    assert len(splits.test) == TEST_ROWS
    assert (splits.test.y == (np.arange(TEST_ROWS) >= TEST_ROWS // 2)).all()


def test_no_image_stands_in_two_splits(raw):
    splits = CifarMnist().load("real", raw[0])
    groups = [set(part.groups.tolist()) for part in (splits.train, splits.validation, splits.test)]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert set(splits.validation.y) == {0, 1}


@pytest.mark.parametrize(
    "name", ["cifar-10-python.tar.gz", "train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
)
@pytest.mark.parametrize("how", ["missing", "truncated"])
def test_a_missing_or_truncated_file_is_named_with_the_way_to_get_it(tmp_path, name, how):
    rng = np.random.default_rng(0)
    write_cifar(tmp_path, rng, True)
    write_mnist(tmp_path, rng, True)
    file = tmp_path / name
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DataMissing) as error:
        CifarMnist().load("real", tmp_path)
    assert name in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert "--data-root" in str(error.value)


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("echo pwned",)


def test_a_pickle_that_calls_something_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    write_cifar(tmp_path, rng, False)
    write_mnist(tmp_path, rng, True)
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").write_bytes(pickle.dumps({b"data": Evil()}))
    with pytest.raises(DataMissing, match=r"data_batch_3 is damaged .*wants to load"):
        CifarMnist().load("real", tmp_path)


def test_parts_share_no_scan_of_a_digit():
    scans = {part: {scan.tobytes() for scan in bank(part)[0]} for part in ("train", "validation", "test")}
    assert not scans["train"] & scans["test"]
    assert not scans["train"] & scans["validation"]
    assert not scans["validation"] & scans["test"]


def test_background_is_dark_and_carries_no_digit():
    split = CifarMnist().load(tier="smoke").train
    assert split.x.dtype == np.uint8 and split.x.shape == (400, 3, 32, 32)
    assert split.x[split.y == 0].max() <= 128
    assert np.isnan(split.labels["digit"][split.y == 0]).all()
    assert not np.isnan(split.labels["digit"][split.y == 1]).any()
    assert split.y.mean() == 0.5


def test_the_digit_adds_light_and_nothing_else():
    """The sum of METHODS 3.1 in 8 bits must not wrap: a target is never darker than its object alone could be."""
    split = CifarMnist().load(tier="smoke").train
    target, background = split.x[split.y == 1], split.x[split.y == 0]
    assert target.max() > 200
    assert target.mean() > background.mean() + 5
