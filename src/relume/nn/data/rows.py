"""Inputs: what is read where it lies, and what is brought together a minibatch at a time.

A C-contiguous matrix of the network's dtype, memory-mapped or not, goes to the engine as it is.
Other arrays are converted once; but a memory map of another dtype or order, which may be larger
than memory, and a sparse matrix are read in pieces of some rows.
"""

import numpy as np

from relume import validation

CHUNK = 4096  # rows of a piece in prediction: 13 MB of 784 float32


class MappedRows:
    """A memory map whose rows are converted as they are read."""

    def __init__(self, array, dtype):
        self._array, self.dtype, self.shape = array, np.dtype(dtype), array.shape

    def __len__(self):
        return self.shape[0]

    def part(self, rows):
        """Those of a slice, not read yet."""
        return MappedRows(self._array[rows], self.dtype)

    def take(self, rows):
        """Some rows, a slice or an array of indices, as the engine takes them."""
        return validation.contiguous(np.asarray(self._array[rows]), self.dtype)


class SparseRows:
    """A SciPy sparse matrix, read by rows without being made dense.

    Columns are divided by `scale`, if there is one, as they are read.
    """

    def __init__(self, matrix, dtype, name):
        self._matrix = matrix.tocsr().astype(dtype, copy=False)
        if not self._matrix.has_canonical_format:
            self._matrix = self._matrix.copy()  # which may be the user's
            self._matrix.sum_duplicates()
        if not np.isfinite(self._matrix.data).all():
            raise validation.not_finite(name, dtype)
        self.shape, self.scale = matrix.shape, None

    def __len__(self):
        return self.shape[0]

    def part(self, rows):
        """Those of a slice."""
        return SparseRows(self._matrix[rows], self._matrix.dtype, "X")

    def take(self, rows):
        """Some rows, compressed by rows and, for the gradient, by columns."""
        part = self._matrix[rows]
        if self.scale is not None:
            scaled = part.data / self.scale[part.indices]
            part = type(part)((scaled, part.indices, part.indptr), shape=part.shape)
        return _arrays(part), _arrays(part.tocsc())

    def subset(self, rows):
        """Some rows as such a matrix again."""
        return SparseRows(self._matrix[rows], self._matrix.dtype, "X")

    def moments(self):
        """Mean and variance of each column, in float64."""
        n, width = self.shape
        index, values = self._matrix.indices, self._matrix.data.astype(np.float64)
        mean = np.bincount(index, values, width) / n
        squares = np.bincount(index, (values - mean[index]) ** 2, width)
        zeros = n - np.bincount(index, minlength=width)
        return mean, (squares + zeros * mean**2) / n


def _arrays(matrix):
    int32 = np.int32
    return (
        matrix.data,
        matrix.indices.astype(int32, copy=False),
        matrix.indptr.astype(int32, copy=False),
    )


def is_sparse(X):
    """Whether X is a SciPy sparse matrix or array, without importing SciPy's."""
    return hasattr(X, "tocsr") and hasattr(X, "nnz")


def features_of(X, name, dtype, width=None):
    """X as a contiguous matrix, or as rows that are read in pieces."""
    if is_sparse(X):
        validation.shape(X.shape, name, width)
        if X.dtype.kind not in "fiub":
            raise TypeError(f"{name} must hold real numbers, got dtype {X.dtype}")
        return SparseRows(X, dtype, name)
    if isinstance(X, np.memmap) and (X.dtype != dtype or not X.flags.c_contiguous):
        validation.real(X, name)
        validation.shape(X.shape, name, width)
        return MappedRows(X, dtype)
    return validation.matrix(X, name, dtype, width)


def pieces(X):
    """Rows that are read in pieces, as prediction takes them."""
    for first in range(0, len(X), CHUNK):
        part = X.take(slice(first, first + CHUNK))
        yield part[0] if isinstance(part, tuple) else part


def moments(X):
    """Mean and variance of each column, in float64."""
    if isinstance(X, SparseRows):
        return X.moments()
    n = len(X)
    mean = sum(part.sum(axis=0, dtype=np.float64) for part in _dense_pieces(X)) / n
    squares = sum(np.square(part - mean).sum(axis=0) for part in _dense_pieces(X))
    return mean, squares / n


def _dense_pieces(X):
    for first in range(0, len(X), CHUNK):
        rows = slice(first, first + CHUNK)
        yield X[rows] if isinstance(X, np.ndarray) else X.take(rows)
