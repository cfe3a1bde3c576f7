"""A profile on disk is whole at any moment, and says where it was measured."""

import json

import pytest

from cabench.errors import UserError
from cabench.profiling import record
from cabench.profiling.suite import Suite

ROW = {"kernel": "uniformity", "n": 64, "status": "ok", "ms": 1.5}


def test_a_profile_that_grows_row_by_row_is_whole_after_each(tmp_path):
    file, rows = tmp_path / "new" / "profile.json", []
    facts = record.environment(Suite("cpu"), None)
    for n in range(3):
        rows.append(ROW | {"n": n})
        record.write_json(file, facts, rows, finished=False)
        read = json.loads(file.read_text())
        assert [row["n"] for row in read["rows"]] == list(range(n + 1)) and not read["finished"]
    assert [path.name for path in file.parent.iterdir()] == ["profile.json"]


def test_a_write_that_fails_leaves_the_rows_before_it(tmp_path, monkeypatch):
    file = tmp_path / "profile.json"
    record.write_json(file, {}, [ROW], finished=False)
    before = file.read_text()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match=r"profile\.json could not be written"):
        record.write_json(file, {}, [ROW, ROW], finished=True)
    assert file.read_text() == before


def test_the_environment_names_packages_device_and_threads():
    facts = record.environment(Suite("cpu", dim=16), None)
    assert facts["packages"]["torch"] and "triton" in facts["packages"]
    assert facts["device_name"] == facts["cpu"] and facts["threads"] == 1 and facts["dim"] == 16


def test_a_table_has_a_line_per_row(tmp_path):
    record.write_csv(tmp_path / "profile.csv", [ROW, ROW | {"ms": None}])
    assert (tmp_path / "profile.csv").read_text() == "kernel,n,status,ms\nuniformity,64,ok,1.5\nuniformity,64,ok,\n"
