"""Promises of the odir_subtypes data set and of its fundus phantoms."""

from pathlib import Path

import numpy as np
import pytest

from cabench.datasets._synthetic import fundus
from cabench.datasets.odir_subtypes import OdirSubtypes
from cabench.errors import UserError

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


def test_splits_load_and_real_source_is_refused(tmp_path: Path):
    splits = OdirSubtypes().load(tier="smoke")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [400, 160, 200]
    with pytest.raises(UserError, match="odir"):
        OdirSubtypes().load(source="real")
    with pytest.raises(UserError, match="synthetic"):
        OdirSubtypes().load(source="real", root=tmp_path)
