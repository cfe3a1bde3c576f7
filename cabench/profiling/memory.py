"""The memory that a call takes beyond what was there before it, and what it is when there is none left."""

from __future__ import annotations

import ctypes
import gc
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from cabench.memory import STATUS, forget_peak, held_memory, peak_memory, read_bytes

_MEMORY = Path("/proc/meminfo")


def peak_bytes(function: Callable[[], object], device: str = "cpu") -> int | None:
    """Return the most memory that a call held at once, beyond what was held before it; None where nobody tells.

    On a GPU it is PyTorch's own; on a CPU the process's (Linux), to some hundred KB, after what is free has been
    given back to the system.
    """
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        torch.cuda.synchronize()
        peak: int = torch.cuda.max_memory_allocated() - before
        return peak
    _trim()
    if not forget_peak():
        return None
    before = held_memory()
    function()
    return max(0, peak_memory() - before)


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out."""
    words = ("out of memory", "can't allocate memory", "cannot allocate memory")
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    )


@contextmanager
def bounded(device: str) -> Iterator[None]:
    """Let allocations fail that a CPU's memory cannot hold, where Linux would kill the process instead."""
    if device != "cpu" or not _MEMORY.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = read_bytes(STATUS, "VmData") + read_bytes(_MEMORY, "MemAvailable")
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard < 0 else min(most, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _trim() -> None:
    """Give free memory of the heap back, or a call could use it unseen."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
