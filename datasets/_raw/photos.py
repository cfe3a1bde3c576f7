"""One photograph at a time: open, crop, and turn into an array; a damaged one is Unreadable."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from cabench.dataset import Unreadable

# The filter of PIL whose result is nearest to OpenCV's INTER_AREA, by which medical recipes shrink photographs.
AREA = Image.Resampling.HAMMING


def read_photo(path: Path, mode: Literal["RGB", "L"]) -> Image.Image:
    """Open a picture and decode all of it.

    Args:
        path: the file, of any format that Pillow knows.
        mode: "RGB" or "L" (grey).

    Raises:
        Unreadable: the file is missing, truncated or no picture.

    """
    try:
        with Image.open(path) as image:
            return image.convert(mode)
    except UnidentifiedImageError as error:
        raise Unreadable("it is no image" if path.stat().st_size else "it is empty") from error
    # What Pillow's decoders raise on damaged bytes, and on a picture too large to be one of a data set.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Unreadable(getattr(error, "strerror", None) or str(error)) from error


def centre_crop(image: Image.Image, side: int) -> Image.Image:
    """Return the middle square of a picture.

    Args:
        image: at least `side` pixels wide and high.
        side: of the square, in pixels.

    Raises:
        Unreadable: the picture is smaller than the square.

    """
    width, height = image.size
    if min(width, height) < side:
        raise Unreadable(f"it is {width}x{height}, smaller than the {side}x{side} that are cut out of it")
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


def to_array(image: Image.Image) -> np.ndarray:
    """Return the pixels of a picture, uint8 (3, h, w) for RGB and (1, h, w) for grey."""
    pixels = np.asarray(image, np.uint8)
    channels_first = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(channels_first)
