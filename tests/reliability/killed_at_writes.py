"""Kills a process at each of a cell's writes in turn, before the new file takes its place.

`python killed_at_writes.py FOLDER` runs one cell without a kill in FOLDER/whole, and in FOLDER/killed by several
processes, the nth of which is killed at its nth write. It prints how many kills and resumed fits.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path

from cabench.execute import execute
from cabench.plan import make_plan
from cabench.store import Store
from cabench.worker import Options

TOY = Path(__file__).resolve().parents[1] / "plugins" / "toy.py"
replace = Path.replace


def run(results):
    plan = make_plan("simclr", "toy", tier="smoke", plugins=[TOY])
    (record,) = execute(plan, Store(results), Options(device="cpu"))
    return record


def die_at(write):
    """Kill this process when it is about to put a file into its place for the nth time."""
    left = [write]

    def counted(self, target):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(self, target)

    Path.replace = counted


def main(folder):
    importlib.import_module("cabench.loop")  # here once, rather than in every process
    child = os.fork()  # all that is kept in memory stays in processes of their own
    if child == 0:
        run(folder / "whole")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    kills, write = 0, 1
    while True:
        child = os.fork()
        if child == 0:
            die_at(write)
            run(folder / "killed")
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if status == 0:
            break
        assert os.WIFSIGNALED(status)
        kills, write = kills + 1, write + 1
    (record,) = (folder / "killed" / "runs").glob("*/record.json")
    print(kills, len(json.loads(record.read_text())["provenance"]["resumed"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
