"""Analytic frontal chest phantoms: white is dense, as on a radiograph.

Body coordinates: x to the image's right (the patient's left), y down, the torso about [-0.9, 0.9].
The size, place and turn of the body, the natural size of the heart, stray haze, wires and exposure vary
from image to image, so that no fixed linear read-out of the pixels sees the disease.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cabench.datasets._synthetic.wear import Exchange, Wardrobe, exchanged
from cabench.seeds import numpy_stream

SIDE = 64
SUBTYPES = ("cardiomegaly", "edema", "pleural effusion")
AGES = (20.0, 90.0)  # years
_CHUNK = 200


@dataclass(frozen=True)
class Patients:
    """What is known of n patients; arrays of shape (n,).

    Attributes:
        subtype: -1 = no finding, else an index into `SUBTYPES`.
        age: years.
        sex: 0 = female, 1 = male.

    """

    subtype: np.ndarray
    age: np.ndarray
    sex: np.ndarray

    def __len__(self) -> int:
        """Return the number of patients."""
        return len(self.age)

    def wearing(self, wear: np.ndarray | None) -> Patients:
        """Return the patients with the findings that `wear` (see `Dataset.synthetic`) gives them."""
        return replace(self, subtype=exchanged(self.subtype, wear, -1))


def draw_patients(n: int, rng: np.random.Generator) -> Patients:
    """Draw n patients, half of them without finding; age and sex do not depend on the finding."""
    sick = rng.permutation(np.arange(n) % 2) == 1
    return Patients(
        subtype=np.where(sick, rng.integers(0, len(SUBTYPES), n), -1),
        age=rng.uniform(*AGES, n),
        sex=rng.integers(0, 2, n),
    )


def render(patients: Patients, seed: int, wear: np.ndarray | None = None) -> np.ndarray:
    """Return the radiographs, uint8 (n, 1, 64, 64); nuisance is drawn from `seed` alone.

    A finding takes its extent and side along to another patient; see `Dataset.synthetic` for `wear`.
    """
    wardrobe = Wardrobe(wear)
    if wardrobe.lends:
        _paint(patients, seed, wardrobe.keep)
    return _paint(patients.wearing(wear), seed, wardrobe.lend)


def _paint(patients: Patients, seed: int, deal: Callable[[slice], Exchange]) -> np.ndarray:
    x = np.empty((len(patients), 1, SIDE, SIDE), np.uint8)
    for start in range(0, len(patients), _CHUNK):
        rows = slice(start, start + _CHUNK)
        part = Patients(patients.subtype[rows], patients.age[rows], patients.sex[rows])
        x[rows, 0] = _render_chunk(part, numpy_stream(seed, "nuisance", start), deal(rows))
    return x


class _Draw:
    """Per-image nuisance, float32 (n, 1, 1); a full chunk is drawn, so that no row's draw depends on n."""

    def __init__(self, n: int, rng: np.random.Generator, exchange: Exchange) -> None:
        self.n, self.rng, self.exchange = n, rng, exchange

    def uniform(self, low: float, high: float) -> np.ndarray:
        """Return values from [low, high)."""
        return self.rng.uniform(low, high, (_CHUNK, 1, 1)).astype(np.float32)[: self.n]

    def salient(self, low: float, high: float) -> np.ndarray:
        """Return values from [low, high) that belong to the finding, and go with it to another patient."""
        return self.exchange(self.uniform(low, high))

    def normal(self, scale: float) -> np.ndarray:
        """Return Gaussian values of standard deviation `scale`."""
        return (scale * self.rng.standard_normal((_CHUNK, 1, 1))).astype(np.float32)[: self.n]

    def chance(self, p: float) -> np.ndarray:
        """Return 1 with probability p, else 0."""
        return (self.uniform(0, 1) < p).astype(np.float32)


def _ramp(distance: np.ndarray, width: float = 0.05) -> np.ndarray:
    """Return 0 outside, 1 inside and a linear edge of `width` where the distance passes 0."""
    return np.asarray(np.clip(distance * np.float32(1 / width) + np.float32(0.5), 0, 1))


def _ellipse(x: np.ndarray, y: np.ndarray, width: np.ndarray | float, height: np.ndarray | float) -> np.ndarray:
    """Return a distance-like map that is positive inside the ellipse around the origin."""
    return np.asarray(np.minimum(width, height) * (1 - np.sqrt((x / width) ** 2 + (y / height) ** 2)))


def _body_coordinates(draw: _Draw) -> tuple[np.ndarray, np.ndarray]:
    """Return body x and y, each (n, 64, 64), under a random scale, turn and shift."""
    axis = ((np.arange(SIDE, dtype=np.float32) + 0.5) / (SIDE / 2) - 1)[None]
    u, v = axis[:, None, :] - draw.uniform(-0.16, 0.16), axis[:, :, None] - draw.uniform(-0.16, 0.16)
    turn, scale = draw.uniform(-0.13, 0.13), draw.uniform(0.74, 1.06)
    wide, tall = scale * draw.uniform(0.92, 1.08), scale * draw.uniform(0.92, 1.08)
    return (u * np.cos(turn) + v * np.sin(turn)) / wide, (v * np.cos(turn) - u * np.sin(turn)) / tall


def _diaphragm(x: np.ndarray, ax: np.ndarray, old: np.ndarray, draw: _Draw) -> np.ndarray:
    """Return the height y of the two domes; inflated old lungs push them down and flatten them."""
    level = 0.36 + 0.16 * old + draw.normal(0.04)
    lift = np.where(x < 0, draw.uniform(0.0, 0.09), np.float32(0))  # the liver lifts the right dome
    return np.asarray(level - lift + (2.3 - 1.1 * old) * np.square(ax - 0.36))


def _fluid(x: np.ndarray, y: np.ndarray, ax: np.ndarray, floor: np.ndarray, draw: _Draw) -> np.ndarray:
    """Return effusion (n, 64, 64) in [0, 1]: it fills one or both costophrenic angles with a meniscus."""
    which = draw.salient(0, 3)
    heights = [draw.salient(0.16, 0.32) for _ in range(2)]
    height = np.where(x < 0, heights[0] * (which < 2), heights[1] * (which > 1))
    surface = np.float32(0.62) - height - 0.9 * np.square(np.maximum(ax - 0.2, 0))
    return _ramp(y - np.minimum(surface, floor + 0.1)) * (height > 0)


def _edema(ax: np.ndarray, y: np.ndarray, texture: np.ndarray, draw: _Draw) -> np.ndarray:
    """Return bilateral perihilar haze (n, 64, 64): two bat's wings around the lung roots."""
    spread = draw.salient(0.15, 0.21)
    near = np.exp(-(np.square(ax - 0.27) + 0.6 * np.square(y + 0.05)) / (2 * spread * spread))
    return np.asarray(draw.salient(0.4, 0.75) * near * (1 + 0.45 * texture))


def _stray_haze(x: np.ndarray, y: np.ndarray, draw: _Draw) -> np.ndarray:
    """Return haze without meaning (n, 64, 64): two weak blobs anywhere, never a symmetric pair."""
    haze = np.zeros_like(x)
    for _ in range(2):
        cx, cy, spread = draw.uniform(-0.7, 0.7), draw.uniform(-0.6, 0.6), draw.uniform(0.12, 0.3)
        blob = np.exp(-(np.square(x - cx) + np.square(y - cy)) / (2 * spread * spread))
        haze += draw.uniform(0, 0.4) * draw.chance(0.7) * blob
    return haze


def _bones(x: np.ndarray, y: np.ndarray, ax: np.ndarray, old: np.ndarray, draw: _Draw) -> np.ndarray:
    """Return ribs, clavicles and spine (n, 64, 64); with age they fade and the spine bends."""
    density = 1.2 - 0.8 * old + draw.normal(0.06)
    pitch, phase = draw.uniform(0.19, 0.24), draw.uniform(0, 6.28)
    back = np.cos(6.2832 * (y + 0.55 * np.square(ax - 0.35) - 0.12 * ax) / pitch + phase)
    front = np.cos(6.2832 * (y - 0.75 * ax) / (1.25 * pitch) + 2 * phase)
    cage = _ramp(0.80 - ax, 0.1) * _ramp(y + 0.8, 0.1) * _ramp(0.75 - y, 0.2)
    ribs = cage * (0.19 * np.square(np.maximum(back, 0)) + 0.07 * np.maximum(front - 0.3, 0))
    collar = _ramp(0.035 - np.abs(y + 0.52 + 0.22 * ax + draw.uniform(-0.05, 0.05)), 0.04)
    collar *= _ramp(ax - 0.07) * _ramp(0.72 - ax)
    bend = (0.02 + 0.13 * old) * np.cos(2.2 * (y - 0.1)) - 0.04
    vertebrae = 0.75 + 0.25 * np.cos(6.2832 * y / 0.15 + phase)
    spine = _ramp(0.085 - np.abs(x + bend), 0.04) * vertebrae
    return np.asarray(density * (ribs + 0.22 * collar + 0.24 * spine))


def _breasts(ax: np.ndarray, y: np.ndarray, draw: _Draw) -> np.ndarray:
    """Return two breast shadows (n, 64, 64), faint above and sharp at their lower margin."""
    size, drop = draw.uniform(0.27, 0.36), draw.uniform(0.26, 0.38)
    disc = _ramp(_ellipse(ax - 0.46, y - drop, size, size * 0.9), 0.06)
    return np.asarray(draw.uniform(0.10, 0.17) * disc * np.clip(0.6 + (y - drop) / size, 0, 1))


def _wires(x: np.ndarray, y: np.ndarray, draw: _Draw) -> np.ndarray:
    """Return a monitor lead (n, 64, 64) on a third of the patients, sick or not."""
    path = draw.uniform(-0.5, 0.5) + draw.uniform(-0.5, 0.5) * y + 0.15 * np.sin(3 * y + draw.uniform(0, 6.28))
    return np.asarray(0.25 * draw.chance(0.33) * _ramp(0.018 - np.abs(x - path), 0.03))


def _render_chunk(patients: Patients, rng: np.random.Generator, exchange: Exchange) -> np.ndarray:
    """Return uint8 (n, 64, 64) for at most one chunk of patients."""
    n, draw = len(patients), _Draw(len(patients), rng, exchange)
    column = (n, 1, 1)
    old = ((patients.age - AGES[0]) / (AGES[1] - AGES[0])).astype(np.float32).reshape(column)
    male = patients.sex.astype(np.float32).reshape(column)
    large, wet, fluid = ((patients.subtype == k).astype(np.float32).reshape(column) for k in range(3))

    x, y = _body_coordinates(draw)
    ax = np.abs(x)
    texture = np.sin(17 * x + draw.uniform(0, 6.28)) * np.sin(19 * y + draw.uniform(0, 6.28))

    shoulders = np.minimum(0.87 + 0.03 * male, 0.24 + 2.4 * np.maximum(y + 0.98 - 0.03 * male, 0))
    body = _ramp(shoulders - 0.03 * (1 - male) * np.square(y - 0.1) - ax, 0.06)
    floor = _diaphragm(x, ax, old, draw)
    chest_wall = (0.68 + 0.04 * male) * (1 - np.square(np.maximum(0.02 - y, 0) / (0.82 + 0.04 * old)))
    lungs = _ramp(np.minimum(np.minimum(chest_wall - ax, ax - 0.12), floor - y))

    heart_width = draw.uniform(0.25, 0.34) * (1 + large * draw.salient(0.32, 0.55))
    tilt = x - 0.09 - 0.2 * (y - 0.2)
    heart = _ramp(_ellipse(tilt, y - 0.2, heart_width, draw.uniform(0.25, 0.31) * (1 + 0.12 * large)), 0.06)
    knob_size = 0.045 + 0.085 * old + draw.normal(0.006)
    knob = _ramp(_ellipse(x - 0.13, y + 0.34, knob_size, knob_size), 0.04)
    effusion = fluid * _fluid(x, y, ax, floor, draw)
    haze = wet * _edema(ax, y, texture, draw) + _stray_haze(x, y, draw)
    roots = 0.25 * np.exp(-(np.square(ax - 0.2) + np.square(y + 0.05)) / 0.012)

    air = lungs * (1 - heart) * (1 - knob) * (1 - effusion) * np.clip(1 - haze - roots, 0, 1)
    dense = 0.56 + 0.06 * heart + 0.08 * knob + _bones(x, y, ax, old, draw)
    dense += (1 - male) * _breasts(ax, y, draw) + _wires(x, y, draw)
    image = body * (dense - (0.42 + draw.normal(0.02)) * air)

    axis = np.linspace(-1, 1, SIDE, dtype=np.float32)
    slope = draw.uniform(-0.12, 0.12) * axis[None, None] + draw.uniform(-0.12, 0.12) * axis[None, :, None]
    image = np.clip(image, 0.01, None) ** np.exp(draw.normal(0.2))
    image = draw.uniform(0.75, 1.15) * image * (1 + slope) + draw.uniform(0.0, 0.12)
    image += draw.uniform(0.01, 0.04) * rng.standard_normal((_CHUNK, SIDE, SIDE), np.float32)[:n]
    return np.asarray((255 * np.clip(image, 0, 1)).round().astype(np.uint8))
