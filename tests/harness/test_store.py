import json

import pytest

from cabench.errors import UserError
from cabench.store import PARTS, SCHEMA_VERSION, Store, write_text


def record(run_id="a-b-0-1"):
    return dict.fromkeys(PARTS) | {"schema_version": SCHEMA_VERSION, "run_id": run_id, "status": "done"}


def test_a_record_comes_back_as_written(tmp_path):
    store = Store(tmp_path)
    store.write(record())
    assert store.read("a-b-0-1") == record()
    assert list(store.records()) == [record()]


@pytest.mark.parametrize("damage", ["truncate", "empty", "foreign", "moved", "schema"])
def test_a_damaged_record_is_never_read_as_finished(tmp_path, damage):
    store = Store(tmp_path)
    store.write(record())
    path = tmp_path / "runs" / "a-b-0-1" / "record.json"
    text = path.read_text()
    path.write_text(
        {
            "truncate": text[:-5],
            "empty": "",
            "foreign": "[1, 2]",
            "moved": json.dumps(record("other")),
            "schema": json.dumps(record() | {"schema_version": 99}),
        }[damage]
    )
    assert store.read("a-b-0-1") is None
    assert list(store.records()) == []


def test_an_unwritable_folder_is_one_sentence_and_leaves_nothing(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        Store(blocked / "results").check_writable()
    with pytest.raises(UserError, match="could not be written"):
        write_text(blocked / "x.json", "{}")


def test_a_failed_write_keeps_the_old_file_and_no_temporary_one(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_text(path, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
