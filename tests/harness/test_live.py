"""What a console shows is what is meant: brackets are parameters, not marks of style."""

import io

import pytest
from page_records import record, report
from rich.console import Console

from cabench.cli.live import Watcher, print_boards
from cabench.plan import Label
from cabench.report.leaderboard import boards
from cabench.spec import RunSpec

METHOD, DATASET = "m[red=1,mode=bold]", "d[noise=0.5]"


@pytest.fixture
def out():
    return Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)


def test_names_with_parameters_are_printed_whole(out):
    print_boards(out, list(boards(report([record("m", label=METHOD, dataset=DATASET)]))))
    shown = out.file.getvalue()
    assert f"{DATASET} (synthetic, quick tier)" in shown
    assert shown.count(METHOD) == 3  # two tables with a row of it, and its column of probes


def test_cells_that_run_have_their_whole_names(out):
    cell = RunSpec("m", {}, "d", {}, "synthetic", "smoke", 0)
    with Watcher(out, [cell], {cell.run_id: Label(METHOD, DATASET)}) as watch:
        watch(cell, "training", 1, 2)
    assert f"{DATASET} {METHOD} 0" in out.file.getvalue()
