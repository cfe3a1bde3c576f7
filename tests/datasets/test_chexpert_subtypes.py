"""Promises of the chexpert_subtypes data set and of its phantoms."""

from pathlib import Path

import numpy as np
import pytest

from cabench.datasets._synthetic import chest
from cabench.datasets.chexpert_subtypes import ChexpertSubtypes
from cabench.errors import UserError

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


def test_splits_load_and_real_source_is_refused(tmp_path: Path):
    splits = ChexpertSubtypes().load(tier="smoke")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [400, 160, 200]
    with pytest.raises(UserError, match="CheXpert"):
        ChexpertSubtypes().load(source="real")
    with pytest.raises(UserError, match="synthetic"):
        ChexpertSubtypes().load(source="real", root=tmp_path)
