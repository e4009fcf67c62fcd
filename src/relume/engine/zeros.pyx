"""Which products skip zeros, by a table of measurements, and the kernels that do.

relu leaves 30 to 90 % zeros. A row's product with a matrix then needs only some rows of that
matrix, but finds them one by one where BLAS goes through all of them at full speed: from which
share of zeros on it is faster depends on the shape and on the instruction set, and is what LEAST
says. What is chosen depends on shapes and counted zeros alone, so that the bits are the same in
every run.
"""

cimport numpy as cnp
from libc.stdint cimport int32_t

from relume.engine.arguments cimport address, data_of
from relume.kernels.dispatch cimport table
from relume.kernels.types cimport PADDING, Spans

import numpy as np

from relume.kernels.dispatch import name as build

cnp.import_array()

cdef enum:
    N_WIDTHS = 4

PRODUCTS = {"one row": ONE_ROW, "forward": FORWARD, "gradient": GRADIENT}

# The least share of zeros from which skipping them takes less time, as `make calibrate` prints it:
# for each product, by how many columns the dense matrix has. 2 is never.
WIDTHS = (1, 16, 64, 256)
LEAST = {
    "avx512": {
        "one row": (2, 0.7, 0.6, 0.4),
        "forward": (2, 0.95, 0.85, 0.7),
        "gradient": (2, 2, 0.9, 0.8),
    },
    "avx2": {
        "one row": (2, 0.7, 0.6, 0.4),
        "forward": (2, 0.95, 0.9, 0.8),
        "gradient": (2, 2, 0.95, 0.8),
    },
    "baseline": {
        "one row": (2, 0.7, 0.6, 0.4),
        "forward": (2, 2, 0.95, 0.9),
        "gradient": (2, 2, 0.95, 0.9),
    },
}

cdef Py_ssize_t[N_WIDTHS] widths = WIDTHS
cdef double[N_PRODUCTS][N_WIDTHS] least
for product, row in LEAST[build].items():
    for width, share in enumerate(row):
        least[<int> PRODUCTS[product]][<int> width] = share


cdef bint pays_off(int product, Py_ssize_t n, double zeros) noexcept nogil:
    cdef int width = N_WIDTHS - 1
    while n < widths[width]:
        width -= 1
    return zeros >= least[product][width]


# -- for tests and measurements -------------------------------------------------------------------

def pays(product, Py_ssize_t n, double zeros):
    """Whether a product with a matrix of n columns skips zeros, if a share of `zeros` is 0."""
    return pays_off(PRODUCTS[product], n, zeros)


def count_zeros(x):
    """How many elements are 0."""
    return spans_of(x.dtype).count_zeros(data_of(x, x.dtype, x.size, "x"), x.size)


def compress(x, bint columns=False):
    """(values, index, starts) of the rows of x, or of its columns."""
    rows, n = x.shape
    cdef const Spans* spans = spans_of(x.dtype)
    values, index = np.empty(x.size + PADDING, x.dtype), np.empty(x.size + PADDING, np.int32)
    starts = np.empty((n if columns else rows) + 1, np.int32)
    (spans.compress_columns if columns else spans.compress_rows)(
        data_of(x, x.dtype, x.size, "x"), rows, n, n, address(values),
        <int32_t*> address(index), <int32_t*> address(starts))
    return values[:starts[-1]], index[:starts[-1]], starts


def times_dense(compressed, matrix, bias=None, out=None):
    """The product of compressed rows and a matrix, and a bias."""
    values, index, starts = compressed
    height, n = matrix.shape
    dtype, int32 = matrix.dtype, np.dtype(np.int32)
    cdef const char* b = NULL if bias is None else data_of(bias, dtype, n, "bias")
    if out is None:
        out = np.empty((len(starts) - 1, n), dtype)
    spans_of(dtype).sparse_times_dense(
        data_of(values, dtype, values.size, "values"),
        <const int32_t*> data_of(index, int32, values.size, "index"),
        <const int32_t*> data_of(starts, int32, starts.size, "starts"),
        data_of(matrix, dtype, matrix.size, "matrix"), len(starts) - 1, height, n, b,
        data_of(out, dtype, (len(starts) - 1) * n, "out"))
    return out


cdef const Spans* spans_of(dtype) noexcept:
    return &table.float32 if dtype == np.float32 else &table.float64
