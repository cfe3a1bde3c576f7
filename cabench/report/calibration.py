"""How hard a data set is: chance, floors and ceiling of every factor."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from cabench.report.leaderboard import SHORT
from cabench.report.scores import HEADLINES, Score, text

LEAST_CEILING = 0.80
LEAST_GAP = 0.10


def calibration(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield a data set's name and its table: one row per factor, over data seeds.

    A floor's column holds the better of its two codes: what the images give away to a method that separates
    nothing. `remark` says where the ceiling is low, or a floor comes within a tenth of it.

    Args:
        table: the frame of `report.frame` of floor methods, on data sets that differ in their data seed.
    """
    heads = table[table["name"].isin(HEADLINES)].copy()
    heads["set"] = heads["dataset"].str.partition("[")[0]
    for name, part in heads.groupby("set"):
        rows = []
        for (home, factor), cells in part.groupby(["home", "factor"], sort=False):
            best = cells.groupby(["method", "dataset", "seed"])["value"].max()
            floors = best.groupby("method")
            ceilings = cells.drop_duplicates("dataset")["ceiling"]
            rows.append(
                {
                    "factor": factor,
                    "home": home,
                    "metric": SHORT[cells["name"].iloc[0]],
                    "chance": mean(cells["chance"]),
                }
                | {method: mean(values) for method, values in floors}
                | {"ceiling": mean(ceilings), "remark": _remark(ceilings.mean(), floors.mean().max())}
            )
        ordered = pd.DataFrame(rows).sort_values("home", ascending=False, kind="stable")
        yield str(name), ordered.reset_index(drop=True)


def mean(values: pd.Series) -> str:
    """Return "mean ± standard deviation" of numbers, "-" without any; a spread that rounds to 0 is left out."""
    numbers = values.dropna().astype(float)
    return "-" if numbers.empty else text(Score(float(numbers.mean()), float(numbers.std())))


def _remark(ceiling: float, floor: float) -> str:
    if pd.isna(ceiling):
        return "no ceiling"
    low = [f"ceiling below {LEAST_CEILING:.2f}"] if ceiling < LEAST_CEILING else []
    near = [f"a floor within {LEAST_GAP:.2f} of the ceiling"] if ceiling - floor < LEAST_GAP else []
    return "; ".join(low + near)
