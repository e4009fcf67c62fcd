"""Statistics of the units of a plan, over given rows or during training.

An `Observer` observes nodes: node 0 is the input, node i + 1 the output of op i. For every unit of
an observed node it accumulates statistics (how often the unit was active, its min and max, and so
on: relume.kernels.table has the list), and the same for the gradient at the node. Ops run one by
one, so the input of an op that works in place is read before it is overwritten.

`observe` runs rows through the plan as prediction does, in shards. The shards are dealt out to
slots. Each slot has its own totals, which are added in a fixed order at the end, so the bits do
not depend on the number of threads. `observe_minibatch` reads what a training minibatch has left
on the tape.
"""

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, isfinite
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

from relume.engine.arrays cimport (
    address, data_of, loss_of, matrix_of, numbers_of, targets_of,
)
from relume.engine.plan cimport SHARD, Plan, adapted, ceil_div, shards_at_once
from relume.engine.ops cimport (
    NOWHERE, Op, Pass, backward, delta_at, float_mode, flush_subnormals, forward,
    restore_float_mode, value_at,
)
from relume.runtime.threads cimport Region, begin, done, end
from relume.kernels.table cimport (
    ACTIVE, CLIPPED, MINIMUM, MAXIMUM, N_STATISTICS, SQUARES, SUM, LossRow,
)

import numpy as np

from relume.engine.arrays import Centered

cdef extern from "runtime/platform.h" nogil:
    double seconds()

cnp.import_array()

STATISTICS = ("active", "clipped", "sum", "squares", "min", "max")
OBSERVE_VALUES, OBSERVE_GRADIENTS = VALUES, GRADIENTS


cdef class Observer:
    """Statistics of the units at the observed nodes of a plan.

    Parameters
    ----------
    plan : Plan
    observed : ndarray of uint8 of shape (n_nodes,)
        OBSERVE_VALUES, OBSERVE_GRADIENTS, both or 0 for each node. The attribute of that name
        lacks the gradients that training does not compute.
    bounds : ndarray of float64 of shape (n_nodes, 2)
        A value counts as clipped if it is at most the first or at least the second bound.
    every : int
        During training, one minibatch out of this many is observed.
    slots : int
        The number of separate totals. One is enough for training, whose minibatches come one by
        one.
    """

    def __cinit__(self, Plan plan not None, observed, bounds, Py_ssize_t every=1,
                  Py_ssize_t slots=SLOTS):
        cdef Py_ssize_t i
        if slots < 1:
            raise ValueError(f"slots must be at least 1, got {slots}")
        self.plan, self.every, self.slots = plan, every, slots
        nodes = plan.n_ops + 1
        widths = [plan.n_in, *(plan.ops[i].n_out for i in range(plan.n_ops))]
        starts = np.concatenate([[0], np.cumsum(widths)]).astype(np.intp)
        self.size = 2 * N_STATISTICS * int(starts[-1])
        self.observed = observed.copy()
        self.observed_bits = <const uint8_t*> data_of(
            self.observed, np.dtype(np.uint8), nodes, "observed")
        for i in range(plan.n_ops):
            if plan.ops[i].delta_out == NOWHERE:      # nothing before it learns
                self.observed[i + 1] &= VALUES
        self.bounds_array, self.offsets_array = bounds, starts
        self.bounds = <const double*> data_of(
            bounds, np.dtype(np.float64), 2 * nodes, "bounds")
        self.offsets = <const Py_ssize_t*> address(starts)
        self.totals = np.empty((slots, self.size))
        self.total = <double*> address(self.totals)
        self.clear()

    def clear(self):
        """Reset all totals."""
        cdef Py_ssize_t _slot, k, j, n, nodes = self.plan.n_ops + 1
        cdef double* totals = self.total
        self.rows = self.observations = self.waited = 0
        memset(totals, 0, self.slots * self.size * sizeof(double))
        for _slot in range(self.slots):
            for k in range(2 * nodes):
                n = self.offsets[k % nodes + 1] - self.offsets[k % nodes]
                for j in range(n):
                    totals[MINIMUM * n + j], totals[MAXIMUM * n + j] = INFINITY, -INFINITY
                totals += N_STATISTICS * n

    def _by_node(self, totals):
        """Views of shape (slots, N_STATISTICS, units): values of each node, then gradients."""
        starts = self.offsets_array
        for half in range(2):
            base = half * N_STATISTICS * starts[-1]
            for first, last in zip(starts, starts[1:]):
                part = totals[:, base + N_STATISTICS * first:base + N_STATISTICS * last]
                yield part.reshape(len(totals), N_STATISTICS, last - first)

    def statistics(self):
        """The totals: (values, gradients), each a list of arrays (N_STATISTICS, units)."""
        merged = []
        for part in self._by_node(self.totals):
            whole = part.sum(axis=0)
            whole[MINIMUM] = part[:, MINIMUM].min(axis=0)
            whole[MAXIMUM] = part[:, MAXIMUM].max(axis=0)
            merged.append(whole)
        nodes = self.plan.n_ops + 1
        return merged[:nodes], merged[nodes:]

    def sums(self):
        """Totals of a training over all units of each node, then of the gradient at each node.

        Each is a tuple: how often units were active and clipped, the sum of their values and of
        the squares, and how many units were ever active.
        """
        cdef Py_ssize_t k, j, n, nodes = self.plan.n_ops + 1
        cdef const double* totals = self.total
        cdef double active, clipped, total, squares, alive
        found = []
        for k in range(2 * nodes):
            n = self.offsets[k % nodes + 1] - self.offsets[k % nodes]
            active = clipped = total = squares = alive = 0
            if self.observed_bits[k % nodes] & (GRADIENTS if k >= nodes else VALUES):
                for j in range(n):
                    active += totals[ACTIVE * n + j]
                    clipped += totals[CLIPPED * n + j]
                    total += totals[SUM * n + j]
                    squares += totals[SQUARES * n + j]
                    alive += totals[ACTIVE * n + j] != 0
            found.append((active, clipped, total, squares, alive))
            totals += N_STATISTICS * n
        return found

    def active(self, Py_ssize_t node):
        """The share of training rows on which each unit of a node was active."""
        cdef Py_ssize_t first, n
        if not 0 <= node <= self.plan.n_ops:
            raise IndexError(f"node must be between 0 and {self.plan.n_ops}, got {node}")
        first, n = self.offsets[node], self.offsets[node + 1] - self.offsets[node]
        first = N_STATISTICS * first + ACTIVE * n
        return self.totals[0, first:first + n] / self.rows

    cdef void add(self, const Pass* p, const char* x, Py_ssize_t node, bint gradient, bint whole,
                  Py_ssize_t slot, Py_ssize_t rows) noexcept nogil:
        """Add rows of values, or gradients, of a node to the totals."""
        cdef Py_ssize_t first = self.offsets[node], n = self.offsets[node + 1] - first
        cdef double* totals = self.total + slot * self.size + N_STATISTICS * first
        cdef float_mode mode
        if x == NULL:                                   # this gradient is not on the tape
            return
        if gradient:
            totals += self.size // 2
        mode = flush_subnormals()               # the next op, too, takes them for 0
        p.spans.column_statistics(x, rows, n, whole, self.bounds[2 * node],
                                  self.bounds[2 * node + 1], totals)
        restore_float_mode(mode)

    cdef bint bounded(self, Py_ssize_t node) noexcept nogil:
        """Whether values of the node can count as clipped."""
        return isfinite(self.bounds[2 * node]) or isfinite(self.bounds[2 * node + 1])

    # -- during training -------------------------------------------------------------------------

    cdef void observe_minibatch(self, const Pass* passes, Py_ssize_t n) noexcept nogil:
        """Add what a minibatch left on the tape, without MINIMUM and MAXIMUM, if it is due.

        Its rows may be in several passes.
        """
        cdef Py_ssize_t k
        self.waited += 1
        if self.waited < self.every:
            return
        self.waited = 0
        self.observations += 1
        for k in range(n):
            if passes[k].rows > 0:
                self.observe_pass(&passes[k])

    cdef void observe_pass(self, const Pass* p) noexcept nogil:
        cdef Py_ssize_t i
        cdef const Op* op
        self.rows += p.rows
        if self.observed_bits[0] & VALUES:
            self.add(p, p.x, 0, False, self.bounded(0), 0, p.rows)
        for i in range(self.plan.n_ops):
            op = &self.plan.ops[i]
            if self.observed_bits[i + 1] & VALUES:
                self.add(p, value_at(p, op.output, 0, op.n_out), i + 1, False,
                         self.bounded(i + 1), 0, p.rows)
            if self.observed_bits[i + 1] & GRADIENTS:
                self.add(p, delta_at(p, op.delta_out, 0, op.n_out), i + 1, True, False, 0, p.rows)

    # -- over given rows -------------------------------------------------------------------------

    def observe(self, parameters, X, y=None, loss=None):
        """Run the rows of X through the plan as prediction does, and add their statistics.

        Parameters
        ----------
        parameters : ndarray
        X : ndarray of shape (n, plan.n_in)
        y : ndarray or None
            Targets as the loss takes them. If given, the gradients of each row's loss are observed
            too.
        loss : tuple (kernel, numbers) or callable or None
            As `Training` takes it.

        Returns
        -------
        outputs : ndarray of shape (n, plan.n_out), or None if X is not finite
        losses : ndarray of shape (n,)
            The loss of each row; zeros without y.
        """
        cdef Py_ssize_t n = X.shape[0], size, shards = ceil_div(n, SHARD)
        cdef Py_ssize_t at_once = ceil_div(shards_at_once(self.plan, SHARD), self.slots)
        cdef int threads, bad = 0
        cdef double start
        plan = self.plan
        outputs, losses = np.empty((n, plan.n_out), plan.dtype), np.zeros(n, plan.dtype)
        self.outputs, self.losses, self.n = address(outputs), address(losses), n
        self.take_loss(y, loss)
        threads = self.plan.threads_for(n) if self.python_loss is None else 1
        size = self.plan.tape_size(SHARD)
        scratch = np.empty(threads * size, plan.dtype)
        cdef char* memory = address(scratch)
        cdef Pass p = self.plan.new_pass(
            data_of(parameters, plan.dtype, plan.n_parameters, "parameters"),
            matrix_of(X, plan.dtype, n, plan.n_in, "X"), memory, SHARD)
        p.training, p.apart, p.centered = False, True, isinstance(X, Centered)
        self.plan.check_statistics(&p)
        self.first = 0
        while self.first < shards and bad == 0 and self.error is None:
            self.last = min(self.first + at_once * self.slots, shards)
            start = seconds()
            with nogil:
                bad = self.all_slots(&p, memory, size, threads)
            self.first = self.last
            at_once = adapted(at_once, seconds() - start)
            PyErr_CheckSignals()
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self.rows += n
        return (None if bad else outputs), losses

    def record(self, parameters, X):
        """The values of rows of X at all nodes, as in prediction: a list of copies."""
        cdef Py_ssize_t i, rows = X.shape[0]
        cdef const Op* op
        tape = self.plan.new_tape(rows)
        cdef Pass p = self.plan.pass_over(parameters, X, tape)
        p.training, p.apart = False, True
        found = [X]
        cdef float_mode mode
        for i in range(self.plan.n_ops):
            op = &self.plan.ops[i]
            mode = flush_subnormals()
            forward(&p, op, 0, rows)
            restore_float_mode(mode)
            values = np.empty((rows, op.n_out), self.plan.dtype)
            memcpy(address(values), value_at(&p, op.output, 0, op.n_out), values.nbytes)
            found.append(values)
        return found

    def take_loss(self, y, loss):
        """Set the pointers to y and to the loss that makes gradients of it."""
        cdef const LossRow* row
        self.loss, self.python_loss, self.y, self.owners = NULL, None, NULL, None
        if y is None:
            return
        self.plan.check_learning()
        if callable(loss):
            self.python_loss = loss, y
        else:
            kernel, numbers = loss
            row = loss_of(self.plan.spans, kernel)
            y = targets_of(row, y, self.plan.dtype, self.n, self.plan.n_out)
            self.numbers = numbers_of(row, numbers, self.plan.dtype, self.plan.n_out)
            self.loss = row.loss
        self.y = data_of(y, y.dtype, y.size, "y")
        self.y_size = y.nbytes // max(self.n, 1)
        self.owners = (y, loss)

    cdef int all_slots(self, const Pass* p, char* memory, Py_ssize_t size,
                       int threads) noexcept nogil:
        """Run the shards `self.first` to `self.last`; return how many are not finite."""
        cdef Py_ssize_t slot
        cdef int bad = 0
        cdef Region region
        if threads > 1:
            threads = begin(&region, threads)
        if threads == 1:
            for slot in range(self.slots):
                bad += self.slot(p[0], memory, slot)
        else:
            for slot in prange(self.slots, schedule="dynamic", num_threads=threads):
                bad += self.slot(p[0], memory + threadid() * size * self.plan.itemsize, slot)
                done(&region, threadid())
            end(&region, self.slots)
        return bad

    cdef int slot(self, Pass p, char* tape, Py_ssize_t slot) noexcept nogil:
        """Run the shards of one slot on the thread's tape; return how many are not finite."""
        cdef Py_ssize_t k, first, rows, n = self.last - self.first
        cdef int bad = 0
        cdef const char* x = p.x
        p.tape = tape
        self.be_deterministic(&p)
        for k in range(ceil_div(n - slot, self.slots)):
            first = (self.first + slot + k * self.slots) * SHARD
            rows = min(<Py_ssize_t> SHARD, self.n - first)
            p.x = x + first * self.plan.n_in * p.itemsize
            bad += not self.shard(&p, slot, first, rows)
        return bad

    cdef bint shard(self, const Pass* p, Py_ssize_t slot, Py_ssize_t first,
                    Py_ssize_t rows) noexcept nogil:
        """Run a shard forward, and backward if there is a loss; return whether X is finite."""
        cdef Py_ssize_t i
        cdef const Op* op
        cdef const Op* last = self.plan.last_op()
        cdef float_mode mode
        if not p.spans.all_finite(p.x, rows * self.plan.n_in):
            return False
        if self.observed_bits[0] & VALUES:
            self.add(p, p.x, 0, False, True, slot, rows)
        for i in range(self.plan.n_ops):
            op = &self.plan.ops[i]
            mode = flush_subnormals()
            forward(p, op, 0, rows)
            restore_float_mode(mode)
            if self.observed_bits[i + 1] & VALUES:
                self.add(p, value_at(p, op.output, 0, op.n_out), i + 1, False, True, slot, rows)
        memcpy(self.outputs + first * last.n_out * p.itemsize,
               value_at(p, last.output, 0, last.n_out), rows * last.n_out * p.itemsize)
        if self.y == NULL or not self.row_losses(p, first, rows):
            return True
        for i in range(self.plan.n_ops - 1, -1, -1):
            op = &self.plan.ops[i]
            if self.observed_bits[i + 1] & GRADIENTS:
                self.add(p, delta_at(p, op.delta_out, 0, op.n_out), i + 1, True, True, slot, rows)
            mode = flush_subnormals()
            backward(p, op, 0, rows)
            restore_float_mode(mode)
        return True

    cdef bint row_losses(self, const Pass* p, Py_ssize_t first, Py_ssize_t rows) noexcept nogil:
        """Compute each row's loss and its gradient at the outputs; return whether that worked."""
        cdef const Op* last = self.plan.last_op()
        if self.loss == NULL:
            return self.ask_python(p, first, rows)
        self.loss(value_at(p, last.output, 0, last.n_out), self.y + first * self.y_size, rows,
                  last.n_out, 1.0, self.numbers, delta_at(p, last.delta_out, 0, last.n_out),
                  self.losses + first * p.itemsize)
        return True

    cdef bint ask_python(self, const Pass* p, Py_ssize_t first,
                         Py_ssize_t rows) noexcept with gil:
        """The same for a loss written in Python, which gives a shard's mean loss and gradient."""
        cdef const Op* last = self.plan.last_op()
        cdef Py_ssize_t size = rows * last.n_out
        if self.error is not None:
            return False
        try:
            function, y = self.python_loss
            z = np.empty((rows, last.n_out), self.plan.dtype)
            memcpy(address(z), value_at(p, last.output, 0, last.n_out), size * p.itemsize)
            loss, dz = function(y[first:first + rows], z)
            each, dz = np.full(rows, loss, self.plan.dtype), dz * self.plan.dtype.type(rows)
            memcpy(self.losses + first * p.itemsize, address(each), rows * p.itemsize)
            memcpy(delta_at(p, last.delta_out, 0, last.n_out),
                   data_of(dz, self.plan.dtype, size, "the gradient that loss returns"),
                   size * p.itemsize)
        except BaseException as error:
            self.error = error
            return False
        return True

    cdef void be_deterministic(self, const Pass* p) noexcept nogil:
        """Fill the tape so that the backward pass has no noise, as in prediction."""
        cdef Py_ssize_t i
        cdef const Op* op
        for i in range(self.plan.n_ops):
            op = &self.plan.ops[i]
            if op.kind.as_prediction != NULL:
                op.kind.as_prediction(p, op, SHARD)
