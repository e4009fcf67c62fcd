"""Which products skip zeros: the table, and the kernels behind it."""

from relume.engine.ops cimport Pass, Op

cdef enum Sparsity:
    NEVER
    AUTO
    ALWAYS

cdef enum Product:
    ONE_ROW                     # of a minibatch or a prediction: x W
    FORWARD                     # of a shard of rows: x W
    GRADIENT                    # of a block of weights: x^T delta
    N_PRODUCTS

cdef bint may_pay(int sparsity, int product, Py_ssize_t n) noexcept nogil
cdef Py_ssize_t compressed_size(Py_ssize_t count, Py_ssize_t lines,
                                Py_ssize_t itemsize) noexcept nogil
cdef Py_ssize_t gradient_scratch(int sparsity, Py_ssize_t rows, Py_ssize_t width, Py_ssize_t n,
                                 Py_ssize_t itemsize) noexcept nogil
cdef bint skip_in_forward(const Pass* p, const Op* op, const char* x, Py_ssize_t first,
                          Py_ssize_t n, const char* weights, const char* bias,
                          char* z) noexcept nogil
cdef bint skip_in_gradient(const Pass* p, const Op* op, const char* x, Py_ssize_t first,
                           Py_ssize_t last, const char* delta, char* scratch,
                           char* out) noexcept nogil
