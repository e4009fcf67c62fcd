# The functions of rows.pxi for up to COLUMNS columns that lie side by side: element j of column c
# is x[j * step + c]. The inner loops run across the columns instead of along the axis, so no data
# is moved and short columns are efficient. Element j goes to lane j % LANES of its column, as in
# `reduce`, and lanes and short sums are added in the same order, so a column gives the same bits
# as a row. (For a maximum, the order does not matter.)


cdef inline void column_maxima(const floating* x, Py_ssize_t step, Py_ssize_t columns,
                               Py_ssize_t n, floating* column_max) noexcept nogil:
    cdef Py_ssize_t c, j
    for c in range(columns):
        column_max[c] = -INFINITY
    for j in range(n):
        for c in range(columns):
            column_max[c] = maximum[floating](column_max[c], x[j * step + c])


cdef inline void clear_lanes(floating* lanes, Py_ssize_t columns, Py_ssize_t used) noexcept nogil:
    """Clear the `used` lanes, and all lanes that `add_lanes` reads."""
    memset(lanes, 0, max(<Py_ssize_t> 4, used) * COLUMNS * sizeof(floating))


cdef inline void add_lanes(floating* lanes, Py_ssize_t columns, Py_ssize_t used,
                           double* sum, double* error) noexcept nogil:
    """Add up the lanes of each column as `combined` does, then add that as `add_exactly` does."""
    cdef Py_ssize_t c, k
    cdef double x, total, seen
    for k in range(8, used):                    # the unused lanes would add 0
        for c in range(columns):
            lanes[(k - 8) * COLUMNS + c] += lanes[k * COLUMNS + c]
    for k in range(4, min(<Py_ssize_t> 8, used)):
        for c in range(columns):
            lanes[(k - 4) * COLUMNS + c] += lanes[k * COLUMNS + c]
    for c in range(columns):
        x = ((lanes[c] + lanes[2 * COLUMNS + c])
             + (lanes[COLUMNS + c] + lanes[3 * COLUMNS + c]))
        total = sum[c] + x
        seen = total - sum[c]
        error[c] += (sum[c] - (total - seen)) + (x - seen)
        sum[c] = total


cdef inline void correct(double* sum, const double* error, Py_ssize_t columns) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(columns):
        sum[c] = corrected(sum[c], error[c])


cdef inline void add_exps(const floating* x, const floating* column_max, Py_ssize_t columns,
                          floating* lane) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(columns):
        lane[c] += exp_negative[floating](x[c] - column_max[c])


cdef inline void add_kept_exps(const floating* x, const floating* column_max, floating* out,
                               Py_ssize_t columns, floating* lane) noexcept nogil:
    cdef floating term
    cdef Py_ssize_t c
    for c in range(columns):
        term = exp_negative[floating](x[c] - column_max[c])
        out[c] = term
        lane[c] += term


cdef inline void exp_sums(const floating* x, Py_ssize_t step, const floating* column_max,
                          floating* out, Py_ssize_t out_step, bint keep, Py_ssize_t columns,
                          Py_ssize_t n, double* sum) noexcept nogil:
    """The sum of exp(x - column_max) of each column. `keep` writes its terms to out."""
    cdef double error[COLUMNS]
    cdef floating lanes[LANES * COLUMNS]
    cdef floating* lane
    cdef Py_ssize_t block, size, used, j
    memset(sum, 0, columns * sizeof(double))
    memset(error, 0, columns * sizeof(double))
    for block in range((n + SHORT - 1) // SHORT):       # by hand: a loop over blocks
        size = min(<Py_ssize_t> SHORT, n - block * SHORT)
        used = min(<Py_ssize_t> LANES, size)
        clear_lanes[floating](lanes, columns, used)
        for j in range(block * SHORT, block * SHORT + size):        # by hand: a loop over rows
            lane = lanes + j % LANES * COLUMNS
            if keep:
                add_kept_exps[floating](x + j * step, column_max, out + j * out_step, columns,
                                        lane)
            else:
                add_exps[floating](x + j * step, column_max, columns, lane)
        add_lanes[floating](lanes, columns, used, sum, error)
    correct(sum, error, columns)


cdef inline void add_other_terms(const floating* x, const floating* column_max,
                                 Py_ssize_t columns, floating* lane) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(columns):
        lane[c] += other_term[floating](x[c], column_max[c],
                                        exp_negative[floating](x[c] - column_max[c]))


cdef inline void sums_of_others(const floating* x, Py_ssize_t step, const floating* column_max,
                                const int* which, Py_ssize_t columns, Py_ssize_t n,
                                double* sum) noexcept nogil:
    """The sum of exp(x - column_max) without the maximum, for the columns `which`."""
    cdef double error[COLUMNS]
    cdef floating lanes[LANES * COLUMNS]
    cdef floating gathered[COLUMNS]
    cdef floating gathered_max[COLUMNS]
    cdef Py_ssize_t block, size, used, j, c
    memset(sum, 0, columns * sizeof(double))
    memset(error, 0, columns * sizeof(double))
    for c in range(columns):                    # by hand: gathers
        gathered_max[c] = column_max[which[c]]
    for block in range((n + SHORT - 1) // SHORT):       # by hand: a loop over blocks
        size = min(<Py_ssize_t> SHORT, n - block * SHORT)
        used = min(<Py_ssize_t> LANES, size)
        clear_lanes[floating](lanes, columns, used)
        for j in range(block * SHORT, block * SHORT + size):        # by hand: a loop over rows
            for c in range(columns):            # by hand: gathers
                gathered[c] = x[j * step + which[c]]
            add_other_terms[floating](gathered, gathered_max, columns,
                                      lanes + j % LANES * COLUMNS)
        add_lanes[floating](lanes, columns, used, sum, error)
    correct(sum, error, columns)


cdef inline void logs_of_sums(const floating* x, Py_ssize_t step, const floating* column_max,
                              Py_ssize_t columns, Py_ssize_t n, double* sum) noexcept nogil:
    """`log_of_sum` of each column, in place of its sum."""
    cdef double others[COLUMNS]
    cdef double found[COLUMNS]
    cdef int which[COLUMNS]
    cdef Py_ssize_t c, count = 0
    memset(others, 0, columns * sizeof(double))
    for c in range(columns):                    # by hand: a list of the dominated ones
        which[count] = <int> c
        count += dominated(sum[c])
    if count:
        sums_of_others[floating](x, step, column_max, which, count, n, found)
    for c in range(count):                      # by hand: scatters
        others[which[c]] = found[c]
    for c in range(columns):
        sum[c] = log_of_sum(sum[c], others[c])


cdef inline void column_dots(const floating* x, Py_ssize_t x_step, const floating* y,
                             Py_ssize_t y_step, Py_ssize_t columns, Py_ssize_t n,
                             double* sum) noexcept nogil:
    cdef double error[COLUMNS]
    cdef floating lanes[LANES * COLUMNS]
    cdef floating* lane
    cdef Py_ssize_t block, size, used, j, c
    memset(sum, 0, columns * sizeof(double))
    memset(error, 0, columns * sizeof(double))
    for block in range((n + SHORT - 1) // SHORT):
        size = min(<Py_ssize_t> SHORT, n - block * SHORT)
        used = min(<Py_ssize_t> LANES, size)
        clear_lanes[floating](lanes, columns, used)
        for j in range(block * SHORT, block * SHORT + size):
            lane = lanes + j % LANES * COLUMNS
            for c in range(columns):
                lane[c] += x[j * x_step + c] * y[j * y_step + c]
        add_lanes[floating](lanes, columns, used, sum, error)
    correct(sum, error, columns)


cdef inline void column_totals(const floating* x, Py_ssize_t step, Py_ssize_t columns,
                               Py_ssize_t n, double* sum) noexcept nogil:
    """The sums, computed in double because the terms may cancel."""
    cdef double error[COLUMNS]
    cdef double lanes[LANES * COLUMNS]
    cdef double* lane
    cdef Py_ssize_t block, size, used, j, c
    memset(sum, 0, columns * sizeof(double))
    memset(error, 0, columns * sizeof(double))
    for block in range((n + SHORT - 1) // SHORT):
        size = min(<Py_ssize_t> SHORT, n - block * SHORT)
        used = min(<Py_ssize_t> LANES, size)
        clear_lanes[double](lanes, columns, used)
        for j in range(block * SHORT, block * SHORT + size):
            lane = lanes + j % LANES * COLUMNS
            for c in range(columns):
                lane[c] += x[j * step + c]
        add_lanes[double](lanes, columns, used, sum, error)
    correct(sum, error, columns)


# -- softmax, log-softmax, logsumexp --------------------------------------------------------------

cdef inline void exp_shifted_sums(const floating* x, Py_ssize_t step, floating* out,
                                  Py_ssize_t out_step, Py_ssize_t columns, Py_ssize_t n,
                                  floating* scale) noexcept nogil:
    """out = exp(x - max(x)) and scale = 1 / sum(out), for each column."""
    cdef floating column_max[COLUMNS]
    cdef double sum[COLUMNS]
    cdef Py_ssize_t c
    column_maxima[floating](x, step, columns, n, column_max)
    exp_sums[floating](x, step, column_max, out, out_step, True, columns, n, sum)
    for c in range(columns):
        scale[c] = <floating> (1 / sum[c])


cdef void softmax_columns(floating** args, const Py_ssize_t* steps, Py_ssize_t columns,
                          Py_ssize_t n) noexcept nogil:
    cdef floating* out = args[1]
    cdef floating scale[COLUMNS]
    cdef Py_ssize_t j, c
    exp_shifted_sums[floating](args[0], steps[0], out, steps[1], columns, n, scale)
    for j in range(n):
        for c in range(columns):
            out[j * steps[1] + c] = out[j * steps[1] + c] * scale[c]


cdef void log_softmax_columns(floating** args, const Py_ssize_t* steps, Py_ssize_t columns,
                              Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef floating* out = args[1]
    cdef floating column_max[COLUMNS]
    cdef floating logarithm[COLUMNS]
    cdef double sum[COLUMNS]
    cdef Py_ssize_t j, c
    column_maxima[floating](x, steps[0], columns, n, column_max)
    exp_sums[floating](x, steps[0], column_max, NULL, 0, False, columns, n, sum)
    logs_of_sums[floating](args[0], steps[0], column_max, columns, n, sum)
    for c in range(columns):
        logarithm[c] = <floating> sum[c]
    for j in range(n):
        for c in range(columns):
            out[j * steps[1] + c] = (x[j * steps[0] + c] - column_max[c]) - logarithm[c]


cdef void logsumexp_columns(floating** args, const Py_ssize_t* steps, Py_ssize_t columns,
                            Py_ssize_t n) noexcept nogil:
    cdef floating column_max[COLUMNS]
    cdef double sum[COLUMNS]
    cdef Py_ssize_t c
    column_maxima[floating](args[0], steps[0], columns, n, column_max)
    exp_sums[floating](args[0], steps[0], column_max, NULL, 0, False, columns, n, sum)
    logs_of_sums[floating](args[0], steps[0], column_max, columns, n, sum)
    for c in range(columns):                    # by hand: infinities are rare
        if absolute(column_max[c]) == INFINITY:
            args[1][c] = column_max[c] + nan_among[floating](args[0] + c, steps[0], n)
        else:
            args[1][c] = <floating> (column_max[c] + sum[c])


cdef inline void softmax_gradients(const floating* grad, Py_ssize_t grad_step, const floating* y,
                                   Py_ssize_t y_step, floating* out, Py_ssize_t out_step,
                                   Py_ssize_t columns, Py_ssize_t n) noexcept nogil:
    """y (grad - grad . y)."""
    cdef double sum[COLUMNS]
    cdef floating mean[COLUMNS]
    cdef Py_ssize_t j, c
    column_dots[floating](grad, grad_step, y, y_step, columns, n, sum)
    for c in range(columns):
        mean[c] = <floating> sum[c]
    for j in range(n):
        for c in range(columns):
            out[j * out_step + c] = (grad[j * grad_step + c] - mean[c]) * y[j * y_step + c]


cdef void softmax_backward_columns(floating** args, const Py_ssize_t* steps, Py_ssize_t columns,
                                   Py_ssize_t n) noexcept nogil:
    softmax_columns[floating](args + 1, steps + 1, columns, n)
    softmax_gradients[floating](args[0], steps[0], args[2], steps[2], args[2], steps[2], columns,
                                n)


cdef void softmax_from_output_columns(floating** args, const Py_ssize_t* steps,
                                      Py_ssize_t columns, Py_ssize_t n) noexcept nogil:
    softmax_gradients[floating](args[0], steps[0], args[1], steps[1], args[2], steps[2], columns,
                                n)


cdef inline void rounded_totals(const floating* x, Py_ssize_t step, Py_ssize_t columns,
                                Py_ssize_t n, floating* sum) noexcept nogil:
    cdef double exact[COLUMNS]
    cdef Py_ssize_t c
    column_totals[floating](x, step, columns, n, exact)
    for c in range(columns):
        sum[c] = <floating> exact[c]


cdef void log_softmax_backward_columns(floating** args, const Py_ssize_t* steps,
                                       Py_ssize_t columns, Py_ssize_t n) noexcept nogil:
    cdef const floating* grad = args[0]
    cdef floating* out = args[2]
    cdef floating scale[COLUMNS]
    cdef floating sum[COLUMNS]
    cdef Py_ssize_t j, c
    rounded_totals[floating](grad, steps[0], columns, n, sum)
    exp_shifted_sums[floating](args[1], steps[1], out, steps[2], columns, n, scale)
    for j in range(n):
        for c in range(columns):
            out[j * steps[2] + c] = grad[j * steps[0] + c] - product(
                sum[c], out[j * steps[2] + c] * scale[c])


cdef void log_softmax_from_output_columns(floating** args, const Py_ssize_t* steps,
                                          Py_ssize_t columns, Py_ssize_t n) noexcept nogil:
    cdef const floating* grad = args[0]
    cdef const floating* y = args[1]
    cdef floating* out = args[2]
    cdef floating sum[COLUMNS]
    cdef Py_ssize_t j, c
    rounded_totals[floating](grad, steps[0], columns, n, sum)
    for j in range(n):
        for c in range(columns):
            out[j * steps[2] + c] = grad[j * steps[0] + c] - product(
                sum[c], exp_any[floating](y[j * steps[1] + c]))


cdef void logsumexp_backward_columns(floating** args, const Py_ssize_t* steps,
                                     Py_ssize_t columns, Py_ssize_t n) noexcept nogil:
    cdef const floating* grad = args[0]
    cdef floating* out = args[2]
    cdef floating scale[COLUMNS]
    cdef Py_ssize_t j, c
    exp_shifted_sums[floating](args[1], steps[1], out, steps[2], columns, n, scale)
    for j in range(n):
        for c in range(columns):
            out[j * steps[2] + c] = product(grad[c], out[j * steps[2] + c] * scale[c])
