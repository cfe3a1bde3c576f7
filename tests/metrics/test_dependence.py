"""The measures of dependence against slow literal loops, Gaussians of known information and degenerate codes."""

import itertools
import math
import statistics

import numpy as np
import pytest
from scipy.special import digamma

from cabench.metrics.dependence import cross_predictability, distance_correlation, hsic, permutation_test
from cabench.metrics.mutual_information import _ksg_pair, calibration, gaussian_mi, ksg_mi

STATISTICS = ("distance_correlation", "hsic")
INFORMATIONS = (0.0, 0.5, 1.0, 2.0, 3.0)


def predictability(c, s, seed=0):
    half = len(c) // 2
    scores = cross_predictability((c[:half], s[:half]), (c[half:], s[half:]))
    return max(scores.values())


MEASURES = {
    "distance_correlation": distance_correlation,
    "hsic": hsic,
    "gaussian_mi": lambda c, s, seed=0: gaussian_mi(c, s, seed),
    "ksg_mi": lambda c, s, seed=0: ksg_mi(c, s, seed),
    "cross_predictability": predictability,
}
measures = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def rotation(d, seed):
    return np.linalg.qr(normal(d, d, seed=seed))[0]


def linked(n, d, information, pairs, seed=0, spread=1.0):
    """Gaussian codes that share the information in `pairs` coordinates of that spread, rotated; and the rho."""
    rho = math.sqrt(1 - math.exp(-2 * information / pairs))
    c, s = normal(n, d, seed=seed), normal(n, d, seed=seed + 1)
    s[:, :pairs] = rho * c[:, :pairs] + math.sqrt(1 - rho**2) * s[:, :pairs]
    scale = np.where(np.arange(d) < pairs, spread, 1.0)
    return (scale * c) @ rotation(d, seed + 2), (scale * s) @ rotation(d, seed + 3), rho


def slow_distances(x):
    x = [[(value - np.mean(column)) / np.std(column) for value, column in zip(row, x.T, strict=True)] for row in x]
    return [[math.dist(a, b) for b in x] for a in x]


def slow_distance_correlation(c, s):
    """Szekely and Rizzo 2013, definitions 2 and 3, with their A*_ij."""
    n = len(c)

    def modified(a):
        rows = [sum(row) / n for row in a]
        grand = sum(rows) / n
        return [
            [
                n / (n - 1) * (rows[i] - grand if i == j else a[i][j] - rows[i] - rows[j] + grand - a[i][j] / n)
                for j in range(n)
            ]
            for i in range(n)
        ]

    def covariance(a, b):
        off = sum(a[i][j] * b[i][j] for i in range(n) for j in range(n) if i != j)
        return (off - 2 / (n - 2) * sum(a[i][i] * b[i][i] for i in range(n))) / (n * (n - 3))

    A, B = modified(slow_distances(c)), modified(slow_distances(s))
    return covariance(A, B) / math.sqrt(covariance(A, A) * covariance(B, B))


def slow_hsic(c, s):
    """The expectations of HSIC over two, three and four rows, none drawn twice (Song et al. 2012)."""

    def kernels(x):
        D = slow_distances(x)
        median = statistics.median(D[i][j] ** 2 for i, j in itertools.combinations(range(len(D)), 2))
        return [[math.exp(-(D[i][j] ** 2) / (2 * median)) for j in range(len(D))] for i in range(len(D))]

    K, L, rows = kernels(c), kernels(s), range(len(c))
    two = statistics.fmean(K[i][j] * L[i][j] for i, j in itertools.permutations(rows, 2))
    three = statistics.fmean(K[i][j] * L[i][k] for i, j, k in itertools.permutations(rows, 3))
    four = statistics.fmean(K[i][j] * L[k][m] for i, j, k, m in itertools.permutations(rows, 4))
    return two + four - 2 * three


def slow_ksg(x, y, neighbours):
    """Kraskov et al. 2004, eq. 8."""
    rows, total = range(len(x)), 0.0
    for i in rows:
        radius = sorted(max(abs(x[i] - x[j]), abs(y[i] - y[j])) for j in rows if j != i)[neighbours - 1]
        total += sum(digamma(1 + sum(abs(z[i] - z[j]) < radius for j in rows if j != i)) for z in (x, y))
    return digamma(neighbours) + digamma(len(x)) - total / len(x)


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize(("fast", "slow"), [(distance_correlation, slow_distance_correlation), (hsic, slow_hsic)])
def test_the_statistics_are_their_literal_definitions(fast, slow, d):
    c = normal(20, d)
    s = 0.5 * c + normal(20, d, seed=1)
    assert fast(c, s) == pytest.approx(slow(c, s), abs=1e-9)


def test_the_nearest_neighbour_information_is_its_literal_definition():
    x, y = normal(60), normal(60, seed=1)
    for k in (1, 3):
        assert _ksg_pair(x, x + y, k) == pytest.approx(slow_ksg(x, x + y, k), abs=1e-12)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_p_value_of_independent_codes_is_uniform(statistic):
    p = [
        permutation_test(normal(24, 2, seed=2 * i), normal(24, 2, seed=2 * i + 1), statistic, i, 99)
        for i in range(200)
    ]
    # Of 200 false alarms at 5 %, 20 or more come once in 500 times.
    assert sum(value <= 0.05 for value in p) < 20
    assert abs(np.mean(p) - 0.5) < 0.08 and min(p) < 0.05 and max(p) > 0.95


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_p_value_of_dependent_codes_is_the_least_though_they_do_not_correlate(statistic):
    angle = 2 * np.pi * np.random.default_rng(0).random((300, 1))
    c, s = np.cos(angle), np.sin(angle)
    assert abs(np.corrcoef(c.T, s.T)[0, 1]) < 0.1
    assert permutation_test(c, s, statistic) == 1 / 201


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_p_value_is_the_share_of_permutations_as_large_as_observed(statistic):
    c = normal(30, 2)
    s = c + 3 * normal(30, 2, seed=1)
    rng = np.random.default_rng(5)
    drawn = np.array([MEASURES[statistic](c, rng.permutation(s)) for _ in range(99)])
    expected = (1 + np.sum(drawn >= MEASURES[statistic](c, s))) / 100
    assert 0.01 < expected < 1
    assert permutation_test(c, s, statistic, seed=5, permutations=99) == expected


@pytest.mark.parametrize("statistic", STATISTICS)
def test_permutations_that_tie_with_the_observed_value_count(statistic):
    c = np.arange(30) % 2
    s = np.where(np.arange(30) < 12, 1 - c, c)
    rng = np.random.default_rng(7)
    # Of two balanced binary codes each statistic only knows how far the agreements are from half.
    drawn = [abs(np.sum(c == rng.permutation(s)) - 15) for _ in range(99)]
    expected = (1 + sum(value >= abs(np.sum(c == s) - 15) for value in drawn)) / 100
    assert drawn.count(abs(np.sum(c == s) - 15)) > 5
    assert permutation_test(c[:, None], s[:, None], statistic, seed=7, permutations=99) == expected


def test_many_rows_are_a_seeded_choice_and_few_are_all_taken():
    c, s, _ = linked(1500, 3, 0.2, 1)
    for statistic in (distance_correlation, hsic):
        assert statistic(c, s, seed=0) != statistic(c, s, seed=1)
        assert statistic(c[:1000], s[:1000], seed=0) == statistic(c[:1000], s[:1000], seed=1)


@pytest.mark.parametrize("spread", [1.0, 4.0])
@pytest.mark.parametrize("pairs", [1, 4])
@pytest.mark.parametrize("information", INFORMATIONS)
def test_gaussian_information_is_the_closed_form(information, pairs, spread):
    c, s, _ = linked(2000, 32, information, pairs, spread=spread)
    # Where a single coordinate shares 3 nats, the ranks blur its line: .3 are missing.
    assert gaussian_mi(c, s, seed=0) == pytest.approx(information, abs=0.05 + 0.1 * information)


@pytest.mark.parametrize("information", INFORMATIONS)
def test_nearest_neighbour_information_is_the_closed_form_of_one_dimension(information):
    c, s, _ = linked(2000, 1, information, 1)
    assert ksg_mi(c, s, seed=0) == pytest.approx(information, abs=0.1)


@pytest.mark.parametrize("pairs", [1, 4])
@pytest.mark.parametrize("information", INFORMATIONS)
def test_nearest_neighbour_information_finds_the_pairs_among_many_coordinates(information, pairs):
    c, s, _ = linked(2000, 32, information, pairs)
    assert ksg_mi(c, s, seed=0) == pytest.approx(information, abs=0.25)


@pytest.mark.parametrize("measure", [gaussian_mi, ksg_mi])
def test_information_of_independent_codes_is_0_on_average_with_few_rows(measure):
    values = [measure(normal(150, 32, seed=i), normal(150, 32, seed=100 + i), i) for i in range(20)]
    # In-sample canonical correlations alone would give more than 2 nats.
    assert abs(np.mean(values)) < 0.1


@pytest.mark.parametrize("measure", [gaussian_mi, ksg_mi])
def test_information_survives_a_monotone_map_of_each_coordinate(measure):
    c, s, _ = linked(2000, 1, 1.0, 1)
    assert measure(np.exp(c), s**3, 0) == pytest.approx(1.0, abs=0.1)


def test_gaussian_information_needs_no_more_rows_than_dimensions():
    c, s = normal(30, 40), normal(30, 40, seed=1)
    assert gaussian_mi(c, c, 0) > gaussian_mi(c, s, 0) + 20


@pytest.mark.parametrize("measure", [gaussian_mi, ksg_mi])
def test_rounding_that_both_codes_share_is_not_information(measure):
    background, rounding = np.arange(400)[:, None] % 4 > 0, 1e-8 * normal(400, 1)
    c = np.where(background, rounding, normal(400, 1, seed=1))
    s = np.where(background, rounding, normal(400, 1, seed=2))
    assert measure(c, s, 0) < 1.0


def test_nearest_neighbour_information_of_tied_codes_is_their_entropy():
    sign = normal(1000, 1) > 0
    assert ksg_mi(sign, -3.0 * sign, seed=0) == pytest.approx(math.log(2), abs=0.05)


@measures
def test_independent_codes_score_0_copies_worst_and_constants_nothing(measure):
    c, other = normal(600, 6), normal(600, 6, seed=1)
    worst = measure(c, c)
    partial = measure(c, c + other)
    assert abs(measure(c, other)) < 0.05 * worst
    assert 0.03 * worst < partial < worst
    assert measure(np.hstack([c, other]), other) > measure(c, other) + 0.1 * worst
    for constant in (np.zeros((600, 4)), np.full((600, 4), 0.1), 0.1 + 1e-9 * other, c[:, :0]):
        assert measure(c, constant) == measure(constant, c) == measure(constant, constant) == 0
    assert measure(np.hstack([c, np.ones((600, 1))]), c) == pytest.approx(worst, rel=1e-6)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_constant_code_is_never_significant(statistic):
    c = normal(50, 3)
    for constant in (np.zeros((50, 2)), np.full((50, 2), 0.1), c[:, :0]):
        assert permutation_test(c, constant, statistic) == permutation_test(constant, c, statistic) == 1


@pytest.mark.parametrize("statistic", STATISTICS)
def test_rows_whose_distances_say_nothing_have_no_dependence(statistic):
    odd = np.zeros((30, 2))
    odd[3] = 1
    for z in (np.eye(30), odd):
        assert MEASURES[statistic](z, z) == 0 and permutation_test(z, z, statistic) == 1


@measures
def test_shift_and_scale_of_a_code_do_not_matter(measure):
    c, s, _ = linked(300, 5, 1.0, 2)
    assert measure(7 - 1e3 * c, 1e-3 * s + 2) == pytest.approx(measure(c, s), abs=0.01)


@pytest.mark.parametrize("measure", [gaussian_mi, ksg_mi])
def test_a_rotation_of_a_code_does_not_matter(measure):
    c, s, _ = linked(300, 5, 1.0, 2)
    s = s * np.arange(1, 6)
    assert measure(c @ rotation(5, 9), s @ rotation(5, 8), 0) == pytest.approx(measure(c, s, 0), abs=0.01)


@pytest.mark.parametrize("measure", [distance_correlation, hsic])
def test_the_scale_of_single_columns_does_not_matter_to_the_statistics(measure):
    c, s, _ = linked(100, 3, 1.0, 2)
    assert measure(c * [1, -20, 0.1], s[:, ::-1]) == pytest.approx(measure(c, s), abs=1e-9)


def test_any_affine_map_of_a_code_does_not_matter_to_nearest_neighbours():
    c, s, _ = linked(300, 5, 1.0, 2)
    assert ksg_mi(c @ normal(5, 5, seed=9) + 3, s, 0) == pytest.approx(ksg_mi(c, s, 0), abs=0.01)


def test_a_repeated_column_does_not_matter_to_nearest_neighbours():
    c, s, _ = linked(300, 5, 1.0, 2)
    assert ksg_mi(np.hstack([c, 2 * c[:, :3]]), s, 0) == pytest.approx(ksg_mi(c, s, 0), abs=0.01)


@measures
def test_the_two_codes_may_change_places(measure):
    c, s, _ = linked(1200, 4, 1.0, 2)
    assert measure(s, c, seed=0) == pytest.approx(measure(c, s, seed=0), abs=0.05)


@measures
def test_a_seed_repeats_the_value_and_the_codes_are_left_alone(measure):
    c, s, _ = linked(1200, 4, 0.3, 2)
    before = c.copy(), s.copy()
    assert measure(c, s, seed=3) == measure(c, s, seed=3)
    assert np.array_equal(c, before[0]) and np.array_equal(s, before[1])


def test_a_seed_repeats_the_p_value_and_another_changes_it():
    c, s = normal(60, 2), normal(60, 2, seed=1)
    p = [permutation_test(c, s, "hsic", seed) for seed in (0, 0, 1, 2, 3)]
    assert p[0] == p[1] and len(set(p)) > 1


def test_predictability_is_the_closed_form_of_a_linear_link():
    c = normal(4000, 1)
    s = 0.8 * c + 0.6 * normal(4000, 1, seed=1)
    scores = cross_predictability((c[:2000], s[:2000]), (c[2000:], s[2000:]))
    assert scores == pytest.approx({"r2_c_to_s": 0.64, "r2_s_to_c": 0.64}, abs=0.03)


def test_predictability_weighs_the_dimensions_by_their_variance():
    c, other = normal(2000, 1), normal(2000, 1, seed=1)
    s = np.hstack([3 * c, other])
    scores = cross_predictability((c[:1000], s[:1000]), (c[1000:], s[1000:]))
    assert scores["r2_c_to_s"] == pytest.approx(0.9, abs=0.02) and scores["r2_s_to_c"] > 0.99


def test_predictability_is_of_rows_that_were_not_fitted():
    train, test = (normal(60, 32, seed=0), normal(60, 2, seed=1)), (normal(60, 32, seed=2), normal(60, 2, seed=3))
    assert cross_predictability(train, train)["r2_c_to_s"] > -0.1
    assert -0.5 < cross_predictability(train, test)["r2_c_to_s"] < 0.02


def test_a_code_that_is_constant_in_one_part_only_is_predicted_at_0():
    c, s, flat = normal(40, 2), normal(40, 2, seed=1), np.ones((40, 2))
    assert cross_predictability((c, flat), (c, s)) == {"r2_c_to_s": 0.0, "r2_s_to_c": 0.0}
    assert cross_predictability((c, s), (c, flat))["r2_c_to_s"] == 0.0


def test_the_parts_of_predictability_must_have_the_same_dimensions():
    z = normal(40, 3)
    with pytest.raises(ValueError, match="dimension"):
        cross_predictability((z, z), (z[:, :2], z))


TESTS = {**MEASURES, "permutation_test": lambda c, s, seed=0: permutation_test(c, s, "hsic", seed)}


@pytest.mark.parametrize("measure", TESTS.values(), ids=TESTS)
@pytest.mark.parametrize(
    ("c", "s", "words"),
    [
        (normal(19, 2), normal(19, 2), "at least 20 rows, not"),
        (normal(0, 2), normal(0, 2), "at least 20 rows, not"),
        (normal(50, 2), np.where(np.arange(50)[:, None] == 3, np.nan, normal(50, 2)), "finite"),
        (np.where(np.arange(50)[:, None] == 45, np.inf, normal(50, 2)), normal(50, 2), "finite"),
        (1e200 * normal(50, 2), normal(50, 2), "finite"),
        (normal(50), normal(50, 2), "codes must be"),
    ],
    ids=["few", "none", "nan", "inf", "beyond float32", "flat"],
)
def test_codes_that_cannot_be_measured_are_refused_with_a_sentence(measure, c, s, words):
    with pytest.raises(ValueError, match=words):
        measure(c, s)


@pytest.mark.parametrize("measure", [distance_correlation, hsic, gaussian_mi, ksg_mi])
def test_codes_of_unequal_length_are_refused(measure):
    with pytest.raises(ValueError, match="same rows"):
        measure(normal(50, 2), normal(49, 2), seed=0)


@measures
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [40, 301])
def test_odd_codes_have_a_finite_value_without_a_warning(measure, n):
    z, other = normal(n, 6), normal(n, 6, seed=1)
    half = (np.arange(n) % 2)[:, None]
    odd = {
        "tied": half.astype(float),
        "collinear": z[:, [0] * 6],
        "one row differs": (np.arange(n) == 3).astype(float)[:, None] * [1.0, 2.0],
        "equidistant": np.eye(n),
        "huge and tiny": z * [1e37, 1e-40, 1, 1, 1e5, 0],
        "half zero": z * half,
        "integers": (3 * z).astype(int),
        "float32": z.astype(np.float32),
    }
    for a, b in itertools.product([*odd.values(), other], repeat=2):
        assert np.isfinite(measure(a, b))


def test_calibration_returns_a_row_per_estimator_variant_and_information():
    rows = calibration(200, 5, 4, seed=3, informations=[0.0, 1.0])
    variants = ("gaussian-1", "mixture-1", "gaussian-4", "mixture-4")
    expected = itertools.product((0.0, 1.0), variants, ("gaussian_mi", "ksg_mi"))
    assert [(row["true"], row["variant"], row["estimator"]) for row in rows] == list(expected)
    assert all((row["n"], row["d_c"], row["d_s"], row["seed"]) == (200, 5, 4, 3) for row in rows)
    assert rows == calibration(200, 5, 4, seed=3, informations=[0.0, 1.0])
    assert {row["variant"] for row in calibration(200, 2, 4, seed=3)} == {"gaussian-1", "mixture-1"}


def test_calibration_of_one_coordinate_is_on_the_diagonal_and_of_a_mixture_at_half():
    for row in calibration(2000, 1, 1, seed=0):
        if row["variant"] == "gaussian-1":
            assert row["estimate"] == pytest.approx(row["true"], abs=0.1), row
        elif row["estimator"] == "ksg_mi":
            assert row["estimate"] == pytest.approx(row["true"] / 2, abs=0.1), row
        else:
            assert row["estimate"] < row["true"] / 2 + 0.05, row
