"""`cabench describe`: a plugin's card, parameters and settings; or where a run's numbers come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cabench import registry
from cabench.card import card
from cabench.errors import UserError, did_you_mean


@click.command("describe")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="A plugin file.")
@click.option(
    "--results", default="results", show_default=True, type=click.Path(path_type=Path), help="The folder of a run."
)
def command(name: str, as_json: bool, plugins: tuple[Path, ...], results: Path) -> None:
    """Describe a method or data set (card, factors, parameters, settings), or a run by the beginning of its id."""
    methods, datasets = registry.find("method", plugins), registry.find("dataset", plugins)
    if plugin := methods.get(name) or datasets.get(name):
        said = card(plugin)
    else:
        said = _run(name, results, [*methods, *datasets])
    if as_json:
        click.echo(json.dumps(said, indent=1))
        return
    for key, value in said.items():
        if isinstance(value, dict):
            click.echo(f"{key}:")
            for inner, setting in value.items():
                click.echo(f"  {inner}: {setting}")
        elif isinstance(value, list):
            click.echo(f"{key}:")
            for item in value:
                click.echo("  " + ", ".join(f"{k} {v}" for k, v in item.items() if v not in (None, "", False)))
        else:
            click.echo(f"{key}: {value}")


def _run(name: str, results: Path, plugins: list[str]) -> dict[str, Any]:
    """Return what a record says of a run, and the command that makes it again."""
    # A word without a hyphen is no run id; and to look at runs takes more imports than to look at plugins.
    if "-" not in name:
        raise UserError(f"There is no method or dataset '{name}'.{did_you_mean(name, plugins)}")
    from cabench.api import find_record
    from cabench.command import command as command_of

    record = find_record(name, results)
    facts = {"run": record["run_id"], "status": record["status"], "error": record["error"]}
    again = {"command": command_of(record)}
    origin = {
        key: record[key] for key in ("spec", "fingerprints", "families", "cost", "provenance") if key in record
    }
    return {key: value for key, value in (facts | again | origin).items() if value is not None}
