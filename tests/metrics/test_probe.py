import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score

from cabench.codes import TARGET, Factor
from cabench.metrics.probe import (
    INVERSE_PENALTIES,
    RIDGE_PENALTIES,
    attributes,
    chance,
    linear_probe,
    prior_bits,
    scores,
    standardised,
)
from cabench.metrics.separation import gain, separation

OBJECT = Factor("object", "common", "target", tuple("abcdefghij"))
DIGIT = Factor("digit", "salient", "target", tuple("0123456789"))


def rows(digit_s, digit_c, object_c, object_s, ceiling=1.0):
    values = {
        ("digit", "salient"): digit_s,
        ("digit", "common"): digit_c,
        ("object", "common"): object_c,
        ("object", "salient"): object_s,
    }
    return [
        {"name": "balanced_accuracy", "factor": f, "space": s, "value": v, "chance": 0.1, "ceiling": ceiling}
        for (f, s), v in values.items()
    ]


def test_the_ideal_scores_one_and_zero():
    got = separation(rows(1, 0.1, 1, 0.1), [OBJECT, DIGIT])
    assert got == pytest.approx({"info": 1, "leak": 0, "CAscore": 1, "delta_tot": 0, "delta_tot_y": 0})


def test_a_copied_code_leaks_everything():
    got = separation(rows(1, 1, 1, 1), [OBJECT, DIGIT])
    assert (got["info"], got["leak"], got["CAscore"]) == pytest.approx((1, 1, 0))


def test_delta_tot_is_the_sum_of_distances_in_points():
    got = separation(rows(0.8, 0.3, 0.5, 0.2), [OBJECT, DIGIT, TARGET])
    assert got["delta_tot"] == pytest.approx(20 + 20 + 50 + 10)


def test_without_a_ceiling_there_is_no_scale():
    got = separation(rows(0.8, 0.3, 0.5, 0.2, ceiling=None), [OBJECT, DIGIT])
    assert got["info"] is None and got["CAscore"] is None


def test_gain_is_clipped():
    assert gain(1.2, 0.0, 1.0) == 1.0 and gain(-0.3, 0.0, 1.0) == 0.0


def test_a_linear_probe_finds_a_planted_linear_factor():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(900, 5))
    t = z @ rng.normal(size=5) * 3 + 40
    parts = [(z[a:b], t[a:b]) for a, b in ((0, 400), (400, 600), (600, 900))]
    got = scores(parts[2][1], linear_probe(*parts, categorical=False), False)
    assert got["r2"] > 0.9999 and got["mae"] < 0.05
    noise = [(rng.normal(size=part[0].shape), part[1]) for part in parts]
    assert abs(scores(parts[2][1], linear_probe(*noise, categorical=False), False)["r2"]) < 0.05


def test_balanced_accuracy_agrees_with_scikit_learn():
    rng = np.random.default_rng(1)
    t = rng.integers(0, 3, 600)
    z = np.eye(3)[t] + rng.normal(size=(600, 3)) * 0.8
    parts = [(z[a:b], t[a:b]) for a, b in ((0, 300), (300, 400), (400, 600))]
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(parts[0][0])
    found = []
    for C in (1e-3, 1e-2, 1e-1, 1, 10, 100):
        model = LogisticRegression(C=C, max_iter=5000, tol=1e-8).fit(scaler.transform(parts[0][0]), parts[0][1])
        found.append([balanced_accuracy_score(p[1], model.predict(scaler.transform(p[0]))) for p in parts[1:]])
    best = max(found, key=lambda pair: pair[0])
    got = scores(parts[2][1], linear_probe(*parts, categorical=True), True)
    assert got["balanced_accuracy"] == pytest.approx(best[1], abs=0.02)


def test_chance_of_each_metric():
    t = np.array([0, 0, 0, 1])
    assert chance(t, t, True, 2) == {"balanced_accuracy": 0.5, "accuracy": 0.75}
    assert chance(np.array([1.0, 2, 9]), np.array([2.0, 4.0]), False, 0) == {"r2": 0.0, "mae": 1.0}


def noisy(values, n, seed):
    """Return a code of 60 units, of which one holds the values, and the rest nothing."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 60))
    z[:, 0] += values
    return z


@pytest.mark.parametrize("categorical", [True, False])
def test_the_penalty_is_the_best_on_validation_and_not_on_train(categorical):
    rng = np.random.default_rng(0)
    rows = (150 if categorical else 70, 400, 4000)
    truths = [rng.integers(0, 2, n) if categorical else rng.normal(size=n) for n in rows]
    parts = [(noisy((5 if categorical else 3) * t, len(t), seed), t) for seed, t in enumerate(truths)]
    if categorical:  # wrong labels, which a weak penalty learns by heart
        wrong = rng.random(len(truths[0])) < 0.25
        truths[0] = np.where(wrong, 1 - truths[0], truths[0])
        parts[0] = parts[0][0], truths[0]
    codes = standardised(*parts, categorical=categorical)
    errors, on_train = [], []
    for penalty in INVERSE_PENALTIES if categorical else RIDGE_PENALTIES:
        model = LogisticRegression(C=penalty, max_iter=300) if categorical else Ridge(alpha=penalty)
        model.fit(codes[0], truths[0])
        seen = [np.square(model.predict(code) - t).mean() for code, t in zip(codes, truths, strict=True)]
        on_train.append(seen[0])
        errors.append((seen[1], seen[2]))
    found = np.square(linear_probe(*parts, categorical=categorical).point - truths[2]).mean()
    assert found == pytest.approx(min(errors)[1], rel=0.05)
    assert found < 0.8 * errors[int(np.argmin(on_train))][1]


def test_a_factor_that_nobody_can_learn_has_no_scale():
    hopeless = [row | {"ceiling": 0.11} for row in rows(0.12, 0.11, 0.1, 0.1)[:2]]
    learned = rows(1, 0.1, 0.55, 0.1)[2:]
    assert separation(hopeless + learned, [OBJECT, DIGIT])["info"] == pytest.approx(0.5)


def test_what_is_missing_has_a_column_of_its_own():
    labels = {"digit": np.array([np.nan, 0.0, 1.0]), "age": np.array([0.0, np.nan, 5.0])}
    two = Factor("digit", "salient", "target", ("0", "1")), Factor("age", "common")
    assert attributes(labels, two, np.ones(3, bool)).tolist() == [[0, 0, 1, 0, 0], [1, 0, 0, 0, 1], [0, 1, 0, 5, 0]]


def test_the_prior_of_a_value_is_as_wide_as_validation_says():
    bits = prior_bits(np.array([-1.0, 1.0]), np.array([-3.0, 3.0]), np.array([0.0]), False)
    assert bits == pytest.approx([0.5 * np.log2(2 * np.pi * 9)])
