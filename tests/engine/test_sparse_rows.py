"""Rows of sparse matrices that the engine gathers, and their transposition: as SciPy's."""

import numpy as np
import pytest
import scipy.sparse

from relume.engine.arrays import sparse_columns, sparse_rows
from relume.nn.data.rows import SparseRows, parts_of

RNG = np.random.default_rng(0)


def matrix(shape=(30, 12), density=0.3, dtype="float32"):
    return scipy.sparse.random(*shape, density, "csr", dtype, RNG)


def compressed(csr):
    return csr.data, csr.indices.astype(np.int32), csr.indptr.astype(np.int64)


def assert_same(found, expected):
    for mine, theirs in zip(
        found, (expected.data, expected.indices, expected.indptr), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    assert [array.dtype for array in found] == [expected.dtype, np.int32, np.int32]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(30, 12), (1, 1), (5, 300), (40, 1)])
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("order", ["all", "permuted", "repeated", "none", "slice"])
def test_rows_and_columns_are_scipys(order, density, shape, dtype):
    csr, n = matrix(shape, density, dtype), shape[0]
    rows = {
        "all": np.arange(n), "permuted": RNG.permutation(n), "repeated": np.zeros(7, np.int64),
        "none": np.zeros(0, np.int64), "slice": slice(n // 3, n),
    }[order]  # fmt: skip
    by_rows, by_columns = SparseRows(csr, dtype, "X").take(rows)
    assert_same(by_rows, csr[rows])
    assert_same(by_columns, csr[rows].tocsc())


def test_a_run_of_rows_is_not_copied():
    X = SparseRows(matrix((20, 5)), "float32", "X")
    values, _, starts = X.by_rows(7, 15)
    assert values.base is X._compressed[0].base or values.base is X._compressed[0]
    assert_same(X.by_rows(7, 15), X._matrix[7:15])
    assert starts[0] == 0


def test_columns_are_divided_by_their_scale():
    csr, scale = matrix(), RNG.random(12).astype("float32") + 1
    X = SparseRows(csr, "float32", "X")
    X.scale = scale
    expected = csr.toarray() / scale
    by_rows, by_columns = X.take(np.array([3, 1]))
    first = next(iter(parts_of(X)))
    for found, rows in (
        (scipy.sparse.csr_array(by_rows, (2, 12)), [3, 1]),
        (scipy.sparse.csc_array(by_columns, (2, 12)), [3, 1]),
        (scipy.sparse.csr_array(first, (30, 12)), slice(None)),
    ):
        np.testing.assert_array_equal(found.toarray(), expected[rows])


def test_values_that_do_not_lie_side_by_side():
    csr = matrix()
    strided = scipy.sparse.csr_matrix(csr)
    strided.data = np.repeat(csr.data, 2)[::2]
    found = SparseRows(strided, "float32", "X").take(np.arange(30))
    assert_same(found[0], csr)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v, i, s, r: (v, i, s, r - 1), "rows must be 0 to 29, got -1"),
        (lambda v, i, s, r: (v, i, s, r + 30), "rows must be 0 to 29, got 30"),
        (lambda v, i, s, r: (v, i, s + len(v), r), "starts must rise"),
        (lambda v, i, s, r: (v, i, -s - 1, r), "starts must rise"),
        (lambda v, i, s, r: (v, i, s[::-1].copy(), r), "starts must rise"),
        (lambda v, i, s, r: (v, i[:-1], s, r), "index must be"),
        (lambda v, i, s, r: (v, i.astype(np.int64), s, r), "index must be"),
        (lambda v, i, s, r: (v, i, s.astype(np.int32), r), "starts must be"),
        (lambda v, i, s, r: (v, i, s, r.astype(np.int32)), "rows must be"),
        (lambda v, i, s, r: (v[::-1], i, s, r), "values must be"),
    ],
)
def test_no_row_is_read_beyond_its_array(change, words):
    csr = matrix(density=1.0)
    with pytest.raises(ValueError, match=words):
        sparse_rows(*change(*compressed(csr), np.zeros(3, np.int64)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v, i, s: (v, i + 12, s, 12), "index must be 0 to 11, got 12"),
        (lambda v, i, s: (v, i - 1, s, 12), "index must be 0 to 11, got -1"),
        (lambda v, i, s: (v, i, s, 11), "index must be 0 to 10, got 11"),
        (lambda v, i, s: (v, i, s + 1, 12), "starts must rise"),
        (lambda v, i, s: (v, i, s - 1, 12), "starts must rise"),
        (lambda v, i, s: (v, i, s[::-1].copy(), 12), "starts must rise"),
        (lambda v, i, s: (v[:-1], i, s, 12), "index must be"),
    ],
)
def test_no_column_is_written_beyond_its_array(change, words):
    csr = matrix(density=1.0)
    with pytest.raises(ValueError, match=words):
        sparse_columns(*change(csr.data, csr.indices.astype(np.int32),
                               csr.indptr.astype(np.int32)))  # fmt: skip
