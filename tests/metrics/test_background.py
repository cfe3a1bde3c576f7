"""The metrics of background rows against slow loops, known spectra and codes of known quality."""

import math

import numpy as np
import pytest
from scipy.stats import ortho_group

from cabench.metrics.background import detection_rate, effective_rank, null_background_ratio

N, D = 400, 6
Y = np.repeat([0, 1], N // 2)


def noise(n=N, d=D, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def salient(seed=0):
    """Targets away from the background's fixed point, and spread."""
    return np.where(Y[:, None] == 1, 10 + noise(seed=seed), 0.1)


def with_spectrum(variances, n=64, seed=0):
    """A code whose covariance has exactly these eigenvalues, in a random basis."""
    d = len(variances)
    basis = np.linalg.qr(np.column_stack([np.ones(n), noise(n, d, seed)]))[0][:, 1:]
    return basis * np.sqrt(n * np.array(variances)) @ ortho_group.rvs(d, random_state=seed) + 3


# --- null-background ratio -------------------------------------------------------------------------


def test_the_ratio_equals_a_loop():
    s = noise(7, 3)
    y = np.array([0, 1, 0, 1, 1, 0, 1])

    def spread(rows):
        mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        return sum(sum((a - m) ** 2 for a, m in zip(row, mean, strict=True)) for row in rows) / len(rows)

    expected = spread(s[y == 0].tolist()) / spread(s[y == 1].tolist())
    assert null_background_ratio(s, y) == pytest.approx(expected, abs=1e-12)


def test_a_null_point_scores_zero_a_blind_code_one_and_a_fluctuation_between():
    fluctuating = salient() + 0.3 * noise(seed=1)
    blind = noise(4000, D, 2)
    assert null_background_ratio(salient(), Y) == 0.0
    assert 0.05 < null_background_ratio(fluctuating, Y) < 0.15
    assert null_background_ratio(blind, np.arange(4000) % 2) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-12, 12345.678])
def test_a_constant_code_has_the_ratio_of_a_blind_one(value):
    assert null_background_ratio(np.full((N, D), value, np.float32), Y) == 1.0


def test_the_ratio_does_not_see_shift_scale_rotation_or_constant_units():
    s = salient() + 0.3 * noise(seed=1)
    moved = np.column_stack([5 + 100 * s @ ortho_group.rvs(D, random_state=0), np.full(N, 0.1)])
    assert null_background_ratio(moved, Y) == pytest.approx(null_background_ratio(s, Y), rel=1e-9)


def test_targets_alone_constant_have_no_ratio():
    with pytest.raises(ValueError, match="no ratio"):
        null_background_ratio(salient(), 1 - Y)


@pytest.mark.parametrize("group", [0, 1])
@pytest.mark.parametrize("rows", [0, 1])
def test_a_spread_needs_two_rows_of_each_group(group, rows):
    y = np.full(10, 1 - group)
    y[:rows] = group
    with pytest.raises(ValueError, match=f"two {('background', 'target')[group]} rows, there are {rows}"):
        null_background_ratio(noise(10), y)


# --- effective rank --------------------------------------------------------------------------------


@pytest.mark.parametrize("variances", [(1, 1, 1, 1), (4, 2, 1, 1), (5, 0, 0, 0), (1e-8, 3e-8), (1e10, 1.0)])
def test_the_effective_rank_of_a_known_spectrum(variances):
    shares = [v / sum(variances) for v in variances]
    expected = math.exp(-sum(p * math.log(p) for p in shares if p))
    assert effective_rank(with_spectrum(variances)) == pytest.approx(expected, abs=1e-6)


def test_independent_units_count_and_copies_do_not():
    z = noise(20000, 4)
    assert effective_rank(z) == pytest.approx(4, abs=0.01)
    assert effective_rank(np.hstack([z, z, z])) == pytest.approx(effective_rank(z), abs=1e-6)
    assert effective_rank(np.outer(z[:, 0], [1, 2, 3])) == pytest.approx(1, abs=1e-6)


def test_the_effective_rank_does_not_see_shift_scale_rotation_or_constant_units():
    z = with_spectrum((4, 2, 1, 1))
    moved = np.column_stack([7 - 1e3 * z @ ortho_group.rvs(4, random_state=3), np.full(len(z), 0.1)])
    assert effective_rank(moved) == pytest.approx(effective_rank(z), abs=1e-6)


def test_the_effective_rank_stays_below_the_number_of_rows():
    assert effective_rank(noise(3, 50)) <= 2 + 1e-9


def test_a_constant_code_has_no_rank():
    assert effective_rank(np.full((5, 3), 0.1)) == 0.0


def test_a_rank_needs_two_rows():
    with pytest.raises(ValueError, match="minimum of 2"):
        effective_rank(noise(1))


# --- detection rate --------------------------------------------------------------------------------


def test_detection_equals_a_loop():
    train, test = noise(60, 3), 1.5 * noise(50, 3, 1)
    train_y, test_y = np.arange(60) % 3 // 2, np.arange(50) % 2
    background = [row for row, y in zip(train.tolist(), train_y, strict=True) if y == 0]
    centre = [sum(column) / len(background) for column in zip(*background, strict=True)]

    def distance(row):
        return math.sqrt(sum((a - m) ** 2 for a, m in zip(row, centre, strict=True)))

    # 40 background rows: two of them may exceed the threshold.
    threshold = sorted(map(distance, background))[-3]
    alarms = [distance(row) > threshold for row in test.tolist()]
    got = detection_rate(train, train_y, test, test_y)
    assert got["detection_rate"] == pytest.approx(sum(alarms[1::2]) / 25, abs=1e-12)
    assert got["false_alarm_rate"] == pytest.approx(sum(alarms[::2]) / 25, abs=1e-12)


@pytest.mark.parametrize("allowed", [0.01, 0.05, 0.2])
def test_far_targets_are_found_and_a_blind_code_finds_as_many_as_it_alarms(allowed):
    n = 8000
    y = np.arange(n) % 2
    far = detection_rate(noise(n) + 20 * y[:, None], y, noise(n, seed=1) + 20 * y[:, None], y, allowed)
    blind = detection_rate(noise(n), y, noise(n, seed=1), y, allowed)
    assert far["detection_rate"] == 1.0
    assert far["false_alarm_rate"] == pytest.approx(allowed, abs=0.015)
    assert blind["detection_rate"] == pytest.approx(allowed, abs=0.015)


def test_no_more_train_rows_than_allowed_exceed_the_threshold():
    s = noise(200)
    y = np.zeros(200, int)
    test = np.vstack([s, s[:1]])
    got = detection_rate(s, y, test, np.append(y, 1))
    assert got["false_alarm_rate"] == 0.05


def test_the_threshold_is_a_distance_that_was_seen():
    train, test = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([[1.0], [1.2]])
    got = detection_rate(train, np.zeros(4, int), test, np.array([0, 1]), 0.5)
    assert got == {"detection_rate": 1.0, "false_alarm_rate": 0.0}


def test_targets_of_train_are_not_looked_at():
    s, moved = salient() + noise(seed=3), salient() + noise(seed=3)
    moved[Y == 1] *= -50
    assert detection_rate(s, Y, s, Y) == detection_rate(moved, Y, s, Y)


def test_a_threshold_that_does_not_carry_over_is_visible():
    got = detection_rate(noise(), Y, 3 * noise(seed=1), Y)
    assert got["false_alarm_rate"] > 0.5


@pytest.mark.parametrize("value", [0.0, 0.1, 12345.678])
def test_a_constant_code_never_raises_an_alarm(value):
    s = np.full((N, D), value, np.float32)
    assert detection_rate(s, Y, s, Y) == {"detection_rate": 0.0, "false_alarm_rate": 0.0}


def test_detection_does_not_see_the_order_of_units_nor_scale():
    train, test = salient() + noise(seed=1), salient(5) + noise(seed=2)
    got = detection_rate(train, Y, test, Y)
    assert detection_rate(8 * train[:, ::-1], Y, 8 * test[:, ::-1], Y) == got


@pytest.mark.parametrize("allowed", [0, 1, -0.1, 1.5, math.nan])
def test_false_alarms_are_a_share(allowed):
    with pytest.raises(ValueError, match="between 0 and 1"):
        detection_rate(noise(), Y, noise(), Y, allowed)


def test_five_percent_need_twenty_background_rows():
    y = np.ones(100, int)
    y[:19] = 0
    with pytest.raises(ValueError, match="give 20 or more"):
        detection_rate(noise(100), y, noise(), Y)
    y[19] = 0
    detection_rate(noise(100), y, noise(), Y)


@pytest.mark.parametrize("group", [0, 1])
def test_detection_needs_both_groups_in_test(group):
    with pytest.raises(ValueError, match="test needs"):
        detection_rate(noise(), Y, noise(), np.full(N, group))


def test_train_and_test_need_the_same_units():
    with pytest.raises(ValueError, match="units"):
        detection_rate(noise(), Y, noise(d=D + 1), Y)


# --- what all refuse -------------------------------------------------------------------------------

METRICS = {
    "ratio": null_background_ratio,
    "rank": lambda s, y: effective_rank(s),
    "train": lambda s, y: detection_rate(s, y, noise(), Y),
    "test": lambda s, y: detection_rate(noise(), Y, s, y),
}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", METRICS)
def test_what_is_not_finite_is_refused(name, bad):
    s = noise()
    s[3, 1] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        METRICS[name](s, Y)


@pytest.mark.parametrize("y", [Y[1:], Y + 1, Y * np.nan, Y[:, None]], ids=["short", "not 0 or 1", "NaN", "2-d"])
@pytest.mark.parametrize("name", [name for name in METRICS if name != "rank"])
def test_a_domain_that_does_not_fit_is_refused(name, y):
    with pytest.raises(ValueError, match=r"y must hold|inconsistent"):
        METRICS[name](noise(), y)


@pytest.mark.parametrize("s", [np.empty((0, D)), np.empty((N, 0)), np.ones(N)], ids=["rows", "units", "1-d"])
@pytest.mark.parametrize("name", METRICS)
def test_a_code_without_rows_or_units_is_refused(name, s):
    with pytest.raises(ValueError, match=r"minimum of|Expected 2D"):
        METRICS[name](s, Y[: len(s)])
