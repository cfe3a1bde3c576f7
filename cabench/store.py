"""Records on disk: written whole or not at all, checked when read."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cabench.errors import NotWritten, UserError
from cabench.spec import RunSpec

SCHEMA_VERSION = 2
PARTS = ("label", "dataset_label", "spec", "status", "error", "metrics", "families", "provenance")
ROW = {"name", "family", "factor", "space", "home", "rows", "value", "chance", "ceiling", "direction", "n"}
Record = dict[str, Any]


class Store:
    """A results folder: `runs/<run_id>/record.json`, and the ceilings' records in `references/`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def check_writable(self) -> None:
        """Raise UserError at once, rather than after an hour of training, if nothing can be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root) as probe:
                probe.write(b"0" * 4096)
                probe.flush()
        except OSError as error:
            raise UserError(
                f"The results folder {self.root} cannot be written ({error.strerror}); "
                "choose another with --results."
            ) from error

    def folder(self, run_id: str, shelf: str = "runs") -> Path:
        """Return the folder of one cell."""
        return self.root / shelf / run_id

    def read(self, run_id: str, shelf: str = "runs") -> Record | None:
        """Return a cell's record, or None if there is no whole one."""
        return _parse(self.folder(run_id, shelf) / "record.json")

    def write(self, record: Record, shelf: str = "runs") -> None:
        """Write a record atomically.

        Raises:
            NotWritten: the folder is read-only or full.

        """
        path = self.folder(record["run_id"], shelf) / "record.json"
        write_text(path, json.dumps(_writable(record), indent=1, sort_keys=True, allow_nan=False))

    def records(self) -> Iterator[Record]:
        """Yield every whole record of `runs/`, in order of run id."""
        yield from self.scan()[0]

    def scan(self) -> tuple[list[Record], list[str]]:
        """Return every whole record of `runs/`, in order of run id, and a sentence for each other record file."""
        records, unread = [], []
        for path in sorted((self.root / "runs").glob("*/record.json")):
            try:
                records.append(_load(path))
            except (OSError, ValueError) as error:
                unread.append(f"{path} is left out: {error}.")
        return records, unread


def write_text(path: Path, text: str) -> None:
    """Replace a file's content as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file's content in one step; on failure nothing half-written remains.

    A link is followed. What is no file, or open as /dev/stdout is, is added to and not replaced.

    Raises:
        NotWritten: the folder is read-only or full.

    """
    temporary = None
    try:
        if _is_open(path) or (path.exists() and not path.is_file()):
            with path.open("ab") as file:
                file.write(content)
            return
        path = path.resolve() if path.is_symlink() else path
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise NotWritten(
            f"{path} could not be written ({error.strerror}); free space or choose another place."
        ) from error


def _is_open(path: Path) -> bool:
    """Return whether a path names what a process has open, such as /dev/stdout, be it a file or not."""
    places = [path.parent.resolve(), *([path.readlink()] if path.is_symlink() else [])]
    return any(place.is_relative_to("/proc") for place in places)


def _writable(content: Any) -> Any:
    """Return content with half a character, which an argument or an error may hold, as the escape that names it."""
    if isinstance(content, dict):
        return {_writable(key): _writable(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_writable(value) for value in content]
    return content.encode("utf-8", "backslashreplace").decode() if isinstance(content, str) else content


def read_json(path: Path) -> Any:
    """Return what a JSON file says.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not whole, no JSON, nested without end, or holds a text that no file can hold.

    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        if "\\u" in text:  # half a character can only be written so
            json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ValueError("it is not whole, or no JSON") from None
    return content


def _parse(path: Path) -> Record | None:
    try:
        return _load(path)
    except (OSError, ValueError):
        return None


def _load(path: Path) -> Record:
    """Read a record; raises OSError or ValueError, which say what is wrong with it."""
    record = read_json(path)
    if not isinstance(record, dict) or "run_id" not in record:
        raise ValueError("it is no record")
    if record.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"its schema is {record.get('schema_version')}, this version reads {SCHEMA_VERSION}")
    if lacking := [name for name in PARTS if name not in record]:
        raise ValueError(f"it lacks {', '.join(lacking)}")
    if record["run_id"] != path.parent.name:
        raise ValueError(f"it calls itself {record['run_id']}")
    if wrong := _wrong(record):
        raise ValueError(f"its {wrong} is not what a run writes")
    return record


def _wrong(record: Record) -> str | None:
    """Return the first part of a record that nobody could use."""
    tables = dict.fromkeys(("spec", "families", "fingerprints", "provenance", "cost", "training"), dict)
    texts = dict.fromkeys(("label", "dataset_label"), str)
    for name, kind in (tables | texts | {"error": str | None}).items():
        if name in record and not isinstance(record[name], kind):
            return name
    if record["status"] not in ("done", "failed"):
        return "status"
    try:
        if RunSpec(**record["spec"]).run_id != record["run_id"]:
            return "spec"
    except (TypeError, ValueError):
        return "spec"
    told, rows = record["provenance"], record["metrics"]
    times = told.get("wall_s"), told.get("cpu_s")
    if not isinstance(told.get("started"), str) or not all(map(_is_number, times)):
        return "provenance"
    return None if isinstance(rows, list) and all(map(_is_row, rows)) else "metrics"


def _is_row(row: Any) -> bool:
    """Return whether this is one row of metrics: texts, a value, and two numbers that may be missing."""
    if not isinstance(row, dict) or not row.keys() >= ROW:
        return False
    texts = all(isinstance(row[name], str) for name in ("name", "family", "rows", "direction"))
    names = all(isinstance(row[name], str | None) for name in ("factor", "space", "home"))
    scale = all(row[name] is None or _is_number(row[name]) for name in ("chance", "ceiling"))
    return texts and names and scale and _is_number(row["value"])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
