"""What Python gives the engine, once it is known to be what the engine takes it for."""

cimport numpy as cnp
from cython.parallel cimport prange, threadid
from libc.stdint cimport INT32_MAX, int32_t, int64_t
from libc.string cimport memcpy

from relume.kernels.table cimport PER_OUTPUT, PER_OUTPUT_AND_ONE
from relume.runtime.threads cimport MAX_THREADS, Region, begin, done, end as end_region

import math

import numpy as np

cdef extern from "runtime/platform.h" nogil:
    void copy_past_caches(char* to, const char* source, size_t size)

cnp.import_array()

cdef Py_ssize_t PIECE = 1 << 20     # bytes that a thread copies at a time


class Centered(np.ndarray):
    """Rows of which the mean that a standardize op holds has been subtracted.

    It was subtracted in a wider dtype than the plan's, which would have lost the digits that
    values and mean do not have in common. Parts and copies stay such arrays.
    """


cdef char* data_of(cnp.ndarray array, dtype, Py_ssize_t size, str name) except NULL:
    """The memory of an array, once it is known to be what the plan takes it for."""
    if array is None:
        raise TypeError(f"{name} must be an array, got None")
    if (cnp.PyArray_SIZE(array) != size or not cnp.PyArray_ISCARRAY_RO(array)
            or array.descr is not dtype and array.descr != dtype):
        raise ValueError(f"{name} must be a C-contiguous array of {size} {dtype}, "
                         f"got {array.size} {array.dtype}")
    return address(array)


cdef char* writable_data_of(cnp.ndarray array, dtype, Py_ssize_t size, str name) except NULL:
    """The memory of an array that the engine writes to: not a read-only memory map."""
    cdef char* data = data_of(array, dtype, size, name)
    if not cnp.PyArray_ISWRITEABLE(array):
        raise ValueError(f"{name} must be writable, got a read-only array; copy it first")
    return data


cdef char* matrix_of(cnp.ndarray array, dtype, Py_ssize_t rows, Py_ssize_t columns,
                     str name) except NULL:
    """The memory of a matrix. Its shape is compared, since a product of sizes may overflow."""
    if array is None:
        raise TypeError(f"{name} must be an array, got None")
    if (cnp.PyArray_NDIM(array) != 2 or cnp.PyArray_DIM(array, 0) != rows
            or cnp.PyArray_DIM(array, 1) != columns):
        raise ValueError(f"{name} must have shape ({rows}, {columns}), got {np.shape(array)}")
    return data_of(array, dtype, cnp.PyArray_SIZE(array), name)


def copy_values(cnp.ndarray values, cnp.ndarray out):
    """Copy an array to another one of its size and dtype, on all threads if it is large."""
    cdef const char* source = data_of(values, values.dtype, values.size, "values")
    cdef char* target = writable_data_of(out, values.dtype, values.size, "out")
    cdef Py_ssize_t i, size = values.nbytes, n = (size + PIECE - 1) // PIECE
    cdef int threads = 1
    cdef Region region
    with nogil:
        if n > 1:
            threads = begin(&region, MAX_THREADS)
        if n <= 1:
            memcpy(target, source, size)
        elif threads == 1:
            copy_past_caches(target, source, size)
        else:
            for i in prange(n, schedule="static", num_threads=threads):
                copy_past_caches(target + i * PIECE, source + i * PIECE,
                                 min(PIECE, size - i * PIECE))
                done(&region, threadid())
            end_region(&region, n)


cdef int read_sparse(Sparse* sparse, tuple arrays, dtype, Py_ssize_t rows,
                     Py_ssize_t columns) except -1:
    """Point to (values, index, starts) of compressed rows, once they are known to be such."""
    values, index, starts = arrays
    int32 = np.dtype(np.int32)
    sparse.values = data_of(values, dtype, values.size, "the values of X")
    sparse.index = <const int32_t*> data_of(index, int32, values.size, "the indices of X")
    sparse.starts = <const int32_t*> data_of(starts, int32, rows + 1, "the starts of X")
    if (rows < 0 or starts[0] != 0 or starts[-1] != values.size
            or (starts[1:] < starts[:-1]).any()
            or (values.size and not 0 <= index.min() <= index.max() < columns)):
        raise ValueError("X must be a valid sparse matrix, got indices outside its shape")


def sparse_rows(cnp.ndarray values, cnp.ndarray index, cnp.ndarray starts, cnp.ndarray rows):
    """Some rows of a matrix of compressed rows, as such a matrix: (values, index, starts).

    Parameters
    ----------
    values : ndarray of float32 or float64
    index : ndarray of int32
        The column of each value.
    starts : ndarray of int64 of shape (n_rows + 1,)
        Where each row begins in both, and where the last one ends.
    rows : ndarray of int64
        In any order, and more than once if need be.
    """
    cdef Py_ssize_t n = cnp.PyArray_SIZE(rows), n_rows = cnp.PyArray_SIZE(starts) - 1
    cdef Py_ssize_t n_values = cnp.PyArray_SIZE(values), size = values.itemsize, i, first, length
    cdef const char* value = data_of(values, values.dtype, n_values, "values")
    cdef const int32_t* column = <const int32_t*> data_of(
        index, np.dtype(np.int32), n_values, "index")
    cdef const int64_t* start = <const int64_t*> data_of(
        starts, np.dtype(np.int64), n_rows + 1, "starts")
    cdef const int64_t* row = <const int64_t*> data_of(rows, np.dtype(np.int64), n, "rows")
    new_starts = np.empty(n + 1, np.int32)
    cdef int32_t* new_start = <int32_t*> address(new_starts)
    cdef Py_ssize_t total = 0
    new_start[0] = 0
    for i in range(n):
        if not 0 <= row[i] < n_rows:
            raise ValueError(f"rows must be 0 to {n_rows - 1}, got {row[i]}")
        if not 0 <= start[row[i]] <= start[row[i] + 1] <= n_values:
            raise ValueError(f"starts must rise from 0 to {n_values}")
        total += start[row[i] + 1] - start[row[i]]
        if total > INT32_MAX:
            raise ValueError(f"X must have at most {INT32_MAX} values in the rows of a minibatch")
        new_start[i + 1] = <int32_t> total
    new_values, new_index = np.empty(total, values.dtype), np.empty(total, np.int32)
    cdef char* new_value = address(new_values)
    cdef int32_t* new_column = <int32_t*> address(new_index)
    for i in range(n):
        first, length = start[row[i]], start[row[i] + 1] - start[row[i]]
        memcpy(new_value + new_start[i] * size, value + first * size, length * size)
        memcpy(new_column + new_start[i], column + first, length * sizeof(int32_t))
    return new_values, new_index, new_starts


def sparse_columns(cnp.ndarray values, cnp.ndarray index, cnp.ndarray starts, Py_ssize_t columns):
    """A matrix of compressed rows by columns: (values, index, starts), rows in rising order.

    Parameters
    ----------
    values, index, starts : ndarray
        As `sparse_rows` returns them.
    columns : int
    """
    cdef Py_ssize_t n = cnp.PyArray_SIZE(values), rows = cnp.PyArray_SIZE(starts) - 1, i, k, offset
    cdef Py_ssize_t size = values.itemsize
    cdef const char* value = data_of(values, values.dtype, n, "values")
    cdef const int32_t* column = <const int32_t*> data_of(index, np.dtype(np.int32), n, "index")
    cdef const int32_t* start = <const int32_t*> data_of(
        starts, np.dtype(np.int32), rows + 1, "starts")
    if n > INT32_MAX:
        raise ValueError(f"values must be at most {INT32_MAX}, got {n}")
    new_starts = np.zeros(columns + 1, np.int32)
    cdef int32_t* end = <int32_t*> address(new_starts)
    for k in range(n):
        if not 0 <= column[k] < columns:
            raise ValueError(f"index must be 0 to {columns - 1}, got {column[k]}")
        end[column[k] + 1] += 1
    new_values, new_index = np.empty(n, values.dtype), np.empty(n, np.int32)
    cdef char* new_value = address(new_values)
    cdef int32_t* new_row = <int32_t*> address(new_index)
    for i in range(rows):
        if not 0 <= start[i] <= start[i + 1] <= n:
            raise ValueError(f"starts must rise from 0 to {n}")
    for i in range(columns):
        end[i + 1] += end[i]
    # end[i] is where the next value of column i goes; in the end, where the next column begins.
    for i in range(rows):
        for k in range(start[i], start[i + 1]):
            offset = end[column[k]]
            end[column[k]] += 1
            new_row[offset] = <int32_t> i
            memcpy(new_value + offset * size, value + k * size, size)
    for i in range(columns, 0, -1):
        end[i] = end[i - 1]
    end[0] = 0
    return new_values, new_index, new_starts


cdef const LossRow* loss_of(const Spans* spans, str name) except NULL:
    cdef int i
    for i in range(spans.n_losses):
        if spans.losses[i].name == name.encode():
            return &spans.losses[i]
    raise ValueError(f"the engine has no loss {name!r}")


cdef const char* numbers_of(const LossRow* loss, cnp.ndarray numbers, dtype,
                            Py_ssize_t n_out) except NULL:
    """The memory of a loss's numbers, once they are known to be as many as its kernel reads."""
    cdef Py_ssize_t n = loss.n_numbers
    if n == PER_OUTPUT:
        n = n_out
    elif n == PER_OUTPUT_AND_ONE:
        n = n_out + 1
    return data_of(numbers, dtype, n, f"the numbers of the loss {loss.name.decode()!r}")


cdef object target_dtype(const LossRow* loss, dtype):
    """What y must be for a loss: labels, or values of the network's dtype."""
    return np.dtype(np.int64) if loss.labels else dtype


cdef cnp.ndarray targets_of(const LossRow* loss, cnp.ndarray y, dtype, Py_ssize_t rows,
                            Py_ssize_t n_out):
    """The y of so many rows as a loss reads it where it lies.

    Labels are copied before they are checked: another thread may change an array of the user's.
    """
    data_of(y, target_dtype(loss, dtype), rows if loss.labels else rows * n_out, "y")
    if not loss.labels:
        return y
    labels = np.array(y)
    if rows and not 0 <= labels.min() <= labels.max() < n_out:
        strange = labels[(labels < 0) | (labels >= n_out)][0]
        raise ValueError(f"y must hold class labels 0 to {n_out - 1}, got {strange}")
    return labels


cdef const OptimizerRow* optimizer_of(const Spans* spans, str name) except NULL:
    cdef int i
    for i in range(spans.n_optimizers):
        if spans.optimizers[i].name == name.encode():
            return &spans.optimizers[i]
    raise ValueError(f"the engine has no optimizer {name!r}")


def aligned_zeros(shape, dtype):
    """Zeros that begin on a cache line: vectors that lie across two cost up to twice as much."""
    dtype = np.dtype(dtype)
    size = math.prod(shape if isinstance(shape, tuple) else (shape,)) * dtype.itemsize
    memory = np.zeros(size + LINE, np.uint8)
    cdef Py_ssize_t start = -<Py_ssize_t> address(memory) & (LINE - 1)
    return memory[start:start + size].view(dtype).reshape(shape)
