"""Operands of a call that needs none of NumPy's conversions: their merged axes, and overlap.

An operand is an array of exactly NumPy's class, of the loop's dtype, aligned and in native byte
order. Its axes are those of the result, from the outermost to the innermost in memory. Neighbours
that are one axis to every operand are merged.
"""

cimport numpy as cnp
from libc.stdint cimport uintptr_t

cdef enum:
    MAX_PLAIN = 6               # operands
    MAX_AXES = 8

cdef enum Order:                # of the axes in memory, as bits
    C_ORDER = 1
    F_ORDER = 2

cdef struct PlainArrays:
    int count
    int axes
    char* data[MAX_PLAIN]
    cnp.npy_intp shape[MAX_AXES]
    cnp.npy_intp strides[MAX_AXES][MAX_PLAIN]       # 0 along an axis that is broadcast


cdef inline bint is_plain(object a, int dtype) noexcept:
    return (cnp.PyArray_CheckExact(a) and cnp.PyArray_TYPE(<cnp.ndarray> a) == dtype
            and cnp.PyArray_ISALIGNED(<cnp.ndarray> a)
            and cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray> a))


cdef inline bint has_shape(cnp.ndarray a, int ndim, const cnp.npy_intp* shape) noexcept:
    cdef int i
    if cnp.PyArray_NDIM(a) != ndim:
        return False
    for i in range(ndim):
        if cnp.PyArray_DIM(a, i) != shape[i]:
            return False
    return True


cdef inline int orders_of(cnp.ndarray a) noexcept:
    """The orders that the axes may have; none if a stride is 0 or negative."""
    cdef int i, orders = C_ORDER | F_ORDER
    cdef cnp.npy_intp stride, before = 0
    for i in range(cnp.PyArray_NDIM(a)):
        if cnp.PyArray_DIM(a, i) == 1:
            continue
        stride = cnp.PyArray_STRIDE(a, i)
        if stride <= 0:
            return 0
        if before and stride > before:
            orders &= F_ORDER
        elif before and stride < before:
            orders &= C_ORDER
        before = stride
    return orders


cdef inline void merge_axes(PlainArrays* plain, int ndim, const cnp.npy_intp* shape,
                            const cnp.npy_intp* strides, bint reverse) noexcept nogil:
    """Set the axes of the operands from those of the arrays, in C order or reversed.

    `strides` has MAX_PLAIN numbers for each axis.
    """
    cdef int i, k, axis = -1
    cdef bint merges
    cdef const cnp.npy_intp* own
    cdef cnp.npy_intp size
    for i in range(ndim):
        own = strides + (ndim - 1 - i if reverse else i) * MAX_PLAIN
        size = shape[ndim - 1 - i] if reverse else shape[i]
        if size == 1:
            continue
        merges = axis >= 0
        if merges:
            for k in range(plain.count):
                merges &= plain.strides[axis][k] == own[k] * size
        if merges:
            plain.shape[axis] *= size
        else:
            axis += 1
            plain.shape[axis] = size
        for k in range(plain.count):
            plain.strides[axis][k] = own[k]
    plain.axes = axis + 1


cdef inline cnp.npy_intp extent(const PlainArrays* plain, int k,
                                cnp.npy_intp itemsize) noexcept nogil:
    """Bytes from the first byte of an operand to its last; strides are not negative."""
    cdef cnp.npy_intp size = itemsize
    cdef int i
    for i in range(plain.axes):
        size += (plain.shape[i] - 1) * plain.strides[i][k]
    return size


cdef inline bint apart(const PlainArrays* plain, int k, int out,
                       cnp.npy_intp itemsize) noexcept nogil:
    """Whether an output is exactly an operand or shares no memory with it, as far as is known.

    The halves of an array share no memory, although one lies between the rows of the other.
    """
    cdef uintptr_t a = <uintptr_t> plain.data[k], b = <uintptr_t> plain.data[out]
    cdef cnp.npy_intp row, run
    cdef int i
    cdef bint alike = True
    if a + extent(plain, k, itemsize) <= b or b + extent(plain, out, itemsize) <= a:
        return True
    for i in range(plain.axes):
        alike &= plain.strides[i][k] == plain.strides[i][out]
    if not alike:
        return False
    if a == b:
        return True
    if plain.axes != 2:
        return False
    row = plain.strides[0][k]
    run = (plain.shape[1] - 1) * plain.strides[1][k] + itemsize
    return run <= <cnp.npy_intp> (max(a, b) - min(a, b)) % row <= row - run
