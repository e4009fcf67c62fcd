"""What each kind of step does to some rows of a minibatch: forward, backward, its gradient.

Rows first .. first + n are one thread's; what a step needs of all rows (the statistics of
batch_norm) is computed between two passes over them. A step has no arithmetic of its own: it calls
the kernels.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from relume.engine.skip_zeros cimport skip_in_forward, skip_in_gradient
from relume.kernels.table cimport Kernel, Product


cdef enum Parameter:            # vectors of batch_norm's and layer_norm's parameters
    WEIGHT
    BIAS
    RUNNING_MEAN
    RUNNING_VARIANCE
    BATCHES                     # one number: how many minibatches were tracked


cdef void forward(const Pass* p, const Step* s, Py_ssize_t first, Py_ssize_t n) noexcept nogil:
    """From the step's input to its output."""
    cdef const char* x = value_at(p, s.input, first, s.n_in)
    cdef char* out = value_at(p, s.output, first, s.n_out)
    if s.kind == DENSE:
        dense(p, s, x, first, n, out)
    elif s.kind == ACTIVATION:
        if p.apart or not s.forward_done:
            call(p, s, s.activate, NULL, x, out, n)
    elif s.kind == PRELU:
        with_slopes(p, s, s.activate, NULL, x, out, n)
    elif s.kind == RRELU or s.kind == DROPOUT or s.kind == ALPHA_DROPOUT:
        random_layer(p, s, x, first, n, out)
    elif s.kind == BATCH_NORM:
        batch_norm(p, s, x, first, n, out)
    elif s.kind == LAYER_NORM:
        p.spans.layer_norm(
            x, parameter(p, s, WEIGHT), parameter(p, s, BIAS), number(p, s, 0), n, s.n_out,
            at(p, s.kept, first, s.n_out), inverses(p, s, first), out)
    elif s.kind == STANDARDIZE and p.sparse == NULL:
        p.spans.standardize(x, parameter(p, s, 0), parameter(p, s, 1), n, s.n_out, out)
    elif s.kind == SINE:
        p.spans.sine(x, number(p, s, 0), n * s.n_out, out)
    elif s.kind == JOIN:
        join(p, s, x, first, n, out)


cdef void backward(const Pass* p, const Step* s, Py_ssize_t first, Py_ssize_t n) noexcept nogil:
    """From the gradient by the step's output to that by its input, unless nobody wants it."""
    cdef const char* x = value_at(p, s.input, first, s.n_in)
    cdef const char* y = value_at(p, s.output, first, s.n_out)
    cdef char* delta = delta_at(p, s.delta_out, first, s.n_out)
    cdef char* dx = delta_at(p, s.delta_in, first, s.n_in)
    cdef Py_ssize_t size = n * s.n_out
    if dx == NULL:
        return
    if s.kind == FORK:
        add_skipped(p, s + s.to_join, first, n)
    elif s.kind == DENSE:
        times_transposed(p, s, delta, n, s.n_in, False, x if s.masks and not p.apart else NULL,
                         dx)
    elif s.kind == ACTIVATION:
        if p.apart or not s.backward_done:
            call(p, s, s.activate_backward, delta, y if s.from_output else x, dx, n)
    elif s.kind == PRELU:
        with_slopes(p, s, s.activate_backward, delta, x, dx, n)
    elif s.kind == RRELU:
        call_with(s.activate_backward, delta, x, at(p, s.kept, first, s.n_out), False, dx, size)
    elif s.kind == DROPOUT or s.kind == ALPHA_DROPOUT:
        p.spans.multiply(delta, at(p, s.kept, first, s.n_out), size, dx)
    elif s.kind == BATCH_NORM:
        p.spans.batch_norm_backward(
            delta, at(p, s.kept, first, s.n_out), statistic(p, s, INVERSE),
            parameter(p, s, WEIGHT), statistic(p, s, SUM_DELTA),
            statistic(p, s, SUM_DELTA_NORMAL), p.rows, n, s.n_out, dx)
    elif s.kind == LAYER_NORM:
        p.spans.layer_norm_backward(
            delta, at(p, s.kept, first, s.n_out), inverses(p, s, first), parameter(p, s, WEIGHT),
            n, s.n_out, dx)
    elif s.kind == ACTIVITY_L1:
        penalize_activity(p, s, x, first, n, dx)
    elif s.kind == STANDARDIZE:
        p.spans.standardize(delta, NULL, parameter(p, s, 1), n, s.n_out, dx)
    elif s.kind == SINE:
        p.spans.sine_backward(delta, x, number(p, s, 0), size, dx)
    elif s.kind == JOIN:
        memcpy(dx, delta, size * p.itemsize)


cdef void gradient(const Pass* p, const Step* s, Py_ssize_t first, Py_ssize_t last, char* out,
                   char* scratch) noexcept nogil:
    """The gradient by rows first .. last of a step's parameters, summed over the minibatch.

    `scratch` is memory of the thread, as `Plan.scratch_size` says.
    """
    cdef char* delta = at(p, s.delta_out, 0, s.n_out)
    cdef char* products = at(p, s.kept, 0, s.n_out)
    if s.kind == DENSE or s.kind == JOIN:
        matrix_gradient(p, s, delta, first, last, out, scratch)
    elif s.kind == BATCH_NORM:
        memcpy(out, statistic(p, s, SUM_DELTA_NORMAL), s.n_out * p.itemsize)
        memcpy(out + s.n_out * p.itemsize, statistic(p, s, SUM_DELTA), s.n_out * p.itemsize)
    elif s.kind == LAYER_NORM:
        p.spans.column_products(delta, products, p.rows, s.n_out, out)
        p.spans.column_sum(delta, p.rows, s.n_out, out + s.n_out * p.itemsize)
    elif s.kind == PRELU:
        slope_gradient(p, s, delta, products, out)


# -- learnt slopes: He et al., 2015 ---------------------------------------------------------------

cdef void with_slopes(const Pass* p, const Step* s, Kernel kernel, const char* grad,
                      const char* x, char* out, Py_ssize_t n) noexcept nogil:
    """A kernel over n rows, with one slope or one a unit."""
    cdef const char* slopes = parameter(p, s, 0)
    cdef Py_ssize_t i, step = s.n_out * p.itemsize
    if s.n_parameters == 1:
        call_with(kernel, grad, x, slopes, True, out, n * s.n_out)
        return
    for i in range(n):
        call_with(kernel, NULL if grad == NULL else grad + i * step, x + i * step, slopes, False,
                  out + i * step, s.n_out)


cdef void slope_gradient(const Pass* p, const Step* s, const char* delta, char* products,
                         char* out) noexcept nogil:
    cdef void* args[3]
    args[0], args[1], args[2] = <void*> delta, value_at(p, s.input, 0, s.n_in), products
    s.parameter_gradient(args, True, p.rows * s.n_out)
    if s.n_parameters == s.n_out:
        p.spans.column_sum(products, p.rows, s.n_out, out)
    else:
        p.spans.column_sum(products, p.rows * s.n_out, 1, out)


# -- products -------------------------------------------------------------------------------------

cdef Product product(const Pass* p, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const char* a,
                     Py_ssize_t a_row, const char* b, Py_ssize_t b_row, char* c) noexcept nogil:
    """a (m, k) times b (k, n), both by rows."""
    cdef Product q
    q.m, q.n, q.k = m, n, k
    q.a, q.a_row, q.a_column = a, a_row, 1
    q.b, q.b_row, q.transposed = b, b_row, False
    q.c, q.c_row = c, n
    q.bias, q.positive, q.accumulate, q.rectify = NULL, NULL, False, False
    return q


cdef void dense(const Pass* p, const Step* s, const char* x, Py_ssize_t first, Py_ssize_t n,
                char* z) noexcept nogil:
    """z = x W + b, or x W; or relu of it."""
    cdef const char* weights = parameter(p, s, 0)
    cdef const char* bias = NULL
    cdef Product q
    if s.bias:
        bias = weights + s.n_in * s.n_out * p.itemsize
    if s == p.sparse_step:
        p.spans.sparse_times_dense(p.sparse.values, p.sparse.index, p.sparse.starts + first,
                                   weights, n, s.n_in, s.n_out, bias, False, z)
    elif not skip_in_forward(p, s, x, first, n, weights, bias, z):
        q = product(p, n, s.n_out, s.n_in, x, s.n_in, weights, s.n_out, z)
        q.bias, q.rectify = bias, s.rectifies and not p.apart
        p.spans.matmul(&q)
        return
    if s.rectifies and not p.apart:
        call(p, s + 1, s[1].activate, NULL, z, z, n)


cdef void times_transposed(const Pass* p, const Step* s, const char* delta, Py_ssize_t n,
                           Py_ssize_t width, bint accumulate, const char* positive,
                           char* dx) noexcept nogil:
    """dx = delta W^T, added to dx if `accumulate`; 0 where `positive`, if given, is not."""
    cdef Product q = product(p, n, width, s.n_out, delta, s.n_out, parameter(p, s, 0), s.n_out,
                             dx)
    q.transposed, q.accumulate, q.positive = True, accumulate, positive
    p.spans.matmul(&q)


cdef void matrix_gradient(const Pass* p, const Step* s, const char* delta, Py_ssize_t first,
                          Py_ssize_t last, char* out, char* scratch) noexcept nogil:
    """x^T delta for rows first .. last of the weights; the sum of delta for the bias."""
    cdef Py_ssize_t width = s.n_matrix, end = min(last, width)
    cdef const char* x = value_at(p, s.skip if s.kind == JOIN else s.input, 0, width)
    cdef Product q
    if end > first and s == p.sparse_step:
        p.spans.sparse_times_dense(
            p.sparse_columns.values, p.sparse_columns.index, p.sparse_columns.starts + first,
            delta, end - first, p.rows, s.n_out, NULL, False, out)
    elif end > first and not skip_in_gradient(p, s, x, first, end, delta, scratch, out):
        q = product(p, end - first, s.n_out, p.rows, x + first * p.itemsize, 1, delta, s.n_out,
                    out)
        q.a_column = width
        p.spans.matmul(&q)
    if last > width:
        p.spans.column_sum(delta, p.rows, s.n_out, out + (end - first) * s.n_out * p.itemsize)


# -- a penalty of activations: Glorot et al., 2011 ------------------------------------------------

cdef void penalize_activity(const Pass* p, const Step* s, const char* x, Py_ssize_t first,
                            Py_ssize_t n, char* dx) noexcept nogil:
    """Add the gradient of l1 * sum(abs(x)) / rows to dx, and keep that sum over the shard."""
    cdef double penalty = p.spans.penalize(dx, x, n * s.n_out, s.l1 / p.rows, 0)
    memcpy(at(p, s.kept, first, 8 // p.itemsize), &penalty, sizeof(penalty))


cdef double activity_penalty(const Pass* p, const Step* s, Py_ssize_t first) noexcept nogil:
    """What `penalize_activity` has kept of the shard that begins at row `first`."""
    cdef double penalty
    memcpy(&penalty, at(p, s.kept, first, 8 // p.itemsize), sizeof(penalty))
    return penalty


# -- residual blocks: He et al., 2016 -------------------------------------------------------------

cdef void join(const Pass* p, const Step* s, const char* x, Py_ssize_t first, Py_ssize_t n,
               char* out) noexcept nogil:
    """x + skip, or x + skip W."""
    cdef Py_ssize_t width = s.n_matrix
    if width == 0:
        p.spans.add(x, value_at(p, s.skip, first, s.n_out), n * s.n_out, out)
        return
    memcpy(out, x, n * s.n_out * p.itemsize)
    cdef Product q = product(p, n, s.n_out, width, value_at(p, s.skip, first, width), width,
                             parameter(p, s, 0), s.n_out, out)
    q.accumulate = True
    p.spans.matmul(&q)


cdef void add_skipped(const Pass* p, const Step* s, Py_ssize_t first,
                      Py_ssize_t n) noexcept nogil:
    """Add to the gradient by a block's input what came past the block; s is its JOIN."""
    cdef Py_ssize_t width = s.n_matrix if s.n_matrix else s.n_out
    cdef const char* delta = at(p, s.delta_out, first, s.n_out)
    cdef char* dx = delta_at(p, s.skip_delta, first, width)
    if s.n_matrix:
        times_transposed(p, s, delta, n, width, True, NULL, dx)
    else:
        p.spans.add(dx, delta, n * width, dx)


# -- normalization and noise ----------------------------------------------------------------------

cdef void batch_norm(const Pass* p, const Step* s, const char* x, Py_ssize_t first, Py_ssize_t n,
                     char* out) noexcept nogil:
    """By the minibatch's statistics in training, which are on the tape; else by the running."""
    cdef const char* mean = statistic(p, s, MEAN)
    if not p.training:
        mean = parameter(p, s, RUNNING_MEAN)
        p.spans.inverse_deviation(parameter(p, s, RUNNING_VARIANCE), number(p, s, 0), s.n_out,
                                  statistic(p, s, INVERSE))
    p.spans.batch_norm(x, mean, statistic(p, s, INVERSE), parameter(p, s, WEIGHT),
                       parameter(p, s, BIAS), n, s.n_out, at(p, s.kept, first, s.n_out), out)


cdef void batch_statistics(const Pass* p, const Step* s) noexcept nogil:
    """Mean and variance over all rows, before any of them is normalized."""
    p.spans.column_moments(value_at(p, s.input, 0, s.n_in), p.rows, s.n_out,
                           statistic(p, s, MEAN), statistic(p, s, VARIANCE))
    p.spans.inverse_deviation(statistic(p, s, VARIANCE), number(p, s, 0), s.n_out,
                              statistic(p, s, INVERSE))


cdef void running_statistics(const Pass* p, const Step* s) noexcept nogil:
    """Once the minibatch is known to be good."""
    cdef char* batches = parameter(p, s, BATCHES)
    p.spans.track(statistic(p, s, MEAN), statistic(p, s, VARIANCE), p.rows, s.n_out,
                  number(p, s, 1), parameter(p, s, RUNNING_MEAN),
                  parameter(p, s, RUNNING_VARIANCE))
    if p.itemsize == 4:
        (<float*> batches)[0] += 1
    else:
        (<double*> batches)[0] += 1


cdef void batch_gradient_sums(const Pass* p, const Step* s) noexcept nogil:
    """The sums over all rows that the way back needs; they are the parameters' gradient too."""
    cdef const char* delta = at(p, s.delta_out, 0, s.n_out)
    p.spans.column_sum(delta, p.rows, s.n_out, statistic(p, s, SUM_DELTA))
    p.spans.column_products(delta, at(p, s.kept, 0, s.n_out), p.rows, s.n_out,
                            statistic(p, s, SUM_DELTA_NORMAL))


cdef char* inverses(const Pass* p, const Step* s, Py_ssize_t first) noexcept nogil:
    """layer_norm's 1 / sqrt(variance + eps): a number a row, after the normalized values."""
    return at(p, s.kept + s.n_out, first, 1)


cdef void random_layer(const Pass* p, const Step* s, const char* x, Py_ssize_t first, Py_ssize_t n,
                       char* out) noexcept nogil:
    """Noise in training; else dropout is the identity and the slope of RRELU its mean."""
    cdef uint32_t place = <uint32_t> (first * s.n_out)
    cdef uint64_t key = key_of(p.key, <uint64_t> s.stream)
    cdef char* kept
    if not p.training:
        if s.kind == RRELU:
            call_with(s.activate, NULL, x, number(p, s, 0), True, out, n * s.n_out)
        elif x != out:
            memcpy(out, x, n * s.n_out * p.itemsize)
        return
    kept = at(p, s.kept, first, s.n_out)
    if s.kind == RRELU:
        p.spans.random_slopes(x, place, key, n * s.n_out, number(p, s, 1), kept, out)
    elif s.kind == DROPOUT:
        p.spans.dropout(x, place, key, n * s.n_out, number(p, s, 0), kept, out)
    else:
        p.spans.alpha_dropout(x, place, key, n * s.n_out, number(p, s, 0), kept, out)


cdef uint64_t key_of(uint64_t key, uint64_t step) noexcept nogil:
    """A key for each `step` of a minibatch: splitmix64, Steele et al., 2014."""
    cdef uint64_t h = key + step * <uint64_t> 0x9e3779b97f4a7c15
    h = (h ^ (h >> 30)) * <uint64_t> 0xbf58476d1ce4e5b9
    h = (h ^ (h >> 27)) * <uint64_t> 0x94d049bb133111eb
    return h ^ (h >> 31)


# -- calling the table's kernels ------------------------------------------------------------------

cdef void call(const Pass* p, const Step* s, Kernel kernel, const char* grad, const char* x,
               char* out, Py_ssize_t n) noexcept nogil:
    """([grad,] x, the step's numbers ..., out) over n rows."""
    cdef void* args[3 + MAX_NUMBERS]
    cdef int k, position = 0
    if grad != NULL:
        args[0] = <void*> grad
        position = 1
    args[position] = <void*> x
    for k in range(s.n_numbers):
        args[position + 1 + k] = <void*> number(p, s, k)
    args[position + 1 + s.n_numbers] = out
    kernel(args, True, n * s.n_out)


cdef void call_with(Kernel kernel, const char* grad, const char* x, const char* slope,
                    bint scalar, char* out, Py_ssize_t n) noexcept nogil:
    """([grad,] x, slope, out) over n elements."""
    cdef void* args[4]
    cdef int position = 0
    if grad != NULL:
        args[0] = <void*> grad
        position = 1
    args[position], args[position + 1], args[position + 2] = <void*> x, <void*> slope, out
    kernel(args, scalar, n)


# -- names of parameters --------------------------------------------------------------------------

cdef list shapes_of(const Step* s):
    """The arrays of a step's parameters, in their order: name and shape."""
    cdef Py_ssize_t n = s.n_out
    if s.kind == DENSE:
        return [("weight", (s.n_matrix, n)), *([("bias", (n,))] if s.bias else [])]
    elif s.kind == JOIN and s.n_matrix:
        return [("weight", (s.n_matrix, n))]
    elif s.kind == PRELU:
        return [("weight", (s.n_parameters,))]
    elif s.kind == LAYER_NORM:
        return [("weight", (n,)), ("bias", (n,))]
    elif s.kind == BATCH_NORM:
        return [("weight", (n,)), ("bias", (n,)), ("running_mean", (n,)), ("running_var", (n,)),
                ("num_batches_tracked", ())]
    elif s.kind == STANDARDIZE:
        return [("mean", (n,)), ("scale", (n,))]
    return []
