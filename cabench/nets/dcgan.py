"""The networks of DCGAN as Double InfoGAN has them, for images and volumes of side 64 (METHODS 2.10)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from cabench.augment.views import Canvas

SIDE = 64
# Of the maps of side 32, 16, 8 and 4. For volumes nothing is published; half as wide they are dear enough.
WIDTHS = {2: (64, 128, 256, 512), 3: (32, 64, 128, 256)}
INITIAL_STD = 0.02


class Generator(nn.Module):
    """Transposed 4x4 convolutions from a code to an image, with BatchNorm and ReLU between them, a tanh at the end.

    Shape: (n, dim) -> (n, channels, 64, 64) or (n, channels, 64, 64, 64), in [0, 1].
    """

    def __init__(self, view: Canvas, dim: int) -> None:
        super().__init__()
        plane = view.axes == 2
        conv, norm = (nn.ConvTranspose2d, nn.BatchNorm2d) if plane else (nn.ConvTranspose3d, nn.BatchNorm3d)
        top, *widths = reversed(WIDTHS[view.axes])
        layers: list[nn.Module] = [nn.Unflatten(1, (dim, *[1] * view.axes)), conv(dim, top, 4, bias=False)]
        for width, out in pairwise((top, *widths, view.channels)):
            layers += [norm(width), nn.ReLU(), conv(width, out, 4, stride=2, padding=1, bias=False)]
        self.layers = nn.Sequential(*layers, nn.Tanh()).apply(_initialise)

    def forward(self, code: Tensor) -> Tensor:
        """Return images."""
        out: Tensor = (self.layers(code) + 1) / 2
        return out


class NoisyDiscriminator(nn.Module):
    """Strided 4x4 convolutions with BatchNorm and LeakyReLU, then parallel heads; noise enters before every layer.

    Args:
        channels: of the image, or of several images one behind the other.
        axes: 2 or 3.
        heads: numbers that each head gives.
        noise: standard deviation of the noise, which is there in training only.

    Shape: (n, channels, 64, 64) or (n, channels, 64, 64, 64), in [0, 1] -> (n, sum of heads).
    """

    def __init__(self, channels: int, axes: int, heads: tuple[int, ...], noise: float) -> None:
        super().__init__()
        conv, norm = (nn.Conv2d, nn.BatchNorm2d) if axes == 2 else (nn.Conv3d, nn.BatchNorm3d)
        self.noise = noise
        self.layers = nn.ModuleList()
        for width, out in pairwise((channels, *WIDTHS[axes])):
            between = norm(out) if self.layers else nn.Identity()  # the first has no BatchNorm
            layer = (conv(width, out, 4, stride=2, padding=1, bias=False), between, nn.LeakyReLU(0.2))
            self.layers.append(nn.Sequential(*layer))
        self.heads = nn.ModuleList(conv(WIDTHS[axes][-1], out, 4, bias=False) for out in heads)
        self.apply(_initialise)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return what the heads say; `generator` draws the noise and may only lack in evaluation."""
        out = 2 * x - 1
        for layer in self.layers:
            out = layer(self._noisy(out, generator))
        return torch.cat([head(self._noisy(out, generator)).flatten(1) for head in self.heads], 1)

    def _noisy(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        if not self.training:
            return x
        return x + self.noise * torch.randn(x.shape, generator=generator, device=x.device)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.ConvTranspose2d, nn.ConvTranspose3d)):
        nn.init.normal_(module.weight, 0.0, INITIAL_STD)
    elif isinstance(module, (nn.Conv2d, nn.Conv3d)):
        nn.init.trunc_normal_(module.weight, 0.0, INITIAL_STD)
