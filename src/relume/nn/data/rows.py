"""Inputs: what is read where it lies, and what is brought together a minibatch at a time.

A C-contiguous matrix of the network's dtype, memory-mapped or not, goes to the engine as it is.
Other arrays are converted once; but a memory map of another dtype or order, which may be larger
than memory, and a sparse matrix are read in parts of some rows.
"""

import numpy as np

from relume import tables, validation
from relume.engine.arrays import Centered, sparse_columns, sparse_rows

CHUNK = 4096  # rows of a piece in prediction: 13 MB of 784 float32


class MappedRows:
    """A memory map, or a column of shards, whose rows are converted as they are read."""

    def __init__(self, array, dtype):
        self._array, self.dtype, self.shape = array, np.dtype(dtype), array.shape

    def __len__(self):
        return self.shape[0]

    def part(self, rows):
        """Those of a slice, not read yet."""
        return MappedRows(self._array[rows], self.dtype)

    def take(self, rows):
        """Some rows, a slice or an array of indices, as the engine takes them."""
        return self._converted(np.asarray(self._array[rows]))

    def _converted(self, values):
        return validation.contiguous(values, self.dtype)


class RawRows(MappedRows):
    """Rows of a dtype with more digits than the network's, before nn.Standardize.

    The mean is subtracted before the rows are rounded to the network's dtype: of seconds since
    1970, for instance, float32 holds every 128th only.
    """

    mean = 0.0  # until `Weights.adapt` sets it, as that of a layer that has seen no data

    @property
    def in_memory(self):
        """Whether the array may be read at once."""
        return isinstance(self._array, np.ndarray) and not isinstance(self._array, np.memmap)

    def part(self, rows):
        """Those of a slice, not read yet."""
        part = RawRows(self._array[rows], self.dtype)
        part.mean = self.mean
        return part

    def _converted(self, values):
        """The values less the mean."""
        values = difference(values, self.mean)
        return validation.contiguous(values, self.dtype).view(Centered)

    def all(self):
        """All rows, less the mean, in memory of their own."""
        if len(self) <= CHUNK:
            return self.take(slice(None))
        out = np.empty(self.shape, self.dtype).view(Centered)
        for first in range(0, len(self), CHUNK):
            out[first : first + CHUNK] = self.take(slice(first, first + CHUNK))
        return out

    def raw(self, rows):
        """Some rows as they are."""
        return np.asarray(self._array[rows])


def difference(values, mean):
    """Values less a mean, in float64 or wider. That of large integers is exact."""
    with np.errstate(over="ignore", invalid="ignore"):
        if values.dtype.kind not in "iu" or values.dtype.itemsize < 8:
            return values - np.asarray(mean, np.float64)
        near = np.rint(np.clip(mean, -(2.0**63), np.nextafter(2.0**63, 0)))
        rough = values.astype(np.float64) - near
        exact = values.view(np.int64) - near.astype(np.int64)  # modulo 2**64
        small = np.abs(rough) < 2.0**62
        return np.where(small, exact, rough) - (mean - near)


class SparseRows:
    """A SciPy sparse matrix, read by rows without being made dense.

    Columns are divided by `scale`, if there is one, as they are read.
    """

    def __init__(self, matrix, dtype, name):
        self._matrix = csr_of(matrix, name).astype(dtype, copy=False)
        if not self._matrix.has_canonical_format:
            self._matrix = self._matrix.copy()  # which may be the user's
            self._matrix.sum_duplicates()
        if not np.isfinite(self._matrix.data).all():
            raise validation.not_finite(name, dtype)
        self.shape, self.scale = matrix.shape, None
        index, starts = self._matrix.indices, self._matrix.indptr
        values = validation.contiguous(self._matrix.data, np.dtype(dtype))
        self._compressed = values, index.astype(np.int32, copy=False), starts.astype(np.int64)

    def __len__(self):
        return self.shape[0]

    def part(self, rows):
        """Those of a slice."""
        return SparseRows(self._matrix[rows], self._matrix.dtype, "X")

    def take(self, rows):
        """Some rows, compressed by rows and, for the gradient, by columns."""
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        part = sparse_rows(*self._compressed, np.asarray(rows, np.int64))
        values, index, starts = self._scaled(*part)
        return (values, index, starts), sparse_columns(values, index, starts, self.shape[1])

    def by_rows(self, first, last):
        """A run of rows, compressed by rows."""
        values, index, starts = self._compressed
        starts = starts[first : last + 1]
        part = slice(starts[0], starts[-1])
        return self._scaled(values[part], index[part], (starts - starts[0]).astype(np.int32))

    def _scaled(self, values, index, starts):
        return values if self.scale is None else values / self.scale[index], index, starts

    def dense(self):
        """All rows as dense matrices of some rows each, not scaled."""
        for first in range(0, len(self), CHUNK):
            yield self._matrix[first : first + CHUNK].toarray()

    def subset(self, rows):
        """Some rows as such a matrix again."""
        return SparseRows(self._matrix[rows], self._matrix.dtype, "X")

    def moments(self):
        """Mean and std of each column, in float64; a std of 0 where all values are the same."""
        n, width = self.shape
        index, values = self._matrix.indices, self._matrix.data.astype(np.float64)
        largest = np.zeros(width)
        np.maximum.at(largest, index, np.abs(values))
        scale = np.ldexp(1.0, np.clip(-np.frexp(largest)[1], -1020, 1020))  # a power of two
        values = values * scale[index]
        mean = np.bincount(index, values, width) / n
        squares = np.bincount(index, (values - mean[index]) ** 2, width)
        zeros = n - np.bincount(index, minlength=width)
        std = np.sqrt((squares + zeros * mean**2) / n)
        std[std <= 10 * np.finfo(np.float64).eps * abs(mean)] = 0
        return mean / scale, std / scale


def csr_of(matrix, name):
    """A SciPy sparse matrix by compressed rows, with indices of its own that are known to be good.

    SciPy checks indices neither when it takes them nor in its conversions, which then write beyond
    their memory. So they are checked before, and copied, since the user's may change later.
    """
    check_sparse(matrix, name)
    rows = matrix.tocsr()
    if rows is not matrix:
        check_sparse(rows, name)
    parts = (rows.data, rows.indices.copy(), rows.indptr.copy())
    return type(rows)(parts, shape=rows.shape)


def check_sparse(matrix, name):
    """Raise unless the indices of a SciPy sparse matrix lie within its shape.

    What is left, dictionaries and formats of others, is safe to convert; the result is checked.
    """
    form, shape = getattr(matrix, "format", None), matrix.shape
    if len(shape) != 2:
        raise ValueError(f"{name} must have shape (n_samples, n_features), got {shape}")
    if form in ("csr", "csc", "bsr"):
        block = (1, 1)
        if form == "bsr":
            block = np.shape(matrix.data)[1:]
            if len(block) != 2 or 0 in block or shape[0] % block[0] or shape[1] % block[1]:
                raise _bad_sparse(name, f"blocks of shape {block} in a matrix of shape {shape}")
        lines, width = shape[0] // block[0], shape[1] // block[1]
        if form == "csc":
            lines, width = width, lines
        _check_compressed(matrix, name, lines, width)
    elif form == "coo":
        for i, index in enumerate((matrix.row, matrix.col)):
            _check_indices(index, name, f"coords[{i}]", shape[i])
            if len(index) != len(matrix.data):
                raise _bad_sparse(name, f"{len(index)} indices for {len(matrix.data)} values")
    elif form == "lil":
        lengths = [[len(line) for line in lines] for lines in (matrix.rows, matrix.data)]
        if lengths[0] != lengths[1] or len(lengths[0]) != shape[0]:
            raise _bad_sparse(name, "rows and data of other lengths than each other")
    elif form == "dia" and len(matrix.offsets) != len(matrix.data):
        found = f"{len(matrix.offsets)} offsets for {len(matrix.data)} diagonals"
        raise _bad_sparse(name, found)


def _check_compressed(matrix, name, lines, width):
    starts = _integers(matrix.indptr, name, "indptr")
    if len(starts) != lines + 1 or starts[0] != 0 or (starts[1:] < starts[:-1]).any():
        raise _bad_sparse(name, f"an indptr that does not rise from 0 in {lines} steps")
    stored = min(len(matrix.indices), len(matrix.data))
    if starts[-1] > stored:
        raise _bad_sparse(name, f"an indptr up to {starts[-1]} where {stored} values are stored")
    _check_indices(matrix.indices, name, "indices", width)


def _check_indices(index, name, attribute, width):
    index = _integers(index, name, attribute)
    if index.size and not 0 <= index.min() <= index.max() < width:
        strange = index[(index < 0) | (index >= width)][0]
        raise _bad_sparse(name, f"{attribute} with {strange}, where 0 to {width - 1} are allowed")


def _integers(values, name, attribute):
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        found = f"{attribute} of dtype {array.dtype} and shape {array.shape}"
        raise _bad_sparse(name, found)
    return array


def _bad_sparse(name, found):
    return ValueError(f"{name} must be a valid sparse matrix, got {found}")


def is_sparse(X):
    """Whether X is a SciPy sparse matrix or array, without importing SciPy's."""
    return hasattr(type(X), "tocsr") and hasattr(type(X), "nnz")  # nnz of a damaged one raises


def features_of(X, name, dtype, width=None, no_rows=False, raw=False):
    """X as a contiguous matrix, or as rows that are read in parts; `no_rows` allows 0 rows.

    With `raw`, rows that rounding to the dtype might change come as `RawRows`.
    """
    if is_sparse(X):
        validation.shape(X.shape, name, width, no_rows)
        if X.dtype.kind not in "fiub":
            raise TypeError(f"{name} must hold real numbers, got dtype {X.dtype}")
        return SparseRows(X, dtype, name)
    if raw and not (isinstance(X, list | tuple) and not X):
        real = validation.real(X, name)
        validation.shape(real.shape, name, width, no_rows)
        if len(real) and _has_more_digits(real, dtype):
            if tables.columns_of(X) is not None:
                validation.finite_frame(X, validation.contiguous(real, dtype), name)
            return RawRows(X if isinstance(X, np.memmap) else real, dtype)
    if isinstance(X, np.memmap) and (X.dtype != dtype or not X.flags.c_contiguous):
        validation.real(X, name)
        validation.shape(X.shape, name, width)
        return MappedRows(X, dtype)
    return validation.matrix(X, name, dtype, width, no_rows)


def parts_of(X):
    """Rows that are read in parts, as prediction takes them."""
    for first in range(0, len(X), CHUNK):
        last = min(first + CHUNK, len(X))
        sparse = isinstance(X, SparseRows)
        yield X.by_rows(first, last) if sparse else X.take(slice(first, last))


def moments(X):
    """Mean and std of each column, in float64; a std of 0 where all values are the same."""
    if isinstance(X, SparseRows):
        return X.moments()
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        first = next(_dense_parts(X))[0]
        integers, first = first.dtype.kind in "iu", first.astype(np.float64)
        beyond = _mean(difference(part, first) for part in _dense_parts(X))
        mean = np.asarray(first + beyond, np.float64)
        lost = first - mean + beyond  # in the rounding of the mean
        std = np.sqrt(_mean(np.square(difference(part, mean) - lost) for part in _dense_parts(X)))
        std = np.asarray(std, np.float64)
        doubtful = ~((std > _LOW) & (std < np.inf) & np.isfinite(mean))
        if doubtful.any():
            mean, std = _scaled_moments(X, mean, std, doubtful)
    # Values that are no integers may be the same but for rounding.
    digits = 0 if integers else np.finfo(np.float64).eps
    return mean, np.where(std > 10 * digits * abs(mean), std, 0)


_LOW = 1e-140  # of a std whose square loses no digits


def _scaled_moments(X, mean, std, doubtful):
    """The moments of columns whose squares or sums may have overflowed, or underflowed to 0."""
    largest = np.max([np.abs(part.astype(np.float64)).max(axis=0) for part in _dense_parts(X)], 0)
    exponent = np.clip(-np.frexp(np.where(np.isfinite(largest), largest, 1))[1], -1020, 1020)
    scale = np.ldexp(1.0, exponent)
    center = _mean(part * scale for part in _dense_parts(X))
    spread = np.sqrt(_mean(np.square(part * scale - center) for part in _dense_parts(X)))
    same = np.all([(part == next(_dense_parts(X))[0]).all(axis=0) for part in _dense_parts(X)], 0)
    return (
        np.where(doubtful, center / scale, mean),
        np.where(doubtful, np.where(same, 0, spread / scale), std),
    )


def _mean(parts):
    """The mean of the rows of some parts, column by column."""
    total, n = 0.0, 0
    for part in parts:
        total, n = total + part.sum(axis=0, dtype=np.float64), n + len(part)
    return total / n


def _dense_parts(X):
    for first in range(0, len(X), CHUNK):
        rows = slice(first, first + CHUNK)
        if isinstance(X, RawRows):
            yield X.raw(rows)
        else:
            yield X[rows] if isinstance(X, np.ndarray) else X.take(rows)


def _has_more_digits(array, dtype):
    """Whether rounding the values to a dtype might change them."""
    if array.dtype.kind == "f":
        return array.dtype.itemsize > dtype.itemsize
    return array.dtype.kind in "iu" and 8 * array.dtype.itemsize > np.finfo(dtype).nmant
