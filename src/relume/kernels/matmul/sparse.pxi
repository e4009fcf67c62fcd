# Zeros skipped: what of a matrix is not 0, by rows or columns, and its product with a dense one.
# A matrix in compressed form is the values, the column of each (of columns: the row), and where
# each row begins: sparse input comes so, and relu's outputs are brought into it. A 0 that is
# skipped counts as 0 times anything, which is wrong only where the dense matrix holds NaN or
# infinity. The engine's weights never do: a fit that makes them so ends with an error, and goes
# back. NaN in what is compressed is no 0, so it stays; -0.0 is a 0.

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
    cdef Py_ssize_t i, count = 0
    for i in range(n):
        count += x[i] == 0
    return count
