"""What a fit took and what it left: seconds, throughput, memory, parameters, operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cabench.codes import Split


def fit_cost(method: Any, train: Split, times: Mapping[str, Any]) -> dict[str, float]:
    """Return the facts of `cabench.metrics.cost`: those that make sense for the method.

    Args:
        method: fitted.
        train: what it was fitted on.
        times: wall_s, cpu_s and peak_memory_mb of the fit.
    """
    cost = {f"fit_{name}": float(times[name]) for name in ("wall_s", "cpu_s")}
    cost["peak_memory_mb"] = float(times["peak_memory_mb"])
    epochs = getattr(method, "epochs", 0)
    if epochs:
        cost["images_per_s"] = epochs * len(train) / max(cost["fit_wall_s"], 1e-9)
    networks = getattr(method, "networks_", None)
    if networks is not None:
        cost["parameters"] = float(sum(p.numel() for p in networks.parameters()))
        cost["embed_mflop"] = _operations(method, train) / 1e6
    return cost


def _operations(method: Any, train: Split) -> int:
    """Return the floating-point operations that the two codes of one image take."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        method.embed(train.x[:1])
    return int(counter.get_total_flops())
