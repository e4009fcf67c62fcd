"""One step of a plan: what it is, and what it does to rows of a minibatch."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from relume.kernels.table cimport Kernel, Spans

cdef extern from "runtime/platform.h" nogil:
    ctypedef unsigned long float_mode
    float_mode flush_subnormals()
    void restore_float_mode(float_mode mode)

cdef enum:
    MAX_NUMBERS = 3
    NOWHERE = -1                # a place that is not on the tape: the minibatch, or its gradient

cdef enum Kind:
    DENSE                       # x W + b
    ACTIVATION
    PRELU                       # with learnt slopes, one or one a unit
    RRELU
    DROPOUT
    ALPHA_DROPOUT
    BATCH_NORM
    LAYER_NORM
    STANDARDIZE
    SINE
    ACTIVITY_L1                 # adds a penalty to the loss, and its gradient
    FORK                        # a residual block begins,
    JOIN                        # and ends: its output + its input, projected where widths differ

cdef enum Statistic:            # vectors of batch_norm's memory on the tape
    MEAN
    VARIANCE
    INVERSE                     # 1 / sqrt(variance + eps)
    SUM_DELTA
    SUM_DELTA_NORMAL
    BATCH_NORM_VECTORS

# Places on the tape are counted in elements of one row: place p of a minibatch of `rows` rows
# begins at p * rows, and each row there has the step's width.
cdef struct Step:
    Kind kind
    Py_ssize_t n_in
    Py_ssize_t n_out
    Py_ssize_t input            # value that it reads; NOWHERE: the minibatch
    Py_ssize_t output           # value that it writes; the same place if it works in place
    Py_ssize_t kept             # what else its way back reads: mask, slopes, normalized values
    Py_ssize_t stream           # of its random numbers, whatever else is on the tape
    Py_ssize_t compressed       # DENSE: memory for its input without zeros,
    Py_ssize_t n_compressed     # so many elements a row; 0: zeros are not skipped
    Py_ssize_t delta_in         # gradient by its input; NOWHERE: by the minibatch, if wanted
    Py_ssize_t delta_out        # gradient by its output
    Py_ssize_t fixed            # memory of the tape that no row owns: statistics
    Py_ssize_t parameters       # where its parameters begin in the flat buffer,
    Py_ssize_t n_parameters     # how many they are,
    Py_ssize_t n_trainable      # and how many of them, from the first, are learnt
    Py_ssize_t n_matrix         # rows of its matrix of weights: DENSE, and JOIN if it projects
    Py_ssize_t skip             # JOIN: the block's input,
    Py_ssize_t skip_delta       # the gradient by it,
    Py_ssize_t to_join          # FORK: so many steps further it ends
    bint bias                   # DENSE: the matrix has one more row
    bint from_output            # ACTIVATION: the way back reads the output
    bint is_relu
    bint rectifies              # DENSE: takes relu of its outputs, for the step behind it,
    bint masks                  # and gives no gradient by inputs of 0, for the relu before it
    bint forward_done           # ACTIVATION: by the DENSE before,
    bint backward_done          # and by the DENSE behind
    Kernel activate
    Kernel activate_backward
    Kernel parameter_gradient   # PRELU
    int n_numbers               # its own numbers, in the plan's dtype
    double number[MAX_NUMBERS]  # packed
    double lr_scale             # factor of the learning rate
    double l1
    double l2
    double max_norm             # of the weights into a unit; 0: no limit

cdef struct Sparse:             # a matrix by compressed rows (or, transposed, by columns)
    const char* values
    const int32_t* index
    const int32_t* starts

cdef struct Pass:               # what all steps of one minibatch share
    const Spans* spans
    Py_ssize_t itemsize
    Py_ssize_t rows
    Py_ssize_t fixed            # elements of the tape before the rows' own
    char* parameters
    const char* x               # the minibatch; NULL if it is sparse:
    const Step* sparse_step     # what reads it then, by rows and, for its gradient, by columns
    const Sparse* sparse
    const Sparse* sparse_columns
    char* tape
    char* dx                    # where the gradient by the minibatch goes, or NULL
    bint training
    bint apart                  # whether each step works alone, so that all values can be seen
    int sparsity                # NEVER, AUTO or ALWAYS: whether products skip zeros
    int64_t* skipped            # multiply-adds, counted at a shard's first row; or NULL
    uint64_t key                # of the minibatch's random numbers


cdef inline char* at(const Pass* p, Py_ssize_t place, Py_ssize_t row,
                     Py_ssize_t width) noexcept nogil:
    return p.tape + (p.fixed + p.rows * place + row * width) * p.itemsize


cdef inline char* value_at(const Pass* p, Py_ssize_t place, Py_ssize_t row,
                           Py_ssize_t width) noexcept nogil:
    if place == NOWHERE:
        return <char*> p.x + row * width * p.itemsize
    return at(p, place, row, width)


cdef inline char* delta_at(const Pass* p, Py_ssize_t place, Py_ssize_t row,
                           Py_ssize_t width) noexcept nogil:
    """NULL where nobody wants the gradient."""
    if place != NOWHERE:
        return at(p, place, row, width)
    return NULL if p.dx == NULL else p.dx + row * width * p.itemsize


cdef inline char* statistic(const Pass* p, const Step* s, Py_ssize_t i) noexcept nogil:
    """Vector i of a step's memory that no row owns."""
    return p.tape + (s.fixed + i * s.n_out) * p.itemsize


cdef inline char* parameter(const Pass* p, const Step* s, Py_ssize_t i) noexcept nogil:
    """Vector i of a step's parameters."""
    return p.parameters + (s.parameters + i * s.n_out) * p.itemsize


cdef inline char* number(const Pass* p, const Step* s, Py_ssize_t i) noexcept nogil:
    return <char*> s.number + i * p.itemsize


cdef void forward(const Pass* p, const Step* s, Py_ssize_t first, Py_ssize_t n) noexcept nogil
cdef void backward(const Pass* p, const Step* s, Py_ssize_t first, Py_ssize_t n) noexcept nogil
cdef void batch_statistics(const Pass* p, const Step* s) noexcept nogil
cdef void running_statistics(const Pass* p, const Step* s) noexcept nogil
cdef void batch_gradient_sums(const Pass* p, const Step* s) noexcept nogil
cdef void gradient(const Pass* p, const Step* s, Py_ssize_t first, Py_ssize_t last, char* out,
                   char* scratch) noexcept nogil
cdef double activity_penalty(const Pass* p, const Step* s, Py_ssize_t first) noexcept nogil
cdef list shapes_of(const Step* s)
