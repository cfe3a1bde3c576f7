"""What an epoch costs: CPU-seconds of every trained method on every data set, with one thread.

    python docs/tuning/budget.py [DATASET ...]

SepCLR's fit in the quick tier is the budget that all get. The methods are timed in turn on one set, in one process,
so that a slow minute of the machine is shared; `budget.csv` says how many epochs of each method cost what SepCLR
costs. A data set that stands there is measured again only by name.
"""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

import torch

from cabench import load_dataset, load_method
from cabench.codes import Splits
from cabench.registry import find

FILE = Path(__file__).with_name("budget.csv")
REFERENCE = "sepclr"
EPOCHS = 2
ROUNDS = 2


def cost(method: str, dataset: str, splits: Splits) -> float:
    """Return the CPU-seconds of one epoch, with the validation that follows it."""
    made = load_method(method, dataset=dataset, epochs=EPOCHS)
    seen = (lambda split: split) if made.supervision == "attributes" else (lambda split: split.blind())
    begun = time.process_time()
    made.fit(seen(splits.train), seen(splits.validation))
    return (time.process_time() - begun) / EPOCHS


def main(names: list[str]) -> None:
    """Time all methods on the data sets named, or on those that are not in the file yet."""
    torch.set_num_threads(1)
    rows = list(csv.DictReader(FILE.open())) if FILE.exists() else []
    trained = [name for name in find("method") if getattr(load_method(name), "epochs", 0)]
    for dataset in names or [name for name in find("dataset") if name not in {row["dataset"] for row in rows}]:
        splits = load_dataset(dataset)
        # The cheaper of two rounds: what else the machine does only ever adds.
        costs = {name: min(cost(name, dataset, splits) for _ in range(ROUNDS)) for name in trained}
        budget = costs[REFERENCE] * load_method(REFERENCE, dataset=dataset).epochs
        rows = [row for row in rows if row["dataset"] != dataset]
        for name, seconds in costs.items():
            epochs = max(1, round(budget / seconds))
            rows.append(
                {"dataset": dataset, "method": name, "s_per_epoch": f"{seconds:.3f}", "epochs": str(epochs)}
            )
            print(rows[-1], flush=True)
        with FILE.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
