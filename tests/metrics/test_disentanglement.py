"""MIG, DCI, SAP and the FactorVAE score: closed forms, literal double loops, and codes of known quality."""

import math

import numpy as np
import pytest
from scipy.stats import ortho_group
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from cabench.metrics.disentanglement import dci, factor_vae_score, mig, sap

CLASSES, VALUES, MIXED = [True] * 3, [False] * 3, [True, False, False]
# Every combination of 3 classes, 4 grid values and 5 grid values, 20 times: factors that are exactly independent.
GRID = np.tile(np.stack(np.meshgrid(range(3), range(4), range(5), indexing="ij"), -1).reshape(-1, 3), (20, 1))
N = len(GRID)


def noise(n=N, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def standard(factors):
    return (factors - factors.mean(0)) / factors.std(0)


def rotated(s, seed=0):
    return s @ ortho_group.rvs(s.shape[1], random_state=seed)


ORACLE = standard(GRID)
# Worse than the oracle in every metric that looks at single units.
TURNED = rotated(ORACLE)
COPIED = np.hstack([ORACLE, ORACLE])
CONSTANT = np.full((N, 3), 0.1)


def every(s, factors=GRID, categorical=MIXED, seed=0):
    """All scores of one code, trees grown and scored on the same rows."""
    return {
        "mig": mig(s, factors, categorical),
        **dci(s, factors, s, factors, categorical, seed),
        "sap": sap(s, factors, categorical),
        "factor_vae_score": factor_vae_score(s, factors, categorical, seed),
    }


# --- the sanity triple -----------------------------------------------------------------------------


def test_an_oracle_scores_best():
    expected = {"mig": 1, "disentanglement": 1, "completeness": 1, "informativeness": 1, "factor_vae_score": 1}
    got = every(ORACLE)
    # Of three classes a second unit guesses one.
    assert got.pop("sap") == pytest.approx((2 / 3 + 1 + 1) / 3, abs=1e-6)
    assert got == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, -12345.678])
def test_a_constant_code_scores_chance(value):
    got = every(np.full((N, 3), value, np.float32))
    # The largest of three equal classes, and R^2 of two means.
    assert got.pop("informativeness") == pytest.approx(1 / 9)
    assert got.pop("factor_vae_score") == pytest.approx(1 / 3)
    assert got == {"mig": 0, "disentanglement": 0, "completeness": 0, "sap": 0}


def test_noise_scores_near_chance():
    s, factors = noise(2000), np.random.default_rng(1).integers(0, 4, (2000, 3))
    got = dci(s[:1000], factors[:1000], s[1000:], factors[1000:], CLASSES, 0)
    assert got["disentanglement"] < 0.05 and got["completeness"] < 0.05
    assert got["informativeness"] == pytest.approx(0.25, abs=0.04)
    assert mig(s, factors, CLASSES) < 0.02 and sap(s, factors, CLASSES) < 0.03
    assert factor_vae_score(s, factors, CLASSES, 0) < 0.5


def test_a_rotated_code_is_worse_in_all_but_what_it_knows():
    oracle, turned = every(ORACLE), every(TURNED)
    assert turned.pop("informativeness") > 0.9
    for name, value in turned.items():
        assert value < oracle[name] - 0.15, name


def test_a_copied_code_loses_what_rests_on_one_unit_and_keeps_disentanglement():
    got = every(COPIED)
    assert got["mig"] == pytest.approx(0, abs=1e-9) and got["sap"] == pytest.approx(0, abs=1e-9)
    # Two units share each factor: 1 - log 2 / log 6.
    assert got["completeness"] == pytest.approx(1 - math.log(2) / math.log(6), abs=0.03)
    assert got["disentanglement"] == pytest.approx(1, abs=1e-6) and got["factor_vae_score"] == 1


def test_a_unit_of_two_factors_is_complete_and_not_disentangled():
    s = ORACLE[:, :2] @ np.array([[1.0], [4.0]])
    got = dci(s, GRID[:, :2], s, GRID[:, :2], [True, False], 0)
    assert got == pytest.approx({"disentanglement": 0, "completeness": 1, "informativeness": 1}, abs=1e-6)


# --- MIG -------------------------------------------------------------------------------------------


def slow_information(a, b):
    n, total = len(a), 0.0
    for u in set(a):
        for v in set(b):
            both = sum(x == u and y == v for x, y in zip(a, b, strict=True)) / n
            if both:
                total += both * math.log(both / ((a.count(u) / n) * (b.count(v) / n)))
    return total


def slow_mig(s, classes, foreign=()):
    """The definition, unit by unit, on factors that are classes already."""

    def binned(unit):
        low, high = min(unit), max(unit)
        return [min(19, math.floor(20 * (v - low) / (high - low))) for v in unit]

    gaps = []
    for factor in classes.T.tolist():
        first, second = sorted((slow_information(binned(u), factor) for u in s.T.tolist()), reverse=True)[:2]
        strangers = [slow_information(binned(u), factor) for u in foreign]
        gaps.append((first - max([second, *strangers])) / slow_information(factor, factor))
    return sum(gaps) / len(gaps)


def test_mig_equals_a_double_loop():
    factors = GRID[::6]
    s = standard(factors) @ noise(3, 4) + 0.3 * noise(len(factors), 4, 1)
    assert mig(s, factors, CLASSES) == pytest.approx(slow_mig(s, factors), abs=1e-9)
    # A grid of few values is its own binning, so that these may as well be continuous.
    assert mig(s, factors, VALUES) == pytest.approx(slow_mig(s, factors), abs=1e-9)


def test_salient_mig_equals_a_double_loop():
    factors = GRID[::6]
    s, foreign = (standard(factors) @ noise(3, 4, i) + 0.3 * noise(len(factors), 4, i + 2) for i in (0, 1))
    expected = slow_mig(s, factors, foreign.T.tolist())
    assert mig(s, factors, CLASSES, foreign) == pytest.approx(expected, abs=1e-9)


def test_a_continuous_factor_is_binned_in_twenty_equal_shares():
    values = np.random.default_rng(0).permutation(np.exp(np.linspace(0, 5, 400)))
    shares = np.argsort(np.argsort(values)) // 20
    s = np.column_stack([values, shares, noise(400, 1)])
    assert mig(s, values[:, None], [False]) == pytest.approx(slow_mig(s, shares[:, None]), abs=1e-9)


@pytest.mark.parametrize("tied", [-1.0, 0.5, 2.0], ids=["least", "middle", "largest"])
def test_ties_share_a_bin_and_leave_more_than_one(tied):
    values = np.linspace(0, 1, 1000)
    values[30:] = tied
    assert mig(values[:, None], values[:, None], [False]) > 0.1
    assert factor_vae_score(np.column_stack([values, noise(1000, 1)]), np.column_stack([values] * 2), [0, 0], 0)


def test_a_single_unit_has_nobody_behind_it():
    assert mig(ORACLE[:, :1], GRID[:, :1], [True]) == pytest.approx(1)
    assert sap(ORACLE[:, :1], GRID[:, :1], [True]) == pytest.approx(2 / 3)
    assert sap(ORACLE[:, :1], GRID[:, :1], [False]) == pytest.approx(1)


def test_what_the_foreign_code_knows_too_is_taken_off_and_what_it_alone_knows_counts_against():
    assert mig(ORACLE, GRID, MIXED, noise()) > 0.9
    assert mig(ORACLE, GRID, MIXED, ORACLE) == pytest.approx(0, abs=1e-9)
    assert mig(noise(), GRID, MIXED, ORACLE) < -0.9
    assert mig(CONSTANT, GRID, MIXED, ORACLE) == pytest.approx(-1)
    assert mig(ORACLE, GRID, MIXED, CONSTANT) == pytest.approx(1)


# --- DCI -------------------------------------------------------------------------------------------


def slow_concentration(importances):
    """1 - entropy of each row, weighted by its share of all importance."""
    total, whole = 0.0, sum(map(sum, importances))
    for row in importances:
        shares = [r / sum(row) for r in row] if sum(row) else []
        entropy = -sum(p * math.log(p) / math.log(len(row)) for p in shares if p)
        total += sum(row) / whole * (1 - entropy)
    return total


def test_dci_equals_its_definition_on_the_importances_of_the_forests():
    train, test = TURNED + 0.5 * noise(), TURNED[:100] + 0.5 * noise(100, seed=1)
    importances, scores = [], []
    for j, kind in enumerate((ExtraTreesClassifier, ExtraTreesRegressor, ExtraTreesRegressor)):
        model = kind(30, min_samples_leaf=10, max_features=None, random_state=5).fit(train, GRID[:, j])
        importances.append(model.feature_importances_.tolist())
        scores.append(model.score(test, GRID[:100, j]))
    got = dci(train, GRID, test, GRID[:100], MIXED, 5)
    assert got["completeness"] == pytest.approx(slow_concentration(importances), abs=1e-9)
    assert got["disentanglement"] == pytest.approx(
        slow_concentration(list(zip(*importances, strict=True))), abs=1e-9
    )
    assert got["informativeness"] == pytest.approx(sum(scores) / 3, abs=1e-9)


def test_noise_beside_the_oracle_gets_no_importance():
    factors = np.column_stack([GRID[:, 0], np.random.default_rng(0).uniform(size=(N, 2))])
    s = np.hstack([standard(factors), noise(d=12)])
    got = dci(s, factors, s, factors, MIXED, 0)
    assert got["disentanglement"] > 0.98 and got["completeness"] > 0.98


def test_informativeness_is_measured_on_test_and_never_below_chance():
    other = noise(), GRID
    got = dci(ORACLE, GRID, *other, VALUES, 0)
    assert got["disentanglement"] == pytest.approx(1) and got["informativeness"] == 0


# --- SAP -------------------------------------------------------------------------------------------


def slow_balanced_accuracy(unit, classes):
    """The best of all single thresholds between two classes, either side up."""
    best = 0.5
    for threshold in set(unit):
        hits = [[u >= threshold for u, t in zip(unit, classes, strict=True) if t == c] for c in (0, 1)]
        recalls = [sum(hit) / len(hit) for hit in hits]
        best = max(best, 0.5 + abs(recalls[1] - recalls[0]) / 2)
    return best


def test_sap_of_values_is_the_gap_of_squared_correlations():
    s, factors = TURNED + 0.2 * noise(), GRID.astype(float)
    gaps = []
    for factor in factors.T:
        r2 = sorted(((standard(u) * standard(factor)).mean() ** 2 for u in s.T), reverse=True)
        gaps.append(r2[0] - r2[1])
    assert sap(s, factors, VALUES) == pytest.approx(sum(gaps) / 3, abs=1e-9)


def test_sap_of_two_classes_is_near_the_gap_of_the_best_thresholds():
    # Impurity, not balanced accuracy, chooses the tree's threshold: they agree but for a few rows.
    classes = (np.arange(300) % 3 == 0).astype(int)
    s = np.outer(classes, [3.0, -1.5, 0.0]) + noise(300)
    scores = sorted((slow_balanced_accuracy(u, classes.tolist()) for u in s.T.tolist()), reverse=True)
    assert sap(s, classes[:, None], [True]) == pytest.approx(scores[0] - scores[1], abs=0.03)


def test_a_class_between_two_others_is_found_and_the_names_of_classes_mean_nothing():
    s = np.column_stack([ORACLE[:, 0], noise(d=1)])
    renamed = np.array([7, -3, 40])[GRID[:, 0]][:, None]
    assert sap(s, GRID[:, :1], [True]) == pytest.approx(sap(s, renamed, [True])) == pytest.approx(2 / 3, abs=0.05)
    assert mig(s, GRID[:, :1], [True]) == pytest.approx(mig(s, renamed, [True]))


def test_rare_classes_weigh_as_much_as_frequent_ones():
    classes = np.repeat([0, 1], [950, 50])
    s = np.column_stack([classes, np.zeros(1000)])
    assert sap(s, classes[:, None], [True]) == pytest.approx(0.5)
    s[:, 0] += noise(1000, 1)[:, 0]
    expected = slow_balanced_accuracy(s[:, 0].tolist(), classes.tolist()) - 0.5
    assert expected > 0.15 and sap(s, classes[:, None], [True]) == pytest.approx(expected, abs=0.03)


# --- FactorVAE score -------------------------------------------------------------------------------


def test_the_vote_goes_to_the_unit_that_varies_least_for_its_size():
    factors = np.random.default_rng(0).uniform(size=(1000, 3))
    s = (0.5 * noise(1000) + standard(factors)) * [4, 2, 1]
    assert factor_vae_score(s, factors, VALUES, 0) == 1


def test_units_that_hardly_vary_have_no_vote():
    # The small unit stays constant whichever factor is fixed; if it could vote it would win every time.
    small = np.zeros((N, 1))
    small[0] = 1e-3
    assert factor_vae_score(np.hstack([small, ORACLE]), GRID, MIXED, 0) == 1
    assert factor_vae_score(np.hstack([1e5 * small, ORACLE]), GRID, MIXED, 0) < 0.5


def test_a_unit_of_a_priors_size_has_its_vote_beside_a_larger_one():
    factors = np.random.default_rng(0).uniform(size=(1000, 3))
    assert factor_vae_score(standard(factors) * [0.5, 5, 1], factors, VALUES, 0) == 1


def test_one_unit_can_name_one_factor_only():
    assert factor_vae_score(ORACLE[:, :1], GRID, MIXED, 0) == pytest.approx(1 / 3, abs=0.01)


def test_votes_are_scored_on_batches_that_did_not_give_them():
    # With four votes per unit, a majority among them fits by luck: on these votes it is right in more than half.
    assert factor_vae_score(noise(d=200), GRID, MIXED, 0) < 0.42


def test_only_values_with_a_batch_of_rows_are_drawn():
    factors = np.column_stack([np.repeat([0, 1, 2], [580, 580, 40]), GRID[:, 0]])
    s = standard(factors)
    # A batch of 41 or more never sees the rows of value 2, so what they say does not matter.
    other = s.copy()
    other[-40:, 0] = other[-41, 0]
    assert factor_vae_score(s, factors, [True, True], 0, batch=41) == 1
    assert factor_vae_score(other, factors, [True, True], 0, batch=41) == 1


def test_a_batch_that_no_value_fills_is_refused():
    with pytest.raises(ValueError, match="401 rows"):
        factor_vae_score(ORACLE, GRID, MIXED, 0, batch=401)
    with pytest.raises(ValueError, match="batch of two"):
        factor_vae_score(ORACLE, GRID, MIXED, 0, batch=1)


# --- invariances -----------------------------------------------------------------------------------


def test_the_order_of_units_means_nothing():
    s = TURNED + 0.3 * noise()
    one, other = every(s), every(s[:, ::-1])
    for name in ("mig", "sap", "factor_vae_score"):
        assert other[name] == pytest.approx(one[name], abs=1e-9), name
    # The thresholds of the trees are drawn unit by unit.
    for name in ("disentanglement", "completeness", "informativeness"):
        assert other[name] == pytest.approx(one[name], abs=0.05), name


def test_constant_units_are_ignored():
    s = TURNED + 0.3 * noise()
    dressed = np.column_stack([np.full(N, 0.1), s, np.full(N, 1e6)])
    assert every(dressed) == pytest.approx(every(s), abs=1e-9)


def test_shift_and_scale_mean_nothing():
    s = TURNED + 0.3 * noise()
    one, other = every(s), every(8 * s + 64)
    for name, value in one.items():
        assert other[name] == pytest.approx(value, abs=0.01), name


def test_a_seed_gives_the_same_twice_and_another_does_not():
    s = TURNED + 0.3 * noise()
    assert every(s, seed=1) == every(s, seed=1)
    assert every(s, seed=1) != every(s, seed=2)


# --- what is refused -------------------------------------------------------------------------------

METRICS = {
    "mig": mig,
    "foreign": lambda s, f, c: mig(ORACLE, f, c, foreign=s),
    "train": lambda s, f, c: dci(s, f, ORACLE, GRID, c, 0),
    "test": lambda s, f, c: dci(ORACLE, GRID, s, f, c, 0),
    "sap": sap,
    "factor_vae_score": lambda s, f, c: factor_vae_score(s, f, c, 0),
}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", METRICS)
def test_what_is_not_finite_is_refused(name, bad):
    s, factors = ORACLE.copy(), GRID.astype(float)
    s[3, 1] = factors[3, 1] = bad
    with pytest.raises(ValueError, match=r"Input s contains (NaN|infinity)"):
        METRICS[name](s, GRID, MIXED)
    with pytest.raises(ValueError, match=r"Input factors contains (NaN|infinity)"):
        METRICS[name](ORACLE, factors, MIXED)


@pytest.mark.parametrize("name", METRICS)
def test_a_factor_of_one_value_is_refused(name):
    factors = GRID.copy()
    factors[:, 1] = 2
    with pytest.raises(ValueError, match="factor 1 has one value only"):
        METRICS[name](ORACLE, factors, MIXED)


@pytest.mark.parametrize("name", METRICS)
def test_shapes_that_do_not_fit_are_refused(name):
    for s, factors, categorical, message in (
        (ORACLE[1:], GRID, MIXED, "inconsistent"),
        (ORACLE[:0], GRID, MIXED, "minimum of 1"),
        (ORACLE[:, :0], GRID, MIXED, "minimum of 1"),
        (ORACLE, GRID[:, 0], MIXED, "Expected 2D"),
        (ORACLE, GRID, MIXED[1:], "categorical has 2 entries for 3 factors"),
    ):
        with pytest.raises(ValueError, match=message):
            METRICS[name](s, factors, categorical)


def test_one_factor_cannot_be_told_from_others():
    one = ORACLE, GRID[:, :1]
    with pytest.raises(ValueError, match="minimum of 2"):
        dci(*one, *one, [True], 0)
    with pytest.raises(ValueError, match="minimum of 2"):
        factor_vae_score(*one, [True], 0)


def test_dci_needs_equal_units_and_rows_enough_to_split():
    with pytest.raises(ValueError, match="3 units, test codes 2"):
        dci(ORACLE, GRID, ORACLE[:, :2], GRID, MIXED, 0)
    some = np.random.default_rng(0).permutation(N)[:19]
    with pytest.raises(ValueError, match="20 train rows, there are 19"):
        dci(ORACLE[some], GRID[some], ORACLE, GRID, MIXED, 0)
