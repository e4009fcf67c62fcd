"""Which matrix products skip zeros, by their times on this machine, and the kernels that do so.

A relu sets 30 to 90 % of its outputs to 0. The product of such a row with a matrix needs only some
rows of the matrix, but has to find them, while a dense product reads all rows at full speed. The
share of zeros from which skipping is faster depends on the shape, on the CPU and on what else is
in its caches, so it is measured, for each product of each op, while the product is computed:

- the dense product takes d seconds for an element of x,
- compressing takes c, and the product with what is left takes s for each element that is not 0.
  A line of the compressed form takes about as long as one element more.

Of lines of n elements a share z of which is 0, skipping takes c + s (1 - z + 1 / n), which is less
than d from z = 1 + 1 / n - (d - c) / s on. The zeros in a sample of the rows are compared with
that, or in x W those of the last rows that were compressed, which cost nothing to count. So the
choice follows them at once, or a call later; no time has to be taken for it.

The first calls are timed, BURST of each form; later as many are, so rarely that the slower form
and the clock cost about 1 / COST of the time. The shortest time of a burst counts: the first call
of a form that was not used finds its memory out of the cache, and others may be interrupted. The
estimates follow a shorter time quickly and a longer one slowly for the same reason. The choice
changes no bit of a result. Several threads may use one plan at once: a choice that one of them is
timing is `busy`, and the others follow what it says so far. What they read of it is read and
written whole. A count that is lost costs a little time at most.
"""

cimport numpy as cnp
from cython.parallel cimport threadid
from libc.stdint cimport INT32_MAX, int32_t, int64_t

from relume.engine.arrays cimport address, data_of, matrix_of, read_sparse, writable_data_of
from relume.engine.ops cimport Op, Pass, SkipChoice, Sparse, at
from relume.kernels.dispatch cimport table
from relume.kernels.table cimport COMPRESS_ROWS, PADDING, Spans

import numpy as np

cdef extern from "runtime/platform.h" nogil:
    double seconds()
    bint swap_int_if(int* at, int before, int after)
    void store_int(int* at, int value)
    int shared_int(const int* at)
    void set_shared_int(int* at, int value)
    int64_t shared_int64(const int64_t* at)
    void set_shared_int64(int64_t* at, int64_t value)
    double shared_double(const double* at)
    void set_shared_double(double* at, double value)

cnp.import_array()

cdef enum:
    SAMPLE = 8                  # rows, evenly spread, by which the zeros of more are estimated
    COUNTED = 1024              # outputs of a product for each of these rows: counting costs less
    ROW_COUNTED = 256           # outputs for which the zeros of a single row are always counted
    BURST = 3                   # calls of a form in a row that are timed
    COST = 256                  # timing may take 1 / COST of the time
    MIN_WAIT = 32               # calls between two bursts of the slower form
    MAX_WAIT = 1 << 20

SPARSITIES = {"never": NEVER, "auto": AUTO, "always": ALWAYS}
PRODUCTS = {"one row": ONE_ROW, "forward": FORWARD, "gradient": GRADIENT}


# -- the choice -----------------------------------------------------------------------------------

cdef double clock = 0           # seconds that reading the clock takes


cdef void time_clock() noexcept:
    """Let `clock` be the least of some measurements."""
    global clock
    cdef double begin, now = 0
    cdef int _i, _k
    clock = 1
    for _i in range(8):
        begin = seconds()
        for _k in range(16):
            now = seconds()
        clock = min(clock, (now - begin) / 16)

time_clock()


cdef void begin_choice(SkipChoice* choice) noexcept nogil:
    """Nothing is known yet: the next calls are timed."""
    choice.min_share, choice.share, choice.wait = 2, 0, 1
    choice.bursts[DENSE] = choice.bursts[SKIPPING] = 0
    choice.form, choice.left = DENSE, BURST
    choice.clock = clock
    choice.busy = 0


cdef int next_call(SkipChoice* choice) noexcept nogil:
    """The form in which the next call is timed, or UNTIMED; the choice is busy until `end_call`.
    """
    cdef int64_t wait = shared_int64(&choice.wait) - 1
    set_shared_int64(&choice.wait, wait)
    if wait > 0 or not swap_int_if(&choice.busy, False, True):
        return UNTIMED
    return choice.form


cdef void end_call(SkipChoice* choice) noexcept nogil:
    """Let another call be timed."""
    store_int(&choice.busy, False)


cdef double shortest(const SkipChoice* choice, double before, double took) noexcept nogil:
    """The shortest time of a burst so far."""
    return took if choice.left == BURST else min(before, took)


cdef double follow(double estimate, double found, int bursts) noexcept nogil:
    """An estimate after one more burst."""
    if bursts == 0:
        return found
    found = min(found, 2 * estimate)
    return estimate + (found - estimate) / (2 if found < estimate else 4)


cdef double skipping_takes(const SkipChoice* choice, double share) noexcept nogil:
    """Seconds for an element of x."""
    return (shared_double(&choice.compress)
            + shared_double(&choice.nonzero) * (1 - share + 1 / shared_double(&choice.line)))


cdef void dense_took(SkipChoice* choice, double took, Py_ssize_t size) noexcept nogil:
    """Record a timed call of the dense form with `size` elements of x."""
    choice.found = shortest(choice, choice.found, took / size)
    choice.left -= 1
    if choice.left > 0:
        return
    set_shared_double(&choice.dense, follow(choice.dense, choice.found, choice.bursts[DENSE]))
    choose_again(choice, size)


cdef void skipping_took(SkipChoice* choice, double compress, double product, Py_ssize_t size,
                        Py_ssize_t nonzeros, double line) noexcept nogil:
    """Record a timed call that skipped zeros, in lines of `line` elements."""
    cdef int bursts = choice.bursts[SKIPPING]
    choice.found = shortest(choice, choice.found, compress / size)
    choice.found_nonzero = shortest(choice, choice.found_nonzero,
                                    product / (nonzeros + size / line))
    choice.left -= 1
    if choice.left > 0:
        return
    set_shared_double(&choice.line, line)
    set_shared_double(&choice.share, 1 - <double> nonzeros / size)
    set_shared_double(&choice.compress, follow(choice.compress, choice.found, bursts))
    set_shared_double(&choice.nonzero, follow(choice.nonzero, choice.found_nonzero, bursts))
    choose_again(choice, size)


cdef void choose_again(SkipChoice* choice, Py_ssize_t size) noexcept nogil:
    """Find the share of zeros from which skipping pays, and when the next burst begins."""
    cdef double dense = choice.dense, skipping, faster, wait
    cdef int form = choice.form
    set_shared_int(&choice.bursts[form], choice.bursts[form] + (choice.bursts[form] < INT32_MAX))
    choice.form, choice.left = (DENSE if form == SKIPPING else SKIPPING), BURST
    set_shared_int64(&choice.wait, 1)
    if choice.bursts[SKIPPING] == 0:
        return
    skipping = skipping_takes(choice, shared_double(&choice.share))
    if form == (SKIPPING if skipping > dense else DENSE):       # the slower form, which costs time
        faster = max(min(dense, skipping) * size, choice.clock)
        wait = COST * BURST * (max(dense, skipping) * size - faster + 4 * choice.clock) / faster
        set_shared_int64(&choice.wait,
                         <int64_t> min(max(wait, <double> MIN_WAIT), <double> MAX_WAIT))
    set_shared_double(&choice.min_share,
                      1 + 1 / choice.line - (dense - choice.compress) / choice.nonzero)


cdef Py_ssize_t sample_of(Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """Rows in which zeros are counted, so few that counting hardly takes time."""
    return min(max(rows * n // COUNTED, <Py_ssize_t> 1), min(rows, <Py_ssize_t> SAMPLE))


cdef double share_of_zeros(const Pass* p, const char* x, Py_ssize_t rows, Py_ssize_t width,
                           Py_ssize_t stride, Py_ssize_t n) noexcept nogil:
    """In a sample of the rows of x, for a product with a matrix of n columns."""
    cdef Py_ssize_t i, sample = sample_of(rows, n), zeros = 0
    for i in range(sample):
        zeros += p.spans.count_zeros(x + i * rows // sample * stride * p.itemsize, width)
    return <double> zeros / (sample * width)


cdef bint skips(const Pass* p, const Op* op, int product, const char* x, Py_ssize_t rows,
                Py_ssize_t width, Py_ssize_t stride, Trial* trial) noexcept nogil:
    """Whether to skip the zeros of x; the trial begins if this call is to be timed."""
    cdef SkipChoice* choice
    cdef int form = UNTIMED
    cdef double share, min_share
    trial.choice = NULL
    if p.sparsity != AUTO:
        return p.sparsity == ALWAYS
    choice = op.choices + product
    # One thread of a team times its own parts, so that no two of them write the same estimates.
    cdef bint own = product == ONE_ROW or threadid() == 0
    if own:
        form = next_call(choice)
    if form != UNTIMED:
        trial.choice, trial.form, trial.size = choice, form, rows * width
        trial.compressing, trial.reads, trial.begin = 0, 1, seconds()
        return form == SKIPPING
    min_share = shared_double(&choice.min_share)
    if min_share > 1:
        return False
    # Compressing counts the zeros of the rows that it takes, which stand for those of the next.
    if product != GRADIENT and shared_double(&choice.share) >= min_share:
        return True
    if product == ONE_ROW:
        # Before a dense product, counting them takes too long where there are few outputs: those
        # of a row before stand for them.
        if op.n_out < ROW_COUNTED and shared_int64(&choice.wait) % 16 != 0:
            return False
    elif min_share <= 0:
        return True
    share = share_of_zeros(p, x, rows, width, stride, op.n_out)
    if own:
        set_shared_double(&choice.share, share)
    return share >= min_share


cdef bint may_skip(const Pass* p, const Op* op, const char* x, Py_ssize_t rows) noexcept nogil:
    """Whether zeros may be skipped in x W, or its next call is to be timed.

    It is for a product that else is computed in tiles, which do neither, and counts as a call.
    """
    cdef SkipChoice* choice
    cdef int64_t wait
    cdef double share, min_share
    if op.n_compressed == 0 or p.sparsity != AUTO:
        return op.n_compressed != 0 and p.sparsity == ALWAYS
    choice = op.choices + FORWARD
    wait = shared_int64(&choice.wait) - 1
    if wait <= 0:
        return True
    set_shared_int64(&choice.wait, wait)
    min_share = shared_double(&choice.min_share)
    if min_share > 1:
        return False
    share = share_of_zeros(p, x, rows, op.n_in, op.n_in, op.n_out)
    set_shared_double(&choice.share, share)
    return share >= min_share


cdef void end_trial(const Trial* trial) noexcept nogil:
    """Record what the call took, if it was timed."""
    cdef double took
    if trial.choice == NULL:
        return
    took = max(seconds() - trial.begin - trial.reads * clock, 0.0)
    if trial.form == DENSE:
        dense_took(trial.choice, took, trial.size)
    else:
        skipping_took(trial.choice, trial.compressing, max(took - trial.compressing, 0.0),
                      trial.size, trial.nonzeros, trial.line)
    end_call(trial.choice)


cdef double clock_of(Trial* trial) noexcept nogil:
    """The time, if the call is timed."""
    if trial.choice == NULL:
        return 0
    trial.reads += 1
    return seconds()


cdef void add_compressing(Trial* trial, double begin) noexcept nogil:
    if trial.choice != NULL:
        trial.compressing += max(clock_of(trial) - begin - clock, 0.0)


# -- memory for the compressed form: values, their indices, where each line begins ----------------

cdef struct Compressed:
    char* values
    int32_t* index
    int32_t* starts


cdef Py_ssize_t compressed_size(Py_ssize_t count, Py_ssize_t lines,
                                Py_ssize_t itemsize) noexcept nogil:
    """Bytes for `count` elements in so many lines, none of them 0."""
    return (count + PADDING) * (itemsize + sizeof(int32_t)) + (lines + 1) * sizeof(int32_t)


cdef Py_ssize_t gradient_scratch(int sparsity, Py_ssize_t rows, Py_ssize_t width,
                                 Py_ssize_t itemsize) noexcept nogil:
    """Bytes of a thread for `width` rows of a gradient: a count, and columns."""
    cdef Py_ssize_t some = min(rows, <Py_ssize_t> COMPRESS_ROWS)
    if sparsity == NEVER:
        return 0
    return sizeof(int64_t) + compressed_size(some * width, width, itemsize)


cdef Compressed compressed_at(char* memory, Py_ssize_t count, Py_ssize_t itemsize) noexcept nogil:
    cdef Compressed c
    c.values = memory
    c.index = <int32_t*> (memory + (count + PADDING) * itemsize)
    c.starts = c.index + count + PADDING
    return c


# -- the products ---------------------------------------------------------------------------------

cdef bint skip_in_forward(const Pass* p, const Op* op, const char* x, Py_ssize_t first,
                          Py_ssize_t n, const char* weights, const char* bias, char* z,
                          Trial* trial) noexcept nogil:
    """z = x W + b for n rows, without the zeros of x; not if a single row has too few of them."""
    cdef Compressed c = compressed_at(at(p, op.compressed, first, op.n_compressed), n * op.n_in,
                                      p.itemsize)
    cdef double begin = trial.begin, share
    cdef SkipChoice* choice
    p.spans.compress_rows(x, n, op.n_in, op.n_in, c.values, c.index, c.starts)
    add_compressing(trial, begin)
    if p.sparsity == AUTO and trial.choice == NULL:
        choice = op.choices + (ONE_ROW if n == 1 else FORWARD)
        share = 1 - <double> c.starts[n] / (n * op.n_in)
        set_shared_double(&choice.share, share)
        if n == 1 and share < shared_double(&choice.min_share):
            return False
    p.spans.sparse_times_dense(c.values, c.index, c.starts, weights, n, op.n_in, op.n_out, bias,
                               False, z)
    trial.nonzeros, trial.line = c.starts[n], op.n_in
    if p.skipped != NULL:
        p.skipped[first] += (n * op.n_in - c.starts[n]) * op.n_out
    return True


cdef void skip_in_gradient(const Pass* p, const Op* op, const char* x, Py_ssize_t first,
                           Py_ssize_t last, const char* delta, char* scratch, char* out,
                           Trial* trial) noexcept nogil:
    """Rows first .. last of x^T delta without the zeros of x; scratch begins with a count."""
    cdef Py_ssize_t width = last - first, row = op.n_matrix * p.itemsize, i, rows, nonzeros = 0
    cdef double begin
    cdef Compressed c
    x += first * p.itemsize
    for i from 0 <= i < p.rows by COMPRESS_ROWS:
        rows = min(p.rows - i, <Py_ssize_t> COMPRESS_ROWS)
        c = compressed_at(scratch + sizeof(int64_t), rows * width, p.itemsize)
        begin = clock_of(trial)
        p.spans.compress_columns(x + i * row, rows, width, op.n_matrix, c.values, c.index,
                                 c.starts)
        add_compressing(trial, begin)
        p.spans.sparse_times_dense(
            c.values, c.index, c.starts, delta + i * op.n_out * p.itemsize, width, rows, op.n_out,
            NULL, i > 0, out)
        nonzeros += c.starts[width]
    trial.nonzeros, trial.line = nonzeros, min(p.rows, <Py_ssize_t> COMPRESS_ROWS)
    (<int64_t*> scratch)[0] += (p.rows * width - nonzeros) * op.n_out


# -- for tests and measurements -------------------------------------------------------------------

def simulate(shares, dense, compress, nonzero, double clock, Py_ssize_t rows=64,
             Py_ssize_t width=64):
    """What would be chosen in calls with such shares of zeros, if they took such times.

    Parameters
    ----------
    shares, dense, compress, nonzero : array_like
        For each call the share of zeros in x, and seconds: of the dense product for an element of
        x, of compressing one, and of the product for each element that is not 0.
    clock : float
        Seconds that reading the clock takes.
    rows, width : int
        The shape of x.

    Returns
    -------
    skipped, timed : ndarray of bool
        Of each call: whether it skipped zeros, and whether it was timed.
    min_share : float
        The share of zeros from which zeros are skipped after these calls.
    """
    cdef SkipChoice choice
    cdef int form
    cdef Py_ssize_t size = rows * width, nonzeros
    for name, n in (("rows", rows), ("width", width)):
        if not 1 <= n <= INT32_MAX:
            raise ValueError(f"{name} must be between 1 and {INT32_MAX}, got {n}")
    calls = np.broadcast_arrays(*np.atleast_1d(shares, dense, compress, nonzero))
    skipped, timed = np.zeros((2, calls[0].size), bool)
    begin_choice(&choice)
    choice.clock = clock
    for i, (share, d, c, s) in enumerate(zip(*calls)):
        form = next_call(&choice)
        timed[i], skipped[i] = form != UNTIMED, form == SKIPPING
        if form == DENSE:
            dense_took(&choice, d * size, size)
            end_call(&choice)
        elif form == SKIPPING:
            nonzeros = round((1 - share) * size)
            skipping_took(&choice, c * size, s * (nonzeros + rows), size, nonzeros, width)
            end_call(&choice)
        else:
            choice.share = share
            skipped[i] = share >= choice.min_share
    return skipped, timed, choice.min_share


def count_zeros(x):
    """How many elements are 0."""
    return spans_of(x.dtype).count_zeros(data_of(x, x.dtype, x.size, "x"), x.size)


def compress(x, bint columns=False):
    """(values, index, starts) of the rows of x, or of the columns of at most COMPRESS_ROWS."""
    rows, n = x.shape
    if columns and rows > COMPRESS_ROWS:
        raise ValueError(f"x must have at most {COMPRESS_ROWS} rows, got {rows}")
    if x.size > INT32_MAX:
        raise ValueError(f"x must have at most {INT32_MAX} elements, got {x.size}")
    cdef const Spans* spans = spans_of(x.dtype)
    values, index = np.empty(x.size + PADDING, x.dtype), np.empty(x.size + PADDING, np.int32)
    starts = np.empty((n if columns else rows) + 1, np.int32)
    (spans.compress_columns if columns else spans.compress_rows)(
        matrix_of(x, x.dtype, rows, n, "x"), rows, n, n, address(values),
        <int32_t*> address(index), <int32_t*> address(starts))
    return values[:starts[-1]], index[:starts[-1]], starts


def times_dense(compressed, matrix, bias=None, out=None, bint accumulate=False):
    """The product of compressed rows and a matrix, and a bias; or added to what is in `out`."""
    cdef Sparse sparse
    height, n = matrix.shape
    dtype, rows = matrix.dtype, len(compressed[2]) - 1
    cdef const Spans* spans = spans_of(dtype)
    cdef const char* b = NULL if bias is None else data_of(bias, dtype, n, "bias")
    read_sparse(&sparse, compressed, dtype, rows, height)
    if out is None:
        out = np.empty((rows, n), dtype)
    spans.sparse_times_dense(
        sparse.values, sparse.index, sparse.starts, matrix_of(matrix, dtype, height, n, "matrix"),
        rows, height, n, b, accumulate, writable_data_of(out, dtype, rows * n, "out"))
    return out


cdef const Spans* spans_of(dtype) except NULL:
    if dtype == np.float32:
        return &table.float32
    if dtype == np.float64:
        return &table.float64
    raise TypeError(f"the dtype must be float32 or float64, got {dtype}")
