"""`cabench data`: look at data sets."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("data")
def command() -> None:
    """Look at data sets."""


@command.command("preview")
@click.argument("name")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The picture to write.")
@click.option("--source", default="synthetic", show_default=True, help="synthetic or real.")
@click.option("--data-root", type=click.Path(path_type=Path), help="The folder of the raw files.")
@click.option("--seed", default=0, show_default=True, help="The data's seed.")
def preview(name: str, out: Path, source: str, data_root: Path | None, seed: int) -> None:
    """Draw background and target contact sheets."""
    from cabench.api import load_dataset
    from cabench.errors import UserError
    from cabench.report.preview import contact_sheet

    splits = load_dataset(name, source=source, tier="smoke", seed=seed, root=data_root)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        sheet = contact_sheet(splits.train)
        # 128 colours keep a page of previews light.
        (sheet.quantize(128) if out.suffix == ".png" else sheet).save(out, optimize=True)
    except (OSError, ValueError) as error:
        raise UserError(f"The picture {out} could not be written ({error}); give a writable .png path.") from error
    click.echo(f"Written: {out}")
