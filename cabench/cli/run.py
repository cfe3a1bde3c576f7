"""`cabench run`: the whole way from names to a leaderboard."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cabench.plan import Plan
    from cabench.store import Store
    from cabench.study import Study

# Seconds per cell when nothing of the kind has been run here yet; two cores, CPU.
GUESS = {"smoke": 4, "quick": 60, "converged": 200, "paper": 4 * 3600}


@click.command("run")
@click.option(
    "--methods", default="all", show_default=True, help="Names with parameters: sepclr[salient_dim=16],cvae"
)
@click.option("--datasets", default="all", show_default=True, help="Names, or all.")
@click.option("--seeds", default="0", show_default=True, help="Training seeds: 0,1,2 or 0:5.")
@click.option(
    "--tier", default="quick", show_default=True, help="smoke, quick, converged or paper: data size and budget."
)
@click.option("--source", default="synthetic", show_default=True, help="synthetic or real.")
@click.option("--data-root", type=click.Path(path_type=Path), help="The folder of the raw files (--source real).")
@click.option(
    "--results", default="results", show_default=True, type=click.Path(path_type=Path), help="The folder."
)
@click.option(
    "--set", "overrides", multiple=True, help="PARAM=VALUE for every method that has it, or NAME.PARAM=VALUE."
)
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="A plugin file.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--metrics", default="core", show_default=True, help="core, full, or families and metrics by name.")
@click.option(
    "--study", type=click.Path(path_type=Path), help="A study file in the place of names, seeds and tier."
)
@click.option("--force", is_flag=True, help="Run finished cells again.")
@click.option("--dry-run", is_flag=True, help="Show the plan with an estimate and stop.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def command(
    context: click.Context,
    methods: str,
    datasets: str,
    seeds: str,
    tier: str,
    source: str,
    data_root: Path | None,
    results: Path,
    overrides: tuple[str, ...],
    plugins: tuple[Path, ...],
    device: str,
    metrics: str,
    study: Path | None,
    force: bool,
    dry_run: bool,
    debug: bool,
) -> None:
    """Run methods on data sets and write the leaderboard."""
    from cabench.metrics.catalogue import families
    from cabench.plan import make_plan
    from cabench.store import Store
    from cabench.study import study_plan

    read = None
    if study:
        read = _study(context, study)
        plan, metrics = study_plan(read, plugins), read.metrics
    else:
        families(metrics)  # a wrong name is told before anything is planned
        plan = make_plan(methods, datasets, seeds, tier, source, overrides, plugins)
    for name, reason in plan.broken.items():
        click.echo(f"Left out: {name}: {reason}", err=True)
    store = Store(results)
    if dry_run:
        _show(plan, store, force)
        return

    from cabench.cli.live import Watcher, console, print_boards
    from cabench.execute import execute
    from cabench.report.write import write_leaderboard

    out = console()
    try:
        with Watcher(out, plan.cells, plan.labels) as watch:
            records = execute(plan, store, data_root, device, watch, metrics, force)
    except KeyboardInterrupt:
        click.echo("Interrupted; finished cells are kept. The same command goes on from here.", err=True)
        sys.exit(130)
    print_boards(out, write_leaderboard(store))
    click.echo(f"\nWritten: {results / 'leaderboard.md'}, {results / 'leaderboard.csv'}")
    if read and study:
        from cabench.report.study import write_study

        click.echo("Written: " + ", ".join(map(str, write_study(read, records, results, study.stem))))
    failed = [record for record in records if record["status"] == "failed"]
    for record in failed:
        click.echo(f"Failed: {record['run_id']}: {record['error']}", err=True)
    if failed or plan.broken:
        sys.exit(1)


def _study(context: click.Context, path: Path) -> Study:
    """Read a study; raises UserError if an option says what the file says."""
    from cabench.errors import UserError
    from cabench.study import read_study

    for name in ("methods", "datasets", "seeds", "tier", "source", "metrics", "overrides"):
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = "set" if name == "overrides" else name
            raise UserError(f"--study says what to run; leave --{option} out or change {path}.")
    return read_study(path)


def _show(plan: Plan, store: Store, force: bool) -> None:
    from cabench.fingerprint import stale

    known: dict[tuple[str, str, str], list[float]] = {}
    for record in store.records():
        spec = record["spec"]
        known.setdefault((spec["method"], spec["dataset"], spec["tier"]), []).append(record["provenance"]["wall_s"])
    total, guessed = 0.0, False
    for cell in plan.cells:
        record = store.read(cell.run_id) or {}
        changed = stale(record, plan.fingerprints(cell))
        done = record.get("status") == "done" and not changed and not force
        times = known.get((cell.method, cell.dataset, cell.tier))
        seconds = 0.0 if done else statistics.median(times) if times else GUESS[cell.tier]
        guessed |= not done and not times
        total += seconds
        state = "done, kept" if done else f"about {seconds:.0f} s"
        state += f" (again: the {' and the '.join(changed)} changed)" if changed else ""
        label = plan.labels[cell.run_id]
        click.echo(f"{label.dataset}  {label.method}  seed {cell.seed}  {state}")
    basis = "a guess for two CPU cores" if guessed else "from earlier cells of this folder"
    click.echo(f"{len(plan.cells)} cells, about {total / 60:.1f} minutes ({basis}).")
