"""What stands between a user and the first answer: CPU time of processes, the least of some."""

import resource
import subprocess
import sys

import pytest
from processes import environment


def cpu_seconds(*words):
    """Return the least CPU time that Python takes for some words."""
    taken = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], env=environment(), check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(taken)


@pytest.mark.parametrize(
    ("words", "bar"), [(("-c", "import cabench"), 0.05), (("-m", "cabench", "--help"), 0.3)], ids=["import", "help"]
)
def test_it_starts_within_its_time(words, bar):
    taken = cpu_seconds(*words) - cpu_seconds("-c", "pass")
    print(f"{' '.join(words)}: {1000 * taken:.0f} ms beyond Python's own")
    assert taken <= bar
