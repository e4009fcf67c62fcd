"""A network as a flat plan of steps, and the two phases of a minibatch over it.

Phase 1 goes by shards of rows: gather, forward, loss, input gradients. Phase 2 goes by
blocks of weights: the gradient of one block over all rows, then at once its update while it is in
cache. Where a step needs all rows first (batch_norm), phase 1 is cut into segments, and all shards
pass one before any enters the next. Shards and blocks depend on shapes alone and nothing is summed
across threads, so the bits are the same for any number of threads.

All parameters lie in one buffer, a step's behind the other's; gradients and optimizer state in
others of the same layout. A dense step's are one row-major matrix of n_in + 1 rows: the weights,
then the bias. What a minibatch leaves for its backward pass, the tape, is one buffer too: memory
that no row owns, then the steps' values of all rows, then masks and gradients, which prediction
does without. Pointers are char*, places count elements: one code for both precisions.
"""

cimport numpy as cnp
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport INT32_MAX, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from relume.engine.arrays cimport (
    LINE, address, data_of, loss_of, matrix_of, numbers_of, targets_of, writable_data_of,
)
from relume.engine.ops cimport (
    ACTIVATION, ACTIVITY_L1, ALPHA_DROPOUT, BATCH_NORM, BATCH_NORM_VECTORS, DENSE, DROPOUT, FORK,
    JOIN, LAYER_NORM, MAX_NUMBERS, NOWHERE, PRELU, RRELU, SINE, STANDARDIZE, Pass, Step,
    activity_penalty, backward, batch_gradient_sums, batch_statistics, delta_at, float_mode,
    flush_subnormals, forward, gradient, restore_float_mode, running_statistics, shapes_of,
)
from relume.engine.skip_zeros cimport FORWARD, ONE_ROW, compressed_size, gradient_scratch, may_pay
from relume.kernels.dispatch cimport table
from relume.runtime.threads cimport available_threads
from relume.kernels.table cimport Activation, Kernel, Kernels, LossRow

import operator

import numpy as np

from relume.engine.arrays import aligned_zeros
from relume.engine.skip_zeros import SPARSITIES as _SPARSITIES

cnp.import_array()

KINDS = {
    "dense": DENSE, "activation": ACTIVATION, "prelu": PRELU, "rrelu": RRELU, "dropout": DROPOUT,
    "alpha_dropout": ALPHA_DROPOUT, "batch_norm": BATCH_NORM, "layer_norm": LAYER_NORM,
    "standardize": STANDARDIZE, "sine": SINE, "fork": FORK, "join": JOIN,
    "activity_l1": ACTIVITY_L1,
}
# How many numbers each kind reads; the others read none, and an activation its row's parameters.
N_NUMBERS = {RRELU: 3, DROPOUT: 1, ALPHA_DROPOUT: 1, BATCH_NORM: 2, LAYER_NORM: 1, SINE: 1}

# Elements. With these no size that is computed from widths overflows.
cdef Py_ssize_t WIDEST = 1 << 36            # of one row: a layer's, or all that the tape holds
cdef Py_ssize_t MOST_ELEMENTS = 1 << 56     # of all parameters, and of a tape


cdef class Plan:
    """Steps compiled for one input width and dtype; it holds no values and may be shared.

    Parameters
    ----------
    n_in : int
    specs : list of dict
        A step each: its ``"kind"``, one of KINDS, and what that kind needs (see the layers'
        `specs`).
    dtype : numpy.dtype
        float32 or float64.
    sparse : {"auto", "never", "always"}
        Whether products skip zeros. The results are the same bits.
    """

    def __cinit__(self, Py_ssize_t n_in, list specs, dtype, str sparse="auto"):
        if sparse not in _SPARSITIES:
            raise ValueError(f"sparse must be one of {', '.join(_SPARSITIES)}, got {sparse!r}")
        self.sparsity = _SPARSITIES[sparse]
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ValueError(f"dtype must be float32 or float64, got {self.dtype}")
        if not 1 <= n_in <= WIDEST:
            raise ValueError(f"n_in must be between 1 and {WIDEST}, got {n_in}")
        if not specs:
            raise ValueError("specs must hold at least one step, got an empty list")
        self.itemsize, self.type_number = self.dtype.itemsize, self.dtype.num
        self.spans = &table.float32 if self.itemsize == 4 else &table.float64
        self.n_in = self.n_out = n_in
        self.n_steps = len(specs)
        self.steps = <Step*> PyMem_Calloc(self.n_steps, sizeof(Step))
        self.segments = <Py_ssize_t*> PyMem_Calloc(self.n_steps + 2, sizeof(Py_ssize_t))
        if self.steps == NULL or self.segments == NULL:
            raise MemoryError()
        self.compile(specs)

    def __dealloc__(self):
        PyMem_Free(self.steps)
        PyMem_Free(self.segments)
        PyMem_Free(self.blocks)
        free(self.spare)

    cdef int compile(self, list specs) except -1:
        cdef Py_ssize_t i, n_blocks = 0
        cdef Place now = Place(NOWHERE, NOWHERE, 0, False)
        forks = []
        for i in range(self.n_steps):
            self.add_step(i, checked_spec(specs[i]), &now, forks)
            n_blocks += blocks_of(&self.steps[i])
            if self.steps[i].kind == BATCH_NORM:
                self.n_segments += 1
                self.segments[self.n_segments] = i
        if forks:
            raise ValueError(f"{named(specs[forks[-1]])} must be followed by its 'join'")
        if self.last_step().output == NOWHERE:
            raise ValueError(f"{named(specs[-1])} must not be all that there is: it only passes "
                             "its input on")
        self.n_segments += 1
        self.segments[self.n_segments] = self.n_steps
        self.fuse_rectifiers()
        self.add_compressed()
        self.move_training_places()
        self.tape_width = self.value_width + now.training_width
        self.blocks = <Block*> PyMem_Calloc(n_blocks, sizeof(Block))
        if self.blocks == NULL:
            raise MemoryError()
        for i in range(self.n_steps):
            self.add_blocks(i)

    cdef int add_step(self, Py_ssize_t i, dict spec, Place* now, list forks) except -1:
        cdef Step* s = &self.steps[i]
        cdef Step* fork
        s.kind = KINDS[spec["kind"]]
        s.n_in = self.n_out
        s.n_out = self.n_out = integer_of(spec, "n_out", 1, WIDEST, s.n_in)
        s.bias = spec.get("bias", False)
        if s.kind != DENSE and (s.n_out != s.n_in or s.bias or spec.get("max_norm", 0.0)):
            raise ValueError(f"{named(spec)} must have neither n_out nor bias nor max_norm, which "
                             "only 'dense' has")
        s.lr_scale = spec.get("lr_scale", 1.0)
        s.l1, s.l2 = spec.get("l1", 0.0), spec.get("l2", 0.0)
        s.max_norm = spec.get("max_norm", 0.0)
        self.add_numbers(s, spec, self.add_kernels(s, spec))
        if s.kind == DENSE:
            s.n_matrix = s.n_in
        elif s.kind == JOIN:
            if not forks:
                raise ValueError(f"{named(spec)} must follow a 'fork'")
            fork = &self.steps[<Py_ssize_t> forks.pop()]
            fork.to_join = &self.steps[i] - fork
            s.skip, s.skip_delta = fork.input, fork.delta_in
            s.n_matrix = 0 if fork.n_in == s.n_out else fork.n_in
        elif s.kind == FORK:
            forks.append(i)
        if matrix_rows(s) > MOST_ELEMENTS // s.n_out - self.n_parameters // s.n_out - ALIGN:
            raise ValueError(f"{named(spec)} must have fewer parameters: a network has at most "
                             f"{MOST_ELEMENTS}, got {s.n_matrix} x {s.n_out}")
        self.multiply_adds += s.n_matrix * s.n_out
        self.wide |= s.n_matrix * s.n_out * self.itemsize >= WIDE
        self.random |= s.kind == RRELU or s.kind == DROPOUT or s.kind == ALPHA_DROPOUT
        self.add_values(s, now)
        self.add_deltas(s, now)
        if max(self.value_width, now.training_width) > WIDEST:
            raise ValueError(f"{named(spec)} must be narrower: all layers together must have at "
                             f"most {WIDEST} values for each row")
        self.add_parameters(s, spec)

    cdef int add_numbers(self, Step* s, dict spec, const Activation* row) except -1:
        """Take the step's own numbers, which must be as many as its kind reads."""
        cdef int n = N_NUMBERS.get(s.kind, 0)
        numbers = tuple(spec.get("numbers", ()))
        if s.kind == ACTIVATION:
            n = n_parameters_of(row)
        if len(numbers) != n or n > MAX_NUMBERS:
            raise ValueError(f"{named(spec)} must have {n} numbers, got {len(numbers)}")
        s.n_numbers = n
        for i, value in enumerate(numbers):
            try:
                number = self.dtype.type(float(value)).tobytes()
            except (TypeError, ValueError):
                raise TypeError(
                    f"numbers of {named(spec)} must be real numbers, got {value!r}") from None
            memcpy(<char*> s.number + <int> i * self.itemsize, <const char*> number,
                   self.itemsize)

    cdef const Activation* add_kernels(self, Step* s, dict spec) except? NULL:
        """Take a row of the table by its index, which is returned; NULL for other kinds."""
        cdef const Activation* row
        if s.kind != ACTIVATION and s.kind != PRELU and s.kind != RRELU:
            if "activation" in spec:
                raise ValueError(f"{named(spec)} must have no activation")
            return NULL
        row = &table.activations[integer_of(spec, "activation", 0, table.n_activations - 1)]
        s.is_relu = row.name == b"relu"
        s.activate = self.kernel(&row.forward)
        s.activate_backward = self.kernel(&row.backward)
        s.parameter_gradient = self.kernel(&row.parameter_gradient)
        s.from_output = s.kind == ACTIVATION and spec.get("from_output", False)
        if s.from_output:
            s.activate_backward = self.kernel(&row.backward_from_output)
        if (s.activate == NULL or s.activate_backward == NULL
                or s.kind != ACTIVATION and n_parameters_of(row) != 1
                or s.kind == PRELU and s.parameter_gradient == NULL):
            raise ValueError(f"{named(spec)} must have an activation with the kernels that it "
                             f"needs, got {row.name.decode()!r}")
        return row

    cdef Kernel kernel(self, const Kernels* kernels) noexcept:
        return kernels.float32 if self.itemsize == 4 else kernels.float64

    cdef void add_values(self, Step* s, Place* now) noexcept:
        """Where its values go: in place where only this step reads its input."""
        cdef Py_ssize_t width = s.n_out
        cdef bint noise = s.kind == DROPOUT or s.kind == ALPHA_DROPOUT
        s.input = s.output = now.value
        if s.kind == FORK or s.kind == ACTIVITY_L1:     # which reads it again on the way back
            now.private = False
            if s.kind == ACTIVITY_L1:
                s.kept = now.training_width             # a double for a shard
                now.training_width += 8 // self.itemsize
            return
        if not (now.private and (noise or s.kind == STANDARDIZE or s.from_output)):
            s.output = now.value = self.value_width
            self.value_width += width
        now.private = not s.from_output
        if s.kind == BATCH_NORM or s.kind == LAYER_NORM:
            s.kept = self.value_width           # and, of layer_norm, a number a row
            self.value_width += width + (s.kind == LAYER_NORM)
        elif s.kind == PRELU or s.kind == RRELU or noise:
            s.kept = now.training_width
            now.training_width += width
        if s.kind == BATCH_NORM:
            s.fixed = self.fixed
            self.fixed += ceil_div(BATCH_NORM_VECTORS * width, ALIGN) * ALIGN

    cdef void add_compressed(self) noexcept:
        """Memory that all products share, one after the other, for inputs without their zeros.

        It has one width for all, since threads are at different products at the same time.
        """
        cdef Py_ssize_t i, size, place = self.value_width, width = 0
        cdef Step* s
        for i in range(self.n_steps):
            s = &self.steps[i]
            s.stream = s.kept + place
            if WIDE_SHARD * s.n_in > INT32_MAX:     # columns and starts are int32
                continue
            if s.kind == DENSE and (may_pay(self.sparsity, ONE_ROW, s.n_out)
                                    or may_pay(self.sparsity, FORWARD, s.n_out)):
                s.compressed = place
                size = compressed_size(s.n_in, 1, self.itemsize)
                width = max(width, ceil_div(size, self.itemsize))
        for i in range(self.n_steps):
            if self.steps[i].compressed:
                self.steps[i].n_compressed = width
        self.value_width += width

    cdef void fuse_rectifiers(self) noexcept:
        """Leave relu to the products on both its sides, while their tiles are in registers."""
        cdef Py_ssize_t i
        cdef Step* s
        for i in range(1, self.n_steps):
            s = &self.steps[i]
            if not s.is_relu or s.input != s.output:
                continue
            s.forward_done = s[-1].rectifies = s[-1].kind == DENSE
            if i + 1 < self.n_steps:
                s.backward_done = s[1].masks = s[1].kind == DENSE

    cdef void add_deltas(self, Step* s, Place* now) noexcept:
        """Where gradients go: apart where phase 2 reads the one by the output."""
        s.delta_in = s.delta_out = now.delta
        if (s.kind == DENSE or s.kind == PRELU or s.kind == BATCH_NORM or s.kind == LAYER_NORM
                or s.kind == JOIN):
            s.delta_out = now.delta = now.training_width
            now.training_width += s.n_out

    cdef int add_parameters(self, Step* s, dict spec) except -1:
        cdef Py_ssize_t width = s.n_out
        s.parameters = self.n_parameters
        if s.kind == DENSE or s.kind == JOIN:
            s.n_parameters = s.n_trainable = matrix_rows(s) * width
        elif s.kind == PRELU:
            s.n_parameters = s.n_trainable = width if spec.get("per_unit", False) else 1
        elif s.kind == LAYER_NORM:
            s.n_parameters = s.n_trainable = 2 * width
        elif s.kind == BATCH_NORM:              # with two running statistics and a count
            s.n_parameters, s.n_trainable = 4 * width + 1, 2 * width
        elif s.kind == STANDARDIZE:
            s.n_parameters = 2 * width
        if not spec.get("trainable", True):
            s.n_trainable = 0
        self.n_parameters = ceil_div(self.n_parameters + s.n_parameters, ALIGN) * ALIGN

    cdef void move_training_places(self) noexcept:
        """Masks and gradients were counted from 0; they lie behind the values."""
        cdef Py_ssize_t i
        cdef Step* s
        for i in range(self.n_steps):
            s = &self.steps[i]
            if s.kind != BATCH_NORM and s.kind != LAYER_NORM:
                s.kept += self.value_width
            if s.delta_in != NOWHERE:
                s.delta_in += self.value_width
            if s.delta_out != NOWHERE:
                s.delta_out += self.value_width
            if s.kind == JOIN and s.skip_delta != NOWHERE:
                s.skip_delta += self.value_width

    cdef void add_blocks(self, Py_ssize_t i) noexcept:
        cdef const Step* s = &self.steps[i]
        cdef Block* block
        cdef Py_ssize_t k, first, rows = matrix_rows(s), size = rows_of_block(s)
        cdef Py_ssize_t n = blocks_of(s)
        for k in range(n):
            first = k * size
            block = &self.blocks[self.n_blocks]
            block.step, block.first, block.last = i, first, rows if k == n - 1 else first + size
            block.start = s.parameters + first * s.n_out
            block.size = (block.last - first) * s.n_out if rows else s.n_trainable
            self.largest_block = max(self.largest_block, block.size)
            self.n_blocks += 1

    def layout(self):
        """Where the parameters are: (step, name in it, offset, shape) of each array."""
        cdef Py_ssize_t i, start
        arrays = []
        for i in range(self.n_steps):
            start = self.steps[i].parameters
            for name, shape in shapes_of(&self.steps[i]):
                arrays.append((i, name, start, shape))
                start += int(np.prod(shape))
        return arrays

    def all_finite(self, parameters):
        """Whether all parameters are finite."""
        return self.spans.all_finite(
            data_of(parameters, self.dtype, self.n_parameters, "parameters"), self.n_parameters)

    def new_tape(self, Py_ssize_t rows):
        """Memory for what a minibatch of so many rows leaves for its backward pass."""
        return aligned_zeros(self.tape_size(rows), self.dtype)

    cdef Py_ssize_t tape_size(self, Py_ssize_t rows) except -1:
        """The elements of the tape of a minibatch."""
        cdef Py_ssize_t most = (MOST_ELEMENTS - self.fixed) // self.tape_width
        if not 0 <= rows <= most:
            raise ValueError(f"a minibatch must have 0 to {most} rows, got {rows}")
        return self.fixed + rows * self.tape_width

    cdef int threads_for(self, Py_ssize_t rows) noexcept nogil:
        return available_threads() if self.multiply_adds * rows >= PARALLEL else 1

    cdef const Step* last_step(self) noexcept nogil:
        return &self.steps[self.n_steps - 1]

    cdef const Step* first_dense(self) except NULL:
        """What reads the minibatch where it is sparse; a scaling before it is Python's then."""
        cdef Py_ssize_t i = self.n_steps > 1 and self.steps[0].kind == STANDARDIZE
        if self.steps[i].kind != DENSE:
            raise ValueError("X must be dense, unless the first layer is a Dense, or a "
                             "Standardize and a Dense; got a sparse matrix")
        return &self.steps[i]

    cdef int check_learning(self) except -1:
        """Raise where the gradient by the outputs has no place on the tape."""
        if self.last_step().delta_out == NOWHERE:
            raise ValueError("layers must hold one that learns, such as nn.Dense, where gradients "
                             "are computed")

    # -- phase 1: segments of steps, over shards of rows -----------------------------------------

    cdef Pass new_pass(self, char* parameters, const char* x, char* tape,
                       Py_ssize_t rows) noexcept nogil:
        cdef Pass p
        p.spans, p.itemsize = self.spans, self.itemsize
        p.rows, p.fixed, p.parameters, p.x, p.tape = rows, self.fixed, parameters, x, tape
        p.sparse_step, p.sparse, p.sparse_columns, p.dx = NULL, NULL, NULL, NULL
        p.training, p.apart, p.key = True, False, 0
        p.sparsity, p.skipped = self.sparsity, NULL
        return p

    cdef void before_segment(self, const Pass* p, Py_ssize_t segment) noexcept nogil:
        """What its first step needs of all rows, when all have passed the segment before."""
        if segment > 0:
            batch_statistics(p, &self.steps[self.segments[segment]])

    cdef void forward_segment(self, const Pass* p, Py_ssize_t segment, Py_ssize_t first,
                              Py_ssize_t n) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(self.segments[segment], self.segments[segment + 1]):
            forward(p, &self.steps[i], first, n)

    cdef void before_backward(self, const Pass* p, Py_ssize_t segment) noexcept nogil:
        """What the first step behind a segment needs of all rows, on the way back."""
        if segment + 1 < self.n_segments:
            batch_gradient_sums(p, &self.steps[self.segments[segment + 1]])

    cdef void backward_segment(self, const Pass* p, Py_ssize_t segment, Py_ssize_t first,
                               Py_ssize_t n) noexcept nogil:
        """Back through the first step behind the segment, and through all but its own first."""
        cdef Py_ssize_t i
        cdef Py_ssize_t last = min(self.segments[segment + 1], self.n_steps - 1)
        cdef Py_ssize_t stop = self.segments[segment] + 1 if segment > 0 else 0
        for i in range(last, stop - 1, -1):
            backward(p, &self.steps[i], first, n)

    cdef void track_statistics(self, const Pass* p) noexcept nogil:
        """Let the running statistics follow a minibatch that was good."""
        cdef Py_ssize_t k
        for k in range(1, self.n_segments):
            running_statistics(p, &self.steps[self.segments[k]])

    # -- what Python calls -----------------------------------------------------------------------

    def forward(self, parameters, X, tape, uint64_t key=0):
        """Phase 1 without the loss, for loops of one's own; the outputs are on the tape."""
        cdef Py_ssize_t rows = X.shape[0], shard = shard_of(self, rows), i, k
        cdef Pass p = self.pass_over(parameters, X, tape)
        p.key = key
        if self.n_segments > 1:                         # running statistics are written
            writable_data_of(parameters, self.dtype, self.n_parameters, "parameters")
        if not self.spans.all_finite(p.x, rows * self.n_in):
            return None
        cdef float_mode mode
        with nogil:
            mode = flush_subnormals()
            for k in range(self.n_segments):
                self.before_segment(&p, k)
                for i from 0 <= i < rows by shard:
                    self.forward_segment(&p, k, i, min(shard, rows - i))
            self.track_statistics(&p)
            restore_float_mode(mode)
        cdef Py_ssize_t start = self.fixed + rows * self.last_step().output
        return tape[start:start + rows * self.n_out].reshape(rows, self.n_out).copy()

    def backward(self, parameters, gradients, X, tape, dz):
        """From the outputs' gradient to the gradients of parameters (written) and X (returned)."""
        cdef Py_ssize_t rows = X.shape[0], shard = shard_of(self, rows), i, k
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
            memcpy(delta_at(&p, self.last_step().delta_out, 0, self.n_out), d,
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
        return self.new_pass(
            data_of(parameters, self.dtype, self.n_parameters, "parameters"),
            matrix_of(X, self.dtype, rows, self.n_in, "X"),
            writable_data_of(tape, self.dtype, self.tape_size(rows), "tape"), rows)

    cdef void block_gradient(self, const Pass* p, const Block* block, char* out,
                             char* scratch) noexcept nogil:
        gradient(p, &self.steps[block.step], block.first, block.last, out, scratch)

    cdef Py_ssize_t scratch_size(self, Py_ssize_t rows) noexcept nogil:
        """Bytes that gradients of blocks need beside their own, in whole lines of the cache."""
        cdef Py_ssize_t i, most = LINE
        for i in range(self.n_blocks):
            most = max(most, gradient_scratch(
                self.sparsity, rows, self.blocks[i].last - self.blocks[i].first,
                self.steps[self.blocks[i].step].n_out, self.itemsize))
        return ceil_div(most, LINE) * LINE

    cdef double activity_penalties(self, const Pass* p) noexcept nogil:
        """What activities add to the loss of a minibatch, once it has been all the way back.

        Those of the input, by which there is no gradient, are left out: nobody can change them.
        """
        cdef Py_ssize_t i, k, shard = shard_of(self, p.rows)
        cdef double sum = 0
        for i in range(self.n_steps):
            if self.steps[i].kind == ACTIVITY_L1 and self.steps[i].delta_in != NOWHERE:
                for k from 0 <= k < p.rows by shard:
                    sum += activity_penalty(p, &self.steps[i], k)
        return sum

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


cdef dict checked_spec(spec):
    """What a layer says of a step, once it is known to be a dict of a kind that there is."""
    if not isinstance(spec, dict):
        raise TypeError(f"a step must be a dict, as spec() of a layer returns, got {spec!r}")
    if spec.get("kind") not in KINDS:
        raise ValueError(f"{named(spec)} must be of one of the kinds {', '.join(KINDS)}")
    return spec


cdef str named(dict spec):
    """How an error calls a step: by its kind, and the layer that it comes from."""
    kind = f"the step {spec.get('kind')!r}"
    return f"{kind} of {spec['layer']!r}" if "layer" in spec else kind


cdef Py_ssize_t integer_of(dict spec, str name, Py_ssize_t least, Py_ssize_t most,
                           default=None) except -1:
    """An integer of a step, between two others."""
    value = spec.get(name, default)
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} of {named(spec)} must be an integer, got {value!r}") from None
    if not least <= number <= most:
        raise ValueError(f"{name} of {named(spec)} must be between {least} and {most}, "
                         f"got {value!r}")
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


cdef Py_ssize_t matrix_rows(const Step* s) noexcept:
    """Rows of a step's matrix of parameters, bias and all; 0 if it has none."""
    return s.n_matrix + s.bias


cdef Py_ssize_t rows_of_block(const Step* s) noexcept:
    """Even shares, in whole tiles of a product; the last block takes the bias along."""
    cdef Py_ssize_t most = max(BLOCK // s.n_out, <Py_ssize_t> LEAST_ROWS)
    cdef Py_ssize_t rows = ceil_div(s.n_matrix, max(ceil_div(s.n_matrix, most), <Py_ssize_t> 1))
    return max(ceil_div(rows, TILE) * TILE, <Py_ssize_t> TILE)


cdef Py_ssize_t blocks_of(const Step* s) noexcept:
    """How many blocks its parameters make; vectors are one."""
    return 0 if s.n_trainable == 0 else max(
        <Py_ssize_t> 1, ceil_div(s.n_matrix, rows_of_block(s)))
