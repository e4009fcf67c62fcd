/* x / (sqrt(v) + eps) over a span, as in the step of Adam and similar optimizers. An exact division
 * and square root take 36 cycles for a vector, more than the rest of the step. In float32 they are
 * therefore estimated and refined to within 1 or 2 ULP by one Newton iteration each. */
#ifndef RELUME_DIVIDE_BY_ROOT_H
#define RELUME_DIVIDE_BY_ROOT_H

#include "reductions.h"
#include <float.h>

#if defined(__AVX512F__)
#define LANE __m512
#define LOAD(x) _mm512_loadu_ps(x)
#define STORE(x, v) _mm512_storeu_ps(x, v)
#define SPLAT(x) _mm512_set1_ps(x)
#define MUL(a, b) _mm512_mul_ps(a, b)
#define ADD(a, b) _mm512_add_ps(a, b)
#define LESS_PRODUCT(a, b, c) _mm512_fnmadd_ps(a, b, c)
#define CLAMP(x, low, high) _mm512_min_ps(high, _mm512_max_ps(low, x))
#define INVERSE_ROOT(x) _mm512_rsqrt14_ps(x)
#define INVERSE(x) _mm512_rcp14_ps(x)
#elif defined(__AVX2__)
#define LANE __m256
#define LOAD(x) _mm256_loadu_ps(x)
#define STORE(x, v) _mm256_storeu_ps(x, v)
#define SPLAT(x) _mm256_set1_ps(x)
#define MUL(a, b) _mm256_mul_ps(a, b)
#define ADD(a, b) _mm256_add_ps(a, b)
#define LESS_PRODUCT(a, b, c) _mm256_fnmadd_ps(a, b, c)
#define CLAMP(x, low, high) _mm256_min_ps(high, _mm256_max_ps(low, x))
#define INVERSE_ROOT(x) _mm256_rsqrt_ps(x)
#define INVERSE(x) _mm256_rcp_ps(x)
#endif

#if defined(LANE)
/* v is clamped to the normal floats, whose roots can be estimated. NaN stays NaN. */
RELUME_INLINE LANE over_root(LANE x, LANE v, LANE eps)
{
    const LANE half = SPLAT(0.5f), one = SPLAT(1.0f), two = SPLAT(2.0f);
    const LANE inside = CLAMP(v, SPLAT(FLT_MIN), SPLAT(FLT_MAX)), r = INVERSE_ROOT(inside);
    const LANE root = MUL(inside, r);
    const LANE error = LESS_PRODUCT(root, r, one);              /* 1 - v r^2 */
    const LANE below = ADD(MUL(MUL(root, half), error), ADD(root, eps));
    const LANE inverse = INVERSE(below);
    return MUL(x, MUL(inverse, LESS_PRODUCT(below, inverse, two)));
}
static void over_root_float(const float *x, const float *v, float eps, ptrdiff_t n, float *out)
{
    enum { WIDTH = sizeof(LANE) / sizeof(float) };
    const LANE added = SPLAT(eps);
    float x_tail[LANES], v_tail[LANES];
    ptrdiff_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) STORE(out + i, over_root(LOAD(x + i), LOAD(v + i), added));
    if (i < n) {
        pad_float(x + i, n - i, x_tail);
        pad_float(v + i, n - i, v_tail);
        STORE(x_tail, over_root(LOAD(x_tail), LOAD(v_tail), added));
        memcpy(out + i, x_tail, (size_t)(n - i) * sizeof *out);
    }
}
#undef LANE
#undef LOAD
#undef STORE
#undef SPLAT
#undef MUL
#undef ADD
#undef LESS_PRODUCT
#undef CLAMP
#undef INVERSE_ROOT
#undef INVERSE
#else
static void over_root_float(const float *x, const float *v, float eps, ptrdiff_t n, float *out)
{
    for (ptrdiff_t i = 0; i < n; i++) out[i] = x[i] / (sqrtf(v[i]) + eps);
}
#endif

static void over_root_double(const double *x, const double *v, double eps, ptrdiff_t n,
                             double *out)
{
    for (ptrdiff_t i = 0; i < n; i++) out[i] = x[i] / (sqrt(v[i]) + eps);
}
#endif
