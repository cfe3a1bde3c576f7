"""The memory of this process: what it holds, and the most that it held since it was asked to forget."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

# Written to it, 5 resets the high-water mark of the process (proc(5), Linux).
_CLEAR = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")


def forget_peak() -> bool:
    """Let the peak start at what is held now; return whether this system can do so (Linux can)."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def peak_memory() -> int:
    """Return the most bytes held since `forget_peak`, or since the process began where nothing can be forgotten."""
    if STATUS.exists():
        # Not getrusage: its peak begins with that of the program that started this one.
        return read_bytes(STATUS, "VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def held_memory() -> int:
    """Return the bytes that are held now (Linux)."""
    return read_bytes(STATUS, "VmRSS")


def read_bytes(file: Path, name: str) -> int:
    """Return a line of the form "name: 12 kB" in bytes."""
    found = re.search(rf"^{name}:\s+(\d+) kB", file.read_text(), re.MULTILINE)
    assert found is not None, f"{file} has no {name}"
    return int(found[1]) * 1024
