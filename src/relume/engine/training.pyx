"""Minibatches of one fit: gather, forward, loss, backward, update, without the GIL.

All scratch memory belongs to the fit, not to the network. Between minibatches Python is asked for
signals, so that an interrupt finds a network whose last minibatch is complete.
"""

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cython.parallel cimport prange, threadid
from libc.math cimport isfinite
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from relume.engine.plan cimport SHARD, Block, Layer, Plan, ceil_div, data_of, loss_of, update_of
from relume.kernels.threads cimport Region, begin, done, end
from relume.kernels.types cimport N_HYPER, Loss, Update

import numpy as np

from relume.engine.plan import target_dtype

cnp.import_array()

cdef enum Status:
    FINE
    INPUT_NOT_FINITE
    LOSS_NOT_FINITE

STATUS = {"fine": FINE, "input not finite": INPUT_NOT_FINITE, "loss not finite": LOSS_NOT_FINITE}


cdef class Training:
    """The memory and the loop of one fit.

    Parameters
    ----------
    plan : Plan
    parameters : ndarray of shape (plan.n_parameters,)
        Changed in place, as is the state.
    state : ndarray of shape (2, plan.n_parameters)
        The optimizer's.
    X : ndarray of shape (n, plan.n_in)
    y : ndarray of shape (n,) or (n, plan.n_out)
        int64 labels within the classes, or values of the plan's dtype.
    batch_size : int
    loss, optimizer : str
        Names of kernels.
    hyper : sequence of float
        The optimizer's numbers, learning rate first.
    t : int
        The steps that the optimizer has made.
    """

    cdef Plan plan
    cdef tuple owners           # keeps alive what the pointers below point to
    cdef char* parameters
    cdef char* state
    cdef const char* x
    cdef const char* y
    cdef char* tape
    cdef char* batch_x
    cdef char* batch_y
    cdef char* row_loss
    cdef char* gradient         # a block for each thread
    cdef Py_ssize_t n, y_size   # y_size: bytes a row
    cdef readonly Py_ssize_t batch_size
    cdef int threads
    cdef Loss loss
    cdef Update update
    cdef double hyper[N_HYPER]
    cdef readonly int64_t t
    cdef double batch_loss

    def __cinit__(self, Plan plan, parameters, state, X, y, Py_ssize_t batch_size, str loss,
                  str optimizer, hyper, int64_t t):
        self.plan, self.n, self.t = plan, len(X), t
        self.batch_size = rows = min(batch_size, self.n)
        self.threads = plan.threads_for(rows)
        self.loss = loss_of(plan.spans, loss)
        self.update = update_of(plan.spans, optimizer)
        for i, value in enumerate(hyper):
            self.hyper[i] = value
        target = target_dtype(loss, plan.dtype)
        self.parameters = data_of(parameters, plan.dtype, plan.n_parameters, "parameters")
        self.state = data_of(state, plan.dtype, 2 * plan.n_parameters, "state")
        self.x = data_of(X, plan.dtype, self.n * plan.n_in, "X")
        self.y = data_of(y, target, self.n * (1 if y.ndim == 1 else plan.n_out), "y")
        self.y_size = y.nbytes // self.n
        tape, batch_x = plan.new_tape(rows), np.empty(rows * plan.n_in, plan.dtype)
        batch_y, row_loss = np.empty(rows * self.y_size, np.uint8), np.empty(rows, plan.dtype)
        gradient = np.empty(self.threads * plan.largest_block, plan.dtype)
        self.tape, self.batch_x = <char*> cnp.PyArray_DATA(tape), <char*> cnp.PyArray_DATA(batch_x)
        self.batch_y = <char*> cnp.PyArray_DATA(batch_y)
        self.row_loss = <char*> cnp.PyArray_DATA(row_loss)
        self.gradient = <char*> cnp.PyArray_DATA(gradient)
        self.owners = (parameters, state, X, y, tape, batch_x, batch_y, row_loss, gradient)

    def epoch(self, order):
        """Train on the rows in this order, minibatch by minibatch; the last may be short.

        Returns
        -------
        status : one of STATUS
        steps : int
            The minibatches done before it ended.
        loss : float
            Their mean loss, each row counting the same.
        """
        cdef const int64_t* rows = <const int64_t*> data_of(
            order, np.dtype(np.int64), self.n, "order")
        cdef Py_ssize_t start, size, steps = ceil_div(self.n, self.batch_size), step
        cdef double total = 0
        cdef Status status
        for start in range(self.n):
            if not 0 <= rows[start] < self.n:
                raise ValueError(f"order must hold rows 0 to {self.n - 1} of X, got {rows[start]}")
        for step in range(steps):
            start = step * self.batch_size
            size = min(self.batch_size, self.n - start)
            with nogil:
                status = self.minibatch(rows + start, size)
            if status != FINE:
                return status, step, total
            total += self.batch_loss * size
            PyErr_CheckSignals()
        return FINE, steps, total / self.n

    cdef Status minibatch(self, const int64_t* order, Py_ssize_t rows) noexcept nogil:
        cdef Py_ssize_t i, shards = ceil_div(rows, SHARD)
        cdef int bad = 0, threads = 1
        cdef Region region
        if self.threads > 1 and shards > 1:
            threads = min(begin(&region), self.threads)
        if threads == 1:
            for i in range(shards):
                bad += not self.shard(order, rows, i)
        else:
            for i in prange(shards, schedule="dynamic", num_threads=threads):
                bad += not self.shard(order, rows, i)
                done(&region, threadid())
            end(&region, shards)
        if bad:
            return INPUT_NOT_FINITE
        self.batch_loss = self.plan.spans.total(self.row_loss, rows) / rows
        if not isfinite(self.batch_loss):
            return LOSS_NOT_FINITE
        self.t += 1
        self.update_blocks(rows)
        return FINE

    cdef void update_blocks(self, Py_ssize_t rows) noexcept nogil:
        """Phase 2: every block, its memory for the gradient being its thread's."""
        cdef Py_ssize_t i, blocks = self.plan.n_blocks
        cdef Py_ssize_t size = self.plan.largest_block * self.plan.itemsize
        cdef Region region
        cdef int threads = 1
        if self.threads > 1 and blocks > 1:
            threads = min(begin(&region), self.threads)
        if threads == 1:
            for i in range(blocks):
                self.update_block(i, rows, self.gradient)
        else:
            for i in prange(blocks, schedule="dynamic", num_threads=threads):
                self.update_block(i, rows, self.gradient + threadid() * size)
                done(&region, threadid())
            end(&region, blocks)

    cdef bint shard(self, const int64_t* order, Py_ssize_t rows, Py_ssize_t i) noexcept nogil:
        """Phase 1 for one shard; tells whether its input is finite."""
        cdef Py_ssize_t first = i * SHARD, n = min(<Py_ssize_t> SHARD, rows - first), row
        cdef char* y = self.batch_y + first * self.y_size
        cdef const Layer* last = self.plan.last_layer()
        cdef bint finite = self.plan.spans.gather(
            self.x, order + first, n, self.plan.n_in,
            self.batch_x + first * self.plan.n_in * self.plan.itemsize)
        for row in range(n):
            memcpy(y + row * self.y_size, self.y + order[first + row] * self.y_size, self.y_size)
        self.plan.forward_shard(self.parameters, self.batch_x, self.tape, rows, i)
        self.loss(self.plan.on_tape(self.tape, rows, last.output, first, last.n_out), y, n,
                  last.n_out, 1.0 / rows,
                  self.plan.on_tape(self.tape, rows, last.delta, first, last.n_out),
                  self.row_loss + first * self.plan.itemsize)
        self.plan.backward_shard(self.parameters, self.tape, NULL, rows, i)
        return finite

    cdef void update_block(self, Py_ssize_t i, Py_ssize_t rows, char* gradient) noexcept nogil:
        """Phase 2 for one block: its gradient, and at once its update."""
        cdef const Block* block = &self.plan.blocks[i]
        cdef Py_ssize_t start = self.plan.block_start(i) * self.plan.itemsize
        self.plan.block_gradient(block, self.batch_x, self.tape, rows, gradient)
        self.update(self.parameters + start, gradient, self.state + start,
                    self.state + start + self.plan.n_parameters * self.plan.itemsize,
                    (block.last - block.first) * self.plan.layers[block.layer].n_out,
                    self.hyper, self.t)


def apply_update(Plan plan, parameters, gradients, state, str optimizer, hyper, int64_t t):
    """One optimizer step over all parameters, from gradients computed before."""
    cdef double numbers[N_HYPER]
    for i, value in enumerate(hyper):
        numbers[i] = value
    cdef char* s = data_of(state, plan.dtype, 2 * plan.n_parameters, "state")
    update_of(plan.spans, optimizer)(
        data_of(parameters, plan.dtype, plan.n_parameters, "parameters"),
        data_of(gradients, plan.dtype, plan.n_parameters, "gradients"), s,
        s + plan.n_parameters * plan.itemsize, plan.n_parameters, numbers, t)
