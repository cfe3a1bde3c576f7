"""Codes, labels and predictions of a run on disk, so that it can be measured and compared without training."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from cabench.codes import SPACES, Codes, Factor
from cabench.errors import UserError
from cabench.metrics.evidence import PARTS, PREDICTED, Evidence, Part, Row
from cabench.store import write_bytes

# In a run's folder.
CODES_FILE = "codes.safetensors"
PREDICTIONS_FILE = "predictions.safetensors"
FACTORS = "factors"


def write_codes(path: Path, evidence: Evidence) -> None:
    """Write codes (float32), groups and labels of the three splits, whole or not at all.

    Raises:
        UserError: the folder is read-only or full.
    """
    from safetensors.numpy import save

    arrays: dict[str, np.ndarray] = {}
    for name, part in zip(PARTS, evidence.parts, strict=True):
        arrays |= {f"{name}/code/{space}": part.codes[space].astype(np.float32) for space in SPACES}
        arrays |= {f"{name}/label/{factor.name}": part.labels[factor.name] for factor in evidence.factors}
        arrays |= {f"{name}/y": part.y, f"{name}/groups": part.groups}
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_bytes(path, save(whole, {FACTORS: json.dumps([asdict(factor) for factor in evidence.factors])}))


def read_codes(path: Path) -> Evidence:
    """Return what `write_codes` kept: evidence without ceilings, cost and swaps.

    Raises:
        UserError: the file is missing or damaged.
    """
    (factors, train), (_, validation), (_, test) = (read_part(path, name) for name in PARTS)
    return Evidence(factors, train, validation, test)


def read_part(path: Path, name: str) -> tuple[tuple[Factor, ...], Part]:
    """Return the factors and one of the three splits that `write_codes` kept.

    Raises:
        UserError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            factors = tuple(map(Factor.stored, json.loads(file.metadata()[FACTORS])))
            codes = Codes(*(file.get_tensor(f"{name}/code/{space}") for space in SPACES))
            labels = {factor.name: file.get_tensor(f"{name}/label/{factor.name}") for factor in factors}
            return factors, Part(codes, file.get_tensor(f"{name}/y"), labels, file.get_tensor(f"{name}/groups"))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} holds no codes ({type(error).__name__}: {error}); remove {path.parent} and run its cell again."
        ) from error


def kept(rows: list[Row], folder: Path) -> list[Row]:
    """Move what rows predict for test images into a file, by "family/factor/space"; returns the rows.

    The file keeps what other families have put there.

    Raises:
        UserError: the folder is read-only or full.
        ValueError: a value is not a finite number.
    """
    from safetensors.numpy import save

    for row in rows:
        if not np.isfinite(row["value"]):
            raise ValueError(f"{row['name']} of {row['factor']} is not a finite number")
    predicted = {
        f"{row['family']}/{row['factor']}/{row['space']}": row.pop(PREDICTED) for row in rows if PREDICTED in row
    }
    if predicted:
        path = folder / PREDICTIONS_FILE
        write_bytes(path, save((read_predictions(folder) if path.exists() else {}) | predicted))
    return rows


def read_predictions(folder: Path) -> dict[str, np.ndarray]:
    """Return what rows predict for the test images of a run, by "family/factor/space".

    Raises:
        UserError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / PREDICTIONS_FILE
    try:
        arrays: dict[str, np.ndarray] = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} holds no predictions ({error}); remove {folder} and run its cell again."
        ) from error
    return arrays
