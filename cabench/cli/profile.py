"""`cabench profile`: time, memory and errors of the pairwise losses, or the phases of a training step."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cabench.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from cabench.profiling.roofline import Peaks
    from cabench.profiling.suite import Suite

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("profile")
@click.option("--suite", help="cpu (three to four minutes on two cores) or gpu (about six on an H200): presets.")
@click.option("--kernels", help="Losses by name; by default all.")
@click.option("--sizes", help="Rows: 512,2048. Above 1024, multiples of 1024.")
@click.option("--backends", help="By name; by default all, those that are absent with the reason.")
@click.option("--precisions", help="Of the products on a GPU: exact,default,fast.")
@click.option("--modes", help="forward (the value), full (gradients too), or both.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--measure-peaks", is_flag=True, help="Measure what the device does at best, for the roofline.")
@click.option("--json", "json_file", type=FILE, help="Write the rows, each as soon as it is measured.")
@click.option("--csv", "csv_file", type=FILE, help="Write the rows as a table.")
@click.option("--plot", "plot_file", type=FILE, help="Draw time against rows, as a PNG.")
@click.option("--trace", "trace_file", type=FILE, help="Trace training steps instead, for Chrome or Perfetto.")
@click.option("--method", help="For --trace; by default the first contrastive one.")
@click.option("--dataset", help="For --trace; by default the first one.")
@click.option("--tier", default="quick", show_default=True, help="For --trace: smoke, quick, converged or paper.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(
    device: str, trace_file: Path | None, method: str | None, dataset: str | None, tier: str, **asked: Any
) -> None:
    """Measure the pairwise losses: every kernel, size, backend, precision and mode.

    Each row has the time of a call with quartiles, pairs per second, memory, errors against float64, the share of
    the roofline, and how many times faster than the published formula it is, measured in turns.
    """
    # The profiler speaks of what a machine lacks before it is asked.
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")
    if trace_file:
        given = [name for name, value in asked.items() if value and name != "debug"]
        if given:
            raise UserError(f"--trace traces training steps and no losses: leave out --{given[0].split('_')[0]}.")
        _trace(trace_file, method, dataset, tier, device)
    else:
        if method or dataset:
            raise UserError("--method and --dataset choose what --trace traces; name its file.")
        _profile(device, **asked)


def _profile(
    device: str,
    suite: str | None,
    measure_peaks: bool,
    json_file: Path | None,
    csv_file: Path | None,
    plot_file: Path | None,
    debug: bool,
    **names: str | None,
) -> None:
    from rich.progress import track

    from cabench.cli import live
    from cabench.profiling import record, show
    from cabench.profiling.bench import FAILED, Bench
    from cabench.report.write import png
    from cabench.store import write_bytes

    if plot_file and plot_file.suffix != ".png":
        raise UserError(f"The plot is a .png file, not {plot_file}.")
    chosen = _suite(suite, device, names)
    bench = Bench(chosen, _peaks(chosen, measure_peaks))
    if names["backends"] and bench.absent:
        raise UserError(next(iter(bench.absent.values())))
    facts = record.environment(chosen, bench.peaks)
    screen, cases = live.console(), chosen.cases()
    rows: list[dict[str, Any]] = []

    def save(finished: bool) -> None:
        if json_file:
            record.write_json(json_file, facts, rows, finished)
        if csv_file and rows:
            record.write_csv(csv_file, rows)

    save(finished=False)
    for row in track(bench.rows(), "profile", len(cases), console=screen, transient=True):
        rows.append(row)
        save(finished=False)
    save(finished=True)
    screen.print(live.table(show.table(rows)))
    for note in show.notes(rows, bench.peaks):
        screen.print(f"- {note}", markup=False, highlight=False)
    if plot_file:
        write_bytes(plot_file, png(show.figure(rows, facts["device_name"])))
    for file in (json_file, csv_file, plot_file):
        if file:
            click.echo(f"Written: {file}")
    if any(row["status"] == FAILED for row in rows):
        raise SystemExit(1)


def _suite(name: str | None, device: str, names: dict[str, str | None]) -> Suite:
    """Return a preset, or the default suite of a device, with what was asked for in its place."""
    import torch

    from cabench.profiling.suite import SUITES, Suite
    from cabench.worker import chosen_device

    if name is None:
        base = Suite(chosen_device(device))
    elif name not in SUITES:
        raise UserError(f"There is no suite '{name}'.{did_you_mean(name, SUITES)}")
    elif device != "auto":
        raise UserError(f"The suite '{name}' has its own device: leave out --device.")
    else:
        base = SUITES[name]
        if base.device == "cuda" and not torch.cuda.is_available():
            raise UserError(
                f"The suite '{name}' needs a CUDA device, and torch finds none; `--suite cpu` runs here."
            )
    given: dict[str, Any] = {key: _words(key, text) for key, text in names.items() if text and text != "all"}
    if "sizes" in given:
        given["sizes"] = tuple(map(_size, given["sizes"]))
    return replace(base, **given)


def _words(what: str, text: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if not words:
        raise UserError(f"The list of {what} is empty; leave it out for the default.")
    return words


def _size(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise UserError(f"Sizes are numbers of rows, 512,2048, not '{word}'.") from None


def _peaks(suite: Suite, measure: bool) -> Peaks | None:
    from cabench.profiling.bench import threads
    from cabench.profiling.peaks import measure_peaks
    from cabench.profiling.record import table_peaks

    if not (measure or suite.measure_peaks):
        return table_peaks(suite.device)
    with threads(suite.device):
        return measure_peaks(suite.device)


def _trace(file: Path, method: str | None, dataset: str | None, tier: str, device: str) -> None:
    import pandas as pd

    from cabench import registry
    from cabench.api import load_dataset, load_method
    from cabench.cli import live
    from cabench.profiling.trace import check_steps, trace
    from cabench.worker import chosen_device

    device = chosen_device(device)
    cards = registry.find("method")
    name = method or next(n for n, plugin in cards.items() if plugin.card.get("kind") == "contrastive")
    data = dataset or next(iter(registry.find("dataset")))
    made = load_method(name, tier, data)
    check_steps(made)
    train = load_dataset(data, tier=tier).train
    phases = trace(made, train if made.supervision == "attributes" else train.blind(), device, file)
    whole = sum(phase.ms for phase in phases)
    screen = live.console()
    screen.print(f"A step of {name} on {data} ({tier} tier), {made.batch_size} images, {device}", highlight=False)
    columns = {
        "phase": [phase.name for phase in phases],
        "ms": [f"{phase.ms:.2f}" for phase in phases],
        "share": [f"{phase.ms / whole:.1%}" for phase in phases],
    }
    if device == "cuda":
        columns["GPU ms"] = [f"{phase.device_ms:.2f}" for phase in phases]
    screen.print(live.table(pd.DataFrame(columns)))
    click.echo(f"Written: {file}")
