"""The words of a figure, and whether they can be read."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def said(figure):
    """Return all words of a figure, on one line."""
    return " ".join(" ".join(texts(figure)).split())


def overlaps(figure):
    """Return the pairs of texts that overlap, and the texts that leave the figure."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    seen = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    # A tick beyond the limits keeps its text but is not drawn.
    ticks = {}
    for axes in figure.axes:
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            for tick in axis.get_major_ticks():
                inside = min(limits) <= tick.get_loc() <= max(limits)
                ticks |= {tick.label1: inside, tick.label2: False}
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in seen if ticks.get(text, True)]
    whole = figure.bbox
    outside = [t for t, b in boxes if b.x0 < 0 or b.y0 < 0 or b.x1 > whole.x1 + 0.5 or b.y1 > whole.y1 + 0.5]
    # One pixel of the anti-aliased edge belongs to both.
    x0, y0, x1, y1 = np.array([b.extents for _, b in boxes]).T
    meet = (np.minimum.outer(x1, x1) - np.maximum.outer(x0, x0) > 1) & (
        np.minimum.outer(y1, y1) - np.maximum.outer(y0, y0) > 1
    )
    pairs = [(boxes[i][0], boxes[j][0]) for i, j in np.argwhere(np.triu(meet, 1))]
    return pairs, outside
