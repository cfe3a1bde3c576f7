"""`cabench report`: the leaderboard of a results folder."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.option(
    "--results", default="results", show_default=True, type=click.Path(path_type=Path), help="The folder."
)
def command(results: Path) -> None:
    """Render the leaderboard from the records of a results folder."""
    from cabench.cli.live import console, print_boards
    from cabench.errors import UserError
    from cabench.report.leaderboard import write_leaderboard
    from cabench.store import Store

    if not (results / "runs").is_dir():
        raise UserError(f"There are no records in {results}; run `cabench run` first or name another --results.")
    print_boards(console(), write_leaderboard(Store(results)))
    click.echo(f"Written: {results / 'leaderboard.md'}, {results / 'leaderboard.csv'}")
