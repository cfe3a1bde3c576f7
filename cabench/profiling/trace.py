"""Where the time of a training step goes: the harness's own loop, under PyTorch's profiler, by phase."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.profiler import ProfilerActivity, profile, record_function, schedule

from cabench.codes import Split
from cabench.errors import UserError
from cabench.loop import stratified_batches
from cabench.method import Context
from cabench.profiling.bench import threads
from cabench.store import write_bytes
from cabench.train import LightningMethod

STEPS = 4  # of an epoch
# Epochs that only warm up, one in which the profiler does, and the one that is told of.
WARM_UP, EPOCHS = 1, 3
# Ranges as the loop and the augmentation name them. Views are drawn and encoded within the range of the losses.
PHASES = ("augmentation", "encoders", "losses", "backward", "optimiser")
WITHIN_LOSSES = ("augmentation", "encoders")


@dataclass(frozen=True)
class Phase:
    """A part of a training step.

    Attributes:
        name: one of PHASES, or "rest": batches, sums of terms, Lightning.
        ms: milliseconds of a step, by the clock of the CPU.
        device_ms: those in which a GPU computed, 0 without one.
    """

    name: str
    ms: float
    device_ms: float


def trace(method: Any, train: Split, device: str, path: Path) -> list[Phase]:
    """Train for some steps, write a trace of STEPS of them for Chrome or Perfetto, and return the phases of one.

    Args:
        method: trained by gradient descent; its epochs are set for this.
        train: the images; the first batches are taken.
        device: "cpu", on one thread, or "cuda".
        path: the JSON file to write.

    Raises:
        UserError: the method has no training steps, the images are fewer than a batch, or the file cannot be
            written.
    """
    check_steps(method)
    method.epochs = EPOCHS
    method.replayed = False  # a replay has no phases
    batches = stratified_batches(train.y, method.batch_size, None)[:STEPS]
    found: list[Phase] = []

    def keep(profiler: profile) -> None:
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder) / "trace.json"
            profiler.export_chrome_trace(str(whole))
            write_bytes(path, whole.read_bytes())
        found.extend(phases(profiler.key_averages(), len(batches)))

    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
    plan = schedule(wait=WARM_UP, warmup=1, active=1)
    with (
        threads(device),
        _encoders_named(),
        profile(activities=activities, schedule=plan, on_trace_ready=keep) as p,
    ):
        context = Context(device=device, progress=lambda epoch, epochs: p.step())
        method.fit(_rows(train, np.concatenate(batches)), context=context)
    return found


def check_steps(method: Any) -> None:
    """Raise UserError if a method is not trained by gradient descent."""
    if not isinstance(method, LightningMethod):
        raise UserError(f"'{method.name}' is not trained by steps; name another with --method.")


def phases(events: Iterable[Any], steps: int) -> list[Phase]:
    """Return the phases of one of some steps, and the rest, from the averages of a profiler over them."""
    whole, own = (0.0, 0.0), dict.fromkeys(PHASES, (0.0, 0.0))
    for event in events:
        times = event.cpu_time_total, event.device_time_total
        if event.key in own:
            own[event.key] = times
        elif event.key.startswith("ProfilerStep"):
            whole = times
    ranges = dict(own)
    for name in WITHIN_LOSSES:
        own["losses"] = _less(own["losses"], ranges[name])
    own["rest"] = whole
    for name in PHASES:
        own["rest"] = _less(own["rest"], own[name])
    return [Phase(name, cpu / 1000 / steps, gpu / 1000 / steps) for name, (cpu, gpu) in own.items()]


def _less(whole: tuple[float, float], part: tuple[float, float]) -> tuple[float, float]:
    return whole[0] - part[0], whole[1] - part[1]


def _rows(split: Split, rows: np.ndarray) -> Split:
    labels = {name: column[rows] for name, column in split.labels.items()}
    return replace(split, x=split.x[rows], y=split.y[rows], labels=labels, groups=split.groups[rows])


@contextmanager
def _encoders_named() -> Iterator[None]:
    """Name the range of every outermost call of a network: encoders, their heads, decoders."""
    open_ranges: list[record_function] = []
    depth = 0

    def enter(module: nn.Module, inputs: Any) -> None:
        nonlocal depth
        if depth == 0:
            open_ranges.append(record_function("encoders").__enter__())
        depth += 1

    def leave(module: nn.Module, inputs: Any, outputs: Any) -> None:
        nonlocal depth
        depth -= 1
        if depth == 0:
            open_ranges.pop().__exit__(None, None, None)

    hooks = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
