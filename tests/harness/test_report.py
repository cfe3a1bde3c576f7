"""`cabench report`, on real runs of toys."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PLUGINS
from processes import wait_until

import cabench as package
from cabench.execute import execute
from cabench.plan import make_plan
from cabench.report.write import write_leaderboard
from cabench.store import Store
from cabench.worker import Options


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a results folder with two methods and two seeds."""
    folder = tmp_path_factory.mktemp("finished") / "results"
    files = [PLUGINS / "toy.py", PLUGINS / "corner.py"]
    execute(
        make_plan("corner,constant", "toy", "0,1", "smoke", plugins=files), Store(folder), Options(device="cpu")
    )
    write_leaderboard(Store(folder))
    return folder


@pytest.fixture
def results(finished, tmp_path):
    """Return a copy of that folder where `cabench report` looks for it."""
    return shutil.copytree(finished, tmp_path / "results")


def test_filters_and_formats(cabench, results, tmp_path):
    formats = ["--format", "markdown,latex,parquet,html,figures", "--out", tmp_path / "out"]
    done = cabench("report", "--methods", "corner", "--seeds", "1", *formats)
    assert done.returncode == 0, done.stderr
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    suffixes = ("html", "md", "parquet", "tex")
    assert written == ["figures", *(f"leaderboard.{suffix}" for suffix in suffixes)]
    figures = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert {"plane_synthetic_smoke.png", "plane_synthetic_smoke.pdf", "ranks_synthetic_smoke.pdf"} <= figures
    assert "data:image/png" in (tmp_path / "out" / "leaderboard.html").read_text()
    page = (tmp_path / "out" / "leaderboard.md").read_text()
    assert "corner" in page and "constant" not in page and "Seeds 1;" in page


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--methods", "cornr"], "Did you mean 'corner'"),
        (["--seeds", "7"], "No record is of seed '7'"),
        (["--format", "html, markdwn"], "Did you mean 'markdown'"),
        (["--paper", "nobody"], "Put them there"),
        (["--results", "elsewhere"], "no records in elsewhere"),
    ],
)
def test_a_users_mistake_is_one_sentence(cabench, results, words, says):
    done = cabench("report", *words)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


def test_files_that_are_no_records_are_named_and_the_rest_is_reported(cabench, results):
    runs = sorted((results / "runs").iterdir())
    whole = json.loads((runs[0] / "record.json").read_text())
    (runs[0] / "record.json").write_text(json.dumps(whole)[:200])
    (runs[1] / "record.json").write_text(json.dumps(whole | {"schema_version": 99, "run_id": runs[1].name}))
    (runs[2] / "record.json").write_text(json.dumps(whole))  # two records with one id
    done = cabench("report")
    assert done.returncode == 0
    for run, reason in zip(
        runs, ("not whole", "its schema is 99", f"calls itself {whole['run_id']}"), strict=False
    ):
        assert any(run.name in line and reason in line for line in done.stderr.splitlines()), done.stderr
    page = (results / "leaderboard.md").read_text()
    assert page.count("is left out") == 3 and "## toy" in page


def test_watching_follows_the_records_until_it_is_interrupted(results, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parent.parent)}
    command = [sys.executable, "-m", "cabench", "report", "--watch", "--format", "csv"]
    # What runs in the background of a shell inherits a SIGINT that is ignored.
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    page, record = results / "leaderboard.csv", next((results / "runs").glob("*corner-0*")) / "record.json"
    try:
        page.unlink()
        wait_until(page.exists)
        first = page.read_text()
        changed = json.loads(record.read_text())
        changed["metrics"][0]["value"] = 0.125
        record.write_text(json.dumps(changed))
        wait_until(lambda: page.read_text() != first)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert "No longer watching" in process.stderr.read()
    finally:
        process.kill()


def test_an_interrupt_amid_a_page_ends_the_watch_as_well(inside, results, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cabench.report.write.write_report", interrupted)
    done = inside("report", "--watch")
    assert done.returncode == 0 and done.stderr.endswith("No longer watching.\n")
