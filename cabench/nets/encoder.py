"""Encoders: the small one of the quick tier in two and three dimensions, and the ResNet-18 of the papers."""

from __future__ import annotations

from torch import Tensor, nn

from cabench.augment.views import Canvas
from cabench.errors import UserError

WIDTHS = {2: (16, 32, 64, 64), 3: (12, 24, 48)}
POOLED = 2  # side of the last feature map
SMALLEST = 8  # side in pixels
SMALL_STEM = 32  # images up to this side get a 3x3 stem without pooling


class SmallEncoder(nn.Module):
    """Strided 3x3 convolutions with BatchNorm and ReLU, pooled to side 2, and a linear layer.

    Shape: (n, channels, height, width) or (n, channels, depth, height, width) -> (n, dim).
    """

    def __init__(self, channels: int, axes: int, dim: int) -> None:
        super().__init__()
        conv, norm, pool = (
            (nn.Conv2d, nn.BatchNorm2d, nn.AdaptiveAvgPool2d)
            if axes == 2
            else (nn.Conv3d, nn.BatchNorm3d, nn.AdaptiveAvgPool3d)
        )
        layers: list[nn.Module] = []
        for width in WIDTHS[axes]:
            layers += [conv(channels, width, 3, stride=2, padding=1, bias=False), norm(width), nn.ReLU()]
            channels = width
        self.features = nn.Sequential(*layers, pool(POOLED), nn.Flatten())
        self.code = nn.Linear(channels * POOLED**axes, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return the code (n, dim)."""
        out: Tensor = self.code(self.features(x))
        return out


def encoder(backbone: str, view: Canvas, dim: int) -> nn.Module:
    """Return a fresh encoder to `dim` numbers: backbone "small" or "resnet18" (two dimensions only).

    Raises:
        UserError: the images are too small, or a ResNet is asked for volumes.
    """
    if view.size < SMALLEST:
        raise UserError(f"Images of side {view.size} are too small for an encoder, which needs {SMALLEST} pixels.")
    if backbone == "small":
        return SmallEncoder(view.channels, view.axes, dim)
    if view.axes == 3:
        raise UserError("The backbone 'resnet18' takes no volumes; use backbone=small.")
    from torchvision.models import resnet18

    net = resnet18(num_classes=dim)
    if view.size <= SMALL_STEM:
        net.conv1 = nn.Conv2d(view.channels, 64, 3, padding=1, bias=False)
        net.maxpool = nn.Identity()
    else:
        net.conv1 = nn.Conv2d(view.channels, 64, 7, stride=2, padding=3, bias=False)
    made: nn.Module = net
    return made
