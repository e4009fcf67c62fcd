# Reductions and rows of a matrix: sums, gathering a minibatch, softmax and its relatives. A
# reduction runs over LANES accumulators, combined in a fixed order: vectorized without reordering
# anything, and the same bits on every instruction set. Long sums are made of short ones, added
# with their rounding errors.

cdef enum:
    SHORT = 1024                        # elements of a sum that needs no correction

cdef extern from "intrinsics.h" nogil:
    enum: LANES
    void pad_float(const float* x, Py_ssize_t n, float* out)
    void pad_double(const double* x, Py_ssize_t n, double* out)
    float maximum_of_float(const float* x, Py_ssize_t n)
    double maximum_of_double(const double* x, Py_ssize_t n)


cdef inline void pad(const floating* x, Py_ssize_t n, floating* out) noexcept nogil:
    """Fewer elements than LANES, and zeros."""
    if floating is float:
        pad_float(x, n, out)
    else:
        pad_double(x, n, out)


cdef inline floating maximum_of(const floating* x, Py_ssize_t n) noexcept nogil:
    """The maximum, or a NaN if there is one; a negative NaN may be passed over."""
    if floating is float:
        return maximum_of_float(x, n)
    else:
        return maximum_of_double(x, n)


cdef inline floating reduce(floating (*step)(floating, floating) noexcept nogil,
                            const floating* x, Py_ssize_t n) noexcept nogil:
    """step(... step(0, x[0]) ..., x[n - 1]), lane by lane, then the lanes pairwise."""
    cdef floating lane[LANES]
    cdef floating tail[LANES]
    cdef Py_ssize_t i, k, whole = n // LANES * LANES
    for k in range(LANES):
        lane[k] = 0
    for i in range(n // LANES):
        for k in range(LANES):
            lane[k] = step(lane[k], x[i * LANES + k])
    if whole < n:
        pad[floating](x + whole, n - whole, tail)
        for k in range(LANES):
            lane[k] = step(lane[k], tail[k])
    return combined[floating](step, lane)


cdef inline floating combined(floating (*step)(floating, floating) noexcept nogil,
                              floating* lane) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(8):
        lane[k] = step(lane[k], lane[k + 8])
    for k in range(4):
        lane[k] = step(lane[k], lane[k + 4])
    return step(step(lane[0], lane[2]), step(lane[1], lane[3]))


cdef inline floating add(floating sum, floating x) noexcept nogil:
    return sum + x

cdef inline floating add_nonfinite(floating sum, floating x) noexcept nogil:
    return sum + (x - x)                # 0, but NaN for ever after an infinity or a NaN

cdef inline floating add_nan(floating sum, floating x) noexcept nogil:
    return sum if x == x else x         # 0, but NaN for ever after a NaN

cdef inline floating maximum(floating most, floating x) noexcept nogil:
    return x if x > most else most      # passes over NaN, which the exponentials then meet


cdef inline void add_exactly(double* sum, double* error, double x) noexcept nogil:
    """Add x; what the rounding of the sum lost goes to error (Knuth)."""
    if sum[0] == 0:                     # a short sum needs none of it
        sum[0] = x
        return
    cdef double total = sum[0] + x
    cdef double seen = total - sum[0]
    error[0] += (sum[0] - (total - seen)) + (x - seen)
    sum[0] = total


cdef inline double corrected(double sum, double error) noexcept nogil:
    return sum + error if error == error else sum       # an infinite sum has no error


cdef double total(const floating* x, Py_ssize_t n) noexcept nogil:
    """The sum, made in double: its terms may cancel."""
    cdef double sum = 0, error = 0
    cdef double terms[SHORT]
    cdef Py_ssize_t block, start, size, j
    for block in range((n + SHORT - 1) // SHORT):
        start, size = block * SHORT, min(<Py_ssize_t> SHORT, n - block * SHORT)
        for j in range(size):                   # by hand: of double, a memcpy
            terms[j] = x[start + j]
        add_exactly(&sum, &error, reduce[double](add, terms, size))
    return corrected(sum, error)


cdef bint all_finite(const floating* x, Py_ssize_t n) noexcept nogil:
    return reduce[floating](add_nonfinite, x, n) == 0


cdef bint gather(const floating* x, const int64_t* index, Py_ssize_t rows, Py_ssize_t n,
                 floating* out) noexcept nogil:
    """Copy rows x[index[i]] to out; tell whether all they hold is finite."""
    cdef Py_ssize_t i
    cdef bint finite = True
    for i in range(rows):                       # by hand: memcpy
        memcpy(out + i * n, x + index[i] * n, n * sizeof(floating))
        finite &= all_finite[floating](out + i * n, n)
    return finite


cdef void column_sum(const floating* x, Py_ssize_t rows, Py_ssize_t n,
                     floating* out) noexcept nogil:
    cdef Py_ssize_t i, j
    memset(out, 0, n * sizeof(floating))
    for i in range(rows):
        for j in range(n):
            out[j] = out[j] + x[i * n + j]


# -- softmax and its relatives --------------------------------------------------------------------

cdef inline double exp_sum(const floating* x, floating shift, floating* out, bint keep,
                           Py_ssize_t n) noexcept nogil:
    """The sum of exp(x - shift); its terms go to out if they are to be kept, all of them."""
    cdef double sum = 0, error = 0
    cdef floating scratch[SHORT]
    cdef floating* terms = scratch
    cdef Py_ssize_t block, start, size, j
    for block in range((n + SHORT - 1) // SHORT):
        start, size = block * SHORT, min(<Py_ssize_t> SHORT, n - block * SHORT)
        if keep:
            terms = out + start
        for j in range(size):
            terms[j] = exp_negative[floating](x[start + j] - shift)
        add_exactly(&sum, &error, reduce[floating](add, terms, size))
    return corrected(sum, error)


cdef inline double exp_shifted_sum(const floating* x, Py_ssize_t n, floating* out,
                                   floating* most) noexcept nogil:
    """out = exp(x - max(x)), its sum returned: the stable half of softmax and of its logarithm.

    An infinite maximum would give inf - inf; the NaN that it leaves is what the row is worth.
    """
    most[0] = maximum_of[floating](x, n)
    return exp_sum[floating](x, most[0], out, True, n)


cdef inline void softmax_row(const floating* x, Py_ssize_t n, floating* out) noexcept nogil:
    cdef Py_ssize_t j
    cdef floating most
    cdef floating scale = <floating> (1 / exp_shifted_sum[floating](x, n, out, &most))
    for j in range(n):
        out[j] = out[j] * scale


cdef inline double dot(const floating* x, const floating* y, Py_ssize_t n) noexcept nogil:
    """The sum of x * y."""
    cdef double sum = 0, error = 0
    cdef floating terms[SHORT]
    cdef Py_ssize_t block, start, size, j
    for block in range((n + SHORT - 1) // SHORT):
        start, size = block * SHORT, min(<Py_ssize_t> SHORT, n - block * SHORT)
        for j in range(size):
            terms[j] = x[start + j] * y[start + j]
        add_exactly(&sum, &error, reduce[floating](add, terms, size))
    return corrected(sum, error)


cdef void softmax(const floating* z, Py_ssize_t rows, Py_ssize_t n, floating* out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        softmax_row[floating](z + i * n, n, out + i * n)


cdef void softmax_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                       Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        softmax_row[floating](args[0] + i * steps[0], n, args[1] + i * steps[1])


cdef inline void log_softmax_row(const floating* x, floating* out, Py_ssize_t n) noexcept nogil:
    cdef floating most = maximum_of[floating](x, n)
    cdef floating logarithm = <floating> log(exp_sum[floating](x, most, NULL, False, n))
    cdef Py_ssize_t j
    for j in range(n):
        out[j] = (x[j] - most) - logarithm


cdef void log_softmax_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                           Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        log_softmax_row[floating](args[0] + i * steps[0], args[1] + i * steps[1], n)


cdef inline floating logsumexp_row(const floating* x, Py_ssize_t n) noexcept nogil:
    cdef floating most = maximum_of[floating](x, n)
    if absolute(most) == INFINITY:
        return most + reduce[floating](add_nan, x, n)
    return <floating> (most + log(exp_sum[floating](x, most, NULL, False, n)))


cdef void logsumexp_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                         Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        args[1][i * steps[1]] = logsumexp_row[floating](args[0] + i * steps[0], n)


cdef inline void softmax_gradient(const floating* grad, const floating* y, Py_ssize_t n,
                                  floating* out) noexcept nogil:
    """y (grad - grad . y)."""
    cdef floating mean = <floating> dot[floating](grad, y, n)
    cdef Py_ssize_t j
    for j in range(n):
        out[j] = (grad[j] - mean) * y[j]


cdef void softmax_backward_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                Py_ssize_t n) noexcept nogil:
    cdef floating* out
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        out = args[2] + i * steps[2]
        softmax_row[floating](args[1] + i * steps[1], n, out)
        softmax_gradient[floating](args[0] + i * steps[0], out, n, out)


cdef void softmax_from_output_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                   Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        softmax_gradient[floating](args[0] + i * steps[0], args[1] + i * steps[1], n,
                                   args[2] + i * steps[2])


cdef inline void log_softmax_gradient(const floating* grad, const floating* p, Py_ssize_t n,
                                      floating* out) noexcept nogil:
    """grad - p sum(grad)."""
    cdef floating sum = <floating> total[floating](grad, n)
    cdef Py_ssize_t j
    for j in range(n):
        out[j] = grad[j] - product(sum, p[j])


cdef void log_softmax_backward_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                    Py_ssize_t n) noexcept nogil:
    cdef floating* out
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        out = args[2] + i * steps[2]
        softmax_row[floating](args[1] + i * steps[1], n, out)
        log_softmax_gradient[floating](args[0] + i * steps[0], out, n, out)


cdef inline void log_softmax_gradient_from_output(const floating* grad, const floating* y,
                                                  Py_ssize_t n, floating* out) noexcept nogil:
    cdef floating sum = <floating> total[floating](grad, n)
    cdef Py_ssize_t j
    for j in range(n):
        out[j] = grad[j] - product(sum, exp_two[floating](y[j], 0))


cdef void log_softmax_from_output_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                       Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        log_softmax_gradient_from_output[floating](
            args[0] + i * steps[0], args[1] + i * steps[1], n, args[2] + i * steps[2])


cdef inline void scaled_softmax_row(floating grad, const floating* x, Py_ssize_t n,
                                    floating* out) noexcept nogil:
    cdef Py_ssize_t j
    softmax_row[floating](x, n, out)
    for j in range(n):
        out[j] = product(grad, out[j])


cdef void logsumexp_backward_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                  Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        scaled_softmax_row[floating](args[0][i * steps[0]], args[1] + i * steps[1], n,
                                     args[2] + i * steps[2])
