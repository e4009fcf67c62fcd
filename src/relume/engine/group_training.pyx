"""Minibatches whose rows belong to groups: the gradients of the groups are added as a tree.

A group's rows have a pass of their own: a part of the tape that is a minibatch's, and a key of
random numbers. So what is computed of a group depends on its rows alone, and not on which other
groups the process owns. Gradients are sums over rows; their tree stands in the loop over blocks of
weights, and what is left is divided by the weight of the minibatch.
"""

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport NAN, isfinite, isnan
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from relume.engine.arrays cimport LINE, address, data_of, read_sparse, writable_data_of
from relume.engine.observer cimport Observer
from relume.engine.ops cimport (
    GRAIN, Op, Pass, Sparse, float_mode, flush_subnormals, restore_float_mode,
)
from relume.engine.plan cimport Block, ceil_div, shard_of
from relume.engine.training cimport (
    FINE, INPUT_NOT_FINITE, LABEL_OUT_OF_RANGE, LOSS_NOT_FINITE, NOT_FINITE, RAISED, SKIPPED,
    Stage, Status, Training,
)
from relume.engine.tree cimport Tree, begin_tree, joins, push
from relume.runtime.read_write_lock cimport begin_writing, end_writing
from relume.runtime.threads cimport chosen

import numpy as np

from relume.engine.arrays import aligned_zeros
from relume.engine.tree import roots

cnp.import_array()

cdef enum:                      # what travels with the gradients of a node, in float64
    LOSS                        # sum over its rows, each times its weight
    PENALTY                     # of activities
    WEIGHT                      # of its rows
    STATUS                      # the largest of its groups
    N_TAIL

TAIL = {"loss": LOSS, "penalty": PENALTY, "weight": WEIGHT, "status": STATUS}


cdef class GroupTraining(Training):
    """A `Training` of some of the groups that a data set's rows belong to.

    It is made with the arguments of `Training`, whose `rows` are those of its own groups, and then
    told by `own` which groups these are.
    """

    cdef readonly Py_ssize_t first, last, groups
    cdef readonly list nodes    # of the tree, that the groups add up to
    cdef Pass* passes           # one for each group, but at least one
    cdef Sparse* sparse         # two for each group
    cdef Py_ssize_t* starts     # row of the minibatch where each group begins; and the end
    cdef Py_ssize_t* ends       # shards of all groups up to each
    cdef Py_ssize_t* sizes      # rows of a shard of each group
    cdef double* leaves         # N_TAIL numbers of each group
    cdef double* known          # what an op with statistics knows of the rows of each node
    cdef object known_array
    cdef object exchange        # brings together what owners know, or None: there is one owner

    def own(self, Py_ssize_t first, Py_ssize_t last, Py_ssize_t groups, exchange=None):
        """Say which groups are trained on.

        Parameters
        ----------
        first, last : int
            The owned groups, without the last.
        groups : int
            How many there are in all.
        exchange : callable or None
            Needed where there are other owners and an op has statistics over all rows: takes an
            array with a row for each of `nodes`, and returns such an array and the nodes of all
            owners.
        """
        cdef Py_ssize_t n = max(last - first, <Py_ssize_t> 1), width = 0, i
        if self.loss == NULL:
            raise ValueError("loss must be one of the kernels' where rows are in groups")
        self.nodes = roots(first, last, groups)
        self.first, self.last, self.groups, self.exchange = first, last, groups, exchange
        for i in range(self.plan.n_ops):
            if self.plan.ops[i].kind.before_forward != NULL:
                width = max(width, 1 + 2 * self.plan.ops[i].n_out)
        self.known_array = np.zeros(0)
        passes = np.zeros(n * sizeof(Pass), np.uint8)
        sparse = np.zeros(2 * n * sizeof(Sparse), np.uint8)
        integers, leaves = np.zeros((3, n + 1), np.intp), np.zeros((n, N_TAIL))
        self.need_known((n + 1) * width)
        tape = aligned_zeros(
            self.plan.tape_size(self.rows) + n * (self.plan.fixed + LINE), self.plan.dtype)
        self.tape, self.passes = address(tape), <Pass*> address(passes)
        self.sparse = <Sparse*> address(sparse)
        self.starts = <Py_ssize_t*> address(integers)
        self.ends, self.sizes = self.starts + n + 1, self.starts + 2 * (n + 1)
        self.leaves = <double*> address(leaves)
        self.updates.take_groups(first, last, groups)
        self.owners = (*self.owners, passes, sparse, integers, leaves, tape)

    def step(self, X, y, weight, order, counts, double rate, uint64_t key=0):
        """Train on a minibatch of all groups.

        Parameters
        ----------
        X : ndarray of shape (n, plan.n_in), or list
            Or for each group a tuple of two `Sparse` halves, and None where it has no rows.
        y : ndarray of shape (n, *y_shape)
        weight : ndarray of shape (n,) or None
        order : ndarray of int64 or None
            The minibatch's rows of X, group after group; None for all rows in their order.
        counts : list of int
            The rows of each group.
        rate : float
            The learning rate.
        key : int
            Seed of the step's random numbers.

        Returns
        -------
        status, total, loss
            As of `Training.batch`.
        """
        cdef Status status
        if (self.first, self.last) != (0, self.groups):
            raise ValueError("a step needs all groups; other owners' are brought by `sums`")
        self.begin(X, y, weight, order, counts, key)
        if self.p.rows == 0:
            return FINE, 0.0, 0.0
        self.updates.hyper[0] = rate
        with nogil:
            self.choose_threads()
            status = self.whole_step()
            chosen(&self.plan.step_choice, self.p.rows)
        self.updates.count()
        if status == SKIPPED:
            return FINE, 0.0, 0.0
        if status != FINE:
            return self._failed(status, 0, 0.0)
        for observer in self.observers or ():
            (<Observer> observer).observe_minibatch(self.passes, self.last - self.first)
        PyErr_CheckSignals()
        return FINE, self.batch_total, self.batch_loss

    def sums(self, X, y, weight, order, counts, gradients, tails, uint64_t key=0):
        """The sums of losses and of their gradients over a minibatch's rows of the owned groups.

        Parameters
        ----------
        X, y, weight, order, counts, key
            As of `step`.
        gradients : ndarray of shape (len(nodes), plan.n_parameters)
            Where the gradients go, of each node; not written where a status is not fine.
        tails : ndarray of float64 of shape (len(nodes), len(TAIL))
            Where the rest goes that travels with them, see `TAIL`.
        """
        cdef int n = len(self.nodes)
        cdef char* out = NULL
        cdef double* ends = NULL
        cdef Status status = FINE
        if n:
            out = writable_data_of(
                gradients, self.plan.dtype, n * self.plan.n_parameters, "gradients")
            ends = <double*> writable_data_of(
                tails, np.dtype(np.float64), n * N_TAIL, "tails")
        self.begin(X, y, weight, order, counts, key)
        with nogil:
            self.choose_threads()
            status = self.passes_through()
            if status == FINE and n > 0:
                self.updates.passes, self.updates.n_passes = self.passes, self.last - self.first
                self.updates.derive_roots(&self.p, out, n)
                self.updates.passes = NULL
            if self.p.rows > 0:
                chosen(&self.plan.step_choice, self.p.rows)
        if status == RAISED:
            self._failed(status, 0, 0.0)
        if n:
            if status != SKIPPED:                       # for an error elsewhere
                self.leaves[STATUS] = <int> status
            self.add_tails()
            memcpy(ends, self.leaves, n * N_TAIL * sizeof(double))

    # -- the update, from sums over all groups ----------------------------------------------------

    def begin_update(self, gradients, tail, Py_ssize_t first_block=0, last_block=None,
                     Py_ssize_t start=0):
        """From sums over all groups to the gradients of some blocks, penalties included.

        Parameters
        ----------
        gradients : ndarray
            The sums, which are overwritten; those of other blocks may be anything.
        tail : ndarray of float64 of shape (len(TAIL),)
        first_block, last_block : int
            The blocks, without the last; by default all.
        start : int
            The parameter that the first of `gradients` belongs to.

        Returns
        -------
        status, total, loss
            As of `step`, penalties of weights not included; a total of 0 asks for no update.
        """
        cdef Py_ssize_t last = self.plan.n_blocks if last_block is None else last_block
        cdef char* sums = writable_data_of(
            gradients, self.plan.dtype, gradients.size, "gradients")
        cdef const Block* blocks = self.plan.blocks
        cdef Status status
        if not 0 <= first_block <= last <= self.plan.n_blocks:
            raise ValueError(f"first_block and last_block must be 0 to {self.plan.n_blocks}, in "
                             f"this order, got {first_block} and {last}")
        if last > first_block and not (
                start <= blocks[first_block].start and
                blocks[last - 1].start + blocks[last - 1].size <= start + gradients.size):
            raise ValueError(f"gradients must be those of all blocks from {first_block} to {last}")
        memcpy(self.leaves, data_of(tail, np.dtype(np.float64), N_TAIL, "tail"),
               N_TAIL * sizeof(double))
        status = self.close()
        if status == SKIPPED:
            return FINE, 0.0, 0.0
        if status != FINE:
            return self._failed(status, 0, 0.0)
        with nogil:
            begin_writing(&self.updates.lock.state)
            self.plan.track_statistics(self.passes)
            end_writing(&self.updates.lock.state)
        sums -= start * self.plan.itemsize
        self.updates.begin_blocks(sums, first_block, last, self.batch_total)
        return FINE, self.batch_total, self.batch_loss

    def penalties(self):
        """The penalties of all weights, once `block_sums` are complete."""
        return self.updates.penalties()

    @property
    def block_sums(self):
        """Of each block, its penalty and the sum of its gradient's squares; those of blocks that
        others update are to be filled in between `begin_update` and `end_update`."""
        return self.updates.sums

    def scale_squares(self):
        """If the squares in `block_sums` overflow, compute those of the own blocks again, scaled.

        Each owner calls it between `begin_update` and `end_update` if the norm of the gradients
        is limited. If it returns True, the owners must exchange `block_sums` once more.
        """
        return self.updates.scale_squares()

    def end_update(self, double rate):
        """Update the blocks."""
        self.updates.hyper[0] = rate
        self.updates.end_blocks()

    def finish_update(self):
        """What is done once all blocks are updated; returned is the loss with all penalties."""
        self.batch_loss += self.updates.finish_blocks()
        self.updates.count()
        return self.batch_loss

    # -- one minibatch ----------------------------------------------------------------------------

    cdef int begin(self, X, y, weight, order, counts, uint64_t key) except -1:
        """Point to the arrays, and give each group its pass."""
        cdef Py_ssize_t k, i, n = 0, n_groups = self.last - self.first, n_x, offset = 0
        cdef Py_ssize_t size = self.plan.itemsize
        cdef const Op* product
        cdef Pass* p
        if self.passes == NULL:
            raise ValueError("own must be called before the first minibatch")
        if len(counts) != n_groups:
            raise ValueError(f"counts must have {n_groups} numbers, got {len(counts)}")
        for k in range(n_groups):
            self.starts[k] = n
            if counts[k] < 0:
                raise ValueError(f"counts must not be negative, got {counts[k]}")
            n += counts[k]
        self.starts[n_groups] = n
        if n > self.rows:
            raise ValueError(f"a minibatch must have at most {self.rows} rows, got {n}")
        n_x = n if order is None else len(y)
        if isinstance(X, list):
            if len(X) != n_groups or order is not None:
                raise ValueError(f"X must hold sparse rows of {n_groups} groups, without an order")
            product = self.plan.first_product()
            self.p = self.plan.new_pass(self.updates.parameters, NULL, self.tape, self.rows)
            self.p.sparse, self.x = self.sparse, NULL
            self.take_targets(y, weight, n_x)
        else:
            self.take(X, y, weight, n_x)
            product = NULL
        self.order = NULL
        if order is not None:
            self.order = <const int64_t*> data_of(order, np.dtype(np.int64), n, "order")
            for i in range(n):
                if not 0 <= self.order[i] < n_x:
                    raise ValueError(f"order must hold rows 0 to {n_x - 1}, got {self.order[i]}")
            self.need_batch_x()
            self.p.x = self.batch_x
        elif product == NULL:
            self.p.x = self.x
        self.p.rows = self.p.all_rows = n
        self.p.penalized_rows = 1
        self.p.x_peak = -1
        self.p.skipped = &self.skipped[0]
        for k in range(max(n_groups, <Py_ssize_t> 1)):
            self.passes[k] = self.p
            p = &self.passes[k]
            p.tape = self.tape + offset * size
            p.rows = counts[k] if k < n_groups else 0
            offset += ceil_div(self.plan.fixed + p.rows * self.plan.tape_width, LINE) * LINE
            if k == n_groups:
                break
            p.key = mixed(key, self.first + k)
            if p.x != NULL:
                p.x += self.starts[k] * self.plan.n_in * size
            if self.starts[k] < self.rows:
                p.skipped = &self.skipped[self.starts[k]]
            if product != NULL and p.rows > 0:
                by_rows, by_columns = X[k]
                p.sparse_op = product
                p.sparse, p.sparse_columns = &self.sparse[2 * k], &self.sparse[2 * k + 1]
                read_sparse(<Sparse*> p.sparse, by_rows, self.plan.dtype, p.rows, self.plan.n_in)
                read_sparse(<Sparse*> p.sparse_columns, by_columns, self.plan.dtype,
                            self.plan.n_in, p.rows)

    cdef Status whole_step(self) noexcept nogil:
        """A step of an owner of all groups."""
        cdef Status status = self.passes_through()
        cdef double penalties
        if status == RAISED:
            return status
        self.leaves[STATUS] = <int> status
        self.add_tails()
        status = self.close()
        if status != FINE:
            return status
        begin_writing(&self.updates.lock.state)
        self.plan.track_statistics(self.passes)
        self.updates.passes, self.updates.n_passes = self.passes, self.last - self.first
        self.updates.share = 1 / self.batch_total
        penalties = self.updates.run(&self.p, self.batch_total)
        end_writing(&self.updates.lock.state)
        self.updates.passes, self.updates.share = NULL, 1
        self.batch_loss += penalties
        return FINE

    cdef Status close(self) noexcept nogil:
        """From the sums over all rows to the loss of the minibatch, and what is wrong with it."""
        cdef const double* tail = self.leaves
        self.batch_total = tail[WEIGHT]
        if tail[STATUS] != 0:
            return <Status> <int> tail[STATUS]
        if self.batch_total == 0:
            return SKIPPED
        self.batch_loss = tail[LOSS] / self.batch_total
        if not isfinite(self.batch_loss):
            return LOSS_NOT_FINITE
        self.batch_loss += tail[PENALTY] / self.batch_total
        return FINE

    cdef Status passes_through(self) noexcept nogil:
        """All passes forward and back; what each group knows of its loss is in `leaves`."""
        cdef Py_ssize_t k, n = self.last - self.first, last = self.plan.n_segments - 1
        cdef Py_ssize_t shard = shard_of(self.plan, self.p.rows, self.threads), shards
        cdef Py_ssize_t size = self.plan.itemsize
        cdef double own_weight
        cdef double* leaf
        cdef int faults = 0
        self.divisor, self.n_shards = 1, 0
        own_weight = self.total_weight()                # gathers the weights
        for k in range(n):
            # Up to 7 / 4 of the usual rows, so that no shard is small.
            shards = max(ceil_div(4 * self.passes[k].rows, 7 * shard), <Py_ssize_t> 1)
            self.sizes[k] = max(ceil_div(ceil_div(self.passes[k].rows, shards), GRAIN) * GRAIN,
                                <Py_ssize_t> GRAIN)
            self.n_shards += ceil_div(self.passes[k].rows, self.sizes[k])
            self.ends[k] = self.n_shards
            leaf = self.leaves + k * N_TAIL
            leaf[LOSS] = leaf[PENALTY] = leaf[STATUS] = 0
            leaf[WEIGHT] = self.passes[k].rows
            if self.weight != NULL:
                leaf[WEIGHT] = self.plan.spans.total(
                    self.batch_weight + self.starts[k] * size, self.passes[k].rows)
        if n == 0:
            self.leaves[STATUS] = 0
        self.p.penalized_rows = 1
        if self.weight != NULL:
            self.p.penalized_rows = self.p.rows / own_weight
        for k in range(n):
            self.passes[k].penalized_rows = self.p.penalized_rows
        for k in range(last + 1):
            if k > 0 and not self.meet(k, False, faults):
                return RAISED if self.error is not None else SKIPPED
            faults = self.shards(k, False)
            if faults:
                if k < last and self.exchange is not None:
                    self.meet(k + 1, False, faults)
                return INPUT_NOT_FINITE if faults & NOT_FINITE else LABEL_OUT_OF_RANGE
        for k in range(last - 1, -1, -1):
            if not self.meet(k + 1, True, 0):
                return RAISED if self.error is not None else SKIPPED
            self.shards(k, True)
        for k in range(n):
            leaf = self.leaves + k * N_TAIL
            leaf[LOSS] = self.loss_scale * self.plan.spans.total(
                self.row_loss + self.starts[k] * size, self.passes[k].rows)
            leaf[PENALTY] = self.plan.penalties(&self.passes[k])
        self.products += 2 * self.p.rows * self.plan.multiply_adds
        return FINE

    cdef int shard(self, Py_ssize_t i, const Stage* stage) noexcept nogil:
        cdef Py_ssize_t k = 0, first
        while self.ends[k] <= i:
            k += 1
        if k > 0:
            i -= self.ends[k - 1]
        first = i * self.sizes[k]
        return self.some_rows(&self.passes[k], self.starts[k], first,
                              min(self.sizes[k], self.passes[k].rows - first), stage)

    cdef void add_tails(self) noexcept nogil:
        """Add up the numbers in `leaves`, which are then those of the nodes."""
        cdef Tree tree
        cdef Py_ssize_t k
        cdef double* a
        begin_tree(&tree, self.groups)
        for k in range(self.last - self.first):
            if tree.size != k:
                memcpy(self.leaves + tree.size * N_TAIL, self.leaves + k * N_TAIL,
                       N_TAIL * sizeof(double))
            push(&tree, self.first + k, 1)
            while joins(&tree):
                a = self.leaves + (tree.size - 1) * N_TAIL
                add_tail(a, a + N_TAIL)

    # -- ops that have statistics over all rows ---------------------------------------------------

    cdef bint meet(self, Py_ssize_t segment, bint back, int faults) noexcept nogil:
        """Bring together what the first op of a segment needs of all rows; False on an error."""
        cdef const Op* op = &self.plan.ops[self.plan.segments[segment]]
        cdef Py_ssize_t k, j, width = 1 + 2 * op.n_out
        cdef double* known = self.known
        cdef float_mode mode = flush_subnormals()
        cdef Tree tree
        begin_tree(&tree, self.groups)
        for k in range(self.last - self.first):
            known = self.known + tree.size * width
            if faults:
                for j in range(width):
                    known[j] = NAN
            elif back:
                op.kind.sum_backward(&self.passes[k], op, known)
            else:
                op.kind.sum_forward(&self.passes[k], op, known)
            push(&tree, self.first + k, 1)
            while joins(&tree):
                self.add_known(op, tree.size, back)
        if self.exchange is not None and not self.exchange_known(op, back):
            restore_float_mode(mode)
            return False
        known = self.known
        if isnan(known[0]):
            restore_float_mode(mode)
            return False
        for k in range(max(self.last - self.first, <Py_ssize_t> 1)):
            if back:
                op.kind.take_backward(&self.passes[k], op, known)
            else:
                self.passes[k].all_rows = <Py_ssize_t> known[0]
                op.kind.take_forward(&self.passes[k], op, known)
        restore_float_mode(mode)
        return True

    cdef void add_known(self, const Op* op, int size, bint back) noexcept nogil:
        """Add node `size` of what is known to the one before it."""
        cdef Py_ssize_t width = 1 + 2 * op.n_out
        cdef double* known = self.known + (size - 1) * width
        if back:
            op.kind.add_backward(op, known, known + width)
        else:
            op.kind.add_forward(op, known, known + width)

    cdef bint exchange_known(self, const Op* op, bint back) noexcept with gil:
        """Bring together what all owners know; the whole is the first node of `known` then."""
        cdef Tree tree
        cdef Py_ssize_t width = 1 + 2 * op.n_out, k, start, span
        try:
            n = len(self.nodes)
            flat = self.known_array.ravel()
            values, nodes = self.exchange(flat[:n * width].reshape(n, width))
            if values.shape != (len(nodes), width):
                raise ValueError(f"exchange must return an array of shape {(len(nodes), width)}, "
                                 f"got {values.shape}")
            self.need_known(len(nodes) * width)
            begin_tree(&tree, self.groups)
            for k, (start, span) in enumerate(nodes):
                memcpy(self.known + tree.size * width,
                       data_of(values[k], np.dtype(np.float64), width, "known"),
                       width * sizeof(double))
                push(&tree, start, span)
                while joins(&tree):
                    self.add_known(op, tree.size, back)
        except BaseException as error:
            self.error = error
            return False
        return True

    cdef int need_known(self, Py_ssize_t n) except -1:
        """Have room for n numbers in `known`."""
        if len(self.known_array) < n:
            self.known_array = np.zeros(n)
        self.known = <double*> address(self.known_array)


cdef inline void add_tail(double* a, const double* b) noexcept nogil:
    a[LOSS] += b[LOSS]
    a[PENALTY] += b[PENALTY]
    a[WEIGHT] += b[WEIGHT]
    a[STATUS] = max(a[STATUS], b[STATUS])


def add_tails(tails, nodes, Py_ssize_t groups):
    """Add up the tails of some nodes, as `add_tree` adds up their gradients.

    Parameters
    ----------
    tails : ndarray of float64 of shape (len(nodes), len(TAIL))
        It is overwritten.
    nodes : list of tuple (start, span)
        From left to right.
    groups : int
        How many there are in all.

    Returns
    -------
    tails : ndarray
        Of the nodes that are left: one, if the nodes hold all groups.
    """
    cdef Tree tree
    cdef Py_ssize_t k, start, span
    cdef double* memory = <double*> writable_data_of(
        tails, np.dtype(np.float64), len(nodes) * N_TAIL, "tails")
    begin_tree(&tree, groups)
    for k, (start, span) in enumerate(nodes):
        if tree.size != k:
            memcpy(memory + tree.size * N_TAIL, memory + k * N_TAIL, N_TAIL * sizeof(double))
        push(&tree, start, span)
        while joins(&tree):
            add_tail(memory + (tree.size - 1) * N_TAIL, memory + tree.size * N_TAIL)
    return tails[:tree.size]


cdef inline uint64_t mixed(uint64_t key, Py_ssize_t group) noexcept nogil:
    """The key of a group's random numbers: splitmix64, Steele et al., 2014."""
    cdef uint64_t h = key + <uint64_t> (group + 1) * <uint64_t> 0x9e3779b97f4a7c15
    h = (h ^ (h >> 30)) * <uint64_t> 0xbf58476d1ce4e5b9
    h = (h ^ (h >> 27)) * <uint64_t> 0x94d049bb133111eb
    return h ^ (h >> 31)
