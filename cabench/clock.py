"""What a piece of work takes: seconds of the wall and of the CPU, and the process's peak memory."""

from __future__ import annotations

import resource
import time
from datetime import UTC, datetime
from typing import Any

from cabench.memory import forget_peak, peak_memory


class Clock:
    """Runs from when it is made; the peak that it tells is that since any clock was last made (Linux).

    Args:
        earlier: wall_s and cpu_s that count as spent already.
    """

    def __init__(self, earlier: dict[str, float] | None = None) -> None:
        spent = earlier or {"wall_s": 0.0, "cpu_s": 0.0}
        forget_peak()  # of what this process did before
        self._started = datetime.now(UTC)
        # A clock of its own, not the one that a user may set while a cell runs.
        self._wall = time.perf_counter() - spent["wall_s"]
        self._cpu = _cpu_seconds() - spent["cpu_s"]

    def spent(self) -> dict[str, float]:
        """Return wall_s and cpu_s so far."""
        return {
            "wall_s": round(time.perf_counter() - self._wall, 3),
            "cpu_s": round(_cpu_seconds() - self._cpu, 3),
        }

    def read(self) -> dict[str, Any]:
        """Return when it started, what was spent, and the process's largest resident size since then, in MB."""
        started = self._started.isoformat(timespec="seconds")
        return {"started": started, **self.spent(), "peak_memory_mb": round(peak_memory() / 2**20, 1)}


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
