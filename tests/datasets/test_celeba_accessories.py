"""Promises of the celeba_accessories data set: of its portraits, and of its recipe for the owners' files."""

import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from raw_files.celeba import balanced, picture, write_celeba

from cabench.dataset import Unreadable
from cabench.datasets import celeba_accessories
from cabench.datasets._raw.photos import centre_crop, read_photo, to_array
from cabench.datasets._synthetic import faces
from cabench.datasets.celeba_accessories import CelebaAccessories
from cabench.errors import DataMissing, UserError

N = 24
GLASSES, HAT = 0, 1
BOTH = (1, 1, 0, 1, 999)
VARIANTS = pytest.mark.parametrize("variant", ["standard", "official"])


@pytest.fixture(scope="module")
def rendered():
    return CelebaAccessories().synthetic(300, 3, "train")


def portraits(accessory=-1, age=50.0, sex=1):
    """N portraits that share their nuisance, as float (N, 3, 64, 64) in [0, 1]."""
    people = faces.People(np.full(N, accessory), np.full(N, age), np.full(N, sex))
    return faces.render(people, 11) / 255.0


def changed(a, b):
    """The pixels (N, 64, 64) in which two renderings differ in any channel."""
    return (a != b).any(1)


def test_same_arguments_give_same_bytes(rendered):
    again = CelebaAccessories().synthetic(300, 3, "train")
    assert (again.x == rendered.x).all()
    for name, column in rendered.labels.items():
        np.testing.assert_array_equal(again.labels[name], column)


@pytest.mark.parametrize(("seed", "part"), [(4, "train"), (3, "test")])
def test_seed_and_part_change_the_images(rendered, seed, part):
    other = CelebaAccessories().synthetic(300, seed, part)
    assert not (other.x == rendered.x).all()
    assert not np.array_equal(other.labels["age"], rendered.labels["age"])


def test_shapes_and_types(rendered):
    assert rendered.x.shape == (300, 3, 64, 64)
    assert rendered.x.dtype == np.uint8
    assert set(rendered.labels) == {factor.name for factor in CelebaAccessories.factors}


@pytest.mark.parametrize("n", [1, 7, 201, 300])
def test_half_of_the_images_are_targets(n):
    assert CelebaAccessories().synthetic(n, 0, "test").y.sum() == n // 2


def test_accessory_is_nan_exactly_on_background_and_balanced_on_target(rendered):
    accessory = rendered.labels["accessory"]
    assert (np.isnan(accessory) == (rendered.y == 0)).all()
    assert np.unique(accessory[rendered.y == 1], return_counts=True)[1].tolist() == [75, 75]
    assert not np.isnan(rendered.labels["age"]).any()
    assert not np.isnan(rendered.labels["sex"]).any()


def test_factors_are_independent_of_each_other_and_of_the_target():
    people = faces.draw_people(20_000, np.random.default_rng(0))
    columns = [people.accessory >= 0, people.accessory == HAT, people.age, people.sex]
    correlation = np.corrcoef(np.stack(columns).astype(float))
    correlation[0, 1] = correlation[1, 0] = 0  # a hat makes a target
    assert np.abs(correlation - np.eye(4)).max() < 0.03


def test_an_image_does_not_depend_on_the_images_after_it():
    people = faces.draw_people(230, np.random.default_rng(1))
    assert (faces.render(people, 5)[:205] == faces.render(people[:205], 5)).all()


def test_glasses_change_only_the_region_of_the_eyes():
    change = changed(portraits(GLASSES), portraits())
    share = change.mean((1, 2))
    assert (share > 0.01).all()
    assert (share < 0.20).all()
    assert not change[:, :16].any()
    assert not change[:, 52:].any()
    assert (change.any(2).sum(1) < 0.4 * 64).all()  # a band, even on a tilted head


def test_a_hat_changes_the_head_above_the_glasses():
    bare, row = portraits(), np.arange(64)
    glasses, hat = changed(portraits(GLASSES), bare), changed(portraits(HAT), bare)
    height = [(change.sum(2) * row).sum(1) / change.sum((1, 2)) for change in (hat, glasses)]
    assert (height[0] + 4 < height[1]).all()
    assert (hat.mean((1, 2)) > 0.03).all()
    assert not hat[:, 56:].any()


def test_hats_are_no_darker_than_the_heads_of_others():
    """Else the mean colour would tell a hat from glasses."""
    people = faces.draw_people(1200, np.random.default_rng(2))
    level = faces.render(people, 7).mean((1, 2, 3))
    glasses, hat = (level[people.accessory == kind] for kind in (GLASSES, HAT))
    assert abs(glasses.mean() - hat.mean()) < 0.35 * level.std()


def test_age_and_sex_change_the_face():
    assert np.abs(portraits(age=75) - portraits(age=25)).mean((1, 2, 3)).min() > 0.005
    assert np.abs(portraits(sex=0) - portraits(sex=1)).mean((1, 2, 3)).min() > 0.005


def test_age_changes_the_face_step_by_step():
    steps = [np.abs(portraits(age=age) - portraits(age=20)).mean() for age in (35, 50, 65, 80)]
    assert steps == sorted(steps)


def test_splits_load_and_a_real_source_without_files_is_refused(tmp_path: Path):
    splits = CelebaAccessories().load(tier="smoke")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [400, 160, 200]
    with pytest.raises(UserError, match=r"celeba/img_align_celeba is missing.*Download.*CelebA"):
        CelebaAccessories().load(source="real", root=tmp_path)


@pytest.fixture(scope="module")
def people():
    """Twenty persons of four faces and twenty of one, and a face that the recipe drops."""
    return [BOTH, *balanced(10, 4), *[(*f[:4], 100 + i) for i, f in enumerate(balanced(5)[:20])]]


@pytest.fixture(scope="module")
def raw(tmp_path_factory, people):
    root = tmp_path_factory.mktemp("celeba")
    write_celeba(root, people)
    return root


@pytest.fixture
def own(tmp_path):
    write_celeba(tmp_path, balanced(5, 2), pictures=False)
    return tmp_path


def table_of(root, variant="standard", seed=0):
    return CelebaAccessories(variant=variant, data_seed=seed).recipe(root).table


def cells(table):
    """Accessory (-1 for none) and sex -> number of rows."""
    return table.assign(accessory=table["accessory"].fillna(-1)).groupby(["accessory", "sex"]).size().to_dict()


def spoil(path, old, new, count=1):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


@VARIANTS
def test_an_image_is_the_middle_of_its_photograph_shrunk(raw, variant):
    dataset = CelebaAccessories(variant=variant)
    table = dataset.recipe(raw).table
    read = dataset.reader(raw, table)
    for row in table[::17].itertuples(index=False):
        face = Image.fromarray(picture(int(row.id[:6]) - 1)[21:197, 1:177])
        expected = np.asarray(face.resize((128, 128), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        image = read(row)
        assert image.shape == (3, 128, 128)
        assert np.abs(image.astype(int) - expected).mean() < 1.5  # what jpg loses


@VARIANTS
def test_labels_are_those_of_the_attribute_table(raw, people, variant):
    recipe = CelebaAccessories(variant=variant).recipe(raw)
    for row in recipe.table.itertuples(index=False):
        glasses, hat, male, young, person = people[int(row.id[:6]) - 1]
        assert row.target == (glasses or hat)
        assert np.isnan(row.accessory) if row.target == 0 else row.accessory == (HAT if hat else GLASSES)
        assert (row.sex, row.young, row.group) == (male, young, person)
    assert {factor.name: factor.classes for factor in recipe.factors} == {
        "accessory": ("glasses", "hat"),
        "sex": ("female", "male"),
        "young": ("not young", "young"),
    }


@VARIANTS
def test_a_face_with_both_accessories_is_dropped_and_counted(raw, variant):
    recipe = CelebaAccessories(variant=variant).recipe(raw)
    assert "000001.jpg" not in set(recipe.table["id"])
    assert recipe.left_out["faces with both glasses and a hat"] == 1


@VARIANTS
def test_prepared_splits_hold_all_images_and_both_groups(raw, variant):
    splits = CelebaAccessories(variant=variant).load("real", raw, tier="smoke")
    parts = (splits.train, splits.validation, splits.test)
    assert sum(map(len, parts)) == 96
    assert all(set(part.y) == {0, 1} for part in parts)
    assert all((np.isnan(part.labels["accessory"]) == (part.y == 0)).all() for part in parts)
    assert [factor.name for factor in splits.factors] == ["accessory", "sex", "young", "target"]


@VARIANTS
def test_wanted_are_two_bare_faces_for_each_with_glasses_or_hat_of_either_sex(own, variant, monkeypatch):
    monkeypatch.setattr(celeba_accessories, "WANTED", 3)
    recipe = CelebaAccessories(variant=variant).recipe(own)
    kinds = ((-1, 6), (GLASSES, 3), (HAT, 3))
    assert cells(recipe.table) == {(kind, sex): n for kind, n in kinds for sex in (0, 1)}
    assert recipe.left_out == {
        f"{sex} faces {worn} beyond the first {n}": 10 - n if n == 6 else 5 - n
        for sex in ("female", "male")
        for worn, n in (("without both", 6), ("with glasses", 3), ("with a hat", 3))
    }


def test_official_takes_the_first_of_each_cell_in_file_order(own, monkeypatch):
    monkeypatch.setattr(celeba_accessories, "WANTED", 3)
    assert table_of(own, "official")["id"].tolist() == [f"{i:06d}.jpg" for i in range(1, 25)]


def test_standard_takes_whole_persons_in_a_seeded_order(own, monkeypatch):
    monkeypatch.setattr(celeba_accessories, "WANTED", 3)
    chosen = [table_of(own, seed=seed) for seed in (0, 0, 1)]
    assert chosen[0].equals(chosen[1])
    assert set(chosen[0]["id"]) != set(chosen[2]["id"])
    # A person has two faces of the same cells as the next one, so that none is cut in two.
    assert set(chosen[0].groupby("group").size()) == {2}
    assert chosen[0]["id"].is_monotonic_increasing


@VARIANTS
def test_a_short_cell_shrinks_the_others_in_proportion_and_is_named(tmp_path, variant):
    write_celeba(tmp_path, balanced(5) + [(0, 0, 0, 1, 77)] * 3 + [(1, 0, 0, 1, 78)], pictures=False)
    recipe = CelebaAccessories(variant=variant).recipe(tmp_path)
    kinds = ((-1, 10), (GLASSES, 5), (HAT, 5))
    assert cells(recipe.table) == {(kind, sex): n for kind, n in kinds for sex in (0, 1)}
    (reason, count), _ = recipe.left_out.items()
    assert (reason, count) == (
        "female faces without both beyond the first 10 (there are only 10 male faces without both of 6000)",
        3,
    )


@VARIANTS
def test_an_empty_cell_is_refused_by_name(tmp_path, variant):
    write_celeba(tmp_path, [f for f in balanced(5) if f[:3] != (0, 1, 0)], pictures=False)
    with pytest.raises(DataMissing, match=r"list_attr_celeba.txt lists 0 female faces with a hat, too few"):
        table_of(tmp_path, variant)


@settings(max_examples=30, deadline=None)
@given(
    people=st.lists(st.integers(1, 12), min_size=40, max_size=40),
    order=st.permutations(range(40)),
    seed=st.integers(0, 5),
)
def test_no_person_stands_on_two_sides_of_the_standard_split(people, order, seed):
    with tempfile.TemporaryDirectory() as folder:
        rows = [(*balanced(5)[i][:4], person) for i, person in zip(order, people, strict=True)]
        write_celeba(Path(folder), rows, pictures=False)
        table = table_of(Path(folder), seed=seed)
    assert (table.groupby("group")["part"].nunique() == 1).all()
    assert len(table) == 40


def test_the_standard_split_has_every_cell_in_its_share(tmp_path):
    write_celeba(tmp_path, balanced(40, 2), pictures=False)
    recipe = CelebaAccessories().recipe(tmp_path)
    for part, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        here = cells(recipe.table[recipe.table["part"] == part])
        for (kind, sex), n in here.items():
            whole = 80 if kind < 0 else 40
            assert abs(n - share * whole) <= 2, (part, kind, sex)
        assert len(here) == 6
    assert not recipe.shares_groups


def test_the_official_split_is_a_random_fifth_of_the_images_and_shares_persons(tmp_path):
    write_celeba(tmp_path, balanced(25, 4), pictures=False)
    recipe = CelebaAccessories(variant="official").recipe(tmp_path)
    assert recipe.table["part"].value_counts().to_dict() == {"train": 144, "test": 40, "validation": 16}
    assert recipe.shares_groups
    assert (recipe.table.groupby("group")["part"].nunique() > 1).any()
    assert recipe.table.equals(table_of(tmp_path, "official"))
    tested = [
        set(t.loc[t["part"] == "test", "id"]) for t in (table_of(tmp_path, "official", seed) for seed in (0, 1))
    ]
    assert tested[0] != tested[1]


def test_validation_of_official_holds_every_cell_in_its_share(tmp_path):
    write_celeba(tmp_path, balanced(50), pictures=False)
    table = table_of(tmp_path, "official")
    train = table[table["part"] != "test"]
    held = cells(train[train["part"] == "validation"])
    assert all(abs(held[cell] - n / 10) <= 1 for cell, n in cells(train).items())


def test_without_identities_official_works_and_standard_says_how_to_get_them(own):
    (own / "celeba" / "identity_CelebA.txt").unlink()
    recipe = CelebaAccessories(variant="official").recipe(own)
    assert recipe.table["group"].is_unique
    assert recipe.sources == ("celeba/list_attr_celeba.txt",)
    with pytest.raises(
        DataMissing, match=r"identity_CelebA.txt is missing.*Download .*identity_CelebA.txt from http"
    ):
        table_of(own)


@VARIANTS
@pytest.mark.parametrize("folder", ["celeba", "."])
@pytest.mark.parametrize("form", ["txt", "image_id", "File_name"])
def test_both_formats_in_both_places_say_the_same(tmp_path, own, variant, form, folder):
    root = tmp_path / "other"
    write_celeba(root, balanced(5, 2), form=form, folder=folder, pictures=False)
    recipe = CelebaAccessories(variant=variant).recipe(root)
    assert recipe.table.equals(table_of(own, variant))
    assert [Path(source).name for source in recipe.sources] == [
        "list_attr_celeba." + ("txt" if form == "txt" else "csv"),
        "identity_CelebA.txt",
    ]
    assert all((root / source).is_file() for source in recipe.sources)


ATTRIBUTES = "list_attr_celeba.txt"
IDENTITIES = "identity_CelebA.txt"


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (ATTRIBUTES, "40\n", "", "its first row is not the number of pictures"),
        (ATTRIBUTES, "40\n", "41\n", "says that it lists 41 pictures and lists 40"),
        (ATTRIBUTES, " Wearing_Hat ", " Wearing_Cap ", "lacks the column 'Wearing_Hat'"),
        (
            ATTRIBUTES,
            "000005.jpg",
            "000004.jpg",
            "row 7 has '000004.jpg' in the column 'id', which an earlier row has",
        ),
        (ATTRIBUTES, "000005.jpg", "../passwd", "row 7 has '../passwd' in the column 'id', which is no name"),
        (IDENTITIES, "000005.jpg 3", "", "it says nothing of 000005.jpg"),
        (
            IDENTITIES,
            "000005.jpg 3",
            "000005.jpg x",
            "row 5 has 'x' in the column 'identity', which is no whole number",
        ),
        (
            IDENTITIES,
            "000005.jpg 3",
            "000005.jpg 3.5",
            "row 5 has '3.5' in the column 'identity', which is no whole",
        ),
        (IDENTITIES, "000005.jpg 3", "000005.jpg", "row 5 has nothing in the column 'identity'"),
        (
            IDENTITIES,
            "000005.jpg",
            "000004.jpg",
            "row 5 has '000004.jpg' in the column 'id', which an earlier row has",
        ),
    ],
)
def test_a_damaged_table_is_refused_with_its_row(own, file, old, new, message):
    spoil(own / "celeba" / file, old, new)
    with pytest.raises(DataMissing, match=rf"{file} is damaged \(.*{message}"):
        table_of(own)


@pytest.mark.parametrize("file", [ATTRIBUTES, IDENTITIES])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html>Quota exceeded", "it is a web page"),
        (b"\x00\xff\xfe" * 99, ""),
    ],
)
def test_what_is_no_table_is_refused(own, file, content, message):
    (own / "celeba" / file).write_bytes(content)
    with pytest.raises(DataMissing, match=rf"{file} is damaged \({message}.*Download"):
        table_of(own)


@pytest.mark.parametrize(
    ("value", "message"), [("0", "has '0'"), ("yes", "has 'yes'"), ("", "has nothing"), ("1.5", "has '1.5'")]
)
def test_an_attribute_that_is_neither_1_nor_minus_1_is_refused_with_its_row(tmp_path, value, message):
    write_celeba(tmp_path, balanced(5, 2), form="image_id", pictures=False)
    path = tmp_path / "celeba" / "list_attr_celeba.csv"
    lines = path.read_text().splitlines()
    lines[7] = lines[7].rpartition(",")[0] + "," + value
    path.write_text("\n".join(lines))
    with pytest.raises(
        DataMissing, match=rf"csv is damaged \(row 8 {message} in the column 'Young', which is neither"
    ):
        table_of(tmp_path)


@pytest.mark.parametrize("column", ["image_id", "Male"])
def test_an_export_without_a_column_is_refused(tmp_path, column):
    write_celeba(tmp_path, balanced(5), form="image_id", pictures=False)
    spoil(tmp_path / "celeba" / "list_attr_celeba.csv", column, "other")
    with pytest.raises(DataMissing, match=rf"list_attr_celeba.csv is damaged \(it lacks the column '{column}'"):
        table_of(tmp_path)


@pytest.mark.parametrize("file", ["img_align_celeba", ATTRIBUTES])
def test_a_missing_file_is_named_with_where_it_was_looked_for(own, file):
    path = own / "celeba" / file
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DataMissing, match=rf"{own}/celeba/{file} is missing.*Download"):
        table_of(own)


def test_one_unreadable_picture_is_left_out_and_listed_and_many_stop_the_preparation(tmp_path):
    write_celeba(tmp_path, balanced(15))
    pictures = sorted((tmp_path / "celeba" / "img_align_celeba").iterdir())
    pictures[4].write_bytes(pictures[4].read_bytes()[:600])
    splits = CelebaAccessories().load("real", tmp_path, tier="paper")
    assert sum(map(len, (splits.train, splits.validation, splits.test))) == 119
    manifest = json.loads(
        (tmp_path / "prepared" / "celeba_accessories" / "standard-0" / "manifest.json").read_text()
    )
    assert list(manifest["unreadable"]) == ["000005.jpg"]
    pictures[7].unlink()
    with pytest.raises(DataMissing, match=r"2 of 120 images .* cannot be read.*000005.jpg"):
        CelebaAccessories(data_seed=1).load("real", tmp_path, tier="paper")


@VARIANTS
def test_a_table_of_the_real_size_takes_seconds_and_gives_the_published_counts(tmp_path, variant):
    n, faces_ = 202_599, balanced(50)
    write_celeba(tmp_path, faces_, pictures=False)
    folder = tmp_path / "celeba"
    head, names, *rows = (folder / ATTRIBUTES).read_text().splitlines()
    assert head == str(len(rows))
    tails = [row.removeprefix(f"{i + 1:06d}.jpg") for i, row in enumerate(rows)]
    lines = [f"{i + 1:06d}.jpg{tails[i % len(tails)]}" for i in range(n)]
    (folder / ATTRIBUTES).write_text("\n".join([str(n), names, *lines, ""]))
    (folder / IDENTITIES).write_text("".join(f"{i + 1:06d}.jpg {1 + i * 7919 % 10177}\n" for i in range(n)))
    start = time.perf_counter()
    recipe = CelebaAccessories(variant=variant).recipe(tmp_path)
    assert time.perf_counter() - start < 5
    assert cells(recipe.table) == {(k, sex): 6000 if k < 0 else 3000 for k in (-1, GLASSES, HAT) for sex in (0, 1)}
    assert sum(recipe.left_out.values()) == n - 24_000


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"<html>no such picture</html>", "it is no image"),
        (b"\xff\xd8\xff\xe0 and nothing", "(?i)truncated|no image"),
        (None, "No such file"),
    ],
)
def test_what_is_no_photograph_is_unreadable(tmp_path, content, why):
    path = tmp_path / "x.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unreadable, match=why) as caught:
        read_photo(path, "RGB")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_truncated_photograph_is_unreadable(tmp_path, form):
    Image.fromarray(picture(3)).save(tmp_path / "x", form)
    content = (tmp_path / "x").read_bytes()
    for share in (0.1, 0.5, 0.9):
        (tmp_path / "x").write_bytes(content[: int(share * len(content))])
        with pytest.raises(Unreadable, match=r"\w"):
            read_photo(tmp_path / "x", "L")


def test_a_photograph_with_a_broken_piece_or_of_absurd_size_is_unreadable(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    second = content.index(b"IDAT", content.index(b"IDAT") + 4)
    (tmp_path / "x.png").write_bytes(content[:second] + b"I\xffAT" + content[second + 4 :])
    with pytest.raises(Unreadable, match="broken PNG"):
        read_photo(tmp_path / "x.png", "RGB")
    Image.fromarray(noise).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(Unreadable, match="exceeds limit"):
        read_photo(tmp_path / "x.png", "RGB")


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
@pytest.mark.parametrize("stored", ["RGB", "L", "P", "CMYK"])
def test_a_photograph_of_any_colours_becomes_bytes_with_channels_first(tmp_path, stored, mode, channels):
    Image.fromarray(picture(3)).convert(stored).save(tmp_path / "x", "TIFF")
    pixels = to_array(read_photo(tmp_path / "x", mode))
    assert (pixels.shape, pixels.dtype) == ((channels, 218, 178), np.uint8)
    assert pixels.flags["C_CONTIGUOUS"]


def test_a_crop_is_the_middle_and_never_more_than_there_is():
    image = Image.fromarray(picture(0))
    assert (to_array(centre_crop(image, 108)) == picture(0)[55:163, 35:143].transpose(2, 0, 1)).all()
    with pytest.raises(Unreadable, match="178x218, smaller than the 179x179"):
        centre_crop(image, 179)
