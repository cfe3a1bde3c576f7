"""The synthetic source, and the real one on a small npz in exactly the owners' format."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_files.dsprites import NAME, latents, write_dsprites
from raw_files.mnist import write_mnist

from cabench.datasets._raw.dsprites import read_latents, read_sprites
from cabench.datasets._synthetic.sprites import LARGEST, SIDE, render_sprites
from cabench.datasets.dsprites_grid import QUADRANTS, DspritesGrid, _slant
from cabench.errors import DataMissing

SALIENT = ("shape", "scale", "orientation", "x", "y")
PARTS = ("train", "validation", "test")
VARIANTS = pytest.mark.parametrize("variant", ["standard", "official"])
SPRITES, KEPT = 480, 120  # 3 shapes, 40 orientations, 2 by 2 places; 10 orientations are kept
TRAIN, TEST = 100, 10  # of 120, ten elevenths and an eleventh
PLACES = {"top_left": (0, 0), "bottom_left": (32, 0), "top_right": (0, 32), "bottom_right": (32, 32)}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    root = tmp_path_factory.mktemp("raw")
    return root, *write_dsprites(root), write_mnist(root, rows=300, test_rows=60)


@pytest.fixture
def own(tmp_path):
    write_dsprites(tmp_path)
    write_mnist(tmp_path, rows=300, test_rows=60)
    return tmp_path


def rewrite(root, **arrays):
    """Replace arrays of the npz; None leaves one out."""
    with np.load(root / NAME) as old:
        content = {name: old[name] for name in ("imgs", "latents_classes", "latents_values")} | arrays
    np.savez_compressed(root / NAME, **{name: array for name, array in content.items() if array is not None})


@VARIANTS
def test_an_image_is_its_four_digits_and_a_target_has_its_sprite_in_white(raw, variant):
    root, imgs, _, mnist = raw
    dataset = DspritesGrid(variant=variant)
    table = dataset.recipe(root).table
    read = dataset.reader(root, table)
    for row in table.itertuples(index=False):
        image = np.zeros((64, 64), np.uint8)
        images, labels = mnist["test" if row.part == "test" else "train"]
        for digit, (quadrant, (top, left)) in enumerate(PLACES.items(), start=1):
            number = getattr(row, f"mnist_{quadrant}")
            assert labels[number] == digit
            image[top : top + 32, left : left + 32] = np.pad(images[number], 2)
        if row.target:
            image = np.clip(image.astype(int) + 255 * imgs[row.group], 0, 255)
        assert (read(row)[0] == image).all()


@VARIANTS
def test_the_numbers_of_the_digits_and_all_pixels_reach_the_prepared_files(raw, variant):
    import pandas as pd

    splits = DspritesGrid(variant=variant).load("real", raw[0], tier="smoke")
    assert [len(getattr(splits, part)) for part in PARTS] == [TRAIN - TRAIN // 10, TRAIN // 10, TEST]
    assert splits.train.x.shape[1:] == (1, 64, 64)
    prepared = pd.read_parquet(raw[0] / "prepared" / "dsprites_grid" / f"{variant}-0" / "labels.parquet")
    assert {f"mnist_{quadrant}" for quadrant in QUADRANTS} <= set(prepared.columns)


@VARIANTS
def test_a_target_has_the_attributes_of_its_sprite_and_a_background_none(raw, variant):
    table = DspritesGrid(variant=variant).recipe(raw[0]).table
    assert table.loc[table["target"] == 0, list(SALIENT)].isna().all(axis=None)
    assert (table.loc[table["target"] == 0, "raw_sprite"] == -1).all()
    target = table[table["target"] == 1]
    values = raw[2][target["group"]]
    assert (target["shape"] == values[:, 1] - 1).all() and set(target["shape"]) <= {0, 1, 2}
    for name, column in (("scale", 2), ("x", 4), ("y", 5)):
        assert (target[name] == values[:, column]).all()
    assert np.allclose(np.exp(1j * target["orientation"]), np.exp(1j * values[:, 3]))
    assert (target["orientation"].abs() < np.pi / 4).all()


def test_ten_of_forty_orientations_are_kept(raw):
    left_out = DspritesGrid().recipe(raw[0]).left_out
    assert left_out["sprites turned by 45 degrees or more"] == SPRITES - KEPT
    assert left_out["sprites that the recipe does not use"] == KEPT - TRAIN - TEST
    # All 737,280 differ from this grid in the number of scales and places only: 184,320 are kept.
    assert 6 * 32 * 32 * KEPT // 4 == 184320


@pytest.mark.slow
def test_of_the_full_grid_the_recipe_keeps_184320_and_takes_50000_and_5000(tmp_path, monkeypatch):
    """Needs 300 MB: the latents are the owners' in full, the images are never read."""
    values = latents(scales=6, orientations=40, positions=32)[1]
    np.savez(tmp_path / NAME, latents_values=values)
    write_mnist(tmp_path, rows=300, test_rows=60)
    for variant in ("standard", "official"):
        recipe = DspritesGrid(variant=variant).recipe(tmp_path)
        assert recipe.left_out["sprites turned by 45 degrees or more"] == 737280 - 184320
        assert recipe.table["part"].value_counts().to_dict() == {"train": 45000, "validation": 5000, "test": 5000}
        assert (recipe.table.groupby("part")["target"].mean() == 0.5).all()


def test_official_takes_the_sprites_in_the_order_of_a_joint_shuffle_with_seed_0(raw):
    from sklearn.utils import shuffle

    root, _, values, _ = raw
    numbers, turns = shuffle(np.arange(SPRITES), values[:, 3], random_state=0)
    turns = np.where(turns > np.pi, turns - 2 * np.pi, turns)
    expected = numbers[np.abs(turns) < np.pi / 4][: TRAIN + TEST]
    for seed in (0, 1):
        table = DspritesGrid(variant="official", data_seed=seed).recipe(root).table
        assert (table["group"] == expected).all()
        assert (table["target"] == [*[0] * 50, *[1] * 50, *[0] * 5, *[1] * 5]).all()
        assert (table["part"][:TRAIN] != "test").all() and (table["part"][TRAIN:] == "test").all()


def test_the_data_seed_decides_the_order_of_standard_and_the_digits_of_both(raw):
    def tables(variant):
        return [DspritesGrid(variant=variant, data_seed=seed).recipe(raw[0]).table for seed in (0, 0, 1)]

    first, again, other = tables("standard")
    assert first.equals(again) and (first["group"] != other["group"]).any()
    first, again, other = tables("official")
    assert first.equals(again) and (first["mnist_top_left"] != other["mnist_top_left"]).any()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_no_sprite_and_no_digit_stands_on_two_sides_in_standard(raw, seed):
    table = DspritesGrid(data_seed=seed).recipe(raw[0]).table
    assert table["group"].is_unique and table["id"].is_unique
    for part in PARTS:
        assert set(table.loc[table["part"] == part, "target"]) == {0, 1}
    numbers = {
        part: set(table.loc[table["part"] == part, [f"mnist_{q}" for q in QUADRANTS]].to_numpy().ravel())
        for part in ("train", "validation")
    }
    assert not numbers["train"] & numbers["validation"]


@VARIANTS
def test_every_digit_is_drawn_the_last_included(raw, variant):
    """The release draws from 0 to the last but one (S13)."""
    labels = raw[3]["test"][1]
    ones = np.flatnonzero(labels == 1)
    drawn = set()
    for seed in range(20):
        table = DspritesGrid(variant=variant, data_seed=seed).recipe(raw[0]).table
        drawn |= set(table.loc[table["part"] == "test", "mnist_top_left"])
    assert drawn == set(ones)


@VARIANTS
def test_the_common_factors_are_measured_on_the_digits_and_hold_on_all_rows(raw, variant):
    table = DspritesGrid(variant=variant).recipe(raw[0]).table
    for row in table.iloc[::7].itertuples(index=False):
        images = raw[3]["test" if row.part == "test" else "train"][0]
        for quadrant in QUADRANTS:
            ink = np.pad(images[getattr(row, f"mnist_{quadrant}")], 2) / 255
            assert getattr(row, f"stroke_{quadrant}") == pytest.approx(ink.mean(), rel=1e-5)
            assert getattr(row, f"slant_{quadrant}") == pytest.approx(_slant(ink[None])[0], abs=1e-5)


def test_the_real_factors_are_columns_of_the_table(raw):
    recipe = DspritesGrid().recipe(raw[0])
    names = [factor.name for factor in recipe.factors]
    assert names == [*SALIENT, *(f"{what}_{q}" for what in ("stroke", "slant") for q in QUADRANTS)]
    assert set(names) <= set(recipe.table.columns)
    assert recipe.factors[0].classes == ("square", "ellipse", "heart")
    assert all((raw[0] / name).is_file() for name in recipe.sources) and len(recipe.sources) == 5


def test_the_images_are_never_held_whole(tmp_path):
    n = 30_000
    np.savez_compressed(tmp_path / NAME, imgs=np.zeros((n, 64, 64), np.uint8))
    tracemalloc.start()
    read_sprites(tmp_path, np.arange(0, n, 10), "")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n * 64 * 64 / 6


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_the_pickled_description_is_never_loaded(tmp_path):
    write_dsprites(tmp_path, description=Evil(tmp_path / "pwned"))
    write_mnist(tmp_path, rows=300, test_rows=60)
    DspritesGrid().load("real", tmp_path, tier="smoke")
    assert not (tmp_path / "pwned").exists()
    with pytest.raises(ValueError, match="allow_pickle"):
        np.load(tmp_path / NAME)["metadata"]


@pytest.mark.parametrize("name", [NAME, "train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
@pytest.mark.parametrize("how", ["missing", "truncated", "a web page", "empty"])
@VARIANTS
def test_a_bad_file_is_named_with_its_folder_and_the_way_to_get_it(own, name, how, variant):
    file = own / name
    content = file.read_bytes()
    file.unlink()
    if how != "missing":
        file.write_bytes({"truncated": content[: len(content) // 2], "a web page": b"<html>", "empty": b""}[how])
    with pytest.raises(DataMissing) as error:
        DspritesGrid(variant=variant).load("real", own, tier="smoke")
    assert str(file) in str(error.value)
    assert ("missing" if how == "missing" else "damaged") in str(error.value)
    assert "cabench data fetch dsprites_grid" in str(error.value) and "--data-root" in str(error.value)


def with_values(row, column, value):
    values = latents()[1]
    values[row, column] = value
    return values


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"imgs": None}, "imgs.npy"),
        ({"latents_values": None}, "latents_values.npy"),
        ({"imgs": np.zeros((SPRITES, 32, 32), np.uint8)}, r"imgs is uint8 \(480, 32, 32\)"),
        ({"imgs": np.zeros((SPRITES, 64, 64), np.float32)}, "imgs is float32"),
        ({"imgs": np.array([Evil("pwned")], dtype=object)}, "not an array of plain numbers"),
        ({"imgs": np.zeros((200, 64, 64), np.uint8)}, "200 images and more rows"),
        ({"latents_values": np.zeros((SPRITES, 5))}, r"latents_values is float64 \(480, 5\)"),
        ({"latents_values": with_values(3, 1, 4.0)}, "row 3 of latents_values"),
        ({"latents_values": with_values(7, 3, np.nan)}, "row 7 of latents_values"),
    ],
)
def test_an_npz_of_another_content_says_what_is_wrong(own, arrays, why):
    rewrite(own, **arrays)
    with pytest.raises(DataMissing, match=rf"{NAME} is damaged .*{why}"):
        DspritesGrid().load("real", own, tier="smoke")


def test_a_flipped_byte_in_the_images_is_noticed(own):
    with np.load(own / NAME) as old:
        values, imgs = old["latents_values"], old["imgs"]
    np.savez(own / NAME, latents_values=values, imgs=imgs)
    content = bytearray((own / NAME).read_bytes())
    content[-200_000] ^= 1
    (own / NAME).write_bytes(content)
    with pytest.raises(DataMissing, match="Bad CRC-32"):
        DspritesGrid().load("real", own, tier="smoke")


def test_an_archive_with_an_escaping_path_is_read_and_nothing_is_written(own):
    before = sorted(own.parent.rglob("*"))
    with zipfile.ZipFile(own / NAME, "a") as archive:
        archive.writestr("../escaped.npy", b"x")
    DspritesGrid().recipe(own)
    assert sorted(own.parent.rglob("*")) == before


def test_both_versions_of_the_npy_header_are_read(own):
    before = read_latents(own, "")
    content = io.BytesIO()
    np.lib.format.write_array(content, before, version=(2, 0))
    with np.load(own / NAME) as old, zipfile.ZipFile(own / "new", "w") as archive:
        archive.writestr("latents_values.npy", content.getvalue())
        assert "imgs" in old
    (own / "new").replace(own / NAME)
    assert (read_latents(own, "") == before).all()


def test_mnist_without_one_of_the_digits_is_named(own):
    write_mnist(own, rows=300, test_rows=3)  # 0, 1, 2
    with pytest.raises(DataMissing, match=r"t10k-labels-idx1-ubyte.gz has no digit 3 for the test images"):
        DspritesGrid().recipe(own)


@pytest.fixture(scope="module")
def split():
    return DspritesGrid().load(tier="smoke").train


def test_shape_balance_and_type(split):
    assert split.x.shape == (400, 1, 64, 64) and split.x.dtype == np.uint8
    assert split.y.mean() == 0.5


def test_a_background_image_has_no_attributes_of_a_sprite(split):
    for name in SALIENT:
        assert np.isnan(split.labels[name][split.y == 0]).all()
        assert not np.isnan(split.labels[name][split.y == 1]).any()


def test_common_factors_are_there_on_all_rows(split):
    for name in set(split.labels) - {*SALIENT, "target"}:
        assert np.isfinite(split.labels[name]).all()
        assert split.labels[name].std() > 0


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_a_sprite_stands_where_its_labels_say(shape):
    x, y = np.array([0.1, 0.5, 0.9]), np.array([0.8, 0.5, 0.2])
    masks = render_sprites(np.full(3, shape), np.full(3, 0.8), np.zeros(3), x, y)
    axis = np.arange(SIDE) + 0.5
    room = SIDE - 2 * LARGEST
    mass = masks.sum((1, 2))
    assert np.abs((masks * axis).sum((1, 2)) / mass - (LARGEST + room * x)).max() < 0.5
    assert np.abs((masks * axis[:, None]).sum((1, 2)) / mass - (LARGEST + room * y)).max() < 2.0


def test_a_larger_scale_covers_more():
    one = np.ones(1)
    areas = [render_sprites(0 * one, s * one, 0 * one, one / 2, one / 2).sum() for s in (0.65, 0.8, 1.0)]
    assert areas[0] < areas[1] < areas[2]
    assert areas[2] / areas[0] == pytest.approx((1 / 0.65) ** 2, rel=0.1)


def test_slant_is_the_shear_of_a_bar():
    rows, columns = np.mgrid[:33, :33]
    bars = np.stack([np.abs(columns - 16 - k * (rows - 16)) <= 1 for k in (-0.3, 0.0, 0.3)]).astype(float)
    assert _slant(bars) == pytest.approx([-0.3, 0.0, 0.3], abs=0.02)
