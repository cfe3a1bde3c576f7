"""Separate seeded streams: changing how one part draws never changes what another part draws."""

from __future__ import annotations

import hashlib

import numpy as np


def stream_seed(seed: int, *names: object) -> int:
    """Derive a 63-bit seed for the stream called `names` (e.g. "init", "sampler") from a run's seed."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_stream(seed: int, *names: object) -> np.random.Generator:
    """Return a numpy generator for one stream."""
    return np.random.default_rng(stream_seed(seed, *names))
