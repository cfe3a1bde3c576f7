"""Every Triton kernel compiles for an H100, as the backend starts it, and spills no more registers than pay."""

import re
import subprocess
from pathlib import Path

import pytest
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from cabench.losses.backends import triton_differences, triton_kernels
from cabench.losses.backends.triton import ROWS_SPLIT
from cabench.losses.backends.triton_launch import difference_options, row_options, strip_options
from cabench.profiling import triton_exponentials

pytestmark = pytest.mark.slow
H100 = GPUTarget("cuda", 90, 32)
DISASSEMBLER = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "nvdisasm"
SCALARS = {"rows", "tiles", "per_strip", "per_split", "width", "width_y", "n", "d"}
SIZES = (512, 4096, 65536)
# (kernel, precision, width): with these few spills an H200 was faster than with tiles that have none, by 47, 47, 8,
# 14 and 9 %.
PAYING = {
    ("joint_sums", "exact", 64),
    ("sepclr_sums", "exact", 64),
    ("joint_rows", "default", 64),
    ("uniformity_rows", "default", 64),
    ("sepclr_rows", "default", 128),
}
FEW = 60


def compiled(kernel, constants, element="fp32", num_warps=4, num_stages=2):
    """Return the kernel as the launcher would specialise it: pointers and `rows` are multiples of 16."""
    signature, divisible = {}, {}
    for i, name in enumerate(kernel.arg_names):
        split = name[0] == "z" or name == "parts"
        signature[name] = "i32" if name in SCALARS else f"*{element}" if split else "*fp32"
        if name == "scale":
            signature[name] = "fp32"
        if name in constants:
            signature[name] = "constexpr"
        elif name == "rows" or name not in {*SCALARS, "scale"}:
            divisible[(i,)] = [["tt.divisibility", 16]]
    source = ASTSource(
        kernel, signature, {(kernel.arg_names.index(k),): v for k, v in constants.items()}, divisible
    )
    return triton.compile(source, target=H100, options={"num_warps": num_warps, "num_stages": num_stages})


def instructions(binary, folder, names):
    """Return how many instructions of these names a kernel has."""
    file = folder / "kernel.cubin"
    file.write_bytes(binary.asm["cubin"])
    code = subprocess.run([DISASSEMBLER, "-c", file], capture_output=True, text=True, check=True).stdout
    assert "EXIT" in code
    return len(re.findall(rf"\b(?:{names})\b", code))


def spills(binary, folder):
    """Return how many instructions move registers to a thread's own memory or back."""
    return instructions(binary, folder, "LDL|STL")


def split(options):
    """Return the blocks of a kernel, and its warps and stages."""
    blocks = {name: value for name, value in options.items() if name.startswith("BLOCK")}
    return blocks, {name: value for name, value in options.items() if name not in blocks}


@pytest.mark.parametrize("width", [16, 32, 64, 128])
@pytest.mark.parametrize("precision", ["exact", "default", "fast"])
@pytest.mark.parametrize("n", SIZES)
def test_kernels_of_products_spill_nothing_that_does_not_pay(n, precision, width, tmp_path):
    element = "fp32" if precision == "exact" else "bf16"
    parts = {"PARTS": 2 if precision == "default" else 1}
    one, both = {"D": width}, {"D_C": width // 2, "D_S": width // 2}
    cases = [
        (triton_kernels.joint_sums, strip_options, 1, one),
        (triton_kernels.joint_rows, row_options, 1, one),
        (triton_kernels.uniformity_rows, row_options, 1, one | {"WITH_GRADIENT": True}),
        (triton_kernels.uniformity_rows, row_options, 1, one | {"WITH_GRADIENT": False}),
    ]
    if width > 16:
        cases += [
            (triton_kernels.sepclr_sums, strip_options, 2, both),
            (triton_kernels.sepclr_rows, row_options, 2, both),
        ]
    for kernel, options, codes, constants in cases:
        blocks, launch = split(options(n, width, precision, roomy=True, codes=codes))
        binary = compiled(kernel, constants | blocks | parts, element, **launch)
        case = kernel.fn.__name__, precision, width
        assert spills(binary, tmp_path) <= (FEW if case in PAYING else 0), case


@pytest.mark.parametrize("width", [16, 64, 256])
@pytest.mark.parametrize("precision", ["exact", "default", "fast"])
def test_splitting_points_spills_nothing(precision, width, tmp_path):
    element, parts = "fp32" if precision == "exact" else "bf16", 2 if precision == "default" else 1
    constants = {"D": width, "PARTS": parts, "EXACT": precision == "exact", "BLOCK": ROWS_SPLIT}
    assert spills(compiled(triton_kernels.split_points, constants, element), tmp_path) == 0


@pytest.mark.parametrize("with_gradient", [False, True])
@pytest.mark.parametrize("kernel", [triton_differences.mmd_rows, triton_differences.supervised_rows])
@pytest.mark.parametrize("n", SIZES)
def test_kernels_of_differences_spill_nothing(n, kernel, with_gradient, tmp_path):
    blocks, launch = split(difference_options(n))
    binary = compiled(kernel, blocks | {"WITH_GRADIENT": with_gradient}, **launch)
    assert spills(binary, tmp_path) == 0
    # A thread has a row to itself: only the least distance of a tile is asked of the others.
    asked = 7 if kernel is triton_differences.mmd_rows else 0
    assert instructions(binary, tmp_path, "SHFL") <= asked


def test_the_loop_of_exponentials_keeps_all_in_registers(tmp_path):
    constants = {"BLOCK": triton_exponentials.BLOCK, "TIMES": triton_exponentials.TIMES}
    assert spills(compiled(triton_exponentials.exponentials, constants), tmp_path) == 0
