"""Promises of the schizophrenia_mri data set: of its deformed brains, and of its recipe for the owners' files."""

import contextlib
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_files.brains import AFFINE, SCANNERS, SHAPE, brain, person, ratings, write_brains, write_map

from cabench.dataset import Unreadable
from cabench.datasets._raw.volumes import common_grid, read_cube
from cabench.datasets._synthetic import brain as phantoms
from cabench.datasets.schizophrenia_mri import SchizophreniaMri
from cabench.errors import DataMissing, UserError

N = 16
HEALTHY = phantoms.Subjects(
    y=np.zeros(N, int),
    sans=np.zeros(N),
    saps=np.zeros(N),
    age=np.full(N, 30.0),
    sex=np.zeros(N, int),
    site=np.zeros(N, int),
)


@pytest.fixture(scope="module")
def rendered():
    return SchizophreniaMri().synthetic(100, 3, "train")


def volumes(**values):
    """N renderings that share their nuisance, as float (N, 32, 32, 32) in [0, 1], (z, y, x)."""
    columns = {name: np.full(N, value) for name, value in values.items()}
    return phantoms.render(replace(HEALTHY, **columns), 11)[:, 0] / 255.0


def core(volume):
    """The middle of the brain, where the lateral ventricles are, (N, 8, 12, 12)."""
    return volume[:, 13:21, 10:22, 10:22]


def test_same_arguments_give_same_bytes(rendered):
    again = SchizophreniaMri().synthetic(100, 3, "train")
    assert (again.x == rendered.x).all()
    for name, column in rendered.labels.items():
        np.testing.assert_array_equal(again.labels[name], column)


@pytest.mark.parametrize(("seed", "part"), [(4, "train"), (3, "test")])
def test_seed_and_part_change_the_volumes(rendered, seed, part):
    other = SchizophreniaMri().synthetic(100, seed, part)
    assert not (other.x == rendered.x).all()
    assert not np.array_equal(other.labels["age"], rendered.labels["age"])


def test_shapes_and_types(rendered):
    assert rendered.x.shape == (100, 1, 32, 32, 32)
    assert rendered.x.dtype == np.uint8
    assert set(rendered.labels) == {factor.name for factor in SchizophreniaMri.factors}


@pytest.mark.parametrize("n", [1, 7, 25, 48])
def test_half_of_the_volumes_are_targets(n):
    assert SchizophreniaMri().synthetic(n, 0, "test").y.sum() == n // 2


def test_scores_are_nan_exactly_on_background(rendered):
    for name, (low, high) in {"sans": phantoms.SANS, "saps": phantoms.SAPS}.items():
        column = rendered.labels[name]
        assert (np.isnan(column) == (rendered.y == 0)).all()
        assert ((column >= low) & (column <= high))[rendered.y == 1].all()


def test_diagnosis_is_the_target(rendered):
    np.testing.assert_array_equal(rendered.labels["diagnosis"], rendered.y)


def test_factors_are_independent_of_each_other_and_of_the_target():
    subjects = phantoms.draw_subjects(20_000, np.random.default_rng(0))
    columns = np.stack([subjects.y, subjects.age, subjects.sex, subjects.site])
    assert np.abs(np.corrcoef(columns) - np.eye(4)).max() < 0.03
    sick = subjects.y == 1
    columns = np.stack([subjects.sans, subjects.saps, subjects.age, subjects.sex, subjects.site])[:, sick]
    assert np.abs(np.corrcoef(columns) - np.eye(5)).max() < 0.04


def test_a_volume_does_not_depend_on_the_volumes_after_it():
    subjects = phantoms.draw_subjects(40, np.random.default_rng(1))
    assert (phantoms.render(subjects, 5)[:30] == phantoms.render(subjects[:30], 5)).all()


def test_larger_sans_means_larger_ventricles():
    dark = [(core(volumes(sans=score)) < 0.15).mean((1, 2, 3)) for score in (0.0, 50.0, 100.0)]
    assert (dark[1] > dark[0]).mean() > 0.9
    assert (dark[2] > dark[1]).mean() > 0.9


def test_sans_thins_the_front_and_saps_the_temporal_lobes():
    change = {name: volumes(**{name: score}) - volumes() for name, score in (("sans", 100.0), ("saps", 80.0))}
    front, back = change["sans"][:, :, 22:].mean((1, 2, 3)), change["sans"][:, :, :10].mean((1, 2, 3))
    assert (front < back).all()
    assert front.mean() < 5 * back.mean()
    low, high = change["saps"][:, :14].mean((1, 2, 3)), change["saps"][:, 20:].mean((1, 2, 3))
    assert (low < high).all()
    assert low.mean() < 0


def test_age_thins_the_whole_cortex_more_than_it_widens_the_ventricles():
    old, young = volumes(age=70.0), volumes(age=18.0)
    for part in (np.s_[:, :, 20:], np.s_[:, :, :12], np.s_[:, 18:]):
        assert (old[part].mean((1, 2, 3)) < young[part].mean((1, 2, 3))).all()
    widening = (core(old) < 0.15).mean() - (core(young) < 0.15).mean()
    assert widening < (core(volumes(sans=100.0)) < 0.15).mean() - (core(volumes()) < 0.15).mean()


def test_sex_changes_the_size_of_the_head():
    assert ((volumes(sex=1) > 0.2).mean((1, 2, 3)) > (volumes(sex=0) > 0.2).mean((1, 2, 3))).all()


def test_sites_differ_in_smoothness():
    rough = [np.abs(np.diff(volumes(site=k)[:, 12:20, 10:22, 10:22], axis=3)).mean() for k in range(3)]
    assert rough[1] < rough[2] < rough[0]


def test_saps_shrinks_the_hippocampus_and_spares_the_cerebellum():
    change = volumes(saps=80.0) - volumes()
    # In (z, y, x): around the hippocampi, and the lowest and rearmost part of the brain.
    hippocampi, cerebellum = change[:, 12:15, 12:17, 9:23], change[:, 4:9, 4:10, 10:22]
    assert (hippocampi.mean((1, 2, 3)) < -0.01).all()
    assert np.abs(cerebellum).mean() < -0.1 * hippocampi.mean()


def test_the_brain_is_that_of_the_template():
    from nilearn.datasets import load_mni152_gm_template, load_mni152_wm_template

    for share, load in zip(
        phantoms.atlas().tissue, (load_mni152_gm_template, load_mni152_wm_template), strict=False
    ):
        litres = load().get_fdata().sum() / 1e6
        assert share.sum() * (2 / len(share) * phantoms.MM / 100) ** 3 == pytest.approx(litres, rel=0.01)


def test_no_tissue_of_the_template_lies_outside_its_hull():
    tissue = phantoms.atlas().tissue[:2].sum(0)
    axis = (np.arange(len(tissue)) + 0.5) * 2 / len(tissue) - 1
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    outside = sum((along / half) ** 2 for along, half in zip((x, y, z), phantoms._HULL, strict=True)) >= 1
    assert tissue[outside].max() < 0.1 < tissue.max()


def test_only_the_lateral_ventricles_are_widened():
    """The template is symmetric, they lie in the middle and hold 10 to 30 ml."""
    distance = np.sqrt(np.square(phantoms.atlas().ventricle).sum(0))
    inside = distance < 1
    assert 10 < inside.sum() * (2 / len(inside) * phantoms.MM / 10) ** 3 < 30
    assert np.abs(distance - distance[:, :, ::-1])[distance < 20].mean() < 1
    z, y, x = (((index.min() + 0.5), (index.max() + 0.5)) for index in np.nonzero(inside))
    for (low, high), (lowest, highest), origin in zip(
        (x, y, z), ((-30, 30), (-50, 40), (-10, 32)), phantoms.ORIGIN, strict=True
    ):
        mm = [(edge * 2 / len(inside) - 1) * phantoms.MM + origin for edge in (low, high)]
        assert lowest < mm[0] < mm[1] < highest


def test_two_subjects_of_one_kind_have_brains_of_their_own():
    x = volumes().reshape(N, -1)
    assert np.corrcoef(x)[np.triu_indices(N, 1)].max() < 0.98


def test_listing_does_not_import_the_template():
    code = (
        "import sys; import cabench.datasets.schizophrenia_mri; from cabench.cli.main import cli; "
        "cli(['list', 'datasets'], standalone_mode=False); sys.exit('nilearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_splits_load_and_a_real_source_without_files_is_refused(tmp_path: Path):
    splits = SchizophreniaMri().load(tier="smoke")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [240, 96, 144]
    with pytest.raises(UserError, match=r"ds000030/participants.tsv is missing.*openneuro.*--data-root"):
        SchizophreniaMri().load(source="real", root=tmp_path)


DIAGNOSES = ("CONTROL", "SCHZ")
OBTAIN = r"Open substitute .*--data-root"


def cohort(n, first=10000):
    """Healthy subjects and patients in turn, on two scanners."""
    return [
        person(first + i, DIAGNOSES[i % 2], 20 + i % 30, "MF"[i // 2 % 2], SCANNERS[i // 2 % 2]) for i in range(n)
    ]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    root = tmp_path_factory.mktemp("brains")
    write_brains(root, cohort(60))
    return root


def recipe_of(root, people, seed=0, **options):
    write_brains(root, people, pixels=False, **options)
    return SchizophreniaMri(data_seed=seed).recipe(root)


def manifest_of(root):
    return json.loads((root / "prepared" / "schizophrenia_mri" / "standard-0" / "manifest.json").read_text())


def test_only_control_and_schizophrenia_are_kept_and_the_others_counted(tmp_path):
    others = [person(60001, "BIPOLAR"), person(70001, "ADHD"), person(70002, "n/a")]
    recipe = recipe_of(tmp_path, [*others, *cohort(60)])
    assert recipe.left_out == {"participants with another diagnosis": 3}
    expected = {row["participant_id"]: float(row["diagnosis"] == "SCHZ") for row in cohort(60)}
    assert dict(zip(recipe.table["id"], recipe.table["diagnosis"], strict=True)) == expected
    assert (recipe.table["target"] == recipe.table["diagnosis"]).all()


def test_factors_are_those_of_the_tables(raw):
    recipe = SchizophreniaMri().recipe(raw)
    assert [factor.name for factor in recipe.factors] == ["sans", "saps", "diagnosis", "age", "sex", "site"]
    assert recipe.factors[-1].classes == SCANNERS
    for row, subject in zip(recipe.table.itertuples(), cohort(60), strict=True):
        assert row.id == subject["participant_id"]
        assert row.age == subject["age"]
        assert row.sex == (subject["gender"] == "M")
        assert SCANNERS[int(row.site)] == subject["ScannerSerialNumber"]
    assert recipe.sources == tuple(
        f"ds000030/{name}.tsv" for name in ("participants", "phenotype/sans", "phenotype/saps")
    )
    assert not recipe.shares_groups


def test_what_is_unknown_is_missing(tmp_path):
    odd = [
        person(20001, age="n/a"), person(20002, age=0), person(20003, gender="n/a"), person(20004, gender="X"),
        person(20005, scanner="n/a"),
    ]  # fmt: skip
    table = recipe_of(tmp_path, [*cohort(60), *odd]).table.set_index("id")
    assert table.loc[["sub-20001", "sub-20002"], "age"].isna().all()
    assert table.loc[["sub-20003", "sub-20004"], "sex"].isna().all()
    assert np.isnan(table.loc["sub-20005", "site"])
    assert table[["age", "sex", "site"]].isna().sum().sum() == 5


def test_a_site_is_no_factor_where_one_scanner_is_known(tmp_path):
    people = [row | {"ScannerSerialNumber": scanner} for row in cohort(60) for scanner in ["35343"]]
    recipe = recipe_of(tmp_path, people)
    assert "site" not in {factor.name for factor in recipe.factors} | set(recipe.table.columns)


def test_scores_are_the_sums_of_the_global_ratings_and_missing_on_background(tmp_path):
    scores = {
        ("sans", "sub-10001"): ratings("sans", 5, factor_alogia=99, sans1=99),
        ("saps", "sub-10001"): ratings("saps", 1, global_inappaffect=5, global_delusions=4),
        ("sans", "sub-10003"): ratings("sans", 2, global_alogia="n/a"),
        ("saps", "sub-10003"): ratings("saps", 2, global_delusions=-9999),
        ("sans", "sub-10005"): ratings("sans", 2, global_alogia=0),
        ("sans", "sub-10000"): ratings("sans", 3),
    }
    table = recipe_of(tmp_path, cohort(60), scores=scores).table.set_index("id")
    assert table.loc[["sub-10001", "sub-10005", "sub-10007"], "sans"].tolist() == [25, 8, 10]
    assert table.loc[["sub-10001", "sub-10007"], "saps"].tolist() == [7, 8]
    assert table.loc["sub-10003", ["sans", "saps"]].isna().all()
    for scale in ("sans", "saps"):
        assert table.loc[table["target"] == 0, scale].isna().all()


@pytest.mark.parametrize("name", ["{}", "{}_total", "{}total", "{}_score", "{}_sum", "{}_sumscore"])
def test_a_total_counts_before_ratings_and_one_among_the_participants_before_one_in_its_table(tmp_path, name):
    sans, saps = (name.format(scale) for scale in ("SANS", "saps"))
    people = [row | {sans: 41 if row["diagnosis"] == "SCHZ" else "n/a"} for row in cohort(60)]
    scores = {
        (scale, row["participant_id"]): ratings(scale, 1, **{column: 33})
        for row in people
        for scale, column in (("sans", sans), ("saps", saps))
    }
    recipe = recipe_of(tmp_path, people, scores=scores)
    ill = recipe.table[recipe.table["target"] == 1]
    assert set(ill["sans"]) == {41}
    assert set(ill["saps"]) == {33}
    assert recipe.sources == ("ds000030/participants.tsv", "ds000030/phenotype/saps.tsv")


def test_a_subject_without_scores_stays_and_they_are_missing(tmp_path):
    write_brains(tmp_path, cohort(60), pixels=False)
    for scale in ("sans", "saps"):
        path = tmp_path / "ds000030" / "phenotype" / f"{scale}.tsv"
        path.write_text("".join(line for line in path.open() if "sub-10003" not in line))
    table = SchizophreniaMri().recipe(tmp_path).table.set_index("id")
    assert table.loc["sub-10003", ["sans", "saps"]].isna().all()
    assert table["sans"].notna().sum() == 29


def test_the_names_of_the_first_release_serve_as_well(tmp_path, raw):
    write_brains(tmp_path, cohort(60), pixels=False)
    folder = tmp_path / "ds000030" / "phenotype"
    for scale in ("sans", "saps"):
        (folder / f"{scale}.tsv").rename(folder / f"phenotype_{scale}.tsv")
    assert SchizophreniaMri().recipe(tmp_path).table.equals(SchizophreniaMri().recipe(raw).table)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("participants", "participant_id", "subject", "it lacks the column 'participant_id'"),
        ("participants", "diagnosis", "group", "it lacks the column 'diagnosis'"),
        ("participants", "ScannerSerialNumber", "scanner", "it lacks the column 'ScannerSerialNumber'"),
        ("participants", "sub-10004", "sub-10003", "row 6 has 'sub-10003' .*which an earlier row has"),
        ("participants", "sub-10004", "../10004", "row 6 has '../10004' .*which is no name of a participant"),
        ("participants", "sub-10004", "sub-*", r"row 6 has 'sub-\*' .*which is no name of a participant"),
        ("participants", "sub-10004", "n/a", "row 6 has nothing .*which is no name of a participant"),
        ("phenotype/sans", "participant_id", "subject", "it lacks the column 'participant_id'"),
        ("phenotype/sans", "sub-10004", "sub-10003", "row 6 has 'sub-10003' .*which an earlier row has"),
        (
            "phenotype/sans",
            "global_alogia",
            "alogia",
            "it has none of the columns sans, sans_total, .*global_alogia",
        ),
        ("phenotype/saps", "\t2", "\tmild", "row 3 has 'mild' in the column 'global_.*', which is no number"),
    ],
)
def test_a_damaged_table_is_refused_with_its_row(tmp_path, file, old, new, message):
    write_brains(tmp_path, cohort(12), pixels=False)
    path = tmp_path / "ds000030" / f"{file}.tsv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataMissing, match=rf"{path} is damaged \({message}.*{OBTAIN}"):
        SchizophreniaMri().recipe(tmp_path)


@pytest.mark.parametrize("file", ["participants", "phenotype/sans", "phenotype/saps"])
def test_a_missing_or_empty_table_is_named_with_the_way_to_get_it(tmp_path, file):
    write_brains(tmp_path, cohort(12), pixels=False)
    path = tmp_path / "ds000030" / f"{file}.tsv"
    path.write_text("")
    with pytest.raises(DataMissing, match=rf"{path} is damaged \(it is empty\).*{OBTAIN}"):
        SchizophreniaMri().recipe(tmp_path)
    path.unlink()
    with pytest.raises(DataMissing, match=rf"{path} is missing.*{OBTAIN}"):
        SchizophreniaMri().recipe(tmp_path)


def test_nobody_with_a_diagnosis_of_interest_is_said(tmp_path):
    with pytest.raises(DataMissing, match=r"participants.tsv lists nobody with the diagnosis CONTROL or SCHZ"):
        recipe_of(tmp_path, [person(1, "ADHD")])


def test_official_is_refused_because_no_code_was_released(raw):
    with pytest.raises(UserError, match="no code was released"):
        SchizophreniaMri(variant="official").load("real", raw)


PLACES = [
    "derivatives/cat12/{0}/mwp1{0}_T1w.nii",
    "derivatives/cat12-12.6_vbm/{0}/ses-1/anat/mri/mwp1{0}_T1w.nii.gz",
    "{0}/anat/mri/mwp1{0}_T1w.nii",
    "{0}/anat/{0}_GM.nii.gz",
    "{0}/anat/{0}_space-MNI152NLin2009cAsym_GM.nii",
    "derivatives/fmriprep/{0}/anat/{0}_T1w_space-MNI152NLin2009cAsym_class-GM_probtissue.nii.gz",
    "derivatives/fmriprep/{0}/anat/{0}_space-MNI152NLin2009cAsym_label-GM_probseg.nii.gz",
]


@pytest.mark.parametrize("place", PLACES)
def test_maps_are_found_where_they_may_lie(tmp_path, place):
    recipe = recipe_of(tmp_path, cohort(12), place=place)
    assert recipe.table["raw_map"].tolist() == [f"ds000030/{place.format(name)}" for name in recipe.table["id"]]


@pytest.mark.parametrize(
    "other",
    ["derivatives/cat12/{0}/mri/smwp1{0}_T1w.nii", "derivatives/cat12/{0}/mri/mwp2{0}_T1w.nii",
     "derivatives/cat12/{0}/mri/mwp1{0}_T1w.json", "{0}/anat/{0}_T1w.nii.gz", "derivatives/fmriprep/{0}/anat/"
     "{0}_label-GM_probseg.nii.gz"],
)  # fmt: skip
def test_no_other_file_is_taken_for_a_map(tmp_path, other):
    with pytest.raises(DataMissing, match=rf"No grey-matter map lies below {tmp_path} \(looked for .*{OBTAIN}"):
        recipe_of(tmp_path, cohort(12), place=other)


def test_all_maps_are_of_one_kind(tmp_path):
    recipe_of(tmp_path, cohort(12), place=PLACES[-1])
    recipe = recipe_of(tmp_path, cohort(12), place=PLACES[0])
    (tmp_path / recipe.table["raw_map"][4]).unlink()
    recipe = SchizophreniaMri().recipe(tmp_path)
    assert recipe.table["raw_map"].str.contains("cat12").all()
    assert recipe.left_out == {"subjects without a grey-matter map": 1}
    assert "sub-10004" not in set(recipe.table["id"])


def test_two_maps_of_a_subject_are_refused_by_name(tmp_path):
    recipe_of(tmp_path, cohort(12), place=PLACES[0])
    with pytest.raises(
        DataMissing, match=r"sub-10000 has 2 grey-matter maps, .*_T1w.nii and .*_T1w.nii.gz.*leave one"
    ):
        recipe_of(tmp_path, cohort(12), place=PLACES[0] + ".gz")


@settings(max_examples=25, deadline=None)
@given(
    kinds=st.lists(st.tuples(st.booleans(), st.sampled_from([*SCANNERS, "n/a"])), min_size=6, max_size=30),
    seed=st.integers(0, 5),
)
def test_no_subject_stands_on_two_sides(kinds, seed):
    people = [person(i, DIAGNOSES[ill], scanner=scanner) for i, (ill, scanner) in enumerate(kinds)]
    with tempfile.TemporaryDirectory() as folder:
        table = recipe_of(Path(folder), people, seed).table
    assert table["id"].is_unique and table["group"].is_unique
    assert len(table) == len(people)


def test_every_part_has_its_share_of_each_diagnosis_at_each_site(tmp_path):
    table = recipe_of(tmp_path, cohort(200)).table
    counts = table.groupby(["part", "target", "site"]).size().unstack([1, 2])
    assert (abs(counts.loc["train"] - 40) <= 2).all()
    assert (abs(counts.loc[["validation", "test"]] - 5) <= 1).all(axis=None)
    assert table["part"].equals(recipe_of(tmp_path, cohort(200)).table["part"])
    assert not table["part"].equals(recipe_of(tmp_path, cohort(200), seed=1).table["part"])


def test_prepared_splits_hold_all_subjects(raw):
    splits = SchizophreniaMri().load("real", raw, tier="smoke")
    parts = (splits.train, splits.validation, splits.test)
    assert sum(map(len, parts)) == 60
    assert all(set(part.y) == {0, 1} for part in parts)
    assert all(part.x.shape[1:] == (1, 64, 64, 64) for part in parts)
    assert all((np.isnan(part.labels["sans"]) == (part.y == 0)).all() for part in parts)


def image_of(root, density, **options):
    """What the reader makes of one map among others."""
    write_brains(root, cohort(12))
    table = SchizophreniaMri().recipe(root).table
    write_map(root / table["raw_map"][3], density, **options)
    return SchizophreniaMri().reader(root, table)(table.iloc[3])


def test_an_image_is_z_y_x_with_the_right_of_the_brain_on_the_right(tmp_path):
    image = image_of(tmp_path, brain(0))[0]
    assert image.shape == (64, 64, 64) and image.dtype == np.uint8
    assert abs(image[32, 32, 20].astype(int) - 153) <= 1  # 0.6 on the left of the subject, where x is low
    assert abs(image[32, 32, 44].astype(int) - 76) <= 1  # 0.3 on the right
    assert (image[43:49, 16:24, 28:36] == 255).all()  # high and behind
    assert (image[22:26, 40:44, 28:36] == 0).all()  # low and in front
    assert (image[:6] == 0).all() and (image[:, :, -6:] == 0).all()  # around the volume


@pytest.mark.parametrize(
    ("density", "stored"), [(0.0, 0), (0.5, 128), (0.25, 64), (1.0, 255), (1.7, 255), (-0.1, 0), (0.001, 0)]
)
def test_densities_are_stored_on_a_scale_of_their_own(tmp_path, density, stored):
    values = np.full(SHAPE, density)
    values[0, 0, 0] = 1  # in a corner
    assert image_of(tmp_path, values)[0, 32, 32, 32] == stored


@pytest.mark.parametrize("dtype", [np.float64, np.uint8, np.int16])
def test_the_type_of_the_file_changes_nothing(tmp_path, dtype):
    whole = np.zeros(SHAPE)
    whole[4:9, 5:12, 3:7] = 1
    assert (image_of(tmp_path, whole, dtype=dtype) == image_of(tmp_path, whole)).all()


AXES = [((0, 1, 2), (1, 1, 1)), ((0, 1, 2), (-1, -1, 1)), ((2, 0, 1), (1, -1, 1)), ((1, 2, 0), (-1, 1, -1))]


@pytest.mark.parametrize(("order", "signs"), AXES)
def test_the_order_of_the_axes_in_the_file_changes_nothing(tmp_path, order, signs):
    density = np.random.default_rng(0).random(SHAPE)
    expected = image_of(tmp_path, density)
    image = nibabel.Nifti1Image(density, AFFINE)
    turn = np.stack([np.array(order), np.array(signs)], axis=1)
    turned = image.as_reoriented(turn)
    assert turned.shape != image.shape or (turned.affine != image.affine).any() or order == (0, 1, 2)
    np.testing.assert_array_equal(image_of(tmp_path, turned.get_fdata(), affine=turned.affine), expected)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: np.where(d > 1, np.nan, d), r"32 of its voxels are NaN or infinite"),
        (lambda d: np.where(d > 1, np.inf, d), r"32 of its voxels are NaN or infinite"),
        (lambda d: d[:-1], r"its shape is 13x18x14, and that of most volumes 14x18x14"),
        (lambda d: d[None], r"its shape is 1x14x18x14, which is no volume"),
        (lambda d: d[0], r"its shape is 18x14.*, which is no volume|its shape is"),
        (lambda d: d * 800, r"its largest value is 9\d\d.*, which is no density"),
        (lambda d: d * 0, r"its largest value is 0, which is no density"),
    ],
)
def test_a_map_that_is_none_is_unreadable(tmp_path, change, why):
    with pytest.raises(Unreadable, match=why):
        image_of(tmp_path, change(brain(0)))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"affine": AFFINE + np.eye(4, k=3) * 30}, "affine puts the voxels elsewhere"),
        ({"affine": AFFINE @ np.diag([2, 2, 2, 1])}, "affine puts the voxels elsewhere"),
        ({"code": 0}, "does not say which way its axes point"),
    ],
)
def test_a_map_that_lies_elsewhere_is_unreadable(tmp_path, options, why):
    with pytest.raises(Unreadable, match=why):
        image_of(tmp_path, brain(0), **options)


def test_a_singular_affine_is_unreadable(tmp_path):
    path = tmp_path / "x.nii"
    write_map(path, brain(0))
    image = nibabel.load(path)
    image.header["srow_x"] = 0
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(), None, image.header), path)
    with pytest.raises(Unreadable, match="singular"):
        read_cube(path, None, 4)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("damage", ["missing", "empty", "text", "half", "header", "offset"])
def test_a_damaged_file_is_unreadable_without_its_path(tmp_path, suffix, damage):
    path = tmp_path / f"x{suffix}"
    write_map(path, np.random.default_rng(0).random(SHAPE))
    grid, whole = common_grid([path]), path.read_bytes()
    half = {"empty": b"", "text": b"<html>" * 99, "half": whole[: len(whole) // 2], "header": whole[:200]}
    # Voxels that begin at byte 10^29.
    half["offset"] = whole[:111] + bytes([95 if suffix == ".nii" else whole[111] ^ 255]) + whole[112:]
    path.unlink() if damage == "missing" else path.write_bytes(half[damage])
    with pytest.raises(Unreadable) as caught:
        read_cube(path, grid, 8)
    assert str(tmp_path) not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), suffix=st.sampled_from([".nii", ".nii.gz"]))
def test_whatever_bytes_are_damaged_the_error_is_unreadable(data, suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        write_map(path, brain(3))
        grid, content = common_grid([path]), bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 8))):
            content[data.draw(st.integers(0, min(len(content), 400) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        with contextlib.suppress(Unreadable):
            assert read_cube(path, grid, 8).shape == (8, 8, 8)
        common_grid([path])


def test_one_map_of_another_shape_is_left_out_and_listed_and_two_stop_the_preparation(tmp_path):
    write_brains(tmp_path, cohort(120))
    maps = SchizophreniaMri().recipe(tmp_path).table["raw_map"]
    write_map(tmp_path / maps[8], np.ones((5, 6, 7)))
    splits = SchizophreniaMri().load("real", tmp_path, tier="paper")
    assert sum(map(len, (splits.train, splits.validation, splits.test))) == 119
    assert manifest_of(tmp_path)["unreadable"] == {
        "sub-10008": "its shape is 5x6x7, and that of most volumes 14x18x14"
    }
    (tmp_path / maps[9]).write_bytes(b"")
    with pytest.raises(DataMissing, match=r"2 of 120 images .* cannot be read"):
        SchizophreniaMri(data_seed=1).load("real", tmp_path, tier="paper")


def test_common_is_the_grid_of_most_and_damaged_headers_have_no_say(tmp_path):
    shapes = [(4, 4, 4), (5, 4, 4), (5, 4, 4), None, None, None]
    paths = [tmp_path / f"{i}.nii" for i in range(6)]
    for path, shape in zip(paths, shapes, strict=True):
        write_map(path, np.ones(shape)) if shape else path.write_bytes(b"x")
    assert common_grid(paths).shape == (5, 4, 4)
    assert common_grid(paths[3:]) is None
    np.testing.assert_allclose(common_grid(paths).sizes, 1.5)


def test_a_cell_is_the_mean_of_its_voxels_and_of_nothing_around(tmp_path):
    """A slow reference: 8 voxels of 1.5 mm in 4 cells of 3 mm, with a layer of nothing around the short axes."""
    density = np.random.default_rng(0).random((6, 8, 6))
    path = tmp_path / "x.nii"
    write_map(path, density, affine=np.diag([1.5, 1.5, 1.5, 1]))
    padded = np.pad(density, ((1, 1), (0, 0), (1, 1)))
    expected = padded.reshape(4, 2, 4, 2, 4, 2).mean((1, 3, 5)).transpose(2, 1, 0)
    np.testing.assert_allclose(read_cube(path, common_grid([path]), 4), expected, rtol=1e-5)


def test_the_sum_over_the_volume_is_kept_whatever_its_voxels(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(12):
        shape, sizes = tuple(rng.integers(1, 20, 3)), rng.uniform(0.5, 3, 3).round(2)
        density = rng.random(shape)
        path = tmp_path / f"{i}.nii"
        write_map(path, density, affine=np.diag([*sizes, 1]))
        side = int(rng.integers(2, 12))
        cube = read_cube(path, common_grid([path]), side)
        cell = (max(shape * sizes) / side) ** 3
        np.testing.assert_allclose(cube.sum() * cell, density.sum() * sizes.prod(), rtol=1e-4)
