# Reductions and rows of a matrix: sums, gathering a minibatch, softmax and its relatives. A
# reduction runs over LANES accumulators, combined in a fixed order: vectorized without reordering
# anything, and the same bits on every instruction set. Long sums are made of short ones, added
# with their rounding errors.

cdef enum:
    SHORT = 1024                        # elements of a sum that needs no correction
    AT_ONCE = 8                         # rows

cdef extern from "lanes.h" nogil:
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


cdef inline void pad(const floating* x, Py_ssize_t n, floating* out) noexcept nogil:
    """Fewer elements than LANES, and zeros."""
    if floating is float:
        pad_float(x, n, out)
    else:
        pad_double(x, n, out)


cdef inline floating maximum_of(const floating* x, Py_ssize_t n) noexcept nogil:
    """The maximum; the exponentials meet the NaN that it passes over."""
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


cdef inline floating sum_of(const floating* x, Py_ssize_t n) noexcept nogil:
    """`reduce` by addition."""
    if floating is float:
        return sum_float(x, n)
    else:
        return sum_double(x, n)


cdef inline floating sum_of_products(const floating* x, const floating* y,
                                     Py_ssize_t n) noexcept nogil:
    """The same of x * y, of which each product is rounded."""
    if floating is float:
        return dot_float(x, y, n)
    else:
        return dot_double(x, y, n)


cdef inline floating add_nonfinite(floating sum, floating x) noexcept nogil:
    return sum + (x - x)                # 0, but NaN for ever after an infinity or a NaN

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


cdef inline double short_total(const floating* x, Py_ssize_t n) noexcept nogil:
    if floating is float:
        return total_float(x, n)
    else:
        return total_double(x, n)


cdef double total(const floating* x, Py_ssize_t n) noexcept nogil:
    """The sum, made in double: its terms may cancel."""
    cdef double sum = 0, error = 0
    cdef Py_ssize_t block, start
    for block in range((n + SHORT - 1) // SHORT):       # by hand: in lanes.h
        start = block * SHORT
        add_exactly(&sum, &error,
                    short_total[floating](x + start, min(<Py_ssize_t> SHORT, n - start)))
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

cdef inline floating exp_any(floating x) noexcept nogil:
    """exp(x) for any x, scaled down above 0 as it is scaled up below."""
    cdef floating last = last_exponential(x)
    cdef floating clamped = at_most[floating](at_least[floating](x, -last), last)
    cdef int bias = 64 if floating is float else 128
    cdef floating shift = shift_of(x, bias) if x < 0 else shift_of(x, -bias)
    cdef floating n = rounded[floating](clamped, shift)
    cdef floating power = power_of_two[floating](n)
    cdef floating q = expm1_reduced[floating](reduced[floating](clamped, n - shift))
    cdef floating scaled = mul_add(power, q, power)
    cdef floating down = unscaled[floating](<floating> 1)
    return scaled * (down if x < 0 else <floating> 1 / down)


cdef inline void exp_terms(const floating* x, floating shift, floating* out,
                           Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        out[j] = exp_negative[floating](x[j] - shift)


cdef inline double exp_sum(const floating* x, floating shift, floating* out, bint keep,
                           Py_ssize_t n) noexcept nogil:
    """The sum of exp(x - shift); its terms go to out if they are to be kept, all of them."""
    cdef double sum = 0, error = 0
    cdef floating scratch[SHORT]
    cdef floating* terms = scratch
    cdef Py_ssize_t block, start, size
    for block in range((n + SHORT - 1) // SHORT):       # by hand: a loop over blocks
        start, size = block * SHORT, min(<Py_ssize_t> SHORT, n - block * SHORT)
        if keep:
            terms = out + start
        exp_terms[floating](x + start, shift, terms, size)
        add_exactly(&sum, &error, sum_of[floating](terms, size))
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
    cdef Py_ssize_t block, start
    for block in range((n + SHORT - 1) // SHORT):       # by hand: in lanes.h
        start = block * SHORT
        add_exactly(&sum, &error, sum_of_products[floating](
            x + start, y + start, min(<Py_ssize_t> SHORT, n - start)))
    return corrected(sum, error)


cdef void softmax(const floating* z, Py_ssize_t rows, Py_ssize_t n, floating* out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        softmax_row[floating](z + i * n, n, out + i * n)


# A few rows go through each pass together, so that none waits for its own maximum, sum, division
# or logarithm. With AVX2 and rows of 100 softmax then takes 0.64 ns an element instead of 0.75.

cdef inline void by_few_rows(
        void (*f)(floating**, const Py_ssize_t*, Py_ssize_t, Py_ssize_t) noexcept nogil,
        int operands, floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
        Py_ssize_t n) noexcept nogil:
    cdef floating* spans[3]
    cdef Py_ssize_t tile, few = max(<Py_ssize_t> 1, min(<Py_ssize_t> AT_ONCE, SHORT // (n + 1)))
    cdef int k
    for tile in range((rows + few - 1) // few):
        for k in range(operands):               # by hand: of two or three
            spans[k] = args[k] + tile * few * steps[k]
        f(spans, steps, min(few, rows - tile * few), n)


cdef inline floating nan_among(const floating* x, Py_ssize_t step, Py_ssize_t n) noexcept nogil:
    """NaN if there is one, else 0."""
    cdef floating sum = 0
    cdef Py_ssize_t j
    for j in range(n):                          # by hand: seldom needed
        sum += x[j * step] if x[j * step] != x[j * step] else <floating> 0
    return sum


cdef inline void exp_sums_of_rows(const floating* x, Py_ssize_t step, floating* out,
                                  Py_ssize_t out_step, bint keep, Py_ssize_t rows, Py_ssize_t n,
                                  floating* most, double* sum) noexcept nogil:
    """The maximum of each row, and the sum of exp(x - maximum), whose terms may be kept in out."""
    cdef floating scratch[SHORT]
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        most[i] = maximum_of[floating](x + i * step, n)
    if rows == 1:
        sum[0] = exp_sum[floating](x, most[0], out, keep, n)
        return
    if not keep:
        out, out_step = scratch, n
    for i in range(rows):                       # by hand: a loop over rows
        exp_terms[floating](x + i * step, most[i], out + i * out_step, n)
    for i in range(rows):                       # by hand: a loop over rows
        sum[i] = sum_of[floating](out + i * out_step, n)


cdef inline void softmax_few(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                             Py_ssize_t n) noexcept nogil:
    cdef floating most[AT_ONCE]
    cdef double sum[AT_ONCE]
    cdef floating scale
    cdef floating* out
    cdef Py_ssize_t i, j
    exp_sums_of_rows[floating](args[0], steps[0], args[1], steps[1], True, rows, n, most, sum)
    for i in range(rows):
        out = args[1] + i * steps[1]
        scale = <floating> (1 / sum[i])
        for j in range(n):
            out[j] = out[j] * scale


cdef void softmax_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                       Py_ssize_t n) noexcept nogil:
    by_few_rows[floating](softmax_few, 2, args, steps, rows, n)


cdef inline void log_softmax_few(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                 Py_ssize_t n) noexcept nogil:
    cdef floating most[AT_ONCE]
    cdef floating logarithm[AT_ONCE]
    cdef double sum[AT_ONCE]
    cdef const floating* x
    cdef floating* out
    cdef Py_ssize_t i, j
    exp_sums_of_rows[floating](args[0], steps[0], NULL, 0, False, rows, n, most, sum)
    for i in range(rows):                       # by hand: calls of the C library
        logarithm[i] = <floating> log(sum[i])
    for i in range(rows):
        x, out = args[0] + i * steps[0], args[1] + i * steps[1]
        for j in range(n):
            out[j] = (x[j] - most[i]) - logarithm[i]


cdef void log_softmax_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                           Py_ssize_t n) noexcept nogil:
    by_few_rows[floating](log_softmax_few, 2, args, steps, rows, n)


cdef inline void logsumexp_few(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                               Py_ssize_t n) noexcept nogil:
    cdef floating most[AT_ONCE]
    cdef double sum[AT_ONCE]
    cdef Py_ssize_t i
    exp_sums_of_rows[floating](args[0], steps[0], NULL, 0, False, rows, n, most, sum)
    for i in range(rows):                       # by hand: calls of the C library
        if absolute(most[i]) == INFINITY:
            args[1][i * steps[1]] = most[i] + nan_among[floating](args[0] + i * steps[0], 1, n)
        else:
            args[1][i * steps[1]] = <floating> (most[i] + log(sum[i]))


cdef void logsumexp_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                         Py_ssize_t n) noexcept nogil:
    by_few_rows[floating](logsumexp_few, 2, args, steps, rows, n)


cdef inline void softmax_from_output_few(floating** args, const Py_ssize_t* steps,
                                         Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """y (grad - grad . y)."""
    cdef floating mean[AT_ONCE]
    cdef const floating* grad
    cdef const floating* y
    cdef floating* out
    cdef Py_ssize_t i, j
    for i in range(rows):                       # by hand: a loop over rows
        mean[i] = <floating> dot[floating](args[0] + i * steps[0], args[1] + i * steps[1], n)
    for i in range(rows):
        grad, y, out = args[0] + i * steps[0], args[1] + i * steps[1], args[2] + i * steps[2]
        for j in range(n):
            out[j] = (grad[j] - mean[i]) * y[j]


cdef void softmax_from_output_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                   Py_ssize_t n) noexcept nogil:
    by_few_rows[floating](softmax_from_output_few, 3, args, steps, rows, n)


cdef inline void softmax_backward_few(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                      Py_ssize_t n) noexcept nogil:
    cdef floating* from_output[3]
    cdef Py_ssize_t from_output_steps[3]
    softmax_few[floating](args + 1, steps + 1, rows, n)
    from_output = [args[0], args[2], args[2]]
    from_output_steps = [steps[0], steps[2], steps[2]]
    softmax_from_output_few[floating](from_output, from_output_steps, rows, n)


cdef void softmax_backward_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                Py_ssize_t n) noexcept nogil:
    by_few_rows[floating](softmax_backward_few, 3, args, steps, rows, n)


cdef inline void log_softmax_backward_few(floating** args, const Py_ssize_t* steps,
                                          Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """grad - p sum(grad), where p is softmax(x)."""
    cdef floating most[AT_ONCE]
    cdef floating total_of_grad[AT_ONCE]
    cdef double sum[AT_ONCE]
    cdef const floating* grad
    cdef floating* out
    cdef floating scale
    cdef Py_ssize_t i, j
    for i in range(rows):                       # by hand: a loop over rows
        total_of_grad[i] = <floating> total[floating](args[0] + i * steps[0], n)
    exp_sums_of_rows[floating](args[1], steps[1], args[2], steps[2], True, rows, n, most, sum)
    for i in range(rows):
        grad, out = args[0] + i * steps[0], args[2] + i * steps[2]
        scale = <floating> (1 / sum[i])
        for j in range(n):
            out[j] = grad[j] - product(total_of_grad[i], out[j] * scale)


cdef void log_softmax_backward_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                    Py_ssize_t n) noexcept nogil:
    by_few_rows[floating](log_softmax_backward_few, 3, args, steps, rows, n)


cdef inline void log_softmax_from_output_few(floating** args, const Py_ssize_t* steps,
                                             Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """grad - exp(y) sum(grad)."""
    cdef floating total_of_grad[AT_ONCE]
    cdef const floating* grad
    cdef const floating* y
    cdef floating* out
    cdef Py_ssize_t i, j
    for i in range(rows):                       # by hand: a loop over rows
        total_of_grad[i] = <floating> total[floating](args[0] + i * steps[0], n)
    for i in range(rows):
        grad, y, out = args[0] + i * steps[0], args[1] + i * steps[1], args[2] + i * steps[2]
        for j in range(n):
            out[j] = grad[j] - product(total_of_grad[i], exp_any[floating](y[j]))


cdef void log_softmax_from_output_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                       Py_ssize_t n) noexcept nogil:
    by_few_rows[floating](log_softmax_from_output_few, 3, args, steps, rows, n)


cdef inline void logsumexp_backward_few(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                        Py_ssize_t n) noexcept nogil:
    """grad softmax(x)."""
    cdef floating most[AT_ONCE]
    cdef double sum[AT_ONCE]
    cdef floating* out
    cdef floating grad, scale
    cdef Py_ssize_t i, j
    exp_sums_of_rows[floating](args[1], steps[1], args[2], steps[2], True, rows, n, most, sum)
    for i in range(rows):
        out = args[2] + i * steps[2]
        grad = args[0][i * steps[0]]
        scale = <floating> (1 / sum[i])
        for j in range(n):
            out[j] = product(grad, out[j] * scale)


cdef void logsumexp_backward_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                  Py_ssize_t n) noexcept nogil:
    by_few_rows[floating](logsumexp_backward_few, 3, args, steps, rows, n)
