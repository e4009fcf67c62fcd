/* Reductions of a contiguous span: sum, dot product and maximum.
 * Element i is added to accumulator ("lane") i % LANES for any vector width. Then the upper half of
 * the lanes is added to the lower half until one lane is left. So the bits are the same on every
 * instruction set.
 * The loops are in C and use the vector types that GCC and clang share. Compilers would reduce an
 * array of lanes as scalars, one by one, and vectorize a maximum of floats only with -ffast-math.
 * The remainder of a span is padded with zeros. The order does not matter for a maximum. */
#ifndef RELUME_REDUCTIONS_H
#define RELUME_REDUCTIONS_H

#include "intrinsics.h"

enum { LANES = 16 };

/* Copies n < LANES elements and fills up with zeros. The forms in intrinsics store whole vectors, because
 * loading a vector right after storing its parts stalls. */
#if defined(__AVX512F__)
RELUME_INLINE void pad_float(const float *x, ptrdiff_t n, float *out)
{
    _mm512_storeu_ps(out, _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), x));
}
RELUME_INLINE void pad_double(const double *x, ptrdiff_t n, double *out)
{
    const unsigned mask = (1u << n) - 1;
    _mm512_storeu_pd(out, _mm512_maskz_loadu_pd((__mmask8)mask, x));
    _mm512_storeu_pd(out + 8, _mm512_maskz_loadu_pd((__mmask8)(mask >> 8), x + 8));
}
#elif defined(__AVX2__)
RELUME_INLINE void pad_float(const float *x, ptrdiff_t n, float *out)
{
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (int k = 0; k < LANES; k += 8) {
        const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n - k), index);
        _mm256_storeu_ps(out + k, _mm256_maskload_ps(x + k, mask));
    }
}
RELUME_INLINE void pad_double(const double *x, ptrdiff_t n, double *out)
{
    const __m256i index = _mm256_setr_epi64x(0, 1, 2, 3);
    for (int k = 0; k < LANES; k += 4) {
        const __m256i mask = _mm256_cmpgt_epi64(_mm256_set1_epi64x(n - k), index);
        _mm256_storeu_pd(out + k, _mm256_maskload_pd(x + k, mask));
    }
}
#else
RELUME_INLINE void pad_float(const float *x, ptrdiff_t n, float *out)
{
    memset(out, 0, LANES * sizeof *out);
    memcpy(out, x, (size_t)n * sizeof *out);
}
RELUME_INLINE void pad_double(const double *x, ptrdiff_t n, double *out)
{
    memset(out, 0, LANES * sizeof *out);
    memcpy(out, x, (size_t)n * sizeof *out);
}
#endif

/* sum(x) and sum(x * y). */
#if defined(__AVX512F__)
#define VECTOR 64
#elif defined(__AVX__)
#define VECTOR 32
#else
#define VECTOR 16
#endif
#if defined(__GNUC__)
typedef float vector_float __attribute__((vector_size(VECTOR), aligned(4), may_alias));
typedef double vector_double __attribute__((vector_size(VECTOR), aligned(8), may_alias));
#else
typedef float vector_float;
typedef double vector_double;
#endif

/* f of all elements of a vector: the upper half with the lower half, until one is left. */
#if defined(__AVX__) && defined(__GNUC__)
#if defined(__AVX512F__)
#define LOWER_float(x) _mm512_castps512_ps256((__m512)(x))
#define UPPER_float(x) _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd((__m512)(x)), 1))
#define LOWER_double(x) _mm512_castpd512_pd256((__m512d)(x))
#define UPPER_double(x) _mm512_extractf64x4_pd((__m512d)(x), 1)
#endif
#define DEFINE_HALVING(name)                                                                     \
    RELUME_INLINE float name##_of_8_float(__m256 x)                                              \
    {                                                                                            \
        __m128 r = _mm_##name##_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));      \
        r = _mm_##name##_ps(r, _mm_movehl_ps(r, r));                                             \
        return _mm_cvtss_f32(_mm_##name##_ss(r, _mm_movehdup_ps(r)));                            \
    }                                                                                            \
    RELUME_INLINE double name##_of_4_double(__m256d x)                                           \
    {                                                                                            \
        __m128d r = _mm_##name##_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));     \
        return _mm_cvtsd_f64(_mm_##name##_sd(r, _mm_unpackhi_pd(r, r)));                         \
    }                                                                                            \
    DEFINE_WHOLE(name)
#if defined(__AVX512F__)
#define DEFINE_WHOLE(name)                                                                       \
    RELUME_INLINE float name##_of_vector_float(vector_float x)                                   \
    {                                                                                            \
        return name##_of_8_float(_mm256_##name##_ps(LOWER_float(x), UPPER_float(x)));            \
    }                                                                                            \
    RELUME_INLINE double name##_of_vector_double(vector_double x)                                \
    {                                                                                            \
        return name##_of_4_double(_mm256_##name##_pd(LOWER_double(x), UPPER_double(x)));         \
    }
#else
#define DEFINE_WHOLE(name)                                                                       \
    RELUME_INLINE float name##_of_vector_float(vector_float x)                                   \
    {                                                                                            \
        return name##_of_8_float((__m256)x);                                                     \
    }                                                                                            \
    RELUME_INLINE double name##_of_vector_double(vector_double x)                                \
    {                                                                                            \
        return name##_of_4_double((__m256d)x);                                                   \
    }
#endif
DEFINE_HALVING(add)
DEFINE_HALVING(max)
#else
#define DEFINE_SUM_OF_VECTOR(floating)                                                           \
    RELUME_INLINE floating add_of_vector_##floating(vector_##floating x)                         \
    {                                                                                            \
        floating rest[sizeof x / sizeof(floating)];                                              \
        memcpy(rest, &x, sizeof rest);                                                           \
        for (int half = (int)(sizeof x / sizeof(floating)) / 2; half > 0; half /= 2)             \
            for (int k = 0; k < half; k++) rest[k] += rest[k + half];                            \
        return rest[0];                                                                          \
    }
DEFINE_SUM_OF_VECTOR(float)
DEFINE_SUM_OF_VECTOR(double)
#endif

#define DEFINE_SUMS(floating)                                                                     \
    enum { WIDTH_##floating = sizeof(vector_##floating) / sizeof(floating),                       \
           PARTS_##floating = LANES / WIDTH_##floating };                                         \
    RELUME_INLINE floating sum_of_lanes_##floating(vector_##floating *lane)                       \
    {                                                                                             \
        for (int half = PARTS_##floating / 2; half > 0; half /= 2)                                \
            for (int k = 0; k < half; k++) lane[k] += lane[k + half];                             \
        return add_of_vector_##floating(lane[0]);                                                 \
    }                                                                                             \
    RELUME_INLINE floating sum_##floating(const floating *x, ptrdiff_t n)                         \
    {                                                                                             \
        vector_##floating lane[PARTS_##floating] = {0};                                           \
        floating tail[LANES];                                                                     \
        const ptrdiff_t whole = n / LANES * LANES;                                                \
        for (ptrdiff_t i = 0; i < whole; i += LANES)                                              \
            for (int k = 0; k < PARTS_##floating; k++)                                            \
                lane[k] += ((const vector_##floating *)(x + i))[k];                               \
        if (whole < n) {                                                                          \
            pad_##floating(x + whole, n - whole, tail);                                           \
            for (int k = 0; k < PARTS_##floating; k++)                                            \
                lane[k] += ((const vector_##floating *)tail)[k];                                  \
        }                                                                                         \
        return sum_of_lanes_##floating(lane);                                                     \
    }                                                                                             \
    RELUME_INLINE floating dot_##floating(const floating *x, const floating *y, ptrdiff_t n)      \
    {                                                                                             \
        vector_##floating lane[PARTS_##floating] = {0};                                           \
        floating x_tail[LANES], y_tail[LANES];                                                    \
        const ptrdiff_t whole = n / LANES * LANES;                                                \
        for (ptrdiff_t i = 0; i < whole; i += LANES)                                              \
            for (int k = 0; k < PARTS_##floating; k++)                                            \
                lane[k] += ((const vector_##floating *)(x + i))[k]                                \
                    * ((const vector_##floating *)(y + i))[k];                                    \
        if (whole < n) {                                                                          \
            pad_##floating(x + whole, n - whole, x_tail);                                         \
            pad_##floating(y + whole, n - whole, y_tail);                                         \
            for (int k = 0; k < PARTS_##floating; k++)                                            \
                lane[k] += ((const vector_##floating *)x_tail)[k]                                 \
                    * ((const vector_##floating *)y_tail)[k];                                     \
        }                                                                                         \
        return sum_of_lanes_##floating(lane);                                                     \
    }
DEFINE_SUMS(float)
DEFINE_SUMS(double)

/* sum(x) of the elements that are not `one`; `count` is how many are. */
#if defined(__GNUC__)
typedef int32_t mask_float __attribute__((vector_size(VECTOR), aligned(4), may_alias));
typedef int64_t mask_double __attribute__((vector_size(VECTOR), aligned(8), may_alias));
#define DEFINE_SUM_OF_OTHERS(floating)                                                            \
    RELUME_INLINE void add_others_##floating(const vector_##floating *x, vector_##floating one,   \
                                             vector_##floating *lane, mask_##floating *count)     \
    {                                                                                             \
        for (int k = 0; k < PARTS_##floating; k++) {                                              \
            const mask_##floating same = x[k] == one;                                             \
            *count -= same;                                                                       \
            lane[k] += (vector_##floating)((mask_##floating)x[k] & ~same);                        \
        }                                                                                         \
    }                                                                                             \
    RELUME_INLINE floating sum_of_others_##floating(const floating *x, ptrdiff_t n, floating one, \
                                                    ptrdiff_t *count)                             \
    {                                                                                             \
        const vector_##floating ones = one - (vector_##floating){0};                              \
        vector_##floating lane[PARTS_##floating] = {0};                                           \
        mask_##floating counted = {0};                                                            \
        floating tail[LANES];                                                                     \
        const ptrdiff_t whole = n / LANES * LANES;                                                \
        for (ptrdiff_t i = 0; i < whole; i += LANES)                                              \
            add_others_##floating((const vector_##floating *)(x + i), ones, lane, &counted);      \
        if (whole < n) {                                                                          \
            pad_##floating(x + whole, n - whole, tail);                                           \
            add_others_##floating((const vector_##floating *)tail, ones, lane, &counted);         \
        }                                                                                         \
        *count = 0;                                                                               \
        for (int k = 0; k < WIDTH_##floating; k++) *count += counted[k];                          \
        return sum_of_lanes_##floating(lane);                                                     \
    }
#else
#define DEFINE_SUM_OF_OTHERS(floating)                                                            \
    RELUME_INLINE floating sum_of_others_##floating(const floating *x, ptrdiff_t n, floating one, \
                                                    ptrdiff_t *count)                             \
    {                                                                                             \
        floating lane[LANES] = {0};                                                               \
        *count = 0;                                                                               \
        for (ptrdiff_t i = 0; i < n; i++) {                                                       \
            *count += x[i] == one;                                                                \
            lane[i % LANES] += x[i] == one ? 0 : x[i];                                            \
        }                                                                                         \
        return sum_of_lanes_##floating(lane);                                                     \
    }
#endif
DEFINE_SUM_OF_OTHERS(float)
DEFINE_SUM_OF_OTHERS(double)

/* The sum of floats, computed in double in the same order. GCC 12 converts a vector of 512 bits in halves. */
#if defined(__AVX512F__)
#define TO_DOUBLE(x) (vector_double)_mm512_cvtps_pd((__m256)(x))
#else
#define TO_DOUBLE(x) __builtin_convertvector(x, vector_double)
#endif
#if defined(__GNUC__)
RELUME_INLINE double total_float(const float *x, ptrdiff_t n)
{
    typedef float vector_half __attribute__((vector_size(VECTOR / 2), aligned(4), may_alias));
    vector_double lane[PARTS_double] = {0};
    float tail[LANES];
    const ptrdiff_t whole = n / LANES * LANES;
    for (ptrdiff_t i = 0; i < whole; i += LANES)
        for (int k = 0; k < PARTS_double; k++)
            lane[k] += TO_DOUBLE(((const vector_half *)(x + i))[k]);
    if (whole < n) {
        pad_float(x + whole, n - whole, tail);
        for (int k = 0; k < PARTS_double; k++)
            lane[k] += TO_DOUBLE(((const vector_half *)tail)[k]);
    }
    return sum_of_lanes_double(lane);
}
#else
RELUME_INLINE double total_float(const float *x, ptrdiff_t n)
{
    double lane[LANES] = {0};
    for (ptrdiff_t i = 0; i < n; i++) lane[i % LANES] += x[i];
    return sum_of_lanes_double(lane);
}
#endif
RELUME_INLINE double total_double(const double *x, ptrdiff_t n) { return sum_double(x, n); }

/* The maximum. If x contains NaN, the result is NaN or the maximum of other elements. The last vector
 * overlaps the one before it. */
#if defined(__AVX2__) && defined(__GNUC__)
#if defined(__AVX512F__)
#define MAX_float(x, y) (vector_float)_mm512_max_ps((__m512)(x), (__m512)(y))
#define MAX_double(x, y) (vector_double)_mm512_max_pd((__m512d)(x), (__m512d)(y))
#else
#define MAX_float(x, y) (vector_float)_mm256_max_ps((__m256)(x), (__m256)(y))
#define MAX_double(x, y) (vector_double)_mm256_max_pd((__m256d)(x), (__m256d)(y))
#endif
#define DEFINE_MAXIMUM(floating)                                                                  \
    RELUME_INLINE floating maximum_of_##floating(const floating *x, ptrdiff_t n)                  \
    {                                                                                             \
        floating max = -INFINITY;                                                                 \
        if (n < WIDTH_##floating) {                                                               \
            for (ptrdiff_t i = 0; i < n; i++) max = x[i] > max ? x[i] : max;                      \
            return max;                                                                           \
        }                                                                                         \
        vector_##floating lane = *(const vector_##floating *)(x + n - WIDTH_##floating);          \
        for (ptrdiff_t i = 0; i + WIDTH_##floating < n; i += WIDTH_##floating)                    \
            lane = MAX_##floating(*(const vector_##floating *)(x + i), lane);                     \
        return max_of_vector_##floating(lane);                                                    \
    }
DEFINE_MAXIMUM(float)
DEFINE_MAXIMUM(double)
#else
/* Integers in the order of the floats. Compilers vectorize their maximum, but not that of floats. */
RELUME_INLINE int32_t order_float(int32_t bits) { return bits ^ ((bits >> 31) & 0x7fffffff); }
RELUME_INLINE int64_t order_double(int64_t bits)
{
    return bits ^ ((bits >> 63) & 0x7fffffffffffffff);
}
RELUME_INLINE float maximum_of_float(const float *x, ptrdiff_t n)
{
    int32_t max_order = order_float((int32_t)bits_of_float(-INFINITY));
    for (ptrdiff_t i = 0; i < n; i++) {
        const int32_t order = order_float((int32_t)bits_of_float(x[i]));
        max_order = order > max_order ? order : max_order;
    }
    return float_of_bits((uint32_t)order_float(max_order));
}
RELUME_INLINE double maximum_of_double(const double *x, ptrdiff_t n)
{
    int64_t max_order = order_double((int64_t)bits_of_double(-INFINITY));
    for (ptrdiff_t i = 0; i < n; i++) {
        const int64_t order = order_double((int64_t)bits_of_double(x[i]));
        max_order = order > max_order ? order : max_order;
    }
    return double_of_bits((uint64_t)order_double(max_order));
}
#endif
/* max |x|, or infinity where an element is not finite: the bits of |x| are ordered as integers are,
 * and those of NaN lie above those of infinity. */
RELUME_INLINE double peak_float(const float *x, ptrdiff_t n)
{
    int32_t largest = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= INT32_MAX;
        largest = bits > largest ? bits : largest;
    }
    return largest < 0x7f800000 ? (double)float_of_bits((uint32_t)largest) : (double)INFINITY;
}
RELUME_INLINE double peak_double(const double *x, ptrdiff_t n)
{
    int64_t largest = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        int64_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= INT64_MAX;
        largest = bits > largest ? bits : largest;
    }
    return largest < 0x7ff0000000000000 ? double_of_bits((uint64_t)largest) : (double)INFINITY;
}

#if defined(__GNUC__)
#define FETCH_ROW(p) __builtin_prefetch(p)
#else
#define FETCH_ROW(p) (void)(p)
#endif
enum { AHEAD_BYTES = 2048 };    /* of rows that are fetched before they are copied */

/* gather: copies the rows x[index[i]] to out, and tells whether all their elements are finite. The
 * rows are anywhere in memory, so they are fetched some rows ahead: with 784 elements of random
 * rows, copying takes half the time.
 * column_sum: each column is summed over the rows in order, as many columns at a time as make four
 * vectors, so that their sums stay in registers.
 * In both, the last vector of a row overlaps the one before it. */
#define DEFINE_ROWS(floating)                                                                     \
    RELUME_INLINE vector_##floating copied_##floating(const floating *x, floating *out)           \
    {                                                                                             \
        const vector_##floating all = *(const vector_##floating *)x;                              \
        *(vector_##floating *)out = all;                                                          \
        return all - all;                           /* 0, or NaN for an infinity or NaN */        \
    }                                                                                             \
    RELUME_INLINE int gather_##floating(const floating *x, const int64_t *index, ptrdiff_t rows,  \
                                        ptrdiff_t n, floating *out)                               \
    {                                                                                             \
        const ptrdiff_t ahead = 1 + AHEAD_BYTES / (ptrdiff_t)sizeof(floating) / n;                \
        vector_##floating odd = {0};                                                              \
        floating rest = 0;                                                                        \
        for (ptrdiff_t i = 0; i < rows; i++, out += n) {                                          \
            const floating *row = x + index[i] * n;                                               \
            const floating *later = x + index[i + ahead < rows ? i + ahead : i] * n;              \
            ptrdiff_t j = 0;                                                                      \
            for (; j + LANES <= n; j += LANES) {                                                  \
                FETCH_ROW(later + j);                                                             \
                for (int k = 0; k < LANES; k += WIDTH_##floating)                                 \
                    odd += copied_##floating(row + j + k, out + j + k);                           \
            }                                                                                     \
            if (n >= WIDTH_##floating)                                                            \
                for (; j < n; j += WIDTH_##floating) {                                            \
                    const ptrdiff_t k = j < n - WIDTH_##floating ? j : n - WIDTH_##floating;      \
                    odd += copied_##floating(row + k, out + k);                                   \
                }                                                                                 \
            for (; j < n; j++) {                                                                  \
                out[j] = row[j];                                                                  \
                rest += row[j] - row[j];                                                          \
            }                                                                                     \
        }                                                                                         \
        for (int k = 0; k < WIDTH_##floating; k++) rest += ((const floating *)&odd)[k];           \
        return rest == 0;                                                                         \
    }                                                                                             \
    RELUME_INLINE void column_sum_##floating(const floating *x, ptrdiff_t rows, ptrdiff_t n,      \
                                             floating *out)                                       \
    {                                                                                             \
        ptrdiff_t j = 0;                                                                          \
        for (; j + 4 * WIDTH_##floating <= n; j += 4 * WIDTH_##floating) {                        \
            vector_##floating a = {0}, b = {0}, c = {0}, d = {0};                                 \
            for (ptrdiff_t i = 0; i < rows; i++) {                                                \
                const vector_##floating *row = (const vector_##floating *)(x + i * n + j);        \
                a += row[0];                                                                      \
                b += row[1];                                                                      \
                c += row[2];                                                                      \
                d += row[3];                                                                      \
            }                                                                                     \
            ((vector_##floating *)(out + j))[0] = a;                                              \
            ((vector_##floating *)(out + j))[1] = b;                                              \
            ((vector_##floating *)(out + j))[2] = c;                                              \
            ((vector_##floating *)(out + j))[3] = d;                                              \
        }                                                                                         \
        if (n >= WIDTH_##floating)                                                                \
            for (; j < n; j += WIDTH_##floating) {                                                \
                const ptrdiff_t k = j < n - WIDTH_##floating ? j : n - WIDTH_##floating;          \
                vector_##floating a = {0};                                                        \
                for (ptrdiff_t i = 0; i < rows; i++)                                              \
                    a += *(const vector_##floating *)(x + i * n + k);                             \
                *(vector_##floating *)(out + k) = a;                                              \
            }                                                                                     \
        for (; j < n; j++) {                                                                      \
            floating sum = 0;                                                                     \
            for (ptrdiff_t i = 0; i < rows; i++) sum += x[i * n + j];                             \
            out[j] = sum;                                                                         \
        }                                                                                         \
    }
DEFINE_ROWS(float)
DEFINE_ROWS(double)

#endif
