"""The check of `make vec`: every kernel loop is vectorized, and the check can fail."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VEC = [sys.executable, str(ROOT / "tools" / "vec.py")]

pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None or not (ROOT / "setup.py").exists(),
    reason="needs GCC, for its vectorization report, and the source tree",
)

# Each element depends on the one before it, so no compiler may vectorize the loop.
UNVECTORIZABLE = """
cdef void running_span(float** args, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(1, n):
        args[1][i] = args[1][i - 1] * args[0][i]

cdef void {name}(float** args, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef float sum = 0
    for i in range(n):
        sum = sum + args[0][i]
    args[1][0] = sum

used = <size_t> &running_span + <size_t> &{name}
"""
TO_DOUBLE = """
cdef extern from *:
    '''
    static void __pyx_fuse_0_halved_span(float **args, int scalar, long n) {
        for (long i = 0; i < n; i++) args[1][i] = (float) (0.1 + args[0][i]);
    }
    '''
    void __pyx_fuse_0_halved_span(float** args, int scalar, long n) nogil

used = <size_t> &__pyx_fuse_0_halved_span
"""


# It is unrolled before Clang vectorizes it.
SHORT = """
cdef void short_span(float** args, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef float* out = args[1]
    cdef const float* x = args[0]
    for i in range(n):
        for j in range(4):
            out[4 * i + j] = x[4 * i + j] * x[4 * i + j]

used = <size_t> &short_span
"""


def run_vec(*sources, compiler="gcc"):
    return subprocess.run(
        [*VEC, *map(str, sources)], capture_output=True, text=True, check=False,
        env=os.environ | {"CC": compiler},
    )  # fmt: skip


def test_every_kernel_loop_is_vectorized():
    result = run_vec()
    assert result.returncode == 0, result.stdout + result.stderr


def need(compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_a_loop_that_cannot_be_vectorized_is_named(compiler, tmp_path):
    need(compiler)
    source = tmp_path / "slow.pyx"
    source.write_text(UNVECTORIZABLE.format(name="in_order_sum_span"))
    result = run_vec(source, compiler=compiler)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "slow.pyx:4 in " in result.stdout
    assert "running_span" in result.stdout
    assert "slow.pyx:10 in " in result.stdout, "an in-order reduction counts as not vectorized"


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_a_short_loop_is_not_named(compiler, tmp_path):
    """Clang reports the loop around one that it has unrolled as missed."""
    need(compiler)
    source = tmp_path / "short.pyx"
    source.write_text(SHORT)
    result = run_vec(source, compiler=compiler)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_float_span_that_goes_through_double_is_named(tmp_path):
    source = tmp_path / "wide.pyx"
    source.write_text(TO_DOUBLE)
    result = run_vec(source)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "halved_span converts float to double" in result.stdout
