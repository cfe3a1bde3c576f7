"""Lets plugins be read where torch and its like are not installed, as where the site is built.

A card needs a plugin's class, but nothing that the class computes. So a module that is missing becomes one whose
names can be inherited from, called, or put over a function, and do nothing.
"""

from __future__ import annotations

import sys
from abc import ABCMeta
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class _Anything(ABCMeta):
    """The type of a stand-in, which is a class so that others can inherit from it."""

    def __getattr__(cls, name: str) -> Any:
        """Return another stand-in; Python asks for special names to find out what a class can do."""
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(name)

    def __call__(cls, *args: Any, **_: Any) -> Any:
        """Return the function that was decorated, or the stand-in itself."""
        return args[0] if args and callable(args[0]) else cls

    def __getitem__(cls, _: Any) -> Any:
        """Return the stand-in, as a generic class with its types filled in is still that class."""
        return cls

    def __matmul__(cls, _: Any) -> Any:
        """Return the stand-in: a product of constants is made when a module is imported."""
        return cls


class _Missing(MetaPathFinder, Loader):
    """Asked last of all finders, it finds every module."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec:
        """Say that this class loads the module."""
        return ModuleSpec(name, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        """Give the module every name."""
        vars(module)["__getattr__"] = stand_in


def stand_in(name: str) -> Any:
    """Return a class of that name that does nothing.

    Raises:
        AttributeError: for a special name, by which Python asks what a module is.

    """
    if name.startswith("__"):
        raise AttributeError(name)
    return _Anything(name, (), {})


@contextmanager
def stand_ins() -> Iterator[None]:
    """Stand in for every missing module, unless torch is here; then all that cabench needs is."""
    if find_spec("torch"):
        yield
        return
    finder = _Missing()
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
