"""Seconds of functions that take turns: what slows the machine down slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

Function = Callable[[], object]
# (function, repeats) -> seconds of one call, the mean of the repeats.
Clock = Callable[[Function, int], float]

# A call of at least so many seconds keeps a GPU busy while the next is launched.
LAUNCHED = 0.02
SHORTEST = 0.03  # seconds that one take should last at least
FEWEST, MOST = 3, 9  # rounds


def cpu_seconds(function: Function, repeats: int = 1) -> float:
    """Return the CPU time of one call, the mean of some."""
    start = time.process_time()
    for _ in range(repeats):
        function()
    return (time.process_time() - start) / repeats


def gpu_seconds(function: Function, repeats: int = 1) -> float:
    """Return the time of one call between two events on the GPU, the mean of some; what launches it is in it."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        function()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1000 / repeats


def replay(function: Function) -> Function | None:
    """Return what replays the work of a function on a GPU, from a CUDA graph; None if that cannot be recorded."""
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(stream):
            function()
        with torch.cuda.graph(graph, stream=stream):
            function()
    except RuntimeError:  # whatever CUDA says of work that asks the device for a number; it ran a line before
        return None
    finally:
        torch.cuda.current_stream().wait_stream(stream)
    again: Function = graph.replay
    return again


def clock_of(device: str) -> Clock:
    """Return the clock of "cpu" or "cuda"."""
    return gpu_seconds if device == "cuda" else cpu_seconds


def takes(
    functions: Sequence[Function], rounds: int | None = None, clock: Clock = cpu_seconds, budget: float = 1.0
) -> list[tuple[float, ...]]:
    """Return the seconds of one call of each function, in each of some rounds in which they take turns.

    The order is reversed every other round. Each function runs before, which warms it up and says how often to
    repeat it.

    Args:
        functions: what to call.
        rounds: their number; None: as many as the budget allows, within FEWEST and MOST.
        clock: what to measure.
        budget: seconds.
    """
    alone = [_at_first(function, clock) for function in functions]
    repeats = [max(1, round(SHORTEST / seconds)) for seconds in alone]
    if rounds is None:
        one = sum(count * seconds for count, seconds in zip(repeats, alone, strict=True))
        rounds = max(FEWEST, min(MOST, int(budget / one)))
    found = []
    for turn in range(rounds):
        order = range(len(functions)) if turn % 2 == 0 else reversed(range(len(functions)))
        seconds = {i: clock(functions[i], repeats[i]) for i in order}
        found.append(tuple(seconds[i] for i in range(len(functions))))
    return found


def _at_first(function: Function, clock: Clock) -> float:
    first = clock(function, 1)
    # What is quick may have been slow for being cold.
    return max(1e-6, first if first > 10 * SHORTEST else min(first, clock(function, 1)))
