"""A network as a flat plan of ops, and the two phases of a minibatch over it.

Phase 1 goes by shards of rows: gather, forward, loss, input gradients. Phase 2 goes by
blocks of weights: the gradient of one block over all rows, then at once its update while it is in
cache. Where an op needs all rows first (batch_norm), phase 1 is cut into segments, and all shards
pass one before any enters the next. How many rows a shard has depends on the threads, but nothing
is summed over one, nor across threads, so the bits are the same for any number of threads.

All parameters lie in one buffer, an op's behind the other's; gradients and optimizer state in
others of the same layout. A dense op's are one row-major matrix of n_in + 1 rows: the weights,
then the bias. What a minibatch leaves for its backward pass, the tape, is one buffer too: memory
that no row owns, then the ops' values of all rows, then masks and gradients, which prediction
does without. Pointers are char*, offsets count elements: one code for both precisions.

What an op is, its `OpKind` in ops.pyx says; the plan names none of them. What it does know of is
what happens between ops: residual blocks, whose end reads what their beginning read, and products,
which take on the relu beside them.
"""

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cython.parallel cimport prange, threadid
from libc.math cimport sqrt
from libc.stdint cimport INT32_MAX, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from relume.engine.arrays cimport (
    LINE, address, data_of, loss_of, matrix_of, numbers_of, targets_of, writable_data_of,
)
from relume.engine.ops cimport (
    GRAIN, MAX_INTEGERS, MAX_NUMBERS, N_PRODUCTS, NOWHERE, OF_ITS_ROW, Op, Pass, SkipChoice, at,
    backward, delta_at, float_mode, flush_subnormals, forward, gradient, kind_of,
    restore_float_mode, statistic, value_at,
)
from relume.engine.skip_zeros cimport (
    NEVER, begin_choice, compressed_size, gradient_scratch, skipping_takes,
)
from relume.kernels.dispatch cimport table
from relume.runtime.threads cimport (
    LEVELS, MAX_THREADS, Region, available_threads, begin, done, end, threads_forced, threads_of,
)
from relume.kernels.table cimport (
    DEPTH, SUMS, Activation, Kernel, Kernels, LossRow, matmul_scratch,
)

import math
import operator

import numpy as np

from relume.engine.arrays import Centered, aligned_zeros
from relume.engine.op_spec import OpSpec
from relume.engine.ops import KINDS as _KINDS
from relume.engine.ops import LEARNT as _LEARNT
from relume.engine.skip_zeros import PRODUCTS as _PRODUCTS
from relume.engine.skip_zeros import SPARSITIES as _SPARSITIES

cdef extern from "runtime/platform.h" nogil:
    int shared_int(const int* at)
    double shared_double(const double* at)
    void set_shared_double(double* at, double value)

cnp.import_array()

# Elements. With these no size that is computed from widths overflows.
cdef Py_ssize_t WIDEST = 1 << 36            # of one row: a layer's, or all that the tape holds
cdef Py_ssize_t MAX_ELEMENTS = 1 << 56     # of all parameters, and of a tape

# Multiply-adds between two looks at signals, to begin with: 1.3 to 130 ms.
cdef Py_ssize_t AT_ONCE = 1 << 27

# Elements that a thread looks through at a time. One thread takes 0.1 ms for as many.
cdef Py_ssize_t PIECE = 1 << 18

# Seconds of work on one thread from which a prediction uses more: a parallel region takes 2 to 20
# microseconds itself.
cdef double PARALLEL = 2e-5
cdef double START = 3e-11           # seconds of a multiply-add, until a prediction was timed


cdef class Plan:
    """Ops compiled for one input width and dtype; it holds no values and may be shared.

    Parameters
    ----------
    n_in : int
    specs : list of OpSpec
        An op each, in their order.
    dtype : numpy.dtype
        float32 or float64.
    sparse : {"auto", "never", "always"}
        Whether products skip zeros. The results are the same bits.
    """

    def __cinit__(self, n_in, list specs, dtype, str sparse="auto"):
        if sparse not in _SPARSITIES:
            raise ValueError(f"sparse must be one of {', '.join(_SPARSITIES)}, got {sparse!r}")
        self.sparsity = _SPARSITIES[sparse]
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ValueError(f"dtype must be float32 or float64, got {self.dtype}")
        if not specs:
            raise ValueError("specs must hold at least one op, got an empty list")
        self.itemsize, self.type_number = self.dtype.itemsize, self.dtype.num
        self.spans = &table.float32 if self.itemsize == 4 else &table.float64
        self.n_in = self.n_out = checked_width(n_in, WIDEST)
        self.n_ops = len(specs)
        self.ops = <Op*> PyMem_Calloc(self.n_ops, sizeof(Op))
        self.segments = <Py_ssize_t*> PyMem_Calloc(self.n_ops + 2, sizeof(Py_ssize_t))
        self.skip_choices = <SkipChoice*> PyMem_Calloc(self.n_ops * N_PRODUCTS, sizeof(SkipChoice))
        if self.ops == NULL or self.segments == NULL or self.skip_choices == NULL:
            raise MemoryError()
        self.compile(specs)

    def __dealloc__(self):
        PyMem_Free(self.ops)
        PyMem_Free(self.segments)
        PyMem_Free(self.skip_choices)
        PyMem_Free(self.blocks)
        free(self.spare)

    cdef int compile(self, list specs) except -1:
        cdef Py_ssize_t i, n_blocks = 0
        cdef Cursor now = Cursor(NOWHERE, NOWHERE, 0, False)
        forks = []
        self.arrays = []
        for i in range(self.n_ops * N_PRODUCTS):
            begin_choice(&self.skip_choices[i])
        for i in range(self.n_ops):
            self.ops[i].choices = self.skip_choices + i * N_PRODUCTS
            self.add_op(i, specs[i], &now, forks)
            n_blocks += blocks_of(&self.ops[i])
            if self.ops[i].kind.before_forward != NULL:
                self.n_segments += 1
                self.segments[self.n_segments] = i
        if forks:
            raise ValueError(f"{specs[forks[-1]]} must be followed by its 'join'")
        if self.last_op().output == NOWHERE:
            raise ValueError(f"{specs[-1]} must not be all that there is: it only passes its "
                             "input on")
        self.n_segments += 1
        self.segments[self.n_segments] = self.n_ops
        self.fuse_rectifiers()
        self.row_seconds = START * (self.multiply_adds + 16 * self.value_width)
        self.add_scratch()
        self.move_training_offsets()
        self.tape_width = self.value_width + now.training_width
        self.blocks = <Block*> PyMem_Calloc(n_blocks, sizeof(Block))
        if self.blocks == NULL:
            raise MemoryError()
        for i in range(self.n_ops):
            self.add_blocks(i)

    cdef int add_op(self, Py_ssize_t i, spec, Cursor* now, list forks) except -1:
        cdef Op* op = &self.ops[i]
        cdef Op* fork
        fill_op(op, spec, self.n_out, [self.ops[<Py_ssize_t> k].n_in for k in forks])
        self.n_out = op.n_out
        op.lr_scale, op.l1, op.l2, op.max_norm = spec.lr_scale, spec.l1, spec.l2, spec.max_norm
        self.add_numbers(op, spec, self.add_kernels(op, spec))
        if op.kind.joins:
            fork = &self.ops[<Py_ssize_t> forks.pop()]
            fork.to_join = op - fork
            op.skip, op.skip_delta = fork.input, fork.delta_in
        elif op.kind.forks:
            forks.append(i)
        self.add_parameters(i, spec)
        self.multiply_adds += op.n_matrix * op.n_out
        self.wide |= op.n_matrix * op.n_out * self.itemsize >= WIDE
        self.random |= op.kind.random
        self.add_values(op, now)
        self.add_deltas(op, now)
        if max(self.value_width, now.training_width) > WIDEST:
            raise ValueError(f"{spec} must be narrower: all layers together must have at most "
                             f"{WIDEST} values for each row")

    cdef int add_numbers(self, Op* op, spec, const Activation* row) except -1:
        """Take the op's own numbers, which must be as many as its kind reads."""
        cdef int i, n = op.kind.n_numbers
        if n == OF_ITS_ROW:
            n = n_parameters_of(row)
        if len(spec.numbers) != n or n > MAX_NUMBERS:
            raise ValueError(f"{spec} must have {n} numbers, got {len(spec.numbers)}")
        op.n_numbers = n
        for i in range(n):
            try:
                op.given[i] = float(spec.numbers[i])
                number = self.dtype.type(op.given[i]).tobytes()
            except (TypeError, ValueError):
                raise TypeError(
                    f"numbers of {spec} must be real numbers, got {spec.numbers[i]!r}") from None
            memcpy(<char*> op.number + i * self.itemsize, <const char*> number, self.itemsize)

    cdef const Activation* add_kernels(self, Op* op, spec) except? NULL:
        """Take a row of the table by its index, which is returned; NULL for other kinds."""
        cdef const Activation* row
        if not op.kind.activates:
            if spec.activation is not None:
                raise ValueError(f"{spec} must have no activation")
            return NULL
        row = &table.activations[
            integer_of(spec, "activation", spec.activation, 0, table.n_activations - 1)]
        op.is_relu = row.name == b"relu"
        op.from_output = spec.from_output and op.kind.n_numbers == OF_ITS_ROW
        op.activate = self.kernel(&row.forward)
        op.activate_backward = self.kernel(
            &row.backward_from_output if op.from_output else &row.backward)
        op.parameter_gradient = self.kernel(&row.parameter_gradient)
        if (op.activate == NULL or op.activate_backward == NULL
                or op.kind.n_numbers != OF_ITS_ROW and n_parameters_of(row) != 1
                or op.kind.gradient != NULL and op.parameter_gradient == NULL):
            raise ValueError(f"{spec} must have an activation with the kernels that it needs, "
                             f"got {row.name.decode()!r}")
        return row

    cdef Kernel kernel(self, const Kernels* kernels) noexcept:
        return kernels.float32 if self.itemsize == 4 else kernels.float64

    cdef void add_values(self, Op* op, Cursor* now) noexcept:
        """Where its values go: in place where only this op reads its input."""
        op.input = op.output = now.value
        if op.kind.forward == NULL:                     # its input is read again on the way back
            now.private = False
        else:
            if not (now.private and (op.kind.in_place or op.from_output)):
                op.output = now.value = self.value_width
                self.value_width += op.n_out
            now.private = not op.from_output
        if op.kind.kept != NULL:
            if op.kind.keeps_in_prediction:
                op.kept = self.value_width
                self.value_width += op.kind.kept(op, self.itemsize)
            else:
                op.kept = now.training_width
                now.training_width += op.kind.kept(op, self.itemsize)
        op.fixed = self.fixed
        self.fixed += ceil_div(op.kind.n_vectors * op.n_out, ALIGN) * ALIGN

    cdef void add_scratch(self) noexcept:
        """Memory that all products share, one after the other: for inputs without their zeros, or
        for what the dense product copies.

        It has one width for all, since threads are at different products at the same time.
        """
        cdef Py_ssize_t i, size, offset = self.value_width, width = 0
        cdef Op* op
        for i in range(self.n_ops):
            op = &self.ops[i]
            op.stream = op.kept + offset
            if not op.kind.product:
                continue
            width = max(width, scratch_of_row(op.n_out, op.n_in),
                        scratch_of_row(op.n_in, op.n_out))
            if WIDE_SHARD * op.n_in > INT32_MAX:     # columns and starts are int32
                continue
            if self.sparsity != NEVER:
                op.compressed = offset
                size = compressed_size(op.n_in, 1, self.itemsize)
                width = max(width, ceil_div(size, self.itemsize))
        for i in range(self.n_ops):
            op = &self.ops[i]
            if op.compressed:
                op.n_compressed = width
            if op.kind.product:
                op.scratch, op.n_scratch = offset, width
        self.value_width += width

    cdef void fuse_rectifiers(self) noexcept:
        """Leave relu to the products on both its sides, while their tiles are in registers."""
        cdef Py_ssize_t i
        cdef Op* op
        for i in range(1, self.n_ops):
            op = &self.ops[i]
            if not op.is_relu or op.input != op.output:
                continue
            op.forward_done = op[-1].rectifies = op[-1].kind.product
            if i + 1 < self.n_ops:
                op.backward_done = op[1].masks = op[1].kind.product

    cdef void add_deltas(self, Op* op, Cursor* now) noexcept:
        """Where gradients go: apart where phase 2 reads the one by the output."""
        op.delta_in = op.delta_out = now.delta
        if op.kind.gradient != NULL:
            op.delta_out = now.delta = now.training_width
            now.training_width += op.n_out

    cdef int add_parameters(self, Py_ssize_t i, spec) except -1:
        """Where its arrays are, one behind the other; the matrix is first, the bias its last row.
        """
        cdef Op* op = &self.ops[i]
        start = op.parameters = self.n_parameters
        for name, shape, role in op.kind.parameters(op):
            self.arrays.append((i, name, start, shape, role))
            size = math.prod(shape)
            if size > MAX_ELEMENTS - ALIGN - start:
                raise ValueError(f"{spec} must have fewer parameters: a network has at most "
                                 f"{MAX_ELEMENTS}, got {name} of shape {shape}")
            start += size
            op.n_parameters += size
            if len(shape) == 2:
                op.n_matrix = shape[0]
            if role == _LEARNT and spec.trainable:
                op.n_trainable += size
        self.n_parameters = ceil_div(start, ALIGN) * ALIGN

    cdef void move_training_offsets(self) noexcept:
        """Masks and gradients were counted from 0; they lie behind the values."""
        cdef Py_ssize_t i
        cdef Op* op
        for i in range(self.n_ops):
            op = &self.ops[i]
            if not op.kind.keeps_in_prediction:
                op.kept += self.value_width
            if op.delta_in != NOWHERE:
                op.delta_in += self.value_width
            if op.delta_out != NOWHERE:
                op.delta_out += self.value_width
            if op.kind.joins and op.skip_delta != NOWHERE:
                op.skip_delta += self.value_width

    cdef void add_blocks(self, Py_ssize_t i) noexcept:
        cdef const Op* op = &self.ops[i]
        cdef Block* block
        cdef Py_ssize_t k, first, rows = matrix_rows(op), size = rows_of_block(op)
        cdef Py_ssize_t n = blocks_of(op)
        for k in range(n):
            first = k * size
            block = &self.blocks[self.n_blocks]
            block.op, block.first, block.last = i, first, rows if k == n - 1 else first + size
            block.start = op.parameters + first * op.n_out
            block.size = (block.last - first) * op.n_out if rows else op.n_trainable
            self.largest_block = max(self.largest_block, block.size)
            self.n_blocks += 1

    def layout(self):
        """Where the parameters are: (op, name in it, offset, shape, role) of each array."""
        return list(self.arrays)

    def block_starts(self):
        """Where each block of weights begins in the flat buffer."""
        return [self.blocks[<Py_ssize_t> i].start for i in range(self.n_blocks)]

    def all_finite(self, parameters):
        """Whether all parameters are finite."""
        cdef const char* x = data_of(parameters, self.dtype, self.n_parameters, "parameters")
        cdef Py_ssize_t i, n = ceil_div(self.n_parameters, PIECE)
        cdef int threads = 1, bad = 0
        cdef Region region
        with nogil:
            if n > 1:
                threads = begin(&region, MAX_THREADS)
            if threads == 1:
                bad = not self.spans.all_finite(x, self.n_parameters)
            else:
                for i in prange(n, schedule="static", num_threads=threads):
                    bad += not self.spans.all_finite(x + i * PIECE * self.itemsize,
                                                     min(PIECE, self.n_parameters - i * PIECE))
                    done(&region, threadid())
                end(&region, n)
        return bad == 0

    def choices(self):
        """What is chosen by measured times, and these, in seconds for a row of X.

        Returns
        -------
        products : list of tuple (op, product, skips, share, min_share, dense, skipping)
            Of each product that has been timed: whether it skips zeros, at the share of them when
            they were last counted; the share from which it does; and the time of both forms.
        step_threads : int
            Threads of a training step; 0 if none was made.
        step_seconds : dict of int to float
            The time of a step with each number of threads that was tried.
        row_seconds : float
            The time of a prediction on one thread.
        parallel_rows : float
            The rows from which a prediction uses more threads.
        """
        cdef Py_ssize_t i
        cdef int product, level
        cdef const SkipChoice* choice
        cdef double n_matrix
        products, step_seconds = [], {}
        for i in range(self.n_ops):
            n_matrix = self.ops[i].n_matrix
            for name, product in _PRODUCTS.items():
                choice = &self.ops[i].choices[product]
                if shared_int(&choice.bursts[0]) == 0 or shared_int(&choice.bursts[1]) == 0:
                    continue
                share, pays = shared_double(&choice.share), shared_double(&choice.min_share)
                products.append((
                    i, name, share >= pays, share, pays, n_matrix * shared_double(&choice.dense),
                    n_matrix * skipping_takes(choice, share)))
        for level in range(LEVELS):
            fastest = shared_double(&self.step_choice.fastest[level])
            if fastest > 0:
                step_seconds[threads_of(&self.step_choice, level)] = fastest
        row_seconds = shared_double(&self.row_seconds)
        return (products, shared_int(&self.step_choice.threads), step_seconds, row_seconds,
                max(PARALLEL / row_seconds, MIN_SHARD + 1))

    def shard_rows(self, Py_ssize_t rows, int threads):
        """The rows of a shard of so many rows, where so many threads work on them."""
        if rows < 1 or threads < 1:
            raise ValueError(f"rows and threads must be at least 1, got {rows} and {threads}")
        return shard_of(self, rows, threads)

    def new_tape(self, Py_ssize_t rows):
        """Memory for what a minibatch of so many rows leaves for its backward pass."""
        return aligned_zeros(self.tape_size(rows), self.dtype)

    cdef Py_ssize_t tape_size(self, Py_ssize_t rows) except -1:
        """The elements of the tape of a minibatch."""
        cdef Py_ssize_t max_rows = (MAX_ELEMENTS - self.fixed) // self.tape_width
        if not 0 <= rows <= max_rows:
            raise ValueError(f"a minibatch must have 0 to {max_rows} rows, got {rows}")
        return self.fixed + rows * self.tape_width

    cdef int threads_for(self, Py_ssize_t rows) noexcept nogil:
        """The threads of a prediction of so many rows."""
        if shared_double(&self.row_seconds) * rows >= PARALLEL or threads_forced():
            return available_threads()
        return 1

    cdef void row_took(self, double seconds) noexcept nogil:
        """Let the estimate follow the time that a row took one thread, which may have waited."""
        cdef double before = shared_double(&self.row_seconds)
        seconds = min(seconds, 2 * before)
        set_shared_double(&self.row_seconds,
                          before + (seconds - before) / (2 if seconds < before else 8))

    cdef const Op* last_op(self) noexcept nogil:
        return &self.ops[self.n_ops - 1]

    cdef const Op* first_product(self) except NULL:
        """What reads the minibatch where it is sparse; a scaling before it is Python's then."""
        cdef Py_ssize_t i = self.n_ops > 1 and self.ops[0].kind.done_as_read
        if not self.ops[i].kind.product:
            raise ValueError("X must be dense, unless the first layer is a Dense, or a "
                             "Standardize and a Dense; got a sparse matrix")
        return &self.ops[i]

    cdef int check_learning(self) except -1:
        """Raise where the gradient by the outputs has no offset on the tape."""
        if self.last_op().delta_out == NOWHERE:
            raise ValueError("layers must hold one that learns, such as nn.Dense, where gradients "
                             "are computed")

    # -- phase 1: segments of ops, over shards of rows -----------------------------------------

    cdef Pass new_pass(self, char* parameters, const char* x, char* tape,
                       Py_ssize_t rows) noexcept nogil:
        cdef Pass p
        p.spans, p.itemsize = self.spans, self.itemsize
        p.rows, p.fixed, p.parameters, p.x, p.tape = rows, self.fixed, parameters, x, tape
        p.all_rows = rows
        p.penalized_rows = rows
        p.sparse_op, p.sparse, p.sparse_columns, p.dx = NULL, NULL, NULL, NULL
        p.centered = False
        p.training, p.apart, p.key = True, False, 0
        p.sparsity, p.skipped = self.sparsity, NULL
        return p

    cdef void before_segment(self, const Pass* p, Py_ssize_t segment) noexcept nogil:
        """What its first op needs of all rows, when all have passed the segment before."""
        cdef const Op* op = &self.ops[self.segments[segment]]
        if segment > 0:
            op.kind.before_forward(p, op)

    cdef void forward_segment(self, const Pass* p, Py_ssize_t segment, Py_ssize_t first,
                              Py_ssize_t n) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(self.segments[segment], self.segments[segment + 1]):
            forward(p, &self.ops[i], first, n)

    cdef void before_backward(self, const Pass* p, Py_ssize_t segment) noexcept nogil:
        """What the first op behind a segment needs of all rows, on the way back."""
        cdef const Op* op
        if segment + 1 < self.n_segments:
            op = &self.ops[self.segments[segment + 1]]
            op.kind.before_backward(p, op)

    cdef void backward_segment(self, const Pass* p, Py_ssize_t segment, Py_ssize_t first,
                               Py_ssize_t n) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(back_from(self, segment), back_to(self, segment) - 1, -1):
            backward(p, &self.ops[i], first, n)

    cdef Tiles tiles_of(self, const Op* op, Py_ssize_t rows, bint back,
                        int threads) noexcept nogil:
        """Those of a wide product where there are too few shards for all threads.

        A shard of half the rows reads the same weights for half the arithmetic. No bit depends on
        the tiles.
        """
        cdef Tiles tiles
        cdef Py_ssize_t width = op.n_in if back else op.n_out, rounds, parts
        tiles.n = 0
        if (op.n_matrix * op.n_out * self.itemsize < WIDE or threads == 1
                or (op.kind.backward_tile if back else op.kind.forward_tile) == NULL):
            return tiles
        rounds = ceil_div(rows, WIDE_SHARD)
        tiles.rows = ceil_div(ceil_div(rows, rounds), GRAIN) * GRAIN
        # Each tile packs its rows once more, so two a thread, if they are not narrow, or one.
        parts = min(ceil_div(2 * threads, rounds), width // TILE_COLUMNS)
        if parts * rounds < threads:
            parts = min(ceil_div(threads, rounds), width // MIN_TILE_COLUMNS)
        if parts < 2 or parts * rounds < threads:
            return tiles
        tiles.columns = ceil_div(ceil_div(width, parts), MIN_TILE_COLUMNS) * MIN_TILE_COLUMNS
        tiles.n = ceil_div(rows, tiles.rows) * ceil_div(width, tiles.columns)
        return tiles

    cdef void tile(self, const Pass* p, const Op* op, const Tiles* tiles, Py_ssize_t i, bint back,
                   char* scratch) noexcept nogil:
        """Tile i; `scratch` is memory of the thread, as `scratch_size` says."""
        cdef Py_ssize_t width = op.n_in if back else op.n_out, k = op.n_out if back else op.n_in
        cdef Py_ssize_t parts = ceil_div(width, tiles.columns)
        cdef Py_ssize_t first = i // parts * tiles.rows, column = i % parts * tiles.columns
        cdef Py_ssize_t n = min(tiles.rows, p.rows - first)
        cdef Py_ssize_t columns = min(tiles.columns, width - column)
        (op.kind.backward_tile if back else op.kind.forward_tile)(
            p, op, first, n, column, columns, scratch + LINE,
            matmul_scratch(n, columns, k, k))

    cdef void track_statistics(self, const Pass* p) noexcept nogil:
        """Let the running statistics follow a minibatch that was good."""
        cdef Py_ssize_t i
        for i in range(self.n_ops):
            if self.ops[i].kind.after_batch != NULL:
                self.ops[i].kind.after_batch(p, &self.ops[i])

    # -- what Python calls -----------------------------------------------------------------------

    def forward(self, parameters, X, tape, uint64_t key=0):
        """Phase 1 without the loss, for loops of one's own; the outputs are on the tape."""
        cdef Py_ssize_t rows = X.shape[0], shard = shard_of(self, rows, 1), first, i, k
        cdef Pass p = self.pass_over(parameters, X, tape)
        p.key = key
        if self.n_segments > 1:                         # running statistics are written
            writable_data_of(parameters, self.dtype, self.n_parameters, "parameters")
        if not self.spans.all_finite(p.x, rows * self.n_in):
            return None
        cdef Py_ssize_t at_once = shards_at_once(self, shard) * shard
        cdef float_mode mode
        for k in range(self.n_segments):
            for first from 0 <= first < rows by at_once:
                if first > 0:
                    PyErr_CheckSignals()
                with nogil:
                    mode = flush_subnormals()
                    if first == 0:
                        self.before_segment(&p, k)
                    for i from first <= i < min(first + at_once, rows) by shard:
                        self.forward_segment(&p, k, i, min(shard, rows - i))
                    restore_float_mode(mode)
        mode = flush_subnormals()
        self.track_statistics(&p)
        restore_float_mode(mode)
        cdef Py_ssize_t start = self.fixed + rows * self.last_op().output
        return tape[start:start + rows * self.n_out].reshape(rows, self.n_out).copy()

    def backward(self, parameters, gradients, X, tape, dz):
        """From the outputs' gradient to the gradients of parameters (written) and X (returned)."""
        cdef Py_ssize_t rows = X.shape[0], shard = shard_of(self, rows, 1), i, k
        cdef char* g = writable_data_of(gradients, self.dtype, self.n_parameters, "gradients")
        cdef const char* d = matrix_of(dz, self.dtype, rows, self.n_out, "dz")
        cdef Pass p = self.pass_over(parameters, X, tape)
        dX = np.empty((rows, self.n_in), self.dtype)
        p.dx = address(dX)
        cdef float_mode mode
        memory = np.zeros(self.scratch_size(rows), np.uint8)
        cdef char* scratch = address(memory)
        with nogil:
            mode = flush_subnormals()
            memcpy(delta_at(&p, self.last_op().delta_out, 0, self.n_out), d,
                   rows * self.n_out * self.itemsize)
            for k in range(self.n_segments - 1, -1, -1):
                self.before_backward(&p, k)
                for i from 0 <= i < rows by shard:
                    self.backward_segment(&p, k, i, min(shard, rows - i))
            for i in range(self.n_blocks):
                self.block_gradient(&p, &self.blocks[i], g + self.blocks[i].start * self.itemsize,
                                    scratch)
            restore_float_mode(mode)
        return dX

    cdef Pass pass_over(self, parameters, X, tape) except *:
        cdef Py_ssize_t rows = X.shape[0]
        cdef Pass p = self.new_pass(
            data_of(parameters, self.dtype, self.n_parameters, "parameters"),
            matrix_of(X, self.dtype, rows, self.n_in, "X"),
            writable_data_of(tape, self.dtype, self.tape_size(rows), "tape"), rows)
        p.centered = isinstance(X, Centered)
        return p

    cdef int check_statistics(self, const Pass* p) except -1:
        """Raise where prediction would use a statistic that is not finite."""
        cdef Py_ssize_t i
        cdef const Op* op
        for i in range(1, self.n_segments):
            op = &self.ops[self.segments[i]]
            if op.kind.statistics_hold != NULL and not op.kind.statistics_hold(p, op):
                raise FloatingPointError(
                    "running_mean and running_var must be "
                    f"finite in {self.dtype}, got infinity or NaN, because the variance of some "
                    "minibatch was beyond that. Scale X, put nn.Standardize first, or build the "
                    'network with dtype="float64", and train again')

    cdef void block_gradient(self, const Pass* p, const Block* block, char* out,
                             char* scratch) noexcept nogil:
        gradient(p, &self.ops[block.op], block.first, block.last, out, scratch)

    cdef Py_ssize_t scratch_size(self, Py_ssize_t rows) noexcept nogil:
        """Bytes that a thread needs for gradients of blocks beside their own, and for tiles.

        They are whole lines of the cache; the first one counts what gradients skip.
        """
        cdef Py_ssize_t i, size = LINE
        for i in range(self.n_blocks):
            size = max(size, gradient_scratch(
                self.sparsity, rows, self.blocks[i].last - self.blocks[i].first, self.itemsize))
            if self.ops[self.blocks[i].op].n_matrix:
                size = max(size, LINE + self.itemsize * matmul_scratch(
                    self.blocks[i].last - self.blocks[i].first,
                    self.ops[self.blocks[i].op].n_out, rows, 1))
        if self.wide:
            size = max(size, LINE + self.itemsize * matmul_scratch(
                min(rows, <Py_ssize_t> WIDE_SHARD), SUMS, DEPTH + 1, DEPTH + 1))
        return ceil_div(size, LINE) * LINE

    cdef double penalties(self, const Pass* p) noexcept nogil:
        """What activities add to the loss of a minibatch, once it has been all the way back.

        Those of the input, by which there is no gradient, are left out: nobody can change them.
        """
        cdef Py_ssize_t i, k
        cdef double sum = 0
        for i in range(self.n_ops):
            if self.ops[i].kind.penalty != NULL and self.ops[i].delta_in != NOWHERE:
                for k from 0 <= k < p.rows by GRAIN:
                    sum += self.ops[i].kind.penalty(p, &self.ops[i], k)
        return sum

    cdef double largest_gradient(self, const Pass* p) noexcept nogil:
        """A bound of the parameters' gradients; infinite too if statistics leave their range.

        A gradient is a sum over rows of products: of the gradient by an op's output with its
        input, or with that normalized.
        """
        cdef Py_ssize_t i
        cdef double bound = 0, x, statistics
        cdef const Op* op
        for i in range(self.n_ops):
            op = &self.ops[i]
            if op.kind.after_batch != NULL:
                statistics = self.spans.peak(statistic(p, op, 0), op.kind.n_vectors * op.n_out)
                bound = max(bound, statistics)
            if op.kind.gradient == NULL or op.n_trainable == 0:
                continue
            x = sqrt(<double> max(p.rows, op.n_in))
            if op == p.sparse_op:
                x = max(x, self.spans.peak(p.sparse.values, p.sparse.starts[p.rows]))
            elif op.input == NOWHERE and p.x_peak >= 0:
                x = max(x, p.x_peak)
            else:
                x = max(x, self.spans.peak(value_at(p, op.input, 0, op.n_in), p.rows * op.n_in))
            if op.kind.joins:
                x = max(x, self.spans.peak(value_at(p, op.skip, 0, op.n_skip),
                                           p.rows * op.n_skip))
            bound = max(bound, p.rows * x * self.spans.peak(
                at(p, op.delta_out, 0, op.n_out), p.rows * op.n_out))
        return bound

    def row_losses(self, str loss, numbers, z, y):
        """The loss of each row of outputs z against y, and its gradient by z."""
        cdef Py_ssize_t rows = z.shape[0]
        cdef const LossRow* row = loss_of(self.spans, loss)
        cdef const char* outputs = matrix_of(z, self.dtype, rows, self.n_out, "z")
        y = targets_of(row, y, self.dtype, rows, self.n_out)
        row_loss, dz = np.empty(rows, self.dtype), np.empty((rows, self.n_out), self.dtype)
        row.loss(outputs, address(y), rows, self.n_out, 1.0,
                 numbers_of(row, numbers, self.dtype, self.n_out), address(dz), address(row_loss))
        return row_loss, dz


# -- how much goes without Python -----------------------------------------------------------------

cdef double MIN_SECONDS = 0.02
cdef double MAX_SECONDS = 0.08


cdef Py_ssize_t shards_at_once(Plan plan, Py_ssize_t rows) noexcept nogil:
    """How many shards of so many rows are begun with, for a few milliseconds."""
    # An element that an activation computes costs about as much as 16 multiply-adds.
    cdef Py_ssize_t work = rows * (plan.multiply_adds + 16 * plan.value_width)
    return max(AT_ONCE // work, <Py_ssize_t> available_threads())


cdef Py_ssize_t adapted(Py_ssize_t at_once, double took) noexcept nogil:
    """How many shards are to go at once, where so many took so many seconds."""
    if took < MIN_SECONDS:
        return 2 * at_once
    return max(at_once // 2, <Py_ssize_t> 1) if took > MAX_SECONDS else at_once


# -- what a spec must be --------------------------------------------------------------------------

def parameters_of(list specs, n_in):
    """The arrays of the parameters of some ops: (op, name in it, shape, role), as in `layout`.

    Nothing is compiled: the ops may be a part of those of a plan, if residual blocks are whole.
    """
    cdef Op op
    cdef Py_ssize_t i, width = checked_width(n_in, MAX_ELEMENTS)
    arrays, forks = [], []
    for i in range(len(specs)):
        fill_op(&op, specs[i], width, forks)
        width = op.n_out
        if op.kind.joins:
            forks.pop()
        elif op.kind.forks:
            forks.append(width)
        arrays += [(i, *array) for array in op.kind.parameters(&op)]
    return arrays


cdef int fill_op(Op* op, spec, Py_ssize_t n_in, list forks) except -1:
    """What an op's parameters depend on; `forks` are the widths where open blocks began."""
    cdef int i
    if not isinstance(spec, OpSpec):
        raise TypeError(f"an op must be an OpSpec, as spec() of a layer returns, got {spec!r}")
    if spec.kind not in _KINDS:
        raise ValueError(f"{spec} must be of one of the kinds {', '.join(_KINDS)}")
    op.kind = kind_of(spec.kind)
    if not op.kind.product and (spec.units is not None or spec.bias or spec.max_norm):
        raise ValueError(f"{spec} must have neither units nor bias nor max_norm")
    if op.kind.joins and not forks:
        raise ValueError(f"{spec} must follow a 'fork'")
    op.n_in = n_in
    op.n_out = n_in if spec.units is None else integer_of(
        spec, "units", spec.units, 1, MAX_ELEMENTS)
    op.n_skip = forks[-1] if op.kind.joins else 0
    op.bias = spec.bias
    if len(spec.integers) != op.kind.n_integers or op.kind.n_integers > MAX_INTEGERS:
        raise ValueError(
            f"{spec} must have {op.kind.n_integers} integers, got {len(spec.integers)}")
    for i in range(op.kind.n_integers):
        op.integer[i] = integer_of(spec, "integers", spec.integers[i], 0, WIDEST)


cdef Py_ssize_t checked_width(n_in, Py_ssize_t largest) except -1:
    if not 1 <= n_in <= largest:
        raise ValueError(f"n_in must be between 1 and {largest}, got {n_in}")
    return n_in


cdef Py_ssize_t integer_of(spec, str name, value, Py_ssize_t smallest,
                           Py_ssize_t largest) except -1:
    """An integer of a spec, between two others."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} of {spec} must be an integer, got {value!r}") from None
    if not smallest <= number <= largest:
        raise ValueError(
            f"{name} of {spec} must be between {smallest} and {largest}, got {value!r}")
    return number


cdef int n_parameters_of(const Activation* row) noexcept:
    """How many parameters an activation's kernels take behind x."""
    cdef const char* c = row.parameters
    cdef int n
    if c == NULL or c[0] == 0:
        return 0
    n = 1
    while c[0]:
        n += c[0] == b","
        c += 1
    return n


# -- blocks of weights ----------------------------------------------------------------------------

cdef Py_ssize_t matrix_rows(const Op* op) noexcept:
    """Rows of an op's matrix of parameters, bias and all; 0 if it has none."""
    return op.n_matrix + op.bias


cdef Py_ssize_t scratch_of_row(Py_ssize_t n, Py_ssize_t k) noexcept:
    """The share of a row in the scratch memory of a product of TILE rows or more."""
    return ceil_div(matmul_scratch(TILE, n, k, k), TILE)


cdef Py_ssize_t rows_of_block(const Op* op) noexcept:
    """Even shares, in whole tiles of a product; the last block takes the bias along."""
    cdef bint many = op.n_matrix * op.n_out >= MANY * BLOCK
    cdef Py_ssize_t min_rows = MIN_ROWS_OF_MANY if many else MIN_ROWS
    cdef Py_ssize_t max_rows = max(BLOCK // op.n_out, min_rows)
    cdef Py_ssize_t n = max(ceil_div(op.n_matrix, max_rows), <Py_ssize_t> 1)
    cdef Py_ssize_t rows = ceil_div(op.n_matrix, n)
    return max(ceil_div(rows, TILE) * TILE, <Py_ssize_t> TILE)


cdef Py_ssize_t blocks_of(const Op* op) noexcept:
    """How many blocks its parameters make; vectors are one."""
    return 0 if op.n_trainable == 0 else max(
        <Py_ssize_t> 1, ceil_div(op.n_matrix, rows_of_block(op)))
