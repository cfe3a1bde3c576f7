"""The examples in docstrings are run."""

import doctest
import importlib
from pathlib import Path

import pytest

import cabench

PACKAGE = Path(cabench.__file__).parent
FILES = sorted(file for file in PACKAGE.rglob("*.py") if ">>> " in file.read_text())
MODULES = [".".join(("cabench", *file.relative_to(PACKAGE).with_suffix("").parts)) for file in FILES]


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name):
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted and not outcome.failed
