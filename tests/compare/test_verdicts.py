"""The gate's rates of error, and what each verdict means."""

import math

import numpy as np
import pytest

from cabench.compare.baseline import Cell, Scores
from cabench.compare.rules import Rule, parse_rule, speed_rule
from cabench.compare.verdicts import compare, judge
from cabench.errors import UserError

RULE = parse_rule("CAscore:-0.05")
LEVEL = 0.998
FIVE, TEN, OTHERS = range(5), range(10), range(100, 105)
# (seeds of the baseline, seeds of the results): all the same, none the same, as CI has them.
SEEDS = [
    (range(3), range(3)),
    (FIVE, FIVE),
    (range(3), range(100, 103)),
    (FIVE, OTHERS),
    (TEN, FIVE),
    (TEN, OTHERS),
]


def scores(rng, truths, spreads, seeds, metric="CAscore"):
    """Draw one value per seed for every cell."""
    drawn = rng.normal(truths, spreads, (len(seeds), len(truths))).T
    return Scores(
        {
            Cell(f"m{cell}", "d", "synthetic", "smoke"): {metric: dict(zip(seeds, values, strict=True))}
            for cell, values in enumerate(drawn)
        }
    )


def reruns(seeds, count, losses=(0.0,) * 6, spread=None):
    """Yield comparisons of six cells whose seeds spread by .01 to .05, drawn twice around the same truth."""
    rng = np.random.default_rng(11)
    for _ in range(count):
        truths = rng.uniform(0.2, 0.9, 6)
        spreads = rng.uniform(0.01, 0.05, 6) if spread is None else np.full(6, spread)
        before, after = scores(rng, truths, spreads, seeds[0]), scores(rng, truths - losses, spreads, seeds[1])
        yield compare(before, after, [RULE])


def share(comparisons, verdict, cells=None):
    """Return the share of comparisons in which one of the cells has a verdict."""
    return np.mean(
        [
            any(one.verdict == verdict and (not cells or one.cell.method in cells) for one in made)
            for made in comparisons
        ]
    )


@pytest.mark.parametrize("seeds", SEEDS, ids=lambda s: f"{len(s[0])}_{len(s[1])}_from_{s[1][0]}")
def test_of_200_reruns_on_any_seeds_at_most_one_percent_alarm(seeds):
    assert share(reruns(seeds, 200), "worse") <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize("seeds", SEEDS, ids=lambda s: f"{len(s[0])}_{len(s[1])}_from_{s[1][0]}")
def test_the_rate_of_alarms_is_at_most_1_in_200(seeds):
    rate = share(reruns(seeds, 20_000), "worse")
    print(f"alarms: {rate:.4f}")
    assert rate <= 0.005 + 0.0015  # three standard errors of 20,000


@pytest.mark.parametrize(
    ("seeds", "spread"), [((FIVE, OTHERS), 0.01), ((TEN, range(100, 103)), 0.01), ((TEN, OTHERS), 0.014)]
)
def test_a_loss_of_005_in_one_cell_is_found_on_other_seeds(seeds, spread):
    assert share(reruns(seeds, 300, [0.05, 0, 0, 0, 0, 0], spread), "worse", {"m0"}) >= 0.95


@pytest.mark.parametrize(("seeds", "spread"), [((FIVE, OTHERS), 0.015), ((TEN, range(100, 103)), 0.02)])
def test_a_loss_of_005_in_all_cells_is_found_on_other_seeds(seeds, spread):
    assert share(reruns(seeds, 200, [0.05] * 6, spread), "worse") >= 0.95


@pytest.mark.parametrize("seeds", [3, 5])
def test_a_loss_on_the_same_seeds_is_found_however_much_seeds_differ(seeds):
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(200):
        before = scores(rng, np.full(6, 0.6), rng.uniform(0.01, 0.05, 6), range(seeds))
        after = {
            cell: {"CAscore": {seed: value - 0.05 for seed, value in of["CAscore"].items()}}
            for cell, of in before.cells.items()
        }
        found += all(one.verdict == "worse" for one in compare(before, Scores(after), [RULE]))
    assert found == 200


def test_where_seeds_differ_too_much_nothing_is_claimed_and_the_seeds_asked_for_are_enough():
    rng = np.random.default_rng(5)
    before, after = (scores(rng, np.full(6, 0.6), np.full(6, 0.03), FIVE) for _ in range(2))
    asked = [one.seeds_needed() for one in compare(before, after, [RULE]) if one.verdict == "inconclusive"]
    assert len(asked) == 6
    more = range(max(asked))
    assert 10 < len(more) <= 60
    assert share(reruns((more, more), 200, [0.05, 0, 0, 0, 0, 0], 0.03), "worse", {"m0"}) >= 0.95


def test_more_than_a_hundred_seeds_are_not_asked_for():
    (one,) = compare(*(scores(np.random.default_rng(i), [0.5], [0.4], FIVE) for i in range(2)), [RULE])
    assert one.verdict == "inconclusive" and one.seeds_needed() is None


def by_seed(*values):
    return dict(enumerate(values))


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        ((0.50, 0.60, 0.70), "same"),  # bit for bit
        ((0.49, 0.59, 0.69), "same"),  # a loss, surely, of less than the tolerance
        ((0.45, 0.55, 0.65), "worse"),
        ((0.40, 0.50, 0.60), "worse"),
        ((0.55, 0.65, 0.75), "better"),
        ((0.20, 0.60, 0.90), "inconclusive"),
    ],
)
def test_verdicts_on_the_same_seeds(now, verdict):
    then = by_seed(0.5, 0.6, 0.7)
    assert judge(then, by_seed(*now), RULE, LEVEL)[0] == verdict
    mirrored = Rule("leak", 0.05, higher=False)
    against = {"worse": "better", "better": "worse"}.get(verdict, verdict)
    assert judge(then, by_seed(*now), mirrored, LEVEL)[0] == against


def test_a_loss_of_just_the_tolerance_is_worse_whatever_its_last_digit():
    assert 0.45 - 0.5 > -0.05
    assert judge(by_seed(0.5, 0.5, 0.5), by_seed(0.45, 0.45, 0.45), RULE, LEVEL)[0] == "worse"


def test_a_subset_of_the_baselines_seeds_that_repeats_exactly_is_the_same():
    then = by_seed(*np.random.default_rng(0).normal(0.5, 0.2, 10))
    verdict, change = judge(then, {seed: then[seed] for seed in (1, 4, 7)}, RULE, LEVEL)
    assert (verdict, change.interval.low, change.interval.high) == ("same", 0, 0)
    assert change.then == change.now


def test_without_seeds_in_common_the_whole_error_goes_to_one_interval():
    rng = np.random.default_rng(1)
    then, values = by_seed(*rng.normal(0.5, 0.01, 5)), rng.normal(0.5, 0.01, 5)
    shared = judge(then, dict(zip(FIVE, values, strict=True)), RULE, LEVEL)[1]
    apart = judge(then, dict(zip(OTHERS, values, strict=True)), RULE, LEVEL)[1]
    assert (shared.level, apart.level) == (pytest.approx((1 + LEVEL) / 2), LEVEL)


def test_a_cell_that_failed_was_not_run_or_has_two_seeds_is_missing():
    before = scores(np.random.default_rng(0), [0.5] * 4, [0.01] * 4, FIVE)
    whole, failing, few, gone = before.cells
    after = Scores(
        {whole: before.cells[whole], failing: before.cells[failing], few: {"CAscore": by_seed(0.5, 0.5)}},
        flaws={failing: "seed 3 failed: it broke"},
    )
    found = {one.cell: one for one in compare(before, after, [RULE])}
    assert {cell: one.verdict for cell, one in found.items()} == {
        whole: "same",
        failing: "missing",
        few: "missing",
        gone: "missing",
    }
    assert [found[cell].flaw.split(" ")[0] for cell in (failing, few, gone)] == ["seed", "2", "0"]


def test_several_metrics_share_the_error_and_the_gravest_comes_first():
    rng = np.random.default_rng(2)
    score, leak = scores(rng, [0.5], [0.01], FIVE), scores(rng, [0.2], [0.01], FIVE, "leak")
    (cell,) = score.cells
    before = Scores({cell: score.cells[cell] | leak.cells[cell]})
    more = {seed: value + 0.1 for seed, value in before.cells[cell]["leak"].items()}
    after = Scores({cell: {**before.cells[cell], "leak": more}})
    found = compare(before, after, [RULE, parse_rule("leak:+0.05")])
    assert [(one.rule.metric, one.verdict) for one in found] == [("leak", "worse"), ("CAscore", "same")]
    alone = compare(before, after, [RULE])
    assert 1 - found[0].change.level == pytest.approx((1 - alone[0].change.level) / 2)


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.0, "same"), (1.3, "same"), (1.45, "inconclusive"), (1.8, "worse"), (0.5, "better")]
)
def test_speed_fails_only_when_surely_above_the_slowdown(factor, verdict):
    rng = np.random.default_rng(4)
    before, after = (by_seed(*np.exp(rng.normal(math.log(scale), 0.02, 5))) for scale in (20, 20 * factor))
    assert judge(before, after, speed_rule(1.5), LEVEL)[0] == verdict


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("CAscore", "is written CAscore:-0.05"),
        ("CAscore:", "is written"),
        ("CAscore:0", "is written"),
        ("CAscore:nan", "is written"),
        ("CAscore:-inf", "is written"),
        ("CAscore:0.05", "write its loss as CAscore:-0.05"),
        ("leak:-0.05", "write its loss as leak:+0.05"),
        ("CAscor:-0.05", "Did you mean 'CAscore'"),
        ("", "is written"),
    ],
)
def test_a_malformed_rule_is_answered_with_the_right_form(text, says):
    with pytest.raises(UserError, match=says.replace("+", r"\+")):
        parse_rule(text)
