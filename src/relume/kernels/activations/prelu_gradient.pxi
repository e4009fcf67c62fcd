# prelu's two gradients in one pass: with respect to x, and with respect to a weight that is shared
# along an axis. The latter is summed in the same order as all sums (rows.pxi, columns.pxi).

cdef inline void prelu_gradients(const floating* grad, const floating* x, floating weight,
                                 floating* out, Py_ssize_t n, double* sum,
                                 double* error) noexcept nogil:
    cdef floating terms[SHORT]
    cdef Py_ssize_t block, start, size, j
    for block in range((n + SHORT - 1) // SHORT):
        start, size = block * SHORT, min(<Py_ssize_t> SHORT, n - block * SHORT)
        # The terms come first because out may be grad. There are two loops because GCC 14 turns
        # the selections of a single loop into branches.
        for j in range(size):
            terms[j] = prelu_weight_gradient[floating](grad[start + j], x[start + j])
        for j in range(size):
            out[start + j] = leaky_relu_backward[floating](grad[start + j], x[start + j], weight)
        add_exactly(sum, error, sum_of[floating](terms, size))


cdef void prelu_backward_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                              Py_ssize_t n) noexcept nogil:
    cdef double sum, error
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        sum = error = 0
        prelu_gradients[floating](
            args[0] + i * steps[0], args[1] + i * steps[1], args[2][i * steps[2]],
            args[3] + i * steps[3], n, &sum, &error)
        args[4][i * steps[4]] = <floating> corrected(sum, error)


cdef void prelu_backward_passes(floating** args, RowState* state, int number,
                                Py_ssize_t n) noexcept nogil:
    if number == 0:
        prelu_gradients[floating](args[0], args[1], args[2][0], args[3], n, &state.total,
                                  &state.total_error)
    else:
        args[4][0] = <floating> corrected(state.total, state.total_error)


cdef void prelu_backward_columns(floating** args, const Py_ssize_t* steps, Py_ssize_t columns,
                                 Py_ssize_t n) noexcept nogil:
    cdef double sum[COLUMNS]
    cdef double error[COLUMNS]
    cdef floating lanes[LANES * COLUMNS]
    cdef floating weight[COLUMNS]
    cdef const floating* grad
    cdef const floating* x
    cdef floating* out
    cdef floating* lane
    cdef Py_ssize_t block, size, used, j, c
    memset(sum, 0, columns * sizeof(double))
    memset(error, 0, columns * sizeof(double))
    memcpy(weight, args[2], columns * sizeof(floating))
    for block in range((n + SHORT - 1) // SHORT):
        size = min(<Py_ssize_t> SHORT, n - block * SHORT)
        used = min(<Py_ssize_t> LANES, size)
        memset(lanes, 0, used * columns * sizeof(floating))
        for j in range(block * SHORT, block * SHORT + size):
            lane = lanes + j % LANES * columns
            grad, x, out = args[0] + j * steps[0], args[1] + j * steps[1], args[3] + j * steps[3]
            for c in range(columns):
                lane[c] += prelu_weight_gradient[floating](grad[c], x[c])
            for c in range(columns):
                out[c] = leaky_relu_backward[floating](grad[c], x[c], weight[c])
        add_lanes[floating](lanes, columns, False, columns, used, sum, error)
    correct(sum, error, columns)
    for c in range(columns):
        args[4][c] = <floating> sum[c]
