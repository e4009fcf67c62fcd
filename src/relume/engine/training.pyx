"""Minibatches of one fit: gather, forward, loss, backward, update, without the GIL.

All scratch memory belongs to the fit, not to the network. Between minibatches Python is asked for
signals, so that an interrupt finds a network whose last minibatch is complete.
"""

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cython.parallel cimport prange
from libc.math cimport INFINITY, isfinite
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from relume.engine.arrays cimport (
    address, data_of, loss_of, matrix_of, numbers_of, read_sparse, target_dtype,
    writable_data_of,
)
from relume.engine.observer cimport Observer
from relume.engine.plan cimport WIDE_SHARD, Plan, back_from, back_to, ceil_div, shard_of
from relume.engine.ops cimport (
    Pass, Op, at, backward, delta_at, float_mode, flush_subnormals, forward, restore_float_mode,
    value_at,
)
from relume.engine.skip_zeros cimport may_skip
from relume.engine.updates cimport Updates
from relume.runtime.read_write_lock cimport begin_writing, end_writing
from relume.runtime.threads cimport (
    APART, Region, available_threads, begin, begin_choice, choose, chosen, done, end, next_part,
    share_out,
)
from relume.kernels.table cimport LossRow

import math

import numpy as np

from relume.engine.arrays import Centered, aligned_zeros

cnp.import_array()

STATUS = {"fine": FINE, "input not finite": INPUT_NOT_FINITE, "loss not finite": LOSS_NOT_FINITE,
          "label out of range": LABEL_OUT_OF_RANGE, "step not finite": STEP_NOT_FINITE}


cdef inline Py_ssize_t row_at(const int64_t* order, Py_ssize_t i) noexcept nogil:
    return i if order == NULL else order[i]


cdef class Training:
    """The memory and the loop of one fit.

    Parameters
    ----------
    plan : Plan
    weights : relume.nn.parameters.weights.Weights
        Its parameters, optimizer state, average and number of steps are changed in place.
    rows : int
        Maximum number of rows of a minibatch.
    loss : tuple (kernel, numbers) or callable
        The name of a kernel and its numbers; or a function of y and outputs that returns the mean
        loss and its gradient by the outputs.
    y_like : ndarray
        An array with y's dtype and trailing shape; its length is ignored.
    optimizer : relume.nn.optimizers.optimizers.Optimizer
    mean_penalty : bool
        As scikit-learn does it: see `Updates`; and in the loss of an epoch, that of a minibatch
        counts by its rows, not by their weights.
    scale, loss_scale : float
        What the kernel's gradient and its losses are multiplied by. They differ for scikit-learn's
        squared error of several outputs, whose loss is a mean over them and whose gradient a sum.
    loss_limit : float
        Upper limit of the kernel's loss of a row; 0 is no limit.
    """

    def __cinit__(self, Plan plan not None, weights, Py_ssize_t rows, loss, y_like, optimizer,
                  bint mean_penalty=False, double scale=1, double loss_scale=1,
                  double loss_limit=0):
        cdef const LossRow* row
        if rows < 1:
            raise ValueError(f"rows must be at least 1, got {rows}")
        plan.check_learning()
        self.plan, self.rows, self.mean_penalty = plan, rows, mean_penalty
        self.scale, self.loss_scale, self.loss_limit = scale, loss_scale, loss_limit
        self.y_dtype, self.y_shape = y_like.dtype, y_like.shape[1:]
        if self.y_dtype.hasobject:
            raise TypeError(f"y must hold numbers, got dtype {self.y_dtype}")
        self.threads = available_threads()
        if not plan.step_rows // 2 <= rows <= 2 * plan.step_rows:
            begin_choice(&plan.step_choice, self.threads)
            plan.step_rows = rows
        self.updates = Updates(plan, weights, optimizer, self.threads, mean_penalty, rows)
        self.skipped = np.zeros(rows, np.int64)
        numbers = np.zeros(1, plan.dtype)
        if callable(loss):
            self.python_loss = loss
        else:
            kernel, numbers = loss
            row = loss_of(plan.spans, kernel)
            self.loss, self.labels = row.loss, row.labels
            self.numbers = numbers_of(row, numbers, plan.dtype, plan.n_out)
            if self.y_dtype != target_dtype(row, plan.dtype):
                raise ValueError(f"y must be of the dtype that {kernel} takes, got {self.y_dtype}")
            if math.prod(self.y_shape) != (1 if self.labels else plan.n_out):
                raise ValueError(
                    f"y must have {1 if self.labels else plan.n_out} values a row, as {kernel} "
                    f"takes for {plan.n_out} outputs, got shape {('n', *self.y_shape)}")
        y_size = math.prod(self.y_shape) * self.y_dtype.itemsize
        self.y_size = y_size
        tape, batch_y = plan.new_tape(rows), np.empty(rows * y_size, np.uint8)
        row_loss, row_weight = np.empty(rows, plan.dtype), np.empty(rows, plan.dtype)
        self.tape, self.batch_y = address(tape), address(batch_y)
        self.row_loss, self.batch_weight = address(row_loss), address(row_weight)
        parts = np.zeros(self.threads * APART, np.uint64)
        self.parts = <uint64_t*> address(parts)
        self.owners = (numbers, tape, batch_y, row_loss, row_weight, parts)

    @property
    def t(self):
        """The steps that the optimizer has made."""
        return self.updates.t

    @property
    def max_threads(self):
        """The threads that there is memory for."""
        return self.updates.max_threads

    def watch(self, observers):
        """Let observers look at what minibatches leave on the tape; those of another plan do not.

        Parameters
        ----------
        observers : list of Observer
        """
        for each in observers:
            if not isinstance(each, Observer):
                raise TypeError(f"an observer must be a relume.engine Observer, got {each!r}")
        self.observers = [each for each in observers if (<Observer> each).plan is self.plan]

    cdef int show_observers(self) except -1:
        for observer in self.observers:
            (<Observer> observer).observe_minibatch(&self.p, 1)

    def epoch(self, X, y, weight, order, rates, Py_ssize_t batch_size, uint64_t key=0):
        """Train on the rows in this order, minibatch by minibatch; the last may be short.

        A minibatch whose rows all have the weight 0 is skipped: no step is made, and it does not
        count in the loss.

        Parameters
        ----------
        X : ndarray of shape (n, plan.n_in)
        y : ndarray of shape (n, *y_shape)
        weight : ndarray of shape (n,) or None
        order : ndarray of int64
            Rows of X.
        rates : ndarray of float64
            The learning rate of each minibatch.
        batch_size : int
            At most `rows`.
        key : int
            Seed of the random numbers.

        Returns
        -------
        status : one of STATUS
        steps : int
            The minibatches done before it ended.
        loss : float
            Their mean loss, each row counting by its weight.
        """
        cdef Py_ssize_t n = len(X), size = len(order), start, step
        cdef Py_ssize_t steps = len(rates)
        cdef const int64_t* rows = <const int64_t*> data_of(
            order, np.dtype(np.int64), size, "order")
        cdef const double* rate = <const double*> data_of(
            rates, np.dtype(np.float64), steps, "rates")
        cdef double sum = 0, total = 0, share
        cdef Status status
        if isinstance(X, tuple):
            raise TypeError("X must be an array, since sparse rows are trained on batch by batch")
        if (steps < 1 or not 1 <= batch_size <= self.rows
                or not 1 <= size - (steps - 1) * batch_size <= self.rows):
            raise ValueError(f"a minibatch must have 1 to {self.rows} rows, got {batch_size}, and "
                             f"{size} rows in {steps} minibatches")
        for start in range(size):
            if not 0 <= rows[start] < n:
                raise ValueError(f"order must hold rows 0 to {n - 1} of X, got {rows[start]}")
        self.need_batch_x()
        self.take(X, y, weight, n)
        try:
            for step in range(steps):
                start = step * batch_size
                self.order = rows + start
                self.updates.hyper[0] = rate[step]
                self.p.key = key + <uint64_t> step
                # The last minibatch takes what is left.
                with nogil:
                    status = self.minibatch(size - start if step == steps - 1 else batch_size)
                if status == SKIPPED:
                    PyErr_CheckSignals()
                    continue
                if status != FINE:
                    return self._failed(status, step, sum)
                if self.observers:
                    self.show_observers()
                share = self.p.rows if self.mean_penalty else self.batch_total
                sum += self.batch_loss * share
                total += share
                PyErr_CheckSignals()
        finally:
            self.updates.count()
        return FINE, steps, sum / total if total > 0 else 0.0

    cdef int need_batch_x(self) except -1:
        """Have memory for rows that are gathered."""
        if self.batch_x == NULL:
            self.memory = aligned_zeros(self.rows * self.plan.n_in, self.plan.dtype)
            self.batch_x = address(self.memory)

    def batch(self, X, y, weight, double rate, uint64_t key=0, bint guarded=False):
        """Train on one minibatch: all rows of X, an array, or a tuple of two `Sparse` halves.

        A `guarded` step that makes a value infinite or NaN is undone.

        Returns
        -------
        status : one of STATUS
        total : float
            The rows, or the sum of their weights; 0 if no step was made because that is 0.
        loss : float
        """
        cdef Py_ssize_t n = len(y)
        cdef Status status
        self.take(X, y, weight, n)
        if n > self.rows:
            raise ValueError(f"a minibatch must have at most {self.rows} rows, got {n}")
        self.order = NULL
        self.updates.hyper[0] = rate
        self.p.key = key
        self.updates.guarded = False
        if guarded:
            self.updates.guard()
        with nogil:
            status = self.minibatch(n)
        self.updates.count()
        if status == SKIPPED:
            return FINE, 0.0, 0.0
        if status != FINE:
            return self._failed(status, 0, 0.0)
        if self.observers:
            self.show_observers()
        return FINE, self.batch_total, self.batch_loss

    def gradients(self, X, y, weight, gradients, uint64_t key=0):
        """The mean loss over all rows of X, penalties included; its gradient goes to `gradients`.

        Returns
        -------
        status, total, loss
            As of `batch`.
        """
        cdef Py_ssize_t n = len(y)
        cdef char* out = writable_data_of(
            gradients, self.plan.dtype, self.plan.n_parameters, "gradients")
        cdef Status status
        if n > self.rows:
            raise ValueError(f"a minibatch must have at most {self.rows} rows, got {n}")
        self.take(X, y, weight, n)
        self.order = NULL
        self.p.key = key
        with nogil:
            self.choose_threads()
            status = self.phase1(n, False)
            if status == FINE:
                self.batch_loss += self.updates.derive(&self.p, self.divisor, out)
            chosen(&self.plan.step_choice, n)
        if status != FINE:
            return self._failed(status, 0, 0.0)
        if self.observers:
            self.show_observers()
        return FINE, self.batch_total, self.batch_loss

    def _failed(self, Status status, Py_ssize_t step, double loss):
        """What a minibatch that did not end well is reported as."""
        if status == NO_MEMORY:
            raise MemoryError("no memory to keep the weights as they were before the step")
        if status == RAISED:
            error, self.error = self.error, None
            raise error
        return status, step, loss

    @property
    def n_out(self):
        """The outputs of the plan; labels are below it."""
        return self.plan.n_out

    @property
    def strange_label(self):
        """The first label of the last minibatch that is none of the classes, or None."""
        cdef const int64_t* label = <const int64_t*> self.batch_y
        cdef Py_ssize_t i
        for i in range(self.p.rows if self.labels else 0):
            if not 0 <= label[i] < self.plan.n_out:
                return label[i]
        return None

    def share_skipped(self):
        """The share of forward passes' and weight gradients' products since this was asked for."""
        products, self.products = self.products, 0
        skipped = np.asarray(self.skipped).sum() + self.updates.skipped()
        self.skipped[:] = 0
        return float(skipped / products) if products else 0.0

    cdef int take(self, X, y, weight, Py_ssize_t n) except -1:
        """Point to the arrays that minibatches are made of, once they are what they should be."""
        plan = self.plan
        self.p = self.plan.new_pass(self.updates.parameters, self.batch_x, self.tape, self.rows)
        self.p.skipped = &self.skipped[0]
        if isinstance(X, tuple):
            self.x = NULL
            self.p.x, self.p.sparse_op = NULL, self.plan.first_product()
            read_sparse(&self.by_rows, X[0], plan.dtype, n, plan.n_in)
            read_sparse(&self.by_columns, X[1], plan.dtype, plan.n_in, n)
            self.p.sparse, self.p.sparse_columns = &self.by_rows, &self.by_columns
        else:
            self.x = matrix_of(X, plan.dtype, n, plan.n_in, "X")
            self.p.centered = isinstance(X, Centered)
        self.take_targets(y, weight, n)

    cdef int take_targets(self, y, weight, Py_ssize_t n) except -1:
        self.y = data_of(y, self.y_dtype, n * self.y_size // self.y_dtype.itemsize, "y")
        self.weight = NULL
        if weight is not None:
            self.weight = data_of(weight, self.plan.dtype, n, "weight")

    # -- one minibatch ---------------------------------------------------------------------------

    cdef void choose_threads(self) noexcept nogil:
        """Choose those of the next minibatch.

        The choice is the plan's. Another training of the plan, also in another Python thread, may
        have begun it with more threads than there is memory for here.
        """
        cdef int max_threads = self.updates.max_threads
        if self.plan.step_choice.all_threads != max_threads:
            begin_choice(&self.plan.step_choice, max_threads)
        self.threads = self.updates.threads = min(choose(&self.plan.step_choice), max_threads)

    cdef Status minibatch(self, Py_ssize_t rows) noexcept nogil:
        cdef Status status
        self.choose_threads()
        status = self.update(rows)
        chosen(&self.plan.step_choice, rows)
        return status

    cdef Status update(self, Py_ssize_t rows) noexcept nogil:
        cdef Status status = self.phase1(rows)
        cdef double penalties
        cdef bint guarded = self.updates.guarded
        if status != FINE:
            return status
        if guarded and not self.updates.begin_guarded(
                self.plan.largest_gradient(&self.p), NULL):
            return NO_MEMORY
        begin_writing(&self.updates.lock.state)
        self.plan.track_statistics(&self.p)
        penalties = self.updates.run(&self.p, self.divisor)
        if guarded and not self.updates.end_guarded(NULL):
            status = STEP_NOT_FINITE
        end_writing(&self.updates.lock.state)
        if status == FINE:
            self.batch_loss += penalties
        return status

    cdef Status phase1(self, Py_ssize_t rows, bint steps=True) noexcept nogil:
        """All shards through all segments and back; the loss stands between.

        A minibatch of weight 0 is skipped where there would be a step.
        """
        cdef Py_ssize_t k, last = self.plan.n_segments - 1
        cdef int faults = 0
        self.p.rows = self.p.all_rows = rows
        self.p.penalized_rows, self.p.x_peak = rows, -1
        self.shard_rows = shard_of(self.plan, rows, self.threads)
        self.n_shards = ceil_div(rows, self.shard_rows)
        self.tiled = self.plan.wide and rows < 2 * self.threads * WIDE_SHARD
        if self.order == NULL:
            self.p.x = self.x
        self.batch_total = self.total_weight()
        if steps and self.batch_total == 0:
            return self.skip(rows)
        self.divisor = self.batch_total if self.batch_total != 0 else 1
        for k in range(last + 1):
            self.plan.before_segment(&self.p, k)
            faults = self.shards(k, False)
            if faults & NOT_FINITE:
                return INPUT_NOT_FINITE
            if faults & STRANGE_LABEL:
                return LABEL_OUT_OF_RANGE
        if self.python_loss is not None:
            if not self.ask_python():
                return RAISED
        else:
            self.batch_loss = (self.plan.spans.total(self.row_loss, rows) / self.divisor
                               * self.loss_scale)
        if not isfinite(self.batch_loss):
            return LOSS_NOT_FINITE
        # With a loss of the kernels the last segment has been on its way back already.
        for k in range(last if self.python_loss is not None else last - 1, -1, -1):
            self.plan.before_backward(&self.p, k)
            self.shards(k, True)
        self.batch_loss += self.plan.penalties(&self.p)
        self.products += 2 * rows * self.plan.multiply_adds
        return FINE

    cdef Status skip(self, Py_ssize_t rows) noexcept nogil:
        """Only look at the rows of a minibatch: bad ones are bad whatever their weight."""
        cdef int faults = self.gather(0, rows)
        if faults & NOT_FINITE:
            return INPUT_NOT_FINITE
        return LABEL_OUT_OF_RANGE if faults & STRANGE_LABEL else SKIPPED

    cdef double total_weight(self) noexcept nogil:
        """Gather the weights of the minibatch's rows and return their sum; without, count them."""
        cdef Py_ssize_t i, size = self.plan.itemsize
        if self.weight == NULL:
            return self.p.rows
        for i in range(self.p.rows):
            memcpy(self.batch_weight + i * size, self.weight + row_at(self.order, i) * size, size)
        return self.plan.spans.total(self.batch_weight, self.p.rows)

    cdef int shards(self, Py_ssize_t segment, bint back) noexcept nogil:
        """A segment forward or back over all rows; returned are the faults of all rows."""
        cdef Stage stage = self.stage_of(segment, back)
        return self.run_between_tiles(&stage) if self.tiled else self.run(&stage)

    cdef Stage stage_of(self, Py_ssize_t segment, bint back) noexcept nogil:
        """A segment forward or back; the last one at once on its way back, unless Python is asked.
        """
        cdef Stage stage
        stage.tiles.n = 0
        stage.gathers = stage.loses = False
        stage.first = stage.last = 0
        if not back:
            stage.gathers = segment == 0
            stage.first = self.plan.segments[segment]
            stage.last = self.plan.segments[segment + 1]
            stage.loses = back = segment == self.plan.n_segments - 1 and self.loss != NULL
        stage.back, stage.stop = -1, 0
        if back:
            stage.back = back_from(self.plan, segment)
            stage.stop = back_to(self.plan, segment)
        return stage

    cdef int run_between_tiles(self, const Stage* stage) noexcept nogil:
        """A stage that is cut at wide products: these in tiles, all else in shards."""
        cdef Stage part = stage[0]
        cdef Py_ssize_t i
        cdef int faults = 0
        part.loses, part.back, part.stop = False, -1, 0
        for i in range(stage.first, stage.last):
            if not self.has_tiles(i, False):
                continue
            part.last = i
            if part.gathers or part.first < part.last:
                faults |= self.run(&part)
                part.gathers = False
                if faults & STRANGE_LABEL:
                    return faults
            part.first = i + self.run_tiles(i, False)
        part.last, part.loses, part.back = stage.last, stage.loses, stage.back
        for i in range(stage.back, stage.stop - 1, -1):
            if not self.has_tiles(i, True):
                continue
            part.stop = i + 1
            faults |= self.run(&part)
            self.run_tiles(i, True)
            part.gathers = part.loses = False
            part.first = part.last = 0
            part.back = i - 1
        part.stop = stage.stop
        return faults | self.run(&part)

    cdef bint has_tiles(self, Py_ssize_t i, bint back) noexcept nogil:
        """Whether op i may be computed in tiles."""
        cdef const Op* op = &self.plan.ops[i]
        if op == self.p.sparse_op or (back and delta_at(&self.p, op.delta_in, 0, 0) == NULL):
            return False
        return self.plan.tiles_of(op, self.p.rows, back, self.threads).n > 0

    cdef bint run_tiles(self, Py_ssize_t i, bint back) noexcept nogil:
        """Compute op i in tiles, unless it may skip zeros; returned is whether it was."""
        cdef const Op* op = &self.plan.ops[i]
        cdef Stage stage
        if not back and may_skip(&self.p, op, value_at(&self.p, op.input, 0, 0), self.p.rows):
            return False
        stage.tiles = self.plan.tiles_of(op, self.p.rows, back, self.threads)
        stage.first, stage.tiled_back = i, back
        self.run(&stage)
        return True

    cdef int run(self, const Stage* stage) noexcept nogil:
        """A stage over all shards, or the tiles of its product; returned are faults."""
        cdef Py_ssize_t i, n = stage.tiles.n if stage.tiles.n else self.n_shards
        cdef int faults = 0, threads = 1, thread
        cdef Region region
        if self.threads > 1 and n > 1:
            threads = begin(&region, self.threads)
        if threads == 1:
            for i in range(n):
                faults |= self.part(i, 0, stage)
        else:
            share_out(self.parts, threads, n)
            for thread in prange(threads, schedule="static", chunksize=1, num_threads=threads):
                faults |= self.parts_of(thread, threads, &region, stage)
            end(&region, n)
        return faults

    cdef int parts_of(self, int thread, int threads, Region* region,
                      const Stage* stage) noexcept nogil:
        """The parts of a thread, the same in every minibatch unless others have to help."""
        cdef Py_ssize_t i = next_part(self.parts, threads, thread)
        cdef int faults = 0
        while i >= 0:
            faults |= self.part(i, thread, stage)
            done(region, thread)
            i = next_part(self.parts, threads, thread)
        return faults

    cdef int part(self, Py_ssize_t i, int thread, const Stage* stage) noexcept nogil:
        """A shard, or a tile; returned are the faults of its rows."""
        cdef float_mode mode
        if stage.tiles.n == 0:
            return self.shard(i, stage)
        mode = flush_subnormals()
        self.plan.tile(&self.p, &self.plan.ops[stage.first], &stage.tiles, i, stage.tiled_back,
                       self.updates.scratch + thread * self.updates.scratch_size)
        restore_float_mode(mode)
        return 0

    cdef int shard(self, Py_ssize_t i, const Stage* stage) noexcept nogil:
        """One shard through a stage; returned are the faults of its rows."""
        cdef Py_ssize_t first = i * self.shard_rows
        return self.some_rows(&self.p, 0, first, min(self.shard_rows, self.p.rows - first), stage)

    cdef int some_rows(self, const Pass* p, Py_ssize_t start, Py_ssize_t first, Py_ssize_t n,
                       const Stage* stage) noexcept nogil:
        """Rows first .. first + n of a pass, whose row 0 is row `start` of the minibatch."""
        cdef Py_ssize_t i
        cdef int faults = 0
        cdef float_mode mode = flush_subnormals()
        if stage.gathers:
            faults = self.gather(start + first, n)
        if not faults & STRANGE_LABEL:              # by which the loss would read past its row
            for i in range(stage.first, stage.last):
                forward(p, &self.plan.ops[i], first, n)
            if stage.loses:
                self.row_losses(p, start, first, n)
            for i in range(stage.back, stage.stop - 1, -1):
                backward(p, &self.plan.ops[i], first, n)
        restore_float_mode(mode)
        return faults

    cdef int gather(self, Py_ssize_t first, Py_ssize_t n) noexcept nogil:
        """Bring a shard's rows of X and y together; returned is what is wrong with them.

        Labels are looked at here, once they are copied: the user's array may have changed since
        it was checked, by a callback or by another thread.
        """
        cdef Py_ssize_t i, width = self.plan.n_in * self.plan.itemsize
        cdef const int64_t* label = <const int64_t*> self.batch_y
        cdef int faults = 0
        cdef double peak
        cdef bint finite
        for i in range(first, first + n):
            memcpy(self.batch_y + i * self.y_size, self.y + row_at(self.order, i) * self.y_size,
                   self.y_size)
            if self.labels and not 0 <= label[i] < self.plan.n_out:
                faults = STRANGE_LABEL
        if self.p.sparse != NULL:
            return faults
        if self.order == NULL:
            peak = self.plan.spans.peak(self.x + first * width, n * self.plan.n_in)
            finite = peak < INFINITY
            if n == self.p.rows:
                self.p.x_peak = peak
        else:
            finite = self.plan.spans.gather(self.x, self.order + first, n, self.plan.n_in,
                                            self.batch_x + first * width)
        return faults if finite else faults | NOT_FINITE

    cdef void row_losses(self, const Pass* p, Py_ssize_t start, Py_ssize_t first,
                         Py_ssize_t n) noexcept nogil:
        """The losses of rows first .. first + n of a pass, and their gradients."""
        cdef const Op* last = self.plan.last_op()
        cdef Py_ssize_t size = self.plan.itemsize, row = start + first
        cdef char* dz = delta_at(p, last.delta_out, first, last.n_out)
        self.loss(at(p, last.output, first, last.n_out), self.batch_y + row * self.y_size,
                  n, last.n_out, self.scale / self.divisor, self.numbers, dz,
                  self.row_loss + row * size)
        if self.loss_limit != 0:
            self.plan.spans.clip(self.row_loss + row * size, n, self.loss_limit)
        if self.weight != NULL:
            self.plan.spans.weigh(self.batch_weight + row * size, n, last.n_out, dz,
                                  self.row_loss + row * size)

    cdef bint ask_python(self) noexcept with gil:
        """Let a function of Python's give the loss and its gradient."""
        cdef const Op* last = self.plan.last_op()
        cdef Py_ssize_t rows = self.p.rows, n = rows * last.n_out
        try:
            y = copied(self.batch_y, rows * self.y_size).view(self.y_dtype)
            z = copied(at(&self.p, last.output, 0, last.n_out), n * self.plan.itemsize)
            self.batch_loss, dz = self.python_loss(
                y.reshape(rows, *self.y_shape), z.view(self.plan.dtype).reshape(rows, -1))
            memcpy(delta_at(&self.p, last.delta_out, 0, last.n_out),
                   data_of(dz, self.plan.dtype, n, "the gradient that loss returns"),
                   n * self.plan.itemsize)
        except BaseException as error:
            self.error = error
            return False
        return True


cdef object copied(const char* memory, Py_ssize_t size):
    array = np.empty(size, np.uint8)
    memcpy(address(array), memory, size)
    return array
