"""All cells of a plan -> their records, in several processes: one that dies takes no other with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from cabench.cell import Cell
from cabench.claim import claim
from cabench.clock import Observer
from cabench.errors import UserError
from cabench.plan import Plan, dataset_key
from cabench.spec import RunSpec
from cabench.store import Record, Store
from cabench.worker import Options, Watch, Worker, chosen_device

LOOK = 0.2  # seconds between two looks at limits
AGAIN = 1.0  # seconds after which a cell that another launch runs is tried again
# Imported once, in a process from which all others are forked.
PRELOADED = ["cabench.worker", "cabench.loop", "cabench.metrics.evaluate", "sklearn.linear_model"]
_CONTEXT = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Limits:
    """What a cell may take at most; a cell that takes more is a failed one.

    Attributes:
        seconds: of the wall clock.
        gigabytes: of memory, those of the loaded packages included.
    """

    seconds: float = float("inf")
    gigabytes: float = float("inf")


def usual_jobs(device: str) -> int:
    """Return how many cells run at a time unless the user says it: one per core, or one on a GPU."""
    if chosen_device(device) != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def execute_in_processes(
    plan: Plan, store: Store, options: Options, watch: Watch, jobs: int, limits: Limits = Limits()
) -> list[Record]:
    """Run every cell as `cabench.execute.execute` does, `jobs` of them at a time; the numbers are the same.

    Args:
        plan: the cells.
        store: where their records lie.
        options: how they are run.
        watch: is told what goes on.
        jobs: the number of processes.
        limits: of a cell.

    Raises:
        UserError: raw files are missing, or the results folder cannot be written.
    """
    store.check_writable()
    worker = Worker(plan, store, options)
    waiting = []
    for spec in plan.cells:
        if worker.is_settled(spec):
            watch(spec, "kept", 0, 0)
        else:
            waiting.append(spec)
    if waiting:
        with _Pool(plan, store, options, watch, limits) as pool:
            pool.run(waiting, jobs)
    records = (store.read(spec.run_id) for spec in plan.cells)
    return [record for record in records if record is not None]


@dataclass
class _Process:
    """A process and the cell that it runs.

    Attributes:
        process: the process.
        pipe: leads to it.
        lifeline: whose other end tells it that this process lives.
        observer: sees what it takes since it was given the cell.
        spec: what it runs; None while it has nothing to do.
        data: the key of the data set that it has loaded.
    """

    process: ForkServerProcess
    pipe: Connection
    lifeline: Connection
    observer: Observer
    spec: RunSpec | None = None
    data: tuple[str, str] | None = None


class _Pool:
    """The processes; leaving it ends them."""

    def __init__(self, plan: Plan, store: Store, options: Options, watch: Watch, limits: Limits) -> None:
        self._plan, self._store, self._options = plan, store, options
        self._watch, self._limits = watch, limits
        self._processes: list[_Process] = []
        self._waiting: list[RunSpec] = []
        self._elsewhere: dict[str, float] = {}

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._processes:
            one.process.kill()
        for one in self._processes:
            one.process.join()

    def run(self, cells: list[RunSpec], jobs: int) -> None:
        _start_server()
        self._waiting = list(cells)
        self._processes = [self._start() for _ in range(min(jobs, len(cells)))]
        while self._waiting or any(one.spec for one in self._processes):
            for one in self._processes:
                if one.spec is None and (spec := self._next(one)):
                    self._hand(spec, one)
            connection.wait([one.pipe for one in self._processes], LOOK)
            for one in list(self._processes):
                self._look_after(one)

    def _start(self) -> _Process:
        pipe, theirs = _CONTEXT.Pipe()
        their_line, lifeline = _CONTEXT.Pipe(duplex=False)
        process = _CONTEXT.Process(
            target=_work, args=(theirs, their_line, self._plan, self._store.root, self._options), daemon=True
        )
        process.start()
        theirs.close()
        their_line.close()
        return _Process(process, pipe, lifeline, _observer(process))

    def _next(self, one: _Process) -> RunSpec | None:
        """Take a cell: best one of the data set that the process has loaded, else one that no other has."""
        now = time.monotonic()
        ready = [spec for spec in self._waiting if self._elsewhere.get(spec.run_id, 0.0) <= now]
        others = {other.data for other in self._processes if other is not one}
        spec = min(
            ready, key=lambda s: (dataset_key(s) != one.data, dataset_key(s) in others), default=None
        )  # the first of the plan among equals
        if spec is not None:
            self._waiting.remove(spec)
        return spec

    def _hand(self, spec: RunSpec, one: _Process) -> None:
        """Give a process a cell; if it died while it had nothing to do, the cell waits for another."""
        try:
            one.pipe.send(spec.run_id)
        except OSError:
            self._waiting.insert(0, spec)
        else:
            one.spec, one.data, one.observer = spec, dataset_key(spec), _observer(one.process)

    def _look_after(self, one: _Process) -> None:
        """Take what a process says; write the record of its cell if it died or must die."""
        try:
            while one.pipe.poll():
                self._hear(one, *one.pipe.recv())
        except (EOFError, OSError):
            one.process.join()
            self._replace(one, _death(one.process.exitcode))
            return
        if one.spec and (reason := self._beyond(one.observer)):
            one.process.kill()
            one.process.join()
            self._replace(one, reason)

    def _hear(self, one: _Process, kind: str, *said: Any) -> None:
        spec = one.spec
        assert spec is not None
        if kind == "state":
            self._watch(spec, *said)
        elif kind == "refused":
            raise UserError(said[0])
        else:
            one.spec = None
            if kind == "elsewhere":
                self._elsewhere[spec.run_id] = time.monotonic() + AGAIN
                self._waiting.append(spec)

    def _beyond(self, observer: Observer) -> str:
        """Return which limit a cell is beyond, or nothing."""
        observer.look()
        if observer.wall_seconds() > self._limits.seconds:
            return f"it took more than the {self._limits.seconds:g} seconds of --time-limit"
        if observer.held_memory > self._limits.gigabytes * 1e9:
            return f"it took more than the {self._limits.gigabytes:g} GB of --memory-limit"
        return ""

    def _replace(self, one: _Process, reason: str) -> None:
        self._processes.remove(one)
        one.pipe.close()
        one.lifeline.close()
        spec = one.spec
        if spec is not None:
            cell = Cell(spec, self._plan, self._store.folder(spec.run_id), self._options.device)
            with claim(self._store, spec.run_id) as claimed:
                if claimed is not None:  # another launch may have taken the cell over already
                    self._store.write(cell.failed(reason, one.observer.read()))
                    claimed.end()
                    self._watch(spec, "failed", 0, 0)
        if self._waiting:
            self._processes.append(self._start())


def _start_server() -> None:
    """Start the process from which all others are forked, deaf to Ctrl-C from the first: this one decides."""
    _CONTEXT.set_forkserver_preload(PRELOADED)
    if threading.current_thread() is not threading.main_thread():
        return  # which alone may set signals, and gets Ctrl-C
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


def _observer(process: ForkServerProcess) -> Observer:
    assert process.pid is not None, "the process was started"
    return Observer(process.pid)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ", perhaps because memory ran out: run fewer at a time with --jobs" if name == "SIGKILL" else ""
        return f"its process was killed by {name}{hint}"
    return f"its process ended with code {code}"


def _work(pipe: Connection, lifeline: Connection, plan: Plan, root: Path, options: Options) -> None:
    """Run the cells whose ids come through the pipe, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the first process decides
    threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()
    worker = Worker(plan, Store(root), options)
    cells = {spec.run_id: spec for spec in plan.cells}
    for run_id in _received(pipe):
        try:
            record = worker.run(cells[run_id], lambda _, *state: pipe.send(("state", *state)))
        except UserError as error:
            pipe.send(("refused", str(error)))
        else:
            pipe.send(("elsewhere" if record is None else "finished",))


def _received(pipe: Connection) -> Iterator[Any]:
    with contextlib.suppress(EOFError, OSError):
        while True:
            yield pipe.recv()


def _die_with(lifeline: Connection) -> None:
    """End this process with the one that holds the other end, however that ends."""
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv()
    os._exit(1)
