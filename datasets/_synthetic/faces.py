"""Procedural faces in colour, 64x64: hair, skin, features, glasses and hats as soft-edged shapes.

Head coordinates: one unit is half the picture's side at scale 1, x to the right, y downwards, the eyes'
bridge near (0, 0), the chin near y = 0.64, the crown near y = -0.72. Every cue of age and sex overlaps
between the groups, and hats take the colours of hair, so that no single colour tells a factor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from cabench.datasets._synthetic.wear import Exchange, Wardrobe, exchanged
from cabench.seeds import numpy_stream

SIDE = 64
PIXEL = 2 / SIDE
AGES = (20.0, 80.0)  # years
ACCESSORIES = ("glasses", "hat")
_CHUNK = 100
_HAIR = np.array(
    [
        (0.10, 0.08, 0.08),
        (0.22, 0.14, 0.10),
        (0.38, 0.25, 0.16),
        (0.68, 0.54, 0.36),
        (0.46, 0.23, 0.13),
        (0.56, 0.54, 0.52),
    ]
)
_SKIN = np.array([(0.95, 0.80, 0.71), (0.84, 0.64, 0.51), (0.66, 0.46, 0.35), (0.40, 0.27, 0.20)])
_FRAMES = np.array([(0.08, 0.08, 0.09), (0.28, 0.15, 0.09), (0.45, 0.45, 0.48), (0.35, 0.10, 0.12)])


@dataclass(frozen=True)
class People:
    """What is known of n people; arrays of shape (n,).

    Attributes:
        accessory: index into `ACCESSORIES`, or -1 for none.
        age: years.
        sex: 0 = female, 1 = male.

    """

    accessory: np.ndarray
    age: np.ndarray
    sex: np.ndarray

    def __len__(self) -> int:
        """Return the number of people."""
        return len(self.age)

    def __getitem__(self, rows: slice) -> People:
        """Return the people of the given rows."""
        return People(*(getattr(self, field.name)[rows] for field in fields(self)))

    def wearing(self, wear: np.ndarray | None) -> People:
        """Return the people with the accessories that `wear` (see `Dataset.synthetic`) gives them."""
        return replace(self, accessory=exchanged(self.accessory, wear, -1))


def draw_people(n: int, rng: np.random.Generator) -> People:
    """Draw n people, half of them with glasses or a hat in equal parts; all else is independent of it."""
    kinds = np.where(np.arange(n) % 2, np.arange(n) // 2 % len(ACCESSORIES), -1)
    return People(rng.permutation(kinds), rng.uniform(*AGES, n), rng.integers(0, 2, n))


def render(people: People, seed: int, wear: np.ndarray | None = None) -> np.ndarray:
    """Return the pictures, uint8 (n, 3, 64, 64) as RGB; nuisance is drawn from `seed` alone.

    An accessory takes its shape and colours along to another wearer; see `Dataset.synthetic` for `wear`.
    """
    wardrobe = Wardrobe(wear)
    if wardrobe.lends:
        _paint(people, seed, wardrobe.keep)
    return _paint(people.wearing(wear), seed, wardrobe.lend)


def _paint(people: People, seed: int, deal: Callable[[slice], Exchange]) -> np.ndarray:
    x = np.empty((len(people), 3, SIDE, SIDE), np.uint8)
    for start in range(0, len(people), _CHUNK):
        rows = slice(start, start + _CHUNK)
        draw = _Draw(numpy_stream(seed, "nuisance", start))
        x[rows] = _Portraits(people[rows], draw, deal(rows)).picture()
    return x


class _Draw:
    """Nuisance of one chunk; a full chunk is drawn each time, so that a row does not depend on n."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def uniform(self, low: float, high: float) -> np.ndarray:
        """Return float32 (chunk, 1, 1)."""
        return self.rng.uniform(low, high, (_CHUNK, 1, 1)).astype(np.float32)

    def choice(self, palette: np.ndarray, spread: float) -> np.ndarray:
        """Return colours (chunk, 3) near rows of the palette (k, 3)."""
        picked = palette[self.rng.integers(0, len(palette), _CHUNK)]
        level = self.rng.uniform(-1, 1, (_CHUNK, 1)) + 0.4 * self.rng.uniform(-1, 1, (_CHUNK, 3))
        return np.asarray(np.clip(picked + spread * level, 0.03, 0.97))

    def muted(self, low: float, high: float, chroma: float) -> np.ndarray:
        """Return greyish colours (chunk, 3) of lightness `low` to `high`."""
        level = self.rng.uniform(low, high, (_CHUNK, 1))
        return np.asarray(level + self.rng.uniform(-chroma, chroma, (_CHUNK, 3)))

    def noise(self) -> np.ndarray:
        """Return standard normal noise, float32 (chunk, 3, 64, 64)."""
        return self.rng.standard_normal((_CHUNK, 3, SIDE, SIDE), np.float32)


def _ramp(distance: np.ndarray, width: float = 1.3 * PIXEL) -> np.ndarray:
    """Return 0 outside, 1 inside and a linear edge of `width` where the distance passes 0."""
    return np.asarray(np.clip(distance * np.float32(1 / width) + np.float32(0.5), 0, 1))


def _bump(square: np.ndarray) -> np.ndarray:
    """Return a soft blob (1 - square / 4)^2, cut off at 0, of a squared distance in standard deviations."""
    return np.asarray(np.square(np.maximum(1 - np.float32(0.25) * square, 0)))


class _Portraits:
    """The painting of one chunk; `image` is float32 (n, 3, 64, 64), masks are (n, 64, 64) in [0, 1]."""

    def __init__(self, people: People, draw: _Draw, exchange: Exchange) -> None:
        """Fix pose and features; every draw is for a full chunk."""
        self.n, self.draw, self.people, self.exchange = len(people), draw, people, exchange
        self.image = np.empty((self.n, 3, SIDE, SIDE), np.float32)
        self.old = ((people.age - AGES[0]) / (AGES[1] - AGES[0])).astype(np.float32).reshape(-1, 1, 1)
        self.male = people.sex.astype(np.float32).reshape(-1, 1, 1)
        self._pose()
        self._colours()

    def _uniform(self, low: float, high: float) -> np.ndarray:
        """Return float32 (n, 1, 1)."""
        return self.draw.uniform(low, high)[: self.n]

    def _salient(self, low: float, high: float) -> np.ndarray:
        """Return float32 (n, 1, 1) that belong to the accessory, and go with it to another wearer."""
        return self.exchange(self._uniform(low, high))

    def _pose(self) -> None:
        """Set head coordinates x, y, feature coordinates fx, fy and light."""
        axis = (np.arange(SIDE, dtype=np.float32) + 0.5) * PIXEL - 1
        self.u, self.v = axis[None, None, :], axis[None, :, None]
        scale, roll = self._uniform(0.86, 1.12), self._uniform(-0.22, 0.22)
        du, dv = self.u - self._uniform(-0.16, 0.16), self.v - self._uniform(-0.06, 0.24)
        self.x = (np.cos(roll) * du + np.sin(roll) * dv) / scale
        self.y = (np.cos(roll) * dv - np.sin(roll) * du) / scale
        yaw, pitch = self._uniform(-1, 1), self._uniform(-0.04, 0.04)
        self.fx = (self.x - 0.12 * yaw) / (1 - 0.10 * np.abs(yaw))
        self.fy = self.y - pitch
        self.ax = np.abs(self.fx)
        self.light = self._uniform(-1, 1)

    def _colours(self) -> None:
        """Choose the colours (n, 3) of skin and hair; hair greys around 50, at an age of its own."""
        rng, n = self.draw.rng, self.n
        tone = rng.uniform(0, len(_SKIN) - 1, _CHUNK)[:n]
        skin = np.stack([np.interp(tone, np.arange(len(_SKIN)), _SKIN[:, c]) for c in range(3)], 1)
        old = self.old[:, :, 0]
        self.skin = skin * (1 + 0.06 * rng.uniform(-1, 1, (_CHUNK, 1))[:n])
        pigment = self.draw.choice(_HAIR, 0.06)[:n]
        grey = self.draw.muted(0.55, 0.86, 0.02)[:n]
        onset = 0.5 + 0.09 * rng.uniform(-1, 1, (_CHUNK, 1))[:n]
        share = np.clip((old - onset) * 1.8 + 0.5, 0, 1)
        self.hair = pigment + share * (grey - pigment)

    def _paint(self, mask: np.ndarray, colour: np.ndarray, shade: np.ndarray | None = None) -> None:
        """Lay a colour (n, 3), times an optional shade (n, 64, 64), over the image where the mask is."""
        for c in range(3):
            tint = colour[:, c].astype(np.float32).reshape(-1, 1, 1)
            layer = tint if shade is None else tint * shade
            self.image[:, c] += mask * (layer - self.image[:, c])

    def _darken(self, mask: np.ndarray) -> None:
        """Multiply the image by 1 - mask, a little less in red than in blue, as shadows on skin do."""
        for c, strength in enumerate((0.85, 1.0, 1.05)):
            self.image[:, c] *= 1 - np.float32(strength) * mask

    def picture(self) -> np.ndarray:
        """Paint from back to front and return uint8 (n, 3, 64, 64)."""
        self._scene()
        self._head()
        self._wrinkles()
        self._eyes()
        self._nose_and_mouth()
        self._fringe()
        self._glasses()
        self._hat()
        return self._exposed()

    def _scene(self) -> None:
        """Paint the wall, the hair behind the head, the neck and the shirt."""
        wall, other = self.draw.muted(0.2, 0.85, 0.06)[: self.n], self.draw.muted(0.2, 0.85, 0.06)[: self.n]
        self.image[:] = wall[:, :, None, None]
        wave = np.sin(self._uniform(-2.5, 2.5) * self.u + self._uniform(0, 6.3))
        wave = wave * np.sin(self._uniform(-2.5, 2.5) * self.v + self._uniform(0, 6.3))
        self._paint(0.3 + 0.3 * wave, other)
        self.width = width = 0.465 + 0.02 * self.male + self._uniform(-0.035, 0.035)
        # Some women wear it short, some men long.
        swap = self._uniform(0, 1) < 0.07
        is_long = np.where(swap, self.male, 1 - self.male) > 0.5
        self.length = length = np.where(is_long, self._uniform(0.40, 1.15), self._uniform(-0.12, 0.18))
        self.volume = self._uniform(0.04, 0.14) * (1 - 0.45 * self.old * self.male)
        reach = np.maximum(self.y - length + 0.3, 0) * np.float32(1 / 0.3)
        round_ = np.square(np.minimum(self.y + 0.05, 0) / (0.70 + self.volume))
        square = np.square(self.x / (width + self.volume)) + round_ + np.square(reach)
        streaks = self._uniform(14, 30) * (self.x + 0.25 * np.sin(4 * self.y)) + self._uniform(0, 6.3)
        self.strands = 0.92 + 0.13 * np.sin(streaks) + 0.22 * self.light * self.x
        self.mane = _ramp((1 - np.sqrt(square)) * np.float32(0.5), 2 * PIXEL)
        self._paint(self.mane, self.hair, 0.82 * self.strands)

        neck = 0.19 + 0.06 * self.male + self._uniform(-0.02, 0.02)
        neck = neck + 0.3 * np.square(np.maximum(self.y - 0.55, 0))
        self._paint(_ramp(neck - np.abs(self.x)) * _ramp(self.y - 0.3), 0.8 * self.skin)
        shoulder = 0.80 + self._uniform(-0.04, 0.06) + (0.55 - 0.15 * self.male) * np.square(self.x)
        collar = self._uniform(0.0, 0.5) * np.maximum(0.28 - np.abs(self.x), 0)
        shirt = self.draw.muted(0.12, 0.85, 0.08)[: self.n]
        self._paint(_ramp(self.y - shoulder - collar), shirt, 1 + 0.15 * self.light * self.x)

    def _head(self) -> None:
        """Paint ears, face with its shading, blush and beard."""
        width, male, old = self.width, self.male, self.old
        ears = np.square((np.abs(self.x) - width) * np.float32(1 / 0.07)) + np.square((self.y - 0.03) * 7)
        covered = np.clip(5 * (self.length - 0.1), 0, 1)
        self._paint(_ramp((1 - np.sqrt(ears)) * np.float32(0.08)) * (1 - covered), 0.85 * self.skin)

        jaw = 0.15 + 0.45 * male + 0.25 * old + self._uniform(-0.2, 0.2)
        chin = 0.20 - 0.12 * male - 0.10 * old + self._uniform(-0.05, 0.05)
        height = np.where(self.y < 0, np.float32(0.70), 0.64 + 0.02 * male + self._uniform(-0.03, 0.03))
        up = np.square(self.y / height)
        across = np.square(self.x / (width * (1 - chin * np.maximum(self.y, 0))))
        jaw = np.clip(jaw, 0, 0.9) * (self.y > 0)
        square = across + up * (1 - jaw + jaw * up)
        self.face = _ramp((1 - np.sqrt(square)) * np.float32(0.5))
        relief = 1.04 + 0.24 * self.light * self.x / width - 0.16 * np.square(square) - 0.06 * self.y
        self._paint(self.face, self.skin, relief)

        blush = _bump(np.square((self.ax - 0.26) * 8) + np.square((self.fy - 0.2) * 8)) * self.face
        rosy = self._uniform(0.05, 0.4) * (1 - 0.6 * male)
        self._paint(rosy * blush, self.skin * np.array([1.0, 0.72, 0.70]))
        low = np.clip((self.fy - 0.22 + 0.9 * np.square(self.ax) - 0.25 * self.ax) * 7, 0, 1)
        moustache = _bump(np.square(self.fx * 7) + np.square((self.fy - 0.27) * 22))
        chance = self._uniform(0, 1)
        stubble = male * np.where(chance < 0.25, 0.06, self._uniform(0.12, 0.75)) * self.face
        beard = stubble * np.maximum(low * _ramp(0.46 - self.ax * 0.9, 0.2), moustache)
        self._paint(beard, 0.8 * self.hair + 0.1 * self.skin)

    def _wrinkles(self) -> None:
        """Darken folds of the forehead, beside the nose and under the eyes; deeper with age."""
        deep = np.clip(1.1 * self.old + self._uniform(-0.05, 0.05), 0, 1.2)
        rise = self.fy + 0.28 + 0.25 * np.square(self.fx)
        lines = np.maximum(np.sin(62 * rise + self._uniform(0, 6.3)), -0.3)
        brow = _bump(np.square(self.fx * 4.4) + np.square(rise * 10)) * lines
        fold_x = self.ax - 0.11 - 0.42 * (self.fy - 0.12)
        fold = _bump(np.square(fold_x * 28) + np.square((self.fy - 0.25) * 9))
        bag = self.fy - 0.105 - 0.8 * np.square(self.ax - 0.2)
        bags = _bump(np.square(bag * 26) + np.square((self.ax - 0.2) * 11))
        hollow = _bump(np.square((self.ax - 0.36) * 9) + np.square((self.fy - 0.30) * 6))
        jowl = _bump(np.square((self.ax - 0.20) * 16) + np.square((self.fy - 0.47) * 9))
        feet = _bump(np.square((self.ax - 0.36) * 13) + np.square((self.fy - 0.02) * 11))
        feet *= np.sin(70 * self.fy)
        depth = 0.60 * fold + 0.52 * bags + 0.34 * brow + 0.30 * hollow + 0.36 * jowl + 0.3 * feet
        self._darken(np.clip(deep * depth * self.face, 0, 0.7))

    def _eyes(self) -> None:
        """Paint brows, eyes and lashes."""
        n, male, old = self.n, self.male, self.old
        apart = 0.20 + self._uniform(-0.012, 0.012)
        side = self.ax - apart
        open_ = self._uniform(0.052, 0.074) * (1 - 0.30 * old) * (1.08 - 0.16 * male)
        lid = open_ * np.maximum(1 - np.square(side * np.float32(1 / 0.105)), 0)
        away = np.abs(self.fy - 0.01)
        white = _ramp(lid - away, PIXEL) * (lid > 0)
        self._paint(white, np.full((n, 3), 0.9))
        look = self._uniform(-0.03, 0.03)
        iris_x = self.fx - look - np.sign(self.fx) * apart
        iris = np.sqrt(np.square(iris_x) + np.square(self.fy - 0.005))
        palette = np.array([(0.25, 0.15, 0.08), (0.15, 0.10, 0.07), (0.30, 0.42, 0.52), (0.33, 0.40, 0.25)])
        self._paint(_ramp(0.056 - iris) * white, self.draw.choice(palette, 0.04)[:n])
        self._paint(_ramp(0.026 - iris) * white, np.full((n, 3), 0.03))
        lash = _bump(np.square((self.fy - 0.005 + lid) * 38) + np.square(side * 11))
        self._darken((0.45 + 0.35 * (1 - male) * self._uniform(0.4, 1)) * lash)

        thick = 0.019 + 0.020 * male + self._uniform(-0.006, 0.008)
        lift = 0.145 - 0.035 * male + self._uniform(-0.015, 0.015) - 0.012 * old
        arch = self.fy + lift - (1.2 - 0.7 * male) * np.square(side + 0.01)
        hair = np.minimum(self.hair * 0.85, 0.62)
        self._paint(0.85 * _ramp(thick - np.abs(arch)) * _ramp(0.125 - np.abs(side), 0.06), hair)

    def _nose_and_mouth(self) -> None:
        """Paint the nose's shadow, nostrils, lips and teeth."""
        n, male, old = self.n, self.male, self.old
        tip = 0.19 + self._uniform(-0.015, 0.02)
        dark = self.fx * np.sign(-self.light) - 0.06
        flank = _bump(np.square(dark * 22) + np.square((self.fy - 0.07) * 9))
        wide = 0.058 + 0.014 * male + self._uniform(-0.01, 0.012)
        nostril = _bump(np.square((self.ax - wide) * 28) + np.square((self.fy - tip) * 38))
        under = _bump(np.square(self.fx / (1.4 * wide)) + np.square((self.fy - tip - 0.01) * 26))
        self._darken(0.22 * flank + 0.5 * nostril + 0.18 * under)

        half = self._uniform(0.13, 0.19)
        smile = self._uniform(-0.10, 1.0)
        line = self.fy - 0.375 - self._uniform(-0.01, 0.015) + smile * 1.3 * (np.square(self.fx) - 0.01)
        taper = np.maximum(1 - np.square(self.fx / half), 0)
        full = (0.060 - 0.016 * male) * (1 - 0.40 * old) + self._uniform(-0.008, 0.008)
        upper = full * 0.75 * taper
        gap = np.maximum(smile - 0.4, 0) * self._uniform(-0.03, 0.09)
        gap = np.maximum(gap, 0) * taper
        lower = gap + full * taper
        lips = _ramp(np.minimum(line + upper, lower - line)) * (taper > 0)
        colour = self.skin * np.array([0.86, 0.58, 0.57])
        lipstick = ((1 - male) * np.clip(self._uniform(-0.1, 1.0), 0, 1))[:, :, 0]
        colour = colour + lipstick * (np.array([0.68, 0.16, 0.20]) - colour)
        self._paint(lips, colour)
        inside = _ramp(np.minimum(line, gap - line)) * (gap > 0.008)
        self._paint(inside, np.full((n, 3), 0.88))
        seam = _bump(np.square(line * 50) + 4 * (1 - taper))
        self._darken(0.5 * seam)

    def _fringe(self) -> None:
        """Paint the hair above the hairline, which recedes with age, more so in men."""
        recede = np.maximum(self.old + self._uniform(-0.25, 0.15), 0)
        recede = recede * (0.10 + 0.42 * self.male * self._uniform(0, 1))
        start = -0.40 + self._uniform(-0.06, 0.12) * (1 - self.old) - recede
        bend = self._uniform(0.7, 2.2)
        parting = self._uniform(-0.35, 0.35)
        line = start + bend * np.square(self.x) + parting * self.x
        beside = np.abs(self.x) - 0.82 * self.width
        sides = np.minimum(self.length, 0.35) * np.clip(20 * beside, 0, 1)
        line = np.maximum(line, np.where(beside > 0, sides, -2.0))
        mask = self.mane * _ramp(line - self.y, 2.5 * PIXEL)
        self._paint(mask, self.hair, self.strands)

    def _glasses(self) -> None:
        """Paint rims, bridge, temples and tinted lenses on those who wear glasses."""
        worn = (self.people.accessory == 0).astype(np.float32).reshape(-1, 1, 1)
        rx, ry = self._salient(0.125, 0.165), self._salient(0.085, 0.135)
        thick = self._salient(0.014, 0.026)
        square = np.square((self.ax - 0.205) / rx)
        up = np.square((self.fy - 0.025) / ry)
        box = self._salient(0, 0.8)
        depth = (1 - np.sqrt(square * (1 - box + box * square) + up * (1 - box + box * up))) * ry
        rim = _ramp(thick - np.abs(depth))
        bridge = _ramp(thick - np.abs(self.fy)) * _ramp(0.205 - rx - self.ax)
        temple = _ramp(0.7 * thick - np.abs(self.fy + 0.01)) * _ramp(self.ax - 0.2 - rx)
        temple *= np.abs(self.x) < self.width
        frame = np.maximum(rim, np.maximum(bridge, 0.8 * temple))
        tint = np.where(self._salient(0, 1) < 0.25, self._salient(0.4, 0.9), self._salient(0, 0.15))
        glint = _bump(np.square((self.fx + self.fy) * 9 - self._salient(-3, 3)) + 4 * (depth < 0.02))
        self._paint(worn * tint * _ramp(depth), np.full((self.n, 3), 0.12))
        self._paint(worn * self._salient(0, 0.35) * glint, np.full((self.n, 3), 0.95))
        self._paint(worn * frame, self.exchange(self.draw.choice(_FRAMES, 0.05)[: self.n]))

    def _hat(self) -> None:
        """Paint a beanie, a cap or a brimmed hat, in a colour that hair could have, on those who wear one."""
        worn = (self.people.accessory == 1).astype(np.float32).reshape(-1, 1, 1)
        colour = self.exchange(self.draw.choice(_HAIR, 0.10)[: self.n])
        edge = self._salient(-0.40, -0.27)
        tall = self._salient(0.36, 0.54)
        wide = self.width + self._salient(0.02, 0.09)
        up = np.minimum(self.y - edge, 0) / tall
        stiff = self._salient(0, 0.8)
        square = np.square(self.x / wide) + np.square(up) * (1 - stiff + stiff * np.square(up))
        bow = self.y - edge + self._salient(0.05, 0.25) * np.square(self.x)
        crown = _ramp((1 - np.sqrt(square)) * np.float32(0.45)) * _ramp(-bow)
        kind = self._salient(0, 1)
        band = _ramp(self._salient(0.04, 0.09) - np.abs(bow + 0.07))
        knit = 1 + 0.10 * np.where(kind < 0.4, np.sin(38 * self.x + self._salient(0, 6.3)), 0)
        shade = (1 + 0.28 * self.light * self.x - 0.25 * np.square(self.x)) * knit
        self._paint(worn * crown, colour, shade)
        trim = colour * self._salient(0.45, 1.3)[:, :, 0]
        self._paint(worn * band * crown, trim, shade)
        # A cap's visor turns with the face and is short and deep; a hat's brim goes all round.
        cap = kind < 0.75
        reach = np.where(cap, 0.9 * wide, wide + self._salient(0.08, 0.30))
        across = np.where(cap, self.fx, self.x) / reach
        flat = np.square(across) + np.square((bow - 0.01) / np.where(cap, 0.11, 0.075))
        brim = _ramp((1 - np.sqrt(flat)) * np.float32(0.08)) * (kind > 0.4)
        self._paint(worn * brim, 0.75 * colour, shade)

    def _exposed(self) -> np.ndarray:
        """Return uint8 (n, 3, 64, 64): white balance, exposure and noise."""
        gain = self.draw.rng.uniform(0.78, 1.12, (_CHUNK, 1)) * self.draw.rng.uniform(0.94, 1.06, (_CHUNK, 3))
        self.image *= gain[: self.n, :, None, None].astype(np.float32)
        self.image += self._uniform(0.003, 0.015)[:, None] * self.draw.noise()[: self.n]
        return np.asarray((255 * np.clip(self.image, 0, 1)).round().astype(np.uint8))
