"""Every case of a suite measured: one row after the other, whatever happens to one."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cabench.isolation import one_thread
from cabench.losses.backends import load
from cabench.profiling.accuracy import errors, true
from cabench.profiling.cases import KERNELS, Case, Sample, sample, step
from cabench.profiling.memory import bounded, out_of_memory, peak_bytes
from cabench.profiling.roofline import Peaks, floor, pairs, work
from cabench.profiling.suite import Suite
from cabench.profiling.timing import LAUNCHED, Function, clock_of, replay, takes

Row = dict[str, Any]
# What a row says besides its case, its status and the reason for it; None unless the status is OK.
MEASURED = (
    *("ms", "ms_q1", "ms_q3", "rounds", "pairs_per_s", "peak_mib", "value_error", "gradient_error"),
    *("floor_ms", "bound", "roofline", "ratio", "ratio_q1", "ratio_q3"),
)
# On a GPU, where the other times are those of replays: with what the program takes to launch the work.
WITH_LAUNCHES = ("launched_ms", "launched_ratio")
OK, ABSENT, OUT_OF_MEMORY, TOO_SLOW, FAILED = "ok", "absent", "out of memory", "too slow", "failed"
MEBIBYTE = 2**20


class Bench:
    """Measures the cases of a suite.

    A case is not tried if its backend is absent, if a smaller one ran out of memory, or if the square of the sizes
    says that it takes too long.

    Attributes:
        peaks: of the device; without them rows have no roofline.
        absent: backend -> why it cannot compute here.
    """

    def __init__(self, suite: Suite, peaks: Peaks | None) -> None:
        self.peaks = peaks
        self._suite, self._clock = suite, clock_of(suite.device)
        self.absent = {name: reason for name in suite.backends if (reason := absence(name, suite.device))}
        # Of a case at its latest size: the rows and the seconds of a call.
        self._seen: dict[Case, tuple[int, float]] = {}
        # The rows at which there was no memory for a case.
        self._full: dict[Case, int] = {}
        # CPU seconds where those are measured: a busy machine takes longer, not less.
        self._now = time.process_time if suite.device == "cpu" else time.monotonic
        self._end = math.inf

    def rows(self) -> Iterator[Row]:
        """Yield a row per case, as soon as it is measured."""
        self._end = self._now() + self._suite.total
        of_what, rows, truth = None, None, None
        with threads(self._suite.device):
            for case in self._suite.cases():
                if of_what != (case.kernel, case.n):
                    of_what, rows, truth = (case.kernel, case.n), None, None
                status, reason = self._refusal(case)
                found: Row = {}
                if status == OK:
                    if rows is None or truth is None:
                        rows = sample(case.n, self._suite.dim, self._suite.device)
                        truth = true(KERNELS[case.kernel], rows)
                    status, reason, found = self._tried(case, rows, truth)
                yield {
                    **asdict(case),
                    "device": self._suite.device,
                    "status": status,
                    "reason": reason,
                    **dict.fromkeys((*MEASURED, *WITH_LAUNCHES)),
                    **found,
                }

    def _refusal(self, case: Case) -> tuple[str, str | None]:
        """Return OK, or why a case is not tried."""
        key = replace(case, n=0)
        if case.backend in self.absent:
            return ABSENT, self.absent[case.backend]
        if key in self._full:
            return OUT_OF_MEMORY, f"already with {self._full[key]} rows"
        n, seconds = self._seen.get(key, (case.n, 0.0))
        expected = seconds * (case.n / n) ** 2
        if expected > self._suite.limit:
            return TOO_SLOW, f"about {expected:.0f} s a call, the limit is {self._suite.limit:g} s"
        if self._now() > self._end:
            return TOO_SLOW, f"the {self._suite.total:g} s of the suite were over"
        return OK, None

    def _tried(self, case: Case, rows: Sample, truth: tuple[Tensor, Tensor]) -> tuple[str, str | None, Row]:
        try:
            with bounded(self._suite.device):
                return OK, None, self._measured(case, rows, truth)
        except Exception as error:  # a failure is a result: it has a reason, and the rest go on
            reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
            if not out_of_memory(error):
                return FAILED, reason, {}
        self._full[replace(case, n=0)] = case.n
        self._let_go()
        return OUT_OF_MEMORY, reason, {}

    def _measured(self, case: Case, rows: Sample, truth: tuple[Tensor, Tensor]) -> Row:
        kernel, device = KERNELS[case.kernel], self._suite.device
        # First, for it also compiles and warms up what the steps below do.
        value_error, gradient_error = errors(kernel, rows, truth, case.backend, case.precision)
        if not (math.isfinite(value_error) and math.isfinite(gradient_error)):
            raise ArithmeticError("the value or a gradient is not finite")
        run = self._step(case, rows)
        if case.mode == "forward":
            run()
        peak = peak_bytes(run, device)
        reference = self._reference(case, rows)
        functions = [run] if reference is None else [run, reference]
        turns = self._turns(functions)
        found: Row = {}
        if device == "cuda":
            found["launched_ms"] = 1000 * float(np.median(turns[:, 0]))
            if reference is not None:
                found["launched_ratio"] = float(np.median(turns[:, 1] / turns[:, 0]))
            turns = self._replayed(functions, turns)
        seconds = turns[:, 0]
        self._seen[replace(case, n=0)] = case.n, float(np.median(seconds))
        found |= {
            **_quartiles("ms", 1000 * seconds),
            "rounds": len(seconds),
            "pairs_per_s": pairs(case.n) / float(np.median(seconds)),
            "peak_mib": None if peak is None else peak / MEBIBYTE,
            "value_error": value_error,
            "gradient_error": gradient_error,
        }
        if reference is not None:
            found |= _quartiles("ratio", turns[:, 1] / seconds)
        if self.peaks is not None:
            least, unit = floor(work(kernel, case.n, self._suite.dim, case.mode), self.peaks, case.precision)
            share = least / float(np.median(seconds))
            found |= {"floor_ms": 1000 * least, "bound": unit, "roofline": share}
        return found

    def _turns(self, functions: list[Function]) -> np.ndarray:
        return np.array(takes(functions, None, self._clock, self._suite.budget))

    def _replayed(self, functions: list[Function], launched: np.ndarray) -> np.ndarray:
        """Return the turns of functions without the time to launch them, where that counts and can be left out."""
        replays = [
            replay(function) if seconds < LAUNCHED else None
            for function, seconds in zip(functions, np.median(launched, 0), strict=True)
        ]
        if not any(replays):
            return launched
        return self._turns([again or function for again, function in zip(replays, functions, strict=True)])

    def _step(self, case: Case, rows: Sample) -> Function:
        return step(KERNELS[case.kernel], rows.rows(), case.backend, case.precision, case.mode)

    def _reference(self, case: Case, rows: Sample) -> Function | None:
        """Return the reference's step for the same rows, or None if it is too slow or too large for them."""
        reference = replace(case, backend="reference", precision="exact")
        if self._refusal(reference)[0] != OK:
            return None
        run = self._step(reference, rows)
        if self._seen.get(replace(reference, n=0), (0, 0.0))[0] == case.n:
            return run
        try:
            run()
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        else:
            return run
        self._full[replace(reference, n=0)] = case.n
        self._let_go()
        return None

    def _let_go(self) -> None:
        if self._suite.device == "cuda":
            torch.cuda.empty_cache()


def absence(backend: str, device: str) -> str | None:
    """Return why a backend cannot compute on a device, None if it can."""
    try:
        load(backend, device)
    except Exception as error:  # a package can be there and broken
        return str(error)
    return None


def threads(device: str) -> AbstractContextManager[None]:
    """Compute on one thread of a CPU: two on cores that others use too wait for each other."""
    return one_thread() if device == "cpu" else nullcontext()


def _quartiles(name: str, values: np.ndarray) -> Row:
    low, middle, high = (float(x) for x in np.quantile(values, [0.25, 0.5, 0.75]))
    return {name: middle, f"{name}_q1": low, f"{name}_q3": high}
