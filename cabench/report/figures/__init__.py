"""Figures of a report, one per file; nothing of matplotlib is imported before one is drawn."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from cabench.errors import UserError, did_you_mean
from cabench.store import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Name of a figure -> what it shows. The function of that name lies in the file of that name.
FIGURES = {
    "plane": "info against leak, a point per method",
    "heatmap": "every probe of every method between chance and ceiling",
    "ranks": "mean rank of the methods by CAscore",
    "cost": "CAscore against the CPU time of the fit",
    "curves": "loss terms of a run, epoch by epoch",
    "maps": "both codes of a run's test images in two dimensions",
    "neighbours": "test images and their nearest neighbours in both codes",
}
FORMATS = (".png", ".pdf")
DPI = 150


def drawer(name: str) -> Callable[..., Figure]:
    """Return the function that draws a figure of `FIGURES`.

    Raises:
        UserError: there is no such figure.
    """
    if name not in FIGURES:
        raise UserError(f"There is no figure '{name}'.{did_you_mean(name, FIGURES)}")
    function: Callable[..., Figure] = getattr(import_module(f"{__name__}.{name}"), name)
    return function


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or PDF, as the suffix says, whole or not at all; a PDF holds its fonts.

    Raises:
        UserError: another suffix, or the folder is read-only or full.
    """
    import matplotlib

    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"'{path.name}' is no picture that can be written; end it in {' or '.join(FORMATS)}.")
    drawn = io.BytesIO()
    # The default, type 3, is refused by some publishers and cannot be edited.
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        figure.savefig(drawn, format=suffix[1:], dpi=DPI)
    write_bytes(path, drawn.getvalue())
