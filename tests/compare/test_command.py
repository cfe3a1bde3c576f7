"""`cabench compare`, end to end on planted records."""

import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from page_records import record, stored

from cabench import provenance
from cabench.store import Store
from cabench.yardstick import yardstick_seconds

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "<script>alert(1)</script>|`x`\n# *a* [b](javascript:c) \x00\x1b\ufffe &amp; ]]>"


def plant(folder, loss=0.0, seeds=range(5), methods=("a", "b"), slower=1.0, **more):
    """Write records whose CAscore is lower by `loss`, and that took `slower` times as long."""
    for method in methods:
        for seed in seeds:
            made = record(method, seed, tier="smoke", **more)
            for row in made["metrics"]:
                row["value"] -= loss * (row["name"] == "CAscore")
            made["provenance"] |= {"yardstick_s": 0.016, "cpu_s": slower * made["provenance"]["cpu_s"]}
            Store(folder).write(stored(made))


@pytest.fixture
def baseline(inside, tmp_path):
    """Return a baseline file of two methods and five seeds; the records lie in `results`."""
    plant(tmp_path / "results")
    done = inside("compare", "baseline.json", "--update", "--reason", "the first one")
    assert done.returncode == 0, done.stderr
    return tmp_path / "baseline.json"


def test_the_same_records_pass(cabench, baseline):
    done = cabench("compare", baseline)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("## cabench compare: 2 same\n") and "the first one" in done.stdout


def test_a_planted_loss_fails_and_both_files_say_where(cabench, inside, baseline, tmp_path):
    plant(tmp_path / "now", methods=("a",))
    plant(tmp_path / "now", loss=0.05, methods=("b",))
    done = cabench("compare", baseline, *["--results", "now", "--markdown", "gate.md", "--junit", "gate.xml"])
    assert done.returncode == 1, done.stderr
    assert done.stdout == "1 worse, 1 same. Written: gate.md\n"
    (row,) = (line for line in (tmp_path / "gate.md").read_text().splitlines() if line.startswith("| worse"))
    assert "| b " in row and "-0.050" in row
    suite = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "2",
        "failures": "1",
        "errors": "0",
        "skipped": "0",
    }
    (case,) = (case for case in suite if len(case))
    assert case.get("name") == "b on d (synthetic, smoke tier): CAscore" and case[0].tag == "failure"
    assert inside("compare", baseline, "--results", "now", "--fail-on", "CAscore:-0.1").returncode == 0
    assert inside("compare", baseline, "--results", "now", "--fail-on", "leak:+0.05").returncode == 0


def test_what_failed_or_was_not_run_fails(inside, baseline, tmp_path):
    plant(tmp_path / "now", methods=("a",), seeds=range(4))
    plant(tmp_path / "now", methods=("a",), seeds=[4], error="RuntimeError: it broke")
    done = inside("compare", baseline, *["--results", "now", "--junit", "gate.xml"])
    assert done.returncode == 1
    assert "seed 4 failed: RuntimeError: it broke" in done.stdout and "0 of at least 3 seeds" in done.stdout
    assert ElementTree.parse(tmp_path / "gate.xml").getroot().get("errors") == "2"


def test_a_stale_record_does_not_pass_for_todays_code(inside, baseline, tmp_path):
    plant(tmp_path / "now", methods=("a", "b"))
    made = record("a", 0, tier="smoke")
    made["spec"]["method"], made["fingerprints"] = "pca", {"method": "of yesterday"}
    Store(tmp_path / "now").write(stored(made))
    done = inside("compare", baseline, "--results", "now")
    assert done.returncode == 1 and "seed 0 is stale, the method changed" in done.stdout


def test_cells_that_the_baseline_lacks_are_told_and_fail_nothing(inside, baseline, tmp_path):
    plant(tmp_path / "results", methods=("c",))
    done = inside("compare", baseline)
    assert done.returncode == 0 and "Not in the baseline: c on d (synthetic, smoke tier)" in done.stdout


def test_a_baseline_is_plain_scores_with_a_reason_a_date_and_a_commit(baseline):
    content = json.loads(baseline.read_text())
    assert set(content) == {"schema_version", "kind", "made", "cells"}
    assert content["made"]["reason"] == "the first one" and len(content["made"]["date"]) == 10
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert content["made"]["commit"].startswith(commit.stdout.strip())
    first = content["cells"][0]
    assert first["cell"] == {"method": "a", "dataset": "d", "source": "synthetic", "tier": "smoke"}
    scores = {row["name"]: row["value"] for row in record("a", 3, tier="smoke")["metrics"]}
    assert {metric: values["3"] for metric, values in first["values"].items()} == {
        metric: scores[metric] for metric in ("info", "leak", "CAscore", "delta_tot")
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["b.json", "--update"], "needs to say why"),
        (["b.json", "--update", "--reason", " "], "needs to say why"),
        (["b.json", "--reason", "x"], "--reason goes with --update"),
        (["b.json", "--update", "--reason", "x", "--junit", "y.xml"], "leave --junit out"),
        (["none.json"], "No such file"),
        (["baseline.json", "--speed"], "holds scores, not speed"),
        (["baseline.json", "--slowdown", "2"], "--slowdown with --speed"),
        (["speed.json", "--speed", "--fail-on", "leak:+0.1"], "--slowdown with --speed"),
        (["speed.json", "--speed", "--slowdown", "1"], "a number above 1"),
        (["baseline.json", "--fail-on", "ari:-0.1"], "The baseline has no 'ari'; it holds"),
        (["baseline.json", "--fail-on", "leak:-0.1"], "write its loss as leak:+0.1"),
        (["baseline.json", "--results", "elsewhere"], "no records in elsewhere"),
        (["results", "--markdown", "x.md"], "Is a directory"),
        (["baseline.json", "--markdown", "file/x.md"], "could not be written"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(inside, baseline, tmp_path, words, says):
    (tmp_path / "file").write_text("")
    before = baseline.read_bytes()
    done = inside("compare", *words)
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and baseline.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda b: [], "is no baseline"),
        (lambda b: b | {"schema_version": 7}, "has schema 7, this version reads 1"),
        (lambda b: b | {"cells": []}, "is damaged"),
        (lambda b: b | {"cells": 3}, "is damaged"),
        (lambda b: b | {"made": None}, "is damaged"),
        (lambda b: b | {"made": {"reason": "x"}}, "is damaged ('date')"),
        (lambda b: b | {"cells": [{"cell": {"method": "a"}, "values": {}}]}, "is damaged"),
        (lambda b: b | {"cells": [{**b["cells"][0], "values": {"CAscore": {"0": 1.0}}}]}, "3 finite values"),
        (lambda b: b | {"cells": [{**b["cells"][0], "values": {"CAscore": {"x": 1.0}}}]}, "is damaged"),
    ],
)
def test_a_damaged_baseline_is_refused_with_the_way_to_a_new_one(inside, baseline, change, says):
    baseline.write_text(json.dumps(change(json.loads(baseline.read_text()))))
    done = inside("compare", baseline)
    assert done.returncode == 2 and says in done.stderr and "--update" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["", "{", "\x00", "[" * 100_000, '["\\ud800"]'])
def test_a_file_that_is_no_json_is_refused(inside, baseline, text):
    baseline.write_text(text)
    done = inside("compare", baseline)
    assert done.returncode == 2 and "is not whole, or no JSON" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("flaw", ["two seeds", "a failed one"])
def test_no_baseline_is_made_of_too_few_or_failed_seeds(inside, tmp_path, flaw):
    plant(tmp_path / "results", seeds=range(2 if flaw == "two seeds" else 3))
    if flaw == "a failed one":
        plant(tmp_path / "results", seeds=[3], error="RuntimeError: it broke")
    done = inside("compare", "b.json", "--update", "--reason", "x")
    assert done.returncode == 2 and not (tmp_path / "b.json").exists()
    assert ("2 seeds" if flaw == "two seeds" else "it broke") in done.stderr


def test_hostile_names_are_text_in_markdown_and_xml(inside, tmp_path):
    plant(tmp_path / "results", methods=("a",), label=HOSTILE)
    assert inside("compare", "b.json", "--update", "--reason", HOSTILE.replace("\0", "")).returncode == 0
    plant(tmp_path / "now", methods=("a",), label=HOSTILE, loss=0.2)
    done = inside("compare", "b.json", *["--results", "now", "--markdown", "gate.md", "--junit", "gate.xml"])
    assert done.returncode == 1, done.stderr
    page = (tmp_path / "gate.md").read_text(encoding="utf-8")
    assert "<script>" not in page and "\n# " not in page and "](javascript" not in page.replace("]\\(", "")
    (row,) = (line for line in page.splitlines() if line.startswith("| worse"))
    assert row.replace("\\|", "").count("|") == 9
    (case,) = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert "<script>alert(1)</script>|`x`" in case.get("name") and case[0].tag == "failure"


@pytest.mark.parametrize(("slower", "code"), [(1.0, 0), (1.2, 0), (2.0, 1)])
def test_the_gate_of_speed_compares_multiples_of_the_yardstick(inside, tmp_path, slower, code):
    plant(tmp_path / "results")
    assert inside("compare", "speed.json", "--speed", "--update", "--reason", "first").returncode == 0
    plant(tmp_path / "now", slower=slower)
    done = inside("compare", "speed.json", "--speed", "--results", "now")
    assert done.returncode == code, done.stdout + done.stderr
    assert f"x{slower:.2f}" in done.stdout and "On shared machines" in done.stdout


def test_a_slower_machine_is_no_slower_code(inside, tmp_path):
    plant(tmp_path / "results")
    assert inside("compare", "speed.json", "--speed", "--update", "--reason", "first").returncode == 0
    plant(tmp_path / "now", slower=3.0)
    for path in (tmp_path / "now").glob("runs/*/record.json"):
        made = json.loads(path.read_text())
        made["provenance"]["yardstick_s"] *= 3
        path.write_text(json.dumps(made))
    assert inside("compare", "speed.json", "--speed", "--results", "now").returncode == 0


def test_every_record_says_how_fast_its_machine_was():
    assert 0.001 < provenance.static()["yardstick_s"] < 1
    first, second = yardstick_seconds(), yardstick_seconds()
    assert first == pytest.approx(second, rel=0.5)
