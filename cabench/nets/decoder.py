"""The decoder of the matched track."""

from __future__ import annotations

from torch import Tensor, nn

from cabench.augment.views import Canvas
from cabench.errors import UserError

WIDTHS = {2: (64, 32, 16, 8), 3: (48, 24, 12, 8)}


class Decoder(nn.Module):
    """Linear to a map of an eighth of the side, then three of [nearest x2, 3x3 convolution, BatchNorm, ReLU].

    Shape: (n, dim) -> (n, channels, size, size) or (n, channels, size, size, size), in [0, 1].
    """

    def __init__(self, dim: int, view: Canvas) -> None:
        super().__init__()
        if view.size % 8:
            raise UserError(f"The decoder needs an image side that is a multiple of 8, not {view.size}.")
        conv, norm = (nn.Conv2d, nn.BatchNorm2d) if view.axes == 2 else (nn.Conv3d, nn.BatchNorm3d)
        first, *widths = WIDTHS[view.axes]
        side = view.size // 8
        layers: list[nn.Module] = [
            nn.Linear(dim, first * side**view.axes),
            nn.Unflatten(1, (first, *[side] * view.axes)),
            nn.ReLU(),
        ]
        width = first
        for out in widths:
            layers += [
                nn.Upsample(scale_factor=2),
                conv(width, out, 3, padding=1, bias=False),
                norm(out),
                nn.ReLU(),
            ]
            width = out
        self.layers = nn.Sequential(*layers, conv(width, view.channels, 3, padding=1), nn.Sigmoid())

    def forward(self, code: Tensor) -> Tensor:
        """Return images."""
        out: Tensor = self.layers(code)
        return out
