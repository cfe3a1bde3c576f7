"""Separation metrics: info, leak, CAscore, delta_tot (METHODS 5.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from cabench.codes import Factor

Rows = list[dict[str, Any]]
# Below this distance between chance and ceiling a factor cannot be normalised: nobody can learn it.
LEAST_RANGE = 0.02


def gain(value: float, chance: float, ceiling: float) -> float:
    """Return where a score stands between chance (0) and the supervised ceiling (1), clipped.

    >>> round(gain(0.55, 0.1, 1.0), 6)
    0.5
    """
    return float(np.clip((value - chance) / (ceiling - chance), 0.0, 1.0))


def separation(rows: Iterable[Mapping[str, Any]], factors: Iterable[Factor]) -> dict[str, float | None]:
    """Summarise the headline probes of one cell.

    Args:
        rows: metric rows with name, factor, space, value, chance, ceiling (None if not known) and, of foreign
            codes, confounded: what the true factors of that space give away, which is no leakage (METHODS 5.4).
        factors: the data set's factors.

    Returns:
        info, leak, CAscore in [0, 1] (None without ceilings: they are the scale); delta_tot and
        delta_tot_y in percentage points over the categorical factors, without and with `target`.

    """
    table = {(row["factor"], row["space"]): row for row in rows if row["name"] in ("balanced_accuracy", "r2")}
    home_gains, foreign_gains = [], []
    deltas = {"delta_tot": 0.0, "delta_tot_y": 0.0}
    for factor in factors:
        foreign = "salient" if factor.home == "common" else "common"
        at_home, abroad = table.get((factor.name, factor.home)), table.get((factor.name, foreign))
        if at_home is None or abroad is None:
            continue
        chance, ceiling = at_home["chance"], at_home["ceiling"]
        if ceiling is not None and ceiling - chance > LEAST_RANGE:
            home_gains.append(gain(at_home["value"], chance, ceiling))
            given = abroad.get("confounded")
            excused = gain(given, chance, ceiling) if given is not None else 0.0
            foreign_gains.append(max(0.0, gain(abroad["value"], chance, ceiling) - excused))
        if factor.classes:
            distance = 100 * (abs(at_home["value"] - 1.0) + abs(abroad["value"] - chance))
            deltas["delta_tot_y"] += distance
            if factor.name != "target":
                deltas["delta_tot"] += distance
    if not home_gains:
        return {"info": None, "leak": None, "CAscore": None, **deltas}
    info, leak = float(np.mean(home_gains)), float(np.mean(foreign_gains))
    total = info + 1 - leak
    return {"info": info, "leak": leak, "CAscore": 2 * info * (1 - leak) / total if total else 0.0, **deltas}
