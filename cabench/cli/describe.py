"""`cabench describe`: one plugin's card, parameters and settings."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cabench import registry
from cabench.card import card
from cabench.errors import UserError, did_you_mean


@click.command("describe")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="A plugin file.")
def command(name: str, as_json: bool, plugins: tuple[Path, ...]) -> None:
    """Describe one method or data set: its card, factors, parameters and settings."""
    methods, datasets = registry.find("method", plugins), registry.find("dataset", plugins)
    if name not in methods and name not in datasets:
        raise UserError(f"There is no method or dataset '{name}'.{did_you_mean(name, [*methods, *datasets])}")
    plugin = methods.get(name) or datasets[name]
    said = card(plugin)
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
