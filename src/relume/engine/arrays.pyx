"""What Python gives the engine, once it is known to be what the engine takes it for."""

cimport numpy as cnp
from libc.stdint cimport int32_t

from relume.kernels.table cimport PER_OUTPUT, PER_OUTPUT_AND_ONE

import math

import numpy as np

cnp.import_array()


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
