# softmax, log-softmax and logsumexp along the rows of a matrix, AT_ONCE rows at a time.

cdef enum:
    AT_ONCE = 8                         # rows
    TOGETHER = 32                       # elements of a row, up to which rows make one span

cdef inline floating exp_any(floating x) noexcept nogil:
    """exp(x) for any x, scaled up for x < 0 and down for x > 0 on the way."""
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


# Where one element dominates, the sum of the exponentials is 1 and a small rest. The addition to 1
# would lose it, but log(1 + rest) is nearly the rest. So the rest is summed by itself.

cdef inline bint dominated(double sum) noexcept nogil:
    """Whether a sum of exp(x - max(x)) has only one term of 1, and the others sum to less."""
    return 1 <= sum < 2


cdef inline bint may_be_dominated(double sum) noexcept nogil:
    """Whether the sum may be dominated once it is corrected, and has all terms."""
    return sum <= 2.5


cdef inline floating other_term(floating x, floating row_max, floating term) noexcept nogil:
    """The term exp(x - row_max), or 0 at the maximum.

    The rounding error of x - row_max (Knuth's two-sum) counts for the far ones.
    """
    cdef floating d = x - row_max, minus_max = d - x
    cdef floating low = (x - (d - minus_max)) - (row_max + minus_max)
    cdef floating exact = mul_add(term, low, term)
    cdef floating other = exact if d > -last_exponential(x) else term       # low may be NaN
    return <floating> 0 if d == 0 else other


cdef inline void add_others(const floating* x, floating row_max, const floating* terms,
                            Py_ssize_t n, double* sum, double* error) noexcept nogil:
    """Add the at most SHORT terms exp(x - row_max) without the maximum."""
    cdef floating others[SHORT]
    cdef Py_ssize_t j
    for j in range(n):
        others[j] = other_term[floating](x[j], row_max, terms[j])
    add_exactly(sum, error, sum_of[floating](others, n))


cdef inline double log_of_sum(double sum, double others) noexcept nogil:
    """log(sum) for the sum of exp(x - max(x)) and that of the other terms."""
    return log_plus_one(others if dominated(sum) else sum - 1)      # exact for sum >= 2


cdef inline double exp_sum(const floating* x, floating shift, floating* out, bint keep,
                           Py_ssize_t n, double* others) noexcept nogil:
    """The sum of exp(x - shift). If `keep` is true, its terms are written to out.

    For `others`, unless it is NULL, see `add_others`; it is right where the sum is dominated.
    """
    cdef double sum = 0, error = 0, rest = 0, rest_error = 0
    cdef floating scratch[SHORT]
    cdef floating* terms = scratch
    cdef Py_ssize_t block, start, size
    for block in range((n + SHORT - 1) // SHORT):       # by hand: a loop over blocks
        start, size = block * SHORT, min(<Py_ssize_t> SHORT, n - block * SHORT)
        if keep:
            terms = out + start
        exp_terms[floating](x + start, shift, terms, size)
        add_exactly(&sum, &error, sum_of[floating](terms, size))
        if others != NULL and may_be_dominated(sum):
            add_others[floating](x + start, shift, terms, size, &rest, &rest_error)
    if others != NULL:
        others[0] = corrected(rest, rest_error)
    return corrected(sum, error)


cdef inline double exp_shifted_sum(const floating* x, Py_ssize_t n, floating* out,
                                   floating* row_max) noexcept nogil:
    """out = exp(x - max(x)); returns its sum.

    An infinite maximum gives inf - inf, and so NaN, which is the result defined for such a row.
    """
    row_max[0] = maximum_of[floating](x, n)
    return exp_sum[floating](x, row_max[0], out, True, n, NULL)


cdef inline void softmax_row(const floating* x, Py_ssize_t n, floating* out) noexcept nogil:
    cdef Py_ssize_t j
    cdef floating row_max
    cdef floating scale = <floating> (1 / exp_shifted_sum[floating](x, n, out, &row_max))
    for j in range(n):
        out[j] = out[j] * scale


cdef void softmax(const floating* z, Py_ssize_t rows, Py_ssize_t n, floating* out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        softmax_row[floating](z + i * n, n, out + i * n)


# A few rows go through each pass together, so that the latencies of their maxima, sums, divisions
# and logarithms overlap. With AVX2 and rows of 100 elements, softmax then takes 0.64 ns per
# element instead of 0.75 ns.

cdef inline Py_ssize_t rows_at_once(Py_ssize_t n) noexcept nogil:
    return max(<Py_ssize_t> 1, min(<Py_ssize_t> AT_ONCE, SHORT // (n + 1)))


cdef inline void by_few_rows(
        void (*f)(floating**, const Py_ssize_t*, Py_ssize_t, Py_ssize_t) noexcept nogil,
        int operands, floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
        Py_ssize_t n) noexcept nogil:
    cdef floating* spans[3]
    cdef Py_ssize_t tile, few = rows_at_once(n)
    cdef int k
    for tile in range((rows + few - 1) // few):
        for k in range(operands):               # by hand: of two or three
            spans[k] = args[k] + tile * few * steps[k]
        f(spans, steps, min(few, rows - tile * few), n)


cdef inline floating nan_among(const floating* x, Py_ssize_t step, Py_ssize_t n) noexcept nogil:
    """NaN if x contains NaN, else 0."""
    cdef floating sum = 0
    cdef Py_ssize_t j
    for j in range(n):                          # by hand: seldom needed
        sum += x[j * step] if x[j * step] != x[j * step] else <floating> 0
    return sum


cdef inline void exp_sums_of_rows(const floating* x, Py_ssize_t step, floating* out,
                                  Py_ssize_t out_step, bint keep, Py_ssize_t rows, Py_ssize_t n,
                                  floating* row_max, double* sum, double* others) noexcept nogil:
    """The maximum of each row and the sum of exp(x - maximum).

    The terms are written to out if there are several rows, which are short, or if `keep` is true.
    `others`, as `exp_sum` has it, are those of AT_ONCE rows.
    """
    cdef floating maxima[SHORT]
    cdef floating rest[SHORT]
    cdef bint together = n <= TOGETHER and step == n and out_step == n, any_dominated = False
    cdef Py_ssize_t i, j
    for i in range(rows):                       # by hand: a loop over rows
        row_max[i] = maximum_of[floating](x + i * step, n)
    if rows == 1:
        sum[0] = exp_sum[floating](x, row_max[0], out, keep, n, others)
        return
    if together:
        for i in range(rows):
            for j in range(n):
                maxima[i * n + j] = row_max[i]
        for j in range(rows * n):
            out[j] = exp_negative[floating](x[j] - maxima[j])
    else:
        for i in range(rows):                   # by hand: a loop over rows
            exp_terms[floating](x + i * step, row_max[i], out + i * out_step, n)
    for i in range(rows):                       # by hand: a loop over rows
        sum[i] = sum_of[floating](out + i * out_step, n)
        any_dominated |= dominated(sum[i])
    if others == NULL or not any_dominated:
        return
    if together:
        for j in range(rows * n):
            rest[j] = other_term[floating](x[j], maxima[j], out[j])
    for i in range(rows):                       # by hand: a loop over rows
        if dominated(sum[i]):
            others[i] = (sum_of[floating](rest + i * n, n) if together else other_sum[floating](
                x + i * step, row_max[i], out + i * out_step, n))


cdef inline double other_sum(const floating* x, floating row_max, const floating* terms,
                             Py_ssize_t n) noexcept nogil:
    cdef double sum = 0, error = 0
    add_others[floating](x, row_max, terms, n, &sum, &error)
    return sum


cdef inline void log_sums_of_rows(const floating* x, Py_ssize_t step, floating* out, bint keep,
                                  Py_ssize_t rows, Py_ssize_t n, floating* row_max, double* sum,
                                  double* logarithm) noexcept nogil:
    """`exp_sums_of_rows`, whose terms are in rows of n, and the logarithms of AT_ONCE sums."""
    cdef double others[AT_ONCE]
    cdef Py_ssize_t i
    for i in range(AT_ONCE):
        sum[i], others[i] = 1, 0
    exp_sums_of_rows[floating](x, step, out, n, keep, rows, n, row_max, sum, others)
    if rows == 1:
        logarithm[0] = log_of_sum(sum[0], others[0])
        return
    for i in range(AT_ONCE):
        logarithm[i] = log_of_sum(sum[i], others[i])


cdef inline void softmax_few(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                             Py_ssize_t n) noexcept nogil:
    cdef floating row_max[AT_ONCE]
    cdef double sum[AT_ONCE]
    cdef floating scale
    cdef floating* out
    cdef Py_ssize_t i, j
    exp_sums_of_rows[floating](args[0], steps[0], args[1], steps[1], True, rows, n, row_max, sum,
                               NULL)
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
    cdef floating row_max[AT_ONCE]
    cdef floating terms[SHORT]
    cdef double sum[AT_ONCE]
    cdef double logarithm[AT_ONCE]
    cdef floating rounded_log
    cdef const floating* x
    cdef floating* out
    cdef Py_ssize_t i, j
    log_sums_of_rows[floating](args[0], steps[0], terms, False, rows, n, row_max, sum, logarithm)
    for i in range(rows):
        x, out = args[0] + i * steps[0], args[1] + i * steps[1]
        rounded_log = <floating> logarithm[i]
        for j in range(n):
            out[j] = (x[j] - row_max[i]) - rounded_log


cdef void log_softmax_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                           Py_ssize_t n) noexcept nogil:
    by_few_rows[floating](log_softmax_few, 2, args, steps, rows, n)


cdef inline void logsumexp_few(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                               Py_ssize_t n) noexcept nogil:
    cdef floating row_max[AT_ONCE]
    cdef floating terms[SHORT]
    cdef double sum[AT_ONCE]
    cdef double logarithm[AT_ONCE]
    cdef Py_ssize_t i
    log_sums_of_rows[floating](args[0], steps[0], terms, False, rows, n, row_max, sum, logarithm)
    for i in range(rows):                       # by hand: infinities are rare
        if absolute(row_max[i]) == INFINITY:
            args[1][i * steps[1]] = row_max[i] + nan_among[floating](args[0] + i * steps[0], 1, n)
        else:
            args[1][i * steps[1]] = <floating> (row_max[i] + logarithm[i])


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
    cdef floating row_max[AT_ONCE]
    cdef floating total_of_grad[AT_ONCE]
    cdef double sum[AT_ONCE]
    cdef const floating* grad
    cdef floating* out
    cdef floating scale
    cdef Py_ssize_t i, j
    for i in range(rows):                       # by hand: a loop over rows
        total_of_grad[i] = <floating> total[floating](args[0] + i * steps[0], n)
    exp_sums_of_rows[floating](args[1], steps[1], args[2], steps[2], True, rows, n, row_max, sum,
                               NULL)
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
    cdef floating row_max[AT_ONCE]
    cdef double sum[AT_ONCE]
    cdef floating* out
    cdef floating grad, scale
    cdef Py_ssize_t i, j
    exp_sums_of_rows[floating](args[1], steps[1], args[2], steps[2], True, rows, n, row_max, sum,
                               NULL)
    for i in range(rows):
        out = args[2] + i * steps[2]
        grad = args[0][i * steps[0]]
        scale = <floating> (1 / sum[i])
        for j in range(n):
            out[j] = product(grad, out[j] * scale)


cdef void logsumexp_backward_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                  Py_ssize_t n) noexcept nogil:
    by_few_rows[floating](logsumexp_backward_few, 3, args, steps, rows, n)
