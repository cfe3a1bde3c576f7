"""`cabench run`: the whole way from names to a leaderboard."""

from __future__ import annotations

import os
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cabench.jobs import Limits
    from cabench.plan import Plan
    from cabench.store import Store
    from cabench.study import Study
    from cabench.worker import Options

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
@click.option(
    "--jobs", default="auto", show_default=True, help="Cells at a time; auto: one per core, or one on a GPU."
)
@click.option("--time-limit", type=float, metavar="SECONDS", help="A cell that takes longer has failed.")
@click.option("--memory-limit", type=float, metavar="GB", help="A cell that takes more memory has failed.")
@click.option("--retry", type=click.Choice(["failed"]), help="Run failed cells again.")
@click.option("--force", is_flag=True, help="Run finished cells again.")
@click.option("--deterministic", is_flag=True, help="On a GPU: only operations that repeat bit for bit.")
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
    jobs: str,
    time_limit: float | None,
    memory_limit: float | None,
    retry: str | None,
    force: bool,
    deterministic: bool,
    dry_run: bool,
    debug: bool,
) -> None:
    """Run methods on data sets and write the leaderboard."""
    from cabench.cli.live import console, print_boards, run_cells, tell_failed, tell_left_out
    from cabench.metrics.catalogue import families
    from cabench.plan import make_plan
    from cabench.store import Store
    from cabench.study import study_plan
    from cabench.worker import Options

    limits = _limits(time_limit, memory_limit)
    if deterministic:  # cuBLAS reads it when a process first multiplies
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    read = None
    if study:
        read = _study(context, study)
        plan, metrics = study_plan(read, plugins), read.metrics
    else:
        families(metrics)  # a wrong name is told before anything is planned
        plan = make_plan(methods, datasets, seeds, tier, source, overrides, plugins)
    tell_left_out(plan)
    store = Store(results)
    options = Options(data_root, device, metrics, force, bool(retry), deterministic)
    if dry_run:
        _show(plan, store, options, _jobs(jobs, device))
        return

    from cabench.report.write import write_leaderboard
    from cabench.status import remember

    store.check_writable()
    remember(plan, store)
    out = console()
    records = run_cells(plan, store, options, out, _jobs(jobs, device), limits)
    print_boards(out, write_leaderboard(store))
    click.echo(f"\nWritten: {results / 'leaderboard.md'}, {results / 'leaderboard.csv'}")
    if read and study:
        from cabench.report.study import write_study

        click.echo("Written: " + ", ".join(map(str, write_study(read, records, results, study.stem))))
    failed = tell_failed(plan.cells, records)
    if failed:
        click.echo("The same command with --retry failed runs them again.", err=True)
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


def _jobs(words: str, device: str) -> int:
    """Return how many cells run at a time."""
    from cabench.errors import UserError
    from cabench.jobs import usual_jobs

    if words == "auto":
        return usual_jobs(device)
    if not words.isdecimal() or int(words) < 1:
        raise UserError(f"--jobs is auto or a number from 1 on, not '{words}'.")
    return int(words)


def _limits(seconds: float | None, gigabytes: float | None) -> Limits:
    from cabench.errors import UserError
    from cabench.jobs import Limits

    for option, value in (("time-limit", seconds), ("memory-limit", gigabytes)):
        if value is not None and not value > 0:
            raise UserError(f"--{option} must be above 0, not {value:g}.")
    given = {"seconds": seconds, "gigabytes": gigabytes}
    return Limits(**{name: value for name, value in given.items() if value is not None})


def _show(plan: Plan, store: Store, options: Options, jobs: int) -> None:
    from cabench.fingerprint import stale
    from cabench.worker import is_due

    known: dict[tuple[str, str, str], list[float]] = {}
    for earlier in store.records():
        spec, seconds = earlier["spec"], earlier["provenance"]["wall_s"]
        known.setdefault((spec["method"], spec["dataset"], spec["tier"]), []).append(seconds)
    total, guessed = 0.0, False
    for cell in plan.cells:
        record = store.read(cell.run_id)
        changed = stale(record, plan.fingerprints(cell)) if record else []
        done = record is not None and not is_due(record, plan, options)
        times = known.get((cell.method, cell.dataset, cell.tier))
        seconds = 0.0 if done else statistics.median(times) if times else GUESS[cell.tier]
        guessed |= not done and not times
        total += seconds
        state = f"{record['status']}, kept" if record and done else f"about {seconds:.0f} s"
        state += f" (again: the {' and the '.join(changed)} changed)" if changed else ""
        label = plan.labels[cell.run_id]
        click.echo(f"{label.dataset}  {label.method}  seed {cell.seed}  {state}")
    basis = "a guess for two CPU cores" if guessed else "from earlier cells of this folder"
    minutes = total / 60 / min(jobs, len(plan.cells))
    click.echo(f"{len(plan.cells)} cells, {jobs} at a time: about {minutes:.1f} minutes ({basis}).")
