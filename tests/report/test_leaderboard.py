import pandas as pd
import pytest

from cabench.report.frame import frame
from cabench.report.gather import Report
from cabench.report.leaderboard import boards, to_markdown
from cabench.report.scores import aggregate


def record(
    label="a", seed=0, source="synthetic", status="done", value=0.8, started="2026-01-01", run_id="r", dataset="d"
):
    row = {"name": "balanced_accuracy", "factor": "digit", "space": "salient", "home": "salient", "rows": "target"}
    row |= {"value": value, "chance": 0.1, "ceiling": 0.9, "direction": "higher", "n": 50}
    abroad = row | {"space": "common", "value": 0.3}
    return {
        "run_id": run_id,
        "label": label,
        "dataset_label": dataset,
        "spec": {"dataset": "d", "source": source, "tier": "quick", "seed": seed},
        "status": status,
        "error": None if status == "done" else "RuntimeError: it broke",
        "metrics": [row, abroad] if status == "done" else [],
        "training": {"trend": "falling"},
        "provenance": {"started": started, "wall_s": 2.0, "cpu_s": 3.0},
    }


def only(records):
    (board,) = report(records)
    return board


def report(records):
    return list(boards(Report(records, frame(records))))


def test_every_probe_stands_between_chance_and_ceiling():
    probes = only([record(), record("b", value=0.5)]).probes
    assert list(probes.columns) == ["factor", "metric", "code", "chance", "a", "b", "ceiling"]
    assert list(probes.iloc[0]) == ["digit", "bacc", "salient ↑", "0.10", "0.80", "0.50", "0.90"]
    assert list(probes.iloc[1][["code", "a"]]) == ["common ↓", "0.30"]


def test_seeds_are_averaged_with_half_their_interval():
    probes = only([record(seed=seed, value=0.7 + 0.1 * seed) for seed in range(3)]).probes
    assert probes.iloc[0]["a"] == "0.80 ± 0.25"  # 4.303 * 0.1 / sqrt(3)
    assert probes.iloc[0]["ceiling"] == "0.90"


def test_two_seeds_have_no_interval():
    assert only([record(seed=0, value=0.7), record(seed=1, value=0.9)]).probes.iloc[0]["a"] == "0.80"


def test_the_table_of_numbers_holds_the_interval():
    lines = aggregate(frame([record(seed=seed, value=0.7 + 0.1 * seed) for seed in range(3)]))
    line = lines[lines["space"] == "salient"].iloc[0]
    assert [line["mean"], line["sd"], line["low"], line["high"]] == pytest.approx(
        [0.8, 0.1, 0.5516, 1.0484], abs=1e-4
    )
    assert aggregate(frame([record()])).iloc[0][["low", "high"]].isna().all()


def test_a_failure_and_an_unfinished_budget_show():
    board = only([record(), record("b", status="failed")])
    assert board.summary.set_index("method")["seeds"]["b"] == "0 (1 failed)"
    assert board.summary.set_index("method")["validation loss"]["a"] == "falling: at this budget"
    assert any("it broke" in note for note in board.notes)


def test_the_worst_trend_over_the_seeds_shows():
    flat, rising = record(), record(seed=1)
    flat["training"], rising["training"] = {"trend": "flat"}, {"trend": "rising"}
    assert list(only([flat, rising]).summary["validation loss"]) == ["rising: past its best"]


def test_synthetic_and_real_never_share_a_table():
    assert len(report([record(), record(source="real")])) == 2


def test_a_harder_variant_of_a_data_set_has_its_own_table():
    titles = [board.title for board in report([record(), record(dataset="d[noise=0.1]")])]
    assert titles == ["d (synthetic, quick tier)", "d[noise=0.1] (synthetic, quick tier)"]


def test_the_newest_record_of_a_cell_counts():
    table = frame([record(value=0.1, started="2026-01-02"), record(value=0.9, started="2026-01-01")])
    assert table["value"].iloc[0] == pytest.approx(0.1)


def test_no_record_is_a_page_that_says_so():
    assert "No finished cell" in to_markdown([])
    assert isinstance(frame([]), pd.DataFrame)


def test_what_was_measured_beyond_linear_probes_has_a_table_of_its_own():
    def measured(name, value, factor=None, space=None, seed=0):
        made = record(seed=seed)
        row = made["metrics"][0] | {"name": name, "factor": factor, "space": space, "value": value}
        return made | {"metrics": [*made["metrics"], row]}

    two = measured("background_bits", 0.2, "age", "salient")
    two["metrics"] += [two["metrics"][-1] | {"factor": "sex", "value": 0.4}]
    (line,) = only([two]).more.to_dict("records")
    assert line == {"method": "a", "background bits ↓": "0.30"}
    (line,) = only([measured("ami", 0.5, "digit", "salient")]).more.to_dict("records")
    assert line == {"method": "a", "AMI(s) ↑": "0.50"}
    assert only([record()]).more.empty
    page = to_markdown([only([two])])
    assert "| background bits ↓" in page
