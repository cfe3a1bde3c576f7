"""A fitted method on disk: safetensors, never pickle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cabench import registry
from cabench.errors import UserError
from cabench.method import Method, State
from cabench.spec import resolve
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


def fitted(record: Mapping[str, Any], folder: Path, plugins: Iterable[Path] = ()) -> Any:
    """Return the fitted method of a finished run.

    Args:
        record: of the run.
        folder: where the run keeps its model.
        plugins: files of methods that are not installed.

    Raises:
        UserError: there is no such method, or the model was not kept, is missing or damaged.
    """
    spec = record["spec"]
    cls = registry.get("method", spec["method"], plugins).load()
    method = cls(**resolve(cls, [spec["params"]], spec["method"]))
    if record["training"].get("unsaved"):
        raise UserError(f"The run {record['run_id']} kept no model: {record['training']['unsaved']}.")
    return read_model(folder / MODEL_FILE, method)


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
