# -- maxout: Goodfellow et al., 2013 --------------------------------------------------------------
# A row has few pieces, so loops run across rows or columns wherever possible.
from libc.stdint cimport uint32_t, uint64_t

cdef extern from "math/intrinsics.h" nogil:
    uint32_t bits_of_float(float x)
    uint64_t bits_of_double(double x)
    float float_of_bits(uint32_t bits)
    double double_of_bits(uint64_t bits)


cdef inline void keep_larger(floating x, int j, floating* best, int* index) noexcept nogil:
    """Update the maximum and its index by piece j. The first NaN counts as the maximum."""
    cdef floating larger = best[0] if x <= best[0] else x
    cdef int larger_index = index[0] if x <= best[0] else j
    index[0] = larger_index if best[0] == best[0] else index[0]
    best[0] = larger if best[0] == best[0] else best[0]


cdef inline void maxout_few(const floating* x, Py_ssize_t rows, Py_ssize_t n, floating* best,
                            int* which) noexcept nogil:
    """The first maximum of each row and its index, for rows without gaps and a constant n."""
    cdef Py_ssize_t i
    cdef int j, index
    cdef floating row_max
    for i in range(rows):
        row_max = x[i * n]
        index = 0
        for j in range(1, n):
            keep_larger[floating](x[i * n + j], j, &row_max, &index)
        best[i] = row_max
        which[i] = index


cdef void maxout_few_rows(const floating* x, Py_ssize_t rows, Py_ssize_t n, floating* best,
                          Py_ssize_t* which) noexcept nogil:
    cdef int index[COLUMNS]
    cdef Py_ssize_t tile, start, i, size
    for tile in range((rows + COLUMNS - 1) // COLUMNS):
        start = tile * COLUMNS
        size = min(<Py_ssize_t> COLUMNS, rows - start)
        if n == 2:
            maxout_few[floating](x + start * 2, size, 2, best + start, index)
        elif n == 3:
            maxout_few[floating](x + start * 3, size, 3, best + start, index)
        else:
            maxout_few[floating](x + start * 4, size, 4, best + start, index)
        for i in range(size):
            which[start + i] = index[i]


cdef void maxout_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                      Py_ssize_t n) noexcept nogil:
    """The first maximum of each row and its index."""
    cdef Py_ssize_t* which = <Py_ssize_t*> args[2]
    cdef const floating* x
    cdef Py_ssize_t i, j, index
    if 2 <= n <= 4 and (steps[0] == n) & (steps[1] == 1) & (steps[2] == 1):
        maxout_few_rows[floating](args[0], rows, n, args[1], which)
        return
    for i in range(rows):
        x = args[0] + i * steps[0]
        index = 0
        for j in range(1, n):                   # by hand: in order
            if x[index] == x[index] and not x[j] <= x[index]:
                index = j
        args[1][i * steps[1]] = x[index]
        which[i * steps[2]] = index


cdef void maxout_columns(floating** args, const Py_ssize_t* steps, Py_ssize_t columns,
                         Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef floating best[COLUMNS]
    cdef int which[COLUMNS]
    cdef Py_ssize_t c
    cdef int j, index
    cdef floating column_max
    memcpy(best, x, columns * sizeof(floating))
    memset(which, 0, columns * sizeof(int))
    for j in range(1, n):
        for c in range(columns):
            column_max = best[c]
            index = which[c]
            keep_larger[floating](x[j * steps[0] + c], j, &column_max, &index)
            best[c] = column_max
            which[c] = index
    memcpy(args[1], best, columns * sizeof(floating))
    for c in range(columns):
        (<Py_ssize_t*> args[2])[c] = which[c]


cdef void maxout_passes(floating** args, RowState* state, int number,
                        Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef floating best
    cdef Py_ssize_t j
    if number == 1:
        args[1][0] = <floating> state.max
        (<Py_ssize_t*> args[2])[0] = state.index
        return
    best = x[0] if state.start == 0 else <floating> state.max
    for j in range(n):                          # by hand: in order
        if best == best and not x[j] <= best:
            best = x[j]
            state.index = state.start + j
    state.max = best


ctypedef fused index_like:          # a floating index compares to a mask as wide as the elements
    int
    float
    double


cdef inline bint resolve(const Py_ssize_t* which, Py_ssize_t step, Py_ssize_t rows,
                         Py_ssize_t n, index_like* index) noexcept nogil:
    """Resolve negative indices, which count from the end; False if an index is out of bounds."""
    cdef Py_ssize_t i, resolved, signs = 0
    for i in range(rows):
        resolved = which[i * step]
        resolved = resolved + n if resolved < 0 else resolved
        signs |= resolved | (n - 1 - resolved)
        index[i] = <index_like> <int> resolved
    return signs >= 0


cdef inline bint resolve_rows(const Py_ssize_t* which, Py_ssize_t step, Py_ssize_t rows,
                              Py_ssize_t n, index_like* index) noexcept nogil:
    if step == 1:
        return resolve[index_like](which, 1, rows, n, index)
    return resolve[index_like](which, step, rows, n, index)


cdef inline floating only_if(bint condition, floating x) noexcept nogil:
    """x if the condition holds, else 0. By bits, as compilers branch on exclusive conditions."""
    if floating is float:
        return float_of_bits(bits_of_float(x) & -<uint32_t> condition)
    else:
        return double_of_bits(bits_of_double(x) & -<uint64_t> condition)


cdef inline void maxout_backward_few(const floating* grad, const floating* index, Py_ssize_t rows,
                                     Py_ssize_t n, floating* out) noexcept nogil:
    cdef Py_ssize_t i
    cdef int j
    cdef floating g, chosen
    for i in range(rows):                       # GCC 14 turns two lanes into scalars
        g = grad[i]
        chosen = index[i]
        for j in range(n):                      # by hand in baseline
            out[i * n + j] = only_if(chosen == <floating> j, g)


cdef bint maxout_backward_few_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                   Py_ssize_t n) noexcept nogil:
    cdef floating index[COLUMNS]
    if not resolve_rows[floating](<const Py_ssize_t*> args[1], steps[1], rows, n, index):
        return False
    if n == 2:
        maxout_backward_few[floating](args[0], index, rows, 2, args[2])
    elif n == 3:
        maxout_backward_few[floating](args[0], index, rows, 3, args[2])
    else:
        maxout_backward_few[floating](args[0], index, rows, 4, args[2])
    return True


cdef bint maxout_backward_any_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                                   Py_ssize_t n) noexcept nogil:
    cdef int index[COLUMNS]
    cdef floating* out
    cdef Py_ssize_t i
    if not resolve_rows[int](<const Py_ssize_t*> args[1], steps[1], rows, n, index):
        return False
    for i in range(rows):                       # by hand: memset
        out = args[2] + i * steps[2]
        memset(out, 0, n * sizeof(floating))
        out[index[i]] = args[0][i * steps[0]]
    return True


cdef void maxout_backward_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                               Py_ssize_t n) noexcept nogil:
    cdef floating* spans[3]
    cdef bint valid, few = (2 <= n <= 4) & (steps[0] == 1) & (steps[2] == n)
    cdef Py_ssize_t tile, start, size
    for tile in range((rows + COLUMNS - 1) // COLUMNS):         # by hand: a loop over tiles
        start = tile * COLUMNS
        size = min(<Py_ssize_t> COLUMNS, rows - start)
        spans[0], spans[2] = args[0] + start * steps[0], args[2] + start * steps[2]
        spans[1] = <floating*> (<Py_ssize_t*> args[1] + start * steps[1])
        if few:
            valid = maxout_backward_few_rows[floating](spans, steps, size, n)
        else:
            valid = maxout_backward_any_rows[floating](spans, steps, size, n)
        if not valid:
            (<bint*> args[3])[0] = True
            return


cdef void maxout_backward_columns(floating** args, const Py_ssize_t* steps, Py_ssize_t columns,
                                  Py_ssize_t n) noexcept nogil:
    cdef const floating* grad = args[0]
    cdef floating* out = args[2]
    cdef int index[COLUMNS]
    cdef Py_ssize_t c
    cdef int j
    if not resolve[int](<const Py_ssize_t*> args[1], 1, columns, n, index):
        (<bint*> args[3])[0] = True
        return
    for j in range(n):
        for c in range(columns):
            out[j * steps[2] + c] = only_if(index[c] == j, grad[c])


cdef void maxout_backward_passes(floating** args, RowState* state, int number,
                                 Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t index = (<const Py_ssize_t*> args[1])[0]
    if number == 0:
        index = index + state.n if index < 0 else index
        state.bad_index = index < 0 or index >= state.n
        memset(args[2], 0, n * sizeof(floating))
        if state.start <= index < state.start + n:
            args[2][index - state.start] = args[0][0]
