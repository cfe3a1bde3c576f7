"""What the user sees while cells run: one live table, or plain lines when the output is no terminal."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cabench.spec import RunSpec

if TYPE_CHECKING:
    import pandas as pd

    from cabench.jobs import Limits
    from cabench.plan import Label, Plan
    from cabench.report.leaderboard import Board
    from cabench.store import Record, Store
    from cabench.worker import Options


def console() -> Console:
    """Return a console; without a terminal it is wide enough for tables not to wrap."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=160)


@contextmanager
def stoppable() -> Iterator[None]:
    """Take the polite end of a process, as a scheduler asks for it, for Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_cells(
    plan: Plan, store: Store, options: Options, out: Console, jobs: int, limits: Limits | None = None
) -> list[Record]:
    """Run every cell of a plan in processes and show it; Ctrl-C ends the command with 130."""
    from cabench.jobs import Limits, execute_in_processes

    try:
        with stoppable(), Watcher(out, plan.cells, plan.labels) as watch:
            return execute_in_processes(plan, store, options, watch, jobs, limits or Limits())
    except KeyboardInterrupt:
        click.echo("Interrupted; nothing finished is lost. The same command goes on from here.", err=True)
        sys.exit(130)


def tell_left_out(plan: Plan) -> None:
    """Name every plugin that `all` stands for and that cannot be used."""
    for name, reason in plan.broken.items():
        click.echo(f"Left out: {name}: {reason}", err=True)


def tell_failed(cells: Sequence[RunSpec], records: Sequence[Record]) -> bool:
    """Name every cell that failed, with its reason, or has no record; return whether there is one."""
    reasons = {record["run_id"]: record["error"] for record in records if record["status"] == "failed"}
    known = {record["run_id"] for record in records}
    reasons |= {spec.run_id: "its record cannot be read" for spec in cells if spec.run_id not in known}
    for run_id, reason in reasons.items():
        click.echo(f"Failed: {run_id}: {reason}", err=True)
    return bool(reasons)


class Watcher:
    """Shows the state of every cell; a context manager, called by `execute` at each change."""

    def __init__(self, out: Console, cells: list[RunSpec], labels: Mapping[str, Label]) -> None:
        self._out = out
        self._names = {cell.run_id: " ".join((*reversed(labels[cell.run_id]), str(cell.seed))) for cell in cells}
        self._rows = {cell.run_id: ("waiting", "", "") for cell in cells}
        self._started: dict[tuple[str, str], float] = {}
        self._begun: dict[str, float] = {}
        self._live = (
            Live(console=out, get_renderable=self._table, refresh_per_second=4) if out.is_terminal else None
        )

    def __enter__(self) -> Watcher:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, cell: RunSpec, state: str, epoch: int, epochs: int) -> None:
        """Take a change of state; see `cabench.worker.Watch`."""
        now = time.monotonic()
        begun = self._begun.setdefault(cell.run_id, now)
        if state in ("done", "failed", "kept"):
            taken = "" if state == "kept" else f"{now - begun:.0f} s"
            self._rows[cell.run_id] = (state, "", taken)
            self._line(f"{self._names[cell.run_id]}: {state} {taken}".rstrip())
            return
        started = self._started.setdefault((cell.run_id, state), now)
        eta = f"{(now - started) / epoch * (epochs - epoch):.0f} s" if epoch else ""
        changed = self._rows[cell.run_id][0] != state
        self._rows[cell.run_id] = (state, f"{epoch}/{epochs}" if epochs else "", eta)
        if changed or (epochs and epoch and epoch * 4 // epochs != (epoch - 1) * 4 // epochs):
            self._line(f"{self._names[cell.run_id]}: {state} {self._rows[cell.run_id][1]}".rstrip())

    def _line(self, text: str) -> None:
        if not self._live:
            self._out.print(text, markup=False, highlight=False)

    def _table(self) -> Table:
        states = Table("cell", "state", "epoch", "ETA / time")
        for run_id, row in self._rows.items():
            states.add_row(Text(self._names[run_id]), *row)
        return states


def print_boards(out: Console, boards: list[Board]) -> None:
    """Print every board: the summary, what goes beyond it, then the probes."""
    for board in boards:
        out.print(f"\n{board.title}", style="bold", markup=False, highlight=False)
        for frame in (board.summary, board.more, board.probes):
            if not frame.empty:
                out.print(table(frame))
        for note in board.notes:
            out.print(f"- {note}", markup=False, highlight=False)


def table(frame: pd.DataFrame) -> Table:
    """Return a frame of text for a console as it is; the first column stands left, the others right."""
    made = Table(show_edge=False, pad_edge=False)
    for i, column in enumerate(frame.columns):
        made.add_column(Text(str(column)), justify="left" if i == 0 else "right")
    for row in frame.itertuples(index=False):
        made.add_row(*(Text(str(cell)) for cell in row))
    return made
