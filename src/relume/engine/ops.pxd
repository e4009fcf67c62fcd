"""An op of a plan: its kind, which is a row of functions, and where its values and numbers are."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from relume.kernels.table cimport Kernel, Spans

cdef extern from "runtime/platform.h" nogil:
    ctypedef unsigned long float_mode
    float_mode flush_subnormals()
    void restore_float_mode(float_mode mode)

cdef enum:
    MAX_NUMBERS = 3
    MAX_INTEGERS = 1
    OF_ITS_ROW = -1             # as many numbers as an op's row of the table has parameters
    NOWHERE = -1                # an offset that is not on the tape: the minibatch, or its gradient
    GRAIN = 8                   # rows: each shard but the last has a multiple of so many
    N_PRODUCTS = 3              # of an op: one row, forward, gradient

cdef struct OpKind

# Whether a product skips zeros, and the times that decide it: see skip_zeros.pyx. What every call
# reads lies on another cache line than what the thread writes that measures.
cdef struct SkipChoice:
    double min_share            # of zeros: from it on they are skipped; above 1: never
    double apart[7]
    int64_t wait                # calls until the next one is timed,
    int form                    # in this form: DENSE or SKIPPING,
    int left                    # and so many in a row
    int bursts[2]               # of timed calls of each form
    double found                # the shortest times of the present burst
    double found_nonzero
    double share                # of zeros, when they were last counted
    double dense                # seconds of the dense product, for an element of x;
    double compress             # of finding one that is not 0, for an element of x,
    double nonzero              # and of the product, for each of these
    double line                 # elements of a compressed line
    double clock                # seconds that reading the clock takes
    int busy                    # whether a thread is timing a call

# Offsets on the tape are counted in elements of one row: offset o of a minibatch of `rows` rows
# begins at o * rows, and each row there has the op's width.
cdef struct Op:
    const OpKind* kind
    Py_ssize_t n_in
    Py_ssize_t n_out
    Py_ssize_t input            # the value that it reads; NOWHERE: the minibatch
    Py_ssize_t output           # the value that it writes; the same if it works in place
    Py_ssize_t kept             # what else its backward reads: mask, slopes, normalized values
    Py_ssize_t stream           # of its random numbers, whatever else is on the tape
    Py_ssize_t compressed       # of a product: memory for its input without zeros,
    Py_ssize_t n_compressed     # so many elements a row; 0: zeros are not skipped
    Py_ssize_t scratch          # of a product: the same memory, as scratch of the dense product,
    Py_ssize_t n_scratch        # so many elements a row
    SkipChoice* choices         # whether they are, for each of N_PRODUCTS; NULL outside a plan
    Py_ssize_t delta_in         # gradient by its input; NOWHERE: by the minibatch, if wanted
    Py_ssize_t delta_out        # gradient by its output
    Py_ssize_t fixed            # memory of the tape that no row owns: statistics
    Py_ssize_t parameters       # where its parameters begin in the flat buffer,
    Py_ssize_t n_parameters     # how many they are,
    Py_ssize_t n_trainable      # and how many of them, from the first, are learnt
    Py_ssize_t n_matrix         # rows of its matrix of weights; 0: it has none
    Py_ssize_t skip             # of the end of a residual block: the block's input,
    Py_ssize_t skip_delta       # the gradient by it,
    Py_ssize_t n_skip           # and its width
    Py_ssize_t to_join          # of the beginning of a block: so many ops further it ends
    bint bias                   # the matrix has one more row
    bint from_output            # the activation's backward reads the output
    bint is_relu
    bint rectifies              # a product takes relu of its outputs, for the op behind it,
    bint masks                  # and gives no gradient by inputs of 0, for the relu before it
    bint forward_done           # an activation: by the product before,
    bint backward_done          # and by the product behind
    Kernel activate
    Kernel activate_backward
    Kernel parameter_gradient
    int n_numbers               # its own numbers, in the plan's dtype
    double number[MAX_NUMBERS]  # packed
    double given[MAX_NUMBERS]   # the same as they were given, not rounded
    Py_ssize_t integer[MAX_INTEGERS]
    double lr_scale             # factor of the learning rate
    double l1
    double l2
    double max_norm             # of the weights into a unit; 0: no limit

cdef struct Sparse:             # a matrix by compressed rows (or, transposed, by columns)
    const char* values
    const int32_t* index
    const int32_t* starts

cdef struct Pass:               # what all ops share while one minibatch passes
    const Spans* spans
    Py_ssize_t itemsize
    Py_ssize_t rows
    Py_ssize_t all_rows         # of the minibatch, which may be in several passes
    double penalized_rows       # what a penalty of activities is divided by
    Py_ssize_t fixed            # elements of the tape before the rows' own
    char* parameters
    const char* x               # the minibatch; NULL if it is sparse:
    const Op* sparse_op         # what reads it then, by rows and, for its gradient, by columns
    const Sparse* sparse
    const Sparse* sparse_columns
    double x_peak               # the largest |x| of it, or -1 where that was not looked at
    bint centered               # the minibatch has had the mean of a standardize subtracted
    char* tape
    char* dx                    # where the gradient by the minibatch goes, or NULL
    bint training
    bint apart                  # whether each op works alone, so that all values can be seen
    int sparsity                # NEVER, AUTO or ALWAYS: whether products skip zeros
    int64_t* skipped            # multiply-adds, counted at a shard's first row; or NULL
    uint64_t key                # of the minibatch's random numbers

# The arrays of an op's parameters in their order: (name, shape, role), the learnt ones first; a
# matrix, if there is one, before the others. An error where the op's width does not suit it.
ctypedef list (*Parameters)(const Op* op)
# The elements of a row that an op keeps for its backward.
ctypedef Py_ssize_t (*Kept)(const Op* op, Py_ssize_t itemsize) noexcept nogil
# From x, the input's rows first .. first + n, to out. All pointers are to row `first`.
ctypedef void (*Forward)(const Pass* p, const Op* op, const char* x, Py_ssize_t first,
                         Py_ssize_t n, char* out) noexcept nogil
# From delta, the gradient by the output's rows, to dx, that by the input's.
ctypedef void (*Backward)(const Pass* p, const Op* op, const char* delta, const char* x,
                          Py_ssize_t first, Py_ssize_t n, char* dx) noexcept nogil
# The gradient by rows first .. last of the parameters, summed over all rows of x and delta.
# `scratch` is memory of the thread, as `Plan.scratch_size` says.
ctypedef void (*Gradient)(const Pass* p, const Op* op, const char* delta, const char* x,
                          Py_ssize_t first, Py_ssize_t last, char* out,
                          char* scratch) noexcept nogil
# Some columns of what forward or backward gives some rows: width columns from `column` on.
ctypedef void (*Tile)(const Pass* p, const Op* op, Py_ssize_t first, Py_ssize_t n,
                      Py_ssize_t column, Py_ssize_t width, char* scratch,
                      Py_ssize_t n_scratch) noexcept nogil
ctypedef void (*AllRows)(const Pass* p, const Op* op) noexcept nogil
# What an op needs of all rows, where they are in several passes: `sum_rows` writes what is known
# of the rows of a pass, 1 + 2 n_out numbers, `add_rows` adds what is known of others, `take_rows`
# takes the whole.
ctypedef void (*SumRows)(const Pass* p, const Op* op, double* sums) noexcept nogil
ctypedef void (*AddRows)(const Op* op, double* sums, const double* others) noexcept nogil
ctypedef void (*TakeRows)(const Pass* p, const Op* op, const double* sums) noexcept nogil
ctypedef void (*AsPrediction)(const Pass* p, const Op* op, Py_ssize_t rows) noexcept nogil
ctypedef bint (*StatisticsHold)(const Pass* p, const Op* op) noexcept nogil
ctypedef double (*Penalty)(const Pass* p, const Op* op, Py_ssize_t first) noexcept nogil

cdef struct OpKind:             # what a block of ops.pyx says of its op; NULL: nothing
    const char* name
    bint in_place               # may write over its input, where no other op reads that
    bint random                 # draws random numbers in training
    bint product                # x W + b: it can skip zeros, and take on the relu beside it
    bint activates              # has a row of the table of activations
    bint forks                  # a residual block begins,
    bint joins                  # and ends: its output + its input, projected where widths differ
    bint done_as_read           # on a sparse minibatch, as the first op: Python scales it
    bint keeps_in_prediction    # `kept` is written there too
    int n_vectors               # memory that no row owns: so many vectors, one element a unit
    int n_numbers               # how many it reads, or OF_ITS_ROW
    int n_integers
    Parameters parameters
    Kept kept
    AllRows before_forward      # what forward needs of all rows; phase 1 is cut there
    Forward forward             # NULL: the output is the input
    AllRows before_backward     # what backward needs of all rows; only beside before_forward
    SumRows sum_forward         # the same in parts
    AddRows add_forward
    TakeRows take_forward
    SumRows sum_backward
    AddRows add_backward
    TakeRows take_backward
    Backward backward
    Tile forward_tile           # a product: the same in tiles, which skip no zeros
    Tile backward_tile
    Gradient gradient           # phase 2 then reads the gradient by the output, kept apart
    AllRows after_batch         # once the minibatch is known to be good
    Penalty penalty             # what the GRAIN rows from row `first` on add to the loss
    StatisticsHold statistics_hold      # whether prediction can use what training has tracked
    AsPrediction as_prediction  # writes what backward reads as if in prediction


cdef inline char* at(const Pass* p, Py_ssize_t offset, Py_ssize_t row,
                     Py_ssize_t width) noexcept nogil:
    return p.tape + (p.fixed + p.rows * offset + row * width) * p.itemsize


cdef inline char* value_at(const Pass* p, Py_ssize_t offset, Py_ssize_t row,
                           Py_ssize_t width) noexcept nogil:
    if offset == NOWHERE:
        return <char*> p.x + row * width * p.itemsize
    return at(p, offset, row, width)


cdef inline char* delta_at(const Pass* p, Py_ssize_t offset, Py_ssize_t row,
                           Py_ssize_t width) noexcept nogil:
    """NULL where nobody wants the gradient."""
    if offset != NOWHERE:
        return at(p, offset, row, width)
    return NULL if p.dx == NULL else p.dx + row * width * p.itemsize


cdef inline char* statistic(const Pass* p, const Op* op, Py_ssize_t i) noexcept nogil:
    """Vector i of an op's memory that no row owns."""
    return p.tape + (op.fixed + i * op.n_out) * p.itemsize


cdef inline char* parameter(const Pass* p, const Op* op, Py_ssize_t i) noexcept nogil:
    """Vector i of an op's parameters."""
    return p.parameters + (op.parameters + i * op.n_out) * p.itemsize


cdef inline char* number(const Pass* p, const Op* op, Py_ssize_t i) noexcept nogil:
    return <char*> op.number + i * p.itemsize


cdef inline void forward(const Pass* p, const Op* op, Py_ssize_t first,
                         Py_ssize_t n) noexcept nogil:
    """From the op's input to its output."""
    if op.kind.forward != NULL:
        op.kind.forward(p, op, value_at(p, op.input, first, op.n_in), first, n,
                        value_at(p, op.output, first, op.n_out))


cdef inline void backward(const Pass* p, const Op* op, Py_ssize_t first,
                          Py_ssize_t n) noexcept nogil:
    """From the gradient by the op's output to that by its input, unless nobody wants it."""
    cdef char* dx = delta_at(p, op.delta_in, first, op.n_in)
    if dx != NULL:
        op.kind.backward(p, op, delta_at(p, op.delta_out, first, op.n_out),
                         value_at(p, op.input, first, op.n_in), first, n, dx)


cdef inline void gradient(const Pass* p, const Op* op, Py_ssize_t first, Py_ssize_t last,
                          char* out, char* scratch) noexcept nogil:
    """The gradient by rows first .. last of the op's parameters, summed over the minibatch."""
    op.kind.gradient(p, op, at(p, op.delta_out, 0, op.n_out),
                     value_at(p, op.input, 0, op.n_in), first, last, out, scratch)


cdef const OpKind* kind_of(str name) except NULL
