"""What a plugin says of itself, from its class: `cabench describe` prints it, the documentation shows it."""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict
from typing import Any

from cabench.codes import TARGET
from cabench.dataset import VARIANTS
from cabench.difficulty import RANGES, Difficulty
from cabench.params import allowed, declared
from cabench.registry import Plugin
from cabench.spec import signature_defaults

_HEADING = re.compile(r"^[A-Z]\w+:\n", re.MULTILINE)
_ARGUMENTS = re.compile(r"^(?:Args|Attributes):\n((?:    .*\n?|\n)+)", re.MULTILINE)
_ARGUMENT = re.compile(r"^    (\w+(?:,\s+\w+)*):\s+(.+(?:\n {5,}.+)*)", re.MULTILINE)


def card(plugin: Plugin) -> dict[str, Any]:
    """Return a plugin's card, description, parameters, and its factors or settings, as JSON values.

    Raises:
        UserError: the plugin cannot be imported.

    """
    cls = plugin.load()
    parameters = signature_defaults(cls)
    said: dict[str, Any] = {"plugin": plugin.kind, **plugin.card, "description": description(cls)}
    said["parameters"] = parameters
    may, mean = {name: allowed(may) for name, may in declared(cls).items()}, meanings(cls)
    if plugin.kind == "dataset":
        may |= {"variant": " or ".join(VARIANTS)} | {name: f"{a:g} to {b:g}" for name, (a, b) in RANGES.items()}
        mean |= meanings(Difficulty)
    said["what they may be"] = {name: may[name] for name in parameters if name in may}
    said["what they mean"] = {name: mean[name] for name in parameters if name in mean}
    return said | (_of_dataset(cls) if plugin.kind == "dataset" else _of_method(cls))


def description(cls: type) -> str:
    """Return what the docstring of a class says before its sections; nothing if it has none of its own."""
    text = inspect.cleandoc(cls.__doc__ or "")
    # Python gives a dataclass without a docstring its signature in the place of one.
    return "" if text.startswith(f"{cls.__name__}(") else _HEADING.split(text, maxsplit=1)[0].strip()


def meanings(cls: type) -> dict[str, str]:
    """Return parameter -> its meaning, from the `Args` and `Attributes` of a class and of what it inherits from."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        for section in _ARGUMENTS.findall(inspect.cleandoc(base.__doc__ or "")):
            for names, text in _ARGUMENT.findall(section):
                found |= dict.fromkeys(re.split(r",\s+", names), " ".join(text.split()))
    return found


def _of_dataset(cls: Any) -> dict[str, Any]:
    factors = [
        asdict(factor) | {"metric": factor.metric, "chance": round(factor.chance, 4)}
        for factor in (*cls.factors, TARGET)
    ]
    return {
        "factors": factors,
        "sizes (train, validation, test)": dict(cls.sizes),
        "augmentation": asdict(cls.augmentation),
    }


def _of_method(cls: Any) -> dict[str, Any]:
    settings = {
        f"{tier} / {dataset}": dict(values)
        for tier, table in cls.settings.items()
        for dataset, values in table.items()
    }
    return {"settings": settings}
