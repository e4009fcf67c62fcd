# Everything the kernels are, in reading order. baseline.pyx, avx2.pyx and avx512.pyx include it,
# and setup.py builds each with the flags of its instruction set. The table leaves in a capsule.

from cpython.pycapsule cimport PyCapsule_New
from cython cimport floating
from libc.math cimport INFINITY, NAN, log, pow, sqrt
from libc.stdint cimport int64_t, uint16_t
from libc.string cimport memcpy, memset

from relume.kernels.types cimport (
    COLUMNS, CRELU, CRELU_BACKWARD, LOG_SOFTMAX, LOG_SOFTMAX_BACKWARD,
    LOG_SOFTMAX_BACKWARD_FROM_OUTPUT, LOGSUMEXP, LOGSUMEXP_BACKWARD, MAX_ACTIVATIONS, MAX_GATED,
    MAXOUT, MAXOUT_BACKWARD, PRELU_BACKWARD, SOFTMAX, SOFTMAX_BACKWARD,
    SOFTMAX_BACKWARD_FROM_OUTPUT, TABLE_VERSION, Activation, AllFinite, AxisKernel, ColumnSum,
    Gather, Kernel, Kernels, Loss, Softmax, Spans, Table, Total, Update,
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

include "math.pxi"
include "normal.pxi"
include "spans.pxi"
include "activations.pxi"
include "rows.pxi"
include "columns.pxi"
include "maxout.pxi"
include "learnable.pxi"
include "losses.pxi"
include "optimizers.pxi"
include "half.pxi"


cdef void fill_axis(Spans* spans, int function, AxisKernel rows, AxisKernel columns) noexcept:
    spans.rows[function] = rows
    spans.columns[function] = columns


cdef void fill_spans(Spans* spans, floating like) noexcept:
    """Enter the kernels of one dtype; `like` only tells which."""
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
    spans.gather = <Gather> gather[floating]
    spans.all_finite = <AllFinite> all_finite[floating]
    spans.column_sum = <ColumnSum> column_sum[floating]
    spans.total = <Total> total[floating]
    spans.softmax = <Softmax> softmax[floating]
    spans.cross_entropy = <Loss> cross_entropy[floating]
    spans.mse = <Loss> mse[floating]
    spans.sgd = <Update> sgd[floating]
    spans.adam = <Update> adam[floating]


table.version = TABLE_VERSION
table.size = sizeof(Table)
table.half_to_float = half_to_float
table.float_to_half = float_to_half
fill_spans[float](&table.float32, 0)
fill_spans[double](&table.float64, 0)
capsule = PyCapsule_New(&table, b"relume.kernels.table", NULL)
