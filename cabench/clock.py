"""What a piece of work takes, here or in another process: seconds of the wall and of the CPU, and peak memory."""

from __future__ import annotations

import contextlib
import resource
import time
from datetime import UTC, datetime
from typing import Any

import psutil

from cabench.memory import peak_memory


class Clock:
    """Runs from when it is made; the peak that it tells is that since `cabench.memory.forget_peak`.

    Args:
        earlier: wall_s and cpu_s that count as spent already.
    """

    def __init__(self, earlier: dict[str, float] | None = None) -> None:
        spent = earlier or {"wall_s": 0.0, "cpu_s": 0.0}
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
        """Return when it started, what was spent, and the peak of memory in MiB."""
        return _reading(self._started, **self.spent(), peak=peak_memory())


class Observer:
    """Sees what another process takes from now on, whenever it looks: one that was killed tells nothing any more.

    Args:
        pid: of the process.
    """

    def __init__(self, pid: int) -> None:
        self._started = datetime.now(UTC)
        self._began = time.perf_counter()
        self._before = self._cpu = self._held = self._peak = 0.0
        self._process: psutil.Process | None = None
        with contextlib.suppress(psutil.Error):
            self._process = psutil.Process(pid)
            self._before = _cpu_seconds_of(self._process)
        self.look()

    def look(self) -> None:
        """See what it has taken by now; nothing changes if it is gone."""
        if self._process is not None:
            with contextlib.suppress(psutil.Error):
                self._cpu = _cpu_seconds_of(self._process) - self._before
                self._held = self._process.memory_info().rss
                self._peak = max(self._peak, self._held)

    @property
    def held_memory(self) -> float:
        """Bytes that it held at the last look."""
        return self._held

    def wall_seconds(self) -> float:
        """Return the seconds since this was made."""
        return time.perf_counter() - self._began

    def read(self) -> dict[str, Any]:
        """Return what `Clock.read` does: CPU up to the last look, and the largest size at any look."""
        return _reading(self._started, self.wall_seconds(), self._cpu, self._peak)


def _cpu_seconds_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _reading(started: datetime, wall_s: float, cpu_s: float, peak: float) -> dict[str, Any]:
    """Return what a record says of a piece of work; the peak is in bytes."""
    return {
        "started": started.isoformat(timespec="seconds"),
        "wall_s": round(wall_s, 3),
        "cpu_s": round(cpu_s, 3),
        "peak_memory_mb": round(peak / 2**20, 1),
    }


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
