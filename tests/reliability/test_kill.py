"""A run that is killed, at any moment and as often as one likes, ends as one that was not."""

import random
import signal
import subprocess
import sys
import time

import pytest
from processes import ROOT, environment
from reliability.runs import PLUGINS, Launch, finished, numbers, records

TOY = ("--tier", "smoke", "--plugin", PLUGINS / "toy.py", "--datasets", "toy", "--set", "epochs=30")
SIX_SMALL = (*TOY, "--methods", "sepclr,cvae,pca", "--seeds", "0,1")
SIX = ("--tier", "smoke", "--methods", "sepclr,cvae,pca", "--datasets", "cifar_mnist,dsprites_grid")


def wait_for(words, launch):
    while words not in launch.text:
        assert launch.process.poll() is None, launch.text
        time.sleep(0.05)


@pytest.mark.parametrize(("words", "kills"), [(SIX_SMALL, 3), (SIX, 30)])
@pytest.mark.slow
def test_a_command_that_is_killed_again_and_again_ends_with_the_undisturbed_records(words, kills, tmp_path):
    start = time.monotonic()
    (tmp_path / "undisturbed").mkdir()
    assert Launch(tmp_path / "undisturbed", *words, "--jobs", "1").wait() == 0
    seconds = time.monotonic() - start
    moments, kept = random.Random(kills), {}
    for _ in range(kills):
        launch = Launch(tmp_path, *words)
        time.sleep(moments.uniform(0.2, 0.7) * seconds)
        launch.kill()
        now = {path: path.read_bytes() for path in tmp_path.glob("results/runs/*/record.json")}
        assert kept.items() <= now.items()  # a finished cell is not touched again
        kept = now
    last = Launch(tmp_path, *words)
    assert last.wait() == 0, last.text
    assert numbers(tmp_path / "results") == numbers(tmp_path / "undisturbed" / "results")
    assert max(finished(tmp_path).values()) == 1
    assert not list(tmp_path.glob("results/r*/*/checkpoint.pt")) + list(tmp_path.glob("results/r*/*/progress.json"))


def test_a_cell_that_is_killed_at_any_of_its_writes_goes_on_to_the_same_record(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "reliability" / "killed_at_writes.py", tmp_path],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kills, resumed = map(int, done.stdout.split())
    assert kills >= 8 and resumed > 0
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "whole")


@pytest.mark.parametrize(("launches", "seeds"), [(2, 2), pytest.param(4, 8, marks=pytest.mark.slow)])
def test_launches_share_the_cells(launches, seeds, tmp_path):
    words = (*TOY, "--methods", "simclr,pca,random", "--seeds", f"0:{seeds}")
    started = [Launch(tmp_path, *words, "--jobs", "1") for _ in range(launches)]
    assert [launch.wait() for launch in started] == [0] * launches
    times = finished(tmp_path)
    assert len(times) == 3 * seeds == len(records(tmp_path / "results"))
    assert set(times.values()) == {1}
    working = [launch for launch in started if ": done" in launch.text]
    assert len(working) > 1


def test_ctrl_c_ends_within_five_seconds_and_says_how_to_go_on(tmp_path):
    launch = Launch(tmp_path, *SIX_SMALL)
    wait_for("training 8/30", launch)
    start = time.monotonic()
    launch.signal(signal.SIGINT)
    assert launch.wait() == 130
    assert time.monotonic() - start < 5
    assert "same command goes on" in launch.text.splitlines()[-1]
    assert "Traceback" not in launch.text
    assert launch.ends_within(5)


def test_when_the_first_process_is_killed_the_others_end_too_whatever_they_are_at(tmp_path):
    silent = ("--plugin", PLUGINS / "faulty.py", "--methods", "faulty[how=sleeping]")
    launch = Launch(tmp_path, "--tier", "smoke", "--plugin", PLUGINS / "toy.py", "--datasets", "toy", *silent)
    wait_for("training", launch)
    launch.process.kill()
    launch.process.wait()
    assert launch.ends_within(10)
