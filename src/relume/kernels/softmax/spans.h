/* The loops of softmax along rows and columns of float32, in the vectors of math/lanes.h: for rows of
 * hundreds of elements, a compiler's scalar loop over the last few takes as long as the vectors before it.
 * Here the rest is a masked vector. The operations and their order are those of the loops in columns.pxi
 * and rows.pxi, which other dtypes and builds use.
 * `across` tells that a parameter is one number a column, else one for all. */
#ifndef RELUME_SOFTMAX_SPANS_H
#define RELUME_SOFTMAX_SPANS_H

#include "math/lanes.h"
#include "math/reductions.h"

#if RELUME_LANES
#if defined(__AVX512F__) && defined(__AVX512DQ__)
RELUME_INLINE Lanes keep_first(Lanes x, ptrdiff_t n)
{
    return _mm512_maskz_mov_ps((__mmask16)((1u << n) - 1), x);
}
RELUME_INLINE Lanes where_equal(Lanes x, Lanes y, Lanes value)              /* else 0 */
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, y, _CMP_EQ_OQ), value);
}
RELUME_INLINE Lanes without(Lanes x, Lanes one, ptrdiff_t *count)
{
    const __mmask16 others = _mm512_cmp_ps_mask(x, one, _CMP_NEQ_UQ);
    *count += __builtin_popcount((uint16_t)~others);
    return _mm512_maskz_mov_ps(others, x);
}
RELUME_INLINE Lanes where_negative(Lanes x, Lanes yes, Lanes no)            /* by the sign bit */
{
    return _mm512_mask_blend_ps(_mm512_movepi32_mask(BITS(x)), no, yes);
}
RELUME_INLINE float sum_of(Lanes lane) { return sum_of_lanes_float((vector_float *)&lane); }
#else
RELUME_INLINE Lanes keep_first(Lanes x, ptrdiff_t n)
{
    return (Lanes){{_mm256_and_ps(x.half[0], _mm256_castsi256_ps(first_lanes(n))),
                    _mm256_and_ps(x.half[1], _mm256_castsi256_ps(first_lanes(n - 8)))}};
}
LANEWISE(where_equal, (Lanes x, Lanes y, Lanes value),
         _mm256_and_ps(_mm256_cmp_ps(OF(x), OF(y), _CMP_EQ_OQ), OF(value)))
RELUME_INLINE Lanes without(Lanes x, Lanes one, ptrdiff_t *count)
{
    for (int k = 0; k < 2; k++) {
        const __m256 same = _mm256_cmp_ps(x.half[k], one.half[k], _CMP_EQ_OQ);
        *count += __builtin_popcount((unsigned)_mm256_movemask_ps(same));
        x.half[k] = _mm256_andnot_ps(same, x.half[k]);
    }
    return x;
}
LANEWISE(where_negative, (Lanes x, Lanes yes, Lanes no),
         _mm256_blendv_ps(OF(no), OF(yes), OF(x)))
RELUME_INLINE float sum_of(Lanes lane) { return sum_of_lanes_float((vector_float *)lane.half); }
#endif

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
RELUME_INLINE Lanes each(const float *p, int across, ptrdiff_t i, ptrdiff_t count)
{
    return across ? load_part(p + i, count) : all(*p);
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
        sum = plus(sum, (count) == N_LANES ? term : keep_first(term, count));                    \
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
#define PART(count)                                                                              \
    do {                                                                                         \
        const Lanes term = exp_term_lanes(load_part(x + i, count), m, exact);                    \
        const Lanes used = (count) == N_LANES ? term : keep_first(term, count);                  \
        sum = plus(sum, without(used, scale_of_lanes(), ones));                                  \
    } while (0)
    OVER_PARTS(n, PART);
#undef PART
    return sum_of(sum);
}

/* -- across columns: a term of each, which `lane` gets if `first`, else is increased by -- */
RELUME_INLINE void maxima_across_by_lanes(const float *x, float *max, ptrdiff_t n)
{
#define PART(count)                                                                              \
    store_part(max + i, larger(load_part(x + i, count), load_part(max + i, count)), count)
    OVER_PARTS(n, PART);
#undef PART
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
RELUME_INLINE void products_across_by_lanes(const float *x, const float *y, float *lane, int first,
                                            ptrdiff_t n)
{
#define PART(count)                                                                              \
    do {                                                                                         \
        const Lanes term = times(load_part(x + i, count), load_part(y + i, count));              \
        add_to_lane(lane + i, first ? plus(all(0), term) : term, first, count);                  \
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

/* -- the results: out may be x, g or y -- */
RELUME_INLINE void scaled_by_lanes(const float *x, const float *factor, int across, float *out,
                                   ptrdiff_t n)
{
#define PART(count)                                                                              \
    store_part(out + i, times(load_part(x + i, count), each(factor, across, i, count)), count)
    OVER_PARTS(n, PART);
#undef PART
}
RELUME_INLINE void log_softmax_by_lanes(const float *x, const float *max, const float *logarithm,
                                        int across, float *out, ptrdiff_t n)
{
#define PART(count)                                                                              \
    store_part(out + i, minus(minus(load_part(x + i, count), each(max, across, i, count)),       \
                              each(logarithm, across, i, count)), count)
    OVER_PARTS(n, PART);
#undef PART
}
RELUME_INLINE void softmax_slope_by_lanes(const float *g, const float *y, const float *mean, int across,
                                          float *out, ptrdiff_t n)
{
#define PART(count)                                                                              \
    store_part(out + i, times(minus(load_part(g + i, count), each(mean, across, i, count)),      \
                              load_part(y + i, count)), count)
    OVER_PARTS(n, PART);
#undef PART
}
RELUME_INLINE void log_softmax_slope_by_lanes(const float *g, const float *e, const float *factor,
                                              const float *sum, int across, float *out, ptrdiff_t n)
{
#define PART(count)                                                                              \
    do {                                                                                         \
        const Lanes p = times(load_part(e + i, count), each(factor, across, i, count));          \
        store_part(out + i, minus(load_part(g + i, count),                                       \
                                  product_of_lanes(each(sum, across, i, count), p)), count);     \
    } while (0)
    OVER_PARTS(n, PART);
#undef PART
}
RELUME_INLINE void log_softmax_slope_from_output_by_lanes(const float *g, const float *y,
                                                          const float *sum, int across, float *out,
                                                          ptrdiff_t n)
{
#define PART(count)                                                                              \
    do {                                                                                         \
        const Lanes p = exp_any_lanes(load_part(y + i, count));                                  \
        store_part(out + i, minus(load_part(g + i, count),                                       \
                                  product_of_lanes(each(sum, across, i, count), p)), count);     \
    } while (0)
    OVER_PARTS(n, PART);
#undef PART
}
RELUME_INLINE void logsumexp_slope_by_lanes(const float *g, const float *e, const float *factor,
                                            int across, float *out, ptrdiff_t n)
{
#define PART(count)                                                                              \
    store_part(out + i,                                                                          \
               product_of_lanes(each(g, across, i, count),                                       \
                                times(load_part(e + i, count), each(factor, across, i, count))), \
               count)
    OVER_PARTS(n, PART);
#undef PART
}

#else
/* Never called; the loops in Cython are. */
#define exp_terms_by_lanes(...)
#define sum_of_exps_by_lanes(...) 0
#define sum_of_other_exps_by_lanes(...) 0
#define maxima_across_by_lanes(...)
#define exp_terms_across_by_lanes(...)
#define products_across_by_lanes(...)
#define other_terms_across_by_lanes(...)
#define scaled_by_lanes(...)
#define log_softmax_by_lanes(...)
#define softmax_slope_by_lanes(...)
#define log_softmax_slope_by_lanes(...)
#define log_softmax_slope_from_output_by_lanes(...)
#define logsumexp_slope_by_lanes(...)
#endif
#endif
