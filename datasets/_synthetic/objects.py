"""Ten kinds of small objects on textured grounds, 32x32 in colour: what stands in for CIFAR-10."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from cabench.datasets._synthetic.photographs import draw_textures

SIDE = 32
CLASSES = ("ball", "ring", "house", "tree", "boat", "car", "cup", "mushroom", "star", "fish")
CHUNK = 500
# Things have typical colours and places, as in photographs: body and ground of each class, RGB. A picture mixes
# them with colours of its own, so that neither colour nor brightness alone tells the class.
TYPICAL = np.array(
    [
        [[0.9, 0.5, 0.1], [0.4, 0.6, 0.3]],
        [[0.2, 0.2, 0.2], [0.6, 0.6, 0.6]],
        [[0.7, 0.3, 0.2], [0.5, 0.7, 0.9]],
        [[0.1, 0.5, 0.1], [0.7, 0.8, 0.9]],
        [[0.9, 0.9, 0.9], [0.1, 0.3, 0.6]],
        [[0.7, 0.1, 0.1], [0.4, 0.4, 0.4]],
        [[0.9, 0.9, 0.8], [0.5, 0.3, 0.2]],
        [[0.8, 0.2, 0.2], [0.2, 0.3, 0.1]],
        [[0.9, 0.8, 0.2], [0.1, 0.1, 0.3]],
        [[0.9, 0.6, 0.3], [0.1, 0.5, 0.5]],
    ]
)
TYPICAL_SHARE = 0.46
GROUND_STRENGTH = 0.08  # standard deviation of the ground's texture, at most


def render_objects(kind: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return one picture per class number in `kind` (n,): float32 (n, 3, 32, 32) in [0, 1]."""
    pieces = [_chunk(kind[i : i + CHUNK], rng) for i in range(0, len(kind), CHUNK)]
    return np.concatenate(pieces)


def _chunk(kind: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n = len(kind)
    u, v = _coordinates(n, rng)
    paint = np.stack([_PAINTERS[k](u[i], v[i]) for i, k in enumerate(kind)])  # (n, 2, side, side): body, detail
    ground_colour = TYPICAL_SHARE * TYPICAL[kind, 1] + (1 - TYPICAL_SHARE) * rng.uniform(0, 1, (n, 3))
    strength = GROUND_STRENGTH * rng.uniform(0.3, 1, (n, 1, 1, 1))
    ground = strength * draw_textures(n, SIDE, rng) + ground_colour[:, :, None, None]
    body = TYPICAL_SHARE * TYPICAL[kind, 0] + (1 - TYPICAL_SHARE) * _away_from(ground_colour, rng)
    detail = rng.uniform(0, 1, (n, 3))
    shade = 1 + 0.35 * _texture(n, rng, 1.0)[:, :1]
    picture = ground
    for mask, colour in ((paint[:, :1], body), (paint[:, 1:], detail)):
        picture = picture * (1 - mask) + mask * colour[:, :, None, None] * shade
    picture = picture + rng.normal(0, 0.02, picture.shape)
    return picture.clip(0, 1).astype(np.float32)


def _coordinates(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return each picture's own object coordinates: shifted, scaled, turned, mirrored; y points down."""
    axis = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    x, y = np.meshgrid(axis, axis)
    scale = rng.uniform(0.75, 1.05, (n, 1, 1))
    dx, dy = rng.uniform(-0.2, 0.2, (2, n, 1, 1))
    angle = rng.uniform(-0.25, 0.25, (n, 1, 1))
    x, y = (x - dx) / scale, (y - dy) / scale
    u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    return u * rng.choice([-1, 1], (n, 1, 1)), v


def _texture(n: int, rng: np.random.Generator, strength: float) -> np.ndarray:
    coarse = torch.from_numpy(rng.normal(0, 1, (n, 3, 5, 5)).astype(np.float32))
    fine = F.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic", align_corners=False)
    return strength * fine.numpy() * rng.uniform(0.3, 1, (n, 1, 1, 1))


def _away_from(ground: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a colour (n, 3) that differs from the ground's, to either side, so that brightness tells no class."""
    tries = rng.uniform(0, 1, (8, *ground.shape))
    best = np.abs(tries - ground).sum(2).argmax(0)
    return np.asarray(tries[best, np.arange(len(ground))])


def _inside(signed: np.ndarray) -> np.ndarray:
    """Turn a signed distance (negative inside, in units of half the picture) into soft coverage."""
    return np.asarray(1 / (1 + np.exp(np.clip(signed * 32, -30, 30))))


def _disc(u: np.ndarray, v: np.ndarray, x: float, y: float, r: float, flat: float = 1.0) -> np.ndarray:
    return np.asarray(np.hypot(u - x, (v - y) / flat) - r)


def _box(u: np.ndarray, v: np.ndarray, x: float, y: float, w: float, h: float) -> np.ndarray:
    return np.maximum(np.abs(u - x) - w, np.abs(v - y) - h)


def _wedge(u: np.ndarray, v: np.ndarray, x: float, top: float, base: float, w: float) -> np.ndarray:
    """A triangle with its tip at (x, top) and its base of half width w at v = base."""
    share = (v - top) / (base - top)
    return np.maximum(np.maximum(np.abs(u - x) - w * share, v - base), top - v)


def _pair(body: np.ndarray, detail: np.ndarray) -> np.ndarray:
    return np.stack([_inside(body), _inside(detail)])


def _ball(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return _pair(_disc(u, v, 0, 0, 0.7), np.maximum(_disc(u, v, 0, 0, 0.7), np.abs(v) - 0.15))


def _ring(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return _pair(np.abs(_disc(u, v, 0, 0, 0.6)) - 0.17, np.abs(_disc(u, v, 0, 0, 0.6)) - 0.04)


def _house(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return _pair(_box(u, v, 0, 0.35, 0.55, 0.4), _wedge(u, v, 0, -0.8, 0.0, 0.8))


def _tree(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    crown = np.minimum(_wedge(u, v, 0, -0.9, 0.0, 0.5), _wedge(u, v, 0, -0.4, 0.5, 0.65))
    return _pair(crown, _box(u, v, 0, 0.7, 0.12, 0.2))


def _boat(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    hull = np.maximum(np.abs(v - 0.5) - 0.2, np.abs(u) - 0.85 + 0.7 * (v - 0.3))
    return _pair(hull, _wedge(u, v, 0.1, -0.85, 0.22, 0.5))


def _car(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    body = np.minimum(_box(u, v, 0, 0.15, 0.9, 0.2), _box(u, v, -0.1, -0.15, 0.45, 0.22))
    return _pair(body, np.minimum(_disc(u, v, -0.5, 0.4, 0.2), _disc(u, v, 0.5, 0.4, 0.2)))


def _cup(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    body = np.minimum(_box(u, v, -0.15, 0.1, 0.45, 0.55), np.abs(_disc(u, v, 0.4, 0.1, 0.3)) - 0.08)
    return _pair(body, _disc(u, v, -0.15, -0.42, 0.42, 0.3))


def _mushroom(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return _pair(np.maximum(_disc(u, v, 0, 0, 0.8), v), _box(u, v, 0, 0.35, 0.2, 0.38))


def _star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    wave = np.cos(5 * np.arctan2(u, -v))
    return _pair(np.hypot(u, v) - 0.5 - 0.32 * wave, _disc(u, v, 0, 0, 0.16))


def _fish(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    body = np.minimum(_disc(u, v, -0.15, 0, 0.62, 0.55), _wedge(v, u, 0, 0.25, 0.85, 0.45))
    return _pair(body, _disc(u, v, -0.5, -0.08, 0.1))


_PAINTERS = (_ball, _ring, _house, _tree, _boat, _car, _cup, _mushroom, _star, _fish)
