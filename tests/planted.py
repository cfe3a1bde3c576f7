"""Codes whose content is known: what every metric is tried on."""

from __future__ import annotations

import numpy as np

from cabench.codes import TARGET, Codes, Factor
from cabench.metrics.evidence import Evidence, Part

FACTORS = (
    Factor("shape", "common", "all", ("disc", "box", "bar")),
    Factor("size", "common", "all"),
    Factor("digit", "salient", "target", ("0", "1", "2", "3"), main=True),
    TARGET,
)
SIZES = {"train": 900, "validation": 400, "test": 600}
CEILINGS = {("shape", "balanced_accuracy"): 1.0, ("size", "r2"): 1.0, ("digit", "balanced_accuracy"): 1.0,
            ("target", "balanced_accuracy"): 1.0}  # fmt: skip
KINDS = ("oracle", "constant", "copied")


def planted(kind: str, seed: int = 0, noise: float = 0.05) -> Evidence:
    """Return the evidence of an oracle, a constant code, or an oracle with both contents in both codes."""
    rng = np.random.default_rng(seed)
    parts = {name: part(kind, n, rng, noise) for name, n in SIZES.items()}
    return Evidence(FACTORS, **parts, ceilings=CEILINGS)


def part(kind: str, n: int, rng: np.random.Generator, noise: float) -> Part:
    """Return one split; its rows are people of two images each."""
    y, shape, digit = rng.integers(0, 2, n), rng.integers(0, 3, n), rng.integers(0, 4, n)
    size = rng.normal(50, 10, n)
    c = np.column_stack([np.eye(3)[shape], (size - 50) / 10])
    s = np.column_stack([np.eye(4)[digit], np.ones(n)]) * y[:, None]
    c, s = (code + noise * rng.normal(size=code.shape) * (code != 0) for code in (c, s))
    codes = {
        "oracle": (c, s),
        "constant": (np.zeros((n, 4)), np.zeros((n, 5))),
        "copied": (np.hstack([c, s]), np.hstack([s, c])),
    }[kind]
    labels = {
        "shape": shape.astype(float),
        "size": size,
        "digit": np.where(y == 1, digit, np.nan),
        "target": y * 1.0,
    }
    return Part(Codes(*(code.astype(np.float32) for code in codes)), y, labels, np.arange(n) // 2)
