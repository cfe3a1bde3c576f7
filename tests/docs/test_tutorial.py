"""docs/tutorial.md is followed to the letter, block by block, and what it says of each is so."""

from pathlib import Path

import pandas as pd
import pytest
from documents import blocks, follow

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "tutorial.md").read_text()
# A score of 100 images has a standard error of .05: so much may one on another machine differ from the printed one.
ELSEWHERE, CLEAR = 0.15, 0.1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="module")
def printed(folder):
    """What each block printed, in order."""
    return [follow(block, folder) for block in blocks(TEXT, "bash", "python")]


@pytest.fixture(scope="module")
def scores(folder, printed):
    """Every mean of the last leaderboard by method, name, factor and space."""
    table = pd.read_csv(folder / "results" / "leaderboard.csv")
    return table.set_index(["method", "name", "factor", "space"])["mean"]


def cells(line):
    return [cell.strip() for cell in line.replace("┃", "│").split("│")]


def test_the_table_is_the_one_that_the_first_command_prints(printed):
    (shown,) = (block.code.splitlines() for block in blocks(TEXT, "text"))
    lines = printed[0].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("factor"))
    assert cells(lines[start]) == cells(shown[0])
    for line, said in zip(lines[start + 2 :], shown[2:], strict=False):
        for one, other in zip(cells(line), cells(said), strict=True):
            assert one == other or float(one) == pytest.approx(float(other), abs=ELSEWHERE)


def test_the_two_methods_separate_as_it_says(scores):
    probe = scores.xs("balanced_accuracy", level="name")
    assert probe["sepclr", "digit", "salient"] > probe["sepclr", "digit", "common"] + CLEAR
    assert probe["cvae", "digit", "salient"] < probe["cvae", "digit", "common"] + CLEAR
    summary = scores.reset_index().pivot_table(index="method", columns="name", values="mean")
    assert summary["leak"]["cvae"] > summary["info"]["cvae"] - CLEAR


def test_the_new_method_keeps_the_rules_in_silence(printed):
    assert printed[2] == ""


def test_what_is_there_is_kept_and_the_new_method_stands_beside_it(printed):
    states = [line for line in printed[3].splitlines() if line.startswith("cifar_mnist ")]
    assert sum(line.endswith("kept") for line in states) == 2
    assert {line.split()[1] for line in states if "training" in line} == {"extremes"}


def test_the_new_method_leaks_less_and_its_common_code_hardly_tells_the_group(scores):
    leak = scores.xs("leak", level="name").droplevel(["factor", "space"])
    assert leak["extremes"] < min(leak["cvae"], leak["sepclr"]) - CLEAR
    assert scores["extremes", "balanced_accuracy", "target", "common"] < 0.5 + CLEAR
    assert scores["extremes", "balanced_accuracy", "target", "salient"] > 1 - CLEAR


def test_the_report_lies_where_it_says(folder, printed):
    assert (folder / "report" / "leaderboard.html").stat().st_size > 100_000
    assert r"\begin{tabular}" in (folder / "report" / "leaderboard.tex").read_text()
    figures = {path.suffix for path in (folder / "report" / "figures").iterdir()}
    assert figures == {".png", ".pdf"}


def test_a_run_is_loaded_and_its_figure_is_drawn(folder, printed):
    assert printed[5].split() == ["(200,", "32)", "(200,", "32)"]
    assert (folder / "extremes.png").read_bytes().startswith(b"\x89PNG")
    assert printed[6] == ""
