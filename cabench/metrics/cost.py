"""Cost: what the codes took to make (METHODS 8.8). The facts are measured by the run; here they become metrics."""

from __future__ import annotations

from cabench.metrics.catalogue import FAMILIES
from cabench.metrics.evidence import Evidence, Rows


def measure(evidence: Evidence) -> Rows:
    """Yield the facts that the run knows; a closed form has no images per second."""
    for metric in FAMILIES["cost"].metrics:
        if metric.name in evidence.cost:
            yield evidence.row(metric.name, evidence.cost[metric.name])
