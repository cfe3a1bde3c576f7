"""Sub-group discovery: brute force over matchings, scikit-learn's indices, and codes of known quality."""

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from cabench.metrics.subgroups import WAYS, Clustering, find_subgroups, headline, hungarian_accuracy, stability

K, N, D = 4, 200, 6
LABELS = np.arange(N) % K


def noise(n=N, d=D, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def planted(distance=12.0, seed=0):
    """Classes in directions of their own, `distance` standard deviations out."""
    return distance * np.eye(K, D)[LABELS] + noise(seed=seed)


def scores(found):
    return {way: (c.ari, c.ami, c.accuracy, c.reproducibility) for way, c in found.items()}


# --- the clusterings -------------------------------------------------------------------------------


def test_planted_groups_are_found_in_every_way():
    for clustering in find_subgroups(planted(), LABELS, 0).values():
        assert (clustering.ari, clustering.ami, clustering.accuracy) == pytest.approx((1, 1, 1))
        assert clustering.reproducibility == pytest.approx(1)


def test_noise_scores_chance_and_blurred_groups_lie_between():
    blind, blurred = find_subgroups(noise(), LABELS, 0), find_subgroups(planted(3.5), LABELS, 0)
    for way in WAYS:
        assert abs(blind[way].ari) < 0.06 and abs(blind[way].ami) < 0.06 and blind[way].accuracy < 0.45
        assert blind[way].reproducibility < 0.6
        assert 0.2 < blurred[way].ari < 0.99


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0])
def test_a_constant_code_is_one_cluster_and_scores_chance(value):
    for clustering in find_subgroups(np.full((N, D), value, np.float32), LABELS, 0).values():
        assert (clustering.ari, clustering.ami, clustering.reproducibility) == (0, pytest.approx(0, abs=1e-12), 0)
        assert clustering.accuracy == 1 / K
        assert not clustering.assignments.any() and clustering.assignments.shape == (N,)


def test_the_scores_are_those_of_the_assignments():
    for clustering in find_subgroups(planted(3.5), LABELS, 0).values():
        assert clustering.assignments.dtype == np.int64 and clustering.assignments.shape == (N,)
        assert clustering.ari == adjusted_rand_score(LABELS, clustering.assignments)
        assert clustering.ami == adjusted_mutual_info_score(LABELS, clustering.assignments)
        assert clustering.accuracy == hungarian_accuracy(LABELS, clustering.assignments)


def test_labels_steer_neither_clusters_nor_the_headline():
    shuffled = np.random.default_rng(0).permutation(LABELS)
    true, false = (find_subgroups(planted(5), labels, 0) for labels in (LABELS, shuffled))
    assert headline(true) == headline(false)
    for way in WAYS:
        assert np.array_equal(true[way].assignments, false[way].assignments)
        assert true[way].ari > 0.5 > abs(false[way].ari) + 0.4


def test_names_of_classes_mean_nothing():
    renamed = np.array([30, -2, 7, 100])[LABELS]
    one, other = (find_subgroups(planted(5), labels, 0) for labels in (LABELS, renamed))
    for way in WAYS:
        assert scores(one)[way] == pytest.approx(scores(other)[way], abs=1e-9)


def test_each_way_finds_what_it_is_for():
    rng = np.random.default_rng(0)
    uneven = planted() * rng.lognormal(0, 1, (N, 1))
    long = 100 * rng.normal(size=(N, 2))
    assert find_subgroups(uneven, LABELS, 0)["kmeans_directions"].ari > 0.95
    scaled = find_subgroups(np.hstack([planted(), long]), LABELS, 0)
    assert scaled["kmeans"].ari > 0.95 > 0.5 > scaled["kmeans_directions"].ari
    # Classes that differ in nothing but which units vary.
    widths = np.where(np.arange(8) // 2 == LABELS[:, None], 10.0, 0.3)
    found = find_subgroups(widths * noise(d=8), LABELS, 0)
    assert found["gaussian_mixture"].ari > 0.9 > found["kmeans"].ari


def test_units_may_change_places_and_constant_ones_are_ignored():
    # Beside a large constant all directions would be alike.
    s = planted() * np.random.default_rng(0).lognormal(0, 1, (N, 1))
    dressed = np.column_stack([np.full(N, 1e4), s[:, ::-1], np.full(N, 0.1)])
    one, other = find_subgroups(s, LABELS, 0), find_subgroups(dressed, LABELS, 0)
    for way in WAYS:
        assert adjusted_rand_score(one[way].assignments, other[way].assignments) == pytest.approx(1)


def test_a_seed_gives_the_same_twice():
    one, other = (find_subgroups(noise(), LABELS, 3) for _ in range(2))
    assert scores(one) == scores(other)
    for way in WAYS:
        assert np.array_equal(one[way].assignments, other[way].assignments)


def test_fewer_distinct_rows_than_clusters_are_no_error():
    s = np.zeros((N, 2))
    s[0] = 1.0
    for clustering in find_subgroups(s, LABELS, 0).values():
        assert np.isfinite([clustering.ari, clustering.ami, clustering.reproducibility]).all()
        assert abs(clustering.ari) < 0.05


def test_rows_that_are_all_zero_have_no_direction_and_are_no_error():
    s = planted()
    s[:10] = 0
    assert find_subgroups(s, LABELS, 0)["kmeans_directions"].ari > 0.8


# --- the headline ----------------------------------------------------------------------------------


def test_the_headline_is_the_most_reproducible_not_the_best():
    kept = {"a": Clustering(LABELS, 0.2, 1.0, 1.0, 1.0), "b": Clustering(LABELS, 0.7, 0.1, 0.1, 0.3)}
    assert headline(kept) == "b"


def test_of_equals_the_first_is_the_headline():
    assert headline(find_subgroups(np.zeros((N, D)), LABELS, 0)) == WAYS[0]


def test_reproducibility_picks_the_way_that_suits_the_code():
    uneven = planted() * np.random.default_rng(0).lognormal(0, 1, (N, 1))
    assert headline(find_subgroups(uneven, LABELS, 0)) == "kmeans_directions"


def test_there_is_no_headline_of_nothing():
    with pytest.raises(ValueError, match="no clustering"):
        headline({})


# --- Hungarian accuracy ----------------------------------------------------------------------------


def test_a_permuted_labelling_is_all_right():
    assert hungarian_accuracy(LABELS, np.array([2, 3, 1, 0])[LABELS]) == 1.0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("clusters", [2, 4, 5])
def test_hungarian_accuracy_equals_the_best_of_all_matchings(seed, clusters):
    rng = np.random.default_rng(seed)
    labels, assignments = rng.integers(0, K, 30), rng.integers(0, clusters, 30)
    slots = list(range(K)) + [-1] * max(0, clusters - K)
    best = max(
        sum(match[a] == t for a, t in zip(assignments, labels, strict=True)) / 30 for match in permutations(slots)
    )
    assert hungarian_accuracy(labels, assignments) == pytest.approx(best, abs=1e-12)


def test_one_cluster_scores_the_largest_class():
    assert hungarian_accuracy(np.array([0, 0, 0, 1, 2]), np.full(5, 9)) == 0.6


# --- stability -------------------------------------------------------------------------------------


def test_stability_is_the_mean_over_pairs():
    runs = [np.random.default_rng(seed).integers(0, 3, 40) for seed in range(4)]
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    expected = sum(adjusted_rand_score(runs[a], runs[b]) for a, b in pairs) / 6
    assert stability(runs) == pytest.approx(expected, abs=1e-12)


def test_equal_clusterings_are_stable_and_random_ones_are_not():
    runs = [np.random.default_rng(seed).integers(0, K, 2000) for seed in range(4)]
    assert stability([LABELS, 3 - LABELS, LABELS + 9]) == 1.0
    assert abs(stability(runs)) < 0.01


def test_clusterings_of_one_cluster_agree_on_nothing():
    assert stability([np.zeros(9, int)] * 3) == 0.0
    assert stability([LABELS, LABELS, np.zeros(N, int)]) == pytest.approx(1 / 3)


# --- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad):
    s, labels = planted(), LABELS.astype(float)
    s[3, 1] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        find_subgroups(s, LABELS, 0)
    labels[3] = bad
    for refused in (
        lambda: find_subgroups(planted(), labels, 0),
        lambda: hungarian_accuracy(labels, LABELS),
        lambda: hungarian_accuracy(LABELS, labels),
        lambda: stability([LABELS, labels]),
    ):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            refused()


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="two classes"):
        find_subgroups(planted(), np.zeros(N, int), 0)


def test_too_few_rows_are_refused_and_just_enough_are_not():
    with pytest.raises(ValueError, match="need 8 rows, there are 7"):
        find_subgroups(planted()[:7], LABELS[:7], 0)
    assert set(find_subgroups(planted()[:8], LABELS[:8], 0)) == set(WAYS)


@pytest.mark.parametrize("labels", [LABELS[1:], LABELS[:, None], LABELS[:0]], ids=["short", "2-d", "none"])
def test_labels_that_do_not_fit_are_refused(labels):
    for refused in (
        lambda: find_subgroups(planted(), labels, 0),
        lambda: hungarian_accuracy(labels, LABELS),
        lambda: stability([LABELS, labels]),
    ):
        with pytest.raises(ValueError, match=r"inconsistent|shape|minimum"):
            refused()


@pytest.mark.parametrize("runs", [[], [LABELS]])
def test_stability_needs_two_runs(runs):
    with pytest.raises(ValueError, match="two clusterings"):
        stability(runs)
