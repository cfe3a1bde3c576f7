"""Analytic 3-D brain phantoms with grey-matter contrast: cortex bright, white matter dim, fluid dark.

Template coordinates, brain about [-0.85, 0.85]: x from left to right, y from back to front, z upwards; a
volume is stored (z, y, x). Age and symptoms shape the template; a random affine map and a smooth random
deformation come after, so that fixed voxels do not tell the symptoms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from cabench.datasets._synthetic.wear import exchanged
from cabench.seeds import numpy_stream

SIDE = 32
VOXEL = 2 / SIDE
AGES = (18.0, 70.0)  # years
SANS, SAPS = (10.0, 100.0), (10.0, 80.0)  # total scores of a patient
SITES = ("A", "B", "C")
_CHUNK = 24


@dataclass(frozen=True)
class Subjects:
    """What is known of n subjects; arrays of shape (n,).

    Attributes:
        y: 1 = schizophrenia.
        sans, saps: total scores of negative and positive symptoms; 0 on healthy subjects.
        age: years.
        sex: 0 = female, 1 = male.
        site: index into `SITES`.

    """

    y: np.ndarray
    sans: np.ndarray
    saps: np.ndarray
    age: np.ndarray
    sex: np.ndarray
    site: np.ndarray

    def __len__(self) -> int:
        """Return the number of subjects."""
        return len(self.y)

    def __getitem__(self, rows: slice) -> Subjects:
        """Return the subjects of the given rows."""
        return Subjects(*(getattr(self, field.name)[rows] for field in fields(self)))

    def wearing(self, wear: np.ndarray | None) -> Subjects:
        """Return the subjects with the diagnoses and scores that `wear` (see `Dataset.synthetic`) gives them."""
        return replace(self, **{name: exchanged(getattr(self, name), wear, 0) for name in ("y", "sans", "saps")})


def draw_subjects(n: int, rng: np.random.Generator) -> Subjects:
    """Draw n subjects, half of them patients; every other variable is drawn independently."""
    y = rng.permutation(np.arange(n) % 2)
    return Subjects(
        y=y,
        sans=y * rng.uniform(*SANS, n),
        saps=y * rng.uniform(*SAPS, n),
        age=rng.uniform(*AGES, n),
        sex=rng.integers(0, 2, n),
        site=rng.integers(0, len(SITES), n),
    )


def render(subjects: Subjects, seed: int) -> np.ndarray:
    """Return the volumes, uint8 (n, 1, 32, 32, 32); nuisance is drawn from `seed` alone."""
    x = np.empty((len(subjects), 1, SIDE, SIDE, SIDE), np.uint8)
    for start in range(0, len(subjects), _CHUNK):
        rows = slice(start, start + _CHUNK)
        rng = numpy_stream(seed, "nuisance", start)
        part = subjects[rows]
        tissue = _anatomy(part, *_template_coordinates(part, rng), rng)
        x[rows, 0] = _acquire(tissue, part, rng)
    return x


def _uniform(rng: np.random.Generator, n: int, low: float, high: float) -> np.ndarray:
    """Return float32 (n, 1, 1, 1); a full chunk is drawn, so that a row's draw does not depend on n."""
    return rng.uniform(low, high, (_CHUNK, 1, 1, 1)).astype(np.float32)[:n]


def _column(values: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Return values scaled from [low, high] to [0, 1] as float32 (n, 1, 1, 1)."""
    return ((values - low) / (high - low)).astype(np.float32).reshape(-1, 1, 1, 1)


def _ramp(distance: np.ndarray, width: float = 1.2 * VOXEL) -> np.ndarray:
    """Return 0 outside, 1 inside and a linear edge of `width` where the distance passes 0."""
    return np.asarray(np.clip(distance * np.float32(1 / width) + np.float32(0.5), 0, 1))


def _blob(
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    at: Sequence[Any],
    radii: Sequence[float],
    size: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Return a soft ellipsoid in [0, 1] with centre `at` and half-axes `radii`, both times `size`."""
    square = np.square((x - at[0]) * np.float32(1 / radii[0]))
    square += np.square((y - at[1]) * np.float32(1 / radii[1]))
    square += np.square((z - at[2]) * np.float32(1 / radii[2]))
    return _ramp((size - np.sqrt(square)) * np.float32(min(radii)))


def _template_coordinates(
    subjects: Subjects, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return template x, y, z, each (n, 32, 32, 32), at the voxels of each subject's scan."""
    n = len(subjects)
    male = _column(subjects.sex)
    axis = ((np.arange(SIDE, dtype=np.float32) + 0.5) * VOXEL - 1)[None]
    scan = axis[:, None, None, :], axis[:, None, :, None], axis[:, :, None, None]
    # A man's head is a little larger and longer; both overlap between the sexes.
    grow = _uniform(rng, n, 0.92, 1.06) + 0.04 * male
    stretch = (1.01 - 0.03 * male, 0.98 + 0.04 * male, 1.0)
    turns = [_uniform(rng, n, -0.18, 0.18)[:, 0, 0, 0] for _ in range(3)]
    rotation = _rotations(*turns)
    shift = [_uniform(rng, n, -0.12, 0.12) for _ in range(3)]
    centred = [scan[k] - shift[k] for k in range(3)]
    out = []
    for k in range(3):
        row = rotation[:, k, :, None, None, None]
        line = row[:, 0] * centred[0] + (row[:, 1] * centred[1] + row[:, 2] * centred[2])
        for other in range(3):
            if other != k:
                wave = _uniform(rng, n, 2.0, 4.0) * scan[other] + _uniform(rng, n, 0, 6.28)
                line += _uniform(rng, n, -0.04, 0.04) * np.sin(wave)
        out.append(line / (grow * stretch[k] * _uniform(rng, n, 0.95, 1.05)))
    return out[0], out[1], out[2]


def _rotations(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return rotation matrices (n, 3, 3) for angles (n,) in radians about x, y and z."""
    one, nil = np.ones_like(a), np.zeros_like(a)

    def stack(*rows: tuple[np.ndarray, ...]) -> np.ndarray:
        return np.stack([np.stack(row, -1) for row in rows], -2)

    about_x = stack((one, nil, nil), (nil, np.cos(a), -np.sin(a)), (nil, np.sin(a), np.cos(a)))
    about_y = stack((np.cos(b), nil, np.sin(b)), (nil, one, nil), (-np.sin(b), nil, np.cos(b)))
    about_z = stack((np.cos(c), -np.sin(c), nil), (np.sin(c), np.cos(c), nil), (nil, nil, one))
    return np.asarray(about_x @ about_y @ about_z)


def _folds(x: np.ndarray, y: np.ndarray, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an individual folding pattern in [-1, 1], (n, 32, 32, 32), five voxels from crest to crest."""
    n = len(x)
    phase = [_uniform(rng, n, 0, 6.28) for _ in range(4)]
    wave = np.sin(15 * x + 7 * z + phase[0] + 1.5 * np.sin(6 * y + phase[1]))
    wave *= np.sin(15 * y + 6 * z + phase[2])
    return np.asarray(wave + np.float32(0.5) * np.sin(16 * z - 8 * y + phase[3]))


def _cerebrum_depth(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return depth below the brain's surface and signed height over the Sylvian fissure, (n, 32, 32, 32).

    `x` is the distance from the midplane. The depth falls to 0 at the outer surface, at the base, in the
    fissure between the hemispheres and in the Sylvian fissures.
    """
    squares = np.square(x * np.float32(1 / 0.70)) + np.square(y * np.float32(1 / 0.83))
    squares += np.square((z - 0.02) * np.float32(1 / 0.72))
    depth = np.float32(0.72) * (1 - np.sqrt(squares))
    lobe = np.exp(-7 * np.square(y - 0.08)) * _ramp(x - 0.22, 0.25)
    floor = -0.28 - 0.26 * lobe + 0.14 * np.clip((y - 0.3) * 3, 0, 1)
    np.minimum(depth, z - floor, out=depth)
    callosum = 0.24 - 0.85 * np.square(y)  # no fissure below this arch
    np.minimum(depth, x - 0.015 + 1.5 * np.maximum(callosum - z, 0), out=depth)
    over = z + 0.12 + 0.22 * (y - 0.15)
    sylvian = np.abs(over) - 0.02 + 1.2 * np.maximum(0.42 - x, 0) + 0.9 * np.maximum(-0.35 - y, 0)
    np.minimum(depth, sylvian, out=depth)
    return depth, over


def _anatomy(
    subjects: Subjects, x: np.ndarray, y: np.ndarray, z: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of brain and, within it, of grey matter, each (n, 32, 32, 32) in [0, 1]."""
    n = len(subjects)
    old = _column(subjects.age, *AGES)
    negative, positive = _column(subjects.sans, 0, SANS[1]), _column(subjects.saps, 0, SAPS[1])
    male = _column(subjects.sex)
    ax = np.abs(x)
    folds = _folds(x, y, z, rng)
    depth, over = _cerebrum_depth(ax, y, z)

    frontal = np.clip((y - 0.10) * 4, 0, 1) * np.clip(over * 8 + 1, 0, 1)
    temporal = np.clip(0.5 - 10 * over, 0, 1) * np.clip((ax - 0.2) * 6, 0, 1)
    ribbon = _uniform(rng, n, 0.18, 0.19) * (1 - 0.50 * old)
    ribbon = ribbon * (1 - 0.55 * negative * frontal) * (1 - 0.75 * positive * temporal)
    depth -= (0.03 + 0.09 * old) * np.maximum(folds, 0)
    brain = _ramp(depth)
    grey = _ramp(ribbon + 0.02 * folds - depth)

    swell = 0.050 + 0.026 * old + 0.085 * negative + _uniform(rng, n, -0.012, 0.012)
    bow = np.square(y + 0.05)
    reach = np.sqrt(np.maximum(1 - bow * np.float32(1 / 0.20), 0))
    across = ax - (0.05 + 0.6 * swell) - 0.5 * bow
    horn = np.square(across) + np.square(0.62 * (z - 0.13 + 0.7 * bow))
    ventricle = _ramp(swell * reach - np.sqrt(horn)) * (reach > 0)

    push = 0.9 * swell
    caudate = _blob(ax, y, z, (0.10 + push, 0.24, 0.06), (0.07, 0.16, 0.12))
    putamen = _blob(ax, y, z, (0.22 + push, 0.08, -0.02), (0.07, 0.20, 0.13))
    thalamus = _blob(ax, y, z, (0.12, -0.14, -0.03), (0.11, 0.14, 0.10))
    nuclei = np.maximum(np.maximum(caudate, putamen), thalamus)
    hippocampus = _blob(ax, y, z, (0.27, -0.14, -0.30), (0.10, 0.20, 0.09), 1.15 - 0.65 * positive)
    grey = np.maximum(grey, np.maximum(0.8 * nuclei, hippocampus))
    brain *= 1 - ventricle

    size = 1.02 + 0.10 * male + _uniform(rng, n, -0.05, 0.05)
    lobule = _blob(ax, y, z, (0.20, -0.46, -0.53), (0.30, 0.30, 0.23), size)
    stem = _blob(ax, y, z, (0.0, -0.14, -0.50), (0.12, 0.12, 0.34))
    folia = 0.72 + 0.28 * np.sin(30 * (z + 0.4 * y))
    grey = np.where(stem > brain, np.float32(0.15), grey)
    grey = np.where(lobule > brain, folia * lobule, grey)
    return np.maximum(np.maximum(brain, lobule), stem), grey


def _blur(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the volumes smoothed by (w, 1 - 2w, w) along each axis, with w (n, 1, 1, 1)."""
    for axis in (1, 2, 3):
        side = np.roll(image, 1, axis) + np.roll(image, -1, axis)
        image = image + weight * (side - 2 * image)
    return image


def _acquire(tissue: tuple[np.ndarray, np.ndarray], subjects: Subjects, rng: np.random.Generator) -> np.ndarray:
    """Return uint8 (n, 32, 32, 32): the site's white-matter level, bias field, smoothness and noise."""
    brain, grey = tissue
    n, site = len(subjects), subjects.site
    white = _column(np.array([0.28, 0.40, 0.52])[site]) + _uniform(rng, n, -0.03, 0.03)
    image = brain * (white + (1 - white) * grey)
    axis = np.linspace(-1, 1, SIDE, dtype=np.float32)[None]
    slope = [_column(np.array(values)[site]) for values in ((0.1, 0.0, -0.1), (-0.10, 0.14, -0.04))]
    slope = [value + _uniform(rng, n, -0.16, 0.16) for value in slope]
    bias = 1 + slope[0] * axis[:, None, :, None] + slope[1] * axis[:, :, None, None]
    bias = bias + _uniform(rng, n, -0.08, 0.08) * axis[:, None, None, :]
    weight = _column(np.array([0.06, 0.16, 0.11])[site]) + _uniform(rng, n, -0.02, 0.02)
    image = _blur(image * bias, weight) * _uniform(rng, n, 0.72, 0.92)
    noise = _column(np.array([0.025, 0.015, 0.04])[site])
    image += noise * rng.standard_normal((_CHUNK, *image.shape[1:]), np.float32)[:n]
    return np.asarray((255 * np.clip(image, 0, 1)).round().astype(np.uint8))
