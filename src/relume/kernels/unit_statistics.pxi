# Statistics of units for diagnostics, that is, of the columns of a matrix of rows. Sums are taken
# about the first row, so that rounding does not lose a std that is small relative to the mean.

cdef void column_statistics(const floating* x, Py_ssize_t rows, Py_ssize_t n, bint whole,
                            double low, double high, double* totals) noexcept nogil:
    """Add the statistics of the rows to the N_STATISTICS vectors of totals, tile by tile."""
    cdef Py_ssize_t first, width
    for first in range((n + COLUMN_TILE - 1) // COLUMN_TILE):       # by hand: a loop over tiles
        width = min(<Py_ssize_t> COLUMN_TILE, n - first * COLUMN_TILE)
        tile_statistics[floating](x + first * COLUMN_TILE, rows, n, width, whole, <floating> low,
                                  <floating> high, totals + first * COLUMN_TILE)


cdef inline void tile_statistics(const floating* x, Py_ssize_t rows, Py_ssize_t n,
                                 Py_ssize_t width, bint whole, floating low, floating high,
                                 double* totals) noexcept nogil:
    """A loop over rows for each case, so that no loop has a branch in it."""
    cdef floating part[N_STATISTICS * COLUMN_TILE]
    cdef Py_ssize_t i
    begin_statistics[floating](x, width, part)
    if not whole and width == COLUMN_TILE:
        for i in range(rows):                                       # by hand: a loop over rows
            add_row_to_statistics[floating](x + i * n, x, COLUMN_TILE, False, low, high, part)
    elif not whole:
        for i in range(rows):                                       # by hand: a loop over rows
            add_row_to_statistics[floating](x + i * n, x, width, False, low, high, part)
    elif width == COLUMN_TILE:
        for i in range(rows):                                       # by hand: a loop over rows
            add_row_to_statistics[floating](x + i * n, x, COLUMN_TILE, True, low, high, part)
    else:
        for i in range(rows):                                       # by hand: a loop over rows
            add_row_to_statistics[floating](x + i * n, x, width, True, low, high, part)
    add_statistics[floating](x, part, rows, width, n, whole, totals)


cdef inline void begin_statistics(const floating* x, Py_ssize_t width,
                                  floating* part) noexcept nogil:
    memset(part, 0, N_STATISTICS * COLUMN_TILE * sizeof(floating))
    memcpy(part + MINIMUM * COLUMN_TILE, x, width * sizeof(floating))
    memcpy(part + MAXIMUM * COLUMN_TILE, x, width * sizeof(floating))


cdef inline void add_row_to_statistics(const floating* x, const floating* about, Py_ssize_t width,
                                       bint whole, floating low, floating high,
                                       floating* part) noexcept nogil:
    cdef floating value, shifted, outside
    cdef Py_ssize_t j
    for j in range(width):
        value = x[j]
        shifted = value - about[j]
        part[j] += <floating> (value != 0)
        part[SUM * COLUMN_TILE + j] += shifted
        part[SQUARES * COLUMN_TILE + j] += shifted * shifted
        if whole:
            outside = 1 if value <= low else 0
            outside = 1 if value >= high else outside
            part[CLIPPED * COLUMN_TILE + j] += outside
            part[MINIMUM * COLUMN_TILE + j] = min(part[MINIMUM * COLUMN_TILE + j], value)
            part[MAXIMUM * COLUMN_TILE + j] = max(part[MAXIMUM * COLUMN_TILE + j], value)


cdef inline void add_statistics(const floating* about, const floating* part, Py_ssize_t rows,
                                Py_ssize_t width, Py_ssize_t n, bint whole,
                                double* totals) noexcept nogil:
    cdef double shift, sum, squares, difference
    cdef Py_ssize_t i, j
    for j in range(width):        # by hand: once per part, in double
        shift, sum = about[j], part[SUM * COLUMN_TILE + j]
        squares = part[SQUARES * COLUMN_TILE + j]
        if part[j] > 0 and not holds[floating](part[SQUARES * COLUMN_TILE + j]):
            sum = squares = 0     # the squares may have overflowed, or underflowed to 0
            for i in range(rows):                                   # by hand: rare
                difference = <double> about[i * n + j] - shift
                sum += difference
                squares += difference * difference
        totals[ACTIVE * n + j] += part[j]
        totals[SUM * n + j] += sum + rows * shift
        totals[SQUARES * n + j] += squares + shift * (2 * sum + rows * shift)
        if not whole:
            continue
        totals[CLIPPED * n + j] += part[CLIPPED * COLUMN_TILE + j]
        totals[MINIMUM * n + j] = min(totals[MINIMUM * n + j],
                                      <double> part[MINIMUM * COLUMN_TILE + j])
        totals[MAXIMUM * n + j] = max(totals[MAXIMUM * n + j],
                                      <double> part[MAXIMUM * COLUMN_TILE + j])
