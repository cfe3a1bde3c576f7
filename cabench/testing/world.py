"""The state of the programme around a method: read, compared, put back; and what is printed and warned, caught."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import random
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch


@contextlib.contextmanager
def undone() -> Iterator[None]:
    """Put every global state back afterwards."""
    before = world_state()
    try:
        yield
    finally:
        for what, (_, write) in WORLD.items():
            write(before[what])


def world_state() -> dict[str, Any]:
    """Return what there is of global state, by name, in values that can be compared."""
    return {what: read() for what, (read, _) in WORLD.items()}


def seed_generators(seed: int) -> None:
    """Put the global generators of Python, numpy and torch somewhere else."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _numpy_state() -> tuple[Any, ...]:
    name, key, *rest = np.random.get_state()
    return (name, tuple(key), *rest)


def _set_environment(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def _set_warnings(filters: list[Any]) -> None:
    warnings.resetwarnings()
    active: Any = warnings.filters
    active[:] = filters


def _set_signals(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _set_logging(state: tuple[int, list[logging.Handler]]) -> None:
    root = logging.getLogger()
    root.setLevel(state[0])
    root.handlers[:] = state[1]


def _set_cudnn(state: tuple[bool, bool]) -> None:
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = state


# What a fit could change for the rest of the program: how to read it and how to put it back.
WORLD: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "the working folder": (os.getcwd, os.chdir),
    "the environment": (lambda: dict(os.environ), _set_environment),
    "the search path": (lambda: list(sys.path), lambda path: sys.path.__setitem__(slice(None), path)),
    "a signal handler": (lambda: {n: signal.getsignal(n) for n in signal.valid_signals()}, _set_signals),
    "the warning filters": (lambda: list(warnings.filters), _set_warnings),
    "the root logger": (lambda: (logging.getLogger().level, list(logging.getLogger().handlers)), _set_logging),
    "the generator of Python": (random.getstate, random.setstate),
    "the generator of numpy": (_numpy_state, np.random.set_state),
    "the generator of torch": (
        lambda: torch.get_rng_state().tolist(),
        lambda state: torch.set_rng_state(torch.tensor(state, dtype=torch.uint8)),
    ),
    "numpy's errors": (np.geterr, lambda errors: np.seterr(**errors)),
    "the threads of torch": (torch.get_num_threads, torch.set_num_threads),
    "the gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "deterministic algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "the matmul precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "cuDNN": (lambda: (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic), _set_cudnn),
}


@contextlib.contextmanager
def hushed(heard: list[str]) -> Iterator[None]:
    """Catch what is printed, by Python or below it, and what is warned, and put it into the list."""
    printed = io.StringIO()
    with (
        tempfile.TemporaryFile() as below,
        warnings.catch_warnings(record=True) as warned,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        _redirected(below.fileno()),
    ):
        warnings.simplefilter("always")
        yield
        below.seek(0)
        words = [printed.getvalue(), below.read().decode(errors="replace"), *(str(w.message) for w in warned)]
        heard += [word.strip() for word in words if word.strip()]


@contextlib.contextmanager
def _redirected(handle: int) -> Iterator[None]:
    saved = {stream: os.dup(stream) for stream in (1, 2)}
    try:
        for stream in saved:
            os.dup2(handle, stream)
        yield
    finally:
        for stream, old in saved.items():
            os.dup2(old, stream)
            os.close(old)
