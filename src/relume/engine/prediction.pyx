"""Prediction: rows brought forward through a plan by shards, on memory that stays in cache.

A row meets no Python between the layers, and nothing is allocated but the result: the memory of
the steps' values is what the last call gave back. Many rows go some shards at a time. In between
Python is asked for signals, so that Ctrl-C ends a long prediction.
"""

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport PyObject
from cython.parallel cimport prange, threadid
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from relume.engine.arrays cimport LINE, address, data_of, matrix_of, read_sparse
from relume.engine.plan cimport Plan, adapted, ceil_div, shard_of, shards_at_once
from relume.engine.ops cimport (
    Pass, Sparse, float_mode, flush_subnormals, restore_float_mode, value_at,
)
from relume.runtime.read_write_lock cimport (
    BUSY, THREAD_LINES, ReadWriteLock, begin_reading, end_reading, line_of_thread, try_reading,
)
from relume.runtime.threads cimport Region, begin, done, end

from relume.engine.arrays import Centered

cdef extern from "runtime/platform.h" nogil:
    void* exchange_pointer(void** address, void* pointer)
    void* load_pointer(void** address)
    uint64_t shared_uint64(const uint64_t* at)
    void set_shared_uint64(uint64_t* at, uint64_t value)
    double shared_double(const double* at)
    double seconds()
    int add_to_int(int* at, int value)
    int load_int(const int* at)

cnp.import_array()

cdef int changes = 0


def count_change_of_layers():
    """Called after each change of a layer or of a list of layers."""
    add_to_int(&changes, 1)


def changes_of_layers():
    """How many there were."""
    return load_int(&changes)


cdef enum:
    TIMED = 16                  # rows of a prediction whose time shows whether threads would pay,
    EVERY = 16                  # one such call in so many


cdef class Predictor:
    """Predictions with the values of a network, by many Python threads at once.

    Each Python thread has a plan of its own, or shares it with few: measured times, and memory
    that a call leaves for the next one, would else move between the caches of all CPUs. The first
    thread has the network's. No value changes during a prediction: the lock is held for reading. A
    predictor never changes what it holds, so that all of it belongs together.

    Parameters
    ----------
    plan : Plan
        The network's.
    specs : list of OpSpec
        Those that it was compiled from.
    sparse : str
        As `Plan` takes it.
    parameters : ndarray
    lock : ReadWriteLock
        That of the parameters.
    """

    cdef readonly Plan plan
    cdef readonly list specs
    cdef readonly str sparse
    cdef readonly object parameters
    cdef readonly ReadWriteLock lock
    cdef list kept              # the plans of `plans`
    cdef char* values
    cdef void* plans[THREAD_LINES]

    def __cinit__(self, Plan plan not None, list specs not None, str sparse not None, parameters,
                  ReadWriteLock lock not None):
        self.plan, self.specs, self.sparse = plan, specs, sparse
        self.parameters, self.lock, self.kept = parameters, lock, []
        self.values = data_of(parameters, plan.dtype, plan.n_parameters, "parameters")

    def predict_array(self, X, bint softmax=False):
        """`predict` for an array that can be read as it is; None for all else, or if not finite.
        """
        return self.array_outputs(X, softmax)

    cdef object array_outputs(self, X, bint softmax):
        if (not cnp.PyArray_CheckExact(X) or cnp.PyArray_NDIM(X) != 2
                or cnp.PyArray_DIM(X, 0) == 0 or cnp.PyArray_DIM(X, 1) != self.plan.n_in
                or cnp.PyArray_TYPE(X) != self.plan.type_number
                or not cnp.PyArray_ISCARRAY_RO(X)):
            return None
        return self.outputs(X, softmax, True)

    def predict(self, X, bint softmax=False):
        """The outputs for the rows of X, through softmax if asked; None where X is not finite.

        A sparse X is a tuple (values, index, starts) of compressed rows.
        """
        return self.outputs(X, softmax, False)

    cdef object outputs(self, X, bint softmax, bint checked):
        cdef int line = line_of_thread(), read
        cdef PyObject* own = <PyObject*> load_pointer(&self.plans[line])
        if own == NULL:
            own = self.new_plan(line)
        read = try_reading(&self.lock.state)
        if read == BUSY:
            with nogil:
                read = begin_reading(&self.lock.state)
        try:
            return outputs(<Plan> own, self.values, X, softmax, checked)
        finally:
            end_reading(&self.lock.state, read)

    cdef PyObject* new_plan(self, int line) except NULL:
        """The plan of some threads. A second one, made at the same time, does no harm."""
        cdef Plan plan = self.plan
        if self.kept:
            plan = Plan(plan.n_in, self.specs, plan.dtype, self.sparse)
            plan.row_took(shared_double(&self.plan.row_seconds))
        self.kept.append(plan)
        exchange_pointer(&self.plans[line], <PyObject*> plan)
        return <PyObject*> plan


cdef class Ready:
    """What a network predicts with at once, as long as no layer changes; by default nothing.

    A network looks up this one attribute in place of six: without the GIL, each object that
    several threads look up has a count of references that all of them write.

    Parameters
    ----------
    predictor : Predictor
    changes : int
        `changes_of_layers` before the plan was compared with the layers.
    softmax : bool
        Whether probabilities are the softmax of the outputs.
    """

    cdef Predictor predictor
    cdef int changes
    cdef bint softmax

    def __cinit__(self, Predictor predictor=None, int changes=0, bint softmax=False):
        self.predictor, self.changes, self.softmax = predictor, changes, softmax

    def __reduce__(self):
        return Ready, ()

    def outputs(self, X):
        """The outputs for an array; None if `predict_array` has none, or nothing is ready."""
        if self.predictor is None or self.changes != load_int(&changes):
            return None
        return self.predictor.array_outputs(X, False)

    def probabilities(self, X):
        """Their softmax."""
        if self.predictor is None or not self.softmax or self.changes != load_int(&changes):
            return None
        return self.predictor.array_outputs(X, True)


def predict(Plan plan not None, parameters, X, bint softmax=False):
    """The outputs for the rows of X through a plan that only the caller uses; see `Predictor`."""
    return outputs(plan, data_of(parameters, plan.dtype, plan.n_parameters, "parameters"), X,
                   softmax, False)


cdef object outputs(Plan plan, char* parameters, X, bint softmax, bint checked):
    """The rows of X; `checked` says that it is a plain array of the plan's form and dtype."""
    cdef bint sparse = not checked and isinstance(X, tuple)
    cdef Py_ssize_t n = (cnp.PyArray_DIM(X, 0) if checked else
                         len(X[2]) - 1 if sparse else X.shape[0])
    cdef cnp.npy_intp[2] shape = [n, plan.n_out]
    cdef Sparse rows
    cdef int threads = plan.threads_for(n)
    cdef Py_ssize_t shard = shard_of(plan, n, threads)
    cdef Pass p = plan.new_pass(parameters, NULL, NULL, min(n, shard))
    p.training = False
    if sparse:
        read_sparse(&rows, X, plan.dtype, n, plan.n_in)
        p.sparse_op, p.sparse = plan.first_product(), &rows
    elif checked:
        p.x = address(X)
    else:
        p.x = matrix_of(X, plan.dtype, n, plan.n_in, "X")
        p.centered = not cnp.PyArray_CheckExact(X) and isinstance(X, Centered)
    if plan.n_segments > 1:
        plan.check_statistics(&p)
    out = cnp.PyArray_EMPTY(2, shape, plan.type_number, False)
    cdef Py_ssize_t first = 0, last, shards = ceil_div(n, shard)
    cdef Py_ssize_t at_once = shards if shards == 1 else shards_at_once(plan, shard)
    cdef char* result = address(out)
    cdef int bad = 0
    cdef double start = 0
    while first < shards and bad == 0:
        last = min(first + at_once, shards)
        with nogil:
            if last < shards:
                start = seconds()
            bad = predict_shards(plan, &p, result, n, first, last, softmax, threads)
        first = last
        if first < shards:
            at_once = adapted(at_once, seconds() - start)
            PyErr_CheckSignals()
    if bad < 0:
        raise MemoryError()
    return None if bad else out


cdef int predict_shards(Plan plan, const Pass* p, char* result, Py_ssize_t rows,
                        Py_ssize_t first, Py_ssize_t last, bint softmax,
                        int threads) noexcept nogil:
    """Some shards, each through all steps; returned is how many were not finite, or -1."""
    cdef Py_ssize_t i
    cdef Py_ssize_t size = ceil_div(
        (plan.fixed + p.rows * plan.value_width) * plan.itemsize, LINE) * LINE
    cdef int bad = 0
    cdef Py_ssize_t* block = borrow(plan, threads * size)
    cdef char* memory = <char*> block + LINE + (-<Py_ssize_t> block & (LINE - 1))
    cdef Region region
    cdef uint64_t calls
    cdef double start = 0
    if block == NULL:
        return -1
    if threads > 1 and last - first > 1:
        threads = begin(&region, threads)
    else:
        threads = 1
    if threads == 1:
        if rows >= TIMED:
            calls = shared_uint64(&plan.predictions) + 1
            set_shared_uint64(&plan.predictions, calls)
            if calls % EVERY == 1:
                start = seconds()
        for i in range(first, last):
            bad += not predict_shard(plan, p[0], memory, result, i, rows, softmax)
    else:
        for i in prange(first, last, schedule="dynamic", num_threads=threads):
            bad += not predict_shard(plan, p[0], memory + threadid() * size, result, i, rows,
                                     softmax)
            done(&region, threadid())
        end(&region, last - first)
        if region.own > 0:
            plan.row_took((region.last - region.begin) / (region.own * p.rows))
    if start > 0:
        plan.row_took((seconds() - start) / (min(last * p.rows, rows) - first * p.rows))
    free(exchange_pointer(&plan.spare, block))
    return bad


cdef Py_ssize_t* borrow(Plan plan, Py_ssize_t size) noexcept nogil:
    """Memory of a call: what the last one gave back, if that is enough; NULL if none is left.

    Its first number is its size. Calls from many Python threads at once get memory of their own.
    """
    cdef Py_ssize_t* block = <Py_ssize_t*> exchange_pointer(&plan.spare, NULL)
    if block == NULL or block[0] < size:
        free(block)
        block = <Py_ssize_t*> malloc(2 * LINE + size)
        if block != NULL:
            block[0] = size
    return block


cdef bint predict_shard(Plan plan, Pass p, char* tape, char* result, Py_ssize_t shard,
                        Py_ssize_t rows, bint softmax) noexcept nogil:
    """One shard through all steps, on a tape of its thread that stays in cache."""
    cdef Py_ssize_t first = shard * p.rows, n = min(p.rows, rows - first), k
    cdef Sparse part
    p.tape = tape
    if p.sparse != NULL:
        part = p.sparse[0]
        part.starts += first
        p.sparse = &part
    else:
        p.x += first * plan.n_in * plan.itemsize
    result += first * plan.n_out * plan.itemsize
    cdef float_mode mode = flush_subnormals()
    for k in range(plan.n_segments):
        plan.forward_segment(&p, k, 0, n)
    restore_float_mode(mode)
    memcpy(result, value_at(&p, plan.last_op().output, 0, plan.n_out),
           n * plan.n_out * plan.itemsize)
    if softmax:
        plan.spans.softmax(result, n, plan.n_out, result)
    return p.sparse != NULL or plan.spans.all_finite(p.x, n * plan.n_in)
