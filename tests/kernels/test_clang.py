"""What Clang makes of the products: it decides otherwise than GCC what stays in registers."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

KERNELS = Path(__file__).parents[2] / "src" / "relume" / "kernels"
pytestmark = pytest.mark.skipif(
    shutil.which("clang") is None or not KERNELS.exists(), reason="needs Clang and the source tree"
)
SOURCE = """
#include "matmul/dense.h"
void product_of_floats(const Product *q) { matmul_float(q); }
void product_of_doubles(const Product *q) { matmul_double(q); }
"""
FLAGS = [
    *("-S", "-O3", "-fwrapv", "-fPIC", "-ffp-contract=off", "-fno-trapping-math"),
    *("-fno-math-errno", "-mavx2", "-mfma", "-mf16c"),
]


def short_loops(assembly):
    """The lines of each loop of at most 60 lines."""
    lines = assembly.splitlines()
    labels = {}
    for end, line in enumerate(lines):
        if label := re.match(r"(\.\w+):", line):
            labels[label[1]] = end
        jump = re.match(r"\s+j\w+\s+(\.\w+)", line)
        if jump and end - labels.get(jump[1], -100) <= 60:
            yield lines[labels[jump[1]] + 1 : end]


def test_the_sums_of_a_tile_stay_in_registers(tmp_path):
    """Clang unrolled the loops over a tile after it had given the tile a place in memory.

    Every multiply-add of the innermost loop was then followed by a store.
    """
    if "x86_64" not in subprocess.check_output(["clang", "-dumpmachine"], text=True):
        pytest.skip("the flags are those of x86-64")
    source, assembly = tmp_path / "products.c", tmp_path / "products.s"
    source.write_text(SOURCE)
    include = f"-I{KERNELS}"
    subprocess.run(["clang", *FLAGS, include, str(source), "-o", str(assembly)], check=True)
    found = short_loops(assembly.read_text())
    tiles = [body for body in found if "\n".join(body).count("vfmadd") >= 8]
    assert len(tiles) >= 4  # whole and partial tiles of floats and doubles
    for body in tiles:
        stores = [line for line in body if re.search(r"vmovup[sd]\t%ymm\d+, .*\(%rsp\)", line)]
        assert len(stores) <= 2, "\n".join(body)
