# float16 is a storage format only. Spans are converted to float32 and back in blocks of eight.

cdef extern from "math/intrinsics.h" nogil:
    enum: HALF_BLOCK
    void half_to_float_block(const uint16_t* x, float* out)
    void float_to_half_block(const float* x, uint16_t* out)

cdef enum:
    TURN = 4                    # blocks per iteration


cdef inline void half_to_float_short(const uint16_t* x, float* out, Py_ssize_t n) noexcept nogil:
    cdef uint16_t halves[HALF_BLOCK]
    cdef float block[HALF_BLOCK]
    memset(halves, 0, sizeof(halves))
    memcpy(halves, x, n * sizeof(uint16_t))
    half_to_float_block(halves, block)
    memcpy(out, block, n * sizeof(float))


cdef inline void float_to_half_short(const float* x, uint16_t* out, Py_ssize_t n) noexcept nogil:
    cdef uint16_t halves[HALF_BLOCK]
    cdef float block[HALF_BLOCK]
    memset(block, 0, sizeof(block))
    memcpy(block, x, n * sizeof(float))
    float_to_half_block(block, halves)
    memcpy(out, halves, n * sizeof(uint16_t))


# An iteration converts several blocks to reduce loop overhead. The last block of a span may
# overlap the one before it and writes the same values again.

cdef void half_to_float(const uint16_t* x, float* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, k, turns = n // (TURN * HALF_BLOCK)
    if n < HALF_BLOCK:
        half_to_float_short(x, out, n)
        return
    for i in range(turns):                                  # by hand: in intrinsics.h
        for k in range(TURN):                               # by hand
            half_to_float_block(x + (i * TURN + k) * HALF_BLOCK, out + (i * TURN + k) * HALF_BLOCK)
    for i in range(turns * TURN, n // HALF_BLOCK):          # by hand
        half_to_float_block(x + i * HALF_BLOCK, out + i * HALF_BLOCK)
    half_to_float_block(x + n - HALF_BLOCK, out + n - HALF_BLOCK)


cdef void float_to_half(const float* x, uint16_t* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, k, turns = n // (TURN * HALF_BLOCK)
    if n < HALF_BLOCK:
        float_to_half_short(x, out, n)
        return
    for i in range(turns):                                  # by hand: in intrinsics.h
        for k in range(TURN):                               # by hand
            float_to_half_block(x + (i * TURN + k) * HALF_BLOCK, out + (i * TURN + k) * HALF_BLOCK)
    for i in range(turns * TURN, n // HALF_BLOCK):          # by hand
        float_to_half_block(x + i * HALF_BLOCK, out + i * HALF_BLOCK)
    float_to_half_block(x + n - HALF_BLOCK, out + n - HALF_BLOCK)
