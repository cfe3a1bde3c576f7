import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import page_records
import pytest
from page_records import stored
from processes import environment

from cabench.errors import UserError
from cabench.spec import RunSpec
from cabench.store import Store, write_text


def record(**parts):
    return stored(page_records.record()) | parts


RUN_ID, SPEC, FACTS = (record()[name] for name in ("run_id", "spec", "provenance"))
ROW = record()["metrics"][0]


def test_a_record_comes_back_as_written(tmp_path):
    store = Store(tmp_path)
    store.write(record())
    assert store.read(RUN_ID) == record()
    assert list(store.records()) == [record()]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"status": "finished"}, "status"),
        ({"label": 5}, "label"),
        ({"error": []}, "error"),
        ({"fingerprints": None}, "fingerprints"),
        ({"cost": "much"}, "cost"),
        ({"spec": 5}, "spec"),
        ({"spec": {}}, "spec"),
        ({"spec": SPEC | {"tier": "paper"}}, "spec"),
        ({"spec": SPEC | {"params": 5}}, "spec"),
        ({"spec": SPEC | {"more": 5}}, "spec"),
        ({"provenance": FACTS | {"started": None}}, "provenance"),
        ({"provenance": FACTS | {"wall_s": "1"}}, "provenance"),
        ({"provenance": FACTS | {"cpu_s": None}}, "provenance"),
        ({"metrics": [ROW | {"ceiling": []}]}, "metrics"),
        ({"metrics": [ROW | {"value": True}]}, "metrics"),
        ({"metrics": {}}, "metrics"),
        ({"metrics": [5]}, "metrics"),
        ({"metrics": [{name: value for name, value in ROW.items() if name != "family"}]}, "metrics"),
        ({"metrics": [ROW | {"value": None}]}, "metrics"),
        ({"metrics": [ROW | {"value": float("nan")}]}, "metrics"),
        ({"metrics": [ROW | {"chance": "0.5"}]}, "metrics"),
        ({"metrics": [ROW | {"space": 1}]}, "metrics"),
    ],
)
def test_a_record_that_no_run_writes_is_named_and_left_out(tmp_path, parts, says):
    store = Store(tmp_path)
    store.write(record())
    path = tmp_path / "runs" / RUN_ID / "record.json"
    path.write_text(json.dumps(record(**parts)))
    records, (sentence,) = store.scan()
    assert records == [] and f"its {says} is not what a run writes" in sentence
    assert store.read(RUN_ID) is None


def test_half_a_character_of_an_argument_is_kept_as_its_escape(tmp_path):
    store = Store(tmp_path)
    facts = FACTS | {"command": ["cabench", "\udcff"]}
    store.write(record(error="no \udcff here", families={"\udcff": 1}, provenance=facts))
    back = store.read(RUN_ID)
    assert back["error"] == "no \\udcff here" and list(back["families"]) == ["\\udcff"]
    assert back["provenance"]["command"] == ["cabench", "\\udcff"]


def test_a_run_id_is_that_of_the_spec_as_json_has_it():
    spec = RunSpec("b", {"table": {2: 1, 10: 2}, "pair": (1, 2)}, "a", {}, "synthetic", "smoke", 0)
    assert RunSpec(**json.loads(json.dumps(spec.to_json()))).run_id == spec.run_id


def test_what_is_no_file_is_written_to_and_a_link_is_followed(tmp_path):
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "deep" / "target"
    os.mkfifo(pipe)
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "through")
    reader.join(10)
    assert found == ["through"] and pipe.is_fifo()
    target.parent.mkdir()
    link.symlink_to(target)
    write_text(link, "{}")
    assert link.is_symlink() and target.read_text() == "{}"


@pytest.mark.parametrize("damage", ["truncate", "empty", "foreign", "moved", "schema"])
def test_a_damaged_record_is_never_read_as_finished(tmp_path, damage):
    store = Store(tmp_path)
    store.write(record())
    path = tmp_path / "runs" / RUN_ID / "record.json"
    text = path.read_text()
    path.write_text(
        {
            "truncate": text[:-5],
            "empty": "",
            "foreign": "[1, 2]",
            "moved": json.dumps(record(run_id="other")),
            "schema": json.dumps(record() | {"schema_version": 99}),
        }[damage]
    )
    assert store.read(RUN_ID) is None
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


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
def test_an_output_that_goes_into_a_file_is_added_to(tmp_path, name):
    script = (
        "from pathlib import Path; from cabench.store import write_text;"
        f"print('before', flush=True); write_text(Path('{name}'), 'page\\n'); print('after')"
    )
    path = tmp_path / "summary"
    path.write_text("there\n")
    with path.open("a") as file:
        subprocess.run([sys.executable, "-c", script], stdout=file, check=True, env=environment())
    assert path.read_text() == "there\nbefore\npage\nafter\n"


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs /dev/shm")
def test_a_file_in_shared_memory_is_one_like_any_other():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for text in ("long before", "new"):
            write_text(Path(folder) / "x.json", text)
        assert (Path(folder) / "x.json").read_text() == "new"
