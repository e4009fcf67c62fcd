"""Compressed rows and columns and their product with a matrix, against SciPy and NumPy."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse

from relume.engine import skip_zeros
from relume.kernels import dispatch

TOLERANCES = {"float64": 1e-13, "float32": 1e-5}
WIDTHS = [*range(1, 36), 63, 64, 65, 127, 128, 129, 255, 256, 300, 511]
by_dtype = pytest.mark.parametrize("dtype", TOLERANCES)
by_share = pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.99, 1.0])


def with_zeros(rows, n, share, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, n)).astype(dtype)
    x[rng.random((rows, n)) < share] = 0
    return x


def assert_compressed(found, x):
    """Check that a compressed matrix has the nonzero values of x, in order, and their columns."""
    values, index, starts = found
    rows, columns = np.nonzero(x)
    np.testing.assert_array_equal(values, x[rows, columns])
    np.testing.assert_array_equal(index, columns)
    np.testing.assert_array_equal(np.diff(starts), np.count_nonzero(x, axis=1))
    assert starts[0] == 0


@by_dtype
@by_share
@pytest.mark.parametrize("rows", [1, 2, 17])
def test_compressed_rows_and_columns(rows, share, dtype):
    for n in WIDTHS:
        x = with_zeros(rows, n, share, dtype, n)
        assert_compressed(skip_zeros.compress(x), x)
        assert_compressed(skip_zeros.compress(x, columns=True), x.T)
        assert skip_zeros.count_zeros(x) == x.size - np.count_nonzero(x)


@by_dtype
def test_rows_without_values_among_others(dtype):
    x = with_zeros(40, 70, 0.5, dtype)
    x[[0, 1, 13, 39]] = 0
    x[:, [0, 33, 69]] = 0
    assert_compressed(skip_zeros.compress(x), x)
    assert_compressed(skip_zeros.compress(x, columns=True), x.T)


@by_dtype
def test_nan_and_infinity_are_no_zeros_and_negative_zero_is_one(dtype):
    x = np.zeros((3, 37), dtype)
    x[1, [0, 16, 36]] = np.nan, -np.inf, np.inf
    x[2] = -0.0
    assert_compressed(skip_zeros.compress(x), x)
    assert_compressed(skip_zeros.compress(x, columns=True), x.T)
    out = skip_zeros.times_dense(skip_zeros.compress(x), np.ones((37, 5), dtype))
    assert np.isnan(out[1]).all()
    assert (out[[0, 2]] == 0).all()


@by_dtype
@by_share
@pytest.mark.parametrize("rows", [1, 2, 40])
def test_product_at_every_width(rows, share, dtype):
    for n in WIDTHS:
        x = with_zeros(rows, 45, share, dtype, n)
        matrix, bias = with_zeros(45, n, 0, dtype), with_zeros(1, n, 0, dtype)[0]
        for added in (None, bias):
            found = skip_zeros.times_dense(skip_zeros.compress(x), matrix, added)
            expected = x.astype("float64") @ matrix + (0 if added is None else added)
            np.testing.assert_allclose(found, expected, atol=TOLERANCES[dtype] * 10)


# More rows than a group, and matrices larger than a block for the L1 or L2 cache; the share of
# zeros decides which of the two blocks is used.
BLOCKS = [(300, 700, 300), (129, 3000, 100), (3, 50, 9000), (1, 2000, 700)]


@by_dtype
@pytest.mark.parametrize("share", [0.3, 0.93])
@pytest.mark.parametrize("shape", BLOCKS)
def test_product_in_blocks(shape, share, dtype):
    rows, height, n = shape
    x, matrix = with_zeros(rows, height, share, dtype), with_zeros(height, n, 0, dtype, 1)
    x[rows // 2] = 0
    found = skip_zeros.times_dense(skip_zeros.compress(x), matrix)
    expected = scipy.sparse.csr_array(x.astype("float64")) @ matrix
    np.testing.assert_allclose(found, expected, atol=TOLERANCES[dtype] * 50)
    delta, gradient = with_zeros(rows, n, 0, dtype, 2), np.zeros((height, n), dtype)
    for i in range(0, rows, 256):
        some = slice(i, i + 256)
        skip_zeros.times_dense(
            skip_zeros.compress(x[some], columns=True), delta[some], out=gradient, accumulate=True
        )
    np.testing.assert_allclose(
        gradient, x.T.astype("float64") @ delta, atol=TOLERANCES[dtype] * 50
    )


@by_dtype
def test_columns_in_any_order(dtype):
    rng, n = np.random.default_rng(5), 3000
    x, matrix = with_zeros(20, n, 0.9, dtype), with_zeros(n, 100, 0, dtype)
    values, index, starts = (each.copy() for each in skip_zeros.compress(x))
    for first, last in itertools.pairwise(starts):
        order = first + rng.permutation(last - first)
        values[first:last], index[first:last] = values[order], index[order]
    found = skip_zeros.times_dense((values, index, starts), matrix)
    np.testing.assert_allclose(found, x @ matrix.astype("float64"), atol=TOLERANCES[dtype] * 50)


@by_dtype
def test_nothing_is_written_beyond_the_output(dtype):
    for n in WIDTHS:
        memory = np.full(3 * n + 32, 7, dtype)
        out, x = memory[16 : 16 + 3 * n].reshape(3, n), with_zeros(3, 20, 0.5, dtype)
        skip_zeros.times_dense(skip_zeros.compress(x), with_zeros(20, n, 0, dtype), out=out)
        assert (memory[:16] == 7).all()
        assert (memory[16 + 3 * n :] == 7).all()


# -- other instruction sets --


@pytest.mark.parametrize("name", ["baseline", "avx2", "avx512"])
def test_other_instruction_sets(name):
    builds = dispatch.builds()
    if name == dispatch.name or name not in builds or dispatch.missing_features(builds[name]):
        pytest.skip(f"{name} is what the tests of this process use, or cannot run here")
    options = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "not instruction_sets"]
    done = subprocess.run(
        [sys.executable, *options, __file__],
        env=os.environ | {"RELUME_SIMD": name}, capture_output=True, text=True, check=False,
        timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
