"""`cabench report`: records of a results folder as tables, figures and a page."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

PUBLISHED = Path("results") / "published"
POLL = 2.0  # seconds between two looks at the records


@click.command("report")
@click.option(
    "--results", default="results", show_default=True, type=click.Path(path_type=Path), help="The folder."
)
@click.option("--methods", help="Only these: names, with or without parameters.")
@click.option("--datasets", help="Only these.")
@click.option("--tiers", help="Only these.")
@click.option("--sources", help="Only these: synthetic, real.")
@click.option("--seeds", help="Only these.")
@click.option(
    "--format",
    "formats",
    default="markdown,csv",
    show_default=True,
    help="And parquet, latex, html, figures, runs.",
)
@click.option("--paper", help="A paper whose published numbers stand beside ours: results/published/NAME.csv.")
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="A plugin file.")
@click.option("--data-root", type=click.Path(path_type=Path), help="The folder of the raw files, for real runs.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the files go; by default into the results.")
@click.option("--watch", is_flag=True, help="Go on, and write the files again whenever a record has changed.")
def command(
    results: Path,
    methods: str | None,
    datasets: str | None,
    tiers: str | None,
    sources: str | None,
    seeds: str | None,
    formats: str,
    paper: str | None,
    plugins: tuple[Path, ...],
    data_root: Path | None,
    out: Path | None,
    watch: bool,
) -> None:
    """Render the records of a results folder."""
    from cabench.cli.live import console, print_boards
    from cabench.report.gather import gather
    from cabench.report.leaderboard import boards
    from cabench.report.paper import read_published
    from cabench.report.write import Made, check_formats, write_report
    from cabench.store import Store

    named = {"methods": methods, "datasets": datasets, "tiers": tiers, "sources": sources, "seeds": seeds}
    chosen = {name: words for name, words in named.items() if words}
    words = [word.strip() for word in formats.split(",")]
    wanted = words + (["latex"] if paper and "latex" not in words else [])
    check_formats(wanted)
    published = tuple(read_published(PUBLISHED / f"{paper}.csv") if paper else ())
    store = Store(results)

    def render() -> None:
        report = gather(store, chosen)
        if not watch:
            print_boards(console(), list(boards(report)))
        for sentence in report.unread:
            click.echo(sentence, err=True)
        for path in write_report(Made(report, store, published, plugins, data_root), wanted, out or results):
            click.echo(f"Written: {path}")

    with _uncollected():
        if watch:
            _follow(results, render)
        else:
            render()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no cycles: of 5,000 records there are millions of values, and each look would visit all."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _follow(results: Path, render: Callable[[], None]) -> None:
    """Render at once, and again whenever a record has come, gone or changed; ends with Ctrl-C, even amid a page."""
    seen: dict[Path, int] = {}
    click.echo("Watching; Ctrl-C ends it.", err=True)
    try:
        while True:
            now = {path: path.stat().st_mtime_ns for path in (results / "runs").glob("*/record.json")}
            if now != seen or not seen:
                seen = now
                render()
                gc.collect()
            time.sleep(POLL)
    except KeyboardInterrupt:
        click.echo("No longer watching.", err=True)
