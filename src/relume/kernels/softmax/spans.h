/* The loops of softmax along rows and columns of float32, in the vectors of math/lanes.h: for rows of
 * hundreds of elements, a compiler's scalar loop over the last few takes as long as the vectors before it.
 * Here the rest is a masked vector. Across columns, that pays with AVX-512 only. The operations and their order are those of the loops in columns.pxi
 * and rows.pxi, which other dtypes and builds use.
 * `across` tells that a parameter is one number a column, else one for all. */
#ifndef RELUME_SOFTMAX_SPANS_H
#define RELUME_SOFTMAX_SPANS_H

#include "math/lanes.h"
#include "math/reductions.h"

#if RELUME_LANES
#if defined(__AVX512F__) && defined(__AVX512DQ__)
/* sum + x, of the first `count` lanes, without those where x is `one`; `others` counts the others. */
RELUME_INLINE Lanes plus_others(Lanes sum, Lanes x, Lanes one, ptrdiff_t count, ptrdiff_t *others)
{
    const __mmask16 first = (__mmask16)((1u << count) - 1);
    const __mmask16 added = _mm512_mask_cmp_ps_mask(first, x, one, _CMP_NEQ_UQ);
    *others += __builtin_popcount(added);
    return _mm512_mask_add_ps(sum, added, sum, x);
}
RELUME_INLINE Lanes plus_first(Lanes sum, Lanes x, ptrdiff_t count)
{
    return _mm512_mask_add_ps(sum, (__mmask16)((1u << count) - 1), sum, x);
}
RELUME_INLINE Lanes where_equal(Lanes x, Lanes y, Lanes value)              /* else 0 */
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, y, _CMP_EQ_OQ), value);
}
RELUME_INLINE Lanes nan_of(Lanes x)                                         /* NaN, else 0 */
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x);
}
RELUME_INLINE Lanes product_unless_0(Lanes g, Lanes nan_of_g, Lanes slope)
{
    return _mm512_maskz_mul_ps(_mm512_cmp_ps_mask(slope, nan_of_g, _CMP_NEQ_UQ), g, slope);
}
RELUME_INLINE Lanes exp_any_lanes(Lanes x)
{
    const Lanes clamped = smaller(all(110), larger(all(-110), x)), shift = all(12583039.0f);
    const Lanes n = minus(fused(clamped, all(1.4426950408889634f), shift), shift);
    const Lanes q = expm1_of_reduced(
        fused(n, all(2.12194440e-4f), fused(n, all(-0.693359375f), clamped)));
    return _mm512_scalef_ps(plus(all(1), q), n);
}
RELUME_INLINE float sum_of(Lanes lane) { return sum_of_lanes_float((vector_float *)&lane); }
#else
RELUME_INLINE __m256 bits_of_first(ptrdiff_t n) { return _mm256_castsi256_ps(first_lanes(n)); }
RELUME_INLINE Lanes plus_others(Lanes sum, Lanes x, Lanes one, ptrdiff_t count, ptrdiff_t *others)
{
    for (int k = 0; k < 2; k++) {
        __m256 added = _mm256_cmp_ps(x.half[k], one.half[k], _CMP_NEQ_UQ);
        if (count != N_LANES) added = _mm256_and_ps(added, bits_of_first(count - 8 * k));
        *others += __builtin_popcount((unsigned)_mm256_movemask_ps(added));
        sum.half[k] = _mm256_add_ps(sum.half[k], _mm256_and_ps(added, x.half[k]));
    }
    return sum;
}
RELUME_INLINE Lanes plus_first(Lanes sum, Lanes x, ptrdiff_t count)
{
    for (int k = 0; k < 2; k++) {
        const __m256 added = count == N_LANES ? x.half[k]
                                              : _mm256_and_ps(x.half[k], bits_of_first(count - 8 * k));
        sum.half[k] = _mm256_add_ps(sum.half[k], added);
    }
    return sum;
}
LANEWISE(where_equal, (Lanes x, Lanes y, Lanes value),
         _mm256_and_ps(_mm256_cmp_ps(OF(x), OF(y), _CMP_EQ_OQ), OF(value)))
LANEWISE(nan_of, (Lanes x), _mm256_and_ps(_mm256_cmp_ps(OF(x), OF(x), _CMP_UNORD_Q), OF(x)))
LANEWISE(product_unless_0, (Lanes g, Lanes nan_of_g, Lanes slope),
         _mm256_and_ps(_mm256_cmp_ps(OF(slope), OF(nan_of_g), _CMP_NEQ_UQ),
                       _mm256_mul_ps(OF(g), OF(slope))))
LANEWISE(where_negative, (Lanes x, Lanes yes, Lanes no),                    /* by the sign bit */
         _mm256_blendv_ps(OF(no), OF(yes), OF(x)))
RELUME_INLINE Lanes exp_any_lanes(Lanes x)
{
    const Lanes clamped = smaller(all(110), larger(all(-110), x));
    const Lanes shift = where_negative(x, all(12583039.0f + 64), all(12583039.0f - 64));
    const Lanes shifted = fused(clamped, all(1.4426950408889634f), shift), n = minus(shifted, shift);
    const Lanes q = expm1_of_reduced(
        fused(n, all(2.12194440e-4f), fused(n, all(-0.693359375f), clamped)));
    const Lanes p = as_power(shifted);
    return times(fused(p, q, p),
                 where_negative(x, all(5.421010862427522e-20f), all(18446744073709551616.0f)));
}
RELUME_INLINE float sum_of(Lanes lane) { return sum_of_lanes_float((vector_float *)lane.half); }
#endif
/* product_unless_0 is product_of_lanes, but the comparison of g with itself can leave a loop over slopes.
 * exp_any_lanes is exp_any of columns.pxi. Its powers of two are 2^64 or 2^-64 away from the result, so that
 * both are normal numbers; in AVX-512 one instruction multiplies by any power. */

/* A loop over vectors calls `part` with the constant N_LANES, and then with the number of the rest. */
RELUME_INLINE Lanes load_part(const float *x, ptrdiff_t count)
{
    return count == N_LANES ? load_lanes(x) : load_first(x, count);
}
RELUME_INLINE void store_part(float *out, Lanes value, ptrdiff_t count)
{
    if (count == N_LANES) store_lanes(out, value);
    else store_first(out, value, count);
}
#define OVER_PARTS(n, part)                                                                      \
    do {                                                                                         \
        ptrdiff_t i = 0;                                                                         \
        for (; i <= (n) - N_LANES; i += N_LANES) part(N_LANES);                                  \
        if (i < (n)) part((n) - i);                                                              \
    } while (0)

RELUME_INLINE Lanes scale_of_lanes(void) { return all(18446744073709551616.0f); }
RELUME_INLINE Lanes exp_term_lanes(Lanes x, Lanes max, int exact)
{
    const Lanes d = minus(x, max), clamped = larger(all(-130), d);
    Lanes q, p;
    if (exact) {
        const Lanes minus_max = minus(d, x);
        const Lanes low = minus(minus(x, minus(d, minus_max)), plus(max, minus_max));
        p = exp_parts_two(clamped, where_equal(clamped, d, low), &q);
    } else {
        p = exp_parts(clamped, 64, &q);
    }
    return fused(p, q, p);
}
/* -- along a row: sums of at most SHORT elements -- */
RELUME_INLINE void exp_terms_by_lanes(const float *x, float max, int exact, float *out, ptrdiff_t n)
{
    const Lanes m = all(max);
#define PART(count) store_part(out + i, exp_term_lanes(load_part(x + i, count), m, exact), count)
    OVER_PARTS(n, PART);
#undef PART
}
RELUME_INLINE float sum_of_exps_by_lanes(const float *x, float max, float *out, ptrdiff_t n)
{
    const Lanes m = all(max);
    Lanes sum = all(0);
#define PART(count)                                                                              \
    do {                                                                                         \
        const Lanes term = exp_term_lanes(load_part(x + i, count), m, 0);                        \
        store_part(out + i, term, count);                                                        \
        sum = plus_first(sum, term, count);                                                      \
    } while (0)
    OVER_PARTS(n, PART);
#undef PART
    return sum_of(sum);
}
RELUME_INLINE float sum_of_other_exps_by_lanes(const float *x, float max, int exact, ptrdiff_t n,
                                               ptrdiff_t *ones)
{
    const Lanes m = all(max);
    Lanes sum = all(0);
    ptrdiff_t others = 0;
#define PART(count)                                                                              \
    do {                                                                                         \
        const Lanes term = exp_term_lanes(load_part(x + i, count), m, exact);                    \
        sum = plus_others(sum, term, scale_of_lanes(), count, &others);                          \
    } while (0)
    OVER_PARTS(n, PART);
#undef PART
    *ones = n - others;
    return sum_of(sum);
}

/* -- across columns: a term of each, which `lane` gets if `first`, else is increased by -- */
RELUME_INLINE void maxima_of_vectors(const float *x, ptrdiff_t step, ptrdiff_t n, int vectors,
                                     ptrdiff_t last, float *max)
{
    Lanes lane[4];
    for (int k = 0; k < vectors; k++)
        lane[k] = load_part(max + k * N_LANES, k < vectors - 1 ? N_LANES : last);
    for (ptrdiff_t j = 0; j < n; j++, x += step) {
        for (int k = 0; k < vectors - 1; k++) lane[k] = larger(load_lanes(x + k * N_LANES), lane[k]);
        lane[vectors - 1] = larger(load_part(x + (vectors - 1) * N_LANES, last), lane[vectors - 1]);
    }
    for (int k = 0; k < vectors; k++)
        store_part(max + k * N_LANES, lane[k], k < vectors - 1 ? N_LANES : last);
}
RELUME_INLINE void maxima_of_block(const float *x, ptrdiff_t step, ptrdiff_t columns, ptrdiff_t n,
                                   float *max)
{
    ptrdiff_t c = 0;
    for (; c + 4 * N_LANES <= columns; c += 4 * N_LANES)
        maxima_of_vectors(x + c, step, n, 4, N_LANES, max + c);
    for (; c + N_LANES <= columns; c += N_LANES)
        maxima_of_vectors(x + c, step, n, 1, N_LANES, max + c);
    if (c < columns) maxima_of_vectors(x + c, step, n, 1, columns - c, max + c);
}
/* NaN in x is ignored. A block of rows is in the L1 cache while its columns are gone through. */
RELUME_INLINE void maxima_by_lanes(const float *x, ptrdiff_t step, ptrdiff_t columns, ptrdiff_t n,
                                   float *max)
{
    const ptrdiff_t block = 64;
    for (ptrdiff_t c = 0; c < columns; c++) max[c] = -INFINITY;
    for (; n > 0; n -= block, x += block * step)
        maxima_of_block(x, step, columns, n < block ? n : block, max);
}
RELUME_INLINE void add_to_lane(float *lane, Lanes term, int first, ptrdiff_t count)
{
    store_part(lane, first ? term : plus(load_part(lane, count), term), count);
}
RELUME_INLINE void exp_terms_across_by_lanes(const float *x, const float *max, float *kept,
                                             float *lane, int first, ptrdiff_t n)
{
#define PART(count)                                                                              \
    do {                                                                                         \
        const Lanes term = exp_term_lanes(load_part(x + i, count), load_part(max + i, count), 0); \
        store_part(kept + i, term, count);                                                       \
        add_to_lane(lane + i, term, first, count);                                               \
    } while (0)
    OVER_PARTS(n, PART);
#undef PART
}
/* `ones` counts the terms that are 1; it starts at 0 if `new_block`. */
RELUME_INLINE void other_terms_across_by_lanes(const float *x, const float *max, float *ones,
                                               float *lane, int new_block, int first, int exact,
                                               ptrdiff_t n)
{
    const Lanes scale = scale_of_lanes();
#define PART(count)                                                                              \
    do {                                                                                         \
        const Lanes term = exp_term_lanes(load_part(x + i, count), load_part(max + i, count),    \
                                          exact);                                                \
        const Lanes one = where_equal(term, scale, all(1));                                      \
        add_to_lane(ones + i, one, new_block, count);                                            \
        add_to_lane(lane + i, minus(term, where_equal(term, scale, term)), first, count);        \
    } while (0)
    OVER_PARTS(n, PART);
#undef PART
}

/* -- the results: out may be x, g, y or e -- */
RELUME_INLINE Lanes each(const float *p, Lanes of_all, int across, ptrdiff_t i, ptrdiff_t count)
{
    return across ? load_part(p + i, count) : of_all;
}
RELUME_INLINE void scaled_by_lanes(const float *x, const float *factor, int across, float *out,
                                   ptrdiff_t n)
{
    const Lanes f = all(*factor);
#define PART(count)                                                                              \
    store_part(out + i, times(load_part(x + i, count), each(factor, f, across, i, count)), count)
    OVER_PARTS(n, PART);
#undef PART
}
RELUME_INLINE void log_softmax_by_lanes(const float *x, const float *max, const float *logarithm,
                                        int across, float *out, ptrdiff_t n)
{
    const Lanes m = all(*max), l = all(*logarithm);
#define PART(count)                                                                              \
    store_part(out + i, minus(minus(load_part(x + i, count), each(max, m, across, i, count)),    \
                              each(logarithm, l, across, i, count)), count)
    OVER_PARTS(n, PART);
#undef PART
}
RELUME_INLINE void softmax_slope_by_lanes(const float *g, const float *y, float mean, float *out,
                                          ptrdiff_t n)
{
    const Lanes m = all(mean);
#define PART(count)                                                                              \
    store_part(out + i, times(minus(load_part(g + i, count), m), load_part(y + i, count)), count)
    OVER_PARTS(n, PART);
#undef PART
}
/* With NaN in place of 0 to compare with, product_unless_0 keeps the NaN of its first factor. */
#define LESS_PRODUCT(p, count)                                                                   \
    do {                                                                                         \
        const Lanes s_i = each(sum, s, across, i, count), zero_i = across ? nan_of(s_i) : zero;  \
        store_part(out + i, minus(load_part(g + i, count), product_unless_0(s_i, zero_i, p)),    \
                   count);                                                                       \
    } while (0)
RELUME_INLINE void log_softmax_slope_by_lanes(const float *g, const float *e, const float *factor,
                                              const float *sum, int across, float *out, ptrdiff_t n)
{
    const Lanes f = all(*factor), s = all(*sum), zero = nan_of(s);
#define PART(count)                                                                              \
    LESS_PRODUCT(times(load_part(e + i, count), each(factor, f, across, i, count)), count)
    OVER_PARTS(n, PART);
#undef PART
}
RELUME_INLINE void log_softmax_slope_from_output_by_lanes(const float *g, const float *y,
                                                          const float *sum, int across, float *out,
                                                          ptrdiff_t n)
{
    const Lanes s = all(*sum), zero = nan_of(s);
#define PART(count) LESS_PRODUCT(exp_any_lanes(load_part(y + i, count)), count)
    OVER_PARTS(n, PART);
#undef PART
}
#undef LESS_PRODUCT
RELUME_INLINE void logsumexp_slope_by_lanes(const float *g, const float *e, const float *factor,
                                            int across, float *out, ptrdiff_t n)
{
    const Lanes f = all(*factor), s = all(*g), zero = nan_of(s);
#define PART(count)                                                                              \
    do {                                                                                         \
        const Lanes p = times(load_part(e + i, count), each(factor, f, across, i, count));       \
        const Lanes s_i = each(g, s, across, i, count), zero_i = across ? nan_of(s_i) : zero;    \
        store_part(out + i, product_unless_0(s_i, zero_i, p), count);                            \
    } while (0)
    OVER_PARTS(n, PART);
#undef PART
}

#else
/* Never called; the loops in Cython are. */
#define exp_terms_by_lanes(...)
#define sum_of_exps_by_lanes(...) 0
#define sum_of_other_exps_by_lanes(...) 0
#define maxima_by_lanes(...)
#define exp_terms_across_by_lanes(...)
#define other_terms_across_by_lanes(...)
#define scaled_by_lanes(...)
#define log_softmax_by_lanes(...)
#define softmax_slope_by_lanes(...)
#define log_softmax_slope_by_lanes(...)
#define log_softmax_slope_from_output_by_lanes(...)
#define logsumexp_slope_by_lanes(...)
#endif
#endif
