/* Compression of a matrix with many zeros, such as the output of relu, to its nonzero values and their
 * columns. The products are in sparse_template.h. */
#ifndef RELUME_SPARSE_H
#define RELUME_SPARSE_H

#include "math/intrinsics.h"
#include "matmul/interface.h"
#if defined(__SSSE3__)
#include <immintrin.h>
#endif

enum {
    SPARSE_GROUP = 128,         /* rows of S that use a block of M while it is in the cache */
    SPARSE_NEAR = 1 << 15,      /* bytes of a block that fits the L1 cache */
    SPARSE_FEW = 5,             /* minimum number of elements per row of S in such a block; if there */
    SPARSE_FAR = 1 << 19,       /* are fewer on average, bytes of a block in the L2 cache instead */
    SPARSE_PANEL = 8,           /* vectors of a row of sums, enough to hide the latency of an addition */
    SPARSE_AHEAD = 4            /* rows of M that are prefetched for a single row of S */
};

/* Compresses n elements to the nonzero values (NaN included) and their columns, and returns how many
 * there are. Without branches. It writes whole vectors, so both outputs need room for 16 elements
 * more. */
#if defined(__AVX512F__)
RELUME_INLINE ptrdiff_t compress_row_float(const float *x, ptrdiff_t n, float *values, int32_t *index)
{
    __m512i column = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < n; i += 16) {
        const __mmask16 valid = (__mmask16)(n - i < 16 ? (1u << (n - i)) - 1 : 0xffffu);
        const __m512 v = _mm512_maskz_loadu_ps(valid, x + i);
        const __mmask16 kept = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
        _mm512_storeu_ps(values + count, _mm512_maskz_compress_ps(kept, v));
        _mm512_storeu_si512(index + count, _mm512_maskz_compress_epi32(kept, column));
        count += _mm_popcnt_u32(kept);
        column = _mm512_add_epi32(column, _mm512_set1_epi32(16));
    }
    return count;
}
RELUME_INLINE ptrdiff_t compress_row_double(const double *x, ptrdiff_t n, double *values,
                                            int32_t *index)
{
    __m256i column = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < n; i += 8) {
        const __mmask8 valid = (__mmask8)(n - i < 8 ? (1u << (n - i)) - 1 : 0xffu);
        const __m512d v = _mm512_maskz_loadu_pd(valid, x + i);
        const __mmask8 kept = _mm512_cmp_pd_mask(v, _mm512_setzero_pd(), _CMP_NEQ_UQ);
        _mm512_storeu_pd(values + count, _mm512_maskz_compress_pd(kept, v));
        _mm256_storeu_si256((__m256i *)(index + count), _mm256_maskz_compress_epi32(kept, column));
        count += _mm_popcnt_u32(kept);
        column = _mm256_add_epi32(column, _mm256_set1_epi32(8));
    }
    return count;
}
/* The first position from `begin` on at which the sorted columns index[begin] to index[end - 1] of a
 * row reach `bound`, or `end`. index may be read up to `readable`. */
RELUME_INLINE int32_t columns_below(const int32_t *index, int32_t begin, int32_t end,
                                    int32_t readable, int32_t bound)
{
    const __m512i bounds = _mm512_set1_epi32(bound);
    for (; begin < end && begin + 16 <= readable; begin += 16) {
        const unsigned reached =
            _mm512_cmpge_epi32_mask(_mm512_loadu_si512(index + begin), bounds);
        if (reached != 0) {
            begin += _mm_popcnt_u32((reached & (0u - reached)) - 1);    /* the first of them */
            return begin < end ? begin : end;
        }
    }
    while (begin < end && index[begin] < bound) begin++;
    return begin < end ? begin : end;
}
#else
RELUME_INLINE int32_t columns_below(const int32_t *index, int32_t begin, int32_t end,
                                    int32_t readable, int32_t bound)
{
    (void)readable;
    while (begin < end && index[begin] < bound) begin++;
    return begin;
}
/* Compresses elements first to n, after `count` values that are already written. */
#define DEFINE_COMPRESS_SOME(floating)                                                            \
    RELUME_INLINE ptrdiff_t compress_some_##floating(                                             \
        const floating *x, ptrdiff_t first, ptrdiff_t n, ptrdiff_t count, floating *values,       \
        int32_t *index)                                                                           \
    {                                                                                             \
        for (ptrdiff_t i = first; i < n; i++) {                                                   \
            values[count] = x[i];                                                                 \
            index[count] = (int32_t)i;                                                            \
            count += x[i] != 0;                                                                   \
        }                                                                                         \
        return count;                                                                             \
    }
DEFINE_COMPRESS_SOME(float)
DEFINE_COMPRESS_SOME(double)
RELUME_INLINE ptrdiff_t compress_row_double(const double *x, ptrdiff_t n, double *values,
                                            int32_t *index)
{
    return compress_some_double(x, 0, n, 0, values, index);
}
#if defined(__SSSE3__)
/* Shuffles that move the floats selected by a 4-bit mask to the front; float k is bytes 4 k to 4 k + 3. */
#define MOVED(a, b, c, d) {4 * a, 4 * a + 1, 4 * a + 2, 4 * a + 3, 4 * b, 4 * b + 1, 4 * b + 2,   \
        4 * b + 3, 4 * c, 4 * c + 1, 4 * c + 2, 4 * c + 3, 4 * d, 4 * d + 1, 4 * d + 2, 4 * d + 3}
RELUME_INLINE ptrdiff_t compress_row_float(const float *x, ptrdiff_t n, float *values, int32_t *index)
{
    static const uint8_t moved[16][16] = {
        MOVED(0, 0, 0, 0), MOVED(0, 0, 0, 0), MOVED(1, 0, 0, 0), MOVED(0, 1, 0, 0),
        MOVED(2, 0, 0, 0), MOVED(0, 2, 0, 0), MOVED(1, 2, 0, 0), MOVED(0, 1, 2, 0),
        MOVED(3, 0, 0, 0), MOVED(0, 3, 0, 0), MOVED(1, 3, 0, 0), MOVED(0, 1, 3, 0),
        MOVED(2, 3, 0, 0), MOVED(0, 2, 3, 0), MOVED(1, 2, 3, 0), MOVED(0, 1, 2, 3),
    };
    static const uint8_t bits[16] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};
    __m128i column = _mm_setr_epi32(0, 1, 2, 3);
    ptrdiff_t count = 0, i = 0;
    for (; i + 4 <= n; i += 4) {
        const __m128 v = _mm_loadu_ps(x + i);
        const int kept = _mm_movemask_ps(_mm_cmpneq_ps(v, _mm_setzero_ps()));
        const __m128i move = _mm_loadu_si128((const __m128i *)moved[kept]);
        _mm_storeu_si128((__m128i *)(values + count), _mm_shuffle_epi8(_mm_castps_si128(v), move));
        _mm_storeu_si128((__m128i *)(index + count), _mm_shuffle_epi8(column, move));
        count += bits[kept];
        column = _mm_add_epi32(column, _mm_set1_epi32(4));
    }
    return compress_some_float(x, i, n, count, values, index);
}
#else
RELUME_INLINE ptrdiff_t compress_row_float(const float *x, ptrdiff_t n, float *values, int32_t *index)
{
    return compress_some_float(x, 0, n, 0, values, index);
}
#endif
#endif
#endif
