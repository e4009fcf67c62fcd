"""A network as a flat plan: what plan.pyx implements and training.pyx drives."""

from libc.stdint cimport uint64_t

from relume.engine.ops cimport GRAIN, Op, Pass, SkipChoice
from relume.kernels.table cimport Activation, Kernel, Kernels, Spans
from relume.runtime.threads cimport Choice

cdef enum:
    # Rows of a shard: 784 x 256 products lose 11 % at 64 rows, 38 % at 32. WIDE bytes of a matrix
    # come from beyond the second cache for each shard: with 64 rows a step of 1024-1024-1024-10,
    # batch 512, takes 1.2 times as long as with 128, and with 128 it takes 1.04 times as long as
    # with 256.
    SHARD = 64
    MIN_SHARD = 16              # where a minibatch has few rows for many threads
    WIDE_SHARD = 256
    TILE_COLUMNS = 384          # of a tile of a wide product, at least, where tiles are plenty
    MIN_TILE_COLUMNS = 64
    WIDE = 1 << 21
    # Elements of a weight block, about. At 16,384 the shares of two threads are less even, and a
    # step of 64-256-128-10, batch 128, takes 1.01 to 1.08 times as long.
    BLOCK = 8192
    TILE = 8                    # rows of a tile of matmul/dense.h, at most
    # Rows of a weight block, at least, for each of which x and delta are read. A matrix of MANY
    # blocks has larger ones: with 48 rows, gradients of 2048 x 2048 run at 158 GFLOP/s on a Xeon
    # with AVX-512, with 96 at 174.
    MIN_ROWS = 48
    MIN_ROWS_OF_MANY = 96
    MANY = 64
    ALIGN = 16                  # elements: an op's parameters begin on a cache line

cdef struct Block:              # a piece of an op's parameters
    Py_ssize_t op
    Py_ssize_t first            # rows first .. last of its matrix; row n_matrix is the bias
    Py_ssize_t last
    Py_ssize_t start            # in the flat buffer
    Py_ssize_t size


cdef struct Cursor:             # where the compiler is: the present value, and gradient by it
    Py_ssize_t value
    Py_ssize_t delta
    Py_ssize_t training_width
    bint private                # nobody but the next op reads the value


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    """a / b rounded up; // truncates here (cdivision), so -(-a // b) would not do."""
    return (a + b - 1) // b


cdef struct Tiles:              # of the outputs of a product: some rows and columns of them
    Py_ssize_t rows
    Py_ssize_t columns
    Py_ssize_t n                # tiles, those of the same rows side by side; 0: shards are as good


cdef class Plan:
    cdef Op* ops
    cdef Block* blocks
    cdef SkipChoice* skip_choices       # N_PRODUCTS for each op
    cdef Py_ssize_t* segments   # the op where each segment begins; and the end
    cdef const Spans* spans
    cdef void* spare            # memory that a call gave back
    cdef readonly object dtype
    cdef list arrays            # of the parameters, see `layout`
    cdef int type_number
    cdef readonly Py_ssize_t n_ops, n_blocks, n_in, n_out, n_parameters, itemsize
    cdef readonly bint random
    cdef bint wide              # a matrix of weights has WIDE bytes or more
    cdef int sparsity
    cdef Choice step_choice     # of the threads of a training step, for about `step_rows` rows
    cdef Py_ssize_t step_rows
    cdef double row_seconds     # of a row of a prediction, on one thread
    cdef uint64_t predictions   # calls that one thread has done
    cdef Py_ssize_t n_segments, fixed, value_width, tape_width, largest_block, multiply_adds

    cdef int compile(self, list specs) except -1
    cdef int add_op(self, Py_ssize_t i, spec, Cursor* now, list forks) except -1
    cdef Kernel kernel(self, const Kernels* kernels) noexcept
    cdef int add_numbers(self, Op* op, spec, const Activation* row) except -1
    cdef const Activation* add_kernels(self, Op* op, spec) except? NULL
    cdef void add_values(self, Op* op, Cursor* now) noexcept
    cdef void fuse_rectifiers(self) noexcept
    cdef void add_scratch(self) noexcept
    cdef void add_deltas(self, Op* op, Cursor* now) noexcept
    cdef int add_parameters(self, Py_ssize_t i, spec) except -1
    cdef void add_blocks(self, Py_ssize_t i) noexcept
    cdef void move_training_offsets(self) noexcept
    cdef int threads_for(self, Py_ssize_t rows) noexcept nogil
    cdef void row_took(self, double seconds) noexcept nogil
    cdef Pass new_pass(self, char* parameters, const char* x, char* tape,
                       Py_ssize_t rows) noexcept nogil
    cdef void forward_segment(self, const Pass* p, Py_ssize_t segment, Py_ssize_t first,
                              Py_ssize_t n) noexcept nogil
    cdef void backward_segment(self, const Pass* p, Py_ssize_t segment, Py_ssize_t first,
                               Py_ssize_t n) noexcept nogil
    cdef Tiles tiles_of(self, const Op* op, Py_ssize_t rows, bint back,
                        int threads) noexcept nogil
    cdef void tile(self, const Pass* p, const Op* op, const Tiles* tiles, Py_ssize_t i, bint back,
                   char* scratch) noexcept nogil
    cdef void before_segment(self, const Pass* p, Py_ssize_t segment) noexcept nogil
    cdef void before_backward(self, const Pass* p, Py_ssize_t segment) noexcept nogil
    cdef void track_statistics(self, const Pass* p) noexcept nogil
    cdef const Op* last_op(self) noexcept nogil
    cdef const Op* first_product(self) except NULL
    cdef int check_learning(self) except -1
    cdef Py_ssize_t tape_size(self, Py_ssize_t rows) except -1
    cdef Pass pass_over(self, parameters, X, tape) except *
    cdef int check_statistics(self, const Pass* p) except -1
    cdef Py_ssize_t scratch_size(self, Py_ssize_t rows) noexcept nogil
    cdef void block_gradient(self, const Pass* p, const Block* block, char* out,
                             char* scratch) noexcept nogil
    cdef double penalties(self, const Pass* p) noexcept nogil
    cdef double largest_gradient(self, const Pass* p) noexcept nogil


cdef inline Py_ssize_t shard_of(Plan plan, Py_ssize_t rows, int threads) noexcept nogil:
    """The rows of a shard, where there are so many rows; all threads are to have some.

    Nothing is summed over a shard, so that no bit depends on its rows.
    """
    cdef Py_ssize_t shard = WIDE_SHARD if plan.wide else SHARD, rounds
    if threads == 1 or rows >= 4 * threads * shard:
        return shard
    # Equal shards, as many for each thread, of up to 7 / 4 of the usual rows: 200 rows are two of
    # 104 and 96, not four of which the last has 8.
    rounds = ceil_div(4 * rows, 7 * threads * shard)
    shard = ceil_div(rows, rounds * threads)
    return max(ceil_div(shard, GRAIN) * GRAIN, <Py_ssize_t> MIN_SHARD)


# The way back through a segment: from the first op behind it, through all but its own first.
cdef inline Py_ssize_t back_from(Plan plan, Py_ssize_t segment) noexcept nogil:
    return min(plan.segments[segment + 1], plan.n_ops - 1)


cdef inline Py_ssize_t back_to(Plan plan, Py_ssize_t segment) noexcept nogil:
    return plan.segments[segment] + 1 if segment > 0 else 0


# Long work goes some shards at a time, for MIN_SECONDS to MAX_SECONDS. In between Python
# is asked for signals.
cdef Py_ssize_t shards_at_once(Plan plan, Py_ssize_t rows) noexcept nogil
cdef Py_ssize_t adapted(Py_ssize_t at_once, double took) noexcept nogil
