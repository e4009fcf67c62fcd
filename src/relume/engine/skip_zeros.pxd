"""Which products skip zeros: the choice, and the kernels behind it."""

from libc.stdint cimport int64_t

from relume.engine.ops cimport N_PRODUCTS, Op, Pass, SkipChoice

cdef enum Sparsity:
    NEVER
    AUTO
    ALWAYS

cdef enum:                      # the products of an op, N_PRODUCTS of them
    ONE_ROW                     # of a minibatch or a prediction: x W
    FORWARD                     # of a shard of rows: x W
    GRADIENT                    # of a block of weights: x^T delta

cdef enum:                      # the forms of a product, of which the first two are timed
    DENSE
    SKIPPING
    UNTIMED

cdef struct Trial:              # a call of a product that is timed, if `choice` is not NULL
    SkipChoice* choice
    int form                    # DENSE or SKIPPING
    Py_ssize_t size             # elements of x
    Py_ssize_t nonzeros
    double line                 # elements of a compressed line
    double begin                # seconds
    double compressing
    int reads                   # of the clock, each of which takes time itself

cdef void begin_choice(SkipChoice* choice) noexcept nogil
cdef double skipping_takes(const SkipChoice* choice, double share) noexcept nogil
cdef Py_ssize_t compressed_size(Py_ssize_t count, Py_ssize_t lines,
                                Py_ssize_t itemsize) noexcept nogil
cdef Py_ssize_t gradient_scratch(int sparsity, Py_ssize_t rows, Py_ssize_t width,
                                 Py_ssize_t itemsize) noexcept nogil
cdef bint skips(const Pass* p, const Op* op, int product, const char* x, Py_ssize_t rows,
                Py_ssize_t width, Py_ssize_t stride, Trial* trial) noexcept nogil
cdef bint may_skip(const Pass* p, const Op* op, const char* x, Py_ssize_t rows) noexcept nogil
cdef void end_trial(const Trial* trial) noexcept nogil
cdef bint skip_in_forward(const Pass* p, const Op* op, const char* x, Py_ssize_t first,
                          Py_ssize_t n, const char* weights, const char* bias, char* z,
                          Trial* trial) noexcept nogil
cdef void skip_in_gradient(const Pass* p, const Op* op, const char* x, Py_ssize_t first,
                           Py_ssize_t last, const char* delta, char* scratch, char* out,
                           Trial* trial) noexcept nogil
