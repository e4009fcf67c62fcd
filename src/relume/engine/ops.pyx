"""THE list of ops: one block each, with all that the engine knows of it.

A block holds an op's parameters, forward, backward and gradient, side by side and with the same
order of arguments, and fills in its row of functions, an `OpKind`: the plan and the passes over it
read these rows and name no op. To add one, add a block here and a layer in relume.nn.layers that
makes specs of its kind: see docs/add_layer.md.

Rows first .. first + n of a minibatch are one thread's; what an op needs of all rows is computed
between two passes over them. An op has no arithmetic of its own: it calls the kernels.
"""

from cython cimport floating
from libc.math cimport sqrt
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from relume.engine.arrays cimport LINE, data_of, matrix_of, writable_data_of
from relume.engine.skip_zeros cimport (
    FORWARD, GRADIENT, ONE_ROW, Trial, end_trial, skip_in_forward, skip_in_gradient, skips,
)
from relume.kernels.dispatch cimport table
from relume.kernels.table cimport Kernel, Product, Spans, matmul_scratch

import numpy as np

cdef enum:
    MAX_KINDS = 32
    BASE = 1 << 24

# What an array of parameters is: learnt, or a statistic of the data, or a count of minibatches, or
# the digits of another array that the dtype has no room for, which no state_dict shows.
LEARNT, STATISTIC, COUNT, DIGITS = "learnt", "statistic", "count", "digits"
COUNT_BASE = BASE               # of a count's higher digit: float32 holds integers up to it

KINDS = {}                      # the row of each kind, by its name
cdef OpKind kinds[MAX_KINDS]
cdef OpKind* kind


cdef OpKind* new_kind(str name) except NULL:
    """The next row; an op without parameters, all whose functions are NULL."""
    if len(KINDS) == MAX_KINDS:
        raise SystemError("MAX_KINDS is too small")
    cdef OpKind* added = &kinds[<int> len(KINDS)]
    KINDS[name] = len(KINDS)
    added.parameters = no_parameters
    return added


cdef const OpKind* kind_of(str name) except NULL:
    """The row of a kind; KeyError for a name that none has."""
    return &kinds[<int> KINDS[name]]


cdef list no_parameters(const Op* op):
    return []


cdef Py_ssize_t a_row(const Op* op, Py_ssize_t itemsize) noexcept nogil:
    """An element for each output."""
    return op.n_out


# -- dense: x W + b -------------------------------------------------------------------------------

cdef list dense_parameters(const Op* op):
    cdef Py_ssize_t n = op.n_out
    return [("weight", (op.n_in, n), LEARNT), *([("bias", (n,), LEARNT)] if op.bias else [])]


cdef void dense(const Pass* p, const Op* op, const char* x, Py_ssize_t first, Py_ssize_t n,
                char* out) noexcept nogil:
    """x W + b, or x W; or relu of it, where that is the next op's."""
    cdef const char* weights = parameter(p, op, 0)
    cdef const char* bias = NULL
    cdef Product q
    cdef Trial trial
    trial.choice = NULL
    if op.bias:
        bias = weights + op.n_in * op.n_out * p.itemsize
    if op == p.sparse_op:
        p.spans.sparse_times_dense(p.sparse.values, p.sparse.index, p.sparse.starts + first,
                                   weights, n, op.n_in, op.n_out, bias, False, out)
    elif not (op.n_compressed != 0
              and skips(p, op, ONE_ROW if n == 1 else FORWARD, x, n, op.n_in, op.n_in, &trial)
              and skip_in_forward(p, op, x, first, n, weights, bias, out, &trial)):
        q = product(p, n, op.n_out, op.n_in, x, op.n_in, weights, op.n_out, out)
        q.bias, q.rectify = bias, op.rectifies and not p.apart
        q.scratch = at(p, op.scratch, first, op.n_scratch)
        q.n_scratch = n * op.n_scratch
        p.spans.matmul(&q)
        end_trial(&trial)
        return
    if op.rectifies and not p.apart:
        call(p, op + 1, op[1].activate, NULL, out, out, n)
    end_trial(&trial)


cdef void dense_backward(const Pass* p, const Op* op, const char* delta, const char* x,
                         Py_ssize_t first, Py_ssize_t n, char* dx) noexcept nogil:
    cdef Product q = times_transposed(p, op, delta, n, op.n_in, dx)
    q.positive = x if op.masks and not p.apart else NULL
    q.scratch = at(p, op.scratch, first, op.n_scratch)
    q.n_scratch = n * op.n_scratch
    p.spans.matmul(&q)


cdef void dense_tile(const Pass* p, const Op* op, Py_ssize_t first, Py_ssize_t n,
                     Py_ssize_t column, Py_ssize_t width, char* scratch,
                     Py_ssize_t n_scratch) noexcept nogil:
    cdef const char* weights = parameter(p, op, 0) + column * p.itemsize
    cdef Product q = product(
        p, n, width, op.n_in, value_at(p, op.input, first, op.n_in), op.n_in, weights, op.n_out,
        value_at(p, op.output, first, op.n_out) + column * p.itemsize)
    q.c_row = op.n_out
    if op.bias:
        q.bias = weights + op.n_in * op.n_out * p.itemsize
    q.rectify = op.rectifies and not p.apart
    q.scratch, q.n_scratch = scratch, n_scratch
    p.spans.matmul(&q)


cdef void dense_backward_tile(const Pass* p, const Op* op, Py_ssize_t first, Py_ssize_t n,
                              Py_ssize_t column, Py_ssize_t width, char* scratch,
                              Py_ssize_t n_scratch) noexcept nogil:
    cdef Product q = times_transposed(
        p, op, delta_at(p, op.delta_out, first, op.n_out), n, width,
        delta_at(p, op.delta_in, first, op.n_in) + column * p.itemsize)
    q.b = parameter(p, op, column)
    q.c_row = op.n_in
    if op.masks and not p.apart:
        q.positive = value_at(p, op.input, first, op.n_in) + column * p.itemsize
    q.scratch, q.n_scratch = scratch, n_scratch
    p.spans.matmul(&q)


cdef void dense_gradient(const Pass* p, const Op* op, const char* delta, const char* x,
                         Py_ssize_t first, Py_ssize_t last, char* out,
                         char* scratch) noexcept nogil:
    """x^T delta for rows first .. last of the weights; the sum of delta for the bias."""
    cdef Py_ssize_t width = op.n_matrix, end = min(last, width)
    cdef Product q
    cdef Trial trial
    if end > first and op == p.sparse_op:
        p.spans.sparse_times_dense(
            p.sparse_columns.values, p.sparse_columns.index, p.sparse_columns.starts + first,
            delta, end - first, p.rows, op.n_out, NULL, False, out)
    elif end > first:
        if skips(p, op, GRADIENT, x + first * p.itemsize, p.rows, end - first, width, &trial):
            skip_in_gradient(p, op, x, first, end, delta, scratch, out, &trial)
        else:
            q = product(p, end - first, op.n_out, p.rows, x + first * p.itemsize, 1, delta,
                        op.n_out, out)
            q.a_column = width
            q.scratch = scratch + LINE
            q.n_scratch = matmul_scratch(end - first, op.n_out, p.rows, 1)
            p.spans.matmul(&q)
        end_trial(&trial)
    if last > width:
        p.spans.column_sum(delta, p.rows, op.n_out, out + (end - first) * op.n_out * p.itemsize)


cdef Product times_transposed(const Pass* p, const Op* op, const char* delta, Py_ssize_t n,
                              Py_ssize_t width, char* dx) noexcept nogil:
    """dx = delta W^T."""
    cdef Product q = product(p, n, width, op.n_out, delta, op.n_out, parameter(p, op, 0),
                             op.n_out, dx)
    q.transposed = True
    return q


cdef Product product(const Pass* p, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const char* a,
                     Py_ssize_t a_row, const char* b, Py_ssize_t b_row, char* c) noexcept nogil:
    """a (m, k) times b (k, n), both by rows."""
    cdef Product q
    q.m, q.n, q.k = m, n, k
    q.a, q.a_row, q.a_column = a, a_row, 1
    q.b, q.b_row, q.transposed = b, b_row, False
    q.c, q.c_row = c, n
    q.bias, q.positive, q.accumulate, q.rectify = NULL, NULL, False, False
    q.scratch, q.n_scratch = NULL, 0
    return q


kind = new_kind("dense")
kind.product = True
kind.parameters = dense_parameters
kind.forward, kind.backward, kind.gradient = dense, dense_backward, dense_gradient
kind.forward_tile, kind.backward_tile = dense_tile, dense_backward_tile


# -- activation: a row of the kernels' table ------------------------------------------------------

cdef void activation(const Pass* p, const Op* op, const char* x, Py_ssize_t first, Py_ssize_t n,
                     char* out) noexcept nogil:
    if p.apart or not op.forward_done:
        call(p, op, op.activate, NULL, x, out, n)


cdef void activation_backward(const Pass* p, const Op* op, const char* delta, const char* x,
                              Py_ssize_t first, Py_ssize_t n, char* dx) noexcept nogil:
    if op.from_output:
        x = value_at(p, op.output, first, op.n_out)
    if p.apart or not op.backward_done:
        call(p, op, op.activate_backward, delta, x, dx, n)


cdef void call(const Pass* p, const Op* op, Kernel kernel, const char* grad, const char* x,
               char* out, Py_ssize_t n) noexcept nogil:
    """A kernel of ([grad,] x, the op's numbers ..., out) over n rows."""
    cdef void* args[3 + MAX_NUMBERS]
    cdef int k, position = 0
    if grad != NULL:
        args[0] = <void*> grad
        position = 1
    args[position] = <void*> x
    for k in range(op.n_numbers):
        args[position + 1 + k] = <void*> number(p, op, k)
    args[position + 1 + op.n_numbers] = out
    kernel(args, True, n * op.n_out)


kind = new_kind("activation")
kind.activates = True
kind.n_numbers = OF_ITS_ROW
kind.forward, kind.backward = activation, activation_backward


# -- prelu: He et al., "Delving deep into rectifiers", ICCV 2015 ----------------------------------
# integers: whether each unit has a slope of its own

cdef list prelu_parameters(const Op* op):
    return [("weight", (op.n_out if op.integer[0] else 1,), LEARNT)]


cdef void prelu(const Pass* p, const Op* op, const char* x, Py_ssize_t first, Py_ssize_t n,
                char* out) noexcept nogil:
    with_slopes(p, op, op.activate, NULL, x, out, n)


cdef void prelu_backward(const Pass* p, const Op* op, const char* delta, const char* x,
                         Py_ssize_t first, Py_ssize_t n, char* dx) noexcept nogil:
    with_slopes(p, op, op.activate_backward, delta, x, dx, n)


cdef void prelu_gradient(const Pass* p, const Op* op, const char* delta, const char* x,
                         Py_ssize_t first, Py_ssize_t last, char* out,
                         char* scratch) noexcept nogil:
    """The products that the slopes are multiplied with go to `kept`, then are summed."""
    cdef char* products = at(p, op.kept, 0, op.n_out)
    cdef void* args[3]
    args[0], args[1], args[2] = <void*> delta, <void*> x, products
    op.parameter_gradient(args, True, p.rows * op.n_out)
    if op.n_parameters == op.n_out:
        p.spans.column_sum(products, p.rows, op.n_out, out)
    else:
        p.spans.column_sum(products, p.rows * op.n_out, 1, out)


cdef void with_slopes(const Pass* p, const Op* op, Kernel kernel, const char* grad,
                      const char* x, char* out, Py_ssize_t n) noexcept nogil:
    """A kernel over n rows, with one slope or one a unit."""
    cdef const char* slopes = parameter(p, op, 0)
    cdef Py_ssize_t i, row = op.n_out * p.itemsize
    if op.n_parameters == 1:
        call_with(kernel, grad, x, slopes, True, out, n * op.n_out)
        return
    for i in range(n):
        call_with(kernel, NULL if grad == NULL else grad + i * row, x + i * row, slopes, False,
                  out + i * row, op.n_out)


cdef void call_with(Kernel kernel, const char* grad, const char* x, const char* slope,
                    bint scalar, char* out, Py_ssize_t n) noexcept nogil:
    """A kernel of ([grad,] x, slope, out) over n elements."""
    cdef void* args[4]
    cdef int position = 0
    if grad != NULL:
        args[0] = <void*> grad
        position = 1
    args[position], args[position + 1], args[position + 2] = <void*> x, <void*> slope, out
    kernel(args, scalar, n)


kind = new_kind("prelu")
kind.activates = True
kind.n_integers = 1
kind.parameters = prelu_parameters
kind.kept = a_row
kind.forward, kind.backward, kind.gradient = prelu, prelu_backward, prelu_gradient


# -- rrelu: Xu et al., "Empirical evaluation of rectified activations", 2015 ----------------------
# numbers: mean slope, lower, upper

cdef void rrelu(const Pass* p, const Op* op, const char* x, Py_ssize_t first, Py_ssize_t n,
                char* out) noexcept nogil:
    """With random slopes in training, else with their mean."""
    cdef Py_ssize_t size = n * op.n_out
    if p.training:
        p.spans.random_slopes(x, <uint32_t> (first * op.n_out), key_of(p, op), size,
                              number(p, op, 1), at(p, op.kept, first, op.n_out), out)
    else:
        call_with(op.activate, NULL, x, number(p, op, 0), True, out, size)


cdef void rrelu_backward(const Pass* p, const Op* op, const char* delta, const char* x,
                         Py_ssize_t first, Py_ssize_t n, char* dx) noexcept nogil:
    call_with(op.activate_backward, delta, x, at(p, op.kept, first, op.n_out), False, dx,
              n * op.n_out)


cdef void rrelu_as_prediction(const Pass* p, const Op* op, Py_ssize_t rows) noexcept nogil:
    """The slopes are their mean."""
    cdef char* slopes = at(p, op.kept, 0, op.n_out)
    cdef Py_ssize_t i
    for i in range(rows * op.n_out):
        memcpy(slopes + i * p.itemsize, number(p, op, 0), p.itemsize)


cdef uint64_t key_of(const Pass* p, const Op* op) noexcept nogil:
    """A key for each op of a minibatch: splitmix64, Steele et al., 2014."""
    cdef uint64_t h = p.key + <uint64_t> op.stream * <uint64_t> 0x9e3779b97f4a7c15
    h = (h ^ (h >> 30)) * <uint64_t> 0xbf58476d1ce4e5b9
    h = (h ^ (h >> 27)) * <uint64_t> 0x94d049bb133111eb
    return h ^ (h >> 31)


kind = new_kind("rrelu")
kind.activates = kind.random = True
kind.n_numbers = 3
kind.kept = a_row
kind.forward, kind.backward, kind.as_prediction = rrelu, rrelu_backward, rrelu_as_prediction


# -- dropout: Srivastava et al., JMLR 15, 2014 ----------------------------------------------------
# numbers: rate

cdef void dropout(const Pass* p, const Op* op, const char* x, Py_ssize_t first, Py_ssize_t n,
                  char* out) noexcept nogil:
    if p.training:
        p.spans.dropout(x, <uint32_t> (first * op.n_out), key_of(p, op), n * op.n_out,
                        number(p, op, 0), at(p, op.kept, first, op.n_out), out)
    else:
        copy(p, op, x, n, out)


cdef void mask_backward(const Pass* p, const Op* op, const char* delta, const char* x,
                        Py_ssize_t first, Py_ssize_t n, char* dx) noexcept nogil:
    p.spans.multiply(delta, at(p, op.kept, first, op.n_out), n * op.n_out, dx)


cdef void mask_as_prediction(const Pass* p, const Op* op, Py_ssize_t rows) noexcept nogil:
    """Nothing is dropped."""
    cdef char* mask = at(p, op.kept, 0, op.n_out)
    cdef Py_ssize_t i
    for i in range(rows * op.n_out):
        if p.itemsize == 4:
            (<float*> mask)[i] = 1
        else:
            (<double*> mask)[i] = 1


cdef void copy(const Pass* p, const Op* op, const char* x, Py_ssize_t n,
               char* out) noexcept nogil:
    if x != out:
        memcpy(out, x, n * op.n_out * p.itemsize)


kind = new_kind("dropout")
kind.in_place = kind.random = True
kind.n_numbers = 1
kind.kept = a_row
kind.forward, kind.backward, kind.as_prediction = dropout, mask_backward, mask_as_prediction


# -- alpha_dropout: Klambauer et al., "Self-normalizing neural networks", 2017 --------------------
# numbers: rate

cdef void alpha_dropout(const Pass* p, const Op* op, const char* x, Py_ssize_t first,
                        Py_ssize_t n, char* out) noexcept nogil:
    if p.training:
        p.spans.alpha_dropout(x, <uint32_t> (first * op.n_out), key_of(p, op), n * op.n_out,
                              number(p, op, 0), at(p, op.kept, first, op.n_out), out)
    else:
        copy(p, op, x, n, out)


kind = new_kind("alpha_dropout")
kind.in_place = kind.random = True
kind.n_numbers = 1
kind.kept = a_row
kind.forward, kind.backward, kind.as_prediction = alpha_dropout, mask_backward, mask_as_prediction


# -- batch_norm: Ioffe and Szegedy, "Batch normalization", ICML 2015 ------------------------------
# numbers: eps, momentum

cdef enum Parameter:            # vectors of its parameters; layer_norm has the first two
    WEIGHT
    BIAS
    RUNNING_MEAN
    RUNNING_VARIANCE
    BATCHES                     # two numbers: how many minibatches were tracked, low and high

cdef enum Statistic:            # vectors of its memory on the tape
    MEAN
    VARIANCE
    INVERSE                     # 1 / sqrt(variance + eps)
    SUM_DELTA                   # over all rows,
    SUM_DELTA_NORMAL
    OWN_SUM_DELTA               # and over those of the pass
    OWN_SUM_DELTA_NORMAL
    BATCH_NORM_VECTORS


cdef list affine_parameters(const Op* op):
    return [("weight", (op.n_out,), LEARNT), ("bias", (op.n_out,), LEARNT)]


cdef list batch_norm_parameters(const Op* op):
    cdef Py_ssize_t n = op.n_out
    return [*affine_parameters(op), ("running_mean", (n,), STATISTIC),
            ("running_var", (n,), STATISTIC), ("num_batches_tracked", (), COUNT),
            ("num_batches_tracked_high", (), DIGITS)]


cdef void batch_norm_before_forward(const Pass* p, const Op* op) noexcept nogil:
    """Mean and variance over all rows, before any of them is normalized."""
    p.spans.column_moments(value_at(p, op.input, 0, op.n_in), p.rows, op.n_out, op.given[0],
                           statistic(p, op, MEAN), statistic(p, op, VARIANCE),
                           statistic(p, op, INVERSE))


cdef void batch_norm(const Pass* p, const Op* op, const char* x, Py_ssize_t first, Py_ssize_t n,
                     char* out) noexcept nogil:
    """By the minibatch's statistics in training, which are on the tape; else by the running."""
    cdef const char* mean = statistic(p, op, MEAN)
    if not p.training:
        mean = parameter(p, op, RUNNING_MEAN)
        p.spans.inverse_std(parameter(p, op, RUNNING_VARIANCE), op.given[0], op.n_out,
                            statistic(p, op, INVERSE))
    p.spans.batch_norm(x, mean, statistic(p, op, INVERSE), parameter(p, op, WEIGHT),
                       parameter(p, op, BIAS), n, op.n_out, at(p, op.kept, first, op.n_out), out)


cdef void batch_norm_before_backward(const Pass* p, const Op* op) noexcept nogil:
    """The sums over all rows that backward needs; they are the parameters' gradient too."""
    cdef const char* delta = at(p, op.delta_out, 0, op.n_out)
    p.spans.column_sum(delta, p.rows, op.n_out, statistic(p, op, OWN_SUM_DELTA))
    p.spans.column_products(delta, at(p, op.kept, 0, op.n_out), p.rows, op.n_out,
                            statistic(p, op, OWN_SUM_DELTA_NORMAL))
    memcpy(statistic(p, op, SUM_DELTA), statistic(p, op, OWN_SUM_DELTA),
           2 * op.n_out * p.itemsize)


cdef void batch_norm_backward(const Pass* p, const Op* op, const char* delta, const char* x,
                              Py_ssize_t first, Py_ssize_t n, char* dx) noexcept nogil:
    p.spans.batch_norm_backward(
        delta, at(p, op.kept, first, op.n_out), statistic(p, op, INVERSE),
        parameter(p, op, WEIGHT), statistic(p, op, SUM_DELTA), statistic(p, op, SUM_DELTA_NORMAL),
        p.all_rows, n, op.n_out, dx)


cdef void batch_norm_gradient(const Pass* p, const Op* op, const char* delta, const char* x,
                              Py_ssize_t first, Py_ssize_t last, char* out,
                              char* scratch) noexcept nogil:
    cdef Py_ssize_t size = op.n_out * p.itemsize
    memcpy(out, statistic(p, op, OWN_SUM_DELTA_NORMAL), size)
    memcpy(out + size, statistic(p, op, OWN_SUM_DELTA), size)


cdef void batch_norm_after_batch(const Pass* p, const Op* op) noexcept nogil:
    """The running statistics follow the minibatch's."""
    cdef char* batches = parameter(p, op, BATCHES)
    p.spans.track(statistic(p, op, MEAN), statistic(p, op, VARIANCE), p.all_rows, op.n_out,
                  number(p, op, 1), parameter(p, op, RUNNING_MEAN),
                  parameter(p, op, RUNNING_VARIANCE))
    if p.itemsize == 4:
        count_up[float](<float*> batches)
    else:
        count_up[double](<double*> batches)


cdef void count_up(floating* digits) noexcept nogil:
    digits[0] += 1
    if digits[0] == BASE:
        digits[0] = 0
        digits[1] += 1


cdef void batch_norm_sum_forward(const Pass* p, const Op* op, double* sums) noexcept nogil:
    """The number of rows; the mean, and the sum of squared deviations, of each column."""
    cdef Py_ssize_t j, n = op.n_out
    memset(sums, 0, (1 + 2 * n) * sizeof(double))
    if p.rows == 0:
        return
    batch_norm_before_forward(p, op)
    sums[0] = p.rows
    for j in range(n):
        sums[1 + j] = element(p, statistic(p, op, MEAN), j)
        sums[1 + n + j] = element(p, statistic(p, op, VARIANCE), j) * p.rows


cdef void batch_norm_add_forward(const Op* op, double* sums,
                                 const double* others) noexcept nogil:
    """Chan et al., "Algorithms for computing the sample variance", 1983."""
    cdef Py_ssize_t j, n = op.n_out
    cdef double rows = sums[0] + others[0], difference
    if others[0] == 0:
        return
    if sums[0] == 0:
        memcpy(sums, others, (1 + 2 * n) * sizeof(double))
        return
    for j in range(n):
        difference = others[1 + j] - sums[1 + j]
        sums[1 + j] += difference * (others[0] / rows)
        sums[1 + n + j] += others[1 + n + j] + difference * difference * (
            sums[0] * others[0] / rows)
    sums[0] = rows


cdef void batch_norm_take_forward(const Pass* p, const Op* op,
                                  const double* sums) noexcept nogil:
    cdef Py_ssize_t j, n = op.n_out
    for j in range(n):
        set_element(p, statistic(p, op, MEAN), j, sums[1 + j])
        set_element(p, statistic(p, op, VARIANCE), j, sums[1 + n + j] / sums[0])
        set_element(p, statistic(p, op, INVERSE), j,
                    1 / sqrt(sums[1 + n + j] / sums[0] + op.given[0]))


cdef void batch_norm_sum_backward(const Pass* p, const Op* op, double* sums) noexcept nogil:
    cdef Py_ssize_t j
    memset(sums, 0, (1 + 2 * op.n_out) * sizeof(double))
    if p.rows == 0:
        return
    batch_norm_before_backward(p, op)
    for j in range(2 * op.n_out):
        sums[1 + j] = element(p, statistic(p, op, OWN_SUM_DELTA), j)


cdef void batch_norm_add_backward(const Op* op, double* sums,
                                  const double* others) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(1 + 2 * op.n_out):
        sums[j] += others[j]


cdef void batch_norm_take_backward(const Pass* p, const Op* op,
                                   const double* sums) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(2 * op.n_out):
        set_element(p, statistic(p, op, SUM_DELTA), j, sums[1 + j])


cdef inline double element(const Pass* p, const char* x, Py_ssize_t j) noexcept nogil:
    return (<const float*> x)[j] if p.itemsize == 4 else (<const double*> x)[j]


cdef inline void set_element(const Pass* p, char* x, Py_ssize_t j, double value) noexcept nogil:
    if p.itemsize == 4:
        (<float*> x)[j] = <float> value
    else:
        (<double*> x)[j] = value


cdef void batch_norm_as_prediction(const Pass* p, const Op* op, Py_ssize_t rows) noexcept nogil:
    """Without the two terms of the gradient that come of a minibatch's statistics."""
    memset(statistic(p, op, SUM_DELTA), 0, 2 * op.n_out * p.itemsize)


cdef bint batch_norm_statistics_hold(const Pass* p, const Op* op) noexcept nogil:
    """Whether no variance of training was beyond the dtype: outputs would be the bias."""
    return p.spans.all_finite(parameter(p, op, RUNNING_MEAN), 2 * op.n_out)


kind = new_kind("batch_norm")
kind.n_numbers = 2
kind.n_vectors = BATCH_NORM_VECTORS
kind.parameters = batch_norm_parameters
kind.kept = a_row               # the normalized values
kind.keeps_in_prediction = True
kind.before_forward, kind.forward = batch_norm_before_forward, batch_norm
kind.before_backward, kind.backward = batch_norm_before_backward, batch_norm_backward
kind.sum_forward, kind.sum_backward = batch_norm_sum_forward, batch_norm_sum_backward
kind.add_forward, kind.add_backward = batch_norm_add_forward, batch_norm_add_backward
kind.take_forward, kind.take_backward = batch_norm_take_forward, batch_norm_take_backward
kind.gradient, kind.after_batch = batch_norm_gradient, batch_norm_after_batch
kind.as_prediction, kind.statistics_hold = batch_norm_as_prediction, batch_norm_statistics_hold


# -- layer_norm: Ba et al., "Layer normalization", 2016 -------------------------------------------
# numbers: eps

cdef Py_ssize_t layer_norm_kept(const Op* op, Py_ssize_t itemsize) noexcept nogil:
    """The normalized values, and 1 / sqrt(variance + eps) of each row behind all of them."""
    return op.n_out + 1


cdef void layer_norm(const Pass* p, const Op* op, const char* x, Py_ssize_t first, Py_ssize_t n,
                     char* out) noexcept nogil:
    p.spans.layer_norm(x, parameter(p, op, WEIGHT), parameter(p, op, BIAS), op.given[0], n,
                       op.n_out, at(p, op.kept, first, op.n_out),
                       at(p, op.kept + op.n_out, first, 1), out)


cdef void layer_norm_backward(const Pass* p, const Op* op, const char* delta, const char* x,
                              Py_ssize_t first, Py_ssize_t n, char* dx) noexcept nogil:
    p.spans.layer_norm_backward(delta, at(p, op.kept, first, op.n_out),
                                at(p, op.kept + op.n_out, first, 1), parameter(p, op, WEIGHT), n,
                                op.n_out, dx)


cdef void affine_gradient(const Pass* p, const Op* op, const char* delta, const char* x,
                          Py_ssize_t first, Py_ssize_t last, char* out,
                          char* scratch) noexcept nogil:
    """Of weight normal + bias, where the normalized values are kept."""
    p.spans.column_products(delta, at(p, op.kept, 0, op.n_out), p.rows, op.n_out, out)
    p.spans.column_sum(delta, p.rows, op.n_out, out + op.n_out * p.itemsize)


kind = new_kind("layer_norm")
kind.n_numbers = 1
kind.parameters = affine_parameters
kind.kept = layer_norm_kept
kind.keeps_in_prediction = True
kind.forward, kind.backward, kind.gradient = layer_norm, layer_norm_backward, affine_gradient


# -- group_norm: Wu and He, "Group normalization", ECCV 2018 --------------------------------------
# numbers: eps; integers: groups

cdef list group_norm_parameters(const Op* op):
    cdef Py_ssize_t groups = op.integer[0]
    if groups < 1 or op.n_out % groups != 0:
        raise ValueError("nn.GroupNorm needs a number of units that its groups divide, got "
                         f"{op.n_out} units for groups={groups}")
    return affine_parameters(op)


cdef Py_ssize_t group_norm_kept(const Op* op, Py_ssize_t itemsize) noexcept nogil:
    """The normalized values, and behind all of them 1 / sqrt(variance + eps) of each group."""
    return op.n_out + op.integer[0]


cdef void group_norm(const Pass* p, const Op* op, const char* x, Py_ssize_t first, Py_ssize_t n,
                     char* out) noexcept nogil:
    p.spans.group_norm(x, parameter(p, op, WEIGHT), parameter(p, op, BIAS), op.given[0], n,
                       op.n_out, op.integer[0], at(p, op.kept, first, op.n_out),
                       at(p, op.kept + op.n_out, first, op.integer[0]), out)


cdef void group_norm_backward(const Pass* p, const Op* op, const char* delta, const char* x,
                              Py_ssize_t first, Py_ssize_t n, char* dx) noexcept nogil:
    p.spans.group_norm_backward(delta, at(p, op.kept, first, op.n_out),
                                at(p, op.kept + op.n_out, first, op.integer[0]),
                                parameter(p, op, WEIGHT), n, op.n_out, op.integer[0], dx)


kind = new_kind("group_norm")
kind.n_numbers = kind.n_integers = 1
kind.parameters = group_norm_parameters
kind.kept = group_norm_kept
kind.keeps_in_prediction = True
kind.forward, kind.backward, kind.gradient = group_norm, group_norm_backward, affine_gradient


# -- standardize: (x - mean) / scale --------------------------------------------------------------

cdef list standardize_parameters(const Op* op):
    """What is lost where the mean is rounded to float32 is kept: it makes up 53 bits."""
    cdef Py_ssize_t n = op.n_out
    return [("mean", (n,), STATISTIC), ("scale", (n,), STATISTIC), ("mean_low", (n,), DIGITS),
            ("mean_lowest", (n,), DIGITS)]


cdef void standardize(const Pass* p, const Op* op, const char* x, Py_ssize_t first, Py_ssize_t n,
                      char* out) noexcept nogil:
    """A sparse minibatch is scaled as it is read, and has no mean subtracted."""
    if p.sparse == NULL:
        p.spans.standardize(x, parameter(p, op, 0), p.centered, n, op.n_out, out)


cdef void standardize_backward(const Pass* p, const Op* op, const char* delta, const char* x,
                               Py_ssize_t first, Py_ssize_t n, char* dx) noexcept nogil:
    p.spans.standardize(delta, parameter(p, op, 0), True, n, op.n_out, dx)


kind = new_kind("standardize")
kind.in_place = kind.done_as_read = True
kind.parameters = standardize_parameters
kind.forward, kind.backward = standardize, standardize_backward


# -- scale: a factor for each unit ----------------------------------------------------------------

cdef list scale_parameters(const Op* op):
    return [("weight", (op.n_out,), LEARNT)]


cdef void scale(const Pass* p, const Op* op, const char* x, Py_ssize_t first, Py_ssize_t n,
                char* out) noexcept nogil:
    cdef Py_ssize_t i, row = op.n_out * p.itemsize
    for i in range(n):
        p.spans.multiply(x + i * row, parameter(p, op, 0), op.n_out, out + i * row)


cdef void scale_backward(const Pass* p, const Op* op, const char* delta, const char* x,
                         Py_ssize_t first, Py_ssize_t n, char* dx) noexcept nogil:
    scale(p, op, delta, first, n, dx)


cdef void scale_gradient(const Pass* p, const Op* op, const char* delta, const char* x,
                         Py_ssize_t first, Py_ssize_t last, char* out,
                         char* scratch) noexcept nogil:
    p.spans.column_products(delta, x, p.rows, op.n_out, out)


kind = new_kind("scale")
kind.parameters = scale_parameters
kind.forward, kind.backward, kind.gradient = scale, scale_backward, scale_gradient


# -- sine: Sitzmann et al., "Implicit neural representations", NeurIPS 2020 -----------------------
# numbers: omega

cdef void sine(const Pass* p, const Op* op, const char* x, Py_ssize_t first, Py_ssize_t n,
               char* out) noexcept nogil:
    p.spans.sine(x, number(p, op, 0), n * op.n_out, out)


cdef void sine_backward(const Pass* p, const Op* op, const char* delta, const char* x,
                        Py_ssize_t first, Py_ssize_t n, char* dx) noexcept nogil:
    p.spans.sine_backward(delta, x, number(p, op, 0), n * op.n_out, dx)


kind = new_kind("sine")
kind.n_numbers = 1
kind.forward, kind.backward = sine, sine_backward


# -- activity_l1: a penalty of activations, Glorot et al., "Deep sparse rectifiers", 2011 ---------
# l1: the penalty's factor

cdef Py_ssize_t activity_l1_kept(const Op* op, Py_ssize_t itemsize) noexcept nogil:
    """A double for GRAIN rows, or what is left of them, which is a row at least."""
    return 8 // itemsize


cdef void activity_l1_backward(const Pass* p, const Op* op, const char* delta, const char* x,
                               Py_ssize_t first, Py_ssize_t n, char* dx) noexcept nogil:
    """Add the gradient of l1 * sum(abs(x)) / rows to dx, and keep that sum over GRAIN rows each.

    A sum over a shard would have other bits for other shards.
    """
    cdef Py_ssize_t i, row = op.n_out * p.itemsize
    cdef double penalty
    for i from 0 <= i < n by GRAIN:
        penalty = p.spans.penalize(dx + i * row, x + i * row,
                                   min(n - i, <Py_ssize_t> GRAIN) * op.n_out,
                                   op.l1 / p.penalized_rows, 0)
        memcpy(at(p, op.kept, first + i, 8 // p.itemsize), &penalty, sizeof(penalty))


cdef double activity_l1_penalty(const Pass* p, const Op* op, Py_ssize_t first) noexcept nogil:
    """What backward has kept of the GRAIN rows from row `first` on."""
    cdef double penalty
    memcpy(&penalty, at(p, op.kept, first, 8 // p.itemsize), sizeof(penalty))
    return penalty


kind = new_kind("activity_l1")
kind.kept = activity_l1_kept
kind.backward, kind.penalty = activity_l1_backward, activity_l1_penalty


# -- fork and join, a residual block: He et al., "Deep residual learning", CVPR 2016 --------------

cdef void fork_backward(const Pass* p, const Op* op, const char* delta, const char* x,
                        Py_ssize_t first, Py_ssize_t n, char* dx) noexcept nogil:
    """Add to the gradient by the block's input what came past the block."""
    cdef const Op* join = op + op.to_join
    cdef Product q
    delta = at(p, join.delta_out, first, join.n_out)
    if join.n_matrix:
        q = times_transposed(p, join, delta, n, join.n_skip, dx)
        q.accumulate = True
        p.spans.matmul(&q)
    else:
        p.spans.add(dx, delta, n * join.n_skip, dx)


kind = new_kind("fork")
kind.forks = True
kind.backward = fork_backward


cdef list join_parameters(const Op* op):
    """A projection where widths differ."""
    if op.n_skip == op.n_out:
        return []
    return [("weight", (op.n_skip, op.n_out), LEARNT)]


cdef void join(const Pass* p, const Op* op, const char* x, Py_ssize_t first, Py_ssize_t n,
               char* out) noexcept nogil:
    """x + skip, or x + skip W."""
    cdef const char* skip = value_at(p, op.skip, first, op.n_skip)
    cdef Product q
    if op.n_matrix == 0:
        p.spans.add(x, skip, n * op.n_out, out)
        return
    memcpy(out, x, n * op.n_out * p.itemsize)
    q = product(p, n, op.n_out, op.n_skip, skip, op.n_skip, parameter(p, op, 0), op.n_out, out)
    q.accumulate = True
    p.spans.matmul(&q)


cdef void join_backward(const Pass* p, const Op* op, const char* delta, const char* x,
                        Py_ssize_t first, Py_ssize_t n, char* dx) noexcept nogil:
    memcpy(dx, delta, n * op.n_out * p.itemsize)


cdef void join_gradient(const Pass* p, const Op* op, const char* delta, const char* x,
                        Py_ssize_t first, Py_ssize_t last, char* out,
                        char* scratch) noexcept nogil:
    dense_gradient(p, op, delta, value_at(p, op.skip, 0, op.n_skip), first, last, out, scratch)


kind = new_kind("join")
kind.joins = True
kind.parameters = join_parameters
kind.forward, kind.backward, kind.gradient = join, join_backward, join_gradient


# -- for tests and measurements -------------------------------------------------------------------

def multiply(a, b, out, bint transposed_a=False, bint transposed_b=False, bias=None,
             bint accumulate=False, bint rectify=False, positive=None, scratch=None):
    """out = a b, where a or b may be stored transposed, with all that a `Product` may ask for.

    `scratch` is how many elements of scratch memory matmul is given, by default as many as the
    engine gives it.
    """
    cdef Product q
    cdef const Spans* spans = &table.float32 if a.dtype == np.float32 else &table.float64
    dtype = np.dtype(np.float32) if a.dtype == np.float32 else np.dtype(np.float64)
    cdef Py_ssize_t m = a.shape[transposed_a], k = a.shape[not transposed_a], n = out.shape[1]
    q.m, q.n, q.k = m, n, k
    q.a = matrix_of(a, dtype, len(a), a.shape[1], "a")
    q.a_row, q.a_column = 1 if transposed_a else k, m if transposed_a else 1
    q.b = matrix_of(b, dtype, n if transposed_b else k, k if transposed_b else n, "b")
    q.b_row, q.transposed = k if transposed_b else n, transposed_b
    q.c, q.c_row = writable_data_of(out, dtype, m * n, "out"), n
    q.bias = NULL if bias is None else data_of(bias, dtype, n, "bias")
    q.positive = NULL if positive is None else matrix_of(positive, dtype, m, n, "positive")
    q.accumulate, q.rectify = accumulate, rectify
    q.n_scratch = matmul_scratch(m, n, k, q.a_row) if scratch is None else scratch
    memory = np.empty(q.n_scratch, dtype)
    q.scratch = writable_data_of(memory, dtype, q.n_scratch, "scratch")
    spans.matmul(&q)
