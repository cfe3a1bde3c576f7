"""Promises of the odir_subtypes data set: of its phantoms, and of its recipe for the owners' files."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_files.odir import COLUMNS, patient, picture, write_odir

from cabench.datasets import odir_subtypes
from cabench.datasets._raw.odir import diagnosis
from cabench.datasets._synthetic import fundus
from cabench.datasets.odir_subtypes import OdirSubtypes
from cabench.errors import DataMissing, UserError

N = 24
HEALTHY = -1
DIABETES, GLAUCOMA, CATARACT, AMD, MYOPIA = range(5)


@pytest.fixture(scope="module")
def rendered():
    return OdirSubtypes().synthetic(300, 3, "train")


def photographs(subtype=HEALTHY, age=50.0, sex=1, eye=1):
    """N photographs that share their nuisance, as float (N, 3, 64, 64) in [0, 1]."""
    eyes = fundus.Eyes(np.full(N, subtype), np.full(N, age), np.full(N, sex), np.full(N, eye))
    return fundus.render(eyes, 11) / 255.0


def detail(images):
    """Mean absolute difference of horizontal neighbours within the field, per image."""
    inside = (images[:, 0, :, 1:] > 0.25) & (images[:, 0, :, :-1] > 0.25)
    step = np.abs(np.diff(images[:, 1], axis=2))
    return (step * inside).sum((1, 2)) / inside.sum((1, 2))


def test_same_arguments_give_same_bytes(rendered):
    again = OdirSubtypes().synthetic(300, 3, "train")
    assert (again.x == rendered.x).all()
    for name, column in rendered.labels.items():
        np.testing.assert_array_equal(again.labels[name], column)


@pytest.mark.parametrize(("seed", "part"), [(4, "train"), (3, "test")])
def test_seed_and_part_change_the_images(rendered, seed, part):
    other = OdirSubtypes().synthetic(300, seed, part)
    assert not (other.x == rendered.x).all()
    assert not np.array_equal(other.labels["age"], rendered.labels["age"])


def test_shapes_and_types(rendered):
    assert rendered.x.shape == (300, 3, 64, 64)
    assert rendered.x.dtype == np.uint8
    assert set(rendered.labels) == {factor.name for factor in OdirSubtypes.factors}


@pytest.mark.parametrize("n", [1, 7, 201, 300])
def test_half_of_the_images_are_targets(n):
    assert OdirSubtypes().synthetic(n, 0, "test").y.sum() == n // 2


def test_subtype_is_nan_exactly_on_background_and_balanced_on_target(rendered):
    subtype = rendered.labels["subtype"]
    assert (np.isnan(subtype) == (rendered.y == 0)).all()
    assert np.unique(subtype[rendered.y == 1], return_counts=True)[1].tolist() == [30] * 5
    assert not any(np.isnan(rendered.labels[name]).any() for name in ("age", "sex", "eye"))


def test_factors_are_independent_of_each_other_and_of_the_target():
    eyes = fundus.draw_eyes(20_000, np.random.default_rng(0))
    kinds = [eyes.subtype == kind for kind in range(5)]
    for known in (eyes.subtype >= 0, *kinds):
        columns = np.stack([known, eyes.age, eyes.sex, eyes.eye]).astype(float)
        assert np.abs(np.corrcoef(columns) - np.eye(4)).max() < 0.03


def test_an_image_does_not_depend_on_the_images_after_it():
    eyes = fundus.draw_eyes(230, np.random.default_rng(1))
    assert (fundus.render(eyes, 5)[:205] == fundus.render(eyes[:205], 5)).all()


def test_the_field_is_round_reddish_and_moves():
    images = photographs()
    field = images[:, 0] > 0.2
    assert (field.mean((1, 2)) > 0.25).all()
    assert (field.mean((1, 2)) < 0.60).all()
    red, green, blue = ((images[:, c] * field).sum((1, 2)) for c in range(3))
    assert ((red > green) & (green > blue)).all()
    column = (field.sum(1) * np.arange(64)).sum(1) / field.sum((1, 2))
    assert np.ptp(column) > 8


@pytest.mark.parametrize("subtype", range(5))
def test_each_subtype_changes_the_picture(subtype):
    change = np.abs(photographs(subtype) - photographs()).max(1)
    assert ((change > 0.03).mean((1, 2)) > 0.004).all()


def test_glaucoma_and_amd_are_local_cataract_and_myopia_are_not():
    healthy = photographs()
    field = (healthy[:, 0] > 0.2).sum((1, 2))
    share = [((np.abs(photographs(kind) - healthy).max(1) > 0.04).sum((1, 2)) / field).mean() for kind in range(5)]
    assert max(share[GLAUCOMA], share[AMD]) < 0.15
    assert min(share[CATARACT], share[MYOPIA]) > 0.35
    assert share[GLAUCOMA] < share[DIABETES] < share[CATARACT]


def test_findings_look_as_they_should():
    healthy = photographs()
    diabetes = photographs(DIABETES) - healthy
    assert (diabetes.min((1, 2, 3)) < -0.15).all()  # haemorrhages
    assert (diabetes.max((1, 2, 3)) > 0.15).all()  # exudates
    assert (photographs(AMD) - healthy > -0.02).all()  # drusen are bright
    assert (photographs(GLAUCOMA) - healthy > -0.02).all()  # a cup is paler than its rim
    assert (detail(photographs(CATARACT)) < detail(healthy)).all()
    assert ((photographs(MYOPIA) - healthy)[:, 1].mean((1, 2)) > 0).mean() > 0.8


def test_the_optic_disc_is_on_the_side_of_its_eye():
    for eye, sign in ((0, -1), (1, 1)):
        images = photographs(age=80, eye=eye)
        field = images[:, 0] > 0.2
        middle = (field.sum(1) * np.arange(64)).sum(1) / field.sum((1, 2))
        disc = np.sort(images[:, 2].reshape(N, -1), 1)[:, -12]  # its yellow is the brightest blue
        bright = images[:, 2] >= disc[:, None, None]
        column = (bright.sum(1) * np.arange(64)).sum(1) / bright.sum((1, 2))
        assert (sign * (column - middle) > 1).mean() > 0.9


def test_age_sex_and_eye_change_the_picture():
    assert np.abs(photographs(age=80) - photographs(age=25)).mean((1, 2, 3)).min() > 0.005
    assert np.abs(photographs(sex=0) - photographs(sex=1)).mean((1, 2, 3)).min() > 0.003
    assert np.abs(photographs(eye=0) - photographs(eye=1)).mean((1, 2, 3)).min() > 0.005


def test_splits_load_and_a_real_source_without_files_is_refused(tmp_path: Path):
    splits = OdirSubtypes().load(tier="smoke")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [400, 160, 200]
    with pytest.raises(UserError, match=r"odir_5k/preprocessed_images is missing.*Download .*kaggle"):
        OdirSubtypes().load(source="real", root=tmp_path)


VARIANTS = pytest.mark.parametrize("variant", ["standard", "official"])
# Keywords of the owners' table by class, -1 for those that are another finding.
KEYWORDS = {
    0: ["normal fundus"],
    1 + DIABETES: [
        "diabetic retinopathy", "mild nonproliferative retinopathy", "moderate non proliferative retinopathy",
        "severe nonproliferative retinopathy", "proliferative diabetic retinopathy",
        "severe proliferative diabetic retinopathy", "suspected diabetic retinopathy",
        "suspicious diabetic retinopathy", "suspected moderate non proliferative retinopathy",
    ],
    1 + GLAUCOMA: ["glaucoma", "suspected glaucoma"],
    1 + CATARACT: ["cataract", "suspected cataract"],
    1 + AMD: [
        "age-related macular degeneration", "dry age-related macular degeneration",
        "wet age-related macular degeneration",
    ],
    1 + MYOPIA: ["pathological myopia", "myopia retinopathy", "myopic retinopathy", "myopic maculopathy"],
    -1: [
        "hypertensive retinopathy", "laser spot", "drusen", "epiretinal membrane",
        "macular epiretinal membrane", "maculopathy", "vitreous degeneration", "refractive media opacity",
        "tessellated fundus", "macular hole", "old chorioretinopathy", "central serous chorioretinopathy",
        "branch retinal vein occlusion", "atrophic change", "spotted membranous change",
        "myelinated nerve fibers", "retinitis pigmentosa", "post laser photocoagulation",
        "suspected abnormal color of  optic disc", "intraretinal hemorrhage", "asteroid hyalosis",
        "abnormal pigment ",
    ],
}  # fmt: skip
OF_CLASS = [words[0] for words in list(KEYWORDS.values())[:6]]
LETTERS = "NDGCAM"
COMMA = "\N{FULLWIDTH COMMA}"
OF_THE_PICTURE = ["lens dust", "low image quality", "image offset", "optic disk photographically invisible"]


def ward(n):
    """Patients of each class in turn, both eyes alike."""
    return [patient(i, OF_CLASS[i % 6], OF_CLASS[i % 6], LETTERS[i % 6]) for i in range(n)]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    root = tmp_path_factory.mktemp("odir")
    write_odir(root, ward(60))
    return root


def recipe_of(root, patients, variant="standard", seed=0, **options):
    write_odir(root, patients, pictures=False, **options)
    return OdirSubtypes(variant=variant, data_seed=seed).recipe(root)


def classes(table):
    """Picture -> class (0 = normal)."""
    return dict(zip(table["id"], (table["subtype"] + 1).fillna(0).astype(int), strict=True))


@pytest.mark.parametrize(("k", "word"), [(k, word) for k, words in KEYWORDS.items() for word in words])
def test_every_keyword_of_the_owners_has_its_class_or_is_another_finding(k, word):
    assert diagnosis(word)[0] == k
    assert diagnosis(f" {word.upper()} ")[0] == k


@pytest.mark.parametrize("comma", [COMMA, ","])
def test_keywords_of_one_class_agree_and_those_of_two_or_of_another_finding_are_dropped(comma):
    assert diagnosis(comma.join(KEYWORDS[2])) == (2, "")
    assert diagnosis(comma.join(["cataract", "glaucoma"])) == (-1, "of more than one class")
    assert diagnosis(comma.join(["normal fundus", "cataract"])) == (-1, "of more than one class")
    for word in KEYWORDS[-1]:
        assert diagnosis(comma.join(["cataract", word])) == (-1, "with another finding")
    assert diagnosis(comma.join(["hypertensive retinopathy", "diabetic retinopathy"]))[0] == -1


@pytest.mark.parametrize("word", OF_THE_PICTURE)
def test_keywords_about_the_photograph_change_nothing_and_say_nothing_alone(word):
    assert diagnosis(f"{word}{COMMA}cataract") == (3, "")
    assert diagnosis(f"normal fundus{COMMA}{word}") == (0, "")
    assert diagnosis(word) == (-1, "whose keywords name no finding")
    assert diagnosis(f"{word}{COMMA}drusen") == (-1, "with another finding")


@pytest.mark.parametrize("word", ["no fundus image", "anterior segment image"])
def test_a_picture_that_shows_no_fundus_is_dropped_whatever_else_is_said(word):
    assert diagnosis(f"{word}{COMMA}cataract") == diagnosis(word) == (-1, "whose picture shows no fundus")


def test_standard_labels_each_eye_and_official_both_by_the_patient(tmp_path):
    ill = patient(100, left="cataract", right="normal fundus", flags="C")
    here = classes(recipe_of(tmp_path, [*ward(60), ill]).table)
    assert (here["100_left.jpg"], here["100_right.jpg"]) == (1 + CATARACT, 0)
    here = classes(recipe_of(tmp_path, [*ward(60), ill], "official").table)
    assert here["100_left.jpg"] == here["100_right.jpg"] == 1 + CATARACT


def test_standard_counts_what_it_drops_by_reason(tmp_path):
    odd = [
        patient(100, f"cataract{COMMA}drusen", f"glaucoma{COMMA}cataract", "GCO"),
        patient(101, "anterior segment image", "lens dust", "O"),
        patient(102, None, "normal fundus", "N"),
    ]
    recipe = recipe_of(tmp_path, [*ward(60), *odd])
    assert len(recipe.table) == 121
    assert recipe.left_out == {
        "eyes with another finding": 1,
        "eyes of more than one class": 1,
        "eyes whose picture shows no fundus": 1,
        "eyes whose keywords name no finding": 2,
    }


def test_official_needs_exactly_one_of_six_flags_and_ignores_h_and_o(tmp_path):
    odd = [patient(100, flags="DG"), patient(101, flags="H"), patient(102, flags="DHO"), patient(103, flags="NO")]
    recipe = recipe_of(tmp_path, [*ward(60), *odd], "official")
    here = classes(recipe.table)
    assert not {f"{i}_{side}.jpg" for i in (100, 101) for side in ("left", "right")} & set(here)
    assert here["102_left.jpg"] == 1 + DIABETES
    assert here["103_right.jpg"] == 0
    assert recipe.left_out["eyes of patients without exactly one of N, D, G, C, A, M"] == 4


def test_official_caps_each_class_in_file_order_and_puts_three_images_aside(tmp_path, monkeypatch):
    assert odir_subtypes.CAPS.tolist() == [2300, 400, 350, 350, 350, 350]
    monkeypatch.setattr(odir_subtypes, "CAPS", np.array([9, 7, 5, 5, 5, 5]))
    recipe = recipe_of(tmp_path, ward(60), "official")
    taken = [(i, side) for i in range(60) for side in ("left", "right")]
    cap = {0: 9, 1: 7}
    expected = [
        f"{i}_{side}.jpg"
        for i, side in taken
        if sum(j % 6 == i % 6 for j, s in taken[: taken.index((i, side))]) < cap.get(i % 6, 5)
    ]
    assert recipe.table["id"].tolist() == expected[3:]
    assert recipe.left_out == {"eyes beyond the caps of the release": 84, "eyes that the release puts aside": 3}


def test_official_tests_on_a_seeded_tenth_stratified_by_y_and_shares_patients(tmp_path):
    recipe = recipe_of(tmp_path, ward(200), "official")
    table = recipe.table
    assert recipe.shares_groups
    assert (table.groupby("group")["part"].nunique() > 1).any()
    for y, n in table["target"].value_counts().items():
        assert abs((table.loc[table["target"] == y, "part"] == "test").sum() - n / 10) <= 1
    train = table[table["part"] != "test"]
    for k, n in train.groupby(train["subtype"].fillna(-1)).size().items():
        held = (train["part"] == "validation") & (train["subtype"].fillna(-1) == k)
        assert abs(held.sum() - n / 10) <= 1
    assert table.equals(recipe_of(tmp_path, ward(200), "official").table)
    other = recipe_of(tmp_path, ward(200), "official", seed=1).table
    assert set(table.loc[table["part"] == "test", "id"]) != set(other.loc[other["part"] == "test", "id"])


@settings(max_examples=20, deadline=None)
@given(
    kinds=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=12, max_size=30),
    seed=st.integers(0, 5),
)
def test_both_eyes_of_a_patient_stand_in_one_part_of_standard(kinds, seed):
    words = [*OF_CLASS, "drusen"]
    patients = [patient(7 * i, words[left], words[right]) for i, (left, right) in enumerate(kinds)]
    with tempfile.TemporaryDirectory() as folder:
        table = recipe_of(Path(folder), [*patients, patient(999)], seed=seed).table
    assert (table.groupby("group")["part"].nunique() == 1).all()
    assert (table["group"] == table["id"].str.split("_").str[0].astype(int)).all()
    assert len(table) == sum(k < 6 for kind in kinds for k in kind) + 2


def test_the_standard_split_has_every_class_in_its_share(tmp_path):
    recipe = recipe_of(tmp_path, ward(180))
    assert not recipe.shares_groups
    table = recipe.table.assign(kind=recipe.table["subtype"].fillna(-1))
    counts = table.groupby(["part", "kind"]).size().unstack()
    assert (abs(counts.loc["train"] - 48) <= 2).all()
    assert (abs(counts.loc[["validation", "test"]] - 6) <= 2).all(axis=None)
    assert not table["part"].equals(recipe_of(tmp_path, ward(180), seed=1).table["part"])


@VARIANTS
def test_age_one_or_blank_and_an_unknown_sex_are_missing(tmp_path, variant):
    odd = [
        patient(100, age=1, sex="Male"), patient(101, age=None, sex=None), patient(102, age=0, sex="Unknown"),
        patient(103, age=47, sex=" male"), patient(104, age=2.0),
    ]  # fmt: skip
    table = recipe_of(tmp_path, [*ward(60), *odd], variant).table
    for column, expected in (("age", [np.nan] * 3 + [47, 2]), ("sex", [1, np.nan, np.nan, 1, 0])):
        here = [table.loc[table["group"] == 100 + i, column] for i in range(5)]
        for values, wanted in zip(here, expected, strict=True):
            np.testing.assert_array_equal(values, [wanted] * 2)


@VARIANTS
def test_the_eye_is_that_of_the_file_and_subtype_is_missing_on_background(raw, variant):
    recipe = OdirSubtypes(variant=variant).recipe(raw)
    table = recipe.table
    assert (table["eye"] == table["id"].str.contains("right")).all()
    assert (table["subtype"].isna() == (table["target"] == 0)).all()
    assert all(k == int(name.split("_")[0]) % 6 for name, k in classes(table).items())
    assert [factor.name for factor in recipe.factors] == ["subtype", "age", "sex", "eye"]
    assert recipe.factors[0].classes == ("diabetes", "glaucoma", "cataract", "amd", "myopia")


@VARIANTS
def test_an_image_is_its_photograph_in_red_green_blue_shrunk_and_not_stretched(raw, variant):
    dataset = OdirSubtypes(variant=variant)
    table = dataset.recipe(raw).table
    read = dataset.reader(raw, table)
    for row in table[::13].itertuples(index=False):
        image = read(row)
        assert image.shape == (3, 224, 224)
        number, eye = row.group, int(row.eye)
        # Every 16 pixels of the photograph are 7 of the image; away from edges they have one colour.
        for y, x in ((180, 150), (200, 400), (20, 20)):
            expected = picture(number, eye)[y, x].astype(int)
            assert np.abs(image[:, y * 7 // 16, x * 7 // 16] - expected).max() <= 4, (y, x)
        assert abs(image.mean() - picture(number, eye).mean()) < 1
        stripes = image[1, 120:190, 40:180]  # of 40 and 120 a pixel, which no pick of single pixels shows as 80
        assert abs(stripes.mean() - 80) < 3
        assert stripes.std() < 12


@VARIANTS
def test_prepared_splits_hold_both_groups(raw, variant):
    splits = OdirSubtypes(variant=variant).load("real", raw, tier="smoke")
    parts = (splits.train, splits.validation, splits.test)
    assert sum(map(len, parts)) == (120 if variant == "standard" else 117)
    assert all(set(part.y) == {0, 1} for part in parts)


@VARIANTS
def test_an_eye_without_a_picture_is_left_out_and_counted(tmp_path, variant):
    write_odir(tmp_path, ward(60), pictures=False)
    (tmp_path / "odir_5k" / "preprocessed_images" / "20_left.jpg").unlink()
    recipe = OdirSubtypes(variant=variant).recipe(tmp_path)
    assert recipe.left_out["eyes without a picture"] == 1
    assert "20_left.jpg" not in set(recipe.table["id"])
    assert "20_right.jpg" in set(recipe.table["id"])


@pytest.mark.parametrize("folder", ["ODIR-5K", "ODIR-5K/ODIR-5K"])
def test_the_folders_of_the_archive_serve_as_well(tmp_path, folder):
    expected = recipe_of(tmp_path / "a", ward(60)).table
    write_odir(tmp_path / "b", ward(60), folder=folder, pictures=False)
    if folder.count("/"):  # there the pictures lie beside the first of the two
        (tmp_path / "b" / folder / "preprocessed_images").rename(tmp_path / "b" / "preprocessed_images")
    recipe = OdirSubtypes().recipe(tmp_path / "b")
    assert recipe.table.equals(expected)
    assert recipe.sources == (f"{folder}/data.xlsx",)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("ID", 3, "has '3' in the column 'ID', which an earlier row has"),
        ("ID", None, "has nothing in the column 'ID', which is no number of a patient"),
        ("ID", "P-7", "has 'P-7' in the column 'ID', which is no number"),
        ("Left-Fundus", "../7_left.jpg", "has '../7_left.jpg' in the column 'Left-Fundus', which is no name"),
        ("Right-Fundus", "3_right.jpg", "has '3_right.jpg' in the column 'Right-Fundus', which an earlier row has"),
        ("Left-Fundus", None, "has nothing in the column 'Left-Fundus'"),
        ("G", 2, "has '2' in the column 'G', which is neither 0 nor 1"),
        ("M", None, "has nothing in the column 'M'"),
    ],
)
def test_a_damaged_row_is_refused_by_its_number(tmp_path, column, value, message):
    patients = ward(12)
    patients[7][COLUMNS.index(column)] = value
    with pytest.raises(DataMissing, match=rf"data.xlsx is damaged \(row 9 {message}.*Download"):
        recipe_of(tmp_path, patients)


@pytest.mark.parametrize("column", ["ID", "Patient Sex", "Right-Diagnostic Keywords", "C"])
def test_a_missing_column_is_named(tmp_path, column):
    columns = ["other" if name == column else name for name in COLUMNS]
    with pytest.raises(DataMissing, match=rf"data.xlsx is damaged \(it lacks the column '{column}'"):
        recipe_of(tmp_path, ward(12), columns=columns)


def test_what_is_no_workbook_is_refused(tmp_path):
    write_odir(tmp_path, ward(12), pictures=False)
    path = tmp_path / "odir_5k" / "data.xlsx"
    whole = path.read_bytes()
    for content, message in (
        (b"", "it is empty"),
        (b"\n<!doctype HTML><p>Sign in</p>", "it is a web page"),
        (whole[: len(whole) // 2], "it is no whole xlsx file"),
        (b"ID,Patient Age\n1,2\n", "it is no whole xlsx file"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataMissing, match=rf"data.xlsx is damaged \({message}.*Download"):
            OdirSubtypes().recipe(tmp_path)


def test_a_table_without_rows_is_refused_and_blank_rows_at_its_end_are_nothing(tmp_path):
    with pytest.raises(DataMissing, match=r"data.xlsx is damaged \(it has a header and no row"):
        recipe_of(tmp_path, [])
    write_odir(tmp_path, ward(60), pictures=False)
    import openpyxl

    book = openpyxl.load_workbook(tmp_path / "odir_5k" / "data.xlsx")
    book.active["A99"].font = openpyxl.styles.Font(bold=True)
    book.active["A99"] = ""
    book.save(tmp_path / "odir_5k" / "data.xlsx")
    assert len(OdirSubtypes().recipe(tmp_path).table) == 120


def test_a_column_of_blank_keywords_leaves_nothing_and_says_so(tmp_path):
    with pytest.raises(DataMissing, match=r"no picture that the recipe keeps .*keywords name no finding': 24"):
        recipe_of(tmp_path, [patient(i, None, None) for i in range(12)])


@VARIANTS
def test_a_folder_without_pictures_is_refused(tmp_path, variant):
    write_odir(tmp_path, ward(12), pictures=False)
    shutil.rmtree(tmp_path / "odir_5k" / "preprocessed_images")
    (tmp_path / "odir_5k" / "preprocessed_images").mkdir()
    with pytest.raises(DataMissing, match=r"preprocessed_images holds no picture .*24.*Download"):
        OdirSubtypes(variant=variant).recipe(tmp_path)
    (tmp_path / "odir_5k" / "data.xlsx").unlink()
    with pytest.raises(DataMissing, match=r"odir_5k/data.xlsx is missing \(nor is there ODIR-5K/data.xlsx"):
        OdirSubtypes(variant=variant).recipe(tmp_path)


def test_one_unreadable_picture_is_left_out_and_listed(tmp_path):
    write_odir(tmp_path, ward(60))
    path = tmp_path / "odir_5k" / "preprocessed_images" / "20_left.jpg"
    path.write_bytes(path.read_bytes()[:900])
    splits = OdirSubtypes().load("real", tmp_path, tier="paper")
    assert sum(map(len, (splits.train, splits.validation, splits.test))) == 119
    manifest = json.loads((tmp_path / "prepared" / "odir_subtypes" / "standard-0" / "manifest.json").read_text())
    assert list(manifest["unreadable"]) == ["20_left.jpg"]
