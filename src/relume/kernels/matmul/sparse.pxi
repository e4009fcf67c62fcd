# Products that skip zeros: compression of a matrix by rows or by columns, and its product with a
# dense matrix. The compressed form is that of CSR or CSC: the nonzero values, the column (or row)
# index of each, and the start of each row (or column). Sparse input has this form already, and
# relu's outputs are compressed into it. A skipped 0 contributes 0, which is wrong only if the
# dense matrix contains NaN or infinity. The engine's weights never do, because a fit that makes
# them nonfinite ends with an error and restores them. When a matrix is compressed, NaN is kept
# and -0.0 counts as 0.

cdef extern from "matmul/dense.h" nogil:
    void sparse_times_dense_float(
        const float* values, const int32_t* index, const int32_t* starts, const float* matrix,
        Py_ssize_t rows, Py_ssize_t height, Py_ssize_t n, const float* bias, bint accumulate,
        float* out)
    void sparse_times_dense_double(
        const double* values, const int32_t* index, const int32_t* starts, const double* matrix,
        Py_ssize_t rows, Py_ssize_t height, Py_ssize_t n, const double* bias, bint accumulate,
        double* out)
    void compress_rows_float(
        const float* x, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride, float* values,
        int32_t* index, int32_t* starts)
    void compress_rows_double(
        const double* x, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride, double* values,
        int32_t* index, int32_t* starts)
    void compress_columns_float(
        const float* x, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride, float* values,
        int32_t* index, int32_t* starts)
    void compress_columns_double(
        const double* x, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride, double* values,
        int32_t* index, int32_t* starts)


cdef Py_ssize_t count_zeros(const floating* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t first, i, count = 0
    cdef int32_t some               # as wide as a float: a vector of them counts twice as fast
    for first from 0 <= first < n by 1 << 16:
        some = 0
        for i in range(first, min(n, first + (1 << 16))):
            some += x[i] == 0
        count += some
    return count
