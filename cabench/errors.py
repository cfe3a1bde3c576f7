"""Errors that a user can cause: one sentence, a hint, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend; the command line prints it without a traceback and exits 2."""


class DataMissing(UserError):
    """Raw files are missing or damaged; says which, where they were looked for and how to get them."""


class NotWritten(UserError):
    """The disk is full or read-only: what was to be written is lost, and no cell is to blame."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known name closest to `word`, else the list of known names.

    >>> did_you_mean("sepclt", ["sepclr", "cvae"])
    " Did you mean 'sepclr'?"
    >>> did_you_mean("zzz", ["cvae", "sepclr"])
    ' Known: cvae, sepclr.'
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" Known: {', '.join(names)}." if names else ""
