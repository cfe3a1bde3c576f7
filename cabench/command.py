"""The command that runs one cell again."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from cabench.errors import UserError
from cabench.metrics.catalogue import FAMILIES
from cabench.plan import split_list
from cabench.store import Record

# What a run needs beside its spec: where plugins and raw files lay.
PLACES = ("--plugin", "--data-root")


def command(record: Record) -> str:
    """Return the `cabench run` that gives a record its run id, every parameter spelt out, quoted for a shell."""
    spec, sets = record["spec"], []
    words = ["cabench", "run"]
    for kind, params in (("method", "params"), ("dataset", "dataset_params")):
        inside, outside = _assignments(spec[params])
        words += [f"--{kind}s", f"{spec[kind]}[{','.join(inside)}]" if inside else spec[kind]]
        sets += [word for text in outside for word in ("--set", f"{spec[kind]}.{text}")]
    words += ["--seeds", str(spec["seed"]), "--tier", spec["tier"], "--source", spec["source"], *sets]
    families = record["families"]
    if any(name not in FAMILIES or not FAMILIES[name].core for name in families):
        words += ["--metrics", ",".join(sorted(families))]
    return " ".join(map(_quoted, [*words, *_places(record["provenance"].get("command", []))]))


def _assignments(params: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Split name=value texts: those that can stand in a list of names, and those that need a --set."""
    texts = [f"{name}={_literal(value)}" for name, value in sorted(params.items())]
    listed = [text for text in texts if _stays_whole(text)]
    return listed, [text for text in texts if text not in listed]


@cache
def _stays_whole(text: str) -> bool:
    try:
        return split_list(text) == [text]
    except UserError:
        return False


def _literal(value: Any) -> str:
    """Write a value so that the planner reads the same one; a plain word needs no quotes."""
    return value if isinstance(value, str) and _is_plain(value) else repr(value)


@cache
def _is_plain(word: str) -> bool:
    if not word.isidentifier():
        return False
    try:
        ast.literal_eval(word)
    except ValueError:
        return True
    return False


def _quoted(word: str) -> str:
    """Quote as `shlex.quote`, but with double quotes around single ones where nothing else is special."""
    if "'" in word and not set(word) & set('"$`\\!'):
        return f'"{word}"'
    return shlex.quote(word)


def _places(words: Sequence[str]) -> list[str]:
    found = []
    for word, following in pairwise([*words, ""]):
        name, equals, value = word.partition("=")
        if name in PLACES:
            found += [name, value if equals else following]
    return found
