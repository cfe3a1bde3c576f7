"""What every built-in data set promises."""

import numpy as np
import pytest

from cabench import registry
from cabench.errors import UserError

NAMES = sorted(registry.find("dataset"))


@pytest.fixture(scope="module", params=NAMES)
def loaded(request):
    dataset = registry.get("dataset", request.param).load()()
    return dataset, dataset.load(tier="smoke")


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(loaded):
    dataset, splits = loaded
    assert dataset.load(tier="smoke").test.digest() == splits.test.digest()
    assert type(dataset)(data_seed=1).load(tier="smoke").test.digest() != splits.test.digest()


def test_splits_differ_and_share_no_group(loaded):
    parts = [getattr(loaded[1], name) for name in ("train", "validation", "test")]
    groups = [set(part.groups.tolist()) for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups))
    images = [{image.tobytes() for image in part.x} for part in parts]
    assert not images[0] & images[2] and not images[0] & images[1] and not images[1] & images[2]


def test_every_factor_has_its_label_where_it_is_probed(loaded):
    dataset, splits = loaded
    for part in (splits.train, splits.validation, splits.test):
        for factor in splits.factors:
            column = part.labels[factor.name]
            assert np.isfinite(column[factor.mask(part.y)]).all()
            if factor.rows == "target":
                assert np.isnan(column[part.y == 0]).all() or factor.home == "common"
            if factor.classes:
                assert set(np.unique(column[factor.mask(part.y)])) <= set(range(len(factor.classes)))
    assert any(factor.main for factor in dataset.factors)
    assert any(factor.home == "common" for factor in dataset.factors)


def test_both_groups_are_there_in_equal_shares(loaded):
    for part in (loaded[1].train, loaded[1].validation, loaded[1].test):
        assert abs(part.y.mean() - 0.5) < 0.01


def test_a_real_source_without_a_folder_says_how_to_get_the_files(loaded):
    with pytest.raises(UserError, match="--data-root"):
        loaded[0].load("real")
