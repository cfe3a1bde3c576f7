"""The rows of a profile: complete, exact, measured in turns with the reference, and there whatever happens."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from cabench.losses.pairwise import uniformity
from cabench.profiling import bench, cases, timing
from cabench.profiling.bench import MEASURED, Bench
from cabench.profiling.cases import Gram, Kernel
from cabench.profiling.roofline import Peaks
from cabench.profiling.suite import Suite

PEAKS = Peaks(1e11, None, 1e9, 1e10, "by hand")


def rows_of(**changes):
    suite = Suite("cpu", sizes=(64, 128), backends=("reference", "tiled"), modes=("full",), budget=0.01)
    return list(Bench(dataclasses.replace(suite, **changes), PEAKS).rows())


@pytest.fixture
def planted(monkeypatch):
    """Add a kernel that `plan(backend, n)` precedes, but for its truth in float64."""

    def plant(plan):
        def loss(c, s, background, backend, precision):
            if c.dtype == torch.float32:
                plan(backend, len(c))
            return uniformity(c, backend=backend)

        kernel = Kernel(loss, lambda d: (Gram(d),), lambda d: d, ("log_pairs",))
        monkeypatch.setitem(cases.KERNELS, "planted", kernel)
        return ("planted",)

    return plant


@pytest.fixture(scope="module", autouse=True)
def short_takes():
    """Looks of a few milliseconds: here nobody believes the figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "SHORTEST", 0.004)
        yield


@pytest.fixture(scope="module")
def tiny(short_takes):
    return rows_of(modes=("forward", "full"))


def test_every_case_has_a_row_with_every_column(tiny):
    assert len(tiny) == 2 * len(cases.KERNELS) * 2 * 2
    assert {row["status"] for row in tiny} == {"ok"}
    assert all(set(MEASURED) <= set(row) and None not in [row[name] for name in MEASURED] for row in tiny)
    assert all(0 < row["ms_q1"] <= row["ms"] <= row["ms_q3"] and row["rounds"] >= 3 for row in tiny)
    assert all(row["pairs_per_s"] == pytest.approx(row["n"] * (row["n"] - 1) / 2 / row["ms"] * 1e3) for row in tiny)


def test_the_errors_are_those_of_float32(tiny):
    for row in tiny:
        # The published formula of the MMD is percents off in float32.
        if (row["kernel"], row["backend"]) != ("mmd", "reference"):
            assert 0 <= row["value_error"] < 2e-6 and 0 < row["gradient_error"] < 5e-6, row
        else:
            assert row["gradient_error"] > 1e-3


def test_the_reference_is_as_fast_as_itself(tiny):
    ratios = [row["ratio"] for row in tiny if row["backend"] == "reference" and row["mode"] == "full"]
    assert sum(ratios) / len(ratios) == pytest.approx(1, abs=0.15)


def test_a_planted_slowdown_is_seen_in_the_ratio(planted):
    def burn(backend, n):
        end = time.process_time() + (0.03 if backend == "tiled" else 0.01)
        while time.process_time() < end:
            pass

    _, row = rows_of(kernels=planted(burn), sizes=(64,))
    assert row["ratio"] == pytest.approx(1 / 3, rel=0.15)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 128.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_is_a_row_and_larger_sizes_are_not_tried(planted, error):
    tried = []

    def fail(backend, n):
        if backend == "tiled":
            tried.append(n)
            raise error

    rows = rows_of(kernels=planted(fail))
    found = [(row["backend"], row["n"], row["status"]) for row in rows]
    assert found == [
        ("reference", 64, "ok"),
        ("tiled", 64, "out of memory"),
        ("reference", 128, "ok"),
        ("tiled", 128, "out of memory"),
    ]
    assert tried == [64] and rows[3]["reason"] == "already with 64 rows"
    assert rows[1]["ms"] is None and rows[1]["value_error"] is None


def test_a_tensor_that_no_machine_holds_is_a_row_out_of_memory(planted):
    def fail(backend, n):
        if backend == "tiled":
            torch.empty(1 << 50)

    assert [row["status"] for row in rows_of(kernels=planted(fail), sizes=(64,))] == ["ok", "out of memory"]


def test_memory_that_the_machine_lacks_is_refused_before_the_system_kills(planted):
    def fail(backend, n):
        if backend == "tiled":
            # Pages that are never touched: without a bound the system would promise them.
            torch.empty(int(0.75 * available()) // 4), torch.empty(int(0.75 * available()) // 4)

    def available():
        lines = Path("/proc/meminfo").read_text().split("\n")
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))

    assert [row["status"] for row in rows_of(kernels=planted(fail), sizes=(64,))] == ["ok", "out of memory"]


def test_without_memory_for_the_reference_a_row_has_all_but_the_ratio(planted):
    def fail(backend, n):
        if backend == "reference" and n > 64:
            raise MemoryError

    *_, row = rows_of(kernels=planted(fail), backends=("tiled",))
    assert row["status"] == "ok" and row["ratio"] is None and row["gradient_error"] < 1e-6


def test_a_failure_is_a_row_with_its_reason_and_the_rest_go_on(planted):
    def fail(backend, n):
        if backend == "tiled" and n == 64:
            raise ValueError("planted\nsecond line")

    rows = rows_of(kernels=planted(fail))
    assert [row["status"] for row in rows] == ["ok", "failed", "ok", "ok"]
    assert rows[1]["reason"] == "ValueError: planted"


def test_a_value_that_is_no_number_is_a_failure(monkeypatch):
    kernel = dataclasses.replace(cases.KERNELS["uniformity"], loss=lambda c, s, b, **how: (c * float("nan")).sum())
    monkeypatch.setitem(cases.KERNELS, "planted", kernel)
    row, *_ = rows_of(kernels=("planted",), sizes=(64,))
    assert row["status"] == "failed" and "not finite" in row["reason"]


def test_a_case_that_would_take_too_long_is_not_tried(planted):
    def burn(backend, n):
        if backend == "tiled":
            end = time.process_time() + 0.01 * (n / 64) ** 2
            while time.process_time() < end:
                pass

    rows = rows_of(kernels=planted(burn), limit=0.03)
    assert [row["status"] for row in rows] == ["ok", "ok", "ok", "too slow"]
    assert "0.03 s" in rows[3]["reason"]


def test_after_its_time_a_suite_begins_no_case():
    assert {row["status"] for row in rows_of(total=-1.0)} == {"too slow"}


def test_an_absent_backend_has_rows_with_its_reason():
    rows = rows_of(kernels=("uniformity",), sizes=(64,), backends=("reference", "triton"))
    assert [row["status"] for row in rows] == ["ok", "absent"]
    assert "GPU" in rows[1]["reason"]


def test_the_number_of_threads_is_put_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with bench.threads("cpu"):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_launches_are_left_out_of_short_calls_that_can_be_recorded(monkeypatch):
    called = []

    def function(name):
        return lambda: called.append(name)

    def replay(recorded):
        recorded()
        return None if called[-1] == "stubborn" else function(f"replay of {called[-1]}")

    monkeypatch.setattr(bench, "replay", replay)
    functions = [function(name) for name in ("quick", "stubborn", "slow")]
    launched = np.array([[1e-4, 1e-4, 1.0]] * 3)
    turns = Bench(Suite("cpu", budget=0.01), None)._replayed(functions, launched)
    assert turns.shape[1] == 3
    assert called[:2] == ["quick", "stubborn"]  # each recorded once
    assert set(called[2:]) == {"replay of quick", "stubborn", "slow"}
    slow = launched[:, 2:]
    assert Bench(Suite("cpu"), None)._replayed(functions[2:], slow) is slow
