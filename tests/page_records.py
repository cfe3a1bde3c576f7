"""Records as a run writes them, made up: what the page is tried on without training anything."""

from __future__ import annotations

from cabench.report.frame import frame
from cabench.report.gather import Report
from cabench.spec import RunSpec

FACTORS = {"digit": "salient", "target": "salient", "object": "common", "age": "common"}
TERMS = ("loss", "reconstruction", "kl_common", "kl_salient", "null", "discriminator/loss")


def record(method="a", seed=0, dataset="d", tier="quick", source="synthetic", label=None, error=None, **more):
    """One record; `params`, `data_params` and `provenance` in `more` change its parts."""
    place = method, seed, dataset, tier, source
    shift = sum(map(ord, "".join(map(str, place)))) % 97 / 200
    made = {
        "schema_version": 2,
        "run_id": f"{dataset}-{method}-{seed}-{tier}-{source}",
        "label": label or method,
        "dataset_label": dataset,
        "spec": {
            "method": method,
            "params": {"epochs": 20, "rate": 0.001, "term": "none"} | more.get("params", {}),
            "dataset": dataset,
            "dataset_params": {"noise": 0.0} | more.get("data_params", {}),
            "source": source,
            "tier": tier,
            "seed": seed,
        },
        "status": "failed" if error else "done",
        "error": error,
        "metrics": [] if error else _metrics(shift),
        "families": {} if error else {"probe": 1, "cost": 1, "background": 1},
        "training": {} if error else {"trend": "flat", "history": _history(shift)},
        "provenance": {
            "cabench": "0.1.0",
            "command": ["cabench", "run"],
            "cores": 2,
            "cpu": "A processor",
            "cpu_s": 30 + shift,
            "data_digest": "d1" * 32,
            "device": "cpu",
            "git": {"commit": "c0" * 20, "dirty": True},
            "packages": {"numpy": "2.4.6", "torch": "2.14.1"},
            "peak_memory_mb": 1705.2,
            "platform": "Linux",
            "python": "3.11.7",
            "started": f"2026-01-01T00:00:{seed % 60:02}+00:00",
            "wall_s": 31.0 + shift,
        },
    }
    made["provenance"] |= more.get("provenance", {})
    return made


def stored(made):
    """Return a record under the run id that its spec has, as a store takes it."""
    return made | {"run_id": RunSpec(**made["spec"]).run_id}


def report(records, **more):
    return Report(records, frame(records), **more)


def many(methods=100, seeds=5, datasets=5, tiers=("quick", "paper")):
    """5,000 records unless told otherwise."""
    return report(
        [
            record(f"method_{m}", seed, f"data_{d}", tier, params={"rate": m / 1000})
            for m in range(methods)
            for seed in range(seeds)
            for d in range(datasets)
            for tier in tiers
        ]
    )


def _metrics(shift):
    scores = {"info": 0.5 + shift, "leak": 0.1 + shift / 2, "CAscore": 0.4 + shift, "delta_tot": 100 * shift}
    rows = [_metric(name, value) for name, value in scores.items()]
    rows += [_metric("fit_cpu_s", 30 + shift, family="cost")]
    rows += [_metric("detection_rate", shift, space="salient")]
    for factor, home in FACTORS.items():
        for space in ("common", "salient"):
            value = 0.5 + shift if space == home else 0.2 + shift / 3
            more = {"space": space, "home": home, "factor": factor, "chance": 0.1, "ceiling": 0.95}
            rows += [_metric(name, value, **more) for name in ("balanced_accuracy", "accuracy")]
    return rows


def _metric(name, value, **more):
    empty = {"factor": None, "space": None, "home": None, "chance": None, "ceiling": None}
    fixed = {"name": name, "value": value, "rows": "all", "n": 500, "direction": "higher", "family": "probe"}
    return empty | fixed | more


def _history(shift):
    epochs = [{f"train/{term}": (1 + shift) / (epoch + 1) for term in TERMS} for epoch in range(20)]
    for epoch in epochs[1::2]:
        epoch |= {name.replace("train", "validation"): value + 0.1 for name, value in epoch.items()}
        epoch |= {f"{name}/weighted": 2 * value for name, value in epoch.items()}
    return epochs
