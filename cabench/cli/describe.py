"""`cabench describe`: one plugin's card, parameters and settings."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cabench import registry
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
    card = _card(plugin)
    if as_json:
        click.echo(json.dumps(card, indent=1))
        return
    for key, value in card.items():
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


def _card(plugin: registry.Plugin) -> dict[str, Any]:
    from cabench.params import allowed, declared
    from cabench.spec import signature_defaults

    cls = plugin.load()
    card: dict[str, Any] = {"plugin": plugin.kind, **plugin.card, "parameters": signature_defaults(cls)}
    if declared(cls):
        card["what they may be"] = {name: allowed(may) for name, may in declared(cls).items()}
    if plugin.kind == "dataset":
        from cabench.codes import TARGET

        card["factors"] = [
            asdict(factor) | {"metric": factor.metric, "chance": round(factor.chance, 4)}
            for factor in (*cls.factors, TARGET)
        ]
        card["sizes (train, validation, test)"] = dict(cls.sizes)
        card["augmentation"] = asdict(cls.augmentation)
    else:
        card["settings"] = {
            f"{tier} / {dataset}": dict(values)
            for tier, table in cls.settings.items()
            for dataset, values in table.items()
        }
    return card
