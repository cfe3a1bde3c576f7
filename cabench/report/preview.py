"""Contact sheets: what a data set looks like."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from cabench.codes import Split

CELL, GAP, LABEL = 80, 4, 16


def contact_sheet(split: Split, columns: int = 8, rows: int = 3) -> Image.Image:
    """Draw background above target, `rows` rows of `columns` images each.

    A volume (1, d, h, w) is drawn as its three middle slices, one below the other, so a row of
    volumes is three cells high.
    """
    volumes = split.x.ndim == 5
    groups = [split.x[split.y == y] for y in (0, 1)]
    rows = 1 if volumes else rows
    height = CELL * (3 if volumes else 1)
    block = LABEL + rows * (height + GAP)
    sheet = Image.new("RGB", (columns * (CELL + GAP) + GAP, 2 * block + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (title, images) in enumerate(zip(("background", "target"), groups, strict=True)):
        top = index * block
        draw.text((GAP, top + 2), f"{split.dataset}: {title}", fill="black")
        for i, image in enumerate(images[: rows * columns]):
            at = (GAP + (i % columns) * (CELL + GAP), top + LABEL + (i // columns) * (height + GAP))
            sheet.paste(_picture(image), at)
    return sheet


def _picture(image: np.ndarray) -> Image.Image:
    if image.ndim == 4:
        volume = image[0]
        middle = [size // 2 for size in volume.shape]
        slices = (volume[middle[0]], volume[:, middle[1]], volume[:, :, middle[2]])
        strip = Image.new("RGB", (CELL, CELL * 3))
        for i, piece in enumerate(slices):
            # The first image axis of a slice grows upwards in a brain, downwards in a picture.
            strip.paste(_scaled(Image.fromarray(piece[::-1].copy())), (0, i * CELL))
        return strip
    grey = image.shape[0] == 1
    return _scaled(Image.fromarray(image[0] if grey else np.ascontiguousarray(image.transpose(1, 2, 0))))


def _scaled(picture: Image.Image) -> Image.Image:
    return picture.convert("RGB").resize((CELL, CELL), Image.Resampling.BICUBIC)
