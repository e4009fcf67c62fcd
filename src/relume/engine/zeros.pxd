"""Which products skip zeros: the table, and the kernels behind it."""

cdef enum Product:
    ONE_ROW                     # of a minibatch or a prediction: x W
    FORWARD                     # of a shard of rows: x W
    GRADIENT                    # of a block of weights: x^T delta
    N_PRODUCTS

cdef bint pays_off(int product, Py_ssize_t n, double zeros) noexcept nogil
