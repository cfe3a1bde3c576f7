"""The budgets of the converged tier are those of the search in docs/tuning, found by its rule."""

import sys
from itertools import product
from pathlib import Path

import pytest

from cabench import load_method
from cabench.registry import find

TUNING = Path(__file__).parents[2] / "docs" / "tuning"


@pytest.fixture
def converge(monkeypatch):
    monkeypatch.syspath_prepend(TUNING)
    yield __import__("converge")
    for name in ("converge", "tune"):
        sys.modules.pop(name, None)


def rows(*scores):
    return [{"epochs": 20 * 2**i, "CAscore": score} for i, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("scores", "epochs", "settled"),
    [
        ((0.5,), 20, False),
        ((0.5, 0.52), 20, True),
        ((0.5, 0.4), 20, True),
        ((0.5, 0.53), 40, False),
        ((0.5, 0.6, 0.61), 40, True),
        ((0.5, 0.6, 0.61, 0.9), 40, True),
    ],
)
def test_a_budget_is_enough_where_doubling_it_gains_little(converge, scores, epochs, settled):
    assert converge.enough(rows(*scores))["epochs"] == epochs
    assert converge.settled(rows(*scores)) == settled


def test_every_method_that_was_searched_trains_as_long_as_was_found(converge):
    for (name, dataset), row in converge.chosen().items():
        method = load_method(name, tier="converged", dataset=dataset)
        assert method.epochs == int(row["epochs"]), (name, dataset)
        assert float(row["cpu_s"]) <= converge.LIMIT, (name, dataset)


def test_without_a_search_the_converged_tier_is_the_quick_one(converge):
    searched = converge.chosen()
    others = [pair for pair in product(find("method"), find("dataset")) if pair not in searched]
    assert others
    for name, dataset in others:
        converged, quick = (load_method(name, tier=tier, dataset=dataset) for tier in ("converged", "quick"))
        assert vars(converged) == vars(quick), (name, dataset)


def test_the_converged_tier_changes_epochs_alone(converge):
    for name, dataset in converge.chosen():
        longer, quick = (load_method(name, tier=tier, dataset=dataset) for tier in ("converged", "quick"))
        assert vars(longer) | {"epochs": 0} == vars(quick) | {"epochs": 0}
        assert longer.epochs >= quick.epochs


def test_the_documentation_shows_what_was_found(converge):
    assert converge.table() in (TUNING / "README.md").read_text(encoding="utf-8")
