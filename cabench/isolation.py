"""A fit leaves nothing behind in the process: generators, threads, loggers and signals are put back."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C out as KeyboardInterrupt: Lightning turns it into an exit and deafens SIGINT for good."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as exit_:
        if isinstance(exit_.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if main and handler is not None:
            signal.signal(signal.SIGINT, handler)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread of the CPU, in torch and in what scikit-learn calls."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def isolated(seed: int, threads: int | None = None) -> Iterator[None]:
    """Seed torch for the initialisation of networks, and put every global state back afterwards."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    # Lightning sees neither logs nor tips: the harness tells the user what happens.
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    deterministic = torch.are_deterministic_algorithms_enabled()
    threads_before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.set_num_threads(threads_before)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
