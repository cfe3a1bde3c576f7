"""What the pool of processes does with cells, apart from what the processes do."""

import multiprocessing

import pytest

from cabench.errors import UserError
from cabench.jobs import Limits, _Pool, _Process, usual_jobs
from cabench.plan import dataset_key, make_plan
from cabench.store import Store
from cabench.worker import Options


@pytest.fixture
def plan(plugins):
    files = [plugins / "toy.py"]
    return make_plan("constant,pca", "toy,toy[noise=0.1],toy[noise=0.2]", tier="smoke", plugins=files)


@pytest.fixture
def pool(plan, tmp_path):
    return _Pool(plan, Store(tmp_path), Options(), lambda *_: None, Limits())


def process(pipe=None, **more):
    return _Process(process=None, pipe=pipe, lifeline=None, observer=None, **more)


def test_a_cell_that_a_dead_process_cannot_take_waits_for_another(pool, plan):
    ours, theirs = multiprocessing.Pipe()
    theirs.close()
    dead = process(ours)
    pool._hand(plan.cells[0], dead)
    assert dead.spec is None and pool._waiting == [plan.cells[0]]


def test_a_process_goes_on_with_its_data_set_and_a_new_one_takes_a_set_that_no_other_has(pool, plan):
    keys = list(dict.fromkeys(map(dataset_key, plan.cells)))
    first, second = process(data=keys[1]), process()
    pool._processes, pool._waiting = [first, second], list(plan.cells)
    assert dataset_key(pool._next(first)) == keys[1]
    pool._waiting = [spec for spec in plan.cells if dataset_key(spec) != keys[0]]
    assert dataset_key(pool._next(second)) == keys[2]


def test_a_cell_that_another_launch_runs_is_tried_again_later(pool, plan):
    one = process(spec=plan.cells[0])
    pool._processes = [one]
    pool._hear(one, "elsewhere")
    assert one.spec is None and pool._waiting == [plan.cells[0]]
    assert pool._next(one) is None
    pool._elsewhere[plan.cells[0].run_id] = 0.0
    assert pool._next(one) is plan.cells[0]


def test_what_no_cell_can_mend_stops_all(pool, plan):
    with pytest.raises(UserError, match="free space"):
        pool._hear(process(spec=plan.cells[0]), "refused", "free space")


def test_a_gpu_runs_one_cell_at_a_time(monkeypatch):
    assert usual_jobs("cpu") >= 1
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert usual_jobs("auto") == usual_jobs("cuda") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--jobs", "0"), "--jobs is auto or a number from 1 on, not '0'"),
        (("--jobs", "many"), "not 'many'"),
        (("--time-limit", "0"), "--time-limit must be above 0, not 0"),
        (("--memory-limit", "nan"), "--memory-limit must be above 0, not nan"),
    ],
)
def test_bad_limits_are_one_sentence_and_exit_2(words, said, inside):
    done = inside("run", "--methods", "constant", "--datasets", "cifar_mnist", "--dry-run", *words)
    assert done.returncode == 2 and done.stderr.startswith("Error: ") and said in done.stderr
