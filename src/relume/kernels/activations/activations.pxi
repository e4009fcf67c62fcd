# THE list of activations. Each has one block, with its formula, its derivative and its row of the
# table, in one of the files included at the end. To add an activation, add a block there and a row
# to tests/support/reference.py. The ufuncs, docstrings, stubs, public names, choices of
# `activation=`, tests and benchmarks are generated from the table.
#
# A block loads first, computes both sides, and selects last, because GCC vectorizes only such
# code. NaN in x or grad gives NaN, and the derivative at a kink is PyTorch's.

ctypedef void (*SpanFloat)(float** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanDouble)(double** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanByte)(schar** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanUbyte)(uchar** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanShort)(short** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanUshort)(ushort** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanInt)(int** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanUint)(uint** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanLong)(long** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanUlong)(ulong** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanLongLong)(longlong** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanUlongLong)(ulonglong** args, bint scalar, Py_ssize_t n) noexcept nogil

cdef Table table
cdef Activation* row


cdef Activation* new_row(const char* name) except NULL:
    """Add a row to the table; entries without a default are NULL."""
    if table.n_activations == MAX_ACTIVATIONS:
        raise SystemError("MAX_ACTIVATIONS in table.pxd is too small for the activations")
    cdef Activation* added = &table.activations[table.n_activations]
    table.n_activations += 1
    added.name = name
    added.initializer = b"he"
    added.ulp = 2
    return added


cdef Activation* new_gated_row(const char* name) except NULL:
    """Add a row to the table's gated functions; all its entries are NULL."""
    if table.n_gated == MAX_GATED:
        raise SystemError("MAX_GATED in table.pxd is too small for the gated functions")
    cdef Activation* added = &table.gated[table.n_gated]
    table.n_gated += 1
    added.name = name
    return added


cdef void fill(Kernels* kernels, SpanFloat float32, SpanDouble float64) noexcept:
    kernels.float32 = <Kernel> float32
    kernels.float64 = <Kernel> float64


cdef void fill_integers(Kernels* kernels, SpanByte b, SpanUbyte ub, SpanShort h, SpanUshort uh,
                        SpanInt i, SpanUint ui, SpanLong l, SpanUlong ul, SpanLongLong q,
                        SpanUlongLong uq) noexcept:
    kernels.integer = [<Kernel> b, <Kernel> ub, <Kernel> h, <Kernel> uh, <Kernel> i, <Kernel> ui,
                       <Kernel> l, <Kernel> ul, <Kernel> q, <Kernel> uq]


include "rectifiers.pxi"
include "exponential.pxi"
include "self_gated.pxi"
include "rational.pxi"
include "gated.pxi"
