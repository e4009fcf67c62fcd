"""Figures of the units of a plan: of rows that are brought through it, or as training goes by.

An `Observer` watches nodes: node 0 is the input, node i + 1 the output of op i. Of each
watched node it sums figures of every unit (how often it was active, its least and its most, and
so on: relume.kernels.table has the list), and of the gradient by it. Where an op works in place,
its input is seen before it is overwritten, since ops are gone through one by one.

`observe` brings rows through the plan as prediction does, by shards. The shards are dealt to
slots, each with totals of its own, which are summed in order at the end: so no bit depends on the
number of threads. `look` takes what a minibatch of a training has left on its tape.
"""

cimport numpy as cnp
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, isfinite
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

from relume.engine.arrays cimport (
    address, data_of, loss_of, matrix_of, numbers_of, targets_of,
)
from relume.engine.plan cimport SHARD, Plan, ceil_div
from relume.engine.ops cimport NOWHERE, Op, Pass, backward, delta_at, forward, value_at
from relume.runtime.threads cimport Region, begin, done, end
from relume.kernels.table cimport (
    ACTIVE, CLIPPED, LEAST, MOST, N_FIGURES, SQUARES, SUM, LossRow,
)

import numpy as np

cnp.import_array()

FIGURES = ("active", "clipped", "sum", "squares", "least", "most")
WATCH_VALUES, WATCH_GRADIENTS = VALUES, GRADIENTS


cdef class Observer:
    """Figures of the units at the watched nodes of a plan.

    Parameters
    ----------
    plan : Plan
    watched : ndarray of uint8, one a node
        WATCH_VALUES, WATCH_GRADIENTS, both or 0. `watching` is the same without gradients that
        training does not compute.
    bounds : ndarray of float64 of shape (n_nodes, 2)
        A value counts as clipped if it is at most the first or at least the second.
    every : int
        Of how many minibatches of a training one is looked at.
    slots : int
        Of the totals; 1 does for a training, whose minibatches come one by one.
    """

    def __cinit__(self, Plan plan not None, watched, bounds, Py_ssize_t every=1,
                  Py_ssize_t slots=SLOTS):
        cdef Py_ssize_t i
        if slots < 1:
            raise ValueError(f"slots must be at least 1, got {slots}")
        self.plan, self.every, self.slots = plan, every, slots
        nodes = plan.n_ops + 1
        widths = [plan.n_in, *(plan.ops[i].n_out for i in range(plan.n_ops))]
        starts = np.concatenate([[0], np.cumsum(widths)]).astype(np.intp)
        self.size = 2 * N_FIGURES * int(starts[-1])
        self.watching = watched.copy()
        self.watched = <const uint8_t*> data_of(
            self.watching, np.dtype(np.uint8), nodes, "watched")
        for i in range(plan.n_ops):
            if plan.ops[i].delta_out == NOWHERE:      # nothing before it learns
                self.watching[i + 1] &= VALUES
        self.bounds_array, self.offsets_array = bounds, starts
        self.bounds = <const double*> data_of(
            bounds, np.dtype(np.float64), 2 * nodes, "bounds")
        self.offsets = <const Py_ssize_t*> address(starts)
        self.totals = np.empty((slots, self.size))
        self.total = <double*> address(self.totals)
        self.clear()

    def clear(self):
        """Begin anew."""
        cdef Py_ssize_t _slot, k, j, n, nodes = self.plan.n_ops + 1
        cdef double* totals = self.total
        self.rows = self.looks = self.waited = 0
        memset(totals, 0, self.slots * self.size * sizeof(double))
        for _slot in range(self.slots):
            for k in range(2 * nodes):
                n = self.offsets[k % nodes + 1] - self.offsets[k % nodes]
                for j in range(n):
                    totals[LEAST * n + j], totals[MOST * n + j] = INFINITY, -INFINITY
                totals += N_FIGURES * n

    def _by_node(self, totals):
        """Views of shape (slots, N_FIGURES, units): values of each node, then gradients."""
        starts = self.offsets_array
        for half in range(2):
            base = half * N_FIGURES * starts[-1]
            for first, last in zip(starts, starts[1:]):
                part = totals[:, base + N_FIGURES * first:base + N_FIGURES * last]
                yield part.reshape(len(totals), N_FIGURES, last - first)

    def figures(self):
        """What was summed: (values, gradients), each a list of arrays (N_FIGURES, units)."""
        merged = []
        for part in self._by_node(self.totals):
            whole = part.sum(axis=0)
            whole[LEAST], whole[MOST] = part[:, LEAST].min(axis=0), part[:, MOST].max(axis=0)
            merged.append(whole)
        nodes = self.plan.n_ops + 1
        return merged[:nodes], merged[nodes:]

    def sums(self):
        """Of a training, over all units of each node, and then of the gradient by each: how often
        they were active, were clipped, their sum, their squares; and how many were ever active.
        """
        cdef Py_ssize_t k, j, n, nodes = self.plan.n_ops + 1
        cdef const double* totals = self.total
        cdef double active, clipped, total, squares, alive
        found = []
        for k in range(2 * nodes):
            n = self.offsets[k % nodes + 1] - self.offsets[k % nodes]
            active = clipped = total = squares = alive = 0
            if self.watched[k % nodes] & (GRADIENTS if k >= nodes else VALUES):
                for j in range(n):
                    active += totals[ACTIVE * n + j]
                    clipped += totals[CLIPPED * n + j]
                    total += totals[SUM * n + j]
                    squares += totals[SQUARES * n + j]
                    alive += totals[ACTIVE * n + j] != 0
            found.append((active, clipped, total, squares, alive))
            totals += N_FIGURES * n
        return found

    def active(self, Py_ssize_t node):
        """Of a training: on which share of rows each unit of a node was active."""
        cdef Py_ssize_t first, n
        if not 0 <= node <= self.plan.n_ops:
            raise IndexError(f"node must be between 0 and {self.plan.n_ops}, got {node}")
        first, n = self.offsets[node], self.offsets[node + 1] - self.offsets[node]
        first = N_FIGURES * first + ACTIVE * n
        return self.totals[0, first:first + n] / self.rows

    cdef void add(self, const Pass* p, const char* x, Py_ssize_t node, bint gradient, bint whole,
                  Py_ssize_t slot, Py_ssize_t rows) noexcept nogil:
        """Add rows of values, or gradients, of a node to the totals."""
        cdef Py_ssize_t first = self.offsets[node], n = self.offsets[node + 1] - first
        cdef double* totals = self.total + slot * self.size + N_FIGURES * first
        if x == NULL:                                   # a gradient that has no offset on the tape
            return
        if gradient:
            totals += self.size // 2
        p.spans.column_figures(x, rows, n, whole, self.bounds[2 * node],
                               self.bounds[2 * node + 1], totals)

    cdef bint bounded(self, Py_ssize_t node) noexcept nogil:
        """Whether its values can count as clipped."""
        return isfinite(self.bounds[2 * node]) or isfinite(self.bounds[2 * node + 1])

    # -- as training goes by ---------------------------------------------------------------------

    cdef void look(self, const Pass* p) noexcept nogil:
        """Take what a minibatch left on its tape, if it is its turn, but for LEAST and MOST."""
        cdef Py_ssize_t i
        cdef const Op* op
        self.waited += 1
        if self.waited < self.every:
            return
        self.waited = 0
        self.looks += 1
        self.rows += p.rows
        for i in range(self.plan.n_ops):
            op = &self.plan.ops[i]
            if self.watched[i + 1] & VALUES:
                self.add(p, value_at(p, op.output, 0, op.n_out), i + 1, False,
                         self.bounded(i + 1), 0, p.rows)
            if self.watched[i + 1] & GRADIENTS:
                self.add(p, delta_at(p, op.delta_out, 0, op.n_out), i + 1, True, False, 0, p.rows)

    # -- rows of one's own -----------------------------------------------------------------------

    def observe(self, parameters, X, y=None, loss=None):
        """Bring the rows of X through the plan as prediction does, and sum their figures.

        Parameters
        ----------
        parameters : ndarray
        X : ndarray of shape (n, plan.n_in)
        y : ndarray or None
            What the loss takes; with it the gradients of each row's loss are watched too.
        loss : tuple (kernel, numbers) or callable or None
            As `Training` takes it.

        Returns
        -------
        outputs : ndarray of shape (n, plan.n_out), or None where X is not finite
        losses : ndarray of shape (n,)
            Of each row; zeros without y.
        """
        cdef Py_ssize_t slot, n = X.shape[0], size
        cdef int threads, bad = 0
        cdef Region region
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
        p.training, p.apart = False, True
        with nogil:
            if threads > 1:
                threads = min(begin(&region), threads)
            if threads == 1:
                for slot in range(self.slots):
                    bad += self.slot(p, memory, slot)
            else:
                for slot in prange(self.slots, schedule="dynamic", num_threads=threads):
                    bad += self.slot(
                        p, memory + threadid() * size * self.plan.itemsize, slot)
                    done(&region, threadid())
                end(&region, self.slots)
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self.rows += n
        return (None if bad else outputs), losses

    def record(self, parameters, X):
        """The values of some rows of X at all nodes, as prediction has them: a list of copies."""
        cdef Py_ssize_t i, rows = X.shape[0]
        cdef const Op* op
        tape = self.plan.new_tape(rows)
        cdef Pass p = self.plan.pass_over(parameters, X, tape)
        p.training, p.apart = False, True
        found = [X]
        for i in range(self.plan.n_ops):
            op = &self.plan.ops[i]
            forward(&p, op, 0, rows)
            values = np.empty((rows, op.n_out), self.plan.dtype)
            memcpy(address(values), value_at(&p, op.output, 0, op.n_out), values.nbytes)
            found.append(values)
        return found

    def take_loss(self, y, loss):
        """Point to y and to what makes gradients of it."""
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

    cdef int slot(self, Pass p, char* tape, Py_ssize_t slot) noexcept nogil:
        """The shards of one slot on a tape of its thread; returned is how many are not finite."""
        cdef Py_ssize_t k, first, rows, shards = ceil_div(self.n, SHARD)
        cdef int bad = 0
        cdef const char* x = p.x
        p.tape = tape
        self.be_deterministic(&p)
        for k in range(ceil_div(shards - slot, self.slots)):
            first = (slot + k * self.slots) * SHARD
            rows = min(<Py_ssize_t> SHARD, self.n - first)
            p.x = x + first * self.plan.n_in * p.itemsize
            bad += not self.shard(&p, slot, first, rows)
        return bad

    cdef bint shard(self, const Pass* p, Py_ssize_t slot, Py_ssize_t first,
                    Py_ssize_t rows) noexcept nogil:
        """Forward, and back if there is a loss, op by op; tells whether X is finite."""
        cdef Py_ssize_t i
        cdef const Op* op
        cdef const Op* last = self.plan.last_op()
        if not p.spans.all_finite(p.x, rows * self.plan.n_in):
            return False
        if self.watched[0] & VALUES:
            self.add(p, p.x, 0, False, True, slot, rows)
        for i in range(self.plan.n_ops):
            op = &self.plan.ops[i]
            forward(p, op, 0, rows)
            if self.watched[i + 1] & VALUES:
                self.add(p, value_at(p, op.output, 0, op.n_out), i + 1, False, True, slot, rows)
        memcpy(self.outputs + first * last.n_out * p.itemsize,
               value_at(p, last.output, 0, last.n_out), rows * last.n_out * p.itemsize)
        if self.y == NULL or not self.row_losses(p, first, rows):
            return True
        for i in range(self.plan.n_ops - 1, -1, -1):
            op = &self.plan.ops[i]
            if self.watched[i + 1] & GRADIENTS:
                self.add(p, delta_at(p, op.delta_out, 0, op.n_out), i + 1, True, True, slot, rows)
            backward(p, op, 0, rows)
        return True

    cdef bint row_losses(self, const Pass* p, Py_ssize_t first, Py_ssize_t rows) noexcept nogil:
        """The loss of each row and its gradient by the outputs; tells whether there is one."""
        cdef const Op* last = self.plan.last_op()
        if self.loss == NULL:
            return self.ask_python(p, first, rows)
        self.loss(value_at(p, last.output, 0, last.n_out), self.y + first * self.y_size, rows,
                  last.n_out, 1.0, self.numbers, delta_at(p, last.delta_out, 0, last.n_out),
                  self.losses + first * p.itemsize)
        return True

    cdef bint ask_python(self, const Pass* p, Py_ssize_t first,
                         Py_ssize_t rows) noexcept with gil:
        """A function of Python's gives a shard's mean loss and the gradient of that."""
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
        """Write on the tape what backward reads, as if the ops had worked as in prediction."""
        cdef Py_ssize_t i
        cdef const Op* op
        for i in range(self.plan.n_ops):
            op = &self.plan.ops[i]
            if op.kind.as_prediction != NULL:
                op.kind.as_prediction(p, op, SHARD)
