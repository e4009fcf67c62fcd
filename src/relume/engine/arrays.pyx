"""What Python gives the engine, once it is known to be what the engine takes it for."""

cimport numpy as cnp
from libc.stdint cimport int32_t

import numpy as np

cnp.import_array()


cdef char* data_of(cnp.ndarray array, dtype, Py_ssize_t size, str name) except NULL:
    """The memory of an array, once it is known to be what the plan takes it for."""
    if (cnp.PyArray_SIZE(array) != size or not cnp.PyArray_ISCARRAY_RO(array)
            or array.descr is not dtype and array.descr != dtype):
        raise ValueError(f"{name} must be a C-contiguous array of {size} {dtype}, "
                         f"got {array.size} {array.dtype}")
    return address(array)


cdef int read_sparse(Sparse* sparse, tuple arrays, dtype, Py_ssize_t rows,
                     Py_ssize_t columns) except -1:
    """Point to (values, index, starts) of compressed rows, once they are known to be such."""
    values, index, starts = arrays
    int32 = np.dtype(np.int32)
    sparse.values = data_of(values, dtype, values.size, "the values of X")
    sparse.index = <const int32_t*> data_of(index, int32, values.size, "the indices of X")
    sparse.starts = <const int32_t*> data_of(starts, int32, rows + 1, "the starts of X")
    if (starts[0] != 0 or starts[-1] != values.size or (np.diff(starts) < 0).any()
            or (values.size and not 0 <= index.min() <= index.max() < columns)):
        raise ValueError("X must be a valid sparse matrix, got indices outside its shape")


cdef Loss loss_of(const Spans* spans, str name) except NULL:
    cdef int i
    for i in range(spans.n_losses):
        if spans.losses[i].name == name.encode():
            return spans.losses[i].loss
    raise ValueError(f"the engine has no loss {name!r}")


cdef const OptimizerRow* optimizer_of(const Spans* spans, str name) except NULL:
    cdef int i
    for i in range(spans.n_optimizers):
        if spans.optimizers[i].name == name.encode():
            return &spans.optimizers[i]
    raise ValueError(f"the engine has no optimizer {name!r}")


def aligned_zeros(shape, dtype):
    """Zeros that begin on a cache line: vectors that lie across two cost up to twice as much."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.zeros(size + LINE, np.uint8)
    cdef Py_ssize_t start = -<Py_ssize_t> address(memory) & (LINE - 1)
    return memory[start:start + size].view(dtype).reshape(shape)


def target_dtype(loss, dtype):
    """What y must be for a loss: labels, or values of the network's dtype."""
    return np.dtype(np.int64) if loss == "cross_entropy" else np.dtype(dtype)
