# What diagnostics count of each unit: figures of the columns of a matrix of rows. Sums are taken
# about the first row, so that a deviation that is small beside the mean is not lost in rounding.

cdef void column_figures(const floating* x, Py_ssize_t rows, Py_ssize_t n, bint whole, double low,
                         double high, double* totals) noexcept nogil:
    """Add to the N_FIGURES vectors of totals what the rows hold; a tile of columns at a time."""
    cdef Py_ssize_t first, width
    for first in range((n + FIGURE_TILE - 1) // FIGURE_TILE):       # by hand: a loop over tiles
        width = min(<Py_ssize_t> FIGURE_TILE, n - first * FIGURE_TILE)
        tile_figures[floating](x + first * FIGURE_TILE, rows, n, width, whole, <floating> low,
                               <floating> high, totals + first * FIGURE_TILE)


cdef inline void tile_figures(const floating* x, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t width,
                              bint whole, floating low, floating high,
                              double* totals) noexcept nogil:
    """A loop over rows for each case, so that none is decided in it."""
    cdef floating part[N_FIGURES * FIGURE_TILE]
    cdef Py_ssize_t i
    begin_figures[floating](x, width, part)
    if not whole and width == FIGURE_TILE:
        for i in range(rows):                                       # by hand: a loop over rows
            add_row_to_figures[floating](x + i * n, x, FIGURE_TILE, False, low, high, part)
    elif not whole:
        for i in range(rows):                                       # by hand: a loop over rows
            add_row_to_figures[floating](x + i * n, x, width, False, low, high, part)
    elif width == FIGURE_TILE:
        for i in range(rows):                                       # by hand: a loop over rows
            add_row_to_figures[floating](x + i * n, x, FIGURE_TILE, True, low, high, part)
    else:
        for i in range(rows):                                       # by hand: a loop over rows
            add_row_to_figures[floating](x + i * n, x, width, True, low, high, part)
    add_figures[floating](x, part, rows, width, n, whole, totals)


cdef inline void begin_figures(const floating* x, Py_ssize_t width,
                               floating* part) noexcept nogil:
    memset(part, 0, N_FIGURES * FIGURE_TILE * sizeof(floating))
    memcpy(part + LEAST * FIGURE_TILE, x, width * sizeof(floating))
    memcpy(part + MOST * FIGURE_TILE, x, width * sizeof(floating))


cdef inline void add_row_to_figures(const floating* x, const floating* about, Py_ssize_t width,
                                    bint whole, floating low, floating high,
                                    floating* part) noexcept nogil:
    cdef floating value, shifted, outside
    cdef Py_ssize_t j
    for j in range(width):
        value = x[j]
        shifted = value - about[j]
        part[j] += <floating> (value != 0)
        part[SUM * FIGURE_TILE + j] += shifted
        part[SQUARES * FIGURE_TILE + j] += shifted * shifted
        if whole:
            outside = 1 if value <= low else 0
            outside = 1 if value >= high else outside
            part[CLIPPED * FIGURE_TILE + j] += outside
            part[LEAST * FIGURE_TILE + j] = min(part[LEAST * FIGURE_TILE + j], value)
            part[MOST * FIGURE_TILE + j] = max(part[MOST * FIGURE_TILE + j], value)


cdef inline void add_figures(const floating* about, const floating* part, Py_ssize_t rows,
                             Py_ssize_t width, Py_ssize_t n, bint whole,
                             double* totals) noexcept nogil:
    cdef double shift, sum
    cdef Py_ssize_t j
    for j in range(width):        # by hand: once a part, in double
        shift, sum = about[j], part[SUM * FIGURE_TILE + j]
        totals[ACTIVE * n + j] += part[j]
        totals[SUM * n + j] += sum + rows * shift
        totals[SQUARES * n + j] += (part[SQUARES * FIGURE_TILE + j]
                                    + shift * (2 * sum + rows * shift))
        if not whole:
            continue
        totals[CLIPPED * n + j] += part[CLIPPED * FIGURE_TILE + j]
        totals[LEAST * n + j] = min(totals[LEAST * n + j], <double> part[LEAST * FIGURE_TILE + j])
        totals[MOST * n + j] = max(totals[MOST * n + j], <double> part[MOST * FIGURE_TILE + j])
