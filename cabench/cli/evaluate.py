"""`cabench evaluate`: more metrics of finished runs, from what they have kept, without training."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("evaluate")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--metrics", default="full", show_default=True, help="core, full, or families and metrics by name.")
@click.option(
    "--results", default="results", show_default=True, type=click.Path(path_type=Path), help="The folder."
)
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="A plugin file.")
@click.option("--force", is_flag=True, help="Compute again what the record holds already.")
def command(runs: tuple[str, ...], metrics: str, results: Path, plugins: tuple[Path, ...], force: bool) -> None:
    """Compute metrics of finished runs from their stored codes.

    RUN is a run id, the beginning of several (`cifar_mnist-sepclr`), or `all`.
    """
    from cabench import registry
    from cabench.api import find_runs
    from cabench.measure import measure_again, outdated
    from cabench.metrics.catalogue import families
    from cabench.report.write import write_leaderboard
    from cabench.store import Store

    wanted = families(metrics)
    store = Store(results)
    for record in find_runs(runs, results):
        missing = wanted if force else outdated(record, wanted)
        if not missing:
            click.echo(f"{record['run_id']}: nothing to do")
            continue
        method = registry.get("method", record["spec"]["method"], plugins).load()
        dataset = registry.get("dataset", record["spec"]["dataset"], plugins).load()
        measure_again(record, store, missing, method, dataset)
        click.echo(f"{record['run_id']}: {', '.join(missing)}")
    write_leaderboard(store)
    click.echo(f"Written: {results / 'leaderboard.md'}, {results / 'leaderboard.csv'}")
