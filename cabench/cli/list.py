"""`cabench list`: what there is, without importing any of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cabench import registry


@click.command("list")
@click.argument("what", type=click.Choice(["methods", "datasets", "metrics"]))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="A plugin file.")
def command(what: str, as_json: bool, plugins: tuple[Path, ...]) -> None:
    """List methods, datasets or metrics."""
    rows = _metrics() if what == "metrics" else _plugins("method" if what == "methods" else "dataset", plugins)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        note = f"broken: {row['error']}" if row.get("error") else row["title"]
        note += f" ({_range(row)})" if "bounds" in row else ""
        click.echo(f"{row['name']:<{width}}  {note}")


def _range(row: dict[str, Any]) -> str:
    """Return which values of a metric are better, and which there are."""
    low, high = row["bounds"]
    if low is None:
        ends = "unbounded" if high is None else f"up to {high:g}"
    else:
        ends = f"from {low:g} on" if high is None else f"{low:g} to {high:g}"
    return f"{row['direction']} is better, {ends}{', in ' + row['unit'] if row['unit'] else ''}"


def _plugins(kind: registry.Kind, files: tuple[Path, ...]) -> list[dict[str, Any]]:
    found = registry.find(kind, files).values()
    return [{"title": "", **plugin.card, "name": plugin.name, "error": plugin.error} for plugin in found]


def _metrics() -> list[dict[str, Any]]:
    from cabench.metrics.catalogue import METRICS

    finite = {float("inf"): None, float("-inf"): None}
    return [
        {
            "name": metric.name,
            "direction": metric.direction,
            "bounds": [finite.get(bound, bound) for bound in metric.bounds],
            "unit": metric.unit,
            "title": metric.title,
        }
        for metric in METRICS.values()
    ]
