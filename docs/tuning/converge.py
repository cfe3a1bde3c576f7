"""Where more training changes little: the budgets of the converged tier, on validation.

    python docs/tuning/converge.py [DATASET ...]

The quick tier's epochs are doubled until this no longer raises the CAscore of validation by more than GAIN,
or until the next doubling would take more than LIMIT CPU-seconds. Each fit is a row of `converged.csv`; one that
stands there is not run again. At the end the budgets are printed, as the table of README.md.
"""

from __future__ import annotations

import csv
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

from tune import trial

from cabench import load_method
from cabench.registry import find

FILE = Path(__file__).with_name("converged.csv")
COLUMNS = ("method", "dataset", "epochs", "info", "leak", "CAscore", "cpu_s", "trend")
GAIN = 0.02
LIMIT = 400.0
WORKERS = 2
METHODS = (
    "sepclr",
    "sepclr_attributes",
    "cvae",
    "convae",
    "mmcvae",
    "sepvae",
    "srb_vae",
    "double_infogan",
    "simclr",
    "simclr_target",
    "dann",
    "supervised_y",
    "supervised",
)


def settled(rows: list[dict[str, Any]]) -> bool:
    """Return whether a doubling brought little."""
    return len(rows) > 1 and enough(rows) is not rows[-1]


def ended(rows: list[dict[str, Any]]) -> bool:
    """Return whether a search is over: it has settled, or the next doubling would take too long."""
    return settled(rows) or (len(rows) > 0 and 2 * float(rows[-1]["cpu_s"]) > LIMIT)


def enough(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the first row whose doubling brought little, or the last one."""
    for row, doubled in pairwise(rows):
        # Scores have three digits, as has their difference.
        if round(float(doubled["CAscore"]) - float(row["CAscore"]), 3) <= GAIN:
            return row
    return rows[-1]


def chosen() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the row of the converged budget of every method and data set in the file."""
    return {pair: enough(rows) for pair, rows in searched().items()}


def searched() -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Return the rows of every method and data set in the file, the shortest fit first."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in written():
        found.setdefault((row["method"], row["dataset"]), []).append(row)
    return found


def double(method: str, dataset: str) -> None:
    """Double the budget of a method on a data set until it has settled or costs too much; a fit leaves a row."""
    rows: list[dict[str, Any]] = list(searched().get((method, dataset), []))
    epochs = int(rows[-1]["epochs"]) * 2 if rows else load_method(method, dataset=dataset).epochs
    while not ended(rows):
        row = trial(method, dataset, {"epochs": epochs}) | {"epochs": epochs}
        rows.append({name: row[name] for name in COLUMNS})
        with FILE.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(rows[-1])
        print(rows[-1], flush=True)
        epochs *= 2


def main(names: list[str]) -> None:
    """Settle every method on the data sets named, or on all."""
    if not FILE.exists():
        FILE.write_text(",".join(COLUMNS) + "\n")
    with ProcessPoolExecutor(WORKERS) as pool:
        pairs = [(method, dataset) for method in METHODS for dataset in names or find("dataset")]
        for done in [pool.submit(double, *pair) for pair in pairs]:
            done.result()
    print(table())


def table() -> str:
    """Return what was found, in markdown: epochs and CAscore of the quick tier -> those of the converged one."""
    found = searched()
    datasets = sorted({dataset for _, dataset in found})
    lines = ["| | " + " | ".join(f"`{name}`" for name in datasets) + " |", "|---" * (len(datasets) + 1) + "|"]
    for method in METHODS:
        cells = [_cell(found[method, name]) if (method, name) in found else "" for name in datasets]
        lines.append(f"| `{method}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(rows: list[dict[str, Any]]) -> str:
    """Return a cell of the table; a star says that the limit ended the search while training still helped."""
    first, last = rows[0], enough(rows)
    star = "" if settled(rows) else "*"
    ends = [first] if first is last else [first, last]
    epochs = " → ".join(str(row["epochs"]) for row in ends)
    return f"{epochs}{star}, " + " → ".join(f"{float(row['CAscore']):.2f}".lstrip("0") for row in ends)


def written() -> list[dict[str, str]]:
    """Return the rows of the file."""
    with FILE.open() as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main(sys.argv[1:])
