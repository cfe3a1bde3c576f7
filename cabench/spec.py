"""RunSpec: what determines the numbers of one cell, and the run id made from it."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cabench.errors import UserError, did_you_mean
from cabench.params import check

LARGEST = 2**63 - 1


@dataclass(frozen=True)
class RunSpec:
    """One cell: a method with all its parameters, a data set, a source, a tier, a seed."""

    method: str
    params: Mapping[str, Any]
    dataset: str
    dataset_params: Mapping[str, Any]
    source: str
    tier: str
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return the spec as plain JSON values."""
        return asdict(self) | {"params": dict(self.params), "dataset_params": dict(self.dataset_params)}

    @property
    def run_id(self) -> str:
        """A readable name with a hash of the spec; the order of parameters does not matter."""
        # As a record holds it: JSON has no keys but texts.
        plain = json.loads(json.dumps(self.to_json()))
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
        return f"{self.dataset}-{self.method}-{self.seed}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def signature_defaults(cls: type) -> dict[str, Any]:
    """Return the parameters of a plugin's constructor with their defaults."""
    parameters = inspect.signature(cls).parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {p.name: p.default for p in parameters if p.kind not in kinds}


def resolve(cls: type, layers: list[Mapping[str, Any]], owner: str) -> dict[str, Any]:
    """Return every parameter of `cls`: its defaults, overridden by each layer in turn.

    A number or text given for a parameter takes the type of its default, so that 10 and 10.0 are one run.

    Raises:
        UserError: a layer names a parameter that `cls` lacks, or a value is not what the parameter may be.

    """
    params = signature_defaults(cls)
    for layer in layers:
        for name, value in layer.items():
            if name not in params:
                hint = did_you_mean(name, params) or " It takes none."
                raise UserError(f"'{owner}' has no parameter '{name}'.{hint}")
            params[name] = _like(value, params[name], f"{owner}[{name}]")
    check(cls, params, owner)
    return params


def _like(value: Any, default: Any, what: str) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if default is None or isinstance(default, inspect._empty):
        return value
    if isinstance(default, (bool, str)):
        good = isinstance(value, type(default))
    elif isinstance(default, float):
        # An integer may be beyond every float; whether a float is finite is said elsewhere.
        good = number and not (isinstance(value, int) and abs(value) > sys.float_info.max)
        value = float(value) if good else value
    elif isinstance(default, int):
        good = number and (isinstance(value, int) or value.is_integer())
        value = int(value) if good else value
        if good and not -LARGEST <= value <= LARGEST:
            raise UserError(f"{what} must lie within 64 bits, not be {value}.")
    else:
        good = True
    if not good:
        raise UserError(f"{what} must be of type {type(default).__name__}, not {value!r}.")
    return value
