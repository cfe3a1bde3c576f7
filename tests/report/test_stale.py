"""A finished run whose code has changed since is shown as what it is, in every format."""

import pytest
from page_records import record, stored

from cabench.report.figures import drawer
from cabench.report.frame import frame
from cabench.report.gather import Report, gather
from cabench.report.leaderboard import boards
from cabench.report.write import FORMATS, REPORT_FIGURES, Made
from cabench.store import Store

SENTENCE = "Stale, the code has changed since: a (seed 1, 2). The same cabench run makes them anew."


@pytest.fixture
def told(tmp_path):
    """Two methods and three seeds; two of the first method's are stale, one of the second's has failed."""
    records = [record(method, seed) for method in "ab" for seed in range(3)]
    records[3] = record("b", 0, error="RuntimeError: it broke")
    stale = [records[1]["run_id"], records[2]["run_id"]]
    return Made(Report(records, frame(records, stale)), Store(tmp_path))


def lines(made, name):
    return FORMATS[name][1](made).decode().splitlines()


def test_the_leaderboard_counts_and_names_them(told):
    page = lines(told, "markdown")
    (row,) = (line for line in page if line.startswith("| a ") and "flat" in line)
    assert row.split("|")[2].strip() == "3 (2 stale)"
    (row,) = (line for line in page if line.startswith("| b ") and "flat" in line)
    assert row.split("|")[2].strip() == "2 (1 failed)"
    assert f"- {SENTENCE}" in page


def test_every_latex_table_counts_and_names_them(told):
    page = lines(told, "latex")
    tables = page.count(r"\toprule")
    assert tables == 3
    assert sum(line.startswith("a (2 of 3 seeds stale) & ") for line in page) == tables
    assert sum(line.startswith("b (1 of 3 seeds failed) & ") for line in page) == tables
    assert sum(SENTENCE in line for line in page) == tables


def test_the_page_counts_them_and_names_them_below(told):
    page = "\n".join(lines(told, "html"))
    assert page.count("<td>3 (2 stale)</td>") == 1
    assert page.count("<li>a, seeds 1, 2: stale, the code has changed since.</li>") == page.count(": stale, ") == 1


@pytest.mark.parametrize("name", REPORT_FIGURES)
def test_a_figure_names_them_below(told, name):
    words = " ".join(text.get_text() for text in drawer(name)(told.report).texts).replace("\n", " ")
    assert "d: 2 of 3 seeds stale: a; 1 of 3 seeds failed: b." in words


def test_without_any_no_format_speaks_of_them(told):
    records = told.report.records[:3]
    fresh = Made(Report(records, frame(records)), told.store)
    for name in ("markdown", "latex", "html"):
        assert "stale" not in "\n".join(lines(fresh, name)).lower()


def test_they_are_found_by_the_fingerprint_of_today_s_code(tmp_path):
    """Of two finished runs and a failed one of other code, exactly the finished one is stale."""
    store = Store(tmp_path)
    kept, changed, failed = (
        record(method, dataset="cifar_mnist", error=error)
        for method, error in (("pca", None), ("constant", None), ("pixels", "RuntimeError: it broke"))
    )
    for made, fingerprint in ((kept, None), (changed, "0" * 16), (failed, "0" * 16)):
        made["fingerprints"] = {"method": fingerprint} if fingerprint else {}
        store.write(stored(made))
    report = gather(store)
    assert set(report.table["method"][report.table["stale"]]) == {"constant"}
    (board,) = boards(report)
    assert board.summary.set_index("method")["seeds"].to_dict() == {
        "constant": "1 (1 stale)",
        "pca": "1",
        "pixels": "0 (1 failed)",
    }
