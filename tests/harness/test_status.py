"""What other processes can see of a run: what is done, what runs, what waits; and where a run comes from."""

import shlex
from dataclasses import replace

import pytest
from page_records import stored

from cabench.claim import claim
from cabench.execute import execute
from cabench.plan import make_plan
from cabench.status import PLAN_FILE, remember, standings
from cabench.store import Store
from cabench.worker import Options


@pytest.fixture
def plan(plugins):
    files = [plugins / name for name in ("toy.py", "raising.py")]
    return make_plan("constant,raising,pca,pixels", "toy", tier="smoke", plugins=files)


@pytest.fixture
def store(plan, tmp_path):
    """A folder in which the first two cells of the plan have run."""
    store = Store(tmp_path / "results")
    remember(plan, store)
    execute(replace(plan, cells=plan.cells[:2]), store, Options(device="cpu"))
    return store


def states(store):
    return {standing.cell: (standing.state, standing.detail) for standing in standings(store)}


def test_every_cell_of_the_plan_is_told_in_its_order(store):
    assert list(states(store).items()) == [
        ("toy constant 0", ("done", "")),
        ("toy raising 0", ("failed", "RuntimeError: the optimiser diverged")),
        ("toy pca 0", ("waiting", "")),
        ("toy pixels 0", ("waiting", "")),
    ]


def test_a_claimed_cell_runs_and_one_whose_owner_is_gone_has_stopped(plan, store):
    with claim(store, plan.cells[2].run_id) as claimed:
        claimed.note("training", 3, 8)
        state, detail = states(store)["toy pca 0"]
        assert state == "running" and detail.startswith("training 3/8, process ")
    assert states(store)["toy pca 0"] == ("stopped", "training 3/8")


def test_a_cell_of_other_code_is_stale(plan, store):
    record = store.read(plan.cells[0].run_id)
    other = record["fingerprints"] | {"dataset": "other"}
    record["spec"]["dataset"] = "cifar_mnist"  # the toy's file is not among the installed ones
    store.write(stored(record | {"fingerprints": other}))
    assert states(store)["toy constant 0"] == ("stale", "the dataset changed")


@pytest.mark.parametrize("content", ["", "[1]", '{"cell": 3}', "\udcff"])
def test_a_damaged_plan_is_none(content, store):
    (store.root / PLAN_FILE).write_text(content, errors="surrogateescape")
    assert set(states(store)) == {"toy constant 0", "toy raising 0"}


def test_the_command_counts_and_names_what_is_not_done(inside, store):
    done = inside("status", "--results", store.root)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "toy raising 0: failed RuntimeError: the optimiser diverged",
        "toy pca 0: waiting",
        "toy pixels 0: waiting",
        "4 cells: 1 done, 2 waiting, 1 failed.",
    ]


def test_a_folder_without_cells_is_one_sentence(inside, tmp_path):
    done = inside("status", "--results", tmp_path / "none")
    assert done.returncode == 2 and done.stderr.startswith("Error: There are no cells in ")


def test_a_run_is_described_by_a_command_that_gives_its_id(plan, store, inside, plugins):
    done = inside("describe", "toy-constant", "--results", store.root)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert said["run"] == plan.cells[0].run_id and said["status"] == "done"
    words = shlex.split(said["command"])
    options = dict(zip(words[2::2], words[3::2], strict=True))
    again = make_plan(
        options["--methods"],
        options["--datasets"],
        options["--seeds"],
        options["--tier"],
        options["--source"],
        plugins=[plugins / "toy.py"],
    )
    assert [cell.run_id for cell in again.cells] == [plan.cells[0].run_id]


def test_a_failed_run_is_described_with_its_reason(store, inside):
    done = inside("describe", "toy-raising", "--results", store.root)
    assert done.returncode == 0 and "error: RuntimeError: the optimiser diverged" in done.stdout
