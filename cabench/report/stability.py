"""Whether the sub-groups that a method finds are the same for another training seed (METHODS 8.4)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from cabench.codes_file import read_predictions
from cabench.errors import UserError
from cabench.report.intervals import BOARD
from cabench.store import Store

FAMILY, SPACE = "subgroups", "salient"
# (dataset, source, tier, method) -> stability.
Stabilities = Mapping[tuple[str, ...], float]


def subgroup_stability(store: Store, table: pd.DataFrame) -> Stabilities:
    """Return the mean agreement of the salient clusters of two training seeds, per data set and method.

    Args:
        store: holds the runs' clusters, where they were measured; a damaged file has no part.
        table: what `cabench.report.frame.frame` makes of the records.
    """
    found: dict[tuple[str, ...], float] = {}
    done = table[(table["status"] == "done") & (table["name"] == "ami") & (table["space"] == SPACE)]
    for key, cells in done.groupby([*BOARD, "method"], sort=False):
        name = f"{FAMILY}/{cells['factor'].iloc[0]}/{SPACE}"
        runs = [_predictions(store.folder(run)) for run in cells["run_id"].unique()]
        clusters = [run[name] for run in runs if name in run]
        if len(clusters) > 1 and len({len(rows) for rows in clusters}) == 1:
            # Most folders have no clusters, and scikit-learn takes a second to import.
            from cabench.metrics.subgroups import stability

            found[tuple(key)] = stability(clusters)
    return found


def _predictions(folder: Path) -> Mapping[str, np.ndarray]:
    try:
        return read_predictions(folder)
    except UserError:
        return {}
