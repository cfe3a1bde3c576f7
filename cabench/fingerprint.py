"""Fingerprints of plugins: they change when the code that makes a number does, not with comments or layout.

Of a method's table of settings only the tier of a run counts, and the one on which this is based.
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
from cabench.dataset import BASED_ON

KINDS: tuple[registry.Kind, ...] = ("method", "dataset")


def fingerprints(tier: str, **plugins: type) -> dict[str, str]:
    """Return the fingerprint of each class by its kind, for a run of a tier.

    >>> list(fingerprints("quick", method=registry.get("method", "pca").load()))
    ['method']
    """
    return {kind: fingerprint(Path(inspect.getfile(cls)), cls.__module__, tier) for kind, cls in plugins.items()}


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
                found[kind] = fingerprint(plugin.file, plugin.module, record["spec"]["tier"])
    return found


@cache
def fingerprint(file: Path, module: str, tier: str) -> str:
    """Return a hash of a plugin's code and of the modules it imports, theirs too, from cabench or its own package.

    Args:
        file: the plugin's source.
        module: its name, such as `cabench.methods.pca`.
        tier: of the run; settings of tiers that it does not use are left out.

    Raises:
        SyntaxError: one of them is no Python.
    """
    packages, tiers = frozenset({"cabench", module.partition(".")[0]}), frozenset({tier, BASED_ON.get(tier, tier)})
    sources, waiting = {}, [(module, file)]
    while waiting:
        name, source = waiting.pop()
        if name not in sources:
            sources[name], imports = _read(source, packages, tiers)
            waiting += imports
    return hashlib.sha256(repr(sorted(sources.values())).encode()).hexdigest()[:16]


@cache
def _plugins(kind: registry.Kind) -> dict[str, registry.Plugin]:
    return registry.find(kind)


@cache
def _read(file: Path, packages: frozenset[str], tiers: frozenset[str]) -> tuple[str, list[tuple[str, Path]]]:
    """Return a file's code without what changes no number, and name and file of what it imports from packages."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            _leave_out_other_tiers(node, tiers)
    imports: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imports += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    named = [one for one in dict.fromkeys(imports) if one.partition(".")[0] in packages]
    return repr(_canonical(tree)), [(one, place) for one in named if (place := registry.source(one))]


def _leave_out_other_tiers(node: ast.ClassDef, tiers: frozenset[str]) -> None:
    """Shorten the `settings` of a class (see `cabench.method.Method`) where they are a literal dictionary."""
    for one in node.body:
        targets = one.targets if isinstance(one, ast.Assign) else [getattr(one, "target", None)]
        named = any(isinstance(target, ast.Name) and target.id == "settings" for target in targets)
        if named and isinstance(table := getattr(one, "value", None), ast.Dict):
            pairs = zip(table.keys, table.values, strict=True)
            kept = [(key, value) for key, value in pairs if not isinstance(key, ast.Constant) or key.value in tiers]
            table.keys, table.values = [key for key, _ in kept], [value for _, value in kept]


def _canonical(node: Any) -> Any:
    """Return a syntax tree as nested tuples, alike for all versions of Python, docstrings left out."""
    if isinstance(node, list):
        return tuple(map(_canonical, node))
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name in node._fields if (value := getattr(node, name, None)) not in (None, [])}
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    if isinstance(node, documented) and ast.get_docstring(node, clean=False):
        fields["body"] = node.body[1:]
    return type(node).__name__, *((name, _canonical(value)) for name, value in sorted(fields.items()))
