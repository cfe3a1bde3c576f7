"""Stacks of strided and transposed convolutions: what the native networks of the VAEs are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Strided:
    """How the convolutions of one method look, in the plane or in space.

    Attributes:
        axes: 2 or 3.
        kernel, stride, padding: of each convolution.
        bias: whether the convolutions have one.
        norm: whether BatchNorm follows each activation.
        slope: of a LeakyReLU; 0 is a ReLU.
    """

    axes: int
    kernel: int = 4
    stride: int = 2
    padding: int = 1
    bias: bool = True
    norm: bool = False
    slope: float = 0.0

    def down(self, *widths: int) -> list[nn.Module]:
        """Return convolutions from widths[0] channels on to widths[-1], each with its activation.

        A side becomes (side + 2 padding - kernel) // stride + 1.
        """
        conv = nn.Conv2d if self.axes == 2 else nn.Conv3d
        return self._stack(widths, lambda width, out: conv(width, out, **self._shape()))

    def up(self, *widths: int) -> list[nn.Module]:
        """Return transposed convolutions from widths[0] channels on to widths[-1], each with its activation.

        A side becomes `stride` times as large; without padding a side of 1 becomes `kernel`.
        """
        return self._stack(widths, self._transposed)

    def image(self, width: int, channels: int) -> list[nn.Module]:
        """Return the last transposed convolution, to an image in [0, 1]."""
        return [self._transposed(width, channels), nn.Sigmoid()]

    def activation(self) -> nn.Module:
        """Return the activation that stands behind each layer."""
        return nn.LeakyReLU(self.slope) if self.slope else nn.ReLU()

    def unflatten(self, width: int, side: int) -> nn.Module:
        """Return the step from width * side ** axes numbers to a map of `width` channels."""
        return nn.Unflatten(1, (width, *[side] * self.axes))

    def _shape(self) -> dict[str, Any]:
        return {"kernel_size": self.kernel, "stride": self.stride, "padding": self.padding, "bias": self.bias}

    def _transposed(self, width: int, out: int) -> nn.Module:
        conv = nn.ConvTranspose2d if self.axes == 2 else nn.ConvTranspose3d
        # An odd kernel would leave the side one pixel short of `stride` times as large.
        short = max(0, self.stride - self.kernel + 2 * self.padding)
        return conv(width, out, output_padding=short, **self._shape())

    def _stack(self, widths: tuple[int, ...], layer: Callable[[int, int], nn.Module]) -> list[nn.Module]:
        norm = nn.BatchNorm2d if self.axes == 2 else nn.BatchNorm3d
        layers: list[nn.Module] = []
        for width, out in pairwise(widths):
            layers += [layer(width, out), self.activation()]
            if self.norm:
                layers.append(norm(out))
        return layers
