"""The C types of the kernels and of the kernel table. They depend on no other module of relume."""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t

cdef extern from "matmul/interface.h" nogil:
    enum:
        COMPRESS_ROWS, DEPTH, SUMS
    ctypedef struct Product:    # documented in interface.h
        Py_ssize_t m, n, k
        const void* a
        Py_ssize_t a_row, a_column
        const void* b
        Py_ssize_t b_row
        bint transposed
        void* c
        Py_ssize_t c_row
        const void* bias
        bint accumulate
        bint rectify
        const void* positive
        void* scratch
        Py_ssize_t n_scratch
    Py_ssize_t matmul_scratch(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, Py_ssize_t a_row)

cdef enum:
    TABLE_VERSION = 14
    MAX_ACTIVATIONS = 96
    MAX_GATED = 16
    N_INTEGERS = 10             # NumPy's byte .. ulonglong, in NumPy's order
    MAX_LOSSES = 16
    MAX_OPTIMIZERS = 16
    N_HYPER = 10                # maximum number of hyperparameters, see Update
    PER_OUTPUT = -1             # a loss that reads one number for each output,
    PER_OUTPUT_AND_ONE = -2     # or one more

# A kernel works on contiguous spans of one dtype. args holds the inputs in the ufunc's order, then
# the outputs; an output may be the same span as an input. Parameters are the last inputs; if
# `scalar` is true, each of them is one value instead of a span. A kernel deals with nothing else:
# no strides, threads, Python objects or allocation.
ctypedef void (*Kernel)(void** args, bint scalar, Py_ssize_t n) noexcept nogil

cdef struct Kernels:            # one direction of one activation; NULL where there is none
    Kernel float32
    Kernel float64
    Kernel integer[N_INTEGERS]

cdef struct Activation:         # one row of the table; the docstrings are made from its texts
    const char* name
    const char* alias           # a second public name, or NULL
    const char* layer           # the class of relume.nn, named as in torch.nn
    const char* summary
    const char* formula
    const char* derivative
    const char* special         # the values at kinks and infinities
    const char* reference
    const char* parameters      # "negative_slope=0.01"; a parameter may lack a default
    const char* domain          # condition on scalar parameters, as a Python expression
    const char* from_output_domain
    const char* initializer     # the initializer that preserves the variance: he, glorot, lecun
    const char* values          # f(-2), f(0) and f(3) with the defaults, for the docstring
    const char* slopes          # f'(-2), f'(0) and f'(3)
    int ulp                     # the documented maximum forward error
    Kernels forward                 # (x, *parameters)
    Kernels backward                # (grad, x, *parameters)
    Kernels backward_from_output    # (grad, y, *parameters)
    Kernels parameter_gradient      # (grad, x): gradient by the parameter, elementwise, not summed

# What the engine needs beside activations, once per dtype. A matrix is row-major without gaps.
# An update of parameters p by gradients g, with two spans of state, or three. hyper[0] is the
# learning rate, hyper[1] the coupled weight decay (g + decay p before anything else), hyper[2] the
# decoupled one (p - learning rate decay p), the rest the optimizer's own. t counts the steps from
# 1.
ctypedef void (*Update)(void* p, const void* g, void* s1, void* s2, void* s3, Py_ssize_t n,
                        const double* hyper, int64_t t) noexcept nogil
# What hyper needs once before the updates of step t; what it does depends on hyper and t alone.
ctypedef void (*Prepare)(double* hyper, int64_t t) noexcept nogil
# How far step t can move a parameter, but for the decoupled decay, where no gradient exceeds g
# (the coupled decay included) and no element of the first span of state s1[0], which becomes the
# bound after the step.
ctypedef double (*Reach)(const double* hyper, int64_t t, double g, double* s1) noexcept nogil

# The loss of each row of outputs z against y, and `scale` times its gradient by z. `numbers` are
# the loss's own, in the dtype.
ctypedef void (*Loss)(const void* z, const void* y, Py_ssize_t rows, Py_ssize_t n, double scale,
                      const void* numbers, void* dz, void* row_loss) noexcept nogil
ctypedef void (*Weigh)(const void* weight, Py_ssize_t rows, Py_ssize_t n, void* dz,
                       void* row_loss) noexcept nogil

ctypedef void (*Matmul)(const Product* product) noexcept nogil
ctypedef void (*InPlace)(void* x, Py_ssize_t n, double number) noexcept nogil
ctypedef void (*Average)(void* mean, const void* p, Py_ssize_t n, double keep) noexcept nogil
ctypedef double (*Penalize)(void* g, const void* p, Py_ssize_t n, double l1,
                            double l2) noexcept nogil

cdef struct LossRow:
    const char* name
    Loss loss
    int n_numbers               # how many of `numbers` it reads, PER_OUTPUT or PER_OUTPUT_AND_ONE
    bint labels                 # whether y holds a label for each row, else n values

cdef struct OptimizerRow:
    const char* name
    Update update
    Prepare prepare             # or NULL
    Reach reach
    int n_hyper                 # how many numbers `hyper` begins with
    int n_state                 # spans of state, 2 or 3; s3 is NULL where it has 2

ctypedef bint (*Gather)(const void* x, const int64_t* index, Py_ssize_t rows, Py_ssize_t n,
                        void* out) noexcept nogil
ctypedef bint (*AllFinite)(const void* x, Py_ssize_t n) noexcept nogil
ctypedef void (*ColumnSum)(const void* x, Py_ssize_t rows, Py_ssize_t n, void* out) noexcept nogil
ctypedef double (*Total)(const void* x, Py_ssize_t n) noexcept nogil
ctypedef void (*Softmax)(const void* z, Py_ssize_t rows, Py_ssize_t n, void* out) noexcept nogil

# Layers other than dense ones. `numbers` are a layer's own, in the dtype; `first` is the place of
# the first element in the minibatch; `kept` is what the way back reads.
ctypedef void (*Random)(const void* x, uint32_t first, uint64_t key, Py_ssize_t n,
                        const void* numbers, void* kept, void* out) noexcept nogil
ctypedef void (*Sine)(const void* x, const void* omega, Py_ssize_t n, void* out) noexcept nogil
ctypedef void (*SineBackward)(const void* g, const void* x, const void* omega, Py_ssize_t n,
                              void* out) noexcept nogil
ctypedef void (*Binary)(const void* x, const void* y, Py_ssize_t n, void* out) noexcept nogil
ctypedef void (*ColumnProducts)(const void* x, const void* y, Py_ssize_t rows, Py_ssize_t n,
                                void* out) noexcept nogil
ctypedef void (*Standardize)(const void* x, const void* statistics, bint centered,
                             Py_ssize_t rows, Py_ssize_t n, void* out) noexcept nogil
ctypedef void (*ColumnMoments)(const void* x, Py_ssize_t rows, Py_ssize_t n, double eps,
                               void* mean, void* variance, void* inverse) noexcept nogil
ctypedef void (*InverseStd)(const void* variance, double eps, Py_ssize_t n,
                            void* out) noexcept nogil
ctypedef void (*Track)(const void* mean, const void* variance, Py_ssize_t rows, Py_ssize_t n,
                       const void* momentum, void* running_mean,
                       void* running_variance) noexcept nogil
ctypedef void (*BatchNorm)(const void* x, const void* mean, const void* inverse,
                           const void* weight, const void* bias, Py_ssize_t rows, Py_ssize_t n,
                           void* normal, void* out) noexcept nogil
ctypedef void (*BatchNormBackward)(const void* g, const void* normal, const void* inverse,
                                   const void* weight, const void* sum_g,
                                   const void* sum_g_normal, Py_ssize_t all_rows, Py_ssize_t rows,
                                   Py_ssize_t n, void* out) noexcept nogil
ctypedef void (*LayerNorm)(const void* x, const void* weight, const void* bias, double eps,
                           Py_ssize_t rows, Py_ssize_t n, void* normal, void* inverse,
                           void* out) noexcept nogil
ctypedef void (*LayerNormBackward)(const void* g, const void* normal, const void* inverse,
                                   const void* weight, Py_ssize_t rows, Py_ssize_t n,
                                   void* out) noexcept nogil
ctypedef void (*GroupNorm)(const void* x, const void* weight, const void* bias, double eps,
                           Py_ssize_t rows, Py_ssize_t n, Py_ssize_t groups, void* normal,
                           void* inverse, void* out) noexcept nogil
ctypedef void (*GroupNormBackward)(const void* g, const void* normal, const void* inverse,
                                   const void* weight, Py_ssize_t rows, Py_ssize_t n,
                                   Py_ssize_t groups, void* out) noexcept nogil
# Zeros skipped, see sparse.pxi. `values` and `index` have room for PADDING elements more than a
# matrix of which nothing is 0 needs. out = bias + S matrix, or without a bias that is NULL, for
# compressed rows of S with `height` columns; or, to accumulate, out + S matrix. Columns are
# compressed of at most COMPRESS_ROWS rows.
ctypedef Py_ssize_t (*CountZeros)(const void* x, Py_ssize_t n) noexcept nogil
ctypedef void (*Compress)(const void* x, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride,
                          void* values, int32_t* index, int32_t* starts) noexcept nogil
ctypedef void (*SparseTimesDense)(const void* values, const int32_t* index, const int32_t* starts,
                                  const void* matrix, Py_ssize_t rows, Py_ssize_t height,
                                  Py_ssize_t n, const void* bias, bint accumulate,
                                  void* out) noexcept nogil
ctypedef void (*LimitColumns)(void* w, Py_ssize_t rows, Py_ssize_t n, double max_norm,
                              void* factor) noexcept nogil

# A function along an axis takes rows of n elements: inputs, then outputs, each of which may be an
# input's memory but must not overlap it in part. Either each row is contiguous, row i from
# args[k] + i * steps[k] on (in elements), or up to COLUMNS columns side by side, element j of
# column c at args[k][j * steps[k] + c]. Where the axis is reduced away, a row is one element, at
# args[k][i * steps[k]] or args[k][c]. The indices of maxout are intp. maxout_backward takes a bint
# after its output, which it sets if an index is out of bounds.
ctypedef void (*AxisKernel)(void** args, const Py_ssize_t* steps, Py_ssize_t count,
                            Py_ssize_t n) noexcept nogil

cdef enum:
    PADDING = 16

cdef enum:
    COLUMNS = 128               # their lanes take 16 KB in float64

cdef enum:
    SOFTMAX
    LOG_SOFTMAX
    LOGSUMEXP
    SOFTMAX_BACKWARD
    LOG_SOFTMAX_BACKWARD
    LOGSUMEXP_BACKWARD
    SOFTMAX_BACKWARD_FROM_OUTPUT
    LOG_SOFTMAX_BACKWARD_FROM_OUTPUT
    MAXOUT
    MAXOUT_BACKWARD
    PRELU_BACKWARD
    CRELU
    CRELU_BACKWARD
    N_AXIS_KERNELS

# A row that is too long to be packed as a whole is handed over in chunks, several times. Pass
# `number` of a row is called for each of its chunks in order, with args[k] at the chunk's first
# element, or at the row's only one. All chunks but the last have a multiple of SHORT elements, so
# the sums are those of a whole row. The last pass writes the chunks of the outputs, each of which
# may be an input's memory. At the end a call with n = 0 and number = count writes outputs of one
# element.
cdef struct RowState:           # what is known of a row after each chunk
    double max
    double ones                 # how many terms exp(x - max) are 1, where `sum` lacks them
    double sum                  # of exp(x - max), with the rounding error of the sum
    double sum_error
    double total                # of the gradient, or of its products
    double total_error
    Py_ssize_t n                # elements of the whole row
    Py_ssize_t start            # index of the chunk's first element
    Py_ssize_t index            # of the maximum
    bint bad_index

ctypedef void (*AxisPass)(void** args, RowState* state, int number, Py_ssize_t n) noexcept nogil

cdef enum:
    MAX_PASSES = 4

cdef struct Passes:
    AxisPass run
    int count
    int reads[MAX_PASSES]       # bit k: the pass reads operand k

# Statistics of each column, added to N_STATISTICS vectors of n numbers. CLIPPED counts values that
# are at most `low` or at least `high`. Unless `whole`, CLIPPED, MINIMUM and MAXIMUM are skipped,
# which takes a quarter of the time.
ctypedef void (*ColumnStatistics)(const void* x, Py_ssize_t rows, Py_ssize_t n, bint whole,
                                  double low, double high, double* totals) noexcept nogil

cdef enum:
    COLUMN_TILE = 64            # columns whose statistics stay in the L1 cache

cdef enum UnitStatistic:
    ACTIVE                      # how many values are not 0,
    CLIPPED                     # how many are at most `low` or at least `high`,
    SUM
    SQUARES
    MINIMUM
    MAXIMUM
    N_STATISTICS

cdef struct Spans:
    AxisKernel rows[N_AXIS_KERNELS]
    AxisKernel columns[N_AXIS_KERNELS]
    Passes passes[N_AXIS_KERNELS]
    Matmul matmul
    Gather gather               # rows x[index[i]]; tells whether all they hold is finite
    AllFinite all_finite
    ColumnSum column_sum
    Total total
    Total peak                  # the largest |x|; infinity if an element is not finite
    Softmax softmax
    Random dropout              # numbers: rate
    Random alpha_dropout        # numbers: rate
    Random random_slopes        # numbers: lower, upper
    Sine sine
    SineBackward sine_backward
    Binary multiply
    Binary add
    ColumnProducts column_products
    Standardize standardize
    ColumnMoments column_moments
    InverseStd inverse_std
    Track track
    BatchNorm batch_norm
    BatchNormBackward batch_norm_backward
    LayerNorm layer_norm
    LayerNormBackward layer_norm_backward
    GroupNorm group_norm
    GroupNormBackward group_norm_backward
    CountZeros count_zeros
    Compress compress_rows
    Compress compress_columns
    SparseTimesDense sparse_times_dense
    LimitColumns limit_columns
    int n_losses
    LossRow losses[MAX_LOSSES]
    Weigh weigh
    int n_optimizers
    OptimizerRow optimizers[MAX_OPTIMIZERS]
    Total sum_squares
    InPlace clip
    InPlace scale
    Average average
    Penalize penalize
    ColumnStatistics column_statistics

cdef struct Table:
    int version
    size_t size                 # detects a stale build together with the version
    int n_activations
    Activation activations[MAX_ACTIVATIONS]
    int n_gated
    Activation gated[MAX_GATED]     # forward (a, b), backward (grad, a, b) to two outputs
    Kernels uniform                 # the slopes of rrelu: (numbers, lower, width, max_slope)
    Spans float32
    Spans float64
    void (*half_to_float)(const uint16_t* x, float* out, Py_ssize_t n) noexcept nogil
    void (*float_to_half)(const float* x, uint16_t* out, Py_ssize_t n) noexcept nogil
