"""Random views of a batch, drawn per image, and the whole view that evaluation uses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import record_function

from cabench.codes import Augmentation, Split

# RGB -> YIQ (NTSC): a rotation of the last two axes is a change of hue, their length is the saturation.
YIQ = torch.tensor(
    [[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], dtype=torch.float64
)
# The luminance, the two others, and these a quarter turn on.
PARTS = torch.tensor(
    [
        [[1, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 0, 0], [0, 0, -1], [0, 1, 0]],
    ],
    dtype=torch.float64,
)
PARTS_OF_RGB = (YIQ.inverse() @ PARTS @ YIQ).float().flatten(1)
LEAST_ASPECT = 3 / 4


@cache
def parts_of_rgb(device: torch.device) -> Tensor:
    """Return PARTS_OF_RGB on a device, copied once."""
    return PARTS_OF_RGB.to(device)


@dataclass(frozen=True)
class Canvas:
    """What a method sees of a data set: channels, side in pixels, 2 or 3 spatial axes, the augmentation."""

    channels: int
    size: int
    axes: int
    augmentation: Augmentation


def canvas(split: Split) -> Canvas:
    """Return the canvas of a split; without an augmentation of its own the images are seen as they are."""
    augmentation = split.augmentation or Augmentation(size=min(split.x.shape[2:]))
    return Canvas(split.x.shape[1], augmentation.size, split.x.ndim - 2, augmentation)


def whole(x: Tensor, size: int) -> Tensor:
    """Return uint8 images (n, channels, ...) as float32 in [0, 1] with every side `size`, nothing cut off."""
    pooled = _pooled(x, size)
    if all(side == size for side in pooled.shape[2:]):
        return pooled
    if pooled.ndim == 5:
        return F.interpolate(pooled, size=(size,) * 3, mode="trilinear", align_corners=False)
    return F.interpolate(pooled, size=(size, size), mode="bilinear", antialias=True)


def views(x: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Return one random view of each uint8 image, float32 in [0, 1], drawn per image from `generator`.

    Args:
        x: uint8 (n, channels, height, width) or (n, 1, depth, height, width).
        augmentation: the ranges of the draws.
        generator: on the device of `x`.
    """
    with record_function("augmentation"), torch.autocast(x.device.type, enabled=False):
        geometric = augmentation.crop < 1 or augmentation.shift or augmentation.flip or augmentation.rotation
        view = _warped(x, augmentation, generator) if geometric else whole(x, augmentation.size)
        if view.shape[1] == 3 and (augmentation.saturation or augmentation.hue or augmentation.grey):
            view = _coloured(view, augmentation, generator)
        elif augmentation.brightness or augmentation.contrast:
            view = _toned(view, augmentation, generator)
        if augmentation.noise:
            sigma = augmentation.noise * _uniform(0, 1, len(view), generator)
            noise = torch.randn(view.shape, generator=generator, device=view.device)
            view = view + _per_image(sigma, view) * noise
        if augmentation.cutout:
            view = view * _kept(view, augmentation.cutout, generator)
        return view.clamp(0, 1)


def _pooled(x: Tensor, size: int) -> Tensor:
    """Average over whole pixels as far as that goes, so that later sampling does not alias."""
    factors = [max(1, side // size) for side in x.shape[2:]]
    if max(factors) == 1:
        return x / 255
    image = x.float()
    if all(side % factor == 0 for side, factor in zip(image.shape[2:], factors, strict=True)):
        pool = F.avg_pool2d if image.ndim == 4 else F.avg_pool3d
        return pool(image, factors) / 255
    # Pooling would cut off a remainder; then the pooled image is a resized one.
    sides = [side // factor for side, factor in zip(image.shape[2:], factors, strict=True)]
    return F.interpolate(image / 255, size=sides, mode="area")


def _uniform(low: float, high: float, n: int, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator, device=generator.device)


def _per_image(values: Tensor, view: Tensor) -> Tensor:
    return values.view(-1, *(1 for _ in view.shape[1:]))


def _warped(x: Tensor, a: Augmentation, generator: torch.Generator) -> Tensor:
    """Crop, shift, flip and turn in one sampling."""
    n, axes = len(x), x.ndim - 2
    area = _uniform(a.crop, 1, n, generator)
    if axes == 2:
        aspect = torch.exp(_uniform(math.log(LEAST_ASPECT), -math.log(LEAST_ASPECT), n, generator))
        aspect = aspect if a.crop < 1 else torch.ones_like(aspect)
        scales = [(area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)]
    else:
        scales = [area ** (1 / 3)] * 3
    offsets = [
        (1 - scale) * _uniform(-1, 1, n, generator) + 2 * a.shift * _uniform(-1, 1, n, generator)
        for scale in scales
    ]
    mirrored = _uniform(0, 1, n, generator) < a.flip
    angle = math.radians(a.rotation) * _uniform(-1, 1, n, generator)
    theta = torch.zeros(n, axes, axes + 1, device=x.device)
    for axis, (scale, offset) in enumerate(zip(scales, offsets, strict=True)):
        theta[:, axis, axis] = scale
        theta[:, axis, axes] = offset
    # Volumes turn within their last two axes.
    cosine, sine = angle.cos(), angle.sin()
    theta[:, 0, 0], theta[:, 0, 1] = scales[0] * cosine, -scales[0] * sine
    theta[:, 1, 0], theta[:, 1, 1] = scales[1] * sine, scales[1] * cosine
    theta[:, :, 0] *= torch.where(mirrored, -1.0, 1.0)[:, None]
    image = _pooled(x, a.size)
    grid = F.affine_grid(theta, [n, image.shape[1], *[a.size] * axes], align_corners=False)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _coloured(view: Tensor, a: Augmentation, generator: torch.Generator) -> Tensor:
    """Change saturation, hue, grey, brightness and contrast by one affine map of the colours per image."""
    n = len(view)
    jittered = _uniform(0, 1, n, generator) < a.jitter
    saturation = torch.where(jittered, 1 + a.saturation * _uniform(-1, 1, n, generator), 1.0)
    angle = torch.where(jittered, 2 * math.pi * a.hue * _uniform(-1, 1, n, generator), 0.0)
    grey = _uniform(0, 1, n, generator) < a.grey
    strength = torch.where(grey, 0.0, saturation)
    parts = torch.stack([torch.ones_like(angle), strength * angle.cos(), strength * angle.sin()], 1)
    matrix = (parts @ parts_of_rgb(parts.device)).view(n, 3, 3)
    gain, lift = (part.view(n, 1, 1) for part in _tone(jittered, a, generator))
    pixels = view.flatten(2)
    mean = (matrix @ pixels.mean(2, keepdim=True)).mean(1, keepdim=True)
    return torch.baddbmm(lift * mean, gain * matrix, pixels).view_as(view)


def _toned(view: Tensor, a: Augmentation, generator: torch.Generator) -> Tensor:
    """Change brightness and contrast."""
    jittered = _uniform(0, 1, len(view), generator) < a.jitter
    gain, lift = _tone(jittered, a, generator)
    mean = view.flatten(1).mean(1)
    return torch.addcmul(_per_image(lift * mean, view), _per_image(gain, view), view)


def _tone(jittered: Tensor, a: Augmentation, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return what every pixel is multiplied by (n,), and the share of the image's mean that is added (n,)."""
    n = len(jittered)
    brightness = torch.where(jittered, 1 + a.brightness * _uniform(-1, 1, n, generator), 1.0)
    contrast = torch.where(jittered, 1 + a.contrast * _uniform(-1, 1, n, generator), 1.0)
    return brightness * contrast, brightness * (1 - contrast)


def _kept(view: Tensor, side: float, generator: torch.Generator) -> Tensor:
    """Return 0 inside one random square (cube) per image, 1 outside."""
    inside = torch.ones_like(view[:, :1], dtype=torch.bool)
    for axis, size in enumerate(view.shape[2:], start=2):
        centre = _uniform(0, size, len(view), generator)
        shape = [1] * view.ndim
        shape[axis] = size
        at = torch.arange(size, device=view.device).view(shape)
        inside = inside & ((at - _per_image(centre, view)).abs() <= side * size / 2)
    return (~inside).float()
