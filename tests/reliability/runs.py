"""Runs in processes of their own, and what must be the same of two of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import psutil
from processes import ROOT, environment

PLUGINS = ROOT / "tests" / "plugins"
COMMAND = [sys.executable, "-m", "cabench"]


class Launch:
    """A `cabench run` with processes of its own group, whose output goes to a file."""

    def __init__(self, folder, *words, **more):
        self.said = folder / f"said-{len(list(folder.glob('said-*')))}"
        with self.said.open("w") as out:
            self.process = subprocess.Popen(
                [*COMMAND, "run", *map(str, words)],
                cwd=folder,
                env=environment() | more,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A shell's background jobs ignore Ctrl-C, and so would theirs.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()

    def wait(self, timeout=300):
        """Return the exit code."""
        return self.process.wait(timeout)

    def ends_within(self, seconds):
        """Return whether no process of the group lives any longer; dead ones may wait for their parent."""
        end = time.monotonic() + seconds
        while alive := [p for p in psutil.process_iter() if self._owns(p)]:
            if time.monotonic() > end:
                print(alive)
                self.signal(signal.SIGKILL)
                return False
            time.sleep(0.05)
        return True

    def _owns(self, process):
        try:
            return os.getpgid(process.pid) == self.process.pid and process.status() != psutil.STATUS_ZOMBIE
        except (ProcessLookupError, psutil.Error):
            return False

    @property
    def text(self):
        return self.said.read_text()


def finished(folder):
    """Return how often all launches of a folder said that a cell is done, by cell."""
    lines = [line for said in folder.glob("said-*") for line in said.read_text().splitlines()]
    return Counter(line.split(":")[0] for line in lines if ": done" in line)


def records(results, shelf="runs"):
    """Return the records of a results folder by run id."""
    return {path.parent.name: json.loads(path.read_text()) for path in (results / shelf).glob("*/record.json")}


def numbers(results):
    """Return all that records say but for clocks and memory."""
    found = {}
    for shelf in ("runs", "references"):
        for run_id, record in records(results, shelf).items():
            metrics = [row for row in record["metrics"] if row["family"] != "cost"]
            kept = {key: value for key, value in record.items() if key not in ("provenance", "cost")}
            digest = record["provenance"]["data_digest"]
            found[shelf, run_id] = kept | {"metrics": metrics, "digest": digest}
    return found
