# softmax, log-softmax and logsumexp of up to COLUMNS columns that lie side by side: element j of
# column c is x[j * step + c]. The inner loops run across the columns instead of along the axis, so
# short columns are as efficient as long ones. rows.pxi transposes short rows, and calls these
# functions for them; for long rows it has the same functions in another order of loops. Element j
# goes to lane j % LANES of its column, as in `reduce`, and lanes and short sums are added in the
# same order, so a column gives the same bits as a row. (For a maximum, the order does not matter.)
#
# All exponentials are scaled (elementary.pxi), because subnormal numbers cost some CPUs a hundred
# times as much as others.

cdef extern from "math/intrinsics.h" nogil:
    float other_than_float(float x, float y)
    double other_than_double(double x, double y)
    float is_same_float(float x, float y)
    double is_same_double(double x, double y)

cdef extern from "softmax/tile.h" nogil:
    enum: ROWS_OF_TILE
    void to_tile_float(const float* x, Py_ssize_t step, Py_ssize_t rows, Py_ssize_t n, float* tile)
    void to_tile_double(const double* x, Py_ssize_t step, Py_ssize_t rows, Py_ssize_t n,
                        double* tile)
    void from_tile_float(const float* tile, Py_ssize_t step, Py_ssize_t rows, Py_ssize_t n,
                         float* out)
    void from_tile_double(const double* tile, Py_ssize_t step, Py_ssize_t rows, Py_ssize_t n,
                          double* out)
    void tile_maxima_float(const float* tile, Py_ssize_t n, float* max)
    void tile_maxima_double(const double* tile, Py_ssize_t n, double* max)

cdef extern from "softmax/spans.h" nogil:
    void exp_terms_by_lanes(const float* x, float max, bint exact, float* out, Py_ssize_t n)
    float sum_of_exps_by_lanes(const float* x, float max, float* out, Py_ssize_t n)
    float sum_of_other_exps_by_lanes(const float* x, float max, bint exact, Py_ssize_t n,
                                     Py_ssize_t* ones)
    void maxima_by_lanes(const float* x, Py_ssize_t step, Py_ssize_t columns, Py_ssize_t n,
                         float* max)
    void exp_terms_across_by_lanes(const float* x, const float* max, float* kept, float* lane,
                                   bint first, Py_ssize_t n)
    void other_terms_across_by_lanes(const float* x, const float* max, float* ones, float* lane,
                                     bint new_block, bint first, bint exact, Py_ssize_t n)
    void scaled_by_lanes(const float* x, const float* factor, bint across, float* out,
                         Py_ssize_t n)
    void log_softmax_by_lanes(const float* x, const float* max, const float* logarithm,
                              bint across, float* out, Py_ssize_t n)
    void softmax_slope_by_lanes(const float* g, const float* y, float mean, float* out,
                                Py_ssize_t n)
    void log_softmax_slope_by_lanes(const float* g, const float* e, const float* factor,
                                    const float* sum, bint across, float* out, Py_ssize_t n)
    void log_softmax_slope_from_output_by_lanes(const float* g, const float* y, const float* sum,
                                                bint across, float* out, Py_ssize_t n)
    void logsumexp_slope_by_lanes(const float* g, const float* e, const float* factor,
                                  bint across, float* out, Py_ssize_t n)

cdef inline floating last_difference(floating like) noexcept nogil:
    """A bound on d from which on even a million of exp(-d) round to 0."""
    return <floating> 130 if floating is float else <floating> 790


cdef inline double scale_of_terms(floating like) noexcept nogil:
    """By which the exponentials are scaled: 2^64 or 2^128."""
    return 18446744073709551616.0 if floating is float else 3.402823669209384635e38


cdef inline floating exp_term(floating x, floating row_max) noexcept nogil:
    """exp(x - row_max), scaled. The difference is rounded, as in most libraries.

    An infinite maximum gives inf - inf, and so NaN, which is the result defined for such a row.
    """
    return exp_scaled[floating](at_least[floating](x - row_max, -last_difference(x)))


cdef inline floating accurate_exp_term(floating x, floating row_max) noexcept nogil:
    """exp(x - row_max), scaled, with the rounding error of x - row_max (Knuth's two-sum)."""
    cdef floating d = x - row_max, minus_max = d - x
    cdef floating low = (x - (d - minus_max)) - (row_max + minus_max)
    cdef floating clamped = at_least[floating](d, -last_difference(x))
    return exp_scaled_two[floating](clamped, low if clamped == d else <floating> 0)    # or NaN


# Where one element dominates, the sum of the exponentials is 1 and a small rest. The addition to 1
# would lose it, but log(1 + rest) is nearly the rest. So the terms that are 1 are counted, and the
# others are summed by themselves.

cdef inline floating other_term(floating term) noexcept nogil:
    """A term, or 0 in place of 1."""
    if floating is float:
        return other_than_float(term, <float> scale_of_terms(term))
    else:
        return other_than_double(term, scale_of_terms(term))


cdef inline floating is_one(floating term) noexcept nogil:
    """1 for a term of 1, else 0."""
    if floating is float:
        return is_same_float(term, <float> scale_of_terms(term))
    else:
        return is_same_double(term, scale_of_terms(term))


cdef inline double sum_of_terms(floating like, double ones, double others) noexcept nogil:
    """The scaled sum of all terms."""
    return ones * scale_of_terms(like) + others


cdef inline double log_of_terms(floating like, double ones, double others) noexcept nogil:
    """The logarithm of the sum of all terms."""
    return log_plus_one((ones - 1) + others * (1 / scale_of_terms(like)), floating is float)


# The rounding error of x - max(x) matters only where one element dominates. To compute it takes a
# third of the time of a term, so the sums of most rows are first computed without it, and those of
# the dominated ones again.

cdef enum:
    TRANSPOSED = 39                     # elements of a row, up to which rows are transposed
    IN_PASSES = 65536                   # elements from which on a row may come in passes

cdef inline bint in_one_go(Py_ssize_t n) noexcept nogil:
    """Whether all terms have the error at once: in tiles, and where there is no second look."""
    return (n <= TRANSPOSED) | (n > IN_PASSES)


cdef inline bint dominated(floating like, double ones, double others) noexcept nogil:
    """Whether one term is 1, and the others sum to less."""
    return (ones == 1) & (others < scale_of_terms(like))


# -- maxima and sums ------------------------------------------------------------------------------
# `in_tile` tells, at compile time, that the columns are the ROWS_OF_TILE of a tile (rows.pxi), and
# that n is at most TOGETHER. Then a loop across them is a few vectors without a remainder, and
# sums need no compensation. What several functions begin with is compiled once, and called, where
# that costs them no time: it would take a third of the size of the kernels.

cdef inline void column_maxima(const floating* x, Py_ssize_t step, bint in_tile,
                               Py_ssize_t columns, Py_ssize_t n,
                               floating* column_max) noexcept nogil:
    cdef Py_ssize_t c, j
    if in_tile:
        tile_maxima[floating](x, n, column_max)
        return
    if floating is float and WIDE_LANES_FLOAT:
        maxima_by_lanes(x, step, columns, n, column_max)
        return
    for c in range(columns):
        column_max[c] = -INFINITY
    for j in range(n):
        for c in range(columns):
            column_max[c] = maximum[floating](column_max[c], x[j * step + c])


cdef inline void tile_maxima(const floating* tile, Py_ssize_t n, floating* max) noexcept nogil:
    if floating is float:
        tile_maxima_float(tile, n, max)
    else:
        tile_maxima_double(tile, n, max)


cdef inline void add_lanes(floating* lanes, Py_ssize_t line, bint in_tile, Py_ssize_t columns,
                           Py_ssize_t used, double* sum, double* error) noexcept nogil:
    """Add up the used lanes of each column as `combined` does, then that as `add_exactly` does.

    Lane k of column c is at lanes[k * line + c]. In a tile, this is the sum itself.
    """
    cdef Py_ssize_t c, k
    cdef double x, total, seen
    for k in range(8, used):                    # the unused lanes would add 0
        for c in range(columns):
            lanes[(k - 8) * line + c] += lanes[k * line + c]
    for k in range(4, min(<Py_ssize_t> 8, used)):
        for c in range(columns):
            lanes[(k - 4) * line + c] += lanes[k * line + c]
    for k in range(2, min(<Py_ssize_t> 4, used)):
        for c in range(columns):
            lanes[(k - 2) * line + c] += lanes[k * line + c]
    if used > 1:
        for c in range(columns):
            lanes[c] += lanes[line + c]
    if in_tile:
        for c in range(columns):
            sum[c] = lanes[c]
        return
    for c in range(columns):
        x = lanes[c]
        total = sum[c] + x
        seen = total - sum[c]
        error[c] += (sum[c] - (total - seen)) + (x - seen)
        sum[c] = total


cdef inline void correct(double* sum, const double* error, Py_ssize_t columns) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(columns):
        sum[c] = corrected(sum[c], error[c])


# Terms of a sum, computed from two inputs for one element of each column. `lane` gets them, or
# they are added to it; `kept` gets them, or what belongs to them, too.

cdef enum:
    OF_BLOCK                            # the first elements of a block, and so of their lane
    OF_LANE                             # the first elements of their lane
    FURTHER                             # other elements

cdef inline void exp_terms_across(const floating* x, const floating* column_max, floating* kept,
                                  floating* lane, int first, Py_ssize_t columns) noexcept nogil:
    cdef floating term
    cdef Py_ssize_t c
    if floating is float and WIDE_LANES_FLOAT:
        exp_terms_across_by_lanes(x, column_max, kept, lane, first != FURTHER, columns)
        return
    for c in range(columns):
        term = exp_term[floating](x[c], column_max[c])
        kept[c] = term
        lane[c] = lane[c] + term if first == FURTHER else term


cdef inline void products_across(const floating* x, const floating* y, floating* unused,
                                 floating* lane, int first, Py_ssize_t columns) noexcept nogil:
    cdef floating term
    cdef Py_ssize_t c
    for c in range(columns):
        term = x[c] * y[c]
        lane[c] = (lane[c] if first == FURTHER else <floating> 0) + term     # 0 + -0.0 is 0.0


cdef inline void other_terms_across(const floating* x, const floating* column_max,
                                    floating* ones, floating* lane, int first,
                                    Py_ssize_t columns) noexcept nogil:
    """`ones` counts the terms of a block that are 1."""
    cdef floating term, other, one
    cdef Py_ssize_t c
    if floating is float and WIDE_LANES_FLOAT and columns % LANES:
        other_terms_across_by_lanes(x, column_max, ones, lane, first == OF_BLOCK,
                                    first != FURTHER, True, columns)
        return
    for c in range(columns):
        term = accurate_exp_term[floating](x[c], column_max[c])
        other = other_term[floating](term)
        one = is_one[floating](term)
        ones[c] = one if first == OF_BLOCK else ones[c] + one
        lane[c] = lane[c] + other if first == FURTHER else other


cdef inline void rounded_other_terms_across(const floating* x, const floating* column_max,
                                            floating* ones, floating* lane, int first,
                                            Py_ssize_t columns) noexcept nogil:
    """The same of terms without the rounding error of x - column_max."""
    cdef floating term, other, one
    cdef Py_ssize_t c
    if floating is float and WIDE_LANES_FLOAT and columns % LANES:
        other_terms_across_by_lanes(x, column_max, ones, lane, first == OF_BLOCK,
                                    first != FURTHER, False, columns)
        return
    for c in range(columns):
        term = exp_term[floating](x[c], column_max[c])
        other = other_term[floating](term)
        one = is_one[floating](term)
        ones[c] = one if first == OF_BLOCK else ones[c] + one
        lane[c] = lane[c] + other if first == FURTHER else other


cdef inline void kept_other_terms_across(const floating* x, const floating* column_max,
                                         floating* kept, floating* lane, int first,
                                         Py_ssize_t columns) noexcept nogil:
    """All terms are kept, but those that are 1 are not added."""
    cdef floating term, other
    cdef Py_ssize_t c
    for c in range(columns):
        term = accurate_exp_term[floating](x[c], column_max[c])
        kept[c] = term
        other = other_term[floating](term)
        lane[c] = lane[c] + other if first == FURTHER else other


cdef inline void add_block(
        void (*f)(const floating*, const floating*, floating*, floating*, int, Py_ssize_t)
        noexcept nogil, const floating* x, Py_ssize_t x_step, const floating* y,
        Py_ssize_t y_step, floating* kept, Py_ssize_t kept_step, Py_ssize_t columns,
        Py_ssize_t n, floating* lanes, Py_ssize_t line) noexcept nogil:
    cdef Py_ssize_t j
    f(x, y, kept, lanes, OF_BLOCK, columns)
    for j in range(1, min(<Py_ssize_t> LANES, n)):      # by hand: a loop over rows
        f(x + j * x_step, y + j * y_step, kept + j * kept_step, lanes + j * line, OF_LANE,
          columns)
    for j in range(LANES, n):                           # by hand: a loop over rows
        f(x + j * x_step, y + j * y_step, kept + j * kept_step, lanes + j % LANES * line,
          FURTHER, columns)


cdef inline void column_sums(
        void (*f)(const floating*, const floating*, floating*, floating*, int, Py_ssize_t)
        noexcept nogil, const floating* x, Py_ssize_t x_step, const floating* y,
        Py_ssize_t y_step, floating* kept, Py_ssize_t kept_step, double* counts, bint in_tile,
        Py_ssize_t columns, Py_ssize_t n, double* sum) noexcept nogil:
    """The sum of the terms of f over each column. A step of 0 is for one number a column.

    `counts`, unless it is NULL, adds up what f has counted in `kept`, whose step is 0.
    """
    cdef double error[COLUMNS]
    cdef floating memory[LANES * COLUMNS + LANES]
    cdef floating* lanes = memory + (-<uintptr_t> memory & 63) // sizeof(floating)
    cdef Py_ssize_t start = 0, size, line = (columns + LANES - 1) // LANES * LANES
    if in_tile:
        add_block[floating](f, x, x_step, y, y_step, kept, kept_step, columns, n, lanes, line)
        add_lanes[floating](lanes, line, in_tile, columns, min(<Py_ssize_t> LANES, n), sum, error)
        if counts != NULL:
            copy_counts[floating](kept, columns, counts)
        return
    memset(sum, 0, columns * sizeof(double))
    memset(error, 0, columns * sizeof(double))
    if counts != NULL:
        memset(counts, 0, columns * sizeof(double))
    while start < n:
        size = min(<Py_ssize_t> SHORT, n - start)
        add_block[floating](f, x + start * x_step, x_step, y + start * y_step, y_step,
                            kept + start * kept_step, kept_step, columns, size, lanes, line)
        add_lanes[floating](lanes, line, in_tile, columns, min(<Py_ssize_t> LANES, size), sum,
                            error)
        if counts != NULL:
            add_counts[floating](kept, columns, counts)
        start += SHORT
    correct(sum, error, columns)


cdef inline void copy_counts(const floating* counted, Py_ssize_t columns,
                             double* counts) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(columns):
        counts[c] = counted[c]


cdef inline void add_counts(const floating* counted, Py_ssize_t columns,
                            double* counts) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(columns):
        counts[c] += counted[c]


cdef inline void add_across(const floating* x, double* lane, bint first,
                            Py_ssize_t columns) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(columns):
        lane[c] = (0 if first else lane[c]) + <double> x[c]             # 0 + -0.0 is 0.0


cdef inline void total_of_block(const floating* x, Py_ssize_t step, Py_ssize_t columns,
                                Py_ssize_t n, double* lanes) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(min(<Py_ssize_t> LANES, n)):         # by hand: a loop over rows
        add_across[floating](x + j * step, lanes + j * columns, True, columns)
    for j in range(LANES, n):                           # by hand: a loop over rows
        add_across[floating](x + j * step, lanes + j % LANES * columns, False, columns)


cdef inline void column_totals(const floating* x, Py_ssize_t step, bint in_tile,
                               Py_ssize_t columns, Py_ssize_t n, double* sum) noexcept nogil:
    """The sums, computed in double because the terms may cancel."""
    cdef double error[COLUMNS]
    cdef double lanes[LANES * COLUMNS]
    cdef Py_ssize_t start = 0, size
    if in_tile:
        total_of_block[floating](x, step, columns, n, lanes)
        add_lanes[double](lanes, columns, in_tile, columns, min(<Py_ssize_t> LANES, n), sum, error)
        return
    memset(sum, 0, columns * sizeof(double))
    memset(error, 0, columns * sizeof(double))
    while start < n:
        size = min(<Py_ssize_t> SHORT, n - start)
        total_of_block[floating](x + start * step, step, columns, size, lanes)
        add_lanes[double](lanes, columns, in_tile, columns, min(<Py_ssize_t> LANES, size), sum,
                          error)
        start += SHORT
    correct(sum, error, columns)


cdef inline void rounded_totals(const floating* x, Py_ssize_t step, bint in_tile,
                                Py_ssize_t columns, Py_ssize_t n, floating* sum) noexcept nogil:
    if in_tile:
        rounded_totals_of_tile[floating](x, n, sum)
    else:
        rounded_totals_of_columns[floating](x, step, columns, n, sum)


cdef void rounded_totals_of_tile(const floating* tile, Py_ssize_t n,
                                 floating* sum) noexcept nogil:
    each_rounded_total[floating](tile, ROWS_OF_TILE, True, ROWS_OF_TILE, n, sum)


cdef void rounded_totals_of_columns(const floating* x, Py_ssize_t step, Py_ssize_t columns,
                                    Py_ssize_t n, floating* sum) noexcept nogil:
    each_rounded_total[floating](x, step, False, columns, n, sum)


cdef inline void each_rounded_total(const floating* x, Py_ssize_t step, bint in_tile,
                                    Py_ssize_t columns, Py_ssize_t n,
                                    floating* sum) noexcept nogil:
    cdef double exact[COLUMNS]
    cdef Py_ssize_t c
    column_totals[floating](x, step, in_tile, columns, n, exact)
    for c in range(columns):
        sum[c] = <floating> exact[c]


cdef inline void logs_of_sums(const floating* x, Py_ssize_t step, const floating* column_max,
                              bint in_tile, Py_ssize_t columns, Py_ssize_t n,
                              double* logarithm) noexcept nogil:
    """The logarithm of the sum of exp(x - column_max) of each column."""
    if in_tile:
        each_log_of_sum[floating](x, step, column_max, in_tile, columns, n, logarithm)
    else:
        logs_of_columns[floating](x, step, column_max, columns, n, logarithm)


cdef void logs_of_columns(const floating* x, Py_ssize_t step, const floating* column_max,
                          Py_ssize_t columns, Py_ssize_t n, double* logarithm) noexcept nogil:
    each_log_of_sum[floating](x, step, column_max, False, columns, n, logarithm)


cdef inline void each_log_of_sum(const floating* x, Py_ssize_t step, const floating* column_max,
                                 bint in_tile, Py_ssize_t columns, Py_ssize_t n,
                                 double* logarithm) noexcept nogil:
    cdef floating counted[COLUMNS]
    cdef double ones[COLUMNS]
    cdef double others[COLUMNS]
    cdef Py_ssize_t c
    if in_tile or in_one_go(n):
        column_sums[floating](other_terms_across, x, step, column_max, 0, counted, 0, ones,
                              in_tile, columns, n, others)
    else:
        sums_in_two_goes[floating](x, step, column_max, columns, n, ones, others)
    for c in range(columns):
        logarithm[c] = log_of_terms(column_max[c], ones[c], others[c])


cdef inline void sums_in_two_goes(const floating* x, Py_ssize_t step, const floating* column_max,
                                  Py_ssize_t columns, Py_ssize_t n, double* ones,
                                  double* others) noexcept nogil:
    """How many terms of each column are 1, and the sum of the others."""
    cdef floating counted[COLUMNS]
    cdef double exact_ones[COLUMNS]
    cdef double exact_others[COLUMNS]
    cdef Py_ssize_t c
    cdef bint again = False
    column_sums[floating](rounded_other_terms_across, x, step, column_max, 0, counted, 0, ones,
                          False, columns, n, others)
    for c in range(columns):                    # by hand: a few numbers
        again |= dominated(column_max[0], ones[c], others[c])
    if not again:
        return
    column_sums[floating](other_terms_across, x, step, column_max, 0, counted, 0, exact_ones,
                          False, columns, n, exact_others)
    for c in range(columns):                    # by hand: a few numbers
        if dominated(column_max[0], ones[c], others[c]):
            ones[c], others[c] = exact_ones[c], exact_others[c]


# -- softmax, log-softmax, logsumexp --------------------------------------------------------------

cdef inline void exp_columns(const floating* x, Py_ssize_t step, floating* out,
                             Py_ssize_t out_step, bint in_tile, Py_ssize_t columns,
                             Py_ssize_t n, floating* factor) noexcept nogil:
    """out = exp(x - max(x)), scaled, and factor = 1 / sum(out), for each column."""
    if in_tile:
        exp_tile[floating](out, n, factor)          # x is out
    else:
        exp_other_columns[floating](x, step, out, out_step, columns, n, factor)


cdef void exp_tile(floating* tile, Py_ssize_t n, floating* factor) noexcept nogil:
    exp_each_column[floating](tile, ROWS_OF_TILE, tile, ROWS_OF_TILE, True, ROWS_OF_TILE, n,
                              factor)


cdef void exp_other_columns(const floating* x, Py_ssize_t step, floating* out,
                            Py_ssize_t out_step, Py_ssize_t columns, Py_ssize_t n,
                            floating* factor) noexcept nogil:
    exp_each_column[floating](x, step, out, out_step, False, columns, n, factor)


cdef inline void exp_each_column(const floating* x, Py_ssize_t step, floating* out,
                                 Py_ssize_t out_step, bint in_tile, Py_ssize_t columns,
                                 Py_ssize_t n, floating* factor) noexcept nogil:
    cdef floating column_max[COLUMNS]
    cdef double sum[COLUMNS]
    cdef Py_ssize_t c
    column_maxima[floating](x, step, in_tile, columns, n, column_max)
    column_sums[floating](exp_terms_across, x, step, column_max, 0, out, out_step, NULL,
                          in_tile, columns, n, sum)
    for c in range(columns):
        factor[c] = <floating> 1 / <floating> sum[c]


cdef inline void softmax_across(const floating* x, Py_ssize_t step, floating* out,
                                Py_ssize_t out_step, bint in_tile,
                                Py_ssize_t columns, Py_ssize_t n) noexcept nogil:
    cdef floating factor[COLUMNS]
    cdef Py_ssize_t j, c
    exp_columns[floating](x, step, out, out_step, in_tile, columns, n, factor)
    if floating is float and WIDE_LANES_FLOAT:
        for j in range(n):                      # by hand: in spans.h
            scaled_by_lanes(out + j * out_step, factor, True, out + j * out_step, columns)
        return
    for j in range(n):
        for c in range(columns):
            out[j * out_step + c] = out[j * out_step + c] * factor[c]


cdef inline void log_softmax_across(const floating* x, Py_ssize_t step, floating* out,
                                    Py_ssize_t out_step, bint in_tile,
                                    Py_ssize_t columns, Py_ssize_t n) noexcept nogil:
    cdef floating column_max[COLUMNS]
    cdef floating logarithm[COLUMNS]
    cdef double sum[COLUMNS]
    cdef Py_ssize_t j, c
    column_maxima[floating](x, step, in_tile, columns, n, column_max)
    logs_of_sums[floating](x, step, column_max, in_tile, columns, n, sum)
    for c in range(columns):
        logarithm[c] = <floating> sum[c]
    if floating is float and WIDE_LANES_FLOAT and columns % LANES:
        for j in range(n):                      # by hand: in spans.h
            log_softmax_by_lanes(x + j * step, column_max, logarithm, True, out + j * out_step,
                                 columns)
        return
    for j in range(n):
        for c in range(columns):
            out[j * out_step + c] = (x[j * step + c] - column_max[c]) - logarithm[c]


cdef inline void logsumexp_across(const floating* x, Py_ssize_t step, floating* out,
                                  Py_ssize_t out_step, bint in_tile,
                                  Py_ssize_t columns, Py_ssize_t n) noexcept nogil:
    cdef floating column_max[COLUMNS]
    cdef double sum[COLUMNS]
    cdef int32_t infinite = 0
    cdef Py_ssize_t c
    column_maxima[floating](x, step, in_tile, columns, n, column_max)
    logs_of_sums[floating](x, step, column_max, in_tile, columns, n, sum)
    for c in range(columns):
        out[c] = <floating> (column_max[c] + sum[c])
    for c in range(columns):
        infinite += absolute(column_max[c]) == INFINITY
    if infinite == 0:
        return
    for c in range(columns):                    # by hand: infinities are rare
        if absolute(column_max[c]) == INFINITY:
            out[c] = column_max[c] + nan_among[floating](x + c, step, n)


cdef inline floating nan_among(const floating* x, Py_ssize_t step, Py_ssize_t n) noexcept nogil:
    """NaN if x contains NaN, else 0."""
    cdef floating sum = 0
    cdef Py_ssize_t j
    for j in range(n):                          # by hand: seldom needed
        sum += x[j * step] if x[j * step] != x[j * step] else <floating> 0
    return sum


# -- gradients: out may be any input --------------------------------------------------------------

cdef inline void softmax_from_output_across(
        const floating* grad, Py_ssize_t grad_step, const floating* y, Py_ssize_t y_step,
        floating* out, Py_ssize_t out_step, bint in_tile, Py_ssize_t columns,
        Py_ssize_t n) noexcept nogil:
    """y (grad - grad . y)."""
    cdef double sum[COLUMNS]
    cdef floating mean[COLUMNS]
    cdef floating unused[COLUMNS]
    cdef Py_ssize_t j, c
    column_sums[floating](products_across, grad, grad_step, y, y_step, unused, 0, NULL, in_tile,
                          columns, n, sum)
    for c in range(columns):
        mean[c] = <floating> sum[c]
    for j in range(n):
        for c in range(columns):
            out[j * out_step + c] = (grad[j * grad_step + c] - mean[c]) * y[j * y_step + c]


cdef inline void softmax_backward_across(
        const floating* grad, Py_ssize_t grad_step, const floating* x, Py_ssize_t x_step,
        floating* out, Py_ssize_t out_step, bint in_tile, Py_ssize_t columns,
        Py_ssize_t n) noexcept nogil:
    softmax_across[floating](x, x_step, out, out_step, in_tile, columns, n)
    softmax_from_output_across[floating](grad, grad_step, out, out_step, out, out_step, in_tile,
                                         columns, n)


cdef inline void log_softmax_backward_across(
        const floating* grad, Py_ssize_t grad_step, const floating* x, Py_ssize_t x_step,
        floating* out, Py_ssize_t out_step, bint in_tile, Py_ssize_t columns,
        Py_ssize_t n) noexcept nogil:
    """grad - p sum(grad), where p is softmax(x)."""
    cdef floating factor[COLUMNS]
    cdef floating sum[COLUMNS]
    cdef Py_ssize_t j, c
    rounded_totals[floating](grad, grad_step, in_tile, columns, n, sum)
    exp_columns[floating](x, x_step, out, out_step, in_tile, columns, n, factor)
    if floating is float and WIDE_LANES_FLOAT:
        for j in range(n):                      # by hand: in spans.h
            log_softmax_slope_by_lanes(grad + j * grad_step, out + j * out_step, factor, sum,
                                       True, out + j * out_step, columns)
        return
    for j in range(n):
        for c in range(columns):
            out[j * out_step + c] = grad[j * grad_step + c] - product(
                sum[c], out[j * out_step + c] * factor[c])


cdef inline void log_softmax_from_output_across(
        const floating* grad, Py_ssize_t grad_step, const floating* y, Py_ssize_t y_step,
        floating* out, Py_ssize_t out_step, bint in_tile, Py_ssize_t columns,
        Py_ssize_t n) noexcept nogil:
    """grad - exp(y) sum(grad)."""
    cdef floating sum[COLUMNS]
    cdef Py_ssize_t j, c
    rounded_totals[floating](grad, grad_step, in_tile, columns, n, sum)
    if floating is float and LANES_FLOAT:
        for j in range(n):                      # by hand: in spans.h
            log_softmax_slope_from_output_by_lanes(grad + j * grad_step, y + j * y_step, sum,
                                                   True, out + j * out_step, columns)
        return
    for j in range(n):
        for c in range(columns):
            out[j * out_step + c] = grad[j * grad_step + c] - product(
                sum[c], exp_any[floating](y[j * y_step + c]))


cdef inline void logsumexp_backward_across(
        const floating* grad, Py_ssize_t grad_step, const floating* x, Py_ssize_t x_step,
        floating* out, Py_ssize_t out_step, bint in_tile, Py_ssize_t columns,
        Py_ssize_t n) noexcept nogil:
    """grad softmax(x), where grad is one number a column."""
    cdef floating factor[COLUMNS]
    cdef Py_ssize_t j, c
    exp_columns[floating](x, x_step, out, out_step, in_tile, columns, n, factor)
    if floating is float and WIDE_LANES_FLOAT:
        for j in range(n):                      # by hand: in spans.h
            logsumexp_slope_by_lanes(grad, out + j * out_step, factor, True, out + j * out_step,
                                     columns)
        return
    for j in range(n):
        for c in range(columns):
            out[j * out_step + c] = product(grad[c], out[j * out_step + c] * factor[c])


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


# -- the table's functions ------------------------------------------------------------------------

cdef void softmax_columns(floating** args, const Py_ssize_t* steps, Py_ssize_t columns,
                          Py_ssize_t n) noexcept nogil:
    softmax_across[floating](args[0], steps[0], args[1], steps[1], False, columns, n)


cdef void log_softmax_columns(floating** args, const Py_ssize_t* steps, Py_ssize_t columns,
                              Py_ssize_t n) noexcept nogil:
    log_softmax_across[floating](args[0], steps[0], args[1], steps[1], False, columns, n)


cdef void logsumexp_columns(floating** args, const Py_ssize_t* steps, Py_ssize_t columns,
                            Py_ssize_t n) noexcept nogil:
    logsumexp_across[floating](args[0], steps[0], args[1], steps[1], False, columns, n)


cdef void softmax_backward_columns(floating** args, const Py_ssize_t* steps, Py_ssize_t columns,
                                   Py_ssize_t n) noexcept nogil:
    softmax_backward_across[floating](args[0], steps[0], args[1], steps[1], args[2], steps[2],
                                      False, columns, n)


cdef void log_softmax_backward_columns(floating** args, const Py_ssize_t* steps,
                                       Py_ssize_t columns, Py_ssize_t n) noexcept nogil:
    log_softmax_backward_across[floating](args[0], steps[0], args[1], steps[1], args[2], steps[2],
                                          False, columns, n)


cdef void logsumexp_backward_columns(floating** args, const Py_ssize_t* steps,
                                     Py_ssize_t columns, Py_ssize_t n) noexcept nogil:
    logsumexp_backward_across[floating](args[0], steps[0], args[1], steps[1], args[2], steps[2],
                                        False, columns, n)


cdef void softmax_from_output_columns(floating** args, const Py_ssize_t* steps,
                                      Py_ssize_t columns, Py_ssize_t n) noexcept nogil:
    softmax_from_output_across[floating](args[0], steps[0], args[1], steps[1], args[2], steps[2],
                                         False, columns, n)


cdef void log_softmax_from_output_columns(floating** args, const Py_ssize_t* steps,
                                          Py_ssize_t columns, Py_ssize_t n) noexcept nogil:
    log_softmax_from_output_across[floating](args[0], steps[0], args[1], steps[1], args[2],
                                             steps[2], False, columns, n)
