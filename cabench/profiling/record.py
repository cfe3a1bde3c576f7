"""A profile on disk: where it was measured, and its rows; whole at any moment."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from cabench import provenance
from cabench.profiling.bench import Row
from cabench.profiling.roofline import Peaks, known_peaks
from cabench.profiling.suite import Suite
from cabench.store import write_text

SCHEMA_VERSION = 1
PACKAGES = ("triton", "pykeops")  # besides those of every record


def device_name(device: str) -> str:
    """Return what the maker calls "cpu" or "cuda"."""
    return torch.cuda.get_device_name() if device == "cuda" else str(provenance.static()["cpu"])


def table_peaks(device: str) -> Peaks | None:
    """Return the peaks of "cpu" or "cuda" that are known without measuring."""
    return known_peaks(device_name(device)) if device == "cuda" else None


def environment(suite: Suite, peaks: Peaks | None) -> dict[str, Any]:
    """Return what the figures of a suite depend on besides its cases."""
    facts = provenance.static()
    return {
        **facts,
        "packages": facts["packages"] | {name: provenance.version(name) for name in PACKAGES},
        "device": suite.device,
        "device_name": device_name(suite.device),
        "cuda": torch.version.cuda if suite.device == "cuda" else None,
        "threads": 1 if suite.device == "cpu" else torch.get_num_threads(),
        "dim": suite.dim,
        "peaks": None if peaks is None else asdict(peaks),
    }


def write_json(path: Path, facts: dict[str, Any], rows: list[Row], finished: bool) -> None:
    """Replace a profile by one with these rows.

    Raises:
        UserError: it cannot be written.
    """
    profile = {"schema_version": SCHEMA_VERSION, "environment": facts, "finished": finished, "rows": rows}
    write_text(path, json.dumps(profile, indent=1, allow_nan=False) + "\n")


def write_csv(path: Path, rows: list[Row]) -> None:
    """Write a line per row.

    Raises:
        UserError: it cannot be written.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())
