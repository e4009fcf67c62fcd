# Reductions: maxima and sums of a row, sums of columns, and gathering of a minibatch. A reduction
# runs over LANES accumulators that are combined in a fixed order, so it is vectorized without any
# reordering and gives the same bits on every instruction set. Long sums are the compensated sum of
# short ones.

cdef enum:
    SHORT = 1024                        # elements of a sum that needs no compensation

cdef extern from "math/reductions.h" nogil:
    enum: LANES
    void pad_float(const float* x, Py_ssize_t n, float* out)
    void pad_double(const double* x, Py_ssize_t n, double* out)
    float maximum_of_float(const float* x, Py_ssize_t n)
    double maximum_of_double(const double* x, Py_ssize_t n)
    float sum_float(const float* x, Py_ssize_t n)
    double sum_double(const double* x, Py_ssize_t n)
    double total_float(const float* x, Py_ssize_t n)
    double total_double(const double* x, Py_ssize_t n)
    float dot_float(const float* x, const float* y, Py_ssize_t n)
    double dot_double(const double* x, const double* y, Py_ssize_t n)
    float sum_of_others_float(const float* x, Py_ssize_t n, float one, Py_ssize_t* count)
    double sum_of_others_double(const double* x, Py_ssize_t n, double one, Py_ssize_t* count)
    double peak_float(const float* x, Py_ssize_t n)
    double peak_double(const double* x, Py_ssize_t n)
    bint gather_float(const float* x, const int64_t* index, Py_ssize_t rows, Py_ssize_t n,
                      float* out)
    bint gather_double(const double* x, const int64_t* index, Py_ssize_t rows, Py_ssize_t n,
                       double* out)
    void column_sum_float(const float* x, Py_ssize_t rows, Py_ssize_t n, float* out)
    void column_sum_double(const double* x, Py_ssize_t rows, Py_ssize_t n, double* out)


cdef extern from "math/logarithm.h" nogil:
    double log_plus_one(double x, bint to_float)


cdef inline void pad(const floating* x, Py_ssize_t n, floating* out) noexcept nogil:
    """Copy n < LANES elements and fill up with zeros to LANES."""
    if floating is float:
        pad_float(x, n, out)
    else:
        pad_double(x, n, out)


cdef inline floating maximum_of(const floating* x, Py_ssize_t n) noexcept nogil:
    """The maximum. It ignores NaN, which the exponentials propagate instead."""
    if floating is float:
        return maximum_of_float(x, n)
    else:
        return maximum_of_double(x, n)


cdef inline floating reduce(floating (*f)(floating, floating) noexcept nogil,
                            const floating* x, Py_ssize_t n) noexcept nogil:
    """f(... f(0, x[0]) ..., x[n - 1]), lane by lane, and then the lanes pairwise."""
    cdef floating lane[LANES]
    cdef floating tail[LANES]
    cdef Py_ssize_t i, k, whole = n // LANES * LANES
    for k in range(LANES):
        lane[k] = 0
    for i in range(n // LANES):
        for k in range(LANES):      # by hand in clang: unrolled, vectorized in f
            lane[k] = f(lane[k], x[i * LANES + k])
    if whole < n:
        pad[floating](x + whole, n - whole, tail)
        for k in range(LANES):
            lane[k] = f(lane[k], tail[k])
    return combined[floating](f, lane)


cdef inline floating combined(floating (*f)(floating, floating) noexcept nogil,
                              floating* lane) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(8):
        lane[k] = f(lane[k], lane[k + 8])
    for k in range(4):
        lane[k] = f(lane[k], lane[k + 4])
    return f(f(lane[0], lane[2]), f(lane[1], lane[3]))


cdef inline floating sum_of(const floating* x, Py_ssize_t n) noexcept nogil:
    """`reduce` by addition."""
    if floating is float:
        return sum_float(x, n)
    else:
        return sum_double(x, n)


cdef inline floating sum_of_products(const floating* x, const floating* y,
                                     Py_ssize_t n) noexcept nogil:
    """`sum_of` the rounded products x * y."""
    if floating is float:
        return dot_float(x, y, n)
    else:
        return dot_double(x, y, n)


cdef inline floating add_nonfinite(floating sum, floating x) noexcept nogil:
    return sum + (x - x)                # 0, or NaN from the first infinity or NaN on

cdef inline floating maximum(floating x, floating y) noexcept nogil:
    return y if y > x else x            # ignores NaN in y, which the exponentials propagate


cdef inline void add_exactly(double* sum, double* error, double x) noexcept nogil:
    """Add x to sum and the rounding error of the addition to error (Knuth's two-sum)."""
    if sum[0] == 0:                     # the first term is added without an error
        sum[0] = x
        return
    cdef double total = sum[0] + x
    cdef double seen = total - sum[0]
    error[0] += (sum[0] - (total - seen)) + (x - seen)
    sum[0] = total


cdef inline double corrected(double sum, double error) noexcept nogil:
    return sum + error if error == error else sum       # the error of an infinite sum is NaN


cdef inline double short_total(const floating* x, Py_ssize_t n) noexcept nogil:
    if floating is float:
        return total_float(x, n)
    else:
        return total_double(x, n)


cdef double total(const floating* x, Py_ssize_t n) noexcept nogil:
    """The sum, computed in double because the terms may cancel."""
    cdef double sum = 0, error = 0
    cdef Py_ssize_t block, start
    if n <= SHORT:
        return short_total[floating](x, n) + 0          # -0.0 + 0 is 0.0
    for block in range((n + SHORT - 1) // SHORT):       # by hand: in reductions.h
        start = block * SHORT
        add_exactly(&sum, &error,
                    short_total[floating](x + start, min(<Py_ssize_t> SHORT, n - start)))
    return corrected(sum, error)


cdef bint all_finite(const floating* x, Py_ssize_t n) noexcept nogil:
    return reduce[floating](add_nonfinite, x, n) == 0


cdef double peak(const floating* x, Py_ssize_t n) noexcept nogil:
    """The largest |x|; infinity if an element is not finite."""
    if floating is float:
        return peak_float(x, n)
    else:
        return peak_double(x, n)


cdef bint gather(const floating* x, const int64_t* index, Py_ssize_t rows, Py_ssize_t n,
                 floating* out) noexcept nogil:
    """Copy the rows x[index[i]] to out and return whether all their elements are finite."""
    if floating is float:
        return gather_float(x, index, rows, n, out)
    else:
        return gather_double(x, index, rows, n, out)


cdef void column_sum(const floating* x, Py_ssize_t rows, Py_ssize_t n,
                     floating* out) noexcept nogil:
    if floating is float:
        column_sum_float(x, rows, n, out)
    else:
        column_sum_double(x, rows, n, out)


cdef inline double dot(const floating* x, const floating* y, Py_ssize_t n) noexcept nogil:
    """The sum of x * y."""
    cdef double sum = 0, error = 0
    cdef Py_ssize_t block, start
    if n <= SHORT:
        return <double> sum_of_products[floating](x, y, n) + 0
    for block in range((n + SHORT - 1) // SHORT):       # by hand: in reductions.h
        start = block * SHORT
        add_exactly(&sum, &error, sum_of_products[floating](
            x + start, y + start, min(<Py_ssize_t> SHORT, n - start)))
    return corrected(sum, error)


cdef void column_products(const floating* x, const floating* y, Py_ssize_t rows, Py_ssize_t n,
                          floating* out) noexcept nogil:
    """The sum of x * y over the rows, for each column."""
    cdef Py_ssize_t i, j
    memset(out, 0, n * sizeof(floating))
    for i in range(rows):
        for j in range(n):
            out[j] = out[j] + x[i * n + j] * y[i * n + j]
