"""Which matrix products skip zeros, by a table of measurements, and the kernels that do so.

A relu sets 30 to 90 % of its outputs to 0. The product of such a row with a matrix needs only some
rows of the matrix, but has to find them, while a dense product reads all rows at full speed. The
share of zeros from which skipping is faster depends on the shape and on the instruction set;
MIN_SHARES is a table of it. The choice depends only on shapes and on counted zeros, so that the
bits are the same in every run.
"""

cimport numpy as cnp
from libc.stdint cimport INT32_MAX, int32_t, int64_t

from relume.engine.arrays cimport address, data_of, matrix_of, read_sparse, writable_data_of
from relume.engine.ops cimport Op, Pass, Sparse, at
from relume.kernels.dispatch cimport table
from relume.kernels.table cimport COMPRESS_ROWS, PADDING, Spans

import numpy as np

from relume.kernels.dispatch import name as _build

cnp.import_array()

cdef enum:
    N_WIDTHS = 7
    SAMPLE = 8                  # rows, evenly spread, by which the zeros of more are estimated;
    NARROW = 16                 # half of them where a product has so few columns or less

SPARSITIES = {"never": NEVER, "auto": AUTO, "always": ALWAYS}
PRODUCTS = {"one row": ONE_ROW, "forward": FORWARD, "gradient": GRADIENT}

# The share of zeros from which on skipping them takes less time: a row for each product, an entry
# for each number of columns of the dense matrix in WIDTHS; 2 means never. The values are between
# those of `make calibrate` and those of benchmarks/zeros.py, measured on one core of Zen 4, with
# each instruction set forced by RELUME_SIMD.
WIDTHS = (1, 16, 32, 64, 256, 512, 1024)
MIN_SHARES = {
    "avx512": {
        "one row": (0.45, 0.55, 0.3, 0.22, 0.2, 0.2, 0.2),
        "forward": (0.84, 0.78, 0.65, 0.43, 0.4, 0.43, 0.46),
        "gradient": (2, 2, 0.85, 0.5, 0.45, 0.46, 0.52),
    },
    "avx2": {
        "one row": (0.65, 0.45, 0.48, 0.25, 0.22, 0.22, 0.22),
        "forward": (2, 0.95, 0.72, 0.58, 0.48, 0.5, 0.58),
        "gradient": (2, 2, 0.85, 0.58, 0.45, 0.42, 0.5),
    },
    "baseline": {
        "one row": (0.25, 0.5, 0.42, 0.3, 0.28, 0.25, 0.25),
        "forward": (0.78, 0.55, 0.38, 0.3, 0.25, 0.25, 0.38),
        "gradient": (0.8, 0.68, 0.35, 0.27, 0.22, 0.22, 0.25),
    },
}

cdef Py_ssize_t[N_WIDTHS] widths = WIDTHS
cdef double[N_PRODUCTS][N_WIDTHS] min_shares
for _product, _shares in MIN_SHARES[_build].items():
    for _width, _share in enumerate(_shares):
        min_shares[<int> PRODUCTS[_product]][<int> _width] = _share


cdef double min_share_for(int product, Py_ssize_t n) noexcept nogil:
    cdef int width = N_WIDTHS - 1
    while n < widths[width]:
        width -= 1
    return min_shares[product][width]


cdef bint may_pay(int sparsity, int product, Py_ssize_t n) noexcept nogil:
    """Whether a product with a matrix of n columns skips zeros for any share of them."""
    return sparsity == ALWAYS or (sparsity == AUTO and min_share_for(product, n) <= 1)


cdef bint chosen(const Pass* p, int product, const char* x, Py_ssize_t rows, Py_ssize_t width,
                 Py_ssize_t stride, Py_ssize_t n) noexcept nogil:
    """Whether to skip the zeros of x, judged by the zeros in a sample of its rows."""
    cdef Py_ssize_t i, sample = SAMPLE if n > NARROW else SAMPLE // 2
    cdef Py_ssize_t step = max(rows // sample, <Py_ssize_t> 1), count = 0, zeros = 0
    if p.sparsity != AUTO or not may_pay(AUTO, product, n):
        return p.sparsity == ALWAYS
    for i in range((rows + step - 1) // step):
        zeros += p.spans.count_zeros(x + i * step * stride * p.itemsize, width)
        count += width
    return zeros >= min_share_for(product, n) * count


# -- memory for the compressed form: values, their indices, where each line begins ----------------

cdef struct Compressed:
    char* values
    int32_t* index
    int32_t* starts


cdef Py_ssize_t compressed_size(Py_ssize_t count, Py_ssize_t lines,
                                Py_ssize_t itemsize) noexcept nogil:
    """Bytes for `count` elements in so many lines, none of them 0."""
    return (count + PADDING) * (itemsize + sizeof(int32_t)) + (lines + 1) * sizeof(int32_t)


cdef Py_ssize_t gradient_scratch(int sparsity, Py_ssize_t rows, Py_ssize_t width, Py_ssize_t n,
                                 Py_ssize_t itemsize) noexcept nogil:
    """Bytes of a thread for `width` rows of a gradient of n columns: a count, and columns."""
    cdef Py_ssize_t some = min(rows, <Py_ssize_t> COMPRESS_ROWS)
    if not may_pay(sparsity, GRADIENT, n):
        return 0
    return sizeof(int64_t) + compressed_size(some * width, width, itemsize)


cdef Compressed compressed_at(char* memory, Py_ssize_t count, Py_ssize_t itemsize) noexcept nogil:
    cdef Compressed c
    c.values = memory
    c.index = <int32_t*> (memory + (count + PADDING) * itemsize)
    c.starts = c.index + count + PADDING
    return c


# -- the products ---------------------------------------------------------------------------------

cdef bint skip_in_forward(const Pass* p, const Op* op, const char* x, Py_ssize_t first,
                          Py_ssize_t n, const char* weights, const char* bias,
                          char* z) noexcept nogil:
    """z = x W + b for n rows, if zeros are to be skipped."""
    cdef int product = ONE_ROW if n == 1 else FORWARD
    cdef Compressed c
    if op.n_compressed == 0 or not may_pay(p.sparsity, product, op.n_out):
        return False
    if n > 1 and not chosen(p, product, x, n, op.n_in, op.n_in, op.n_out):
        return False
    c = compressed_at(at(p, op.compressed, first, op.n_compressed), n * op.n_in, p.itemsize)
    p.spans.compress_rows(x, n, op.n_in, op.n_in, c.values, c.index, c.starts)
    # The zeros of a single row are counted by compressing it.
    if (n == 1 and p.sparsity == AUTO
            and op.n_in - c.starts[1] < min_share_for(product, op.n_out) * op.n_in):
        return False
    p.spans.sparse_times_dense(c.values, c.index, c.starts, weights, n, op.n_in, op.n_out, bias,
                               False, z)
    if p.skipped != NULL:
        p.skipped[first] += (n * op.n_in - c.starts[n]) * op.n_out
    return True


cdef bint skip_in_gradient(const Pass* p, const Op* op, const char* x, Py_ssize_t first,
                           Py_ssize_t last, const char* delta, char* scratch,
                           char* out) noexcept nogil:
    """Rows first .. last of x^T delta, if zeros are to be skipped; scratch begins with a count."""
    cdef Py_ssize_t width = last - first, row = op.n_matrix * p.itemsize, i, rows
    cdef Compressed c
    x += first * p.itemsize
    if not chosen(p, GRADIENT, x, p.rows, width, op.n_matrix, op.n_out):
        return False
    for i from 0 <= i < p.rows by COMPRESS_ROWS:
        rows = min(p.rows - i, <Py_ssize_t> COMPRESS_ROWS)
        c = compressed_at(scratch + sizeof(int64_t), rows * width, p.itemsize)
        p.spans.compress_columns(x + i * row, rows, width, op.n_matrix, c.values, c.index,
                                 c.starts)
        p.spans.sparse_times_dense(
            c.values, c.index, c.starts, delta + i * op.n_out * p.itemsize, width, rows, op.n_out,
            NULL, i > 0, out)
        (<int64_t*> scratch)[0] += (rows * width - c.starts[width]) * op.n_out
    return True


# -- for tests and measurements -------------------------------------------------------------------

def pays(product, Py_ssize_t n, double zeros):
    """Whether a product with a matrix of n columns skips zeros, if a share of `zeros` is 0."""
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    return zeros >= min_share_for(PRODUCTS[product], n)


def count_zeros(x):
    """How many elements are 0."""
    return spans_of(x.dtype).count_zeros(data_of(x, x.dtype, x.size, "x"), x.size)


def compress(x, bint columns=False):
    """(values, index, starts) of the rows of x, or of the columns of at most COMPRESS_ROWS."""
    rows, n = x.shape
    if columns and rows > COMPRESS_ROWS:
        raise ValueError(f"x must have at most {COMPRESS_ROWS} rows, got {rows}")
    if x.size > INT32_MAX:
        raise ValueError(f"x must have at most {INT32_MAX} elements, got {x.size}")
    cdef const Spans* spans = spans_of(x.dtype)
    values, index = np.empty(x.size + PADDING, x.dtype), np.empty(x.size + PADDING, np.int32)
    starts = np.empty((n if columns else rows) + 1, np.int32)
    (spans.compress_columns if columns else spans.compress_rows)(
        matrix_of(x, x.dtype, rows, n, "x"), rows, n, n, address(values),
        <int32_t*> address(index), <int32_t*> address(starts))
    return values[:starts[-1]], index[:starts[-1]], starts


def times_dense(compressed, matrix, bias=None, out=None, bint accumulate=False):
    """The product of compressed rows and a matrix, and a bias; or added to what is in `out`."""
    cdef Sparse sparse
    height, n = matrix.shape
    dtype, rows = matrix.dtype, len(compressed[2]) - 1
    cdef const Spans* spans = spans_of(dtype)
    cdef const char* b = NULL if bias is None else data_of(bias, dtype, n, "bias")
    read_sparse(&sparse, compressed, dtype, rows, height)
    if out is None:
        out = np.empty((rows, n), dtype)
    spans.sparse_times_dense(
        sparse.values, sparse.index, sparse.starts, matrix_of(matrix, dtype, height, n, "matrix"),
        rows, height, n, b, accumulate, writable_data_of(out, dtype, rows * n, "out"))
    return out


cdef const Spans* spans_of(dtype) except NULL:
    if dtype == np.float32:
        return &table.float32
    if dtype == np.float64:
        return &table.float64
    raise TypeError(f"the dtype must be float32 or float64, got {dtype}")
