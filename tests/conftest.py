"""Fixtures shared by all tests."""

from __future__ import annotations

import contextlib
import io
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


@pytest.fixture(scope="module")
def browser():
    """A headless chromium."""
    from browsing import CHROMIUM
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """Call what `python -m cabench` calls, in this process and in `tmp_path`; returns it as a finished process."""
    from cabench.__main__ import main

    monkeypatch.chdir(tmp_path)

    def call(*args: str | Path) -> subprocess.CompletedProcess[str]:
        words = ["cabench", *map(str, args)]
        monkeypatch.setattr(sys, "argv", words)
        out, err, code = io.StringIO(), io.StringIO(), 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as end:
                code = int(end.code or 0)
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    return call
