"""Sprites after dSprites: squares, ellipses and hearts with soft edges."""

from __future__ import annotations

import numpy as np

SIDE = 64
SHAPES = ("square", "ellipse", "heart")
LARGEST = 13.0  # radius in pixels of a sprite of scale 1
EDGE = 0.7  # width of the soft edge in pixels


def render_sprites(
    shape: np.ndarray, scale: np.ndarray, orientation: np.ndarray, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Return coverage masks float32 (n, 64, 64) in [0, 1].

    Args:
        shape: index into SHAPES (n,).
        scale: radius as a share of 13 pixels (n,).
        orientation: angle in radians (n,).
        x: centre from left (0) to right (1), within what keeps the sprite inside (n,).
        y: centre from top (0) to bottom (1) (n,).
    """
    axis = np.arange(SIDE) + 0.5
    room = SIDE - 2 * LARGEST
    dx = axis[None, None, :] - (LARGEST + room * x)[:, None, None]
    dy = axis[None, :, None] - (LARGEST + room * y)[:, None, None]
    cosine, sine = np.cos(orientation)[:, None, None], np.sin(orientation)[:, None, None]
    radius = (LARGEST * scale)[:, None, None]
    u, v = (dx * cosine + dy * sine) / radius, (-dx * sine + dy * cosine) / radius
    kind = shape[:, None, None]
    square = np.maximum(np.abs(u), np.abs(v)) - 0.72
    ellipse = np.hypot(u, v / 0.5) - 1
    lobes = np.hypot(np.abs(u) - 0.42, v + 0.3) - 0.5
    point = np.maximum(np.abs(u) * 0.78 + v * 0.63 - 0.56, -0.35 - v)
    heart = np.minimum(lobes, point)
    signed = np.where(kind == 0, square, np.where(kind == 1, ellipse, heart)) * radius
    return np.asarray(1 / (1 + np.exp(np.clip(signed / EDGE * 2, -30, 30))), np.float32)
