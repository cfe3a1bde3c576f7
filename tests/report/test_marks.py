import numpy as np
import pytest

from cabench.report.marks import marks


def column(**scores):
    return {method: dict(enumerate(values)) for method, values in scores.items()}


CLEAR = {"a": [0.9, 0.91, 0.92], "b": [0.7, 0.71, 0.72], "c": [0.5, 0.51, 0.53]}


def test_first_and_second_are_marked_where_the_seeds_tell_them_apart():
    assert marks(column(**CLEAR), "higher") == {"a": "best", "b": "second"}
    assert marks(column(**CLEAR), "lower") == {"c": "best", "b": "second"}


def test_nothing_is_marked_beyond_a_tie():
    near = {"a": [0.9, 0.8, 0.7], "b": [0.8, 0.85, 0.72], "c": [0.1, 0.1, 0.1]}
    assert marks(column(**near), "higher") == {}
    assert marks(column(a=CLEAR["a"], b=[0.7, 0.71, 0.5], c=[0.6, 0.7, 0.65]), "higher") == {"a": "best"}


def test_a_difference_counts_seed_by_seed_however_much_the_seeds_differ():
    luck = np.array([0.1, 0.5, 0.9])
    assert marks(column(a=luck + np.array([0.051, 0.05, 0.049]), b=luck), "higher") == {"a": "best"}


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_mark_nothing(seeds):
    assert marks(column(**{name: values[:seeds] for name, values in CLEAR.items()}), "higher") == {}


def test_seeds_that_one_method_lacks_do_not_count():
    assert marks(column(a=CLEAR["a"], b=CLEAR["b"][:2]), "higher") == {}


def test_equal_scores_are_no_difference():
    assert marks(column(a=[0.5] * 3, b=[0.5] * 3), "higher") == {}


def test_who_is_behind_on_the_shared_seeds_is_not_best_for_having_more_of_them():
    a, b = np.array([0.5, 0.5, 0.5, 0.99, 0.99, 0.99]), np.array([0.6, 0.61, 0.6])
    assert marks(column(a=a, b=b), "higher") == {}
    assert marks(column(a=-a, b=-b), "lower") == {}
