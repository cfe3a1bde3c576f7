"""What holds for every family of metrics."""

import importlib
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted import FACTORS, KINDS, planted

from cabench.codes import Codes
from cabench.errors import UserError
from cabench.metrics.catalogue import FAMILIES, METRICS, families
from cabench.metrics.evaluate import evaluate_families
from cabench.metrics.evidence import Swaps

SEEN = {kind: planted(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def rows():
    """Return (kind, metric, factor, space) -> value, for all families."""
    return {
        (kind, row["name"], row["factor"], row["space"]): row["value"]
        for kind, evidence in SEEN.items()
        for row in evaluate_families(evidence, FAMILIES)
    }


def test_every_value_is_finite_within_its_bounds_and_on_a_card(rows):
    for (kind, name, *_), value in rows.items():
        low, high = METRICS[name].bounds
        assert np.isfinite(value) and low - 1e-9 <= value <= high + 1e-9, (kind, name, value)


def test_an_oracle_separates_a_constant_knows_nothing_and_a_copy_leaks_everything(rows):
    for tail in ("", "_max"):
        score = {
            kind: [rows[kind, name + tail, None, None] for name in ("info", "leak", "CAscore")] for kind in KINDS
        }
        assert score["oracle"] == pytest.approx([1, 0, 1], abs=0.03)
        assert score["constant"] == pytest.approx([0, 0, 0], abs=0.03)
        assert score["copied"] == pytest.approx([1, 1, 0], abs=0.03)


@pytest.mark.parametrize("factor", FACTORS, ids=lambda f: f.name)
def test_probes_of_every_kind_agree_on_what_is_planted(rows, factor):
    probes = [factor.metric, *(f"{factor.metric}_{probe}" for probe in ("knn", "mlp", "trees"))]
    abroad = "salient" if factor.home == "common" else "common"
    for probe in probes:
        assert rows["oracle", probe, factor.name, factor.home] > 0.9
        assert rows["constant", probe, factor.name, factor.home] == pytest.approx(factor.chance, abs=0.02)
        assert rows["oracle", probe, factor.name, abroad] < factor.chance + 0.12
        assert rows["copied", probe, factor.name, abroad] > 0.8


def test_no_family_sees_the_order_of_the_rows_it_measures():
    evidence, rng = SEEN["oracle"], np.random.default_rng(1)
    order = rng.permutation(len(evidence.test.y))
    test = evidence.test
    codes = Codes(test.codes.common[order], test.codes.salient[order])
    labels = {name: column[order] for name, column in test.labels.items()}
    shuffled = replace(
        evidence, test=replace(test, codes=codes, y=test.y[order], labels=labels, groups=test.groups[order])
    )
    for before, after in zip(
        *(evaluate_families(e, ["probe", "information"]) for e in (evidence, shuffled)), strict=True
    ):
        assert before["value"] == pytest.approx(after["value"], abs=1e-9), before["name"]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_yields_what_its_card_lists(name):
    blank, square = np.zeros((2, 1, 4, 4)), np.eye(4)[None, None].repeat(2, 0)
    cost = {metric.name: 1.0 for metric in FAMILIES["cost"].metrics}
    full = replace(SEEN["oracle"], cost=cost, swaps=lambda: Swaps(square / 2, blank, square, blank))
    module = importlib.import_module(f"cabench.metrics.{name}")
    rows = list(module.measure(full))
    assert {row["name"] for row in rows} <= {metric.name for metric in FAMILIES[name].metrics}
    assert all((row["factor"] is not None) == METRICS[row["name"]].per_factor for row in rows)


def test_words_name_families():
    assert families("full") == list(FAMILIES)
    assert families("usable_bits,probe") == ["probe", "information"]
    with pytest.raises(UserError, match="Did you mean 'leak'"):
        families("leek")


def test_core_is_cheap():
    """The numbers of a cell: 2,000 test rows, 32 units per code; 5 CPU-seconds for core, 60 for all."""
    evidence = wide(4000, 2000)
    for words, limit in (("core", 5), ("full", 60)):
        begun = time.process_time()
        evaluate_families(evidence, families(words))
        assert time.process_time() - begun < limit


def wide(train, test):
    """Return evidence of codes with 32 units."""
    import planted as maker

    rng = np.random.default_rng(0)
    parts = {}
    for name, n in {"train": train, "validation": train // 4, "test": test}.items():
        made = maker.part("copied", n, rng, 0.5)
        codes = Codes(*(np.hstack([code, rng.normal(size=(n, 32 - code.shape[1]))]).astype(np.float32)
                        for code in (made.codes.common, made.codes.salient)))  # fmt: skip
        parts[name] = replace(made, codes=codes)
    return replace(SEEN["copied"], **parts)


def test_the_docs_name_every_metric():
    text = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text()
    probes = ("_knn", "_mlp", "_trees")
    told = [name for name in METRICS if not name.endswith(probes) and not name.endswith("_p")]
    assert [name for name in told if f"`{name}`" not in text] == []
    assert [name for name in FAMILIES if f"## {name}\n" not in text] == []


def changed(evidence, part, **labels):
    """Return the evidence with other labels in one part."""
    before = getattr(evidence, part)
    return replace(evidence, **{part: replace(before, labels={**before.labels, **labels})})


def test_odd_labels_give_finite_values():
    evidence, rng = SEEN["oracle"], np.random.default_rng(2)
    test = evidence.test
    one_class = changed(evidence, "test", digit=np.where(test.y == 1, 2.0, np.nan))
    tied = evidence
    for part in ("train", "validation", "test"):
        tied = changed(tied, part, size=np.full(len(getattr(tied, part).y), 7.0))
    gaps = np.where(rng.random(len(test.y)) < 0.5, np.nan, test.labels["shape"])
    unseen = changed(evidence, "train", shape=evidence.train.labels["shape"] % 2)
    once = unseen.train.labels["shape"].copy()
    once[5] = 2.0
    rare = changed(evidence, "train", shape=once)
    for odd in (one_class, tied, changed(evidence, "test", shape=gaps), unseen, rare):
        rows = evaluate_families(odd, FAMILIES)
        assert rows and all(np.isfinite(row["value"]) for row in rows)


def test_few_rows_leave_out_what_needs_more():
    sizes = {"train": 40, "validation": 30, "test": 30}
    few = replace(SEEN["oracle"], **{name: cut(getattr(SEEN["oracle"], name), n) for name, n in sizes.items()})
    rows = evaluate_families(few, FAMILIES)
    assert all(np.isfinite(row["value"]) for row in rows)
    assert "leak" in {row["name"] for row in rows} and "gaussian_mi" not in {row["name"] for row in rows}


def cut(part, n):
    """Return the first n rows of a part."""
    codes = Codes(part.codes.common[:n], part.codes.salient[:n])
    labels = {name: column[:n] for name, column in part.labels.items()}
    return replace(part, codes=codes, y=part.y[:n], labels=labels, groups=part.groups[:n])


def test_what_the_true_factors_of_a_space_give_away_is_no_leak():
    """If the size goes with the shape of a digit, a code of the digit alone knows the size."""
    evidence = SEEN["oracle"]
    for name in ("train", "validation", "test"):
        part = getattr(evidence, name)
        digit = np.where(part.y == 1, part.labels["digit"], 0)
        evidence = changed(evidence, name, size=digit * 10.0)
    rows = evaluate_families(evidence, ["probe"])
    (row,) = (r for r in rows if (r["name"], r["factor"], r["space"]) == ("r2", "size", "salient"))
    assert row["value"] > 0.9 and row["confounded"] == pytest.approx(1.0, abs=0.02)
    (leak,) = (r["value"] for r in rows if r["name"] == "leak")
    assert leak < 0.05


def test_the_worst_leak_excuses_what_the_same_probes_read_from_the_true_factors():
    """The digit goes with the distance of the size from its mean, which no linear probe sees."""
    evidence = SEEN["oracle"]
    for name in ("train", "validation", "test"):
        part = getattr(evidence, name)
        far = (np.abs(part.labels["size"] - 50) > 6.745).astype(int)
        salient = (np.eye(4)[far] * part.y[:, None]).astype(np.float32)
        part = replace(part, codes=Codes(part.codes.common, salient))
        evidence = changed(replace(evidence, **{name: part}), name, digit=np.where(part.y == 1, far, np.nan))
    rows = {(row["name"], row["factor"], row["space"]): row for row in evaluate_families(evidence, ["information"])}
    assert rows["balanced_accuracy_trees", "digit", "common"]["value"] > 0.9
    assert rows["leak_max", None, None]["value"] < 0.03


def test_a_common_factor_without_values_on_background_excuses_no_leak_of_the_group():
    evidence = SEEN["copied"]
    for name in ("train", "validation", "test"):
        part = getattr(evidence, name)
        evidence = changed(evidence, name, size=np.where(part.y == 1, part.labels["size"], np.nan))
    rows = evaluate_families(replace(evidence, factors=(replace(FACTORS[1], rows="target"), FACTORS[3])), ["probe"])
    (row,) = (r for r in rows if (r["name"], r["factor"], r["space"]) == ("balanced_accuracy", "target", "common"))
    assert row["value"] > 0.95 and row["confounded"] is None
    (leak,) = (r["value"] for r in rows if r["name"] == "leak")
    assert leak > 0.9


def test_background_bits_count_what_is_labelled_there_wherever_it_is_probed():
    evidence = SEEN["oracle"]
    for name in ("train", "validation", "test"):
        part = getattr(evidence, name)
        shape = np.eye(3)[part.labels["shape"].astype(int)] * (part.y == 0)[:, None]
        codes = Codes(part.codes.common, shape.astype(np.float32))
        # Nothing says how large things are on background images.
        size = np.where(part.y == 1, part.labels["size"], np.nan)
        part = replace(part, codes=codes, labels={**part.labels, "size": size})
        evidence = replace(evidence, **{name: part})
    of_target = tuple(replace(factor, rows="target") for factor in FACTORS[:2])
    rows = evaluate_families(replace(evidence, factors=of_target), ["background"])
    bits = {row["factor"]: row["value"] for row in rows if row["name"] == "background_bits"}
    assert bits == {"shape": pytest.approx(np.log2(3), abs=0.05)}


def test_background_bits_do_not_count_what_s_says_of_targets():
    evidence = SEEN["oracle"]
    for name in ("train", "validation", "test"):
        part = getattr(evidence, name)
        shape = np.eye(3)[part.labels["shape"].astype(int)] * (part.y == 1)[:, None]
        evidence = replace(
            evidence, **{name: replace(part, codes=Codes(part.codes.common, shape.astype(np.float32)))}
        )
    rows = evaluate_families(evidence, ["background"])
    (bits,) = (row["value"] for row in rows if (row["name"], row["factor"]) == ("background_bits", "shape"))
    assert bits < 1e-3
