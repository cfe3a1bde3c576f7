"""`cabench show-swaps`: reconstructions and swaps of a generative run."""

from __future__ import annotations

from pathlib import Path

import click

MOST_ROWS = 8  # of noise, the worst that there is, more would not fit into 300 KB


@click.command("show-swaps")
@click.argument("run", metavar="RUN")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The .png to write.")
@click.option(
    "--results", default="results", show_default=True, type=click.Path(path_type=Path), help="The folder."
)
@click.option("--data-root", type=click.Path(path_type=Path), help="The folder of the raw files of a real run.")
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="A plugin file.")
@click.option(
    "--rows", default=6, show_default=True, type=click.IntRange(1, MOST_ROWS), help="Pairs of images, one a row."
)
def command(
    run: str, out: Path, results: Path, data_root: Path | None, plugins: tuple[Path, ...], rows: int
) -> None:
    """Draw reconstructions and swaps of test images.

    RUN is a run id or a beginning that no other run shares; `cabench run` prints them and the folder
    `runs` of the results holds them. The method must draw images.
    """
    from cabench import registry
    from cabench.api import find_run, load_run
    from cabench.errors import UserError
    from cabench.report.swaps import figure, panels, png
    from cabench.spec import RunSpec, resolve
    from cabench.store import write_bytes
    from cabench.swaps import draw_pairs

    if out.suffix != ".png":
        raise UserError(f"The picture is a .png file, not {out}.")
    record = find_run(run, results)
    spec = RunSpec(**record["spec"])
    _check_generative(spec.method, plugins)
    method = load_run(record["run_id"], results, plugins)
    cls = registry.get("dataset", spec.dataset, plugins).load()
    dataset = cls(**resolve(cls, [spec.dataset_params], spec.dataset))
    pairs = draw_pairs(dataset, spec, rows, data_root)
    heading = (
        f"{record['label']} on {record['dataset_label']} ({spec.source}, {spec.tier} tier), seed {spec.seed}: "
        "pairs of test images"
    )
    write_bytes(out, png(figure(panels(method, pairs), heading)))
    click.echo(f"Written: {out}")


def _check_generative(name: str, plugins: tuple[Path, ...]) -> None:
    """Raise UserError, with the names of those that do, if a method draws no images."""
    from cabench import registry
    from cabench.errors import UserError
    from cabench.vae import Generative

    if not issubclass(registry.get("method", name, plugins).load(), Generative):
        able = [p.name for p in registry.find("method", plugins).values() if p.card.get("kind") == "generative"]
        raise UserError(f"'{name}' draws no images to swap between; these methods do: {', '.join(able)}.")
