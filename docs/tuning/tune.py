"""The search of the quick tier's settings: on validation only, the same number of trials for every method.

    python docs/tuning/tune.py [METHOD ...]

Each trial trains with one set of parameters, seed 0, probes the validation part, and appends a row to `quick.csv`;
a trial that stands there is not run again. What a trial changes stands in `TRIALS`. All of them are tried on the
first data set, the FINALISTS of each method on the second; the best mean CAscore over both wins.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from cabench import load_dataset, load_method
from cabench.codes import Splits
from cabench.measure import measure
from cabench.metrics.evaluate import home_scores
from cabench.metrics.evidence import Ceilings

FILE = Path(__file__).with_name("quick.csv")
WORKERS = 2
COLUMNS = ("method", "dataset", "params", "info", "leak", "CAscore", "cpu_s", "trend")
DATASETS = ("cifar_mnist", "odir_subtypes")
FINALISTS = 2
SMALL = {"batch_size": 64}
HALF = {"common_beta": 0.5, "salient_beta": 0.5}
TRIALS: dict[str, list[dict[str, Any]]] = {
    "sepclr": [{}, {"mi_weight": 5.0}, {"mi_weight": 40.0}, {"learning_rate": 2e-3}, {"learning_rate": 8e-3}],
    "cvae": [
        {},
        HALF,
        {"salient_beta": 0.2},
        {"learning_rate": 8e-3},
        {"learning_rate": 8e-3, "common_beta": 0.2, "salient_beta": 0.2},
    ],
    "convae": [
        {},
        HALF,
        {"tc_weight": 10.0},
        HALF | {"tc_weight": 10.0},
        HALF | {"learning_rate": 8e-3},
    ],
    "sepvae": [
        {},
        HALF,
        HALF | {"tc_weight": 10.0},
        HALF | {"prior_variance": 0.05},
        HALF | {"learning_rate": 8e-3},
    ],
    "mmcvae": [
        {},
        HALF,
        {"common_mmd_weight": 20.0, "salient_mmd_weight": 2.0},
        {"common_mmd_weight": 78.0, "salient_mmd_weight": 7.8},
        HALF | {"learning_rate": 8e-3},
    ],
    "srb_vae": [
        {},
        SMALL,
        SMALL | {"learning_rate": 1e-3},
        SMALL | {"adversarial_weight": 0.1},
        SMALL | {"latent_weight": 0.1},
    ],
    "double_infogan": [
        {},
        {"learning_rate": 1e-3},
        {"learning_rate": 1e-2},
        {"reconstruction_weight": 10.0},
        {"batch_size": 32, "learning_rate": 1e-3},
    ],
    "dann": [
        {},
        {"adversary_weight": 0.3},
        {"adversary_weight": 3.0},
        {"adversary_steps": 1},
        {"adversary_rate": 1e-2},
    ],
    "cpca_plus_plus": [{"ridge": ridge} for ridge in (1e-3, 1e-2, 0.1, 0.3, 1.0)],
}


@cache
def validated(dataset: str) -> Splits:
    """Return a data set whose test part is its validation part."""
    splits = load_dataset(dataset)
    return replace(splits, test=splits.validation)


@cache
def ceilings(dataset: str) -> Ceilings:
    """Return the supervised scores on validation."""
    splits = validated(dataset)
    return home_scores(measure(load_method("supervised", dataset=dataset).fit(splits.train), splits))


def trial(method: str, dataset: str, params: dict[str, Any]) -> dict[str, Any]:
    """Fit once and return a row."""
    import torch

    torch.set_num_threads(1)
    splits, scale = validated(dataset), ceilings(dataset)
    made = load_method(method, dataset=dataset, **params)
    seen = (lambda split: split) if made.supervision == "attributes" else (lambda split: split.blind())
    begun = time.process_time()
    made.fit(seen(splits.train), seen(splits.validation))
    seconds = time.process_time() - begun
    summary = {row["name"]: round(row["value"], 3) for row in measure(made, splits, scale) if row["factor"] is None}
    names = {name: summary[name] for name in ("info", "leak", "CAscore")}
    text = json.dumps(params, sort_keys=True)
    return {"method": method, "dataset": dataset, "params": text, "cpu_s": round(seconds, 1)} | names | {
        "trend": getattr(made, "trend_", None)
    }  # fmt: skip


def main(names: list[str]) -> None:
    """Run the trials of the methods named, or of all, that are not in the file yet."""
    if not FILE.exists():
        FILE.write_text(",".join(COLUMNS) + "\n")
    first, second = DATASETS
    run([(method, first, params) for method in names or TRIALS for params in TRIALS[method]])
    run([(method, second, params) for method in names or TRIALS for params in finalists(method)])


def finalists(method: str) -> list[dict[str, Any]]:
    """Return the parameters of a method's best trials on the first data set."""
    tried = [row for row in written() if (row["method"], row["dataset"]) == (method, DATASETS[0])]
    best = sorted(tried, key=lambda row: float(row["CAscore"]), reverse=True)[:FINALISTS]
    return [json.loads(row["params"]) for row in best]


def run(trials: list[tuple[str, str, dict[str, Any]]]) -> None:
    """Run those trials that are not in the file yet, and write their rows as they come."""
    done = {(row["method"], row["dataset"], row["params"]) for row in written()}
    todo = [item for item in trials if (*item[:2], json.dumps(item[2], sort_keys=True)) not in done]
    with ProcessPoolExecutor(WORKERS) as pool:
        for future in as_completed([pool.submit(trial, *item) for item in todo]):
            row = future.result()
            with FILE.open("a", newline="") as file:
                csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(row)
            print(row, flush=True)


def written() -> list[dict[str, str]]:
    """Return the rows of the file."""
    with FILE.open() as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main(sys.argv[1:])
