"""Finished runs are measured again from what they kept, and only where something is missing."""

import json
from dataclasses import replace

import numpy as np
import pytest
from planted import planted

from cabench.codes_file import CODES_FILE, PREDICTIONS_FILE, read_codes, write_codes
from cabench.errors import UserError
from cabench.execute import execute
from cabench.metrics.catalogue import FAMILIES
from cabench.metrics.evaluate import evaluate_families
from cabench.plan import make_plan
from cabench.store import Store
from cabench.worker import Options


@pytest.fixture
def plan(plugins):
    return make_plan("corner", "toy", tier="smoke", plugins=[plugins / "toy.py", plugins / "corner.py"])


@pytest.fixture
def folder(tmp_path, plan):
    """Return the folder of one finished run."""
    (record,) = execute(plan, Store(tmp_path), Options(device="cpu"))
    return tmp_path / "runs" / record["run_id"]


def record(folder):
    return json.loads((folder / "record.json").read_text())


def test_codes_come_back_as_they_were(tmp_path):
    evidence = planted("oracle")
    write_codes(tmp_path / CODES_FILE, evidence)
    back = read_codes(tmp_path / CODES_FILE)
    assert back.factors == evidence.factors
    for one, other in zip(back.parts, evidence.parts, strict=True):
        for space in ("common", "salient"):
            assert np.array_equal(one.codes[space], other.codes[space])
        assert np.array_equal(one.y, other.y) and np.array_equal(one.groups, other.groups)
        assert all(np.array_equal(one.labels[n], other.labels[n], equal_nan=True) for n in other.labels)
    rows = [evaluate_families(e, ["probe"]) for e in (replace(back, ceilings=evidence.ceilings), evidence)]
    assert [r["value"] for r in rows[0]] == [r["value"] for r in rows[1]]


@pytest.mark.parametrize("content", [None, b"", b"\x00" * 40, b"half a file"])
def test_damaged_codes_are_one_sentence(tmp_path, content):
    if content is not None:
        (tmp_path / CODES_FILE).write_bytes(content)
    with pytest.raises(UserError, match="run its cell again"):
        read_codes(tmp_path / CODES_FILE)


def test_what_the_probes_predicted_is_kept_beside_the_record(folder):
    from safetensors.numpy import load_file

    evidence, predictions = read_codes(folder / CODES_FILE), load_file(folder / PREDICTIONS_FILE)
    assert set(predictions) == {
        f"probe/{f.name}/{space}" for f in evidence.factors for space in ("common", "salient")
    }
    test = evidence.test
    truth = test.labels["bar"]
    (row,) = (
        r
        for r in record(folder)["metrics"]
        if (r["name"], r["factor"], r["space"]) == ("accuracy", "bar", "salient")
    )
    assert np.mean(predictions["probe/bar/salient"] == truth) == pytest.approx(row["value"])


def test_more_metrics_need_no_training(folder, plan, monkeypatch):
    monkeypatch.setattr(plan.methods["corner"], "fit", None)
    before = record(folder)
    execute(plan, Store(folder.parent.parent), Options(device="cpu", metrics="full"))
    after = record(folder)
    assert after["families"] == {name: family.version for name, family in FAMILIES.items()}
    assert [row for row in after["metrics"] if row["family"] in before["families"]] == before["metrics"]
    assert after["provenance"] == before["provenance"]


def test_a_newer_version_recomputes_that_family_alone(folder, plan, monkeypatch):
    import cabench.measure

    store = Store(folder.parent.parent)
    execute(plan, store, Options(device="cpu", metrics="full"))
    computed = []
    monkeypatch.setattr(
        cabench.measure,
        "evaluate_families",
        lambda seen, names: computed.append(list(names)) or evaluate_families(seen, names),
    )
    execute(plan, store, Options(device="cpu", metrics="full"))
    assert computed == []
    monkeypatch.setitem(FAMILIES, "information", replace(FAMILIES["information"], version=99))
    execute(plan, store, Options(device="cpu", metrics="full"))
    assert computed == [["information"]]
    assert record(folder)["families"]["information"] == 99
    execute(plan, store, Options(device="cpu", metrics="full"))
    assert computed == [["information"]]


def test_the_command_measures_and_says_what(cabench, folder, plugins):
    options = ("--results", folder.parent.parent, "--plugin", plugins / "toy.py", "--plugin", plugins / "corner.py")
    first = cabench("evaluate", "toy-cor", *options, "--metrics", "usable_bits")
    assert first.returncode == 0 and f"{folder.name}: information\n" in first.stdout
    second = cabench("evaluate", "all", *options, "--metrics", "information")
    assert second.returncode == 0 and f"{folder.name}: nothing to do" in second.stdout
    forced = cabench("evaluate", "all", *options, "--metrics", "information", "--force")
    assert f"{folder.name}: information\n" in forced.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("evaluate", "nobody", "--results", "here"), "There are no runs in here"),
        (("evaluate", "all", "--metrics", "usable_bit"), "Did you mean 'usable_bits'"),
        (("run", "--metrics", "fulll"), "Did you mean 'full'"),
    ],
)
def test_a_users_mistake_is_one_sentence(cabench, words, says):
    done = cabench(*words)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr


def test_lost_codes_are_told(cabench, folder, plugins):
    (folder / CODES_FILE).unlink()
    options = ("--results", folder.parent.parent, "--plugin", plugins / "toy.py", "--plugin", plugins / "corner.py")
    done = cabench("evaluate", "all", *options)
    assert done.returncode == 2 and "run its cell again" in done.stderr
