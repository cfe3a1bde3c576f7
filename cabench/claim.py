"""Who runs a cell: a lock of the operating system, which ends with its owner, and a note of how far it is.

No clock takes part: a claim is neither too old nor too young, its owner lives or does not.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from cabench.errors import UserError
from cabench.store import Store, write_text

NOTE_FILE = "progress.json"  # in a run's folder


@dataclass(frozen=True)
class Note:
    """How far a cell is.

    Attributes:
        state: loading, training, measuring, ...
        epoch: finished epochs.
        epochs: all of them; 0 where there are none.
        pid: of the process that runs it.
        host: its machine.
    """

    state: str
    epoch: int
    epochs: int
    pid: int
    host: str


class Claim:
    """A cell that this process alone runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note(self, state: str, epoch: int = 0, epochs: int = 0) -> None:
        """Tell other processes how far the cell is."""
        note = Note(state, epoch, epochs, os.getpid(), platform.node())
        write_text(self._folder / NOTE_FILE, json.dumps(asdict(note)))

    def end(self) -> None:
        """Remove the note: the record says it all."""
        (self._folder / NOTE_FILE).unlink(missing_ok=True)


@contextmanager
def claim(store: Store, run_id: str, shelf: str = "runs", wait: bool = False) -> Iterator[Claim | None]:
    """Claim a cell, or give None where another process has it.

    Args:
        store: where its record lies.
        run_id: the cell.
        shelf: "runs" or "references".
        wait: whether to wait for the other process instead.

    Raises:
        UserError: the folder is read-only or full.
    """
    lock = _lock(store, run_id, shelf)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        yield None
        return
    except OSError as error:
        raise UserError(
            f"{lock.lock_file} could not be written ({error.strerror}); choose another --results."
        ) from error
    try:
        folder = store.folder(run_id, shelf)
        _sweep(folder)
        yield Claim(folder)
    finally:
        lock.release()


def is_claimed(store: Store, run_id: str) -> bool:
    """Return whether a living process has a cell."""
    path = _lock_file(store, run_id, "runs")
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a folder that only others may write to: who could run a cell there cannot be asked
        return False


def read_note(store: Store, run_id: str) -> Note | None:
    """Return how far a cell is that was begun and has no record yet; None if nobody has begun it."""
    try:
        return Note(**json.loads((store.folder(run_id) / NOTE_FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _lock_file(store: Store, run_id: str, shelf: str) -> Path:
    return store.root / "claims" / f"{shelf}-{run_id}.lock"


def _lock(store: Store, run_id: str, shelf: str) -> FileLock:
    path = _lock_file(store, run_id, shelf)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent} could not be made ({error.strerror}); choose another --results.") from error
    return FileLock(path)


def _sweep(folder: Path) -> None:
    """Remove what a killed process had half written; whoever has the claim is the only one who writes here."""
    for leftover in folder.glob(".*.*.*"):
        leftover.unlink(missing_ok=True)
