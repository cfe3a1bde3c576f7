"""Promises of the chexpert_subtypes data set: of its phantoms, and of its recipe for the owners' files."""

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from raw_files.chexpert import COLUMNS, of_class, radiograph, write_chexpert

from cabench.dataset import Unreadable
from cabench.datasets import chexpert_subtypes
from cabench.datasets._synthetic import chest
from cabench.datasets.chexpert_subtypes import ChexpertSubtypes
from cabench.errors import DataMissing, UserError

N = 24


@pytest.fixture(scope="module")
def rendered():
    return ChexpertSubtypes().synthetic(300, 3, "train")


def bodies(subtype=-1, age=50.0, sex=1):
    """N renderings that share their nuisance, as float (N, 64, 64) in [0, 1]."""
    patients = chest.Patients(np.full(N, subtype), np.full(N, age), np.full(N, sex))
    return chest.render(patients, 11)[:, 0] / 255.0


def test_same_arguments_give_same_bytes(rendered):
    again = ChexpertSubtypes().synthetic(300, 3, "train")
    assert (again.x == rendered.x).all()
    for name, column in rendered.labels.items():
        np.testing.assert_array_equal(again.labels[name], column)


@pytest.mark.parametrize(("seed", "part"), [(4, "train"), (3, "test")])
def test_seed_and_part_change_the_images(rendered, seed, part):
    other = ChexpertSubtypes().synthetic(300, seed, part)
    assert not (other.x == rendered.x).all()
    assert not np.array_equal(other.labels["age"], rendered.labels["age"])


def test_shapes_and_types(rendered):
    assert rendered.x.shape == (300, 1, 64, 64)
    assert rendered.x.dtype == np.uint8
    assert set(rendered.labels) == {factor.name for factor in ChexpertSubtypes.factors}


@pytest.mark.parametrize("n", [1, 7, 201, 300])
def test_half_of_the_images_are_targets(n):
    assert ChexpertSubtypes().synthetic(n, 0, "test").y.sum() == n // 2


def test_subtype_is_nan_exactly_on_background(rendered):
    assert (np.isnan(rendered.labels["subtype"]) == (rendered.y == 0)).all()
    assert set(rendered.labels["subtype"][rendered.y == 1]) == {0.0, 1.0, 2.0}
    assert not np.isnan(rendered.labels["age"]).any()
    assert not np.isnan(rendered.labels["sex"]).any()


def test_factors_are_independent_of_each_other_and_of_the_target():
    patients = chest.draw_patients(20_000, np.random.default_rng(0))
    sick = patients.subtype >= 0
    columns = np.stack([sick, patients.age, patients.sex]).astype(float)
    assert np.abs(np.corrcoef(columns) - np.eye(3)).max() < 0.03
    classes = [patients.subtype == k for k in range(3)]
    for values in (patients.age / np.ptp(chest.AGES), patients.sex):
        means = [values[chosen].mean() for chosen in classes]
        assert max(means) - min(means) < 0.04


def test_an_image_does_not_depend_on_the_images_after_it():
    patients = chest.draw_patients(230, np.random.default_rng(1))
    few = chest.Patients(patients.subtype[:205], patients.age[:205], patients.sex[:205])
    assert (chest.render(patients, 5)[:205] == chest.render(few, 5)).all()


@pytest.mark.parametrize("subtype", range(3))
def test_each_finding_whitens_the_lungs(subtype):
    change = bodies(subtype) - bodies()
    assert (change.mean((1, 2)) > 0.002).all()
    assert (change > 0.1).mean((1, 2)).min() > 0.005


def test_findings_lie_where_they_belong():
    heart, haze, fluid = (np.abs(bodies(k) - bodies()).mean(0) for k in range(3))
    height = np.arange(64)
    centre = [(change.sum(1) * height).sum() / change.sum() for change in (haze, heart, fluid)]
    assert centre[0] < centre[1] < centre[2]  # lung roots, heart, lung bases
    left, right = haze[:, :32].sum(), haze[:, 32:].sum()
    assert 0.6 < left / right < 1.7  # bilateral
    assert fluid[:, 26:38].mean() < 0.7 * fluid.mean()  # the costophrenic angles, not the midline


def test_effusions_are_on_one_or_both_sides():
    change = np.abs(bodies(2) - bodies())
    left, right = change[:, :, :32].sum((1, 2)), change[:, :, 32:].sum((1, 2))
    share = left / (left + right)
    assert (share < 0.2).any()
    assert (share > 0.8).any()
    assert ((share > 0.25) & (share < 0.75)).any()


def test_age_and_sex_change_the_body():
    assert np.abs(bodies(age=85) - bodies(age=25)).mean() > 0.01
    assert (bodies(sex=0) - bodies(sex=1)).max((1, 2)).min() > 0.03


def test_splits_load_and_a_real_source_without_files_is_refused(tmp_path: Path):
    splits = ChexpertSubtypes().load(tier="smoke")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [400, 160, 200]
    with pytest.raises(UserError, match=r"CheXpert-v1.0-small/train.csv is missing.*agreement.*--data-root"):
        ChexpertSubtypes().load(source="real", root=tmp_path)


VARIANTS = pytest.mark.parametrize("variant", ["standard", "official"])
OTHERS = [
    "pneumonia", "enlarged_cardiomediastinum", "pneumothorax", "lung_lesion", "pleural_other", "fracture",
    "consolidation", "atelectasis",
]  # fmt: skip
IGNORED = ["lung_opacity", "support_devices"]
KINDS = ["cardiomegaly", "edema", "pleural_effusion"]


def clinic(n, per_patient=1):
    """Radiographs of each class in turn, some to a patient, who is of one class."""
    return [of_class(1 + i // per_patient, i // per_patient % 4, view=1 + i % per_patient) for i in range(n)]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    root = tmp_path_factory.mktemp("chexpert")
    write_chexpert(root, clinic(120, 2))
    return root


def recipe_of(root, rows, variant="standard", seed=0, **options):
    write_chexpert(root, rows, pictures=False, **options)
    return ChexpertSubtypes(variant=variant, data_seed=seed).recipe(root)


def classes(table):
    """Path -> class (0 = no finding)."""
    return dict(zip(table["id"], (table["subtype"] + 1).fillna(0).astype(int), strict=True))


def verdict(root, variant, **columns):
    """The class that one radiograph is given among others, or why it is dropped."""
    odd = radiograph(999, **columns)
    recipe = recipe_of(root, [*clinic(40), odd], variant)
    (reason,) = recipe.left_out or [None]
    return classes(recipe.table).get(odd["Path"], reason)


OTHER, VIEW = "radiographs with another finding", "radiographs that are no frontal AP view"
UNCERTAIN, NOT_ONE = "radiographs with an uncertain sub-type", "radiographs without exactly one sub-type"


@VARIANTS
@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"no_finding": 1}, 0),
        *(({kind: 1}, 1 + k) for k, kind in enumerate(KINDS)),
        *(({kind: 1, KINDS[k - 1]: 0, KINDS[k - 2]: 0}, 1 + k) for k, kind in enumerate(KINDS)),
        # Rule 1: another finding, certain or not, drops the row, but not one that says No Finding.
        *(({"edema": 1, other: value}, OTHER) for other in OTHERS for value in (1, -1)),
        *(({"edema": 1, other: 0}, 2) for other in OTHERS),
        *(({"edema": 1, other: value}, 2) for other in IGNORED for value in (1, -1)),
        *(({"no_finding": 1, other: value}, 0) for other in [*OTHERS, *IGNORED] for value in (1, -1)),
        ({"no_finding": 0, "fracture": 1}, OTHER),
        ({"no_finding": -1, "fracture": 1, "edema": 1}, OTHER),
        # Rule 2: the view.
        ({"edema": 1, "position": "PA"}, VIEW),
        ({"no_finding": 1, "position": "PA"}, VIEW),
        ({"edema": 1, "side": "Lateral", "position": ""}, VIEW),
        ({"edema": 1, "side": "Lateral"}, VIEW),
        ({"edema": 1, "position": "LL"}, VIEW),
        ({"edema": 1, "fracture": 1, "position": "PA"}, OTHER),  # what drops it first counts
        ({"edema": -1, "position": "PA"}, VIEW),
        # Rule 3: an uncertain sub-type drops the row, wherever it stands, but not one that says No Finding.
        *(({kind: -1}, UNCERTAIN) for kind in KINDS),
        *(({kind: -1, KINDS[k - 1]: 1}, UNCERTAIN) for k, kind in enumerate(KINDS)),
        *(({kind: -1, KINDS[k - 2]: 1}, UNCERTAIN) for k, kind in enumerate(KINDS)),
        ({"no_finding": 1, "edema": -1}, 0),
        ({"no_finding": 1, "edema": 1}, 0),
        ({"no_finding": 1, "edema": 1, "cardiomegaly": 1}, 0),
        # Rule 4: exactly one.
        ({"edema": 1, "cardiomegaly": 1}, NOT_ONE),
        (dict.fromkeys(KINDS, 1), NOT_ONE),
        (dict.fromkeys(KINDS, 0), NOT_ONE),
        ({}, NOT_ONE),
        ({"no_finding": 0}, NOT_ONE),
        ({"no_finding": -1}, NOT_ONE),
        ({"no_finding": 0, "edema": 1}, 2),
    ],
)
def test_each_rule_of_the_recipe_keeps_and_drops_what_it_says(tmp_path, variant, columns, expected):
    assert verdict(tmp_path, variant, **columns) == expected


@VARIANTS
def test_an_unknown_sex_and_an_age_of_zero_or_blank_are_missing(tmp_path, variant):
    odd = [
        of_class(100, 0, sex="Unknown", age=0), of_class(101, 1, sex="", age=""), of_class(102, 2, sex="Male"),
        of_class(103, 3, age=90),
    ]  # fmt: skip
    table = recipe_of(tmp_path, [*clinic(40), *odd], variant).table.set_index("group")
    np.testing.assert_array_equal(table.loc[[100, 101, 102, 103], "sex"], [np.nan, np.nan, 1, 0])
    np.testing.assert_array_equal(table.loc[[100, 101, 102, 103], "age"], [np.nan, np.nan, 60, 90])


@VARIANTS
def test_labels_and_patients_are_those_of_the_table(raw, variant):
    recipe = ChexpertSubtypes(variant=variant).recipe(raw)
    assert recipe.table["id"].tolist() == [row["Path"] for row in clinic(120, 2)]
    assert recipe.table["group"].tolist() == [1 + i // 2 for i in range(120)]
    assert list(classes(recipe.table).values()) == [i // 2 % 4 for i in range(120)]
    assert (recipe.table["subtype"].isna() == (recipe.table["target"] == 0)).all()
    assert [factor.name for factor in recipe.factors] == ["subtype", "age", "sex"]
    assert recipe.factors[0].classes == ("cardiomegaly", "edema", "pleural effusion")
    assert recipe.sources == ("CheXpert-v1.0-small/train.csv",)
    assert recipe.left_out == {}


def test_official_stops_a_class_when_its_count_exceeds_the_cap_in_file_order(tmp_path, monkeypatch):
    assert chexpert_subtypes.CAPS.tolist() == [10_000, 3_000, 3_000, 3_000]
    monkeypatch.setattr(chexpert_subtypes, "CAPS", np.array([9, 4, 4, 4]))
    recipe = recipe_of(tmp_path, clinic(80), "official")
    of_each = [[row["Path"] for row in clinic(80)[k::4]][: 10 if k == 0 else 5] for k in range(4)]
    assert recipe.table["id"].tolist() == sorted(path for paths in of_each for path in paths)
    assert recipe.left_out == {"radiographs beyond the caps": 80 - 25}


def test_standard_caps_after_a_seeded_shuffle_of_patients(tmp_path, monkeypatch):
    monkeypatch.setattr(chexpert_subtypes, "CAPS", np.array([12, 6, 6, 6]))
    tables = [recipe_of(tmp_path, clinic(160, 2), seed=seed).table for seed in (0, 0, 1)]
    for table in tables:
        assert np.bincount(list(classes(table).values())).tolist() == [12, 6, 6, 6]
        # A patient has two radiographs of one class, so that none is cut in two.
        assert set(table.groupby("group").size()) == {2}
        assert table["id"].is_monotonic_increasing
    assert tables[0].equals(tables[1])
    assert set(tables[0]["id"]) != set(tables[2]["id"])
    assert set(tables[0]["group"]) != set(range(1, 16))


def test_official_tests_on_the_tenth_of_images_that_the_release_draws(tmp_path):
    recipe = recipe_of(tmp_path, clinic(205, 2), "official")
    drawn = np.random.RandomState(0).permutation(205)[:21]  # what train_test_split(random_state=0) does
    assert np.flatnonzero(recipe.table["part"] == "test").tolist() == sorted(drawn)
    assert recipe.table["part"].value_counts().to_dict() == {"train": 166, "test": 21, "validation": 18}
    assert recipe.shares_groups
    assert (recipe.table.groupby("group")["part"].nunique() > 1).any()
    other = recipe_of(tmp_path, clinic(205, 2), "official", seed=-1).table
    assert not recipe.table["part"].equals(other["part"])


def test_validation_of_official_holds_every_class_in_its_share_of_train(tmp_path):
    table = recipe_of(tmp_path, clinic(400), "official").table
    train = table[table["part"] != "test"].assign(kind=lambda t: t["subtype"].fillna(-1))
    for _, here in train.groupby("kind"):
        assert abs((here["part"] == "validation").sum() - len(here) / 10) <= 1


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), min_size=12, max_size=50),
    seed=st.integers(0, 5),
)
def test_no_patient_stands_on_two_sides_of_the_standard_split(rows, seed):
    shots = [of_class(patient, k, view=i) for i, (patient, k) in enumerate(rows)]
    with tempfile.TemporaryDirectory() as folder:
        recipe = recipe_of(Path(folder), shots, seed=seed)
    assert (recipe.table.groupby("group")["part"].nunique() == 1).all()
    assert len(recipe.table) == len(rows)
    assert not recipe.shares_groups


def test_the_standard_split_has_every_class_in_its_share(tmp_path):
    table = recipe_of(tmp_path, clinic(800, 2)).table
    counts = table.assign(kind=table["subtype"].fillna(-1)).groupby(["part", "kind"]).size().unstack()
    assert (abs(counts.loc["train"] - 160) <= 4).all()
    assert (abs(counts.loc[["validation", "test"]] - 20) <= 2).all(axis=None)


@VARIANTS
def test_prepared_splits_hold_both_groups(raw, variant):
    splits = ChexpertSubtypes(variant=variant).load("real", raw, tier="smoke")
    parts = (splits.train, splits.validation, splits.test)
    assert sum(map(len, parts)) == 120
    assert all(set(part.y) == {0, 1} for part in parts)
    assert all(part.x.shape[1:] == (1, 224, 224) for part in parts)


def test_an_image_is_the_radiograph_without_its_border_shrunk_by_area(raw):
    dataset = ChexpertSubtypes()
    table = dataset.recipe(raw).table
    read = dataset.reader(raw, table)
    for i in (0, 41, 119):
        image = read(table.iloc[i])
        assert image.shape == (1, 224, 224) and image.dtype == np.uint8
        for rows, columns, grey in (
            (slice(0, 110), slice(0, 110), 20 + i % 100),
            (slice(0, 110), slice(114, 224), 150),
            (slice(114, 224), slice(0, 110), 200),
            (slice(114, 224), slice(114, 224), 0),
        ):
            assert abs(np.median(image[0, rows, columns]) - grey) <= 1
        # Of the white border nothing is left: the outermost pixels are those of the quarters.
        assert abs(image[0, 0, :100].mean() - (20 + i % 100)) < 6
        assert image[0, -1, -100:].mean() < 6


def test_fine_stripes_become_their_mean_and_no_pick_of_pixels(tmp_path):
    rows = clinic(40)
    write_chexpert(tmp_path, rows, pictures=False)
    stripes = np.zeros((320, 390), np.uint8)
    stripes[:, ::2] = 200
    path = tmp_path / rows[0]["Path"]
    path.parent.mkdir(parents=True)
    Image.fromarray(stripes).save(path, "png")  # without what jpg loses; the name decides nothing
    dataset = ChexpertSubtypes()
    table = dataset.recipe(tmp_path).table
    image = dataset.reader(tmp_path, table)(table.iloc[0])
    assert abs(image.mean() - 100) < 1
    assert image.std() < 40  # of 100 in the stripes


@pytest.mark.parametrize(("size", "why"), [((20, 300), "it is 20x300, of which a border of 10"), ((5, 5), "5x5")])
def test_a_radiograph_within_the_border_is_unreadable(tmp_path, size, why):
    rows = clinic(40)
    write_chexpert(tmp_path, rows)
    Image.new("L", size).save(tmp_path / rows[0]["Path"])
    dataset = ChexpertSubtypes()
    table = dataset.recipe(tmp_path).table
    with pytest.raises(Unreadable, match=why):
        dataset.reader(tmp_path, table)(table.iloc[0])


def test_one_unreadable_radiograph_is_left_out_and_listed_and_many_stop_the_preparation(tmp_path):
    rows = clinic(120)
    write_chexpert(tmp_path, rows)
    path = tmp_path / rows[7]["Path"]
    path.write_bytes(path.read_bytes()[:700])
    splits = ChexpertSubtypes().load("real", tmp_path, tier="paper")
    assert sum(map(len, (splits.train, splits.validation, splits.test))) == 119
    folder = tmp_path / "prepared" / "chexpert_subtypes" / "standard-0"
    assert list(json.loads((folder / "manifest.json").read_text())["unreadable"]) == [rows[7]["Path"]]
    (tmp_path / rows[8]["Path"]).unlink()
    with pytest.raises(DataMissing, match=r"2 of 120 images .* cannot be read, .* the first is CheXpert-v1"):
        ChexpertSubtypes(data_seed=1).load("real", tmp_path, tier="paper")


PLACE = r"which is no radiograph in CheXpert-v1.0-small/train/"


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("Path", "CheXpert-v1.0-small/train/../../../etc/passwd", rf"has '.*passwd' .*{PLACE}"),
        ("Path", "CheXpert-v1.0-small/train/patient00008/../view1_frontal.jpg", f".*{PLACE}"),
        ("Path", "/CheXpert-v1.0-small/train/patient00008/study1/view1_frontal.jpg", f".*{PLACE}"),
        ("Path", "../CheXpert-v1.0-small/train/patient00008/study1/view1_frontal.jpg", f".*{PLACE}"),
        ("Path", "CheXpert-v1.0-small/valid/patient00008/study1/view1_frontal.jpg", f".*{PLACE}"),
        ("Path", "CheXpert-v1.0-small/train/patient00008/study1/view1_frontal.jpg\n", f"(?s:.*){PLACE}"),
        ("Path", "", f"has nothing .*{PLACE}"),
        ("Path", clinic(3)[2]["Path"], "has '.*patient00003.*' in the column 'Path', which an earlier row has too"),
        ("Edema", "2", "has '2.0' in the column 'Edema', which is neither 1, 0, -1 nor blank"),
        ("No Finding", "yes", "has 'yes' in the column 'No Finding', which is neither"),
        ("Fracture", "0.5", "has '0.5' in the column 'Fracture', which is neither"),
    ],
)
def test_a_damaged_row_is_refused_by_its_number(tmp_path, column, value, message):
    rows = clinic(12)
    rows[7][column] = value
    with pytest.raises(DataMissing, match=rf"train.csv is damaged \(row 9 {message}.*agreement.*--data-root"):
        recipe_of(tmp_path, rows)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named_if_the_recipe_needs_it(tmp_path, column):
    columns = [name for name in COLUMNS if name != column]
    if column in ("Lung Opacity", "Support Devices"):
        assert len(recipe_of(tmp_path, clinic(12), columns=columns).table) == 12
        return
    with pytest.raises(DataMissing, match=rf"train.csv is damaged \(it lacks the column '{column}'\)"):
        recipe_of(tmp_path, clinic(12), columns=columns)


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "it is empty"), ("<html>log in</html>", "it is a web page"), (",".join(COLUMNS), "a header and no row")],
)
def test_what_is_no_table_is_refused(tmp_path, content, message):
    write_chexpert(tmp_path, clinic(12), pictures=False)
    (tmp_path / "CheXpert-v1.0-small" / "train.csv").write_text(content)
    with pytest.raises(DataMissing, match=rf"train.csv is damaged \(.*{message}"):
        ChexpertSubtypes().recipe(tmp_path)


@pytest.mark.parametrize("name", ["train.csv", "train"])
def test_a_missing_file_is_named_with_where_it_was_looked_for(tmp_path, name):
    write_chexpert(tmp_path, clinic(12), pictures=False)
    path = tmp_path / "CheXpert-v1.0-small" / name
    path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(DataMissing, match=rf"{path} is missing.*agreement"):
        ChexpertSubtypes().recipe(tmp_path)


@VARIANTS
def test_a_table_of_which_nothing_is_kept_is_refused_with_the_reasons(tmp_path, variant):
    with pytest.raises(DataMissing, match=r"train.csv lists no radiograph .*'radiographs with an uncertain.*: 2"):
        recipe_of(tmp_path, [radiograph(i, edema=-1) for i in range(2)], variant)


@VARIANTS
def test_a_table_of_the_real_size_takes_seconds_and_gives_the_published_caps(tmp_path, variant):
    n = 223_414
    write_chexpert(tmp_path, clinic(12), pictures=False)
    path = tmp_path / "CheXpert-v1.0-small" / "train.csv"
    header, *lines = path.read_text().splitlines()
    tails = [line.partition(".jpg")[2] for line in lines]
    name = "CheXpert-v1.0-small/train/patient{:05d}/study1/view{}_frontal.jpg"
    rows = (name.format(1 + i // 4, i % 4) + tails[i % 12] for i in range(n))
    path.write_text("\n".join([header, *rows, ""]))
    start = time.perf_counter()
    recipe = ChexpertSubtypes(variant=variant).recipe(tmp_path)
    assert time.perf_counter() - start < 8
    more = variant == "official"
    assert np.bincount(list(classes(recipe.table).values())).tolist() == [10_000 + more] + [3_000 + more] * 3
