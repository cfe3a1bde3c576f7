"""What each metric means and which way it points; light, so that `cabench list metrics` can read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A metric's card; `bounds` are its least and largest value."""

    name: str
    direction: Literal["higher", "lower"]
    bounds: tuple[float, float]
    title: str


INF = float("inf")
METRICS = {
    metric.name: metric
    for metric in (
        Metric("balanced_accuracy", "higher", (0, 1), "mean recall over classes of a linear probe"),
        Metric("accuracy", "higher", (0, 1), "share of test rows that a linear probe gets right"),
        Metric("r2", "higher", (-INF, 1), "variance of a continuous factor explained by a ridge probe"),
        Metric("mae", "lower", (0, INF), "mean absolute error of a ridge probe, in the factor's unit"),
        Metric("info", "higher", (0, 1), "mean over factors of what the home code holds, chance 0, ceiling 1"),
        Metric("leak", "lower", (0, 1), "mean over factors of what the foreign code holds, chance 0, ceiling 1"),
        Metric("CAscore", "higher", (0, 1), "harmonic mean of info and 1 - leak"),
        Metric("delta_tot", "lower", (0, INF), "summed distance in points from perfect at home and chance abroad"),
        Metric("delta_tot_y", "lower", (0, INF), "delta_tot with the factor `target` included"),
    )
}
