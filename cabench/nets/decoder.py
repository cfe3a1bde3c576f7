"""The decoder of the matched track."""

from __future__ import annotations

from torch import Tensor, nn

from cabench.augment.views import Canvas
from cabench.errors import UserError

WIDTHS = {
    ("small", 2): (64, 32, 16),
    ("small", 3): (48, 24, 12),
    ("resnet18", 2): (512, 256, 128),
}


class Decoder(nn.Module):
    """Linear to a map of an eighth of the side, then transposed 4x4 convolutions of stride 2 up to the image.

    BatchNorm and ReLU stand between them, a sigmoid at the end. On two cores this is four times (volumes: ten
    times) cheaper than upsampling before 3x3 convolutions, which work at the full side with few channels.

    Args:
        backbone: of the encoders beside it, which sets the widths.
        view: the images to draw.
        dim: size of the code.

    Shape: (n, dim) -> (n, channels, size, size) or (n, channels, size, size, size), in [0, 1].
    """

    def __init__(self, backbone: str, view: Canvas, dim: int) -> None:
        super().__init__()
        if view.size % 8 or view.size < 8:
            raise UserError(f"The decoder needs an image side that is a multiple of 8, not {view.size}.")
        conv, norm = (
            (nn.ConvTranspose2d, nn.BatchNorm2d) if view.axes == 2 else (nn.ConvTranspose3d, nn.BatchNorm3d)
        )
        width, *widths = WIDTHS[backbone, view.axes]
        side = view.size // 8
        layers: list[nn.Module] = [
            nn.Linear(dim, width * side**view.axes),
            nn.Unflatten(1, (width, *[side] * view.axes)),
            nn.ReLU(),
        ]
        for out in widths:
            layers += [conv(width, out, 4, stride=2, padding=1, bias=False), norm(out), nn.ReLU()]
            width = out
        self.layers = nn.Sequential(*layers, conv(width, view.channels, 4, stride=2, padding=1), nn.Sigmoid())

    def forward(self, code: Tensor) -> Tensor:
        """Return images."""
        out: Tensor = self.layers(code)
        return out
