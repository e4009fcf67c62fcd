"""Phase 2 of a minibatch: every block's gradient, its penalties and limits, and its update."""

cimport numpy as cnp
from cython.parallel cimport prange
from libc.math cimport sqrt
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from relume.engine.arrays cimport address, optimizer_of, writable_data_of
from relume.engine.plan cimport Block, Plan
from relume.engine.ops cimport Pass, Op, float_mode, flush_subnormals, restore_float_mode
from relume.engine.tree cimport Tree, begin_tree, joins, push, slots_of
from relume.runtime.read_write_lock cimport ReadWriteLock, begin_writing, end_writing
from relume.runtime.threads cimport APART, Region, begin, done, end, next_part, share_out
from relume.kernels.table cimport N_HYPER

import numpy as np

from relume.engine.arrays import aligned_zeros

cnp.import_array()

cdef double SCALE = 2.0 ** -600     # of float64 gradients whose squares would overflow


cdef class Updates:
    """An optimizer at work on the parameters of a network.

    Parameters
    ----------
    plan : Plan
    weights : relume.nn.parameters.weights.Weights
        Its parameters, optimizer state, average and number of steps are changed in place, while
        its lock is held for writing.
    optimizer : relume.nn.optimizers.optimizers.Optimizer
        The kernel's name and numbers; the limits of the gradient's norm and of its elements; how
        much of the weights' running average a step keeps.
    threads : int
    mean_penalty : bool
        Whether l1 and l2 are divided by the weight of the minibatch, as scikit-learn does.
    rows : int
        Maximum number of rows of a minibatch whose gradients are derived here.
    """

    def __cinit__(self, Plan plan not None, weights, optimizer, int threads,
                  bint mean_penalty=False, Py_ssize_t rows=0):
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self.plan, self.threads, self.max_threads = plan, threads, threads
        self.mean_penalty = mean_penalty
        self.weights, self.t = weights, weights.steps
        lock = getattr(weights, "lock", None)
        self.lock = ReadWriteLock() if lock is None else lock
        self.clip_norm = optimizer.clip_norm or 0.0
        self.clip_value = optimizer.clip_value or 0.0
        self.keep = optimizer.ema_decay or 0.0
        self.optimizer = optimizer_of(plan.spans, optimizer.kernel)
        numbers = tuple(optimizer.hyper())
        if len(numbers) != self.optimizer.n_hyper:
            raise ValueError(
                f"hyper() of {optimizer!r} must give {self.optimizer.n_hyper} numbers, as the "
                f"kernel {optimizer.kernel!r} takes; got {len(numbers)}")
        for i in range(self.optimizer.n_hyper):
            try:
                self.hyper[i] = numbers[i]
            except TypeError:
                raise TypeError(f"hyper() of {optimizer!r} must give numbers, "
                                f"got {numbers[i]!r}") from None
        self.keeps_all = self.clip_norm != 0
        n = plan.n_parameters if self.keeps_all else threads * plan.largest_block
        gradient, sums = aligned_zeros(n, plan.dtype), np.zeros((2, max(plan.n_blocks, 1)))
        self.scratch_size = plan.scratch_size(rows)
        scratch = aligned_zeros(threads * self.scratch_size, np.uint8)
        self.scratch = address(scratch)
        self.parameters = writable_data_of(
            weights.parameters, plan.dtype, plan.n_parameters, "parameters")
        self.n_state = self.optimizer.n_state
        self.state = writable_data_of(
            weights.optimizer_state, plan.dtype, self.n_state * plan.n_parameters,
            "the optimizer's state")
        self.average = NULL
        if self.keep:
            self.average = writable_data_of(
                weights.average, plan.dtype, plan.n_parameters, "average")
        self.gradient, self.penalty = address(gradient), <double*> address(sums)
        self.square = self.penalty + max(plan.n_blocks, <Py_ssize_t> 1)
        self.largest_rate = self.l1 = self.l2 = 0
        for i in range(plan.n_ops):
            if plan.ops[<Py_ssize_t> i].n_trainable:
                self.largest_rate = max(self.largest_rate, plan.ops[<Py_ssize_t> i].lr_scale)
                self.l1 = max(self.l1, plan.ops[<Py_ssize_t> i].l1)
                self.l2 = max(self.l2, plan.ops[<Py_ssize_t> i].l2)
        parts = np.zeros(threads * APART, np.uint64)
        self.parts = <uint64_t*> address(parts)
        self.first_block, self.last_block, self.share = 0, plan.n_blocks, 1
        self.sums, self.own_gradient = sums, self.gradient
        self.owners = (parts, weights.parameters, weights.optimizer_state, weights.average,
                       gradient, sums, scratch)

    def step(self, gradients, double rate):
        """One step over all parameters, from gradients computed before, which it changes.

        The weights are told of the step, and forget the gradients, before Python can be
        interrupted.

        Returns
        -------
        finite : bool
            False if the step would have made a value infinite or NaN: nothing has changed then.
        """
        cdef Pass p
        cdef double factor, unit
        cdef bint kept, finite = False
        p.rows = 0
        self.gradient = writable_data_of(
            gradients, self.plan.dtype, self.plan.n_parameters, "gradients")
        self.keeps_all = True
        self.hyper[0] = rate
        self.guard()
        with nogil:
            kept = self.begin_guarded(
                self.plan.spans.peak(self.gradient, self.plan.n_parameters), self.gradient)
            if kept:
                self.begin_step()
                self.blocks(&p, 1, REGULARIZE, 1)
                self.scale_squares()
                factor = self.norm_factor(&unit)
                begin_writing(&self.lock.state)
                self.blocks(&p, 1, UPDATE, factor, unit)
                self.limit_columns()
                finite = self.end_guarded(self.gradient)
                end_writing(&self.lock.state)
        if not kept:
            raise MemoryError("no memory to keep the weights as they were before the step")
        if finite:
            self.count()
            self.weights.gradients = None
        return finite

    cdef void begin_blocks(self, char* sums, Py_ssize_t first, Py_ssize_t last,
                           double total) noexcept:
        """From sums of gradients to gradients of some blocks, with penalties and limits."""
        cdef Pass p
        p.rows = 0
        self.gradient, self.keeps_all = sums, True
        self.first_block, self.last_block, self.share = first, last, 1 / total
        with nogil:
            self.blocks(&p, total, REGULARIZE, 1)
        self.share = 1

    cdef void end_blocks(self) noexcept:
        """Update these blocks; `sums` hold what is known of the others."""
        cdef Pass p
        cdef double factor, unit
        p.rows = 0
        with nogil:
            self.begin_step()
            if self.last_block - self.first_block == self.plan.n_blocks:
                self.scale_squares()                    # else all owners have done it together
            factor = self.norm_factor(&unit)
            begin_writing(&self.lock.state)
            self.blocks(&p, 1, UPDATE, factor, unit)
            end_writing(&self.lock.state)

    cdef double finish_blocks(self) noexcept:
        """After the update of all blocks; returned is the sum of the penalties."""
        self.first_block, self.last_block = 0, self.plan.n_blocks
        self.gradient, self.keeps_all = self.own_gradient, self.clip_norm != 0
        with nogil:
            begin_writing(&self.lock.state)
            self.limit_columns()
            end_writing(&self.lock.state)
        return self.penalties()

    cdef int count(self) except -1:
        """Tell the weights how many steps they have made, before Python can be interrupted."""
        self.weights.steps = self.t
        self.weights.bounds = (self.bounds[0], self.bounds[1]) if self.guarded else None

    # -- a guarded step: one that makes a value infinite or NaN is undone -------------------------

    cdef int guard(self) except -1:
        """Let the next step be guarded. Its bounds are the last one's, if that was guarded too."""
        bounds = getattr(self.weights, "bounds", None)
        self.guarded = True
        if bounds is not None and not getattr(self.weights, "shared", False):
            self.bounds[0], self.bounds[1] = bounds
        else:
            self.measure()

    cdef void measure(self) noexcept nogil:
        self.bounds[0] = self.plan.spans.peak(self.parameters, self.plan.n_parameters)
        self.bounds[1] = self.plan.spans.peak(self.state, self.plan.n_parameters)

    cdef bint is_safe(self, double gradient) noexcept nogil:
        """Whether no value can overflow, by the bounds, which then become those after the step."""
        cdef double limit = (3e38 if self.plan.itemsize == 4 else 1.7e308) / 4
        cdef double p = self.bounds[0], s1 = self.bounds[1], g, step
        cdef double hyper[N_HYPER]
        memcpy(hyper, self.hyper, sizeof(hyper))
        hyper[0] *= self.largest_rate
        g = gradient + self.l1 + 2 * self.l2 * p
        if self.clip_value != 0 and g <= limit:
            g = min(g, self.clip_value)
        g += hyper[1] * p
        step = self.optimizer.reach(hyper, self.t + 1, g, &s1) + hyper[0] * hyper[2] * p
        if not (g < limit and s1 < limit and step < limit and p < limit):
            return False
        self.bounds[0], self.bounds[1] = p + step, s1
        return True

    cdef bint begin_guarded(self, double gradient, const char* gradients) noexcept nogil:
        """Before a step whose gradients are at most so large, keep what it may spoil.

        Nearly always the bounds of parameters, state and gradients show that no value can
        overflow: they are carried from step to step, and measured only where they do not show it.
        Else all is copied: parameters, state, average, and gradients, if they are given. Returned
        is False where there is no memory for it.
        """
        cdef Py_ssize_t span = self.plan.n_parameters * self.plan.itemsize
        if self.is_safe(gradient):
            return True
        self.measure()
        if self.is_safe(gradient):
            return True
        self.backup = <char*> malloc(span * (3 + self.n_state))
        if self.backup == NULL:
            return False
        memcpy(self.backup, self.parameters, span)
        if self.average != NULL:
            memcpy(self.backup + span, self.average, span)
        if gradients != NULL:
            memcpy(self.backup + 2 * span, gradients, span)
        memcpy(self.backup + 3 * span, self.state, span * self.n_state)
        memcpy(self.hyper_before, self.hyper, sizeof(self.hyper))
        return True

    cdef bint end_guarded(self, char* gradients) noexcept nogil:
        """After the step: whether all is finite. If not, it is undone."""
        cdef Py_ssize_t span = self.plan.n_parameters * self.plan.itemsize
        if self.backup == NULL:
            return True
        cdef bint finite = self.all_finite()
        if finite:
            self.measure()
        else:
            memcpy(self.parameters, self.backup, span)
            if self.average != NULL:
                memcpy(self.average, self.backup + span, span)
            if gradients != NULL:
                memcpy(gradients, self.backup + 2 * span, span)
            memcpy(self.state, self.backup + 3 * span, span * self.n_state)
            memcpy(self.hyper, self.hyper_before, sizeof(self.hyper))
            self.t -= 1
        free(self.backup)
        self.backup = NULL
        return finite

    cdef bint all_finite(self) noexcept nogil:
        """Whether parameters, state and average are finite."""
        cdef Py_ssize_t n = self.plan.n_parameters
        return (self.plan.spans.all_finite(self.parameters, n)
                and self.plan.spans.all_finite(self.state, self.n_state * n)
                and (self.average == NULL or self.plan.spans.all_finite(self.average, n)))

    # -- a step ----------------------------------------------------------------------------------

    cdef void begin_step(self) noexcept nogil:
        self.t += 1
        if self.optimizer.prepare != NULL:
            self.optimizer.prepare(self.hyper, self.t)

    cdef double run(self, const Pass* p, double total) noexcept nogil:
        """Phase 2 of a minibatch of the weight `total`; returned is the sum of the penalties."""
        cdef double factor, unit
        self.begin_step()
        if self.clip_norm == 0:
            self.blocks(p, total, DERIVE | REGULARIZE | UPDATE, 1)
        else:
            self.blocks(p, total, DERIVE | REGULARIZE, 1)
            self.scale_squares()
            factor = self.norm_factor(&unit)
            self.blocks(p, total, UPDATE, factor, unit)
        self.limit_columns()
        return self.penalties()

    cdef double derive(self, const Pass* p, double total, char* gradients) noexcept nogil:
        """All gradients without an update; returned is the sum of the penalties."""
        cdef char* own = self.gradient
        cdef bint kept_all = self.keeps_all
        self.gradient, self.keeps_all = gradients, True
        self.blocks(p, total, DERIVE | REGULARIZE, 1)
        self.gradient, self.keeps_all = own, kept_all
        return self.penalties()

    cdef void blocks(self, const Pass* p, double total, int work, double factor,
                     double unit=1) noexcept nogil:
        cdef Py_ssize_t i, n = self.last_block - self.first_block
        cdef int threads = 1, thread
        cdef Region region
        if self.threads > 1 and n > 1:
            threads = begin(&region, self.threads)
        if threads == 1:
            for i in range(self.first_block, self.last_block):
                self.block(p, i, 0, total, work, factor, unit)
        else:
            share_out(self.parts, threads, n)
            for thread in prange(threads, schedule="static", chunksize=1, num_threads=threads):
                self.blocks_of(p, thread, threads, &region, total, work, factor, unit)
            end(&region, n)

    cdef void blocks_of(self, const Pass* p, int thread, int threads, Region* region,
                        double total, int work, double factor, double unit) noexcept nogil:
        """The blocks of a thread, whose parameters and state it may still have in its cache."""
        cdef Py_ssize_t i = next_part(self.parts, threads, thread)
        while i >= 0:
            self.block(p, self.first_block + i, thread, total, work, factor, unit)
            done(region, thread)
            i = next_part(self.parts, threads, thread)

    cdef void block(self, const Pass* p, Py_ssize_t i, int thread, double total, int work,
                    double factor, double unit) noexcept nogil:
        """Its gradient is in memory of the thread, or where it belongs if all are kept."""
        cdef const Block* block = &self.plan.blocks[i]
        cdef Py_ssize_t start = block.start if self.keeps_all else thread * self.plan.largest_block
        cdef char* g = self.gradient + start * self.plan.itemsize
        cdef float_mode mode = flush_subnormals()
        if work & DERIVE:
            if self.passes == NULL:
                self.plan.block_gradient(p, block, g, self.scratch + thread * self.scratch_size)
            else:
                self.tree_gradient(block, g, thread)
        if work & REGULARIZE:
            if self.share != 1:
                self.plan.spans.scale(g, block.size, self.share)
            self.regularize(i, g, total)
        if work & UPDATE:
            if unit != 1:
                self.plan.spans.scale(g, block.size, unit)
            if factor != 1:
                self.plan.spans.scale(g, block.size, factor)
            self.update(block, g)
        restore_float_mode(mode)

    # -- groups of rows, see tree.pyx -------------------------------------------------------------

    cdef int take_groups(self, Py_ssize_t first, Py_ssize_t last, Py_ssize_t count) except -1:
        """Have memory for the gradients of groups first .. last of so many."""
        self.first_group, self.groups = first, count
        self.n_slots = slots_of(first, last, count)
        slots = aligned_zeros(self.max_threads * self.n_slots * self.plan.largest_block,
                              self.plan.dtype)
        self.slots = address(slots)
        self.owners = (*self.owners, slots)

    cdef void derive_roots(self, const Pass* p, char* roots, int n_roots) noexcept nogil:
        """The sums of the gradients of all nodes that the groups of `passes` add up to."""
        self.roots, self.n_roots = roots, n_roots
        self.blocks(p, 1, DERIVE, 1)
        self.roots, self.n_roots = NULL, 0

    cdef void tree_gradient(self, const Block* block, char* g, int thread) noexcept nogil:
        """The gradients of a block by groups of rows, added up as they come.

        No more than log2 of the groups wait at once, which stay in the cache.
        """
        cdef Tree tree
        cdef Py_ssize_t k
        cdef char* out
        begin_tree(&tree, self.groups)
        for k in range(self.n_passes):
            out = self.slot(block, tree.size, g, thread)
            if self.passes[k].rows == 0:
                memset(out, 0, block.size * self.plan.itemsize)
            else:
                self.plan.block_gradient(&self.passes[k], block, out,
                                         self.scratch + thread * self.scratch_size)
            push(&tree, self.first_group + k, 1)
            while joins(&tree):
                out = self.slot(block, tree.size - 1, g, thread)
                self.plan.spans.add(out, self.slot(block, tree.size, g, thread), block.size, out)

    cdef char* slot(self, const Block* block, int i, char* g, int thread) noexcept nogil:
        """Where the sum of the i'th node that waits is."""
        if i < self.n_roots:
            return self.roots + (i * self.plan.n_parameters + block.start) * self.plan.itemsize
        if i == 0:
            return g
        i += thread * self.n_slots
        return self.slots + i * self.plan.largest_block * self.plan.itemsize

    # -- penalties, limits and the update ---------------------------------------------------------

    cdef void regularize(self, Py_ssize_t i, char* g, double total) noexcept nogil:
        """Add the penalties of the weights, not of biases; limit what comes out."""
        cdef const Block* block = &self.plan.blocks[i]
        cdef const Op* op = &self.plan.ops[block.op]
        cdef Py_ssize_t n = (min(block.last, op.n_matrix) - block.first) * op.n_out
        cdef double share = 1 / total if self.mean_penalty else 1.0
        if op.l1 != 0 or op.l2 != 0:
            self.penalty[i] = self.plan.spans.penalize(
                g, self.parameters + block.start * self.plan.itemsize, n, op.l1 * share,
                op.l2 * share)
        if self.clip_value != 0:
            self.plan.spans.clip(g, block.size, self.clip_value)
        if self.clip_norm != 0:
            self.square[i] = self.plan.spans.sum_squares(g, block.size)

    cdef bint scale_squares(self) noexcept nogil:
        """If the sum of all squares overflows, compute those of these blocks again, scaled.

        Returns whether it overflowed. `square` must be complete before, and again afterwards.
        """
        cdef const Block* block
        cdef const double* g
        cdef Py_ssize_t i, k
        cdef double sum
        self.scaled = (self.clip_norm != 0 and self.plan.itemsize == 8
                       and not self.norm() + 1e-6 < 1e150)
        if not self.scaled:
            return False
        for i in range(self.first_block, self.last_block):
            block = &self.plan.blocks[i]
            g = <const double*> self.gradient + block.start
            sum = 0
            for k in range(block.size):
                sum += (g[k] * SCALE) * (g[k] * SCALE)
            self.square[i] = sum
        return True

    cdef double norm(self) noexcept nogil:
        cdef Py_ssize_t i
        cdef double sum = 0
        for i in range(self.plan.n_blocks):
            sum += self.square[i]
        return sqrt(sum)

    cdef double norm_factor(self, double* unit) noexcept nogil:
        """What brings the norm of all gradients to its limit: as torch's clip_grad_norm_.

        The gradients are to be multiplied by `unit`, a power of two, and by the factor, so that no
        factor is below the normal numbers of the dtype. `scale_squares` comes before.
        """
        cdef double norm
        unit[0] = 1
        if self.clip_norm == 0:
            return 1
        norm = self.norm()
        if self.scaled:
            unit[0] = SCALE
            if norm <= self.clip_norm * unit[0]:
                unit[0] = 1
                return 1
        else:
            norm += 1e-6
            if self.plan.itemsize == 4 and norm > max(1e20, self.clip_norm):
                unit[0] = 2.0 ** -64
                norm *= unit[0]
        return min(self.clip_norm / norm, 1 / unit[0])

    cdef void update(self, const Block* block, char* g) noexcept nogil:
        cdef double hyper[N_HYPER]
        cdef Py_ssize_t start = block.start * self.plan.itemsize
        cdef Py_ssize_t span = self.plan.n_parameters * self.plan.itemsize
        cdef char* s1 = self.state + start
        memcpy(hyper, self.hyper, sizeof(hyper))
        hyper[0] *= self.plan.ops[block.op].lr_scale
        self.optimizer.update(
            self.parameters + start, g, s1, s1 + span,
            NULL if self.optimizer.n_state == 2 else s1 + 2 * span, block.size, hyper, self.t)
        if self.plan.ops[block.op].max_norm == 0:
            self.follow(start, block.size)

    cdef void follow(self, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
        """Let the running average follow n parameters, if there is one."""
        if self.average != NULL:
            self.plan.spans.average(self.average + start, self.parameters + start, n, self.keep)

    cdef void limit_columns(self) noexcept nogil:
        """Keep the weights into each unit within max_norm, which takes all blocks of a step."""
        cdef Py_ssize_t i, start
        cdef const Op* op
        for i in range(self.plan.n_ops):
            op = &self.plan.ops[i]
            if op.max_norm > 0 and op.n_trainable > 0:
                start = op.parameters * self.plan.itemsize
                # The gradients are done with: their memory, a row or more, is scratch.
                self.plan.spans.limit_columns(self.parameters + start, op.n_matrix, op.n_out,
                                              op.max_norm, self.gradient)
                self.follow(start, op.n_trainable)

    cdef double penalties(self) noexcept nogil:
        cdef Py_ssize_t i
        cdef double sum = 0
        for i in range(self.plan.n_blocks):
            sum += self.penalty[i]
        return sum

    cdef int64_t skipped(self) noexcept:
        """The multiply-adds that gradients have skipped since this was asked for."""
        cdef int64_t* count
        cdef int64_t sum = 0
        cdef int thread
        for thread in range(self.max_threads):
            count = <int64_t*> (self.scratch + thread * self.scratch_size)
            sum += count[0]
            count[0] = 0
        return sum
