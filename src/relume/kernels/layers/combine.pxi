# The element-wise product and sum of two arrays.

from relume.kernels.table cimport Binary

cdef void multiply(const floating* x, const floating* y, Py_ssize_t n,
                   floating* out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = x[i] * y[i]

cdef void add_elements(const floating* x, const floating* y, Py_ssize_t n,
                       floating* out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = x[i] + y[i]


# -- the table ------------------------------------------------------------------------------------

cdef void fill_combine(Spans* spans, floating like) noexcept:
    spans.multiply = <Binary> multiply[floating]
    spans.add = <Binary> add_elements[floating]
