# Everything the kernels are, in reading order. baseline.pyx, avx2.pyx and avx512.pyx include it,
# and setup.py builds each with the flags of its instruction set. The table leaves in a capsule.

from cpython.pycapsule cimport PyCapsule_New
from cython cimport floating
from libc.math cimport INFINITY, NAN, log, pow, sqrt
from libc.stdint cimport int64_t, uint16_t
from libc.string cimport memcpy, memset

from relume.kernels.types cimport (
    LOG_SOFTMAX, LOG_SOFTMAX_BACKWARD, LOG_SOFTMAX_BACKWARD_FROM_OUTPUT, LOGSUMEXP,
    LOGSUMEXP_BACKWARD, MAX_ACTIVATIONS, MAX_GATED, MAXOUT, SOFTMAX, SOFTMAX_BACKWARD,
    SOFTMAX_BACKWARD_FROM_OUTPUT, TABLE_VERSION, Activation, AllFinite, ColumnSum, Gather, Kernel,
    Kernels, Loss, RowKernel, Softmax, Spans, Table, Total, Update,
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
include "losses.pxi"
include "optimizers.pxi"
include "half.pxi"


cdef void fill_spans(Spans* spans, floating like) noexcept:
    """Enter the kernels of one dtype; `like` only tells which."""
    spans.rows[SOFTMAX] = <RowKernel> softmax_axis[floating]
    spans.rows[LOG_SOFTMAX] = <RowKernel> log_softmax_axis[floating]
    spans.rows[LOGSUMEXP] = <RowKernel> logsumexp_axis[floating]
    spans.rows[SOFTMAX_BACKWARD] = <RowKernel> softmax_backward_axis[floating]
    spans.rows[LOG_SOFTMAX_BACKWARD] = <RowKernel> log_softmax_backward_axis[floating]
    spans.rows[LOGSUMEXP_BACKWARD] = <RowKernel> logsumexp_backward_axis[floating]
    spans.rows[SOFTMAX_BACKWARD_FROM_OUTPUT] = <RowKernel> softmax_from_output_axis[floating]
    spans.rows[LOG_SOFTMAX_BACKWARD_FROM_OUTPUT] = (
        <RowKernel> log_softmax_from_output_axis[floating])
    spans.rows[MAXOUT] = <RowKernel> maxout_axis[floating]
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
