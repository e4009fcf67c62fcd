# float16 is stored, never computed with: spans of it become float32 and back, eight at a time.

cdef extern from "intrinsics.h" nogil:
    enum: HALF_BLOCK
    void half_to_float_block(const uint16_t* x, float* out)
    void float_to_half_block(const float* x, uint16_t* out)


cdef void half_to_float(const uint16_t* x, float* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, whole = n // HALF_BLOCK * HALF_BLOCK
    cdef uint16_t half_tail[HALF_BLOCK]
    cdef float tail[HALF_BLOCK]
    for i in range(n // HALF_BLOCK):         # by hand: in intrinsics.h
        half_to_float_block(x + i * HALF_BLOCK, out + i * HALF_BLOCK)
    if whole < n:
        memset(half_tail, 0, sizeof(half_tail))
        memcpy(half_tail, x + whole, (n - whole) * sizeof(uint16_t))
        half_to_float_block(half_tail, tail)
        memcpy(out + whole, tail, (n - whole) * sizeof(float))


cdef void float_to_half(const float* x, uint16_t* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, whole = n // HALF_BLOCK * HALF_BLOCK
    cdef uint16_t half_tail[HALF_BLOCK]
    cdef float tail[HALF_BLOCK]
    for i in range(n // HALF_BLOCK):         # by hand: in intrinsics.h
        float_to_half_block(x + i * HALF_BLOCK, out + i * HALF_BLOCK)
    if whole < n:
        memset(tail, 0, sizeof(tail))
        memcpy(tail, x + whole, (n - whole) * sizeof(float))
        float_to_half_block(tail, half_tail)
        memcpy(out + whole, half_tail, (n - whole) * sizeof(uint16_t))
