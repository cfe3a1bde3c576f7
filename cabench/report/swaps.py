"""Pictures of what a generative method does: reconstructions and swaps, beside the truth where it is known."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cabench.codes import Codes
from cabench.swaps import Pairs, seen_images

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cabench.vae import Generative

# Columns that belong together: title -> images (n, channels, side, ...) in [0, 1].
Group = dict[str, np.ndarray]

CELL, GAP, GROUP_GAP, MARGIN = 0.9, 0.05, 0.2, 0.1  # inches
TITLES, LINE, LETTER = 0.36, 0.17, 0.068  # inches: two lines of titles, a line of heading, one of its letters
DPI = 100
LIMIT = 300_000  # bytes of a picture
COLOURS = (256, 128, 64, 32, 16)  # as few as the limit asks for


def panels(method: Generative, pairs: Pairs) -> list[Group]:
    """Return the columns of the picture, images as the method sees them.

    The background is reconstructed with the salient code of nothing, as every method's training asks for.
    """
    common, target = method.embed(pairs.background).common, method.embed(pairs.target)
    null = method.null_code(len(common)).cpu().numpy()
    swapped, bare = method.swap(pairs.background, pairs.target)
    swaps = {"background with\ntarget's salient": swapped}
    if pairs.truth is not None:
        swaps["the true\ncounterfactual"] = seen_images(method, pairs.truth)
    return [
        {
            "background": seen_images(method, pairs.background),
            "reconstructed": method.decode(Codes(common, null)),
        },
        {"target": seen_images(method, pairs.target), "reconstructed": method.decode(target)},
        swaps,
        {"target without\nsalient": bare},
    ]


def figure(groups: list[Group], heading: str) -> Figure:
    """Draw one pair a row under the titles of the columns; of a volume, its middle slice."""
    from matplotlib.figure import Figure

    n, columns = len(next(iter(groups[0].values()))), sum(map(len, groups))
    width = 2 * MARGIN + columns * (CELL + GAP) + (len(groups) - 1) * GROUP_GAP
    lines = textwrap.wrap(heading, int(width / LETTER))
    top = n * (CELL + GAP) + MARGIN
    height = top + TITLES + len(lines) * LINE + MARGIN
    made = Figure(figsize=(width, height), dpi=DPI)
    made.text(MARGIN / width, 1 - MARGIN / height, "\n".join(lines), fontsize=8, va="top")
    left = MARGIN
    for group in groups:
        for title, images in group.items():
            made.text((left + CELL / 2) / width, (top + GAP) / height, title, fontsize=7, ha="center")
            for row, image in enumerate(images):
                bottom = top - (row + 1) * (CELL + GAP)
                box = (left / width, bottom / height, CELL / width, CELL / height)
                axes = made.add_axes(box)
                axes.imshow(picture(image), cmap="gray", vmin=0, vmax=1)
                axes.set_axis_off()
            left += CELL + GAP
        left += GROUP_GAP
    return made


def picture(image: np.ndarray) -> np.ndarray:
    """Return an image (channels, height, width) as (height, width, channels), a grey one or a volume as a map."""
    if image.ndim == 4:
        # The first axis of a slice grows upwards in a brain, downwards in a picture.
        return image[0, image.shape[1] // 2, ::-1]
    return image[0] if len(image) == 1 else image.transpose(1, 2, 0)


def png(made: Figure) -> bytes:
    """Return a figure as a PNG of at most 300 KB, in as many colours as that leaves."""
    raw = io.BytesIO()
    made.savefig(raw, format="png")
    full = Image.open(raw).convert("RGB")
    for colours in COLOURS:
        packed = io.BytesIO()
        full.quantize(colours).save(packed, format="png", optimize=True)
        if packed.tell() <= LIMIT:
            break
    return packed.getvalue()
