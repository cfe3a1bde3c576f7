"""Every Triton kernel compiles for an H100, as the backend starts it, and spills no registers."""

import re
import subprocess
from pathlib import Path

import pytest
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from cabench.losses.backends import triton_differences, triton_kernels
from cabench.losses.backends.triton_launch import difference_options, row_options, strip_options
from cabench.profiling import triton_exponentials

pytestmark = pytest.mark.slow
H100 = GPUTarget("cuda", 90, 32)
DISASSEMBLER = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "nvdisasm"
SCALARS = {"rows", "tiles", "per_strip", "per_split", "width", "width_y"}
SIZES = (512, 4096, 65536)


def compiled(kernel, constants, element="fp32", num_warps=4, num_stages=2):
    """Return the kernel as the launcher would specialise it: pointers and `rows` are multiples of 16."""
    signature, divisible = {}, {}
    for i, name in enumerate(kernel.arg_names):
        signature[name] = "i32" if name in SCALARS else f"*{element}" if name[0] == "z" else "*fp32"
        if name in constants:
            signature[name] = "constexpr"
        elif name == "rows" or name not in SCALARS:
            divisible[(i,)] = [["tt.divisibility", 16]]
    source = ASTSource(
        kernel, signature, {(kernel.arg_names.index(k),): v for k, v in constants.items()}, divisible
    )
    return triton.compile(source, target=H100, options={"num_warps": num_warps, "num_stages": num_stages})


def spills(binary, folder):
    """Return how many instructions move registers to a thread's own memory or back."""
    file = folder / "kernel.cubin"
    file.write_bytes(binary.asm["cubin"])
    code = subprocess.run([DISASSEMBLER, "-c", file], capture_output=True, text=True, check=True).stdout
    assert "EXIT" in code
    return len(re.findall(r"\b(?:LDL|STL)\b", code))


def split(options):
    """Return the blocks of a kernel, and its warps and stages."""
    blocks = {name: value for name, value in options.items() if name.startswith("BLOCK")}
    return blocks, {name: value for name, value in options.items() if name not in blocks}


@pytest.mark.parametrize("width", [16, 32, 64, 128])
@pytest.mark.parametrize("precision", ["exact", "default", "fast"])
@pytest.mark.parametrize("n", SIZES)
def test_kernels_of_products_spill_nothing(n, precision, width, tmp_path):
    element = "fp32" if precision == "exact" else "bf16"
    parts = {"PARTS": 2 if precision == "default" else 1}
    strips, strip_launch = split(strip_options(n, width, precision, roomy=True))
    rows, row_launch = split(row_options(n, width, precision, roomy=True))
    one, both = {"D": width}, {"D_C": width // 2, "D_S": width // 2}
    cases = [
        (triton_kernels.joint_sums, strips | one, strip_launch),
        (triton_kernels.joint_rows, rows | one, row_launch),
        (triton_kernels.uniformity_rows, rows | one | {"WITH_GRADIENT": True}, row_launch),
        (triton_kernels.uniformity_rows, rows | one | {"WITH_GRADIENT": False}, row_launch),
    ]
    if width > 16:
        cases += [
            (triton_kernels.sepclr_sums, strips | both, strip_launch),
            (triton_kernels.sepclr_rows, rows | both, row_launch),
        ]
    for kernel, constants, launch in cases:
        assert spills(compiled(kernel, constants | parts, element, **launch), tmp_path) == 0, kernel.__name__


@pytest.mark.parametrize("with_gradient", [False, True])
@pytest.mark.parametrize("kernel", [triton_differences.mmd_rows, triton_differences.supervised_rows])
@pytest.mark.parametrize("n", SIZES)
def test_kernels_of_differences_spill_nothing(n, kernel, with_gradient, tmp_path):
    blocks, launch = split(difference_options(n))
    assert spills(compiled(kernel, blocks | {"WITH_GRADIENT": with_gradient}, **launch), tmp_path) == 0


def test_the_loop_of_exponentials_keeps_all_in_registers(tmp_path):
    constants = {"BLOCK": triton_exponentials.BLOCK, "TIMES": triton_exponentials.TIMES}
    assert spills(compiled(triton_exponentials.exponentials, constants), tmp_path) == 0
