"""methods/README.md is followed to the letter."""

import re
from pathlib import Path

import pandas as pd
import pytest
from documents import blocks, follow

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "methods" / "README.md").read_text()
PYTHON, BASH = blocks(TEXT, "python", "bash")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A new user's folder with the README's file in it."""
    made = tmp_path_factory.mktemp("user")
    follow(PYTHON._replace(title="my_method.py"), made)
    return made


@pytest.mark.parametrize("command", BASH.code.splitlines())
def test_each_command_works_as_it_is_written(folder, command):
    printed = follow(BASH._replace(code=command), folder)
    if " run " in command:
        rows = pd.read_csv(folder / "results" / "leaderboard.csv")
        assert {"my_method", "pca"} <= set(rows["method"])
    else:
        assert printed == ""


def test_it_is_short():
    assert len(TEXT.splitlines()) <= 40
    assert len([line for line in PYTHON.code.splitlines() if line.strip()]) < 25


def test_every_file_that_it_names_is_there():
    for name in re.findall(r"`([\w/]+\.py)`", TEXT):
        assert name == "my_method.py" or (ROOT / name).is_file() or (ROOT / "methods" / name).is_file()
