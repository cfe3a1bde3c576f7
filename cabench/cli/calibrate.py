"""`cabench calibrate`: floor and ceiling of every factor of the synthetic data sets."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command("calibrate")
@click.option("--datasets", default="all", show_default=True, help="Names, or all.")
@click.option("--data-seeds", default="0:3", show_default=True, help="Seeds of the data: 0,1,2 or 0:5.")
@click.option("--tier", default="quick", show_default=True, help="smoke, quick, converged or paper.")
@click.option(
    "--results",
    default="results/calibration",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The folder of the records; finished cells are not run again.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A Markdown file for the tables.")
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="A plugin file.")
def command(
    datasets: str, data_seeds: str, tier: str, results: Path, out: Path | None, plugins: tuple[Path, ...]
) -> None:
    """Run every floor method and the ceiling on several renderings of each data set, and print the tables."""
    from cabench import registry
    from cabench.cli.live import Watcher, console, stoppable, table, tell_failed
    from cabench.errors import UserError
    from cabench.jobs import execute_in_processes, usual_jobs
    from cabench.plan import make_plan, parse_list, parse_seeds
    from cabench.report.calibration import calibration
    from cabench.report.frame import frame
    from cabench.report.leaderboard import markdown
    from cabench.store import Store, write_text
    from cabench.worker import Options

    floors = [p.name for p in registry.find("method", plugins).values() if p.card.get("role") == "floor"]
    named = parse_list(datasets)
    if any(params for _, params in named):
        raise UserError("calibrate renders data sets as they are; give names without parameters.")
    sets = ",".join(f"{name}[data_seed={seed}]" for name, _ in named for seed in parse_seeds(data_seeds))
    plan = make_plan(",".join(floors), sets, "0", tier, plugins=plugins)
    for name, reason in plan.broken.items():
        click.echo(f"Left out: {name}: {reason}", err=True)
    screen, options = console(), Options()
    try:
        with stoppable(), Watcher(screen, plan.cells, plan.labels) as watch:
            records = execute_in_processes(plan, Store(results), options, watch, usual_jobs(options.device))
    except KeyboardInterrupt:
        click.echo("Interrupted; nothing finished is lost. The same command goes on from here.", err=True)
        sys.exit(130)
    made = f"Written by `cabench calibrate`: data seeds {data_seeds}, {tier} tier"
    page = ["# Calibration", "", f"{made}; ± is the standard deviation over them.", ""]
    failed = tell_failed(plan.cells, records)
    done = [record for record in records if record["status"] == "done"]
    for name, rows in calibration(frame(done)) if done else ():
        screen.print(f"\n{name}", style="bold", highlight=False)
        screen.print(table(rows))
        page += [f"## {name}", "", markdown(rows), ""]
    if out:
        write_text(out, "\n".join(page))
        click.echo(f"Written: {out}")
    if failed:
        click.echo(f"Remove their folders in {results / 'runs'} to run them again.", err=True)
    if failed or plan.broken:
        sys.exit(1)
