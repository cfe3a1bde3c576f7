"""Eye-fundus phantoms in colour, 64x64: a round field with optic disc, macula, vessels and lesions.

Retina coordinates have the field's radius as unit, y downwards, x towards the temple: the optic disc lies at
negative x, the fovea near the origin. In the picture of a left eye the temple is on the left. The field and
the gaze move, so that fixed pixels tell neither the eye nor the finding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from cabench.datasets._synthetic.wear import Exchange, Wardrobe, exchanged
from cabench.seeds import numpy_stream

SIDE = 64
PIXEL = 2 / SIDE
AGES = (20.0, 85.0)  # years
SUBTYPES = ("diabetes", "glaucoma", "cataract", "amd", "myopia")
EYES = ("left", "right")
_CHUNK = 100
_STEPS = 48  # samples along one vessel
_SPOTS = 14  # lesions of one kind
# Main vessels from the disc: first direction and bend in radians, length; two to the temple, two to the nose.
_ARCADES = ((1.25, -1.55, 1.55), (-1.25, 1.55, 1.55), (2.15, 0.55, 0.95), (-2.15, -0.55, 0.95))
# Branches: the main vessel, the share of its length at which they leave it, the angle in radians.
_BRANCHES = (
    (0, 0.30, 0.75),
    (0, 0.52, -0.80),
    (1, 0.30, -0.75),
    (1, 0.52, 0.80),
    (2, 0.40, -0.6),
    (3, 0.40, 0.6),
)


@dataclass(frozen=True)
class Eyes:
    """What is known of n eyes; arrays of shape (n,).

    Attributes:
        subtype: index into `SUBTYPES`, or -1 for a healthy eye.
        age: years.
        sex: 0 = female, 1 = male.
        eye: index into `EYES`.

    """

    subtype: np.ndarray
    age: np.ndarray
    sex: np.ndarray
    eye: np.ndarray

    def __len__(self) -> int:
        """Return the number of eyes."""
        return len(self.age)

    def __getitem__(self, rows: slice) -> Eyes:
        """Return the eyes of the given rows."""
        return Eyes(*(getattr(self, field.name)[rows] for field in fields(self)))

    def wearing(self, wear: np.ndarray | None) -> Eyes:
        """Return the eyes with the findings that `wear` (see `Dataset.synthetic`) gives them."""
        return replace(self, subtype=exchanged(self.subtype, wear, -1))


def draw_eyes(n: int, rng: np.random.Generator) -> Eyes:
    """Draw n eyes, half of them ill in equal parts; every other variable is drawn independently."""
    kinds = np.where(np.arange(n) % 2, np.arange(n) // 2 % len(SUBTYPES), -1)
    return Eyes(rng.permutation(kinds), rng.uniform(*AGES, n), rng.integers(0, 2, n), rng.integers(0, 2, n))


def render(eyes: Eyes, seed: int, wear: np.ndarray | None = None) -> np.ndarray:
    """Return the pictures, uint8 (n, 3, 64, 64) as RGB; nuisance is drawn from `seed` alone.

    A finding takes its extent and places along to another eye; see `Dataset.synthetic` for `wear`.
    """
    wardrobe = Wardrobe(wear)
    if wardrobe.lends:
        _paint(eyes, seed, wardrobe.keep)
    return _paint(eyes.wearing(wear), seed, wardrobe.lend)


def _paint(eyes: Eyes, seed: int, deal: Callable[[slice], Exchange]) -> np.ndarray:
    x = np.empty((len(eyes), 3, SIDE, SIDE), np.uint8)
    for start in range(0, len(eyes), _CHUNK):
        rows = slice(start, start + _CHUNK)
        x[rows] = _Photographs(eyes[rows], numpy_stream(seed, "nuisance", start), deal(rows)).picture()
    return x


def _ramp(distance: np.ndarray, width: float = 1.5 * PIXEL) -> np.ndarray:
    """Return 0 outside, 1 inside and a linear edge of `width` where the distance passes 0."""
    return np.asarray(np.clip(distance * np.float32(1 / width) + np.float32(0.5), 0, 1))


def _bump(square: np.ndarray) -> np.ndarray:
    """Return a soft blob (1 - square / 4)^2, cut off at 0, of a squared distance in standard deviations."""
    return np.asarray(np.square(np.maximum(1 - np.float32(0.25) * square, 0)))


class _Photographs:
    """The painting of one chunk; `image` is float32 (n, 3, 64, 64), masks are (n, 64, 64) in [0, 1]."""

    def __init__(self, eyes: Eyes, rng: np.random.Generator, exchange: Exchange) -> None:
        """Fix the camera and the anatomy; every draw is for a full chunk."""
        self.n, self.rng, self.eyes, self.exchange = len(eyes), rng, eyes, exchange
        self.old = ((eyes.age - AGES[0]) / (AGES[1] - AGES[0])).astype(np.float32).reshape(-1, 1, 1)
        self.male = eyes.sex.astype(np.float32).reshape(-1, 1, 1)
        self._camera()

    def _uniform(self, low: float, high: float, size: int = 1) -> np.ndarray:
        """Return float32 (n, size, 1); a full chunk is drawn, so that a row does not depend on n."""
        values = self.rng.uniform(low, high, (_CHUNK, size, 1))
        return np.asarray(values[: self.n].astype(np.float32))

    def _salient(self, low: float, high: float, size: int = 1) -> np.ndarray:
        """Return float32 (n, size, 1) that belong to the finding, and go with it to another eye."""
        return self.exchange(self._uniform(low, high, size))

    def _ill(self, name: str) -> np.ndarray:
        """Return float32 (n, 1, 1): 1 where the eye has the named sub-type."""
        ill = self.eyes.subtype == SUBTYPES.index(name)
        return np.asarray(ill.astype(np.float32).reshape(-1, 1, 1))

    def _camera(self) -> None:
        """Set field coordinates u, v, retina coordinates x, y and the place and size of the disc."""
        axis = (np.arange(SIDE, dtype=np.float32) + 0.5) * PIXEL - 1
        self.radius = self._uniform(0.72, 0.84)
        self.centre = [self.radius * self._uniform(-reach, reach) for reach in (0.4, 0.3)]
        self.u = (axis[None, None, :] - self.centre[0]) / self.radius
        self.v = (axis[None, :, None] - self.centre[1]) / self.radius
        self.far = np.square(self.u) + np.square(self.v)
        # Right eye: the disc is on the right, so the temple (positive x) is on the left.
        self.side = -np.where(self.eyes.eye == 1, 1, -1).astype(np.float32).reshape(-1, 1, 1)
        roll = self._uniform(-0.12, 0.12)
        self.roll = np.cos(roll), np.sin(roll)
        self.gaze = self._uniform(-0.26, 0.02), self._uniform(-0.12, 0.12)
        u = self.u * self.side
        self.x = self.roll[0] * u + self.roll[1] * self.v + self.gaze[0]
        self.y = self.roll[0] * self.v - self.roll[1] * u + self.gaze[1]
        # A man's disc lies higher above his fovea.
        self.disc = (
            -0.56 + self._uniform(-0.03, 0.03),
            0.02 - 0.20 * self.male + self._uniform(-0.06, 0.06),
        )

    def _to_canvas(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the column and row in pixels of retina coordinates (n, k, m)."""
        x, y = x - self.gaze[0], y - self.gaze[1]
        u = (self.roll[0] * x - self.roll[1] * y) * self.side
        v = self.roll[1] * x + self.roll[0] * y
        column = (u * self.radius + self.centre[0] + 1) / PIXEL - 0.5
        return column, (v * self.radius + self.centre[1] + 1) / PIXEL - 0.5

    def _blend(self, mask: np.ndarray, colour: tuple[float, float, float]) -> None:
        """Lay a colour over the image where the mask is."""
        for c in range(3):
            self.image[:, c] += mask * (np.float32(colour[c]) - self.image[:, c])

    def _multiply(self, mask: np.ndarray, gain: tuple[float, float, float]) -> None:
        """Multiply the channels by `gain` where the mask is 1."""
        for c in range(3):
            self.image[:, c] *= 1 + mask * np.float32(gain[c] - 1)

    def picture(self) -> np.ndarray:
        """Paint from the choroid to the camera and return uint8 (n, 3, 64, 64)."""
        self._choroid()
        self._macula()
        self._disc()
        self._vessels()
        self._lesions()
        self._sheen()
        return self._exposed()

    def _choroid(self) -> None:
        """Paint the orange-red ground; in myopia it is pale and striped by choroidal vessels."""
        myopia = self._ill("myopia")
        tone = self.rng.uniform(-1, 1, (_CHUNK, 3))[: self.n].astype(np.float32)
        base = np.array([0.74, 0.33, 0.15], np.float32) + tone * np.array([0.06, 0.05, 0.04], np.float32)
        self.image = np.broadcast_to(base[:, :, None, None], (self.n, 3, SIDE, SIDE)).copy()
        pale = myopia * self._salient(0.25, 0.75)
        wander = 1.6 * np.sin(3.1 * self.x + self._uniform(0, 6.3))
        wander = wander + 1.2 * np.sin(3.7 * self.y + self._uniform(0, 6.3))
        pitch = self._uniform(11, 15)
        stripes = np.sin(pitch * (self.y + 0.5 * self.x) + wander)
        stripes *= np.sin(0.8 * pitch * (self.x - 0.4 * self.y) - wander)
        faint = self._uniform(0, 0.25) + 0.10 * self.old
        depth = np.maximum(faint, myopia * self._salient(0.5, 1))
        self._blend(0.5 * pale, (0.86, 0.60, 0.40))
        self._multiply(np.clip(stripes, -0.4, 1) * depth, (0.85, 0.66, 0.60))

    def _macula(self) -> None:
        """Paint the dark macula; its pigment fades with age."""
        away = np.square(self.x) + np.square(self.y)
        spread = self._uniform(0.13, 0.17)
        spot = _bump(away / np.square(spread))
        self._multiply(spot * (0.95 - 0.55 * self.old + self._uniform(-0.1, 0.05)), (0.72, 0.52, 0.50))

    def _disc(self) -> None:
        """Paint the optic disc and its cup, large in glaucoma; a pale crescent lies beside it in myopia."""
        glaucoma, myopia = self._ill("glaucoma"), self._ill("myopia")
        dx, dy = self.x - self.disc[0], self.y - self.disc[1]
        size = self._uniform(0.175, 0.205)
        away = np.sqrt(np.square(dx) + np.square(dy * self._uniform(0.86, 0.96)))
        shift = self._salient(0.05, 0.12)
        moon = _ramp(size * self._salient(1.15, 1.45) - np.sqrt(np.square(dx - shift) + np.square(dy)))
        self._blend(0.85 * myopia * moon, (0.95, 0.83, 0.66))
        disc = _ramp(size - away, 2 * PIXEL)
        self._blend(0.88 * disc, (0.93, 0.66, 0.38))
        ratio = np.where(glaucoma > 0, self._salient(0.72, 0.88), self._uniform(0.22, 0.42))
        cup = _ramp(size * ratio - np.sqrt(np.square(dx - 0.01) + np.square(dy)), 2 * PIXEL)
        self._blend(0.9 * cup, (0.99, 0.92, 0.74))

    def _walk(
        self, x: np.ndarray, y: np.ndarray, angle: np.ndarray, bend: np.ndarray, length: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Return points x, y and headings, each (n, k, _STEPS), of vessels that start at x, y (n, k, 1)."""
        s = np.linspace(0, 1, _STEPS, dtype=np.float32)[None, None]
        k = angle.shape[1]
        twist = 0.10 + 0.75 * self.old + self._uniform(0, 0.15)
        waves = twist * np.sin(self._uniform(9, 15, k) * s * length + self._uniform(0, 6.3, k))
        heading = angle + bend * s + waves
        step = length / _STEPS
        return (
            x + np.cumsum(np.cos(heading), 2) * step,
            y - np.cumsum(np.sin(heading), 2) * step,
            angle + bend * s,
        )

    def _vessels(self) -> None:
        """Paint veins and thinner arteries; a man's arcades open wider, calibre shrinks with age."""
        parent = [branch[0] for branch in _BRANCHES]
        at = [int(branch[1] * _STEPS) for branch in _BRANCHES]
        turns = np.array([branch[2] for branch in _BRANCHES], np.float32)[None, :, None]
        s = np.linspace(0, 1, _STEPS, dtype=np.float32)[None, None]
        start, bend, length = (
            np.array(values, np.float32)[None, :, None] for values in zip(*_ARCADES, strict=True)
        )
        temporal = np.array([1, 1, 0, 0], np.float32)[None, :, None]
        sign = np.sign(start)
        for colour, calibre, turn in (((0.40, 0.07, 0.06), 1.0, 0.0), ((0.62, 0.16, 0.10), 0.72, 0.22)):
            open_ = 0.30 * (2 * self.male - 1) * temporal
            angle = start + sign * (turn - 0.1 + 0.6 * open_) + self._uniform(-0.14, 0.14, 4)
            curve = bend * (1 - 0.5 * open_) + self._uniform(-0.2, 0.2, 4)
            x, y, heading = self._walk(self.disc[0], self.disc[1], angle, curve, length)
            fork = turns * self._uniform(0.75, 1.25, len(_BRANCHES))
            bx, by, _ = self._walk(
                x[:, parent, at][..., None],
                y[:, parent, at][..., None],
                heading[:, parent, at][..., None] + fork,
                -0.8 * fork,
                self._uniform(0.5, 0.8, len(_BRANCHES)),
            )
            width = calibre * (1.50 - 0.85 * self.old + self._uniform(-0.1, 0.1))
            main = width * (1 - 0.6 * s) * np.ones_like(x)
            twig = 0.62 * width * (1 - 0.6 * s) * np.ones_like(bx)
            step = np.concatenate(
                [np.broadcast_to(length, (self.n, 4, 1)), np.full((self.n, len(_BRANCHES), 1), 0.65)], 1
            )
            weight = np.concatenate([main, twig], 1) * step / _STEPS * self.radius / PIXEL
            ink = self._splat(np.concatenate([x, bx], 1), np.concatenate([y, by], 1), weight)
            self._blend(1 - np.exp(-1.3 * ink), colour)

    def _splat(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return (n, 64, 64): the weights of points (n, k, m), shared among the four nearest pixels."""
        column, row = (np.clip(values, 0, SIDE - 1.001) for values in self._to_canvas(x, y))
        left, top = np.floor(column), np.floor(row)
        right, low = column - left, row - top
        index = (np.arange(self.n)[:, None, None] * SIDE + top.astype(np.int64)) * SIDE
        index += left.astype(np.int64)
        ink = np.zeros(self.n * SIDE * SIDE)
        shares = (
            (0, (1 - right) * (1 - low)),
            (1, right * (1 - low)),
            (SIDE, (1 - right) * low),
            (SIDE + 1, right * low),
        )
        for offset, share in shares:
            ink += np.bincount((index + offset).ravel(), (weight * share).ravel(), self.n * SIDE * SIDE)
        return np.asarray(ink.reshape(self.n, SIDE, SIDE).astype(np.float32))

    def _spots(self, name: str, reach: tuple[float, float], size: tuple[float, float], least: int) -> np.ndarray:
        """Return (n, 64, 64): round lesions of the sub-type `name`, at distances `reach` from the fovea."""
        angle, away = self._salient(0, 6.3, _SPOTS), self._salient(*reach, _SPOTS)
        x, y = away * np.cos(angle), away * np.sin(angle)
        radius = self._salient(*size, _SPOTS)
        number = self._salient(least, _SPOTS + 1)
        mask = np.zeros((self.n, SIDE, SIDE), np.float32)
        rows = np.flatnonzero(self._ill(name)[:, 0, 0])
        for k in range(_SPOTS):
            square = np.square(self.x[rows] - x[rows, k, None]) + np.square(self.y[rows] - y[rows, k, None])
            spot = _ramp(radius[rows, k, None] - np.sqrt(square), 2 * PIXEL) * (k < number[rows])
            mask[rows] = np.maximum(mask[rows], spot)
        return mask

    def _lesions(self) -> None:
        """Paint haemorrhages and exudates in diabetes, drusen at the macula in amd."""
        self._blend(0.80 * self._spots("diabetes", (0.25, 0.85), (0.035, 0.085), 8), (0.30, 0.04, 0.04))
        self._blend(0.85 * self._spots("diabetes", (0.15, 0.65), (0.025, 0.05), 6), (0.97, 0.88, 0.45))
        self._blend(0.80 * self._spots("amd", (0.0, 0.34), (0.035, 0.07), 10), (0.95, 0.80, 0.46))

    def _sheen(self) -> None:
        """Add the glossy reflexes of a young retina: around the macula and along the arcades."""
        away = np.sqrt(np.square(self.x) + np.square(self.y * 1.15))
        ring = _bump(np.square((away - self._uniform(0.26, 0.32)) * 18))
        band = _bump(np.square((away - self._uniform(0.50, 0.60)) * 12)) * (self.x > -0.45)
        gloss = np.clip(1.0 - 1.05 * self.old + self._uniform(-0.07, 0.07), 0, 1)
        wave = np.sin(5 * self.x + self._uniform(0, 6.3))
        patch = 0.6 + 0.4 * wave * np.sin(5 * self.y + self._uniform(0, 6.3))
        self._blend(gloss * patch * np.maximum(0.60 * ring, 0.48 * band), (0.92, 0.80, 0.62))

    def _exposed(self) -> np.ndarray:
        """Return uint8 (n, 3, 64, 64): cataract haze, vignette, tint, black surround and noise."""
        cataract = self._ill("cataract")
        blurred = self.image
        for _ in range(3):
            for axis in (2, 3):
                side = np.roll(blurred, 2, axis) + np.roll(blurred, -2, axis)
                blurred = blurred + np.float32(0.31) * (side - 2 * blurred)
        share = cataract * self._salient(0.35, 0.75)
        self.image += share[:, None] * (blurred - self.image)
        veil = cataract * self._salient(0.22, 0.42) * (1 - 0.25 * self.far)
        self._blend(np.clip(veil, 0, 1), (0.78, 0.62, 0.42))
        # The ageing lens lets less blue and green through.
        lens = np.array([0.0, 0.10, 0.26], np.float32)
        balance = 1 - self.old * lens[None, :, None] + self.rng.uniform(-0.05, 0.05, (_CHUNK, 3, 1))[: self.n]
        light = self._uniform(0.82, 1.12) * (1 - self._uniform(0.15, 0.4) * self.far)
        light = light + self._uniform(-0.12, 0.12) * self.u + self._uniform(-0.12, 0.12) * self.v
        field = _ramp((1 - np.sqrt(self.far)) * np.float32(0.73)) * light
        self.image *= balance[..., None].astype(np.float32) * field[:, None]
        noise = self.rng.standard_normal((_CHUNK, 3, SIDE, SIDE), np.float32)[: self.n]
        self.image += self._uniform(0.004, 0.014)[:, None] * noise
        return np.asarray((255 * np.clip(self.image, 0, 1)).round().astype(np.uint8))
