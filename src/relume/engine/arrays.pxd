"""The memory of arrays and the rows of the table by name, for the rest of the engine."""

cimport numpy as cnp

from relume.engine.ops cimport Sparse
from relume.kernels.table cimport LossRow, OptimizerRow, Spans


cdef enum:
    LINE = 64                   # bytes of a cache line


cdef inline char* address(cnp.ndarray array) noexcept:
    return <char*> cnp.PyArray_DATA(array)


cdef char* data_of(cnp.ndarray array, dtype, Py_ssize_t size, str name) except NULL
cdef char* writable_data_of(cnp.ndarray array, dtype, Py_ssize_t size, str name) except NULL
cdef char* matrix_of(cnp.ndarray array, dtype, Py_ssize_t rows, Py_ssize_t columns,
                     str name) except NULL
cdef int read_sparse(Sparse* sparse, tuple arrays, dtype, Py_ssize_t rows,
                     Py_ssize_t columns) except -1
cdef const LossRow* loss_of(const Spans* spans, str name) except NULL
cdef const char* numbers_of(const LossRow* loss, cnp.ndarray numbers, dtype,
                            Py_ssize_t n_out) except NULL
cdef object target_dtype(const LossRow* loss, dtype)
cdef cnp.ndarray targets_of(const LossRow* loss, cnp.ndarray y, dtype, Py_ssize_t rows,
                            Py_ssize_t n_out)
cdef const OptimizerRow* optimizer_of(const Spans* spans, str name) except NULL
