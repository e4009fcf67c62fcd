# -- maxout: Goodfellow et al., 2013 --------------------------------------------------------------
# The pieces are few, so loops run across the rows or columns wherever they can.

cdef inline bint is_larger(floating x, floating best) noexcept nogil:
    """Whether x comes to be the largest; NaN counts as the largest, the first one among several."""
    return ((x <= best) == 0) & (best == best)


cdef inline void maxout_few(const floating* x, Py_ssize_t rows, Py_ssize_t n, floating* best,
                            int* which) noexcept nogil:
    """The first maximum of each row and its index, for rows without gaps and a constant n."""
    cdef Py_ssize_t i
    cdef int j, place
    cdef floating most
    for i in range(rows):
        most = x[i * n]
        place = 0
        for j in range(1, n):
            place = j if is_larger[floating](x[i * n + j], most) else place
            most = x[i * n + j] if is_larger[floating](x[i * n + j], most) else most
        best[i] = most
        which[i] = place


cdef void maxout_few_rows(const floating* x, Py_ssize_t rows, Py_ssize_t n, floating* best,
                          Py_ssize_t* which) noexcept nogil:
    cdef int place[COLUMNS]
    cdef Py_ssize_t tile, start, i, size
    for tile in range((rows + COLUMNS - 1) // COLUMNS):
        start = tile * COLUMNS
        size = min(<Py_ssize_t> COLUMNS, rows - start)
        if n == 2:
            maxout_few[floating](x + start * 2, size, 2, best + start, place)
        elif n == 3:
            maxout_few[floating](x + start * 3, size, 3, best + start, place)
        else:
            maxout_few[floating](x + start * 4, size, 4, best + start, place)
        for i in range(size):
            which[start + i] = place[i]


cdef void maxout_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                      Py_ssize_t n) noexcept nogil:
    """The first maximum of each row and its index."""
    cdef Py_ssize_t* which = <Py_ssize_t*> args[2]
    cdef const floating* x
    cdef Py_ssize_t i, j, place
    if 2 <= n <= 4 and (steps[0] == n) & (steps[1] == 1) & (steps[2] == 1):
        maxout_few_rows[floating](args[0], rows, n, args[1], which)
        return
    for i in range(rows):
        x = args[0] + i * steps[0]
        place = 0
        for j in range(1, n):                   # by hand: in order
            if is_larger[floating](x[j], x[place]):
                place = j
        args[1][i * steps[1]] = x[place]
        which[i * steps[2]] = place


cdef void maxout_columns(floating** args, const Py_ssize_t* steps, Py_ssize_t columns,
                         Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef floating best[COLUMNS]
    cdef int which[COLUMNS]
    cdef Py_ssize_t c
    cdef int j
    cdef bint larger
    memcpy(best, x, columns * sizeof(floating))
    memset(which, 0, columns * sizeof(int))
    for j in range(1, n):
        for c in range(columns):
            larger = is_larger[floating](x[j * steps[0] + c], best[c])
            best[c] = x[j * steps[0] + c] if larger else best[c]
            which[c] = j if larger else which[c]
    memcpy(args[1], best, columns * sizeof(floating))
    for c in range(columns):
        (<Py_ssize_t*> args[2])[c] = which[c]


cdef inline bint place_of(Py_ssize_t which, Py_ssize_t n, Py_ssize_t* place) noexcept nogil:
    """Which piece an index means, counted from the end if it is negative; False if it is none."""
    place[0] = which + n if which < 0 else which
    return (place[0] >= 0) & (place[0] < n)


cdef void maxout_backward_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                               Py_ssize_t n) noexcept nogil:
    cdef const Py_ssize_t* which = <const Py_ssize_t*> args[1]
    cdef floating* out
    cdef Py_ssize_t i, j, place
    for i in range(rows):
        out = args[2] + i * steps[2]
        if not place_of(which[i * steps[1]], n, &place):
            (<bint*> args[3])[0] = True
            return
        for j in range(n):
            out[j] = 0
        out[place] = args[0][i * steps[0]]


cdef void maxout_backward_columns(floating** args, const Py_ssize_t* steps, Py_ssize_t columns,
                                  Py_ssize_t n) noexcept nogil:
    cdef const Py_ssize_t* which = <const Py_ssize_t*> args[1]
    cdef const floating* grad = args[0]
    cdef floating* out = args[2]
    cdef int piece[COLUMNS]
    cdef Py_ssize_t c, place
    cdef int j
    cdef bint good = True
    for c in range(columns):
        good &= place_of(which[c], n, &place)
        piece[c] = <int> place
    if not good:
        (<bint*> args[3])[0] = True
        return
    for j in range(n):
        for c in range(columns):
            out[j * steps[2] + c] = grad[c] if piece[c] == j else <floating> 0
