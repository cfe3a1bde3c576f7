"""A fitted method on disk: safetensors, never pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cabench.errors import UserError
from cabench.method import Method, State
from cabench.store import write_bytes

MODEL_FILE = "model.safetensors"  # in a run's folder
FACTS, NAME = "cabench", "method"


def write_model(path: Path, method: Method) -> None:
    """Write what a method learned, whole or not at all.

    Raises:
        TypeError: it learned something that is neither an array nor JSON and has no `state` of its own.
        UserError: the folder is read-only or full.
    """
    from safetensors.numpy import save

    state = method.state()
    arrays = {name: np.asarray(array, order="C") for name, array in state.arrays.items()}
    try:
        facts = json.dumps(state.facts)
    except TypeError as error:
        raise TypeError(f"'{method.name}' must keep arrays and JSON in its state ({error})") from error
    write_bytes(path, save(arrays, {FACTS: facts, NAME: method.name}))


def read_model(path: Path, method: Any) -> Any:
    """Give an unfitted method, made with the same parameters, what another one learned; returns it.

    Raises:
        UserError: the file is missing, damaged, or another method's.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            names = file.keys()
            arrays = {name: file.get_tensor(name) for name in names}
            about = file.metadata()
        facts, owner = json.loads(about[FACTS]), about[NAME]
        if owner != method.name:
            raise ValueError(f"it is one of '{owner}'")
        restored = method.restore(State(arrays, facts))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(
            f"{path} holds no model of '{method.name}' ({error}); remove {path.parent} and run its cell again."
        ) from error
    return restored
