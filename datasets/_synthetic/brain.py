"""A real brain, deformed: the MNI152 grey- and white-matter templates of nilearn, worn by synthetic subjects.

Template coordinates: the brain lies in about [-0.85, 0.85], x from left to right, y from back to front, z upwards;
one unit is `MM` millimetres, and the origin lies at `ORIGIN` in MNI space. A volume is stored (z, y, x). Age, sex,
symptoms and folds act in template space; a random affine map and a smooth random deformation come after, so that
fixed voxels do not tell the symptoms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np

from cabench.datasets._synthetic.wear import exchanged
from cabench.seeds import numpy_stream

SIDE = 32
VOXEL = 2 / SIDE
MM, ORIGIN = 100.0, (0.0, -16.0, 6.0)
AGES = (18.0, 70.0)  # years
SANS, SAPS = (10.0, 100.0), (10.0, 80.0)  # total scores of a patient
SITES = ("A", "B", "C")
_CHUNK = 24
_ATLAS_SIDE = 64  # of the sampled template
_HULL = np.array([0.89, 1.05, 0.96], np.float32)  # half-axes of an ellipsoid around the brain; all else is black
# How far the walls of the ventricles move at the oldest age and the highest score, and at most in a healthy youth,
# in mm; what share of the surface's grey matter is lost.
_WIDER = {"age": 3.0, "sans": 10.0, "own": 2.0}
_THINNER = {"age": 0.80, "sans": 0.70, "saps": 0.90}
_REACH = 22.0  # mm from the ventricles at which tissue gives way by exp(-1) of that
_EDGE = 6.0  # mm over which a moved wall is blurred
_CEREBELLUM, _CEREBELLUM_RADIUS = (22.0, -62.0, -34.0), 30.0  # mm in MNI space, on the right
_CEREBELLUM_GROWTH = {"sex": 0.16, "own": 0.07}  # of its width, between the sexes and within each
_BEND, _FOLDS, _THICKNESS = 0.06, 0.025, 0.15  # of the random fields: displacements, and the share of grey matter


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
        tissue = _anatomy(part, _template_coordinates(part, rng), rng)
        x[rows, 0] = _acquire(tissue, part, rng)
    return x


def _uniform(rng: np.random.Generator, n: int, low: float, high: float) -> np.ndarray:
    """Return float32 (n, 1, 1, 1); a full chunk is drawn, so that a row's draw does not depend on n."""
    return rng.uniform(low, high, (_CHUNK, 1, 1, 1)).astype(np.float32)[:n]


def _column(values: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Return values scaled from [low, high] to [0, 1] as float32 (n, 1, 1, 1)."""
    return ((values - low) / (high - low)).astype(np.float32).reshape(-1, 1, 1, 1)


def _smooth_field(rng: np.random.Generator, n: int, knots: int, channels: int) -> np.ndarray:
    """Return a smooth random field, float32 (n, channels, 32, 32, 32): cubic B-splines on `knots` per axis.

    The weights of the splines are uniform on [-1, 1].
    """
    field = rng.uniform(-1, 1, (_CHUNK, channels, knots, knots, knots)).astype(np.float32)[:n]
    splines = _splines(knots)
    for _ in range(3):
        field = np.moveaxis(field @ splines, -1, 2)  # the axes of space take turns
    return np.ascontiguousarray(field)


@cache
def _splines(knots: int) -> np.ndarray:
    """Return the cubic B-splines at the voxels, float32 (knots, 32)."""
    away = np.abs(np.linspace(1, knots - 2, SIDE) - np.arange(knots)[:, None])
    near = 2 / 3 - away**2 + away**3 / 2
    far = np.maximum(2 - away, 0) ** 3 / 6
    return np.where(away < 1, near, far).astype(np.float32)


def _template_coordinates(subjects: Subjects, rng: np.random.Generator) -> list[np.ndarray]:
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
    bend = _BEND * _smooth_field(rng, n, 6, 3)
    out = []
    for k in range(3):
        row = rotation[:, k, :, None, None, None]
        line = row[:, 0] * centred[0] + (row[:, 1] * centred[1] + row[:, 2] * centred[2]) + bend[:, k]
        out.append(line / (grow * stretch[k] * _uniform(rng, n, 0.95, 1.05)))
    return out


def _rotations(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return rotation matrices (n, 3, 3) for angles (n,) in radians about x, y and z."""
    one, nil = np.ones_like(a), np.zeros_like(a)

    def stack(*rows: tuple[np.ndarray, ...]) -> np.ndarray:
        return np.stack([np.stack(row, -1) for row in rows], -2)

    about_x = stack((one, nil, nil), (nil, np.cos(a), -np.sin(a)), (nil, np.sin(a), np.cos(a)))
    about_y = stack((np.cos(b), nil, np.sin(b)), (nil, one, nil), (-np.sin(b), nil, np.cos(b)))
    about_z = stack((np.cos(c), -np.sin(c), nil), (np.sin(c), np.cos(c), nil), (nil, nil, one))
    return np.asarray(about_x @ about_y @ about_z)


@dataclass(frozen=True)
class Atlas:
    """What is sampled of the template, float32 (channels, z, y, x) over [-1, 1]^3.

    Attributes:
        tissue: shares of grey and of white matter, and the grey matter that can be lost: at the surface of the
            whole brain, at that of the frontal lobes, and at that of the temporal lobes with the hippocampus.
        ventricle: x, y, z from the nearest point of the lateral ventricles, in mm.

    """

    tissue: np.ndarray
    ventricle: np.ndarray


@cache
def atlas() -> Atlas:
    """Return the ICBM 152 nonlinear symmetric average of 2009, which nilearn carries; about 3 s once."""
    from nilearn.datasets import load_mni152_gm_template, load_mni152_wm_template
    from scipy import ndimage

    size = 2  # mm
    image = load_mni152_gm_template(resolution=size)
    grey = image.get_fdata(dtype=np.float32).clip(0, 1)
    white = load_mni152_wm_template(resolution=size).get_fdata(dtype=np.float32).clip(0, 1)
    corner = image.affine[:3, 3]
    lines = [corner[k] + size * np.arange(grey.shape[k], dtype=np.float32) for k in range(3)]
    x, y, z = np.meshgrid(*lines, indexing="ij")
    x, fluid = np.abs(x), np.clip(1 - grey - white, 0, 1)
    ventricle = _ventricles(x, y, z, fluid)
    nearest = ndimage.distance_transform_edt(~ventricle, return_distances=False, return_indices=True)
    away = (np.indices(grey.shape) - nearest).astype(np.float32) * size

    outside = ndimage.gaussian_filter(fluid * ~ndimage.binary_dilation(ventricle, iterations=2), 1.0)
    surface = grey * np.clip(2.5 * outside, 0, 1)
    frontal, temporal, hippocampus = _regions(x, y, z)
    lost = np.maximum(surface * temporal, grey * hippocampus)

    grid = (np.arange(_ATLAS_SIDE) + 0.5) * 2 / _ATLAS_SIDE - 1
    places = np.meshgrid(*[(MM * grid + ORIGIN[k] - corner[k]) / size for k in range(3)], indexing="ij")

    def sampled(volume: np.ndarray, mode: str) -> np.ndarray:
        soft = ndimage.gaussian_filter(volume, 1.0)
        fine = ndimage.map_coordinates(soft, places, np.float32, order=1, mode=mode)
        return np.ascontiguousarray(fine.transpose(2, 1, 0))

    tissue = [sampled(share, "constant") for share in (grey, white, surface, surface * frontal, lost)]
    return Atlas(np.stack(tissue), np.stack([sampled(component, "nearest") for component in away]))


def _ventricles(x: np.ndarray, y: np.ndarray, z: np.ndarray, fluid: np.ndarray) -> np.ndarray:
    """Return where the lateral ventricles are: the largest space of fluid in a box in the middle.

    `x` is the distance from the midplane, and all are in mm of MNI space.
    """
    from scipy import ndimage

    box = (x < 26) & (y > -46) & (y < 36) & (z > -2) & (z < 28)
    spaces, _ = ndimage.label(box & (fluid > 0.5))
    return np.asarray(spaces == np.bincount(spaces[spaces > 0]).argmax())


def _regions(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return soft masks of the frontal lobes, the temporal lobes and the hippocampi; arguments as before."""

    def above(mm: np.ndarray, width: float) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(-mm / np.float32(width))))

    sylvian = -12 + 0.58 * (20 - y)  # the fissure rises to the back
    temporal = above(sylvian - z, 4) * above(x - 20, 4) * above(y + 58, 5) * above(24 - y, 3)
    temporal = temporal * (1 - above(-38 - y, 4) * above(-20 - z, 4))  # without the cerebellum
    frontal = above(y - 8, 5) * (1 - temporal)
    along = -22 + 1.4 * (-14 - z)  # and so does the hippocampus
    hippocampus = np.exp(-np.square((x - 27) / 9) - np.square((y - along) / 12) - np.square((z + 14) / 12))
    return frontal, temporal, np.clip(1.3 * hippocampus, 0, 1)


def _sampled(volume: np.ndarray, at: Sequence[np.ndarray], where: np.ndarray) -> np.ndarray:
    """Return (channels, n, 32, 32, 32): `volume` (channels, z, y, x) at `at` where asked, and 0 elsewhere."""
    import torch
    import torch.nn.functional as F

    places = torch.from_numpy(np.stack([axis[where] for axis in at], -1))[None, None, None]
    values = F.grid_sample(torch.from_numpy(volume)[None], places, padding_mode="border", align_corners=False)
    out = np.zeros((len(volume), *where.shape), np.float32)
    out[:, where] = values.numpy()[0, :, 0, 0]
    return out


def _anatomy(subjects: Subjects, at: list[np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of grey and of white matter, each (n, 32, 32, 32) in [0, 1]."""
    n = len(subjects)
    old = _column(subjects.age, *AGES)
    negative, positive = _column(subjects.sans, 0, SANS[1]), _column(subjects.saps, 0, SAPS[1])
    folds = _FOLDS * _smooth_field(rng, n, 16, 3)
    at = [at[k] + folds[:, k] for k in range(3)]
    growth = _CEREBELLUM_GROWTH["sex"] * (_column(subjects.sex) - 0.5)
    growth = growth + _uniform(rng, n, -_CEREBELLUM_GROWTH["own"], _CEREBELLUM_GROWTH["own"])
    at = _with_cerebellum(at, growth)
    where = np.square(at[0] / _HULL[0]) + np.square(at[1] / _HULL[1]) + np.square(at[2] / _HULL[2]) < 1
    wider = _WIDER["age"] * old + _WIDER["sans"] * negative + _uniform(rng, n, 0, _WIDER["own"])
    at, solid = _with_ventricles(at, wider, where)

    grey, white, surface, frontal, temporal = _sampled(atlas().tissue, at, where)
    lost = _THINNER["age"] * old * surface + _THINNER["sans"] * negative * frontal
    lost += _THINNER["saps"] * positive * temporal
    thick = 1 + np.float32(_THICKNESS) * _smooth_field(rng, n, 8, 1)[:, 0]
    grey = np.clip((grey - lost) * thick, 0, 1)
    return grey * solid, np.minimum(white, 1 - grey) * solid


def _with_cerebellum(at: list[np.ndarray], growth: np.ndarray) -> list[np.ndarray]:
    """Return template coordinates at which both halves of the cerebellum are larger by `growth` (n, 1, 1, 1)."""
    centre = [(_CEREBELLUM[k] - ORIGIN[k]) / MM for k in range(3)]
    off = [np.abs(at[0]) - centre[0], at[1] - centre[1], at[2] - centre[2]]
    square = np.square(off[0]) + np.square(off[1]) + np.square(off[2])
    growth = growth * np.exp(square * np.float32(-((MM / _CEREBELLUM_RADIUS) ** 2)))
    return [at[0] - growth * off[0] * np.sign(at[0]), at[1] - growth * off[1], at[2] - growth * off[2]]


def _with_ventricles(
    at: list[np.ndarray], wider: np.ndarray, where: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return coordinates pressed outwards by ventricles wider by mm (n, 1, 1, 1), and what is not fluid in them."""
    away = _sampled(atlas().ventricle, at, where)
    distance = np.sqrt(np.square(away[0]) + np.square(away[1]) + np.square(away[2])) + np.float32(1e-3)
    push = wider * np.exp(np.square(distance) * np.float32(-1 / _REACH**2))
    moved = np.minimum(push / distance, 1) / np.float32(MM)
    solid = np.clip((distance - push) * np.float32(1 / _EDGE) + np.float32(0.5), 0, 1)
    return [at[k] - moved * away[k] for k in range(3)], solid


def _blur(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the volumes smoothed by (w, 1 - 2w, w) along each axis, with w (n, 1, 1, 1)."""
    for axis in (1, 2, 3):
        side = np.roll(image, 1, axis) + np.roll(image, -1, axis)
        image = image + weight * (side - 2 * image)
    return image


def _acquire(tissue: tuple[np.ndarray, np.ndarray], subjects: Subjects, rng: np.random.Generator) -> np.ndarray:
    """Return uint8 (n, 32, 32, 32): the site's white-matter level, bias field, smoothness and noise."""
    grey, white_matter = tissue
    n, site = len(subjects), subjects.site
    white = _column(np.array([0.16, 0.28, 0.40])[site]) + _uniform(rng, n, -0.03, 0.03)
    image = grey + white * white_matter
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
