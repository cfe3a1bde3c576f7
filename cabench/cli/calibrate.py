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
    from cabench.cli.live import console, run_cells, table, tell_failed, tell_left_out
    from cabench.errors import UserError
    from cabench.jobs import usual_jobs
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
    tell_left_out(plan)
    screen, options = console(), Options()
    records = run_cells(plan, Store(results), options, screen, usual_jobs(options.device))
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
