"""Scores are means over seeds with the intervals of cabench.stats, written alike in every table."""

import numpy as np
import pandas as pd
import pytest
from page_records import record

from cabench.report.frame import frame
from cabench.report.scores import Score, aggregate, measured, over_factors, text
from cabench.stats import Interval, seed_interval


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_a_score_is_the_mean_and_half_of_the_interval_over_seeds(count):
    rng = np.random.default_rng(count)
    for values in [*rng.normal(0.5, 0.2, (20, count)), [-0.001] * count]:
        made = Score.of(values)
        assert made.mean == pytest.approx(np.mean(values))
        half = (lambda made: (made.high - made.low) / 2)(seed_interval(values)) if count > 2 else 0.0
        assert made.half == pytest.approx(half)


def test_a_known_interval_comes_before_the_one_over_seeds():
    assert Score.of([0.4, 0.5, 0.6], Interval(0.5, 0.4, 0.6)).half == pytest.approx(0.1)
    assert Score.of([0.5], Interval(0.5, 0.4, 0.6)).half == pytest.approx(0.1)


def test_nothing_measured_is_a_dash():
    assert Score.of([]) is Score.of([None, float("nan")]) is None
    assert text(None) == "-"


@pytest.mark.parametrize(
    ("score", "how", "written"),
    [
        (Score(0.8, 0.2484), {}, "0.80 ± 0.25"),
        (Score(0.8, 0.0049), {}, "0.80"),
        (Score(0.8, 0.0051), {}, "0.80 ± 0.01"),
        (Score(-0.001), {}, "0.00"),
        (Score(12.6, 3.0), {"digits": 0, "interval": False}, "13"),
    ],
)
def test_an_interval_that_rounds_to_nothing_is_left_out(score, how, written):
    assert text(score, **how) == written


def test_every_number_of_the_frame_is_found_where_it_was_measured():
    table = frame([record("a", seed) for seed in range(3)] + [record("b", error="it broke")])
    methods = measured(table)["d", "synthetic", "quick"]
    assert methods["b"] == {}
    rows = methods["a"]["balanced_accuracy", "age", "salient"]
    assert [row.seed for row in rows] == [0, 1, 2]
    same = table[
        (table["name"] == "balanced_accuracy") & (table["factor"] == "age") & (table["space"] == "salient")
    ]
    assert [row.value for row in rows] == list(same["value"])
    assert sum(len(rows) for rows in methods["a"].values()) == len(table) - 1


def test_over_several_factors_the_mean_is_taken_seed_by_seed():
    table = frame([record("a", seed) for seed in range(3)])
    values = table[(table["name"] == "accuracy") & (table["space"] == "common")].groupby("seed")["value"].mean()
    made = over_factors(measured(table)["d", "synthetic", "quick"]["a"], "accuracy", "common")
    expected = seed_interval(values.to_numpy())
    assert (made.mean, made.mean + made.half) == pytest.approx((expected.value, expected.high))


def test_the_table_of_numbers_says_the_same():
    table = frame([record("a", seed) for seed in range(3)] + [record("b", 0), record("b", 1, error="it broke")])
    known = {("d", "synthetic", "quick", "a", "age", "common"): Interval(0.5, 0.1, 0.9)}
    lines = aggregate(table, known)
    methods = measured(table)["d", "synthetic", "quick"]
    for line in lines.astype(object).where(lines.notna(), None).to_dict("records"):
        rows = methods[line["method"]][line["name"], line["factor"], line["space"]]
        made = Score.of(row.value for row in rows)
        assert line["mean"] == pytest.approx(made.mean) and line["seeds"] == len(rows)
        if (line["factor"], line["space"], line["name"]) == ("age", "common", "balanced_accuracy"):
            assert line["method"] == "b" or (line["low"], line["high"]) == (0.1, 0.9)
        else:
            assert (line["high"] or made.mean) == pytest.approx(made.mean + made.half)
    assert pd.isna(lines[lines["method"] == "b"]["low"]).all()
