"""methods/README.md is followed to the letter."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "methods" / "README.md").read_text()


def block(language):
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A new user's folder with the README's file in it."""
    made = tmp_path_factory.mktemp("user")
    (made / "my_method.py").write_text(block("python"))
    return made


@pytest.mark.parametrize("command", block("bash").splitlines())
def test_each_command_works_as_it_is_written(folder, command):
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if " run " in command:
        rows = pd.read_csv(folder / "results" / "leaderboard.csv")
        assert {"my_method", "pca"} <= set(rows["method"])
    else:
        assert done.stdout == done.stderr == ""


def test_it_is_short():
    assert len(TEXT.splitlines()) <= 40
    assert len([line for line in block("python").splitlines() if line.strip()]) < 25


def test_every_file_that_it_names_is_there():
    for name in re.findall(r"`([\w/]+\.py)`", TEXT):
        assert name == "my_method.py" or (ROOT / name).is_file() or (ROOT / "methods" / name).is_file()
