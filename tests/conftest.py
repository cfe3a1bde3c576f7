"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = ROOT / "tests" / "plugins"


@pytest.fixture
def plugins() -> Path:
    """The folder of the toy plugins."""
    return PLUGINS


@pytest.fixture
def cabench(tmp_path):
    """Run `python -m cabench` in a folder away from the checkout; returns the finished process."""

    def call(*args: str, cwd: Path = tmp_path, **kwargs) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COLUMNS": "200"}
        # In a development checkout nothing is installed; then the checkout itself is the package.
        import cabench as package

        if Path(package.__file__).parent.parent == ROOT:
            environment["PYTHONPATH"] = str(ROOT)
        command = [sys.executable, "-m", "cabench", *map(str, args)]
        return subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            **kwargs,
        )

    return call
