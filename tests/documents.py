"""Documents that are followed to the letter: their blocks of code, and what becomes of each."""

import re
import sys
from typing import NamedTuple

from processes import run


class Block(NamedTuple):
    """A block of a page: bash, python, text, ...; with a title it is the file of that name."""

    language: str
    title: str
    code: str


def blocks(page, *languages):
    """Return a page's blocks in these languages, in order."""
    found = re.findall(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', page, re.MULTILINE | re.DOTALL)
    return [Block(*one) for one in found if one[0] in languages]


def follow(block, folder):
    """Write a block into its file or run it, which has to succeed; returns what it printed, errors behind it."""
    if block.title:
        (folder / block.title).write_text(block.code)
        return ""
    words = ["bash", "-euo", "pipefail"] if block.language == "bash" else [sys.executable]
    done = run([*words, "-c", block.code], folder)
    assert done.returncode == 0, f"{block.code}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr
