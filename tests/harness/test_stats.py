"""Intervals cover what they promise, tests raise few false alarms, and the formulas are the known ones."""

import itertools
from functools import partial

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.metrics import balanced_accuracy_score, r2_score

from cabench import stats
from cabench.stats import Interval, TooFewSeeds

# A share of 0.95 in n runs has a standard deviation of 0.22 / sqrt(n): 0.005 in 2,000, 0.009 in 600.
RUNS = 2000
MEANS = np.array([0.3, 0.45, 0.5, 0.6, 0.75, 0.9])[:, None]
SPREADS = np.array([0.025, 0.035, 0.05, 0.05, 0.075, 0.1])[:, None]


def accuracy(truth, predictions):
    right = (predictions == truth).astype(float)
    share = right.mean(axis=-1)
    return share, (right - share[:, None]) / len(truth)


def coverage(interval, truth, runs=RUNS):
    """Return in which share of runs interval(rng) holds the truth."""
    rng = np.random.default_rng(7)
    made = [interval(rng) for _ in range(runs)]
    return np.mean([one.low <= truth <= one.high for one in made])


def answers(rng, seeds, seed_sd, groups=50):
    """Draw a test set of groups of 1 to 3 rows and seeds that answer it.

    A row is answered rightly if skill + seed + group + row + noise is positive, all normal: the true
    score, over seeds and rows, is Phi(skill / total sd).
    """
    group = np.repeat(np.arange(groups), rng.integers(1, 4, size=groups))
    truth = rng.integers(2, size=len(group))
    shared = 0.4 * rng.normal(size=groups)[group] + 0.6 * rng.normal(size=len(group))
    own = seed_sd * rng.normal(size=(seeds, 1)) + 0.6 * rng.normal(size=(seeds, len(group)))
    return truth, np.where(0.7 + shared + own > 0, truth, 1 - truth), group


# 3 seeds that differ by 6 and by 1.5 points of accuracy; 5 and 10 that differ by 3.
@pytest.mark.parametrize(("seeds", "seed_sd"), [(3, 0.2), (3, 0.05), (5, 0.1), (10, 0.1)])
def test_nested_interval_covers_new_seeds_and_new_groups(seeds, seed_sd):
    score = scipy_stats.norm.cdf(0.7 / np.sqrt(0.4**2 + 2 * 0.6**2 + seed_sd**2))

    def interval(rng):
        truth, predictions, group = answers(rng, seeds, seed_sd)
        return stats.nested_interval((truth, predictions), stats.balanced_accuracy, group)

    assert 0.93 <= coverage(interval, score, runs=600) <= 0.97


def numbers(rng, seeds=4, rows=150):
    """Draw a number per row, in groups of up to three rows, and seeds that guess it with shared errors."""
    truth = rng.normal(size=rows)
    guesses = 0.7 * truth + 0.4 * rng.normal(size=rows) + 0.3 * rng.normal(size=(seeds, rows))
    return truth, guesses, np.sort(rng.integers(60, size=rows))


STATISTICS = {
    "balanced accuracy": (stats.balanced_accuracy, answers(np.random.default_rng(0), 4, 0.1, groups=150)),
    "r2": (stats.r2, numbers(np.random.default_rng(0))),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_a_row_s_influence_is_what_repeating_it_does(name):
    statistic, (truth, predictions, _) = STATISTICS[name]
    whole, added = statistic(truth, predictions)
    np.testing.assert_allclose(added.sum(axis=1), 0, atol=1e-12)
    many = 2000  # all rows so often, one of them once more
    for row in (0, 17, 64):
        repeated = np.append(np.tile(np.arange(len(truth)), many), row)
        moved = statistic(truth[repeated], predictions[:, repeated])[0] - whole
        np.testing.assert_allclose(many * moved, added[:, row], rtol=2e-3)


@pytest.mark.parametrize("name", STATISTICS)
def test_the_variance_over_groups_is_that_of_the_bootstrap(name):
    statistic, (truth, predictions, groups) = STATISTICS[name]
    rng, count = np.random.default_rng(1), groups.max() + 1
    assert len(np.unique(groups)) > 0.8 * count
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    draws = []
    for _ in range(4000):
        rows = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        draws.append(statistic(truth[rows], predictions[:, rows])[0])
    covariance = np.cov(draws, rowvar=False) * len(members) / (len(members) - 1)
    seeds = len(predictions)
    shared = (covariance.sum() - covariance.trace()) / (seeds * (seeds - 1))
    between = np.var(statistic(truth, predictions)[0], ddof=1) / seeds
    made = stats.nested_interval((truth, predictions), statistic, groups)
    parts, freedoms = np.array([between, shared]), np.array([seeds - 1, len(members) - 1])
    satterthwaite = parts.sum() ** 2 / (parts**2 / freedoms).sum()
    cochran = np.average(scipy_stats.t.ppf(0.975, freedoms), weights=parts)
    quantile = (scipy_stats.t.ppf(0.975, satterthwaite) + cochran) / 2
    assert shared > between / 5
    assert made.high - made.value == pytest.approx(quantile * np.sqrt(parts.sum()), rel=0.05)


def test_more_seeds_do_not_average_the_test_set_away():
    truth, predictions, _ = answers(np.random.default_rng(0), 1, 0.0)
    groups, right = np.arange(len(truth)), (predictions[0] == truth).astype(float)
    made = stats.nested_interval((truth, np.repeat(predictions, 10, axis=0)), accuracy, groups)
    alone = stats.seed_interval(right)  # the t interval of one seed's mean over independent rows
    assert made.value == pytest.approx(alone.value)
    assert made.high - made.low == pytest.approx(alone.high - alone.low, rel=1e-9)


def test_noise_that_seeds_do_not_share_is_counted_once():
    rng = np.random.default_rng(0)
    truth = np.zeros(1000)
    predictions = (rng.random((20, 1000)) < 0.3).astype(float)
    made = stats.nested_interval((truth, predictions), accuracy, np.arange(1000))
    alone = stats.seed_interval((predictions == 0).mean(axis=1))
    # Counted twice the variance would double.
    assert 0.999 <= (made.high - made.low) / (alone.high - alone.low) <= 1.15


def test_groups_that_answer_alike_widen_the_interval():
    truth, predictions, _ = answers(np.random.default_rng(0), 10, 0.0)
    twins = (np.tile(truth, 4), np.tile(predictions, 4))
    whole = stats.nested_interval(twins, accuracy, np.tile(np.arange(len(truth)), 4))
    split = stats.nested_interval(twins, accuracy, np.arange(4 * len(truth)))
    assert whole.high - whole.low > 1.5 * (split.high - split.low)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_seed_interval_covers(seeds):
    assert 0.93 <= coverage(lambda rng: stats.seed_interval(rng.normal(0.6, 0.05, seeds)), 0.6) <= 0.97


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_paired_difference_covers_although_seeds_differ_more_than_methods(seeds):
    def interval(rng):
        luck = rng.normal(0, 0.1, seeds)
        return stats.paired_difference(luck + rng.normal(0.02, 0.02, seeds), luck + rng.normal(0, 0.02, seeds))

    assert 0.93 <= coverage(interval, 0.02) <= 0.97


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_hierarchical_interval_covers_these_data_sets(seeds):
    def interval(rng):
        return stats.hierarchical_interval(MEANS + SPREADS * rng.normal(size=(6, seeds)))

    assert 0.93 <= coverage(interval, MEANS.mean()) <= 0.97


@pytest.mark.parametrize("seeds", [3, 10])
def test_hierarchical_interval_covers_data_sets_like_these(seeds):
    def interval(rng):
        table = rng.normal(0.6, 0.1, (6, 1)) + SPREADS * rng.normal(size=(6, seeds))
        return stats.hierarchical_interval(table, datasets="drawn")

    assert 0.93 <= coverage(interval, 0.6) <= 0.97


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_interquartile_mean_covers(seeds):
    rng = np.random.default_rng(0)
    truth = scipy_stats.trim_mean(MEANS + SPREADS * rng.normal(size=(6, 200_000)), 0.25, axis=None)

    def interval(rng):
        return stats.interquartile_mean(MEANS + SPREADS * rng.normal(size=(6, seeds)), resamples=150)

    # Two standard deviations of 600 runs beyond 93 to 97 %.
    assert 0.91 <= coverage(interval, truth, runs=600) <= 0.99


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_probability_of_improvement_covers(seeds):
    ahead = np.array([0.2, 0.5, 1.0, 1.0, 1.3, 2.0])[:, None]
    truth = scipy_stats.norm.cdf(ahead / np.sqrt(2)).mean()

    def interval(rng):
        a, b = rng.normal(size=(2, 6, seeds))
        return stats.probability_of_improvement(a + ahead, b, resamples=150)

    # 0.02 above and below the 93 to 97 % of the docstring: more than two standard deviations of 600 runs.
    assert 0.91 <= coverage(interval, truth, runs=600) <= 0.99


@pytest.mark.parametrize(("seeds", "share"), [(6, 2 / 64), (8, 12 / 256)])
def test_equal_methods_are_told_apart_as_often_as_the_level_says(seeds, share):
    a, b = np.random.default_rng(3).standard_t(3, size=(2, 4000, seeds))
    alarms = np.mean([stats.paired_permutation(x, y) <= 0.05 for x, y in zip(a, b, strict=True)])
    # `share` is the largest possible p-value below 0.05; three standard deviations of 4,000 runs.
    assert alarms == pytest.approx(share, abs=0.01)
    assert alarms <= 0.05 + 0.01


def test_holm_keeps_false_alarms_down_over_several_methods():
    rng = np.random.default_rng(4)
    single, family = [], []
    for _ in range(1500):
        reference, methods = rng.normal(size=10), rng.normal(size=(5, 10))
        p = np.array([stats.paired_permutation(method, reference) for method in methods])
        single.append(p.min() <= 0.05)
        family.append(stats.holm(p).min() <= 0.05)
    assert np.mean(family) <= 0.05 + 3 * 0.0056
    assert np.mean(single) > 0.1


@pytest.mark.parametrize("ties", [False, True])
def test_permutation_tries_every_sign_pattern(ties):
    rng = np.random.default_rng(1)
    for seeds in (3, 5, 8):
        a, b = rng.normal(0.5, 1, seeds), rng.normal(size=seeds)
        if ties:
            a, b = np.round(a), np.round(b)
        seen = abs(sum(a - b))
        patterns = list(itertools.product([1, -1], repeat=seeds))
        extreme = [abs(sum(s * d for s, d in zip(signs, a - b, strict=True))) >= seen - 1e-9 for signs in patterns]
        assert stats.paired_permutation(a, b) == sum(extreme) / 2**seeds


def test_permutation_agrees_with_scipy():
    a, b = np.random.default_rng(2).normal(size=(2, 9)) + np.array([[0.7], [0.0]])
    theirs = scipy_stats.permutation_test((a, b), lambda x, y: np.mean(x - y), permutation_type="samples")
    assert stats.paired_permutation(a, b) == pytest.approx(theirs.pvalue)


def test_random_sign_patterns_approach_the_exact_p():
    a, b = np.random.default_rng(2).normal(size=(2, 15)) + np.array([[0.6], [0.0]])
    exact = stats.paired_permutation(a, b, resamples=2**15)
    # Three standard deviations of 9,999 patterns.
    assert stats.paired_permutation(a, b) == pytest.approx(exact, abs=3 * np.sqrt(exact / 9999))
    # Of random patterns the observed one is one, so p is never 0.
    assert stats.paired_permutation(np.arange(30) + 1.0, np.zeros(30)) == 1 / 10_000


def test_sums_equal_on_paper_count_as_ties():
    assert stats.paired_permutation([0.1, 0.2, -0.3], [0, 0, 0]) == 1.0
    # 0.3 - 0.2 and 0.4 - 0.3 differ in the last digit.
    assert stats.paired_permutation([0.3, 0.4, 0.2, 0.1], [0.2, 0.3, 0.1, 0.2]) == 10 / 16


@pytest.mark.parametrize("seeds", [3, 6, 10])
def test_least_p_is_reached_by_a_difference_of_one_sign(seeds):
    assert stats.paired_permutation(np.arange(seeds) + 1.0, np.zeros(seeds)) == stats.least_p(seeds)


def test_holm_equals_a_hand_worked_example():
    # In order: 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1, which may not fall below the one before.
    np.testing.assert_allclose(stats.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_array_equal(stats.holm([0.6, 0.9]), [1.0, 1.0])


def test_interquartile_mean_is_the_mean_of_the_middle_half():
    scores = np.random.default_rng(0).normal(size=(6, 4))
    assert stats.interquartile_mean(scores).value == pytest.approx(np.sort(scores.ravel())[6:18].mean())
    odd = scores[:5, :3]  # 15 runs: 3 are cut at each end
    assert stats.interquartile_mean(odd).value == scipy_stats.trim_mean(odd.ravel(), 0.25)


def test_probability_of_improvement_counts_every_pair():
    a, b = np.random.default_rng(0).integers(5, size=(2, 4, 5)).astype(float)
    shares = []
    for first, second in zip(a, b, strict=True):
        won = 0.0
        for x in first:
            for y in second:
                won += 1.0 if x > y else 0.5 if x == y else 0.0
        shares.append(won / 25)
    assert stats.probability_of_improvement(a, b).value == pytest.approx(np.mean(shares))
    mirrored = stats.probability_of_improvement(b, a).value
    assert stats.probability_of_improvement(a, b).value + mirrored == pytest.approx(1)


def test_probability_stays_one():
    a = np.arange(18.0).reshape(6, 3) % 3
    a[0, 0] = 2
    made = stats.probability_of_improvement(a + 2, a)
    assert 0 < made.low < made.value < made.high == 1.0


@pytest.mark.parametrize("n", [3, 5, 10])
# At level 0.99 scipy's lower tail, which hardly counts, is NaN on the way.
@pytest.mark.parametrize(("level", "power"), [(0.95, 0.8), (0.9, 0.2), (0.99, 0.8)])
def test_detectable_difference_is_found_with_the_stated_power(n, level, power):
    gap = stats.detectable_difference(0.03, n, level, power)
    found = np.random.default_rng(0).normal(gap, 0.03, size=(20_000, n))
    t = found.mean(axis=1) / found.std(axis=1, ddof=1) * np.sqrt(n)
    # Three standard deviations of 20,000 runs are 0.0085.
    assert np.mean(np.abs(t) > scipy_stats.t.ppf((1 + level) / 2, n - 1)) == pytest.approx(power, abs=0.0085)


def test_detectable_difference_of_many_seeds_is_the_normal_one():
    # (1.960 + 2.326) / sqrt(n)
    assert stats.detectable_difference(1.0, 10_000, power=0.99) == pytest.approx(0.04286, rel=1e-3)


def test_intervals_agree_with_scipy():
    a, b = np.random.default_rng(0).normal(size=(2, 5))
    paired = scipy_stats.ttest_rel(a, b).confidence_interval(0.9)
    made = stats.paired_difference(a, b, level=0.9)
    assert (made.low, made.high) == pytest.approx(tuple(paired))
    # Half the sum of two means is half Welch's difference of a and -b.
    welch = scipy_stats.ttest_ind(a, -b, equal_var=False).confidence_interval(0.9)
    made = stats.hierarchical_interval([a, b], level=0.9)
    assert (2 * made.low, 2 * made.high) == pytest.approx(tuple(welch))
    assert stats.hierarchical_interval([a]) == stats.seed_interval(a)


def test_scores_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    truth, predictions = rng.integers(2, 5, size=30), rng.integers(2, 6, size=(4, 30))
    theirs = [balanced_accuracy_score(truth, p) for p in np.minimum(predictions, 4)]
    np.testing.assert_allclose(stats.balanced_accuracy(truth, np.minimum(predictions, 4))[0], theirs)
    np.testing.assert_allclose(stats.r2(truth, predictions)[0], [r2_score(truth, p) for p in predictions])
    np.testing.assert_array_equal(stats.r2(np.ones(3), np.array([[1, 1, 1], [1, 1, 2]]))[0], [1.0, 0.0])


TRUTH, PREDICTIONS, GROUPS = answers(np.random.default_rng(0), 4, 0.3)
TABLES = np.random.default_rng(0).normal(size=(2, 6, 4))
RANDOM = {
    "interquartile_mean": partial(stats.interquartile_mean, TABLES[0], resamples=50),
    "probability_of_improvement": partial(stats.probability_of_improvement, *TABLES, resamples=50),
    "paired_permutation": partial(stats.paired_permutation, *TABLES.reshape(2, 24), resamples=50),
}


@pytest.mark.parametrize("name", RANDOM)
def test_the_seed_decides(name):
    assert RANDOM[name](seed=1) == RANDOM[name](seed=1)
    assert len({RANDOM[name](seed=seed) for seed in range(5)}) > 1


LEVELLED = {
    "nested_interval": partial(stats.nested_interval, (TRUTH, PREDICTIONS), accuracy, GROUPS),
    "interquartile_mean": RANDOM["interquartile_mean"],
    "probability_of_improvement": RANDOM["probability_of_improvement"],
}


@pytest.mark.parametrize("level", [0.5, 0.99])
@pytest.mark.parametrize("name", LEVELLED)
def test_a_higher_level_widens(name, level):
    made, usual = LEVELLED[name](level=level), LEVELLED[name]()
    assert (made.high - made.low > usual.high - usual.low) == (level > 0.95)
    assert made.value == usual.value


def test_without_variance_every_answer_is_defined():
    flat = np.full((6, 3), 0.1)
    exact = Interval(0.1, 0.1, 0.1)
    assert stats.seed_interval(flat[0]) == exact
    assert stats.hierarchical_interval(flat) == exact
    assert stats.hierarchical_interval(flat, datasets="drawn") == exact
    made = stats.interquartile_mean(flat)
    assert made.low == made.value == made.high == pytest.approx(0.1)
    assert stats.probability_of_improvement(flat, flat) == Interval(0.5, 0.5, 0.5)
    assert stats.paired_difference(flat[0], flat[0]) == Interval(0.0, 0.0, 0.0)
    assert stats.paired_permutation(flat[0], flat[0]) == 1.0
    assert stats.detectable_difference(0.0, 3) == 0.0
    right = (TRUTH, np.stack([TRUTH] * 3))
    assert stats.nested_interval(right, stats.balanced_accuracy, GROUPS) == Interval(1.0, 1.0, 1.0)


TWO = np.array([0.1, 0.2])
BY_SEED = {
    "nested_interval": lambda x: stats.nested_interval((TRUTH, PREDICTIONS[: len(x)]), accuracy, GROUPS),
    "seed_interval": stats.seed_interval,
    "paired_difference": lambda x: stats.paired_difference(x, x),
    "paired_permutation": lambda x: stats.paired_permutation(x, x),
    "least_p": lambda x: stats.least_p(len(x)),
    "hierarchical_interval": lambda x: stats.hierarchical_interval([x] * 6),
    "drawn data sets": lambda x: stats.hierarchical_interval([x] * 6, datasets="drawn"),
    "interquartile_mean": lambda x: stats.interquartile_mean([x] * 6),
    "probability_of_improvement": lambda x: stats.probability_of_improvement([x] * 6, [x] * 6),
    "detectable_difference": lambda x: stats.detectable_difference(0.1, len(x)),
}


@pytest.mark.parametrize("name", BY_SEED)
def test_two_seeds_are_too_few(name):
    with pytest.raises(TooFewSeeds, match="At least 3 seeds are needed, not 2: "):
        BY_SEED[name](TWO)
    BY_SEED[name](np.array([0.1, 0.2, 0.3]))


NAN = [0.1, np.nan, 0.3]
FINE = [0.1, 0.2, 0.3]


def nested(truth=TRUTH, predictions=PREDICTIONS, statistic=accuracy, groups=GROUPS, **options):
    return stats.nested_interval((truth, predictions), statistic, groups, **options)


BAD = {
    "nan in a prediction": (lambda: nested(predictions=np.where(TRUTH, np.nan, PREDICTIONS)), "NaN"),
    "nan in truth": (lambda: nested(truth=np.where(TRUTH, np.nan, 0)), "NaN"),
    "no rows": (lambda: nested([], np.empty((3, 0)), groups=[]), "empty"),
    "one prediction per row": (lambda: nested(predictions=PREDICTIONS[0]), "2 dimensions"),
    "rows differ": (lambda: nested(truth=TRUTH[1:]), "same rows"),
    "groups differ": (lambda: nested(groups=GROUPS[1:]), "same rows"),
    "a patient without a name": (lambda: nested(groups=[None, *GROUPS[1:]]), "missing"),
    "one group": (lambda: nested(groups=np.zeros(len(TRUTH))), "2 groups"),
    "one score for all": (lambda: nested(statistic=lambda t, p: (np.float64(1), p)), "one score"),
    "a score of nan": (lambda: nested(statistic=lambda t, p: (np.full(len(p), np.nan), p)), "finite"),
    "one influence for all": (lambda: nested(statistic=lambda t, p: (p[:, 0], p[:, 0])), "row of influences"),
    "no resample": (lambda: stats.paired_permutation(FINE, FINE, resamples=0), "resample"),
    "one resample of runs": (lambda: stats.interquartile_mean([FINE], resamples=1), "resamples"),
    "no seeds": (lambda: stats.seed_interval([]), "empty"),
    "nan": (lambda: stats.seed_interval(NAN), "NaN"),
    "infinite": (lambda: stats.seed_interval([0.1, 0.2, np.inf]), "infinite"),
    "a table": (lambda: stats.seed_interval([FINE]), "1 dimension, not 2"),
    "level 95": (lambda: stats.seed_interval(FINE, level=95), "level"),
    "level 1": (lambda: nested(level=1.0), "level"),
    "other seeds": (lambda: stats.paired_difference(FINE, [*FINE, 0.4]), "same shape"),
    "nan in a": (lambda: stats.paired_permutation(NAN, FINE), "a must not hold NaN"),
    "nan in b": (lambda: stats.paired_permutation(FINE, NAN), "b must not hold NaN"),
    "other shape": (lambda: stats.paired_permutation(FINE, [*FINE, 0.4]), "same shape"),
    "no p-values": (lambda: stats.holm([]), "empty"),
    "nan p-value": (lambda: stats.holm([0.1, np.nan]), "NaN"),
    "p-value above 1": (lambda: stats.holm([0.1, 1.1]), "0, 1"),
    "negative p-value": (lambda: stats.holm([0.1, -0.1]), "0, 1"),
    "nan in a table": (lambda: stats.hierarchical_interval([FINE, NAN]), "NaN"),
    "a row for a table": (lambda: stats.hierarchical_interval(FINE), "2 dimensions"),
    "an empty table": (lambda: stats.hierarchical_interval(np.empty((0, 3))), "empty"),
    "two drawn data sets": (lambda: stats.hierarchical_interval([FINE] * 2, datasets="drawn"), "3 data sets"),
    "misspelt": (lambda: stats.hierarchical_interval([FINE] * 3, datasets="draw"), '"drawn"'),
    "nan run": (lambda: stats.interquartile_mean([FINE, NAN]), "NaN"),
    "runs of other shape": (lambda: stats.probability_of_improvement([FINE], [FINE, FINE]), "same shape"),
    "nan runs": (lambda: stats.probability_of_improvement([FINE], [NAN]), "NaN"),
    "negative sd": (lambda: stats.detectable_difference(-1.0, 5), "sd"),
    "nan sd": (lambda: stats.detectable_difference(np.nan, 5), "sd"),
    "power 1": (lambda: stats.detectable_difference(1.0, 5, power=1.0), "power"),
    "power below chance": (lambda: stats.detectable_difference(1.0, 5, power=0.04), "power"),
    "level of 0": (lambda: stats.detectable_difference(1.0, 5, level=0.0), "level"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("error")
def test_bad_input_is_refused_with_its_reason(name):
    call, reason = BAD[name]
    with pytest.raises(ValueError, match=reason):
        call()
