/* The steps of Adam, NAdam, RMSprop and their variants over a span, each a step in one pass.
 *
 * The state is the root r of the second moment: r' = sqrt(keep2 r^2 + take2 g^2). Neither it nor the
 * first moment exceeds the largest gradient, so both are finite whenever the gradients are. Where
 * squares could leave the range of the dtype, all terms are scaled by a power of two beforehand,
 * which is exact. Every element is scaled for itself, so its bits do not depend on its neighbours.
 *
 * With AVX2 and AVX-512 the quotient is estimated in float32, and refined to within 2 ULP; the root
 * is exact. Its unit works beside the others: on a Zen 4, a step over 16,384 parameters takes 6.9 us
 * so, 9.4 us with a root that is estimated and refined without a bias, which would grow over the
 * steps that r remembers. */
#ifndef RELUME_ADAPTIVE_STEPS_H
#define RELUME_ADAPTIVE_STEPS_H

#include "math/reductions.h"
#include <float.h>

typedef struct {
    double keep1, take1;        /* first moment: m = keep1 m + take1 g */
    double keep2, take2;        /* second moment */
    double rate_m, rate_g;      /* p -= (rate_m m + rate_g g) / (r + eps) */
    double eps, momentum, decay, shrink;
    double fresh_m, fresh_r;    /* a first step: m = fresh_m g and r = fresh_r |g| */
} Adaptive;

#if defined(_MSC_VER) && !defined(__clang__)
#define RELUME_RESTRICT __restrict
#else
#define RELUME_RESTRICT restrict
#endif

enum { ADAM, AMSGRAD, NADAM, RMSPROP, CENTERED_RMSPROP };

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define NAMED(name) JOIN(name, floating)

/* -- float32 ------------------------------------------------------------------------------------- */
#define floating float
#define Bits uint32_t
#define HIGH 0x1p60f            /* from here on terms are multiplied by DOWN^2 */
#define LOW 0x1p-40f            /* up to here by UP^2 */
#define DOWN 0x1p-40f
#define UP 0x1p40f
#define MIN_EPS 0x1p-125        /* so that the reciprocal of eps is a normal number */
#define MAX_EPS 0x1p125
#if defined(__AVX512F__)
#define LANE __m512
#define MASK __mmask16
#define LOAD(x) _mm512_loadu_ps(x)
#define STORE(x, v) _mm512_storeu_ps(x, v)
#define SPLAT(x) _mm512_set1_ps((float)(x))
#define MUL(a, b) _mm512_mul_ps(a, b)
#define ADD(a, b) _mm512_add_ps(a, b)
#define SUB(a, b) _mm512_sub_ps(a, b)
#define LESS_PRODUCT(a, b, c) _mm512_fnmadd_ps(a, b, c)
#define MAX(a, b) _mm512_max_ps(a, b)
#define MIN(a, b) _mm512_min_ps(a, b)
#define ABS(a) _mm512_abs_ps(a)
#define MUL_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define LESS(a, b) _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ)
#define AND(a, b) ((MASK)((a) & (b)))
#define MAX_OF_BITS(a, b) _mm512_castsi512_ps(                                                    \
    _mm512_max_epu32(_mm512_castps_si512(a), _mm512_castps_si512(b)))
#define ANY_DIFFERS_BUT_ZERO(a, b) (_mm512_mask_test_epi32_mask(                                  \
    _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ), _mm512_castps_si512(a), _mm512_castps_si512(a)) != 0)
#define SELECT(mask, yes, no) _mm512_mask_blend_ps(mask, no, yes)
#define ROOT(x) _mm512_sqrt_ps(x)
#define INVERSE(x) _mm512_rcp14_ps(x)
#elif defined(__AVX2__)
#define LANE __m256
#define MASK __m256
#define LOAD(x) _mm256_loadu_ps(x)
#define STORE(x, v) _mm256_storeu_ps(x, v)
#define SPLAT(x) _mm256_set1_ps((float)(x))
#define MUL(a, b) _mm256_mul_ps(a, b)
#define ADD(a, b) _mm256_add_ps(a, b)
#define SUB(a, b) _mm256_sub_ps(a, b)
#define LESS_PRODUCT(a, b, c) _mm256_fnmadd_ps(a, b, c)
#define MAX(a, b) _mm256_max_ps(a, b)
#define MIN(a, b) _mm256_min_ps(a, b)
#define ABS(a) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a)
#define MUL_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define LESS(a, b) _mm256_cmp_ps(a, b, _CMP_LT_OQ)
#define AND(a, b) _mm256_and_ps(a, b)
#define MAX_OF_BITS(a, b) _mm256_castsi256_ps(                                                    \
    _mm256_max_epu32(_mm256_castps_si256(a), _mm256_castps_si256(b)))
#define ANY_DIFFERS_BUT_ZERO(a, b) (!_mm256_testz_si256(                                          \
    _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_NEQ_UQ)), _mm256_castps_si256(a)))
#define SELECT(mask, yes, no) _mm256_blendv_ps(no, yes, mask)
#define ROOT(x) _mm256_sqrt_ps(x)
#define INVERSE(x) _mm256_rcp_ps(x)
#endif
#include "steps_template.h"
#undef floating
#undef Bits
#undef HIGH
#undef LOW
#undef DOWN
#undef UP
#undef MIN_EPS
#undef MAX_EPS
#undef LANE
#undef MASK
#undef LOAD
#undef STORE
#undef SPLAT
#undef MUL
#undef ADD
#undef SUB
#undef LESS_PRODUCT
#undef MAX
#undef MIN
#undef ABS
#undef LESS
#undef AND
#undef MUL_ADD
#undef MAX_OF_BITS
#undef ANY_DIFFERS_BUT_ZERO
#undef SELECT
#undef INVERSE

/* -- float64, by plain C, which compilers vectorize -------------------------------------------- */
#define floating double
#define Bits uint64_t
#define HIGH 0x1p400
#define LOW 0x1p-400
#define DOWN 0x1p-300
#define UP 0x1p300
#define MIN_EPS 0x1p-1021
#define MAX_EPS 0x1p1021
#include "steps_template.h"
#undef floating
#undef Bits
#undef HIGH
#undef LOW
#undef DOWN
#undef UP
#undef MIN_EPS
#undef MAX_EPS
#endif
