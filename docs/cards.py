"""Writes the site's pages of methods and data sets from the plugins: a new plugin file has its page at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from standins import stand_ins

from cabench import registry
from cabench.card import card
from cabench.codes import Augmentation
from cabench.dataset import BASED_ON

IMAGES = Path(__file__).parent / "images"
USES = {"none": "nothing", "domain": "the group", "attributes": "the factors"}
ROLES = {
    "method": "a method",
    "floor": "a floor: it separates nothing on purpose and shows what the images give away by themselves",
    "ceiling": "the ceiling: its scores are the upper end of every table",
}
# The docstrings cite it, and the site does not have it.
NOTES = (
    "*METHODS and its numbers (such as D1 or S16) are the project's notes on papers and on their released code.*"
)

# Python's Markdown knows no backslash before the first three.
ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", "|": "&#124;"} | {sign: f"\\{sign}" for sign in r"\`*_[]"})


def pages() -> dict[str, str]:
    """Return the address of every generated page below `docs/` and its Markdown.

    Raises:
        UserError: a plugin cannot be imported.

    """
    found = {f"{folder}/{name}.md": plugin for folder, name, plugin in _plugins()}
    with stand_ins():
        made = {uri: (_dataset if plugin.kind == "dataset" else _method)(plugin) for uri, plugin in found.items()}
    return {"methods/index.md": _overview(), **made}


def _plugins() -> Iterable[tuple[str, str, registry.Plugin]]:
    for kind, folder in registry.FOLDERS.items():
        for name, plugin in registry.find(kind).items():
            yield folder, name, plugin


def _overview() -> str:
    methods = registry.find("method").items()
    rows = []
    for name, method in methods:
        words = [text(method.card[of]) for of in ("title", "kind")]
        rows.append((f"[`{name}`]({name}.md)", *words, USES[method.card["supervision"]], _role(method)))
    return f"# The methods\n\n{table(('method', 'title', 'kind', 'uses of the labels', 'role'), rows)}"


def _role(plugin: registry.Plugin) -> str:
    return plugin.card.get("role", "method")


def _method(plugin: registry.Plugin) -> str:
    said = card(plugin)
    facts = {
        "name": f"`{plugin.name}`",
        "paper": _arxiv(text(said["paper"])),
        "kind": text(said["kind"]),
        "uses of the labels": USES[said["supervision"]],
        "role": ROLES[_role(plugin)],
        "file": f"`methods/{Path(plugin.file or '').name}`",
    }
    settings = [(*place.split(" / "), _assigned(values)) for place, values in said["settings"].items()]
    rows = [(tier, "every one" if dataset == "*" else f"`{dataset}`", what) for tier, dataset, what in settings]
    return "\n\n".join(
        (
            *_head(said, facts),
            f"```bash\npython -m cabench run --methods {plugin.name} --datasets all\n```",
            "## Parameters",
            _parameters(said),
            "## Settings per tier",
            _SETTINGS if rows else "It has none: the defaults hold in every tier.",
            table(("tier", "data set", "parameters that differ from the defaults"), rows) if rows else "",
        )
    )


_SETTINGS = (
    "The line of a data set goes over the one of every data set, and what you set yourself over both. "
    + " ".join(f"The {tier} tier starts from the settings of {base}." for tier, base in BASED_ON.items())
)


def _dataset(plugin: registry.Plugin) -> str:
    said, cls = card(plugin), plugin.load()
    facts = {
        "name": f"`{plugin.name}`",
        "modality": text(said["modality"]),
        "licence": text(said["licence"]),
        "file": f"`datasets/{Path(plugin.file or '').name}`",
    }
    sizes = [(tier, *numbers) for tier, numbers in said["sizes (train, validation, test)"].items()]
    return "\n\n".join(
        (
            *_head(said, facts),
            _picture(plugin.name),
            "## Factors",
            table(
                ("factor", "home", "rows", "values", "metric", "chance", ""),
                [_factor(factor) for factor in said["factors"]],
            ),
            "## Images",
            "Of the real source, smoke and quick take at most so many, and paper takes all. "
            + " ".join(f"The {tier} tier has the images of {base}." for tier, base in BASED_ON.items()),
            table(("tier", "train", "validation", "test"), sizes),
            f"Views that keep the factors: {_views(said['augmentation'])}.",
            "## The real files",
            *_real(plugin.name, said["obtain"], cls),
            "## Parameters",
            f'Given as `--datasets "{plugin.name}[PARAMETER=VALUE]"`; '
            "[The six data sets](../datasets.md) says what the knobs of the synthetic source are for.",
            _parameters(said),
        )
    )


def _head(said: dict[str, Any], facts: dict[str, str]) -> Iterable[str]:
    yield f"# {text(said['title'])}"
    head, *rows = (fact for fact in facts.items() if fact[1])
    yield table(head, rows)
    if said["description"]:
        yield text(said["description"])
    if "METHODS" in said["description"]:
        yield NOTES


def _picture(name: str) -> str:
    if not (IMAGES / f"{name}.png").exists():
        return ""
    command = f"python -m cabench data preview {name} --out {name}.png"
    picture = f"![Background above, target below](../images/{name}.png)"
    return f"{picture}\n\nDrawn by `{command}`: background above, target below."


def _factor(factor: dict[str, Any]) -> tuple[str, ...]:
    values = ", ".join(factor["classes"]) if factor["classes"] else factor["unit"] or "a number"
    notes = ("main",) * factor["main"] + ("hard even with labels",) * (not factor["learnable"])
    metric = {"balanced_accuracy": "balanced accuracy", "r2": "R²"}[factor["metric"]]
    return (
        f"`{factor['name']}`",
        factor["home"],
        factor["rows"],
        text(values),
        metric,
        f"{factor['chance']:.2f}",
        ", ".join(notes),
    )


def _views(augmentation: dict[str, Any]) -> str:
    usual = {field.name: field.default for field in fields(Augmentation)}
    used = {name: value for name, value in augmentation.items() if name == "size" or value != usual[name]}
    return _assigned(used)


def _real(name: str, obtain: str, cls: Any) -> Iterable[str]:
    yield text(obtain)
    if cls.steps:
        yield "\n".join(f"{number}. {text(step)}" for number, step in enumerate(cls.steps, 1))
    if cls.files:
        rows = [
            (
                f"`{file.path}`",
                "fetched" if file.urls else "asked for",
                f"`{file.checksum}`" if file.checksum else "",
            )
            for file in cls.files
        ]
        yield table(("below the data root", "how it comes", "checksum"), rows)
        fetch = f"python -m cabench data fetch {name}\n" if any(file.urls for file in cls.files) else ""
        run = f"python -m cabench run --methods pca --datasets {name} --source real --data-root DIR"
        yield f"```bash\n{fetch}python -m cabench data prepare {name} --data-root DIR\n{run}\n```"


def _parameters(said: dict[str, Any]) -> str:
    may, mean = said["what they may be"], said["what they mean"]
    rows = [
        (f"`{name}`", "" if default == "" else code(default), text(may.get(name, "")), text(mean.get(name, "")))
        for name, default in said["parameters"].items()
    ]
    return table(("parameter", "default", "may be", "meaning"), rows) if rows else "It takes none."


def _assigned(values: dict[str, Any]) -> str:
    return ", ".join(code(f"{name}={value}") for name, value in values.items())


def _arxiv(paper: str) -> str:
    return re.sub(r"arXiv:(\d+\.\d+)", r"[arXiv:\1](https://arxiv.org/abs/\1)", paper)


def text(words: str) -> str:
    """Return plain words as Markdown that shows them as they are; code in backticks and addresses stay."""
    parts = re.split(r"(`[^`]+`|https?://[^\s,;<>|`\\\[\]]+)", words)
    parts[::2] = [part.translate(ESCAPES) for part in parts[::2]]
    return "".join(parts)


def code(value: Any) -> str:
    """Return a value as Markdown that shows it as it is, in the type of code."""
    # More backticks than stand in the value; a blank keeps one at its edge apart from them.
    fence = "`" * (1 + max(map(len, re.findall("`+", str(value))), default=0))
    room = " " if "`" in str(value) else ""
    return f"{fence}{room}{value}{room}{fence}"


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a Markdown table of cells that are Markdown already."""
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cell.replace(chr(10), ' ') for cell in line)} |" for line in lines)
