"""Parameters of a method, declared with what they may be: checked before anything runs, printed by `describe`.

Used as the defaults of a dataclass's fields: `epochs: int = count(20)`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from cabench.errors import UserError, did_you_mean


def count(default: int, least: int = 1) -> Any:
    """Declare a whole number of at least `least`: a size, a number of epochs."""
    return dataclasses.field(default=default, metadata={"least": least, "whole": True})


def weight(default: float, most: float = math.inf) -> Any:
    """Declare a finite number from 0 to `most`: the weight of a term, a share."""
    return dataclasses.field(default=default, metadata={"least": 0.0, "most": most})


def rate(default: float) -> Any:
    """Declare a finite number above 0: a learning rate, a variance."""
    return dataclasses.field(default=default, metadata={"above": 0.0})


def choice(default: str, *others: str) -> Any:
    """Declare one word out of a few, the default first."""
    return dataclasses.field(default=default, metadata={"choices": (default, *others)})


def declared(cls: type) -> dict[str, Mapping[str, Any]]:
    """Return parameter name -> what it may be, for the parameters of `cls` that were declared so."""
    if not dataclasses.is_dataclass(cls):
        return {}
    return {f.name: f.metadata for f in dataclasses.fields(cls) if f.init and f.metadata}


def allowed(may: Mapping[str, Any]) -> str:
    """Say in words what a declaration allows.

    >>> allowed({"least": 1, "whole": True})
    'a whole number of at least 1'
    >>> allowed({"choices": ("k_jem", "none")})
    'k_jem or none'
    """
    if "choices" in may:
        return " or ".join(may["choices"])
    if "above" in may:
        return f"above {may['above']:g}"
    if "whole" in may:
        return f"a whole number of at least {may['least']}"
    return f"{may['least']:g} to {may['most']:g}" if may["most"] < math.inf else f"at least {may['least']:g}"


def check(cls: type, params: Mapping[str, Any], owner: str) -> None:
    """Check values against their declarations.

    Raises:
        UserError: a value lies outside what its parameter may be.

    """
    for name, may in declared(cls).items():
        value, what = params[name], f"{owner}[{name}]"
        if "choices" in may:
            if value not in may["choices"]:
                raise UserError(f"{what} cannot be '{value}'.{did_you_mean(str(value), may['choices'])}")
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise UserError(f"{what} must be a finite number, not {value}.")
        elif "whole" in may and not isinstance(value, int):
            raise UserError(f"{what} must be a whole number, not {value}.")
        elif "above" in may and not value > may["above"]:
            raise UserError(f"{what} must be above {may['above']:g}, not {value}.")
        elif "least" in may and value < may["least"]:
            raise UserError(f"{what} must be at least {may['least']:g}, not {value}.")
        elif value > may.get("most", math.inf):
            raise UserError(f"{what} must be at most {may['most']:g}, not {value}.")
