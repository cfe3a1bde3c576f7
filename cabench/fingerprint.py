"""Fingerprints of plugins: they change when the code that makes a number does, not with comments or layout."""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cabench import registry

KINDS: tuple[registry.Kind, ...] = ("method", "dataset")


def fingerprints(**plugins: type) -> dict[str, str]:
    """Return the fingerprint of each class by its kind.

    >>> from cabench.fingerprint import fingerprints
    >>> fingerprints(method=registry.get("method", "pca").load()).keys()
    dict_keys(['method'])
    """
    return {kind: fingerprint(Path(inspect.getfile(cls)), cls.__module__) for kind, cls in plugins.items()}


def stale(record: Mapping[str, Any], current: Mapping[str, str]) -> list[str]:
    """Return which of a record's plugins ("method", "dataset") are not what they were when it was made.

    Args:
        record: one that holds no fingerprints says nothing.
        current: kind -> fingerprint of today.
    """
    then: Mapping[str, str] = record.get("fingerprints", {})
    return [kind for kind in KINDS if kind in then and kind in current and then[kind] != current[kind]]


def of_names(record: Mapping[str, Any]) -> dict[str, str]:
    """Return today's fingerprints of the plugins that a record names, as far as they are found."""
    files = {kind: _files(kind).get(record["spec"][kind]) for kind in KINDS}
    return {kind: fingerprint(*found) for kind, found in files.items() if found}


@cache
def fingerprint(file: Path, module: str) -> str:
    """Return a hash of a plugin's code and of the modules it imports, theirs too, from cabench or its own package.

    Args:
        file: the plugin's source.
        module: its name, such as `cabench.methods.pca`.
    """
    sources, waiting = {}, [(module, file)]
    while waiting:
        name, source = waiting.pop()
        if name not in sources:
            tree = ast.parse(source.read_text(encoding="utf-8"))
            sources[name] = _canonical(tree)
            waiting += _imports(tree, {"cabench", module.partition(".")[0]})
    return hashlib.sha256(repr(sorted(sources.values())).encode()).hexdigest()[:16]


@cache
def _files(kind: registry.Kind) -> dict[str, tuple[Path, str]]:
    return {name: (plugin.file, plugin.module) for name, plugin in registry.find(kind).items() if plugin.file}


def _imports(tree: ast.Module, packages: set[str]) -> Iterator[tuple[str, Path]]:
    """Yield the modules of some packages that a module imports anywhere; of a package, what is taken from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.partition(".")[0] in packages and (source := registry.source(name)):
                yield name, source


def _canonical(node: Any) -> Any:
    """Return a syntax tree as nested tuples, alike for all versions of Python, docstrings left out."""
    if isinstance(node, list):
        return tuple(map(_canonical, node))
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, [])}
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
        node
    ):
        fields["body"] = node.body[1:]
    return type(node).__name__, *((name, _canonical(value)) for name, value in sorted(fields.items()))
