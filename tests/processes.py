"""Processes as a new user starts them: away from the checkout, with the cabench that is under test."""

import os
import subprocess
import sys
import time
from pathlib import Path

import cabench

ROOT = Path(__file__).resolve().parent.parent
# Linux counts the memory of the process that starts a program into its peak: a small one must do it, not pytest.
MEASURE = """
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
sys.exit(code)
"""


def environment():
    """Return variables under which `python` and `cabench` are this Python and the package under test."""
    found = {**os.environ, "COLUMNS": "200", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    # In a development checkout nothing is installed; then the checkout itself is the package.
    if Path(cabench.__file__).parent.parent == ROOT:
        found["PYTHONPATH"] = str(ROOT)
    return found


def run(command, folder, seconds=300, **more):
    """Return the finished process of a command, its output as text."""
    words = list(map(str, command))
    return subprocess.run(
        words, cwd=folder, env=environment(), capture_output=True, text=True, timeout=seconds, check=False, **more
    )


def measured(command, folder, seconds=300):
    """Run a command, which must succeed; return its seconds, its CPU-seconds and its peak memory in bytes."""
    done = run([sys.executable, "-c", MEASURE, *command], folder, seconds)
    assert done.returncode == 0, done.stderr
    return tuple(map(float, done.stdout.split()))


def wait_until(condition, seconds=60):
    """Wait for what another process does, and fail if it does not happen."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)
