"""Promises of the schizophrenia_mri data set and of its phantoms."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cabench.datasets._synthetic import brain
from cabench.datasets.schizophrenia_mri import SchizophreniaMri
from cabench.errors import UserError

N = 16
HEALTHY = brain.Subjects(
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
    return brain.render(replace(HEALTHY, **columns), 11)[:, 0] / 255.0


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
    for name, (low, high) in {"sans": brain.SANS, "saps": brain.SAPS}.items():
        column = rendered.labels[name]
        assert (np.isnan(column) == (rendered.y == 0)).all()
        assert ((column >= low) & (column <= high))[rendered.y == 1].all()


def test_diagnosis_is_the_target(rendered):
    np.testing.assert_array_equal(rendered.labels["diagnosis"], rendered.y)


def test_factors_are_independent_of_each_other_and_of_the_target():
    subjects = brain.draw_subjects(20_000, np.random.default_rng(0))
    columns = np.stack([subjects.y, subjects.age, subjects.sex, subjects.site])
    assert np.abs(np.corrcoef(columns) - np.eye(4)).max() < 0.03
    sick = subjects.y == 1
    columns = np.stack([subjects.sans, subjects.saps, subjects.age, subjects.sex, subjects.site])[:, sick]
    assert np.abs(np.corrcoef(columns) - np.eye(5)).max() < 0.04


def test_a_volume_does_not_depend_on_the_volumes_after_it():
    subjects = brain.draw_subjects(40, np.random.default_rng(1))
    assert (brain.render(subjects, 5)[:30] == brain.render(subjects[:30], 5)).all()


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


def test_splits_load_and_real_source_is_refused(tmp_path: Path):
    splits = SchizophreniaMri().load(tier="smoke")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [240, 96, 144]
    with pytest.raises(UserError, match="ds000030"):
        SchizophreniaMri().load(source="real")
    with pytest.raises(UserError, match="synthetic"):
        SchizophreniaMri().load(source="real", root=tmp_path)
