"""`cabench data`: from the owners' raw files to prepared ones, and a look at them."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cabench.dataset import Dataset

SHOWN = 10  # unreadable images that `prepare` prints; the manifest lists them all
NAMES = click.argument("names", nargs=-1, required=True, metavar="NAMES...")
ROOT = click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    help="The folder of raw and prepared files (default: $CABENCH_DATA, or the user's data folder).",
)
PLUGIN = click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="A plugin file.")


@click.group("data")
def command() -> None:
    """Look at data sets, fetch their raw files and prepare them.

    NAMES are names of data sets, with parameters if need be (name[variant=official]), or all.
    """


def _each(work: Callable[..., None]) -> Callable[..., None]:
    """Make the body of a command out of work on one data set and the data root.

    What goes wrong with one data set is said, the others follow, and the exit code is 2.
    """

    @NAMES
    @ROOT
    @PLUGIN
    @functools.wraps(work)
    def body(names: tuple[str, ...], data_root: Path | None, plugins: tuple[Path, ...], **options: Any) -> None:
        from cabench.errors import UserError

        root, datasets, failed = _root(data_root), _datasets(names, plugins), False
        for dataset in datasets:
            try:
                work(dataset, root, **options)
            except UserError as error:
                if len(datasets) == 1:
                    raise
                click.echo(f"Error: {error}", err=True)
                failed = True
        if failed:
            sys.exit(2)

    return body


@command.command("status")
@click.argument("names", nargs=-1, metavar="[NAMES...]")
@ROOT
@PLUGIN
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(names: tuple[str, ...], data_root: Path | None, plugins: tuple[Path, ...], as_json: bool) -> None:
    """Say what is here, what is missing and how to get it."""
    from cabench.fetch import status

    root = _root(data_root)
    cards = [status(dataset, root) for dataset in _datasets(names or ("all",), plugins)]
    if as_json:
        click.echo(json.dumps({"data_root": str(root), "datasets": cards}, indent=1))
        return
    from rich.table import Table

    from cabench.cli.live import console

    table = Table("data set", "raw files", "prepared", "licence", show_edge=False, pad_edge=False)
    for card in cards:
        here = sum(file["found"] is not None for file in card["files"])
        prepared = ", ".join(f"{variant}: {state}" for variant, state in card["prepared"].items())
        table.add_row(card["name"], f"{here} of {len(card['files'])}", prepared, card["licence"])
    out = console()
    out.print(f"Data root: {root}", markup=False, highlight=False, soft_wrap=True)
    out.print(table)
    for card in cards:
        if card["missing"]:
            click.echo(f"{card['name']} lacks {', '.join(card['missing'])}. {card['get']}")


@command.command("fetch")
@_each
@click.option("--offline", is_flag=True, help="Only check what is here, against the checksums.")
def fetch(dataset: Dataset, root: Path, offline: bool) -> None:
    """Fetch raw files and check them.

    A broken download goes on where it stopped. Files that their owners give only to those who ask are never
    fetched: the steps to them are printed.
    """
    from rich.progress import DownloadColumn, TransferSpeedColumn

    from cabench import fetch as fetcher
    from cabench.errors import DataMissing
    from cabench.prepared import sha256

    lacking, reasons = [], []
    for file in dataset.files:
        fault = fetcher.fault(file, root)
        if not fault:
            click.echo(f"{file.locate(root)}: here")
        elif offline or not file.urls:
            lacking.append(file)
            reasons.append(f"{root / file.path} {fault}")
        else:
            try:
                with _bar(file.path, DownloadColumn(), TransferSpeedColumn()) as progress:
                    path = fetcher.fetch(file, root, progress)
            except DataMissing as error:
                reasons.append(str(error).rstrip("."))
                continue
            found = (
                "fetched" if file.checksum else f"fetched; no checksum is published, it has sha256:{sha256(path)}"
            )
            click.echo(f"{path}: {found}")
    if reasons:
        raise DataMissing(f"{dataset.name}: {'; '.join(reasons)}. {fetcher.ways(dataset, lacking)}".rstrip())


@command.command("prepare")
@_each
@click.option("--jobs", type=click.IntRange(min=1), help="Threads that decode images (default: one per core).")
@click.option("--force", is_flag=True, help="Prepare again what is prepared.")
def prepare(dataset: Dataset, root: Path, jobs: int | None, force: bool) -> None:
    """Turn raw files into pixels and labels for runs.

    An interrupted call goes on where it stopped.
    """
    from rich.progress import MofNCompleteColumn

    from cabench.prepare import prepare
    from cabench.prepared import PARTS, verify

    with _bar(_name(dataset), MofNCompleteColumn(), plain=_quarters(_name(dataset))) as progress:
        folder = prepare(dataset, root, jobs, progress, force)
    manifest = verify(folder)
    click.echo(f"{_name(dataset)}: prepared in {folder}")
    for part in PARTS:
        counts = manifest["splits"][part]
        kinds = ", ".join(f"{counts[kind]} {kind}" for kind in ("background", "target", "groups"))
        click.echo(f"  {part}: {counts['images']} images ({kinds})")
    for reason, count in manifest["left_out"].items():
        click.echo(f"  left out: {count} {reason}")
    unreadable = manifest["unreadable"]
    for image, why in list(unreadable.items())[:SHOWN]:
        click.echo(f"  unreadable: {image}: {why}")
    if len(unreadable) > SHOWN:
        click.echo(f"  unreadable: {len(unreadable)} images in all; the manifest lists them")


@command.command("verify")
@_each
@click.option("--full", is_flag=True, help="Hash every byte, those of the label files and archives too.")
def verify(dataset: Dataset, root: Path, full: bool) -> None:
    """Check prepared files against their manifests.

    `all` are those that are prepared.
    """
    from cabench.errors import DataMissing
    from cabench.prepared import is_current, prepared_folder, verify

    folder, mend = prepared_folder(dataset, root), f"run `cabench data prepare {_name(dataset)}`"
    if not folder.exists():
        if "all" in click.get_current_context().params["names"]:
            return
        raise DataMissing(f"{_name(dataset)} is not prepared (looked for {folder}); {mend}.")
    verify(folder, root if full else None)
    if not is_current(dataset, folder):
        raise DataMissing(f"{folder} was prepared by an earlier recipe; {mend}.")
    click.echo(f"{_name(dataset)}: every {'byte' if full else 'size'} is right ({folder})")


@command.command("where")
@NAMES
@ROOT
@PLUGIN
def where(names: tuple[str, ...], data_root: Path | None, plugins: tuple[Path, ...]) -> None:
    """Print the folders of raw and of prepared files.

    Of one data set, one folder a line; of several, one data set a line.
    """
    from cabench.prepared import prepared_folder

    root, datasets = _root(data_root), _datasets(names, plugins)
    for dataset in datasets:
        paths = (str(root), str(prepared_folder(dataset, root)))
        click.echo("\n".join(paths) if len(datasets) == 1 else "\t".join((_name(dataset), *paths)))


@command.command("rm")
@_each
@click.option("--yes", is_flag=True, help="Do not ask.")
def rm(dataset: Dataset, root: Path, yes: bool) -> None:
    """Remove prepared files; raw files stay."""
    from cabench.prepared import prepared_folder, remove, traces

    folder = prepared_folder(dataset, root)
    if not traces(folder):
        click.echo(f"{_name(dataset)}: nothing is prepared")
        return
    if not yes:
        click.confirm(f"Remove {folder}?", abort=True)
    remove(folder)
    click.echo(f"{_name(dataset)}: removed {folder}")


@command.command("preview")
@click.argument("name")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The picture to write.")
@click.option("--source", default="synthetic", show_default=True, help="synthetic or real.")
@ROOT
@click.option("--seed", default=0, show_default=True, help="The data's seed.")
def preview(name: str, out: Path, source: str, data_root: Path | None, seed: int) -> None:
    """Draw background and target contact sheets."""
    import io

    from PIL import Image

    from cabench.api import load_dataset
    from cabench.errors import UserError
    from cabench.plan import parse_list
    from cabench.report.preview import contact_sheet
    from cabench.store import write_bytes

    (plain, params), *more = parse_list(name)
    if more:
        raise UserError(f"A preview shows one data set, not '{name}'.")
    splits = load_dataset(plain, source=source, tier="smoke", seed=seed, data_root=data_root, **params)
    sheet, drawn = contact_sheet(splits.train), io.BytesIO()
    # 128 colours keep a page of previews light.
    small = sheet.quantize(128) if out.suffix.lower() == ".png" else sheet
    try:
        small.save(drawn, format=Image.registered_extensions()[out.suffix.lower()], optimize=True)
    except (KeyError, OSError, ValueError) as error:
        raise UserError(f"No picture can be drawn as {out}; call it {out.stem}.png.") from error
    write_bytes(out, drawn.getvalue())
    click.echo(f"Written: {out}")


def _root(named: Path | None) -> Path:
    from cabench.dataset import data_root

    return data_root(named)


def _datasets(names: tuple[str, ...], plugins: tuple[Path, ...]) -> list[Dataset]:
    """Return the data sets named; one of `all` that cannot be used is said and left out."""
    from cabench import registry
    from cabench.errors import UserError
    from cabench.plan import parse_list
    from cabench.spec import resolve

    found = []
    for name, params in parse_list(",".join(names)):
        every = list(registry.find("dataset", plugins).values())
        for plugin in every if name == "all" else [registry.get("dataset", name, plugins)]:
            try:
                cls = plugin.load()
                found.append(cls(**resolve(cls, [params], plugin.name)))
            except UserError as error:
                if name != "all":
                    raise
                click.echo(f"Left out: {error}", err=True)
    return found


def _name(dataset: Dataset) -> str:
    """Return the data set as a user would write it."""
    plain = {"variant": "standard", "data_seed": 0}
    params = [f"{key}={getattr(dataset, key)}" for key, value in plain.items() if getattr(dataset, key) != value]
    return f"{dataset.name}[{','.join(params)}]" if params else dataset.name


def _quarters(name: str) -> Callable[[int, int], None]:
    """Return a progress that prints a line at each quarter."""
    seen = 0

    def say(done: int, total: int) -> None:
        nonlocal seen
        if 4 * done // total > seen:
            seen = 4 * done // total
            click.echo(f"{name}: {done} of {total} images")

    return say


@contextmanager
def _bar(what: str, *columns: Any, plain: Callable[..., None] = lambda *_: None) -> Iterator[Callable[..., None]]:
    """Show a progress bar on a terminal, and elsewhere `plain`."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from cabench.cli.live import console

    out = console()
    if not out.is_terminal:
        yield plain
        return
    text = TextColumn("{task.description}", markup=False)
    with Progress(text, BarColumn(), *columns, TimeRemainingColumn(), console=out, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
