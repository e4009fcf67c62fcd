# -- maxout: Goodfellow et al., 2013 --------------------------------------------------------------
# The pieces are few, so loops run across the rows or columns wherever they can.
from libc.stdint cimport uint32_t, uint64_t

cdef extern from "math/intrinsics.h" nogil:
    uint32_t bits_of_float(float x)
    uint64_t bits_of_double(double x)
    float float_of_bits(uint32_t bits)
    double double_of_bits(uint64_t bits)


cdef inline void keep_larger(floating x, int j, floating* most, int* which) noexcept nogil:
    """Let piece j be the largest if it is; NaN counts as the largest, the first among several."""
    cdef floating larger = most[0] if x <= most[0] else x
    cdef int index = which[0] if x <= most[0] else j
    which[0] = index if most[0] == most[0] else which[0]
    most[0] = larger if most[0] == most[0] else most[0]


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
            keep_larger[floating](x[i * n + j], j, &most, &place)
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
            if x[place] == x[place] and not x[j] <= x[place]:
                place = j
        args[1][i * steps[1]] = x[place]
        which[i * steps[2]] = place


cdef void maxout_columns(floating** args, const Py_ssize_t* steps, Py_ssize_t columns,
                         Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef floating best[COLUMNS]
    cdef int which[COLUMNS]
    cdef Py_ssize_t c
    cdef int j, place
    cdef floating most
    memcpy(best, x, columns * sizeof(floating))
    memset(which, 0, columns * sizeof(int))
    for j in range(1, n):
        for c in range(columns):
            most = best[c]
            place = which[c]
            keep_larger[floating](x[j * steps[0] + c], j, &most, &place)
            best[c] = most
            which[c] = place
    memcpy(args[1], best, columns * sizeof(floating))
    for c in range(columns):
        (<Py_ssize_t*> args[2])[c] = which[c]


ctypedef fused index_like:          # a floating one is compared in a mask as wide as the elements
    int
    float
    double


cdef inline bint find_places(const Py_ssize_t* which, Py_ssize_t step, Py_ssize_t rows,
                             Py_ssize_t n, index_like* place) noexcept nogil:
    """The pieces that indices mean, from the end if negative; False if one of them is none."""
    cdef Py_ssize_t i, index, signs = 0
    for i in range(rows):
        index = which[i * step]
        index = index + n if index < 0 else index
        signs |= index | (n - 1 - index)
        place[i] = <index_like> <int> index
    return signs >= 0


cdef inline bint find_places_of_rows(const Py_ssize_t* which, Py_ssize_t step, Py_ssize_t rows,
                                     Py_ssize_t n, index_like* place) noexcept nogil:
    if step == 1:
        return find_places[index_like](which, 1, rows, n, place)
    return find_places[index_like](which, step, rows, n, place)


cdef inline floating only_if(bint condition, floating x) noexcept nogil:
    """x, or else 0: by bits, since choices that exclude each other become branches."""
    if floating is float:
        return float_of_bits(bits_of_float(x) & -<uint32_t> condition)
    else:
        return double_of_bits(bits_of_double(x) & -<uint64_t> condition)


cdef inline void maxout_backward_few(const floating* grad, const floating* place, Py_ssize_t rows,
                                     Py_ssize_t n, floating* out) noexcept nogil:
    cdef Py_ssize_t i
    cdef int j
    cdef floating g, chosen
    for i in range(rows):                       # of two lanes GCC 14 makes scalars
        g = grad[i]
        chosen = place[i]
        for j in range(n):                      # by hand in baseline
            out[i * n + j] = only_if(chosen == <floating> j, g)


cdef bint maxout_backward_few_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                   Py_ssize_t n) noexcept nogil:
    cdef floating place[COLUMNS]
    if not find_places_of_rows[floating](<const Py_ssize_t*> args[1], steps[1], rows, n, place):
        return False
    if n == 2:
        maxout_backward_few[floating](args[0], place, rows, 2, args[2])
    elif n == 3:
        maxout_backward_few[floating](args[0], place, rows, 3, args[2])
    else:
        maxout_backward_few[floating](args[0], place, rows, 4, args[2])
    return True


cdef bint maxout_backward_any_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                   Py_ssize_t n) noexcept nogil:
    cdef int place[COLUMNS]
    cdef floating* out
    cdef Py_ssize_t i
    if not find_places_of_rows[int](<const Py_ssize_t*> args[1], steps[1], rows, n, place):
        return False
    for i in range(rows):                       # by hand: memset
        out = args[2] + i * steps[2]
        memset(out, 0, n * sizeof(floating))
        out[place[i]] = args[0][i * steps[0]]
    return True


cdef void maxout_backward_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                               Py_ssize_t n) noexcept nogil:
    cdef floating* spans[3]
    cdef bint found, few = (2 <= n <= 4) & (steps[0] == 1) & (steps[2] == n)
    cdef Py_ssize_t tile, start, size
    for tile in range((rows + COLUMNS - 1) // COLUMNS):         # by hand: a loop over tiles
        start = tile * COLUMNS
        size = min(<Py_ssize_t> COLUMNS, rows - start)
        spans[0], spans[2] = args[0] + start * steps[0], args[2] + start * steps[2]
        spans[1] = <floating*> (<Py_ssize_t*> args[1] + start * steps[1])
        if few:
            found = maxout_backward_few_rows[floating](spans, steps, size, n)
        else:
            found = maxout_backward_any_rows[floating](spans, steps, size, n)
        if not found:
            (<bint*> args[3])[0] = True
            return


cdef void maxout_backward_columns(floating** args, const Py_ssize_t* steps, Py_ssize_t columns,
                                  Py_ssize_t n) noexcept nogil:
    cdef const floating* grad = args[0]
    cdef floating* out = args[2]
    cdef int place[COLUMNS]
    cdef Py_ssize_t c
    cdef int j
    if not find_places[int](<const Py_ssize_t*> args[1], 1, columns, n, place):
        (<bint*> args[3])[0] = True
        return
    for j in range(n):
        for c in range(columns):
            out[j * steps[2] + c] = only_if(place[c] == j, grad[c])
