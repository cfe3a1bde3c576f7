"""Where a number comes from: code, packages, machine, command."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import cabench
from cabench.yardstick import yardstick_seconds

PACKAGES = ("numpy", "torch", "torchvision", "pytorch-lightning", "scikit-learn", "scipy")


@cache
def static() -> dict[str, Any]:
    """Return what stays the same during a process."""
    return {
        "cabench": cabench.__version__,
        "git": _git(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "yardstick_s": round(yardstick_seconds(), 6),
        "packages": {name: version(name) for name in PACKAGES},
        "command": ["cabench", *sys.argv[1:]] if "cabench" in Path(sys.argv[0]).parts[-2:] else sys.argv[:],
    }


@cache
def accelerator(device: str) -> dict[str, Any]:
    """Return name and driver of the GPU that a device means; nothing for a CPU."""
    if not device.startswith("cuda"):
        return {}
    import torch

    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return {"gpu": torch.cuda.get_device_name(device), "cuda": torch.version.cuda, "driver": _output(*query)}


def version(name: str) -> str | None:
    """Return the version of an installed package, None if it is not there."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Return the commit, and a digest of what differs from it; None outside of a repository."""
    commit, changes = _output("git", "rev-parse", "HEAD"), _output("git", "diff", "HEAD")
    if commit is None or changes is None:
        return None
    untracked = _output("git", "ls-files", "--others", "--exclude-standard") or ""
    dirty = bool(changes or untracked)
    digest = hashlib.sha256(f"{changes}\n{untracked}".encode()).hexdigest()[:12] if dirty else None
    return {"commit": commit, "dirty": dirty, "digest": digest}


def _output(*command: str) -> str | None:
    """Return what a program prints about this checkout, or None if it fails."""
    root = Path(cabench.__file__).parent.parent
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, UnicodeDecodeError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
