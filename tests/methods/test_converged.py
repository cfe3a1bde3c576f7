"""The converged tier: its budgets are those of the search in docs/tuning, and its table is the one told there."""

import csv
import sys
from itertools import product

import pytest
from processes import ROOT

from cabench import load_method
from cabench.registry import find

TUNING = ROOT / "docs" / "tuning"
VAES = ("cvae", "convae", "mmcvae", "sepvae", "srb_vae")


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


def test_every_trained_method_was_searched_on_every_data_set_to_the_end(converge):
    trained = {name for name in find("method") if getattr(load_method(name), "epochs", 0)}
    found = converge.searched()
    assert set(found) == set(product(trained, find("dataset")))
    assert {pair for pair, rows in found.items() if not converge.ended(rows)} == set()


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


def test_the_documentation_shows_the_scores_of_the_committed_table():
    with (ROOT / "results" / "converged" / "leaderboard.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["name"] == "CAscore"]
    scores = {(row["method"], row["dataset"]): row for row in rows}
    datasets = sorted(find("dataset"))

    def line(name, cells):
        return f"| {name} | " + " | ".join(cells) + " |"

    def best(dataset):
        return max(VAES, key=lambda name: float(scores[name, dataset]["mean"]))

    shown = (TUNING / "README.md").read_text(encoding="utf-8")
    for name in ("sepclr_attributes", "sepclr", "double_infogan", "cpca", "cpca_plus_plus", "pca", "simclr"):
        assert line(f"`{name}`", [score(scores[name, dataset]) for dataset in datasets]) in shown
    cells = [f"{score(scores[best(dataset), dataset])}, `{best(dataset)}`" for dataset in datasets]
    assert line("best contrastive VAE", cells) in shown


def score(row):
    """Return a mean and half of its interval as tables write them, without the zeros before the points."""
    mean, half = float(row["mean"]), (float(row["high"]) - float(row["low"])) / 2
    written = f"{mean:.2f}" + (f" ± {half:.2f}" if half >= 0.005 else "")
    return written.replace("0.", ".")
