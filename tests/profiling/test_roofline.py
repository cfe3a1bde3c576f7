"""The arithmetic of the roofline, by hand."""

import pytest

from cabench.profiling.bench import threads
from cabench.profiling.cases import KERNELS
from cabench.profiling.peaks import measure_peaks
from cabench.profiling.roofline import Peaks, floor, known_peaks, pairs, work

PEAKS = Peaks(fp32=1e12, bf16=12e12, exps=1e11, memory=1e11, source="by hand")


def test_the_joint_entropy_takes_a_product_and_an_exponential_of_every_pair_in_each_of_two_sweeps():
    assert pairs(100) == 4950
    forward = work(KERNELS["joint_entropy"], 100, 32, "forward")
    assert (forward.flop, forward.exps, forward.bytes) == (4950 * 2 * 64, 4950, 100 * 64 * 4)
    full = work(KERNELS["joint_entropy"], 100, 32, "full")
    assert (full.flop, full.exps, full.bytes) == (4950 * 4 * 2 * 64, 4950 * 2, 2 * 100 * 64 * 4)


def test_the_others_by_hand():
    assert work(KERNELS["uniformity"], 100, 32, "full").flop == 4950 * 3 * 2 * 32
    assert work(KERNELS["uniformity"], 100, 32, "full").exps == 4950
    assert work(KERNELS["sepclr_pairwise"], 100, 32, "full").exps == 4950 * 1.25 * 2
    assert work(KERNELS["mmd"], 100, 32, "full").exps == 4950 * 13


def test_the_slowest_unit_sets_the_floor():
    needed = work(KERNELS["joint_entropy"], 4096, 32, "forward")
    assert floor(needed, PEAKS, "exact") == (pytest.approx(needed.flop / 1e12), "matmul")
    # Three products of bfloat16 for one, at twelve times the rate.
    assert floor(needed, PEAKS, "default") == (pytest.approx(needed.flop / 4e12), "matmul")
    assert floor(needed, PEAKS, "fast") == (pytest.approx(needed.flop / 12e12), "matmul")
    assert floor(work(KERNELS["mmd"], 4096, 32, "forward"), PEAKS, "exact")[1] == "exp"
    assert floor(work(KERNELS["uniformity"], 4, 32, "full"), PEAKS, "exact") == (pytest.approx(1024e-11), "memory")


def test_gpus_are_known_by_name():
    assert known_peaks("NVIDIA H200").memory == 4.8e12
    assert known_peaks("NVIDIA H100 80GB HBM3").bf16 == 989e12
    assert known_peaks("NVIDIA H100 PCIe") is None


def test_measured_peaks_are_possible():
    with threads("cpu"):
        found = measure_peaks("cpu")
    assert found.source == "measured" and found.bf16 is None
    assert 1e9 < found.fp32 < 1e13 and 1e8 < found.exps < 1e11 and 1e8 < found.memory < 1e12
