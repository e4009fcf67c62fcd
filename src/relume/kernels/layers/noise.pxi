# Noise of a training pass. Random numbers are a hash of the element's index in the minibatch and a
# key, so that they depend on neither order nor threads, and a pass can be repeated.

from relume.kernels.table cimport Random

cdef inline uint32_t mixed(uint32_t h) noexcept nogil:
    """A bijection that avalanches: C. Wellons' lowbias32, a search of multiply-xorshift hashes."""
    h ^= h >> 16
    h *= <uint32_t> 0x7feb352d
    h ^= h >> 15
    h *= <uint32_t> 0x846ca68b
    return h ^ (h >> 16)

cdef inline floating uniform_of(uint32_t i, uint32_t key1, uint32_t key2,
                                floating like) noexcept nogil:
    """A number of [0, 1) for place i: 24 bits, which both precisions hold exactly."""
    return <floating> <int> (mixed(mixed(i ^ key1) + key2) >> 8) * <floating> 5.9604644775390625e-8


# -- dropout: Srivastava et al., 2014; alpha dropout: Klambauer et al., 2017 ----------------------

cdef void dropout(const floating* x, uint32_t first, uint64_t key, Py_ssize_t n,
                  const floating* rate, floating* mask, floating* out) noexcept nogil:
    """mask = 1 / (1 - rate) or, with probability `rate`, 0; out = x mask."""
    cdef floating p = rate[0], kept = <floating> 1 / (<floating> 1 - rate[0])
    cdef uint32_t key1 = <uint32_t> key, key2 = <uint32_t> (key >> 32)
    cdef Py_ssize_t i
    for i in range(n):
        mask[i] = kept if uniform_of[floating](first + <uint32_t> i, key1, key2, 0) >= p else 0
        out[i] = x[i] * mask[i]

cdef void alpha_dropout(const floating* x, uint32_t first, uint64_t key, Py_ssize_t n,
                        const floating* rate, floating* mask, floating* out) noexcept nogil:
    """A dropped x becomes selu(-inf); out = a (x or that) + b keeps mean 0 and variance 1."""
    cdef double low = -1.7580993408473766           # -lambda alpha
    cdef double keep = <double> 1 - rate[0]
    cdef double a = 1 / sqrt(keep * (1 + (1 - keep) * low * low))
    cdef floating p = rate[0], kept = <floating> a
    cdef floating shift = <floating> (-a * low * (1 - keep)), dropped = <floating> (a * low)
    cdef uint32_t key1 = <uint32_t> key, key2 = <uint32_t> (key >> 32)
    cdef Py_ssize_t i
    cdef floating stays                 # 1 or 0: one choice, since GCC makes branches of two
    for i in range(n):
        stays = 1 if uniform_of[floating](first + <uint32_t> i, key1, key2, 0) >= p else 0
        mask[i] = kept * stays
        out[i] = x[i] * (kept * stays) + dropped * (1 - stays) + shift

cdef void random_slopes(const floating* x, uint32_t first, uint64_t key, Py_ssize_t n,
                        const floating* bounds, floating* slope, floating* out) noexcept nogil:
    """RReLU's slopes, uniform between bounds[0] and bounds[1], and what they make of x."""
    cdef floating lower = bounds[0], width = bounds[1] - bounds[0]
    cdef uint32_t key1 = <uint32_t> key, key2 = <uint32_t> (key >> 32)
    cdef Py_ssize_t i
    for i in range(n):
        slope[i] = lower + width * uniform_of[floating](first + <uint32_t> i, key1, key2, 0)
        out[i] = x[i] if x[i] > 0 else x[i] * slope[i]


# -- the table ------------------------------------------------------------------------------------

cdef void fill_noise(Spans* spans, floating like) noexcept:
    spans.dropout = <Random> dropout[floating]
    spans.alpha_dropout = <Random> alpha_dropout[floating]
    spans.random_slopes = <Random> random_slopes[floating]
