# The functions of rows.pxi for a row that comes in chunks, in two to four passes (RowState in
# table.pxd). Exponentials are computed again in each pass instead of being kept. The operations
# and their order are those of rows.pxi, so the bits are the same.


cdef inline void pass_over_maxima(const floating* x, RowState* state, Py_ssize_t n) noexcept nogil:
    cdef floating chunk_max = maximum_of[floating](x, n)
    state.max = chunk_max if chunk_max > state.max else state.max


cdef void pass_over_exps(const floating* x, RowState* state, int number,
                         Py_ssize_t n) noexcept nogil:
    """Pass 0 finds the maximum, pass 1 the scaled sum of exp(x - maximum)."""
    cdef floating terms[SHORT]
    cdef Py_ssize_t block, start, size
    if number == 0:
        pass_over_maxima[floating](x, state, n)
        return
    for block in range((n + SHORT - 1) // SHORT):       # by hand: a loop over blocks
        start, size = block * SHORT, min(<Py_ssize_t> SHORT, n - block * SHORT)
        add_exactly(&state.sum, &state.sum_error, sum_of_exp_terms[floating](
            x + start, <floating> state.max, terms, size))


cdef void pass_over_others(const floating* x, RowState* state, int number,
                           Py_ssize_t n) noexcept nogil:
    """The same, but pass 1 counts the terms that are 1 and adds up the others."""
    cdef floating terms[SHORT]
    cdef Py_ssize_t block, start, size
    if number == 0:
        pass_over_maxima[floating](x, state, n)
        return
    for block in range((n + SHORT - 1) // SHORT):       # by hand: a loop over blocks
        start, size = block * SHORT, min(<Py_ssize_t> SHORT, n - block * SHORT)
        accurate_exp_terms[floating](x + start, <floating> state.max, terms, size)
        add_other_terms[floating](terms, size, &state.ones, &state.sum, &state.sum_error)


cdef inline double log_of_state(floating like, const RowState* state) noexcept nogil:
    return log_of_terms(like, state.ones, corrected(state.sum, state.sum_error))


cdef void probabilities(const floating* x, const RowState* state, floating* out,
                        Py_ssize_t n) noexcept nogil:
    """softmax(x)."""
    cdef floating factor = (
        <floating> 1 / <floating> corrected(state.sum, state.sum_error))
    cdef Py_ssize_t j
    exp_terms[floating](x, <floating> state.max, out, n)
    for j in range(n):
        out[j] = out[j] * factor


cdef void pass_over_products(const floating* grad, const floating* y, RowState* state,
                             Py_ssize_t n) noexcept nogil:
    """The sum of grad * y."""
    cdef Py_ssize_t block, start
    for block in range((n + SHORT - 1) // SHORT):       # by hand: a loop over blocks
        start = block * SHORT
        add_exactly(&state.total, &state.total_error, sum_of_products[floating](
            grad + start, y + start, min(<Py_ssize_t> SHORT, n - start)))


cdef void pass_over_gradient(const floating* grad, RowState* state,
                             Py_ssize_t n) noexcept nogil:
    """The sum of grad."""
    cdef Py_ssize_t block, start
    for block in range((n + SHORT - 1) // SHORT):       # by hand: a loop over blocks
        start = block * SHORT
        add_exactly(&state.total, &state.total_error, short_total[floating](
            grad + start, min(<Py_ssize_t> SHORT, n - start)))


cdef void softmax_passes(floating** args, RowState* state, int number,
                         Py_ssize_t n) noexcept nogil:
    if number < 2:
        pass_over_exps[floating](args[0], state, number, n)
    elif number == 2:
        probabilities[floating](args[0], state, args[1], n)


cdef void log_softmax_passes(floating** args, RowState* state, int number,
                             Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef floating* out = args[1]
    cdef floating row_max = <floating> state.max, logarithm
    cdef Py_ssize_t j
    if number < 2:
        pass_over_others[floating](x, state, number, n)
    elif number == 2:
        logarithm = <floating> log_of_state(row_max, state)
        for j in range(n):
            out[j] = (x[j] - row_max) - logarithm


cdef void logsumexp_passes(floating** args, RowState* state, int number,
                           Py_ssize_t n) noexcept nogil:
    cdef floating row_max = <floating> state.max
    if number == 0:                     # if the maximum is infinite, only NaN matters beside it
        state.total += nan_among[floating](args[0], 1, n)
    if number < 2:
        pass_over_others[floating](args[0], state, number, n)
    elif absolute(row_max) == INFINITY:
        args[1][0] = <floating> (state.max + state.total)
    else:
        args[1][0] = <floating> (state.max + log_of_state(row_max, state))


cdef void softmax_backward_passes(floating** args, RowState* state, int number,
                                  Py_ssize_t n) noexcept nogil:
    cdef floating y[SHORT]
    cdef const floating* grad
    cdef floating* out
    cdef floating mean
    cdef Py_ssize_t block, start, size, j
    if number < 2:
        pass_over_exps[floating](args[1], state, number, n)
        return
    mean = <floating> corrected(state.total, state.total_error)
    for block in range((n + SHORT - 1) // SHORT):
        start, size = block * SHORT, min(<Py_ssize_t> SHORT, n - block * SHORT)
        grad, out = args[0] + start, args[2] + start
        probabilities[floating](args[1] + start, state, y, size)
        if number == 2:
            pass_over_products[floating](grad, y, state, size)
        else:
            for j in range(size):
                out[j] = (grad[j] - mean) * y[j]


cdef void log_softmax_backward_passes(floating** args, RowState* state, int number,
                                      Py_ssize_t n) noexcept nogil:
    cdef floating y[SHORT]
    cdef const floating* grad
    cdef floating* out
    cdef floating sum
    cdef Py_ssize_t block, start, size, j
    if number == 0:
        pass_over_gradient[floating](args[0], state, n)
    if number < 2:
        pass_over_exps[floating](args[1], state, number, n)
        return
    sum = <floating> corrected(state.total, state.total_error)
    for block in range((n + SHORT - 1) // SHORT):
        start, size = block * SHORT, min(<Py_ssize_t> SHORT, n - block * SHORT)
        grad, out = args[0] + start, args[2] + start
        probabilities[floating](args[1] + start, state, y, size)
        for j in range(size):
            out[j] = grad[j] - product(sum, y[j])


cdef void logsumexp_backward_passes(floating** args, RowState* state, int number,
                                    Py_ssize_t n) noexcept nogil:
    cdef floating* out = args[2]
    cdef floating grad = args[0][0]
    cdef Py_ssize_t j
    if number < 2:
        pass_over_exps[floating](args[1], state, number, n)
    elif number == 2:
        probabilities[floating](args[1], state, out, n)
        for j in range(n):
            out[j] = product(grad, out[j])


cdef void softmax_from_output_passes(floating** args, RowState* state, int number,
                                     Py_ssize_t n) noexcept nogil:
    cdef const floating* grad = args[0]
    cdef const floating* y = args[1]
    cdef floating* out = args[2]
    cdef floating mean
    cdef Py_ssize_t j
    if number == 0:
        pass_over_products[floating](grad, y, state, n)
    elif number == 1:
        mean = <floating> corrected(state.total, state.total_error)
        for j in range(n):
            out[j] = (grad[j] - mean) * y[j]


cdef void log_softmax_from_output_passes(floating** args, RowState* state, int number,
                                         Py_ssize_t n) noexcept nogil:
    cdef const floating* grad = args[0]
    cdef const floating* y = args[1]
    cdef floating* out = args[2]
    cdef floating sum
    cdef Py_ssize_t j
    if number == 0:
        pass_over_gradient[floating](grad, state, n)
    elif number == 1:
        sum = <floating> corrected(state.total, state.total_error)
        for j in range(n):
            out[j] = grad[j] - product(sum, exp_any[floating](y[j]))
