# softmax, log-softmax and logsumexp along the rows of a matrix. Up to TRANSPOSED elements, tiles
# of ROWS_OF_TILE rows are transposed, so that columns.pxi has a vector of rows at a time. Longer
# rows, and a few short ones, for which a tile does not pay, are vectorized along the row. In
# tiles, log-softmax takes 0.88 of the time for rows of 37 elements, but 1.08 for rows of 40 and
# 1.21 for rows of 48 (AVX2, float32).

cdef enum:
    TOGETHER = 56                       # the same for the losses (losses.pxi)
    TILE_PAYS = 4                       # rows
    AT_ONCE = 8                         # long rows

cdef inline void to_tile(const floating* x, Py_ssize_t step, Py_ssize_t rows, Py_ssize_t n,
                         floating* tile) noexcept nogil:
    """Transpose up to ROWS_OF_TILE rows; the last one fills up the tile."""
    if floating is float:
        to_tile_float(x, step, rows, n, tile)
    else:
        to_tile_double(x, step, rows, n, tile)


cdef inline void from_tile(const floating* tile, Py_ssize_t step, Py_ssize_t rows, Py_ssize_t n,
                           floating* out) noexcept nogil:
    if floating is float:
        from_tile_float(tile, step, rows, n, out)
    else:
        from_tile_double(tile, step, rows, n, out)


cdef inline Py_ssize_t rows_in_tiles(Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """How many of the rows, from the first on, are transposed; the bits are the same."""
    if n > TOGETHER:
        return 0
    return rows if rows % ROWS_OF_TILE >= TILE_PAYS else rows - rows % ROWS_OF_TILE


cdef inline Py_ssize_t rows_transposed(Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    return rows_in_tiles(rows, n) if n <= TRANSPOSED else 0


cdef inline void tiles_of_one_input(
        void (*f)(const floating*, Py_ssize_t, floating*, Py_ssize_t, bint, Py_ssize_t,
                  Py_ssize_t)
        noexcept nogil, bint reduces, floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
        Py_ssize_t n) noexcept nogil:
    cdef floating tile[TRANSPOSED * ROWS_OF_TILE]
    cdef floating singles[ROWS_OF_TILE]
    cdef Py_ssize_t start = 0, count, i
    while start < rows:
        count = min(<Py_ssize_t> ROWS_OF_TILE, rows - start)
        to_tile[floating](args[0] + start * steps[0], steps[0], count, n, tile)
        if reduces:
            f(tile, ROWS_OF_TILE, singles, 0, True, ROWS_OF_TILE, n)
            for i in range(count):              # by hand: any step
                args[1][(start + i) * steps[1]] = singles[i]
        else:
            f(tile, ROWS_OF_TILE, tile, ROWS_OF_TILE, True, ROWS_OF_TILE, n)
            from_tile[floating](tile, steps[1], count, n, args[1] + start * steps[1])
        start += count


cdef inline void tiles_of_two_inputs(
        void (*f)(const floating*, Py_ssize_t, const floating*, Py_ssize_t, floating*, Py_ssize_t,
                  bint, Py_ssize_t, Py_ssize_t)
        noexcept nogil, bint single, floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
        Py_ssize_t n) noexcept nogil:
    """If `single` is true, the gradient is one number a row."""
    cdef floating grad[TRANSPOSED * ROWS_OF_TILE]
    cdef floating tile[TRANSPOSED * ROWS_OF_TILE]
    cdef Py_ssize_t start = 0, count
    while start < rows:
        count = min(<Py_ssize_t> ROWS_OF_TILE, rows - start)
        to_tile[floating](args[0] + start * steps[0], steps[0], count, 1 if single else n, grad)
        to_tile[floating](args[1] + start * steps[1], steps[1], count, n, tile)
        f(grad, ROWS_OF_TILE, tile, ROWS_OF_TILE, tile, ROWS_OF_TILE, True, ROWS_OF_TILE, n)
        from_tile[floating](tile, steps[2], count, n, args[2] + start * steps[2])
        start += count


# A few long rows go through each pass together, so that the latencies of their maxima, sums,
# divisions and logarithms overlap. With AVX2 and rows of 100 elements, softmax then takes 0.64 ns
# per element instead of 0.75 ns.

cdef inline Py_ssize_t rows_at_once(Py_ssize_t n) noexcept nogil:
    return max(<Py_ssize_t> 1, min(<Py_ssize_t> AT_ONCE, SHORT // (n + 1)))


cdef inline void by_few_rows(
        void (*f)(floating**, const Py_ssize_t*, Py_ssize_t, Py_ssize_t) noexcept nogil,
        int operands, floating** args, const Py_ssize_t* steps, Py_ssize_t start, Py_ssize_t rows,
        Py_ssize_t n) noexcept nogil:
    """Rows from `start` on."""
    cdef floating* spans[3]
    cdef Py_ssize_t few = rows_at_once(n)
    cdef int k
    while start < rows:
        for k in range(operands):               # by hand: of two or three
            spans[k] = args[k] + start * steps[k]
        f(spans, steps, min(few, rows - start), n)
        start += few


# -- sums of a row: the order of the operations is that of columns.pxi ----------------------------

cdef void exp_terms(const floating* x, floating row_max, floating* out,
                    Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    if floating is float and LANES_FLOAT:
        exp_terms_by_lanes(x, row_max, False, out, n)
        return
    for j in range(n):
        out[j] = exp_term[floating](x[j], row_max)


cdef inline floating sum_of_exp_terms(const floating* x, floating row_max, floating* out,
                                      Py_ssize_t n) noexcept nogil:
    """The sum of at most SHORT terms, which are kept."""
    if floating is float and LANES_FLOAT:
        return sum_of_exps_by_lanes(x, row_max, out, n)
    exp_terms[floating](x, row_max, out, n)
    return sum_of[floating](out, n)


cdef double long_sum_of_exp_terms(const floating* x, floating row_max, floating* out,
                                  Py_ssize_t n) noexcept nogil:
    cdef double sum = 0, error = 0
    cdef Py_ssize_t start = 0
    if n <= SHORT:
        return sum_of_exp_terms[floating](x, row_max, out, n)
    while start < n:
        add_exactly(&sum, &error, sum_of_exp_terms[floating](
            x + start, row_max, out + start, min(<Py_ssize_t> SHORT, n - start)))
        start += SHORT
    return corrected(sum, error)


cdef void accurate_exp_terms(const floating* x, floating row_max, floating* out,
                             Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    if floating is float and LANES_FLOAT:
        exp_terms_by_lanes(x, row_max, True, out, n)
        return
    for j in range(n):
        out[j] = accurate_exp_term[floating](x[j], row_max)


cdef inline void add_other_terms(const floating* terms, Py_ssize_t n, double* ones, double* sum,
                                 double* error) noexcept nogil:
    """Add at most SHORT terms, those that are 1 to `ones`."""
    cdef Py_ssize_t count
    if floating is float:
        add_exactly(sum, error, sum_of_others_float(
            terms, n, <float> scale_of_terms(terms[0]), &count))
    else:
        add_exactly(sum, error, sum_of_others_double(
            terms, n, scale_of_terms(terms[0]), &count))
    ones[0] += count


cdef void sums_of_terms(const floating* terms, Py_ssize_t n, double* ones,
                        double* others) noexcept nogil:
    """How many terms are 1, and the sum of the others."""
    cdef double error = 0
    cdef Py_ssize_t start = 0
    ones[0] = others[0] = 0
    while start < n:
        add_other_terms[floating](terms + start, min(<Py_ssize_t> SHORT, n - start), ones, others,
                                  &error)
        start += SHORT
    others[0] = corrected(others[0], error)


cdef inline void sums_of_row(const floating* x, floating row_max, bint exact, Py_ssize_t n,
                             double* ones, double* others) noexcept nogil:
    """The same of the terms exp(x - row_max), which are not kept.

    If `exact` is true, they have the rounding error of x - row_max.
    """
    cdef floating terms[SHORT]
    cdef floating part
    cdef double error = 0
    cdef Py_ssize_t start = 0, size, count = 0
    ones[0] = others[0] = 0
    while start < n:
        size = min(<Py_ssize_t> SHORT, n - start)
        if floating is float and LANES_FLOAT:
            if exact:
                part = sum_of_other_exps_by_lanes(x + start, row_max, True, size, &count)
            else:
                part = sum_of_other_exps_by_lanes(x + start, row_max, False, size, &count)
            add_exactly(others, &error, part)
            ones[0] += count
        else:
            if exact:
                accurate_exp_terms[floating](x + start, row_max, terms, size)
            else:
                exp_terms[floating](x + start, row_max, terms, size)
            add_other_terms[floating](terms, size, ones, others, &error)
        start += SHORT
    others[0] = corrected(others[0], error)


cdef void logs_of_rows(const floating* x, Py_ssize_t step, Py_ssize_t rows, Py_ssize_t n,
                       floating* row_max, double* logarithm) noexcept nogil:
    """The maxima of up to AT_ONCE rows, and the logarithms of the sums of exp(x - row_max)."""
    cdef double ones[AT_ONCE]
    cdef double others[AT_ONCE]
    cdef bint exact = in_one_go(n)
    cdef Py_ssize_t i
    for i in range(AT_ONCE):
        ones[i], others[i] = 1, 0
    for i in range(rows):                       # by hand: a loop over rows
        row_max[i] = maximum_of[floating](x + i * step, n)
    for i in range(rows):                       # by hand: a loop over rows
        sums_of_row[floating](x + i * step, row_max[i], exact, n, ones + i, others + i)
    for i in range(rows):                       # by hand: a loop over rows
        if not exact and dominated(row_max[0], ones[i], others[i]):
            sums_of_row[floating](x + i * step, row_max[i], True, n, ones + i, others + i)
    for i in range(AT_ONCE):
        logarithm[i] = log_of_terms(row_max[0], ones[i], others[i])


cdef void exp_rows(const floating* x, Py_ssize_t step, floating* out, Py_ssize_t out_step,
                   Py_ssize_t rows, Py_ssize_t n, floating* factor) noexcept nogil:
    """out = exp(x - max(x)), scaled, and factor = 1 / sum(out), for up to AT_ONCE rows."""
    cdef floating row_max[AT_ONCE]
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        row_max[i] = maximum_of[floating](x + i * step, n)
    for i in range(rows):                       # by hand: a loop over rows
        factor[i] = <floating> 1 / <floating> long_sum_of_exp_terms[floating](
            x + i * step, row_max[i], out + i * out_step, n)


# -- results of one row: the loops with NAME_by_lanes are in spans.h ------------------------------

cdef inline void scaled(floating* out, const floating* factor, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    if floating is float and LANES_FLOAT:
        scaled_by_lanes(out, factor, False, out, n)
        return
    for j in range(n):
        out[j] = out[j] * factor[0]


cdef inline void log_softmax_of_row(const floating* x, const floating* row_max,
                                    const floating* logarithm, floating* out,
                                    Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    if floating is float and LANES_FLOAT:
        log_softmax_by_lanes(x, row_max, logarithm, False, out, n)
        return
    for j in range(n):
        out[j] = (x[j] - row_max[0]) - logarithm[0]


cdef inline void softmax_slope_of_row(const floating* grad, const floating* y, floating mean,
                                      floating* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    if floating is float and LANES_FLOAT:
        softmax_slope_by_lanes(grad, y, mean, out, n)
        return
    for j in range(n):
        out[j] = (grad[j] - mean) * y[j]


cdef inline void log_softmax_slope_of_row(const floating* grad, const floating* factor,
                                          const floating* sum, floating* out,
                                          Py_ssize_t n) noexcept nogil:
    """`out` has the exponentials."""
    cdef Py_ssize_t j
    if floating is float and LANES_FLOAT:
        log_softmax_slope_by_lanes(grad, out, factor, sum, False, out, n)
        return
    for j in range(n):
        out[j] = grad[j] - product(sum[0], out[j] * factor[0])


cdef inline void log_softmax_slope_of_output(const floating* grad, const floating* y,
                                             const floating* sum, floating* out,
                                             Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    if floating is float and LANES_FLOAT:
        log_softmax_slope_from_output_by_lanes(grad, y, sum, False, out, n)
        return
    for j in range(n):
        out[j] = grad[j] - product(sum[0], exp_any[floating](y[j]))


cdef inline void logsumexp_slope_of_row(floating grad, const floating* factor, floating* out,
                                        Py_ssize_t n) noexcept nogil:
    """`out` has the exponentials."""
    cdef Py_ssize_t j
    if floating is float and LANES_FLOAT:
        logsumexp_slope_by_lanes(&grad, out, factor, False, out, n)
        return
    for j in range(n):
        out[j] = product(grad, out[j] * factor[0])


# -- softmax, log-softmax, logsumexp --------------------------------------------------------------

cdef void softmax_few(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                      Py_ssize_t n) noexcept nogil:
    cdef floating factor[AT_ONCE]
    cdef floating* out
    cdef Py_ssize_t i
    exp_rows[floating](args[0], steps[0], args[1], steps[1], rows, n, factor)
    for i in range(rows):                       # by hand: a loop over rows
        out = args[1] + i * steps[1]
        scaled[floating](out, factor + i, n)


cdef void softmax_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                       Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t whole = rows_transposed(rows, n)
    tiles_of_one_input[floating](softmax_across, False, args, steps, whole, n)
    by_few_rows[floating](softmax_few, 2, args, steps, whole, rows, n)


cdef void softmax(const floating* z, Py_ssize_t rows, Py_ssize_t n, floating* out) noexcept nogil:
    """The engine's."""
    cdef floating* args[2]
    cdef Py_ssize_t steps[2]
    args = [<floating*> z, out]
    steps = [n, n]
    softmax_rows[floating](args, steps, rows, n)


cdef inline void log_softmax_few(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                 Py_ssize_t n) noexcept nogil:
    cdef floating row_max[AT_ONCE]
    cdef double logarithm[AT_ONCE]
    cdef floating rounded_log
    cdef const floating* x
    cdef floating* out
    cdef Py_ssize_t i
    logs_of_rows[floating](args[0], steps[0], rows, n, row_max, logarithm)
    for i in range(rows):                       # by hand: a loop over rows
        x, out = args[0] + i * steps[0], args[1] + i * steps[1]
        rounded_log = <floating> logarithm[i]
        log_softmax_of_row[floating](x, row_max + i, &rounded_log, out, n)


cdef void log_softmax_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                           Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t whole = rows_transposed(rows, n)
    tiles_of_one_input[floating](log_softmax_across, False, args, steps, whole, n)
    by_few_rows[floating](log_softmax_few, 2, args, steps, whole, rows, n)


cdef inline void logsumexp_few(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                               Py_ssize_t n) noexcept nogil:
    cdef floating row_max[AT_ONCE]
    cdef double logarithm[AT_ONCE]
    cdef Py_ssize_t i
    logs_of_rows[floating](args[0], steps[0], rows, n, row_max, logarithm)
    for i in range(rows):                       # by hand: infinities are rare
        if absolute(row_max[i]) == INFINITY:
            args[1][i * steps[1]] = row_max[i] + nan_among[floating](args[0] + i * steps[0], 1, n)
        else:
            args[1][i * steps[1]] = <floating> (row_max[i] + logarithm[i])


cdef void logsumexp_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                         Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t whole = rows_transposed(rows, n)
    tiles_of_one_input[floating](logsumexp_across, True, args, steps, whole, n)
    by_few_rows[floating](logsumexp_few, 2, args, steps, whole, rows, n)


# -- gradients ------------------------------------------------------------------------------------

cdef void softmax_from_output_few(floating** args, const Py_ssize_t* steps,
                                  Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    cdef floating mean[AT_ONCE]
    cdef const floating* grad
    cdef const floating* y
    cdef floating* out
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        mean[i] = <floating> dot[floating](args[0] + i * steps[0], args[1] + i * steps[1], n)
    for i in range(rows):                       # by hand: a loop over rows
        grad, y, out = args[0] + i * steps[0], args[1] + i * steps[1], args[2] + i * steps[2]
        softmax_slope_of_row[floating](grad, y, mean[i], out, n)


cdef void softmax_from_output_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                   Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t whole = rows_transposed(rows, n)
    tiles_of_two_inputs[floating](softmax_from_output_across, False, args, steps, whole, n)
    by_few_rows[floating](softmax_from_output_few, 3, args, steps, whole, rows, n)


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
    cdef Py_ssize_t whole = rows_transposed(rows, n)
    tiles_of_two_inputs[floating](softmax_backward_across, False, args, steps, whole, n)
    by_few_rows[floating](softmax_backward_few, 3, args, steps, whole, rows, n)


cdef inline void log_softmax_backward_few(floating** args, const Py_ssize_t* steps,
                                          Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    cdef floating total_of_grad[AT_ONCE]
    cdef floating factor[AT_ONCE]
    cdef const floating* grad
    cdef floating* out
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        total_of_grad[i] = <floating> total[floating](args[0] + i * steps[0], n)
    exp_rows[floating](args[1], steps[1], args[2], steps[2], rows, n, factor)
    for i in range(rows):                       # by hand: a loop over rows
        grad, out = args[0] + i * steps[0], args[2] + i * steps[2]
        log_softmax_slope_of_row[floating](grad, factor + i, total_of_grad + i, out, n)


cdef void log_softmax_backward_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                    Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t whole = rows_transposed(rows, n)
    tiles_of_two_inputs[floating](log_softmax_backward_across, False, args, steps, whole, n)
    by_few_rows[floating](log_softmax_backward_few, 3, args, steps, whole, rows, n)


cdef inline void log_softmax_from_output_few(floating** args, const Py_ssize_t* steps,
                                             Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    cdef floating total_of_grad[AT_ONCE]
    cdef const floating* grad
    cdef const floating* y
    cdef floating* out
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        total_of_grad[i] = <floating> total[floating](args[0] + i * steps[0], n)
    for i in range(rows):                       # by hand: a loop over rows
        grad, y, out = args[0] + i * steps[0], args[1] + i * steps[1], args[2] + i * steps[2]
        log_softmax_slope_of_output[floating](grad, y, total_of_grad + i, out, n)


cdef void log_softmax_from_output_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                       Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t whole = rows_transposed(rows, n)
    tiles_of_two_inputs[floating](log_softmax_from_output_across, False, args, steps, whole, n)
    by_few_rows[floating](log_softmax_from_output_few, 3, args, steps, whole, rows, n)


cdef inline void logsumexp_backward_few(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                        Py_ssize_t n) noexcept nogil:
    cdef floating factor[AT_ONCE]
    cdef floating* out
    cdef floating grad
    cdef Py_ssize_t i
    exp_rows[floating](args[1], steps[1], args[2], steps[2], rows, n, factor)
    for i in range(rows):                       # by hand: a loop over rows
        out = args[2] + i * steps[2]
        grad = args[0][i * steps[0]]
        logsumexp_slope_of_row[floating](grad, factor + i, out, n)


cdef void logsumexp_backward_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                  Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t whole = rows_transposed(rows, n)
    tiles_of_two_inputs[floating](logsumexp_backward_across, True, args, steps, whole, n)
    by_few_rows[floating](logsumexp_backward_few, 3, args, steps, whole, rows, n)
