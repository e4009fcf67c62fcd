# Includes all kernels, in reading order, and fills the table. baseline.pyx, avx2.pyx and
# avx512.pyx include this file, and setup.py compiles each with the flags of its instruction set.
# The module exports the table as a capsule.

from cpython.pycapsule cimport PyCapsule_New
from cython cimport floating
from libc.float cimport DBL_MAX, DBL_MIN, FLT_MAX
from libc.math cimport INFINITY, NAN, frexp, ldexp, pow, sqrt
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

from relume.kernels.table cimport (
    ACTIVE, CLIPPED, COLUMNS, COLUMN_TILE, CRELU, CRELU_BACKWARD, LOGSUMEXP, LOGSUMEXP_BACKWARD,
    LOG_SOFTMAX, LOG_SOFTMAX_BACKWARD, LOG_SOFTMAX_BACKWARD_FROM_OUTPUT, MAXIMUM, MAXOUT,
    MAXOUT_BACKWARD, MAX_ACTIVATIONS, MAX_GATED, MINIMUM, N_STATISTICS, PER_OUTPUT,
    PER_OUTPUT_AND_ONE, PRELU_BACKWARD, SOFTMAX, SOFTMAX_BACKWARD, SOFTMAX_BACKWARD_FROM_OUTPUT,
    SQUARES, SUM, TABLE_VERSION, Activation, AllFinite, Average, AxisKernel, AxisPass,
    ColumnProducts, ColumnStatistics, ColumnSum, Compress, CountZeros, Gather, InPlace, Kernel,
    Kernels, LimitColumns, Loss, LossRow, Matmul, OptimizerRow, Passes, Penalize, Prepare,
    Product, Reach, RowState, Softmax, Spans, SparseTimesDense, Table, Total, Update, Weigh,
)

ctypedef signed char schar
ctypedef unsigned char uchar
ctypedef unsigned short ushort
ctypedef unsigned int uint
ctypedef unsigned long ulong
ctypedef long long longlong
ctypedef unsigned long long ulonglong

ctypedef fused integer:
    schar
    uchar
    short
    ushort
    int
    uint
    long
    ulong
    longlong
    ulonglong

include "math/elementary.pxi"
include "math/gaussian.pxi"
include "math/map.pxi"
include "math/reductions.pxi"
include "math/float16.pxi"
include "activations/activations.pxi"
include "activations/maxout.pxi"
include "activations/prelu_gradient.pxi"
include "softmax/columns.pxi"
include "softmax/rows.pxi"
include "softmax/passes.pxi"
include "layers/combine.pxi"
include "layers/noise.pxi"
include "layers/sine.pxi"
include "layers/normalization.pxi"
include "matmul/sparse.pxi"
include "matmul/dense.pxi"
include "losses.pxi"
include "optimizers.pxi"
include "unit_statistics.pxi"


cdef void fill_axis(Spans* spans, int function, AxisKernel rows, AxisKernel columns) noexcept:
    spans.rows[function] = rows
    spans.columns[function] = columns


cdef void fill_passes(Spans* spans, floating like) noexcept:
    """The passes over a long row, each with the operands that it reads, as bits."""
    spans.passes[SOFTMAX] = Passes(
        <AxisPass> softmax_passes[floating], 3, [1, 1, 1, 0])
    spans.passes[LOG_SOFTMAX] = Passes(
        <AxisPass> log_softmax_passes[floating], 3, [1, 1, 1, 0])
    spans.passes[LOGSUMEXP] = Passes(
        <AxisPass> logsumexp_passes[floating], 2, [1, 1, 0, 0])
    spans.passes[SOFTMAX_BACKWARD] = Passes(
        <AxisPass> softmax_backward_passes[floating], 4, [2, 2, 3, 3])
    spans.passes[LOG_SOFTMAX_BACKWARD] = Passes(
        <AxisPass> log_softmax_backward_passes[floating], 3, [3, 2, 3, 0])
    spans.passes[LOGSUMEXP_BACKWARD] = Passes(
        <AxisPass> logsumexp_backward_passes[floating], 3, [2, 2, 2, 0])
    spans.passes[SOFTMAX_BACKWARD_FROM_OUTPUT] = Passes(
        <AxisPass> softmax_from_output_passes[floating], 2, [3, 3, 0, 0])
    spans.passes[LOG_SOFTMAX_BACKWARD_FROM_OUTPUT] = Passes(
        <AxisPass> log_softmax_from_output_passes[floating], 2, [1, 3, 0, 0])
    spans.passes[MAXOUT] = Passes(
        <AxisPass> maxout_passes[floating], 1, [1, 0, 0, 0])
    spans.passes[MAXOUT_BACKWARD] = Passes(
        <AxisPass> maxout_backward_passes[floating], 1, [0, 0, 0, 0])
    spans.passes[PRELU_BACKWARD] = Passes(
        <AxisPass> prelu_backward_passes[floating], 1, [3, 0, 0, 0])
    spans.passes[CRELU] = Passes(
        <AxisPass> crelu_passes[floating], 1, [1, 0, 0, 0])
    spans.passes[CRELU_BACKWARD] = Passes(
        <AxisPass> crelu_backward_passes[floating], 1, [7, 0, 0, 0])


cdef void fill_spans(Spans* spans, floating like) noexcept:
    """Fill in the kernels of one dtype, which is the type of `like`."""
    fill_axis(spans, SOFTMAX, <AxisKernel> softmax_rows[floating],
              <AxisKernel> softmax_columns[floating])
    fill_axis(spans, LOG_SOFTMAX, <AxisKernel> log_softmax_rows[floating],
              <AxisKernel> log_softmax_columns[floating])
    fill_axis(spans, LOGSUMEXP, <AxisKernel> logsumexp_rows[floating],
              <AxisKernel> logsumexp_columns[floating])
    fill_axis(spans, SOFTMAX_BACKWARD, <AxisKernel> softmax_backward_rows[floating],
              <AxisKernel> softmax_backward_columns[floating])
    fill_axis(spans, LOG_SOFTMAX_BACKWARD, <AxisKernel> log_softmax_backward_rows[floating],
              <AxisKernel> log_softmax_backward_columns[floating])
    fill_axis(spans, LOGSUMEXP_BACKWARD, <AxisKernel> logsumexp_backward_rows[floating],
              <AxisKernel> logsumexp_backward_columns[floating])
    fill_axis(spans, SOFTMAX_BACKWARD_FROM_OUTPUT, <AxisKernel> softmax_from_output_rows[floating],
              <AxisKernel> softmax_from_output_columns[floating])
    fill_axis(spans, LOG_SOFTMAX_BACKWARD_FROM_OUTPUT,
              <AxisKernel> log_softmax_from_output_rows[floating],
              <AxisKernel> log_softmax_from_output_columns[floating])
    fill_axis(spans, MAXOUT, <AxisKernel> maxout_rows[floating],
              <AxisKernel> maxout_columns[floating])
    fill_axis(spans, MAXOUT_BACKWARD, <AxisKernel> maxout_backward_rows[floating],
              <AxisKernel> maxout_backward_columns[floating])
    fill_axis(spans, PRELU_BACKWARD, <AxisKernel> prelu_backward_rows[floating],
              <AxisKernel> prelu_backward_columns[floating])
    fill_axis(spans, CRELU, <AxisKernel> crelu_rows[floating],
              <AxisKernel> crelu_columns[floating])
    fill_axis(spans, CRELU_BACKWARD, <AxisKernel> crelu_backward_rows[floating],
              <AxisKernel> crelu_backward_columns[floating])
    fill_passes[floating](spans, like)
    spans.matmul = <Matmul> (matmul_float if floating is float else matmul_double)
    spans.gather = <Gather> gather[floating]
    spans.all_finite = <AllFinite> all_finite[floating]
    spans.column_sum = <ColumnSum> column_sum[floating]
    spans.total = <Total> total[floating]
    spans.peak = <Total> peak[floating]
    spans.softmax = <Softmax> softmax[floating]
    fill_combine[floating](spans, like)
    fill_noise[floating](spans, like)
    fill_sine[floating](spans, like)
    fill_normalization[floating](spans, like)
    spans.column_products = <ColumnProducts> column_products[floating]
    spans.count_zeros = <CountZeros> count_zeros[floating]
    if floating is float:
        spans.compress_rows = <Compress> compress_rows_float
        spans.compress_columns = <Compress> compress_columns_float
        spans.sparse_times_dense = <SparseTimesDense> sparse_times_dense_float
    else:
        spans.compress_rows = <Compress> compress_rows_double
        spans.compress_columns = <Compress> compress_columns_double
        spans.sparse_times_dense = <SparseTimesDense> sparse_times_dense_double
    spans.limit_columns = <LimitColumns> limit_columns[floating]
    spans.weigh = <Weigh> weigh[floating]
    add_loss(spans, b"cross_entropy", <Loss> cross_entropy[floating], 1, True)
    add_loss(spans, b"soft_cross_entropy", <Loss> soft_cross_entropy[floating], 1, False)
    add_loss(spans, b"binary_cross_entropy", <Loss> binary_cross_entropy[floating], PER_OUTPUT,
             False)
    add_loss(spans, b"smoothed_binary_cross_entropy",
             <Loss> smoothed_binary_cross_entropy[floating], PER_OUTPUT_AND_ONE, False)
    add_loss(spans, b"mse", <Loss> mse[floating], 0, False)
    add_loss(spans, b"mae", <Loss> mae[floating], 0, False)
    add_loss(spans, b"huber", <Loss> huber[floating], 1, False)
    add_loss(spans, b"quantile", <Loss> quantile[floating], PER_OUTPUT, False)
    add_loss(spans, b"poisson", <Loss> poisson[floating], 0, False)
    spans.sum_squares = <Total> sum_squares[floating]
    spans.clip = <InPlace> clip[floating]
    spans.scale = <InPlace> scale[floating]
    spans.average = <Average> average[floating]
    spans.penalize = <Penalize> penalize[floating]
    spans.column_statistics = <ColumnStatistics> column_statistics[floating]
    add_optimizer(spans, b"sgd", <Update> sgd[floating], NULL, sgd_reach, 7, 2)
    add_optimizer(spans, b"rmsprop", <Update> rmsprop[floating], NULL, rmsprop_reach, 6, 2)
    add_optimizer(spans, b"centered_rmsprop", <Update> centered_rmsprop[floating], NULL,
                  centered_rmsprop_reach, 6, 3)
    add_optimizer(spans, b"adam", <Update> adam[floating], NULL, adam_reach, 7, 2)
    add_optimizer(spans, b"amsgrad", <Update> amsgrad[floating], NULL, adam_reach, 7, 3)
    add_optimizer(spans, b"nadam", <Update> nadam[floating], nadam_prepare, adam_reach, 9, 2)
    add_optimizer(spans, b"lion", <Update> lion[floating], NULL, lion_reach, 5, 2)


cdef void add_loss(Spans* spans, const char* name, Loss loss, int n_numbers,
                   bint labels) noexcept:
    spans.losses[spans.n_losses] = LossRow(name, loss, n_numbers, labels)
    spans.n_losses += 1


cdef void add_optimizer(Spans* spans, const char* name, Update update, Prepare prepare,
                        Reach reach, int n_hyper, int n_state) noexcept:
    spans.optimizers[spans.n_optimizers] = OptimizerRow(name, update, prepare, reach, n_hyper,
                                                        n_state)
    spans.n_optimizers += 1


table.version = TABLE_VERSION
table.size = sizeof(Table)
table.half_to_float = half_to_float
table.float_to_half = float_to_half
fill_spans[float](&table.float32, 0)
fill_spans[double](&table.float64, 0)
capsule = PyCapsule_New(&table, b"relume.kernels.table", NULL)
