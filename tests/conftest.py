"""Fixtures shared by all tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT, run

PLUGINS = ROOT / "tests" / "plugins"


@pytest.fixture
def plugins() -> Path:
    """The folder of the toy plugins."""
    return PLUGINS


@pytest.fixture
def cabench(tmp_path):
    """Run `python -m cabench` in a folder away from the checkout; returns the finished process."""

    def call(*args: str, cwd: Path = tmp_path, **kwargs) -> subprocess.CompletedProcess[str]:
        return run([sys.executable, "-m", "cabench", *args], cwd, **kwargs)

    return call
