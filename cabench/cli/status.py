"""`cabench status`: what is done, what runs, what waits."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cabench.status import Standing

POLL = 2.0  # seconds between two looks
STATES = ("done", "running", "waiting", "stopped", "stale", "failed")


@click.command("status")
@click.option(
    "--results", default="results", show_default=True, type=click.Path(path_type=Path), help="The folder."
)
@click.option("--watch", is_flag=True, help="Look again until nothing runs or waits.")
def command(results: Path, watch: bool) -> None:
    """Show how far the cells of a results folder are."""
    from cabench.cli.live import console
    from cabench.errors import UserError
    from cabench.status import standings
    from cabench.store import Store

    store, out = Store(results), console()
    before: list[Standing] = []
    try:
        while True:
            now = list(standings(store))
            if not now:
                raise UserError(
                    f"There are no cells in {results}; run `cabench run` first or name another --results."
                )
            if now != before:
                for standing in now:
                    if standing.state != "done" and standing not in before:
                        line = f"{standing.cell}: {standing.state} {standing.detail}".rstrip()
                        out.print(line, markup=False, highlight=False)
                counts = Counter(standing.state for standing in now)
                words = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
                out.print(f"{len(now)} cells: {words}.", markup=False, highlight=False)
            before = now
            if not watch or not any(standing.state in ("running", "waiting") for standing in now):
                return
            time.sleep(POLL)
    except KeyboardInterrupt:
        click.echo("No longer watching.", err=True)
