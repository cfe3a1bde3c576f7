"""Compiles every Triton kernel for an H100 without one, and prints what it takes: python triton_ahead.py."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from cabench.losses.backends import triton as backend
from cabench.losses.backends import triton_differences, triton_kernels

H100 = GPUTarget("cuda", 90, 32)
SCALARS = {"rows", "tiles", "per_strip", "per_split", "width", "width_y"}


def compiled(kernel, constants, element="fp32", warps=4, stages=2):
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
    return triton.compile(source, target=H100, options={"num_warps": warps, "num_stages": stages})


def cases():
    """Yield (name, kernel, constants, element type, warps, stages) of what the backend starts."""
    for n in (512, 4096, 65536):
        for precision in ("exact", "default", "fast"):
            element = "fp32" if precision == "exact" else "bf16"
            parts = {"PARTS": 2 if precision == "default" else 1}
            for width in (16, 32, 64, 128, 256):
                tag = f"{precision:8} n={n:<6} d={width:<4}"
                block, options = backend.strip_options(n, width, precision)
                strip = ({"BLOCK": block} | parts, element, options["num_warps"], options["num_stages"])
                m, k, options = backend.row_options(n, width, precision)
                row = ({"BLOCK_M": m, "BLOCK_N": k} | parts, element, options["num_warps"], options["num_stages"])
                own = {"D": width}
                yield tag, triton_kernels.joint_sums, strip[0] | own, *strip[1:]
                yield tag, triton_kernels.joint_rows, row[0] | own, *row[1:]
                yield tag, triton_kernels.uniformity_rows, row[0] | own | {"WITH_GRADIENT": True}, *row[1:]
                if width > 16:
                    both = {"D_C": width // 2, "D_S": width // 2}
                    yield tag, triton_kernels.sepclr_sums, strip[0] | both, *strip[1:]
                    yield tag, triton_kernels.sepclr_rows, row[0] | both, *row[1:]
        block = backend.difference_block(n)
        for kernel in (triton_differences.mmd_rows, triton_differences.supervised_rows):
            yield f"n={n}", kernel, {"BLOCK": block, "WITH_GRADIENT": True}, "fp32", 4, 2


def tool(name):
    return str(Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name)


def resources(binary):
    """Return registers, bytes spilled, and the counts of some instructions of a compiled kernel."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(binary.asm["cubin"])
        usage = subprocess.run([tool("cuobjdump"), "-res-usage", file.name], capture_output=True, text=True).stdout
        sass = subprocess.run([tool("nvdisasm"), "-c", file.name], capture_output=True, text=True).stdout
    registers, stack = (int(re.search(rf"{key}:(\d+)", usage)[1]) for key in ("REG", "STACK"))
    counts = {
        op: len(re.findall(rf"\b{op}\b", sass)) for op in ("HGMMA", "HMMA", "FFMA", "MUFU", "LDL", "STL", "LDGSTS")
    }
    return {"registers": registers, "stack": stack, "shared": binary.metadata.shared} | counts


def main():
    chosen = sys.argv[1:]
    for tag, kernel, constants, element, warps, stages in cases():
        if all(word in f"{tag} {kernel.__name__}" for word in chosen):
            figures = resources(compiled(kernel, constants, element, warps, stages))
            blocks = "x".join(str(v) for k, v in constants.items() if k.startswith("BLOCK"))
            print(
                f"{kernel.__name__:16} {tag} {blocks:8} warps={warps}",
                *(f"{k}={v}" for k, v in figures.items()),
                flush=True,
            )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
