"""Promises of the celeba_accessories data set and of its portraits."""

from pathlib import Path

import numpy as np
import pytest

from cabench.datasets._synthetic import faces
from cabench.datasets.celeba_accessories import CelebaAccessories
from cabench.errors import UserError

N = 24
GLASSES, HAT = 0, 1


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


def test_splits_load_and_real_source_is_refused(tmp_path: Path):
    splits = CelebaAccessories().load(tier="smoke")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [400, 160, 200]
    with pytest.raises(UserError, match="CelebA"):
        CelebaAccessories().load(source="real")
    with pytest.raises(UserError, match="synthetic"):
        CelebaAccessories().load(source="real", root=tmp_path)
