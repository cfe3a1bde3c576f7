"""Records of released schema versions, and files that are no records, in a results folder."""

import json
from pathlib import Path

import pytest

from cabench.store import SCHEMA_VERSION, Store

RECORDS = Path(__file__).parent / "records"
CURRENT = RECORDS / f"schema_{SCHEMA_VERSION}.json"
OLDER = [RECORDS / f"schema_{version}.json" for version in range(1, SCHEMA_VERSION)]


def shelve(root, text, run_id=""):
    """Put a record's text where a run would have written it and return the file."""
    path = root / "runs" / (run_id or json.loads(text)["run_id"]) / "record.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def results(tmp_path):
    """Return a results folder with one record of today's schema."""
    shelve(tmp_path / "results", CURRENT.read_text())
    return tmp_path / "results"


def test_every_released_schema_has_a_record_and_todays_is_read(inside, results):
    assert {path.name for path in RECORDS.glob("*.json")} == {path.name for path in (CURRENT, *OLDER)}
    (record,) = Store(results).records()
    assert record == json.loads(CURRENT.read_text())
    done = inside("report", "--format", "markdown")
    assert done.returncode == 0 and done.stderr == ""
    assert "pca" in (results / "leaderboard.md").read_text()


@pytest.mark.parametrize("older", OLDER, ids=lambda path: path.stem)
def test_an_older_schema_is_refused_with_both_versions_and_the_rest_is_reported(inside, results, older):
    version = json.loads(older.read_text())["schema_version"]
    path = shelve(results, older.read_text())
    done = inside("report", "--format", "markdown")
    sentence = f"its schema is {version}, this version reads {SCHEMA_VERSION}"
    assert done.returncode == 0 and done.stderr == f"{path.relative_to(results.parent)} is left out: {sentence}.\n"
    board = (results / "leaderboard.md").read_text()
    assert "| pca " in board and sentence in board


RECORD = json.loads(CURRENT.read_text())
FOREIGN = {
    "empty": ("", "not whole, or no JSON"),
    "truncated": (CURRENT.read_text()[:-100], "not whole, or no JSON"),
    "binary": (bytes(range(256)), "not whole, or no JSON"),
    "endless": ("[" * 100_000, "not whole, or no JSON"),
    "half_a_character": (json.dumps(RECORD | {"run_id": "x", "label": "\ud800"}), "not whole, or no JSON"),
    "list": ("[1, 2]", "is no record"),
    "of_another_program": ('{"run_id": 3}', "its schema is None"),
    "without_parts": (
        json.dumps({"run_id": "x", "schema_version": SCHEMA_VERSION}),
        "it lacks label, dataset_label",
    ),
    "moved": (CURRENT.read_text(), f"it calls itself {RECORD['run_id']}"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_that_is_no_record_is_set_aside_with_a_message(inside, results, kind):
    text, says = FOREIGN[kind]
    path = shelve(results, text, run_id="x")
    done = inside("report", "--format", "markdown")
    assert done.returncode == 0 and says in done.stderr, done.stderr
    assert done.stderr.startswith(f"{path.relative_to(results.parent)} is left out: ")
    assert "| pca " in (results / "leaderboard.md").read_text()


def test_a_folder_in_the_place_of_a_record_and_a_stray_file_hurt_nothing(inside, results):
    (results / "runs" / "notes.txt").write_text("mine")
    (results / "runs" / "x" / "record.json").mkdir(parents=True)
    done = inside("report", "--format", "markdown")
    assert done.returncode == 0 and "Is a directory" in done.stderr
