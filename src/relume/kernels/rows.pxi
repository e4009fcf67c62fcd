# Reductions and matrices of rows: gathering a minibatch, column sums, softmax. A reduction runs
# over LANES accumulators, combined in a fixed order: vectorized without reordering anything, and
# the same bits on every instruction set.

cdef enum:
    LANES = 16


cdef inline floating reduce(floating (*step)(floating, floating) noexcept nogil, floating start,
                            const floating* x, Py_ssize_t n) noexcept nogil:
    """step(... step(start, x[0]) ..., x[n - 1]), lane by lane, then the lanes pairwise."""
    cdef floating lane[LANES]
    cdef floating tail[LANES]
    cdef Py_ssize_t i, k, whole = n // LANES * LANES
    for k in range(LANES):
        lane[k] = start
        tail[k] = start
    for i in range(n // LANES):
        for k in range(LANES):
            lane[k] = step(lane[k], x[i * LANES + k])
    memcpy(tail, x + whole, (n - whole) * sizeof(floating))
    for k in range(LANES):
        lane[k] = step(lane[k], tail[k])
    for k in range(8):
        lane[k] = step(lane[k], lane[k + 8])
    for k in range(4):
        lane[k] = step(lane[k], lane[k + 4])
    return step(step(lane[0], lane[2]), step(lane[1], lane[3]))


cdef inline floating add(floating sum, floating x) noexcept nogil:
    return sum + x

cdef inline floating add_nonfinite(floating sum, floating x) noexcept nogil:
    return sum + (x - x)                # 0, but NaN for ever after an infinity or a NaN

cdef inline floating maximum(floating most, floating x) noexcept nogil:
    return x if x > most else most      # passes over NaN, which the exponentials then meet


cdef double total(const floating* x, Py_ssize_t n) noexcept nogil:
    return reduce[floating](add, 0, x, n)


cdef bint all_finite(const floating* x, Py_ssize_t n) noexcept nogil:
    return reduce[floating](add_nonfinite, 0, x, n) == 0


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


cdef inline floating exp_shifted(const floating* z, Py_ssize_t n, floating* out,
                                 floating* most) noexcept nogil:
    """out = exp(z - max(z)), its sum returned: the stable half of softmax and of its logarithm.

    An infinite maximum would give inf - inf; the NaN that it leaves is what the row is worth.
    """
    cdef Py_ssize_t j
    cdef floating low
    cdef floating shift = reduce[floating](maximum, -INFINITY, z, n)
    for j in range(n):
        out[j] = exp_negative[floating](z[j] - shift, &low)
    most[0] = shift
    return reduce[floating](add, 0, out, n)


cdef void softmax(const floating* z, Py_ssize_t rows, Py_ssize_t n, floating* out) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef floating scale, most
    for i in range(rows):
        scale = <floating> 1 / exp_shifted[floating](z + i * n, n, out + i * n, &most)
        for j in range(n):
            out[i * n + j] = out[i * n + j] * scale
