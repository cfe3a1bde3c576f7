"""Finds plugins (methods/, datasets/, entry points, --plugin FILE) and lists them without importing them."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import cabench
from cabench.errors import UserError, did_you_mean

Kind = Literal["method", "dataset"]
FOLDERS: dict[Kind, str] = {"method": "methods", "dataset": "datasets"}


@dataclass(frozen=True)
class Plugin:
    """A plugin as its source shows it.

    Attributes:
        kind: method or dataset.
        name: the name used on the command line.
        file: the source file, None if an entry point's source could not be located.
        module: the import path; empty for a --plugin file, which is loaded from `file`.
        cls: the class name.
        card: the string class attributes (title, paper, modality, ...).
        error: why the plugin cannot be used; None if nothing is known against it.

    """

    kind: Kind
    name: str
    file: Path | None
    module: str = ""
    cls: str = ""
    card: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None

    def load(self) -> Any:
        """Import the plugin and return its class.

        Raises:
            UserError: the file cannot be imported, or defines no such class.

        """
        if self.error:
            raise UserError(f"The {self.kind} '{self.name}' cannot be used: {self.error}")
        try:
            module = importlib.import_module(self.module) if self.module else _module_from_file(self.file)
            cls = getattr(module, self.cls)
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}"
            raise UserError(f"The {self.kind} '{self.name}' cannot be imported: {reason}") from error
        base = getattr(importlib.import_module(f"cabench.{self.kind}"), self.kind.title())
        if not (isinstance(cls, type) and issubclass(cls, base)):
            where = f"cabench.{self.kind}.{base.__name__}"
            raise UserError(f"The {self.kind} '{self.name}' cannot be used: {self.cls} must subclass {where}.")
        return cls


def find(kind: Kind, files: Iterable[Path] = ()) -> dict[str, Plugin]:
    """Return every plugin of one kind by name, the broken ones with their reason.

    Raises:
        UserError: a --plugin file does not exist, or two plugins share a name.

    """
    found: dict[str, Plugin] = {}
    for plugin in (*_in_folders(kind), *_in_entry_points(kind), *_in_files(kind, files)):
        if plugin.name in found:
            both = f"{found[plugin.name].file} and {plugin.file}"
            raise UserError(f"Two {kind}s are called '{plugin.name}': {both}; rename one.")
        found[plugin.name] = plugin
    return dict(sorted(found.items()))


def get(kind: Kind, name: str, files: Iterable[Path] = ()) -> Plugin:
    """Return one plugin.

    Raises:
        UserError: there is none of that name.

    """
    plugins = find(kind, files)
    if name not in plugins:
        raise UserError(f"There is no {kind} '{name}'.{did_you_mean(name, plugins)}")
    return plugins[name]


def read(kind: Kind, file: Path, module: str = "", cls: str = "") -> Plugin | None:
    """Read a plugin's card from its source; None if the file holds a plugin of the other kind.

    The plugin is the class `cls`, or the first top-level class that sets `name` to a string.
    A class that sets `factors` is a data set, any other one a method.
    """
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    except (OSError, SyntaxError, ValueError) as error:
        return Plugin(kind, file.stem, file, module, error=f"{type(error).__name__}: {error}")
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and cls in ("", node.name):
            attributes = dict(_assignments(node))
            card = {k: v for k, v in attributes.items() if isinstance(v, str)}
            if "name" in card:
                if kind != ("dataset" if "factors" in attributes else "method"):
                    return None
                return Plugin(kind, card["name"], file, module, node.name, card)
    return Plugin(kind, file.stem, file, module, error="no class in it sets `name` to a string")


def _assignments(node: ast.ClassDef) -> Iterable[tuple[str, Any]]:
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, value = statement.target, statement.value
        else:
            continue
        if isinstance(target, ast.Name):
            try:
                yield target.id, ast.literal_eval(value)
            except ValueError:
                yield target.id, None


def _in_folders(kind: Kind) -> Iterable[Plugin]:
    folder = FOLDERS[kind]
    seen: set[Path] = set()
    for root in cabench.__path__:
        for file in sorted((Path(root) / folder).glob("*.py")):
            if not file.name.startswith("_") and file.resolve() not in seen:
                seen.add(file.resolve())
                plugin = read(kind, file, f"cabench.{folder}.{file.stem}")
                if plugin:
                    yield plugin


def _in_entry_points(kind: Kind) -> Iterable[Plugin]:
    for point in importlib.metadata.entry_points(group=f"cabench.{FOLDERS[kind]}"):
        file = source(point.module)
        plugin = read(kind, file, point.module, point.attr) if file else None
        card = plugin.card if plugin else {}
        error = plugin.error if plugin else None
        yield Plugin(kind, point.name, file, point.module, point.attr, card, error)


def source(module: str) -> Path | None:
    """Locate a module's file; only its top-level package is looked up, and nothing is imported."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.origin:
        return None
    if not rest:
        return Path(spec.origin)
    bases = [Path(root, *rest) for root in spec.submodule_search_locations or ()]
    candidates = (file for base in bases for file in (base.with_suffix(".py"), base / "__init__.py"))
    return next((file for file in candidates if file.is_file()), None)


def _in_files(kind: Kind, files: Iterable[Path]) -> Iterable[Plugin]:
    for file in files:
        if not file.is_file():
            raise UserError(f"The plugin {file} {'is no file' if file.exists() else 'does not exist'}.")
        plugin = read(kind, file)
        # A file that cannot be read as a plugin is listed once, among the methods.
        if plugin and not (plugin.error and kind == "dataset"):
            yield plugin


def _module_from_file(file: Path | None) -> ModuleType:
    assert file is not None
    name = f"cabench_plugin_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
