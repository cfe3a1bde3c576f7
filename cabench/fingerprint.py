"""Fingerprints of plugins: they change when the code that makes a number does, not with comments or layout.

A method's table of settings does not count: what it says of a run stands in that run's spec.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from cabench import registry

KINDS: tuple[registry.Kind, ...] = ("method", "dataset")


def fingerprints(**plugins: type) -> dict[str, str]:
    """Return the fingerprint of each class by its kind.

    >>> list(fingerprints(method=registry.get("method", "pca").load()))
    ['method']
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
    """Return today's fingerprints of the plugins that a record names, as far as they are found and can be read."""
    found: dict[str, str] = {}
    for kind in KINDS:
        plugin = _plugins(kind).get(record["spec"][kind])
        if plugin and plugin.file:
            with suppress(SyntaxError):
                found[kind] = fingerprint(plugin.file, plugin.module)
    return found


@cache
def fingerprint(file: Path, module: str) -> str:
    """Return a hash of a plugin's code and of the modules it imports, theirs too, from cabench or its own package.

    Args:
        file: the plugin's source.
        module: its name, such as `cabench.methods.pca`.

    Raises:
        SyntaxError: one of them is no Python.
    """
    packages, sources, waiting = frozenset({"cabench", module.partition(".")[0]}), {}, [(module, file)]
    while waiting:
        name, source = waiting.pop()
        if name not in sources:
            sources[name], imports = _read(source, packages)
            waiting += imports
    return hashlib.sha256(repr(sorted(sources.values())).encode()).hexdigest()[:16]


@cache
def _plugins(kind: registry.Kind) -> dict[str, registry.Plugin]:
    return registry.find(kind)


@cache
def _read(file: Path, packages: frozenset[str]) -> tuple[str, list[tuple[str, Path]]]:
    """Return a file's code without what changes no number, and name and file of what it imports from packages."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imports: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imports += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    named = [one for one in dict.fromkeys(imports) if one.partition(".")[0] in packages]
    return repr(_canonical(tree)), [(one, place) for one in named if (place := registry.source(one))]


def _canonical(node: Any) -> Any:
    """Return a syntax tree as nested tuples, alike for all versions of Python; docstrings and settings left out."""
    if isinstance(node, list):
        return tuple(map(_canonical, node))
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name in node._fields if (value := getattr(node, name, None)) not in (None, [])}
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    if isinstance(node, documented) and ast.get_docstring(node, clean=False):
        fields["body"] = node.body[1:]
    if isinstance(node, ast.ClassDef):
        fields["body"] = [one for one in fields["body"] if not _is_settings(one)]
    return type(node).__name__, *((name, _canonical(value)) for name, value in sorted(fields.items()))


def _is_settings(node: ast.stmt) -> bool:
    """Return whether a statement of a class assigns `settings` (see `cabench.method.Method`)."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return any(isinstance(target, ast.Name) and target.id == "settings" for target in targets)
