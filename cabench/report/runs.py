"""Figures of single runs: how one trained, what its codes hold, which images they take for alike, what it draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cabench import registry
from cabench.codes_file import CODES_FILE, read_part
from cabench.errors import UserError
from cabench.model_file import fitted
from cabench.report import swaps
from cabench.report.figures._parts import literal, run_title, sheet
from cabench.report.figures.curves import curves
from cabench.report.figures.maps import maps
from cabench.report.figures.neighbours import neighbours
from cabench.report.frame import newest
from cabench.report.gather import Report
from cabench.report.page.tables import place
from cabench.report.scores import over_factors
from cabench.spec import RunSpec, resolve
from cabench.store import Record, Store
from cabench.swaps import draw_pairs

NAMES = ("curves", "maps", "neighbours", "swaps")
ROWS = 6  # images or pairs of images in a picture


@dataclass
class RunFigures:
    """Draws the figures of runs; the images of a data set are loaded once for the runs on it that follow.

    Attributes:
        report: holds the runs.
        store: keeps their codes and models.
        plugins: files of methods and data sets that are not installed.
        data_root: the folder of the raw files of real runs.
    """

    report: Report
    store: Store
    plugins: Sequence[Path] = ()
    data_root: Path | None = None
    _test: dict[str, Any] = field(default_factory=dict)

    def draw(self, name: str, record: Record) -> Figure | None:
        """Return a figure of `NAMES`, None for the swaps of a method that draws no images.

        One that cannot be drawn is a sheet that says why.
        """
        draw: Callable[[Record], Figure | None] = getattr(self, f"_{name}")
        try:
            figure = draw(record)
        except UserError as error:
            figure = sheet(f"No {name} of {run_title(record)}", [str(error)], (4.5, 0.2))
        return literal(figure) if figure else None

    def _curves(self, record: Record) -> Figure:
        return curves(self.report, record["run_id"])

    def _maps(self, record: Record) -> Figure:
        return maps(self.report, self.store, record["run_id"])

    def _neighbours(self, record: Record) -> Figure:
        _, part = read_part(self.store.folder(record["run_id"]) / CODES_FILE, "test")
        images = self._images(record)
        # As many of each group: what is salient shows in the targets, that nothing is in the background.
        queries = [int(row) for y in (0, 1) for row in np.flatnonzero(part.y == y)[: ROWS // 2]]
        return neighbours(run_title(record), images, part.codes, queries)

    def _swaps(self, record: Record) -> Figure | None:
        from cabench.vae import Generative

        method = fitted(record, self.store.folder(record["run_id"]), self.plugins)
        if not isinstance(method, Generative):
            return None
        spec = RunSpec(**record["spec"])
        pairs = draw_pairs(self._dataset(spec), spec, ROWS, self.data_root)
        return swaps.figure(swaps.panels(method, pairs), f"{run_title(record)}: pairs of test images")

    def _dataset(self, spec: RunSpec) -> Any:
        cls = registry.get("dataset", spec.dataset, self.plugins).load()
        return cls(**resolve(cls, [spec.dataset_params], spec.dataset))

    def _images(self, record: Record) -> np.ndarray:
        """Return the test images of a run, uint8 (n, channels, ...)."""
        digest = str(record["provenance"]["data_digest"])
        if digest not in self._test:
            spec = RunSpec(**record["spec"])
            test = self._dataset(spec).load(source=spec.source, root=self.data_root, tier=spec.tier).test
            if test.digest() != digest:
                raise UserError("Its data are no longer those that it was trained on; run its cell again.")
            self._test = {digest: test.x}
        images: np.ndarray = self._test[digest]
        return images


def best_runs(report: Report) -> list[Record]:
    """Return the first run of the method with the best mean CAscore on each data set, source and tier."""
    best: dict[tuple[str, ...], tuple[float, Record]] = {}
    for record in first_runs(report):
        board = place(record)
        score = over_factors(report.measured[board][record["label"]], "CAscore")
        if score and score.mean > best.get(board, (-1.0, record))[0]:
            best[board] = score.mean, record
    return [record for _, record in best.values()]


def first_runs(report: Report) -> list[Record]:
    """Return the finished run with the least seed of each method on each data set, source and tier."""
    found: dict[tuple[Any, ...], Record] = {}
    for record in newest(report.records):
        if record["status"] == "done":
            found.setdefault((*place(record), record["label"]), record)
    return list(found.values())
