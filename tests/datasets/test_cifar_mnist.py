"""The synthetic source, and the real one on small files in exactly the owners' formats."""

import gzip
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_files.cifar import FOLDER, batch, pack, write_cifar
from raw_files.mnist import idx, write_mnist

from cabench.datasets._raw.cifar import CLASSES
from cabench.datasets._raw.tenth import tenth
from cabench.datasets._synthetic.digits import bank
from cabench.datasets.cifar_mnist import CifarMnist
from cabench.errors import DataMissing

ARCHIVE = "cifar-10-python.tar.gz"
TRAIN, TEST = 90, 30  # MNIST has 90 training digits, CIFAR 100 images: the shorter decides
PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    root = tmp_path_factory.mktemp("raw")
    return root, write_cifar(root), write_mnist(root)


@pytest.fixture
def own(tmp_path):
    write_cifar(tmp_path)
    write_mnist(tmp_path)
    return tmp_path


@pytest.fixture(params=["packed", "unpacked", "torchvision"])
def layout(request, tmp_path):
    packed = request.param == "packed"
    folder = "MNIST/raw" if request.param == "torchvision" else ""
    return tmp_path, write_cifar(tmp_path, packed=packed), write_mnist(tmp_path, packed=packed, folder=folder)


def loaded(root, **options):
    return CifarMnist(**options).load("real", root, tier="smoke")


def test_image_i_goes_with_digit_i_at_half_brightness_in_every_layout(layout):
    root, cifar, mnist = layout
    splits = loaded(root)
    for split in (splits.train, splits.validation, splits.test):
        part, first = ("test", TRAIN) if split is splits.test else ("train", 0)
        for x, y, group, digit, kind in zip(
            split.x, split.y, split.groups, split.labels["digit"], split.labels["object"], strict=True
        ):
            i = group - first
            assert y == (i >= len(mnist[part][0]) // 2)
            expected = cifar[part][0][i] / 2 + (np.pad(mnist[part][0][i], 2) / 2 if y else 0)
            assert np.abs(x - expected).max() <= 0.5
            assert kind == cifar[part][1][i]
            assert digit == mnist[part][1][i] if y else np.isnan(digit)


def test_bright_on_bright_does_not_wrap(own):
    white = np.full((20, 3072), 255, np.uint8)
    pack(own / ARCHIVE, {f"{FOLDER}/{name}": batch(white, [0] * 20) for name in
                         ("test_batch", *(f"data_batch_{i}" for i in range(1, 6)))})  # fmt: skip
    for part, n in (("train", 90), ("t10k", 30)):
        (own / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(np.full((n, 28, 28), 255, np.uint8))))
    train = loaded(own).train
    assert (train.x[train.y == 1][:, :, 2:-2, 2:-2] == 255).all()
    assert (train.x[train.y == 0] == 128).all()


def test_standard_keeps_all_and_holds_a_tenth_of_train(raw):
    splits = loaded(raw[0])
    assert [len(getattr(splits, part)) for part in PARTS] == [81, 9, 30]


def test_the_real_factors_have_the_owners_classes(raw):
    factors = {factor.name: factor for factor in loaded(raw[0]).factors}
    assert factors["object"].classes == CLASSES == (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip
    assert factors["digit"].classes == tuple("0123456789") and factors["digit"].main


def test_official_tests_on_the_first_thousand_images_of_which_half_carry_a_digit(tmp_path):
    write_cifar(tmp_path, rows=4, test_rows=1010)
    write_mnist(tmp_path, rows=20, test_rows=1020)
    recipes = {variant: CifarMnist(variant=variant).recipe(tmp_path) for variant in ("official", "standard")}
    tests = {variant: r.table[r.table["part"] == "test"] for variant, r in recipes.items()}
    official = tests["official"]
    assert official["id"].tolist() == [f"test_batch/{i}" for i in range(1000)]
    assert (official["target"] == (np.arange(1000) >= 500)).all()
    assert recipes["official"].left_out == {
        "CIFAR-10 test images that the recipe does not use": 10,
        "MNIST test digits that the recipe does not use": 20,
    }
    assert len(tests["standard"]) == 1010 and tests["standard"]["target"].sum() == 505
    assert recipes["standard"].left_out == {"MNIST test digits that the recipe does not use": 10}


def test_official_holds_a_seeded_tenth_of_the_official_train_part(raw):
    table = CifarMnist(variant="official").recipe(raw[0]).table
    train = table[table["part"] != "test"]
    assert train["id"].tolist() == [f"data_batch_{1 + i // 20}/{i % 20}" for i in range(TRAIN)]
    assert (train["part"] == "validation").sum() == 9
    again = CifarMnist(variant="official", data_seed=1).recipe(raw[0]).table
    assert (again["part"] != table["part"]).any()
    assert again.drop(columns="part").equals(table.drop(columns="part"))


def test_the_sources_are_what_was_read(layout):
    root = layout[0]
    sources = CifarMnist().recipe(root).sources
    assert all((root / name).is_file() for name in sources)
    assert len(sources) == (5 if (root / ARCHIVE).exists() else 10)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_no_image_stands_on_two_sides(raw, seed):
    table = CifarMnist(data_seed=seed).recipe(raw[0]).table
    assert table["group"].is_unique and table["id"].is_unique
    for part in PARTS:
        assert set(table.loc[table["part"] == part, "target"]) == {0, 1}


@settings(max_examples=50, deadline=None)
@given(strata=st.lists(st.integers(0, 5), min_size=1, max_size=300), seed=st.integers(0, 99))
def test_a_tenth_takes_its_share_of_every_stratum(strata, seed):
    strata = np.array(strata)
    mask = tenth(strata, seed, "a", "b")
    assert abs(mask.sum() - len(strata) / 10) < 1
    for stratum in np.unique(strata):
        assert abs(mask[strata == stratum].sum() - (strata == stratum).sum() / 10) < 1
    assert (mask == tenth(strata, seed, "a", "b")).all()


@pytest.mark.parametrize("variant", ["standard", "official"])
@pytest.mark.parametrize(
    "name", [ARCHIVE, "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
)
@pytest.mark.parametrize("how", ["missing", "truncated", "a web page", "empty"])
def test_a_bad_file_is_named_with_its_folder_and_the_way_to_get_it(own, variant, name, how):
    file = own / name
    content = file.read_bytes()
    file.unlink()
    if how != "missing":
        file.write_bytes(
            {"truncated": content[: len(content) // 2], "a web page": b"<!DOCTYPE html>", "empty": b""}[how]
        )
    with pytest.raises(DataMissing) as error:
        loaded(own, variant=variant)
    assert str(file) in str(error.value)
    assert ("missing" if how == "missing" else "damaged") in str(error.value)
    assert "cabench data fetch cifar_mnist" in str(error.value) and "--data-root" in str(error.value)


def test_a_batch_missing_from_the_unpacked_folder_is_named(tmp_path):
    write_cifar(tmp_path, packed=False)
    write_mnist(tmp_path)
    (tmp_path / FOLDER / "data_batch_2").unlink()
    with pytest.raises(DataMissing, match="data_batch_2 is missing"):
        loaded(tmp_path)


def test_a_batch_missing_from_the_archive_is_named(own):
    pack(own / ARCHIVE, {f"{FOLDER}/data_batch_1": batch(np.zeros((2, 3072), np.uint8), [0, 1])})
    with pytest.raises(DataMissing, match=rf"{ARCHIVE} is damaged \(it lacks .*data_batch_2"):
        loaded(own)


def test_a_path_that_escapes_the_archive_is_written_nowhere(own):
    before = sorted(own.parent.rglob("*"))
    pack(own / ARCHIVE, {"../escaped": b"x", "/tmp/cabench-escaped": b"x", f"{FOLDER}/../../escaped": b"x"})
    with pytest.raises(DataMissing, match="it lacks"):
        CifarMnist().recipe(own)
    assert sorted(own.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("data", "labels", "why"),
    [
        (np.zeros((20, 3071), np.uint8), [0] * 20, "3071"),
        (np.zeros((20, 3072), np.uint8), [0] * 19, "for 19 labels"),
        (np.zeros((20, 3072), np.uint8), [0, 0, 10] + [0] * 17, "row 2 has the label 10"),
    ],
)
def test_a_batch_whose_arrays_do_not_fit_says_which_row(tmp_path, data, labels, why):
    write_cifar(tmp_path, packed=False)
    write_mnist(tmp_path)
    (tmp_path / FOLDER / "data_batch_3").write_bytes(batch(data, labels))
    with pytest.raises(DataMissing, match=rf"data_batch_3 is damaged .*{why}"):
        loaded(tmp_path)


@pytest.mark.parametrize(
    ("name", "array", "why"),
    [
        ("train-labels-idx1-ubyte", np.array([*range(10)] * 8, np.uint8), "labels 80 images, and .* holds 90"),
        ("train-labels-idx1-ubyte", np.array([0] * 5 + [11] + [0] * 84, np.uint8), "row 5 says 11"),
        ("t10k-images-idx3-ubyte", np.zeros((30, 32, 32), np.uint8), "32x32, not 28x28"),
        ("t10k-images-idx3-ubyte", np.zeros(30, np.uint8), "header"),
    ],
)
def test_mnist_files_that_do_not_fit_say_why(own, name, array, why):
    (own / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    with pytest.raises(DataMissing, match=rf"{name}.gz is damaged .*{why}"):
        loaded(own)


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("echo pwned",)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_that_calls_something_is_refused(tmp_path, protocol):
    write_cifar(tmp_path, packed=False)
    write_mnist(tmp_path)
    (tmp_path / FOLDER / "data_batch_3").write_bytes(pickle.dumps({b"data": Evil()}, protocol))
    with pytest.raises(DataMissing, match=r"data_batch_3 is damaged .*wants to load"):
        loaded(tmp_path)


def test_a_batch_pickled_by_the_numpy_of_today_is_read_as_well(tmp_path):
    cifar = write_cifar(tmp_path, packed=False)
    write_mnist(tmp_path)
    before = CifarMnist().recipe(tmp_path).table
    content = {b"labels": cifar["train"][1][:20].tolist(), b"data": cifar["train"][0][:20].reshape(20, -1)}
    (tmp_path / FOLDER / "data_batch_1").write_bytes(pickle.dumps(content, protocol=2))
    assert CifarMnist().recipe(tmp_path).table.equals(before)


def test_parts_share_no_scan_of_a_digit():
    scans = {part: {scan.tobytes() for scan in bank(part)[0]} for part in PARTS}
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
