/* Activations of float32 that are faster in intrinsics, for AVX2 and AVX-512. Other builds use the formulas
 * of elementary.pxi, gaussian.pxi and activations/.
 *   - tanh and the normal distribution are one polynomial for each of eight intervals. Its coefficients are
 *     looked up in registers (vpermps), which takes as long as a multiplication, so that no quotient is
 *     needed. No compiler finds that instruction in a loop over a table.
 *   - AVX2 computes two vectors side by side, so that a constant is loaded once for both. These loops have
 *     more constants than there are registers, and would wait for loads.
 * The operations and their order do not depend on the width, so both builds give the same bits, and the
 * rest of a span is computed as a vector with zeros. NaN passes through all of it: min and max return
 * their second operand if one is NaN. */
#ifndef RELUME_LANES_H
#define RELUME_LANES_H

#include "intrinsics.h"

#if defined(__AVX2__) && defined(__FMA__)
#define RELUME_LANES 1

/* Sixteen floats. In a LANEWISE definition, OF(x) is the vector of x, and CALL(f) is the intrinsic of the
 * vector's width. */
enum { N_LANES = 16 };
#if defined(__AVX512F__) && defined(__AVX512DQ__)
typedef __m512 Lanes;
#define OF(x) (x)
#define CALL(f) _mm512_##f
#define BITS(x) _mm512_castps_si512(x)
#define FLOATS(x) _mm512_castsi512_ps(x)
#define LANEWISE(name, parameters, expression)                                                   \
    RELUME_INLINE Lanes name parameters { return expression; }
RELUME_INLINE Lanes all(float x) { return _mm512_set1_ps(x); }
RELUME_INLINE Lanes load_lanes(const float *x) { return _mm512_loadu_ps(x); }
RELUME_INLINE void store_lanes(float *out, Lanes value) { _mm512_storeu_ps(out, value); }
RELUME_INLINE Lanes load_first(const float *x, ptrdiff_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), x);
}
RELUME_INLINE void store_first(float *out, Lanes value, ptrdiff_t n)
{
    _mm512_mask_storeu_ps(out, (__mmask16)((1u << n) - 1), value);
}
RELUME_INLINE Lanes picked(const float *row, Lanes sum)
{
    return _mm512_permutexvar_ps(_mm512_srli_epi32(BITS(sum), 22),
                                 _mm512_broadcast_f32x8(_mm256_loadu_ps(row)));
}
RELUME_INLINE Lanes product_of_lanes(Lanes g, Lanes slope)
{
    const __mmask16 kept = _mm512_cmp_ps_mask(slope, _mm512_setzero_ps(), _CMP_NEQ_UQ)
                           | _mm512_cmp_ps_mask(g, g, _CMP_UNORD_Q);
    return _mm512_maskz_mul_ps(kept, g, slope);
}
#else
typedef struct { __m256 half[2]; } Lanes;
#define OF(x) ((x).half[k])
#define CALL(f) _mm256_##f
#define BITS(x) _mm256_castps_si256(x)
#define FLOATS(x) _mm256_castsi256_ps(x)
#define LANEWISE(name, parameters, expression)                                                   \
    RELUME_INLINE Lanes name parameters                                                          \
    {                                                                                            \
        Lanes result;                                                                            \
        for (int k = 0; k < 2; k++) result.half[k] = expression;                                 \
        return result;                                                                           \
    }
RELUME_INLINE Lanes all(float x) { return (Lanes){{_mm256_set1_ps(x), _mm256_set1_ps(x)}}; }
RELUME_INLINE Lanes load_lanes(const float *x)
{
    return (Lanes){{_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8)}};
}
RELUME_INLINE void store_lanes(float *out, Lanes value)
{
    _mm256_storeu_ps(out, value.half[0]);
    _mm256_storeu_ps(out + 8, value.half[1]);
}
RELUME_INLINE __m256i first_lanes(ptrdiff_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
RELUME_INLINE Lanes load_first(const float *x, ptrdiff_t n)
{
    return (Lanes){{_mm256_maskload_ps(x, first_lanes(n)),
                    n > 8 ? _mm256_maskload_ps(x + 8, first_lanes(n - 8)) : _mm256_setzero_ps()}};
}
RELUME_INLINE void store_first(float *out, Lanes value, ptrdiff_t n)
{
    _mm256_maskstore_ps(out, first_lanes(n), value.half[0]);
    if (n > 8) _mm256_maskstore_ps(out + 8, first_lanes(n - 8), value.half[1]);
}
LANEWISE(picked, (const float *row, Lanes sum),
         _mm256_permutevar8x32_ps(_mm256_loadu_ps(row), _mm256_srli_epi32(BITS(OF(sum)), 22)))
LANEWISE(product_of_lanes, (Lanes g, Lanes slope),
         _mm256_and_ps(_mm256_or_ps(_mm256_cmp_ps(OF(slope), _mm256_setzero_ps(), _CMP_NEQ_UQ),
                                    _mm256_cmp_ps(OF(g), OF(g), _CMP_UNORD_Q)),
                       _mm256_mul_ps(OF(g), OF(slope))))
#endif
/* picked: the element of an 8-element row that is named by the exponent's last two bits and the
 * mantissa's first. product_of_lanes is product of elementary.pxi, for which NaN in slope gives NaN too. */

LANEWISE(plus, (Lanes x, Lanes y), CALL(add_ps)(OF(x), OF(y)))
LANEWISE(minus, (Lanes x, Lanes y), CALL(sub_ps)(OF(x), OF(y)))
LANEWISE(times, (Lanes x, Lanes y), CALL(mul_ps)(OF(x), OF(y)))
LANEWISE(over, (Lanes x, Lanes y), CALL(div_ps)(OF(x), OF(y)))
LANEWISE(fused, (Lanes x, Lanes y, Lanes z), CALL(fmadd_ps)(OF(x), OF(y), OF(z)))
LANEWISE(fused_minus, (Lanes x, Lanes y, Lanes z), CALL(fmsub_ps)(OF(x), OF(y), OF(z)))
LANEWISE(minus_product, (Lanes z, Lanes x, Lanes y), CALL(fnmadd_ps)(OF(x), OF(y), OF(z)))
LANEWISE(smaller, (Lanes x, Lanes y), CALL(min_ps)(OF(x), OF(y)))
LANEWISE(larger, (Lanes x, Lanes y), CALL(max_ps)(OF(x), OF(y)))
LANEWISE(magnitude, (Lanes x), CALL(andnot_ps)(CALL(set1_ps)(-0.0f), OF(x)))
LANEWISE(with_sign, (Lanes x, Lanes y),
         CALL(or_ps)(OF(x), CALL(and_ps)(OF(y), CALL(set1_ps)(-0.0f))))
LANEWISE(flipped, (Lanes x, Lanes y),
         CALL(xor_ps)(OF(x), CALL(and_ps)(OF(y), CALL(set1_ps)(-0.0f))))
LANEWISE(negated, (Lanes x), CALL(xor_ps)(OF(x), CALL(set1_ps)(-0.0f)))
LANEWISE(step_of, (Lanes x),
         CALL(andnot_ps)(FLOATS(CALL(srai_epi32)(BITS(OF(x)), 31)), CALL(set1_ps)(1)))
LANEWISE(as_power, (Lanes shifted), FLOATS(CALL(slli_epi32)(BITS(OF(shifted)), 23)))

/* Each table has a row of centers, then the coefficients of the seventh to the zeroth power of the
 * distance to the center. The intervals end where 1 + rate a is 1.5, 2, 3, 4, 6, 8 and 12.
 * tools/polynomials.py fits them. */
typedef const float Table8[9][8];

static Table8 TANH = {
    {0.0f, 0.477741688f, 0.962197244f, 1.59755862f,
     2.56219721f, 3.8363378f, 5.76177025f, 8.27390671f},
    {-0.038892002f, 0.0264276956f, 0.00542719524f, -0.00312591863f,
     7.29110355e-5f, 2.29098314e-5f, 6.0278371e-7f, 3.93528556e-9f},
    {-0.0086278339f, -0.0541740018f, 0.0163729431f, 0.0048792843f,
     -0.000657302814f, -8.46081368e-5f, -2.21212979e-6f, -1.43166967e-8f},
    {0.135411881f, -0.020197074f, -0.050563846f, 0.000751952275f,
     0.00260155162f, 0.000244399362f, 5.16657585e-6f, 3.40542843e-8f},
    {-0.000244428491f, 0.167311394f, 0.0369679284f, -0.0253849693f,
     -0.00720681081f, -0.000614774721f, -1.27109168e-5f, -8.40821097e-8f},
    {-0.333319954f, -0.108986661f, 0.0987337519f, 0.077940826f,
     0.0151254151f, 0.00123637741f, 2.64207939e-5f, 1.73738393e-7f},
    {-2.70976165e-7f, -0.356648317f, -0.331338512f, -0.139305738f,
     -0.0232398187f, -0.00185811353f, -3.97351839e-5f, -2.61097233e-7f},
    {1.0f, 0.802479146f, 0.444594451f, 0.151205881f,
     0.0235185906f, 0.00185975311f, 3.95745338e-5f, 2.60262182e-7f},
    {0.0f, 0.444433182f, 0.745255357f, 0.921300231f,
     0.988170736f, 0.999069692f, 0.99998022f, 0.99999987f},
};
static Table8 TANH_GAP = {                              /* a - tanh(a) */
    {0.0f, 0.20973286f, 0.42135781f, 1.05073953f,
     1.68707919f, 2.52820778f, 3.79301381f, 7.06969595f},
    {0.0501436138f, -0.000587907301f, -0.0288155552f, -0.000147706214f,
     0.00247545652f, -7.65429083e-5f, -2.57929958e-5f, -7.00667189e-8f},
    {0.000924195407f, 0.0724001663f, 0.0653813488f, -0.0188506694f,
     -0.00327130398f, 0.000691006879f, 9.54695906e-5f, 2.86777447e-7f},
    {-0.133410121f, -0.0900069127f, 0.00031779091f, 0.0404647761f,
     -0.00278614795f, -0.00273816199f, -0.000265439571f, -2.48951109e-7f},
    {2.10699835e-6f, -0.123311873f, -0.170382182f, -0.0167160862f,
     0.0245839833f, 0.00765464895f, 0.000667530724f, 3.15851845e-7f},
    {0.333333324f, 0.278178416f, 0.14717966f, -0.108086508f,
     -0.068975735f, -0.0161353316f, -0.00134797654f, -2.10200439e-6f},
    {0.0f, 0.197878394f, 0.334992711f, 0.303710126f,
     0.119583216f, 0.0248336336f, 0.00202637509f, 3.69349487e-6f},
    {0.0f, 0.0427293479f, 0.158462693f, 0.611670561f,
     0.871934198f, 0.974847991f, 0.997972093f, 0.999997143f},
    {0.0f, 0.00302207144f, 0.023284113f, 0.268645823f,
     0.753305025f, 1.54086387f, 2.79402827f, 6.06969725f},
};
static Table8 NORMAL_BUMP = {                           /* a exp(a^2 / 2) Phi(-a) */
    {0.0f, 0.7388888f, 1.48070729f, 2.45860887f,
     3.93583703f, 5.90811968f, 8.8641634f, 12.7626991f},
    {0.00570521996f, 0.001387105f, 0.000236042463f, 2.8903132e-5f,
     2.22542539e-6f, 1.3666083e-7f, 6.28485448e-9f, 2.8779307e-10f},
    {-0.0237635936f, -0.00403269952f, -0.000775383459f, -0.00011286444f,
     -1.08671795e-5f, -8.56592516e-7f, -5.38902755e-8f, -3.39466063e-9f},
    {0.0616024262f, 0.0107338243f, 0.00229314645f, 0.000400164885f,
     4.61974159e-5f, 4.9126421e-6f, 4.01173253e-7f, 3.6814415e-8f},
    {-0.132830942f, -0.0265013481f, -0.0065438819f, -0.00136669259f,
     -0.000201432887f, -2.8262215e-5f, -3.20429763e-6f, -4.07547398e-7f},
    {0.249987927f, 0.058604813f, 0.0169384658f, 0.00429006015f,
     0.000821008357f, 0.000153364567f, 2.44290888e-5f, 4.31279098e-6f},
    {-0.398941912f, -0.111987039f, -0.0384571051f, -0.0120123492f,
     -0.00302941811f, -0.000764434312f, -0.000172062055f, -4.25061464e-5f},
    {0.499999998f, 0.172373571f, 0.071838892f, 0.0282691915f,
     0.00959059023f, 0.00331762158f, 0.00106558482f, 0.000370284974f},
    {0.0f, 0.223272815f, 0.307299228f, 0.352178514f,
     0.377039465f, 0.388377398f, 0.39404747f, 0.396536857f},
};
static Table8 NORMAL_BUMP_SLOPE = {                     /* exp(a^2 / 2) (Phi(-a) - a phi(a)) */
    {0.0f, 0.751791525f, 1.47509205f, 1.96532452f,
     2.95439553f, 4.92264986f, 6.89212465f, 10.8291826f},
    {-0.00198735741f, -0.000571923402f, -0.000110621077f, -1.59294234e-5f,
     -1.51930103e-6f, -1.21121887e-7f, -7.53724254e-9f, -4.78454416e-10f},
    {0.00913947102f, 0.00175570858f, 0.000400839133f, 0.000123444834f,
     1.86747816e-5f, 1.68738307e-6f, 1.76984066e-7f, 1.28801385e-8f},
    {-0.0260962691f, -0.00516279671f, -0.00132232473f, -0.000557377993f,
     -0.00011957847f, -1.31615841e-5f, -2.12053608e-6f, -1.93412428e-7f},
    {0.0623886482f, 0.0143131476f, 0.00426938815f, 0.00206333464f,
     0.000572172888f, 8.26494562e-5f, 1.8700451e-5f, 2.3461648e-6f},
    {-0.1329671f, -0.0365816142f, -0.0129144933f, -0.00698241787f,
     -0.00240793247f, -0.000481085412f, -0.000145554162f, -2.67113523e-5f},
    {0.24999917f, 0.0847563735f, 0.0361362992f, 0.0220242987f,
     0.00947788687f, 0.00270396386f, 0.00108476715f, 0.000299008793f},
    {-0.797884541f, -0.572406175f, -0.490989942f, -0.463183116f,
     -0.434192336f, -0.413697856f, -0.406859224f, -0.402260635f},
    {0.5f, 0.0f, -0.380425424f, -0.613747657f,
     -1.05553127f, -1.88580847f, -2.69282484f, -4.28368568f},
};
static const float NORMAL_BUMP_SLOPE_LOW[8] = {0, -1.21144494e-8f};   /* of the root in two parts */

/* The table's function of a >= 0. If 1 + rate a may be 16 or more, `wide` extends the last interval. `low`
 * is the second part of each center, or NULL. */
RELUME_INLINE Lanes by_table(Table8 table, float rate, int wide, const float *low, Lanes a)
{
    Lanes sum = fused(a, all(2 * rate), all(2));
    if (wide) sum = smaller(all(30), sum);
    Lanes t = minus(a, picked(table[0], sum));
    if (low) t = minus(t, picked(low, sum));
    Lanes value = picked(table[1], sum);
    for (int k = 2; k < 9; k++) value = fused(value, t, picked(table[k], sum));
    return value;
}

RELUME_INLINE Lanes tanh_of_magnitude(Lanes a)
{
    return by_table(TANH, 1.5625f, 0, 0, smaller(all(9.5f), a));
}
RELUME_INLINE Lanes tanh_lanes(Lanes x) { return with_sign(tanh_of_magnitude(magnitude(x)), x); }
RELUME_INLINE Lanes tanhshrink_lanes(Lanes x)
{
    const Lanes a = magnitude(x), near = smaller(all(9.5f), a);
    return with_sign(plus(minus(a, near), by_table(TANH_GAP, 2.375f, 1, 0, near)), x);
}
RELUME_INLINE Lanes tanhshrink_slope_lanes(Lanes g, Lanes x)
{
    const Lanes t = tanh_of_magnitude(magnitude(x));
    return product_of_lanes(g, times(t, t));
}

/* exp(r) - 1, and parts p and q with p (1 + q) = exp(u) or exp(u + low), scaled, as in elementary.pxi. */
RELUME_INLINE Lanes expm1_of_reduced(Lanes r)
{
    Lanes c = fused(r, all(0.00139261836f), all(0.00836317905f));
    c = fused(c, r, all(0.0416665546f));
    c = fused(c, r, all(0.16666577f));
    c = fused(c, r, all(0.5f));
    return fused(c, times(r, r), r);
}
RELUME_INLINE Lanes exp_parts(Lanes u, float bias, Lanes *q)
{
    const Lanes shift = all(12583039.0f + bias);
    const Lanes shifted = fused(u, all(1.4426950408889634f), shift), n = minus(shifted, shift);
    *q = expm1_of_reduced(fused(n, all(2.12194440e-4f), fused(n, all(-0.693359375f), u)));
    return as_power(shifted);
}
RELUME_INLINE Lanes exp_parts_two(Lanes u, Lanes low, Lanes *q)
{
    const Lanes shift = all(12583039.0f + 64);
    const Lanes shifted = fused(u, all(1.4426950408889634f), shift), n = minus(shifted, shift);
    const Lanes first = fused(n, all(-0.693359375f), u), second = fused(n, all(2.12194440e-4f), low);
    *q = expm1_of_reduced(plus(first, second));
    return as_power(shifted);
}
RELUME_INLINE Lanes exp_half_square(Lanes a, Lanes *q)
{
    const Lanes half = times(all(-0.5f), a), u = times(half, a);
    return exp_parts_two(u, fused_minus(half, a, u), q);
}
/* Signs and scale of self_gated.pxi: max(x, 0) minus the bump, and the derivative by its slope. */
RELUME_INLINE Lanes unscaled_from(Lanes x, Lanes scaled)
{
    return minus_product(x, scaled, all(5.421010862427522e-20f));
}
RELUME_INLINE Lanes plus_unscaled_lanes(float x, Lanes scaled)
{
    return fused(scaled, all(5.421010862427522e-20f), all(x));
}
RELUME_INLINE Lanes less_bump(Lanes x, Lanes bump) { return unscaled_from(larger(x, all(0)), bump); }
RELUME_INLINE Lanes slope_by_bump(Lanes x, Lanes slope)
{
    return unscaled_from(step_of(x), flipped(slope, x));
}

/* gelu and its derivative, as in self_gated.pxi; p and q are those of a, which is |x| up to the bound from
 * which on the exponential rounds to 0. */
RELUME_INLINE Lanes clamped_for_gelu(Lanes x) { return smaller(all(14.7f), magnitude(x)); }
RELUME_INLINE Lanes gelu_of_parts(Lanes x, Lanes a, Lanes p, Lanes q)
{
    const Lanes bump = times(p, by_table(NORMAL_BUMP, 1.015625f, 0, 0, a));
    return less_bump(x, fused(bump, q, bump));
}
RELUME_INLINE Lanes gelu_slope_of_parts(Lanes x, Lanes a, Lanes p, Lanes q)
{
    const Lanes slope = times(p, by_table(NORMAL_BUMP_SLOPE, 1.015625f, 0, NORMAL_BUMP_SLOPE_LOW, a));
    return slope_by_bump(x, fused(slope, q, slope));
}
RELUME_INLINE Lanes gelu_lanes(Lanes x)
{
    const Lanes a = clamped_for_gelu(x);
    Lanes q, p = exp_half_square(a, &q);
    return gelu_of_parts(x, a, p, q);
}
RELUME_INLINE Lanes gelu_slope_lanes(Lanes g, Lanes x)
{
    const Lanes a = clamped_for_gelu(x);
    Lanes q, p = exp_half_square(a, &q);
    return product_of_lanes(g, gelu_slope_of_parts(x, a, p, q));
}
RELUME_INLINE Lanes geglu_lanes(Lanes a, Lanes b) { return product_of_lanes(b, gelu_lanes(a)); }

/* sigmoid_bump and sigmoid_bump_slope of self_gated.pxi. */
RELUME_INLINE Lanes sigmoid_bump_of(Lanes a, Lanes e)
{
    return times(a, over(e, plus_unscaled_lanes(1, e)));
}
RELUME_INLINE Lanes sigmoid_bump_slope_of(Lanes p, Lanes q, Lanes sum)
{
    const Lanes scaled = fused(p, q, p), e = times(scaled, all(5.421010862427522e-20f));
    return over(times(scaled, sum), fused(e, plus(e, all(2)), all(1)));
}

/* sigmoid: scale / (scale + scale exp(-x)), see sigmoid_reduced in elementary.pxi. */
RELUME_INLINE Lanes sigmoid_lanes(Lanes x)
{
    const Lanes scale = all(5.421010862427522e-20f);
    Lanes q, p = exp_parts(smaller(all(110), larger(all(-40), negated(x))), -64, &q);
    const Lanes sum = plus(scale, p);
    return over(scale, plus(sum, fused(p, q, minus(scale, minus(sum, p)))));
}

/* glu and its two derivatives, as in gated.pxi. */
RELUME_INLINE Lanes glu_lanes(Lanes a, Lanes b) { return product_of_lanes(a, sigmoid_lanes(b)); }
RELUME_INLINE void glu_backward_lanes(Lanes g, Lanes a, Lanes b, Lanes *grad_a, Lanes *grad_b)
{
    Lanes q, p = exp_parts(negated(smaller(all(110), magnitude(b))), 64, &q);
    const Lanes e = fused(p, q, p), w = over(all(1), plus_unscaled_lanes(1, e)), part = times(e, w);
    const Lanes slope = times(times(part, w), all(5.421010862427522e-20f));
    *grad_a = product_of_lanes(g, slope_by_bump(b, part));
    *grad_b = product_of_lanes(g, product_of_lanes(a, slope));
}

/* silu and its derivative. */
RELUME_INLINE Lanes silu_parts(Lanes x, Lanes *a, Lanes *q)
{
    *a = smaller(all(110), magnitude(x));
    return exp_parts(negated(*a), 64, q);
}
RELUME_INLINE Lanes silu_sum_of(Lanes p, Lanes q, Lanes a)                 /* 1 - a + exp(-a) */
{
    return fused(times(p, all(5.421010862427522e-20f)), q, minus(plus_unscaled_lanes(1, p), a));
}
RELUME_INLINE Lanes silu_lanes(Lanes x)
{
    Lanes a, q, p = silu_parts(x, &a, &q);
    return less_bump(x, sigmoid_bump_of(a, fused(p, q, p)));
}
RELUME_INLINE Lanes silu_slope_lanes(Lanes g, Lanes x)
{
    Lanes a, q, p = silu_parts(x, &a, &q);
    const Lanes slope = sigmoid_bump_slope_of(p, q, silu_sum_of(p, q, a));
    return product_of_lanes(g, slope_by_bump(x, slope));
}
RELUME_INLINE Lanes swiglu_lanes(Lanes a, Lanes b) { return product_of_lanes(b, silu_lanes(a)); }

/* quick_gelu and its derivative. */
RELUME_INLINE Lanes quick_gelu_parts(Lanes a, Lanes *u, Lanes *low, Lanes *q)
{
    const Lanes rate = all(1.702f);
    *u = times(rate, a);
    *low = fused_minus(rate, a, *u);
    return exp_parts_two(negated(*u), negated(*low), q);
}
RELUME_INLINE Lanes quick_gelu_lanes(Lanes x)
{
    const Lanes a = smaller(all(65), magnitude(x));
    Lanes u, low, q, p = quick_gelu_parts(a, &u, &low, &q);
    return less_bump(x, sigmoid_bump_of(a, fused(p, q, p)));
}
RELUME_INLINE Lanes quick_gelu_slope_lanes(Lanes g, Lanes x)
{
    Lanes u, low, q, p = quick_gelu_parts(smaller(all(65), magnitude(x)), &u, &low, &q);
    const Lanes small = fused(times(p, all(5.421010862427522e-20f)), q, negated(low));
    const Lanes sum = plus(minus(plus_unscaled_lanes(1, p), u), small);
    return product_of_lanes(g, slope_by_bump(x, sigmoid_bump_slope_of(p, q, sum)));
}

/* gelu_tanh and its derivative: u + low = a (linear + cubic a^2), see gelu_tanh_argument. */
RELUME_INLINE Lanes gelu_tanh_parts(Lanes a, Lanes *u, Lanes *low, Lanes *q)
{
    const float linear = 1.5957691216057308f, first = 1.59375f, cubic = linear * 0.044715f;
    const float cubic_low = (float)((double)linear * 0.044715f - cubic);
    const Lanes square = times(a, a), rate = fused(all(cubic), square, all(first));
    const Lanes square_low = fused_minus(a, a, square);
    const Lanes error = fused_minus(all(cubic), square, minus(rate, all(first)));
    Lanes rate_low = fused(all(cubic), square_low, all(linear - first));
    rate_low = plus(fused(all(cubic_low), square, rate_low), error);
    *u = times(a, rate);
    *low = fused(a, rate_low, fused_minus(a, rate, *u));
    return exp_parts_two(negated(*u), negated(*low), q);
}
RELUME_INLINE Lanes gelu_tanh_lanes(Lanes x)
{
    const Lanes a = smaller(all(11), magnitude(x));
    Lanes u, low, q, p = gelu_tanh_parts(a, &u, &low, &q);
    return less_bump(x, sigmoid_bump_of(a, fused(p, q, p)));
}
RELUME_INLINE Lanes gelu_tanh_slope_lanes(Lanes g, Lanes x)
{
    const Lanes a = smaller(all(11), magnitude(x));
    Lanes u, low, q, p = gelu_tanh_parts(a, &u, &low, &q);
    const float two_cubic = 2 * (1.5957691216057308f * 0.044715f);
    Lanes small = fused(times(p, all(5.421010862427522e-20f)), q, negated(low));
    small = minus_product(small, a, times(all(two_cubic), times(a, a)));
    const Lanes sum = plus(minus(plus_unscaled_lanes(1, p), u), small);
    return product_of_lanes(g, slope_by_bump(x, sigmoid_bump_slope_of(p, q, sum)));
}

/* (1 - exp(y)) g for y <= 0, the gradient of logsigmoid by its output. */
RELUME_INLINE Lanes logsigmoid_from_output_lanes(Lanes g, Lanes y)
{
    const Lanes shift = all(12583039.0f), x = larger(all(-40), y);
    const Lanes shifted = fused(x, all(1.4426950408889634f), shift), n = minus(shifted, shift);
    const Lanes q = expm1_of_reduced(fused(n, all(-0.69314718055994531f), x)), p = as_power(shifted);
    return product_of_lanes(g, minus_product(minus(all(1), p), p, q));
}

RELUME_INLINE void geglu_backward_lanes(Lanes g, Lanes a, Lanes b, Lanes *grad_a, Lanes *grad_b)
{
    const Lanes near = clamped_for_gelu(a);
    Lanes q, p = exp_half_square(near, &q);
    *grad_a = product_of_lanes(g, product_of_lanes(b, gelu_slope_of_parts(a, near, p, q)));
    *grad_b = product_of_lanes(g, gelu_of_parts(a, near, p, q));
}
RELUME_INLINE void swiglu_backward_lanes(Lanes g, Lanes a, Lanes b, Lanes *grad_a, Lanes *grad_b)
{
    Lanes size, q, p = silu_parts(a, &size, &q);
    const Lanes slope = slope_by_bump(a, sigmoid_bump_slope_of(p, q, silu_sum_of(p, q, size)));
    *grad_a = product_of_lanes(g, product_of_lanes(b, slope));
    *grad_b = product_of_lanes(g, less_bump(a, sigmoid_bump_of(size, fused(p, q, p))));
}

#define SPAN_OF_ONE(name, function)                                                              \
    static void name(const float *x, float *out, ptrdiff_t n)                                    \
    {                                                                                            \
        ptrdiff_t i = 0;                                                                         \
        for (; i <= n - N_LANES; i += N_LANES)                                                   \
            store_lanes(out + i, function(load_lanes(x + i)));                                   \
        if (i < n) store_first(out + i, function(load_first(x + i, n - i)), n - i);              \
    }
#define SPAN_OF_TWO(name, function)                                                              \
    static void name(const float *x, const float *y, float *out, ptrdiff_t n)                    \
    {                                                                                            \
        ptrdiff_t i = 0;                                                                         \
        for (; i <= n - N_LANES; i += N_LANES)                                                   \
            store_lanes(out + i, function(load_lanes(x + i), load_lanes(y + i)));                \
        if (i < n)                                                                               \
            store_first(out + i, function(load_first(x + i, n - i), load_first(y + i, n - i)), n - i); \
    }
SPAN_OF_ONE(tanh_by_lanes, tanh_lanes)
SPAN_OF_ONE(tanhshrink_by_lanes, tanhshrink_lanes)
SPAN_OF_TWO(tanhshrink_slope_by_lanes, tanhshrink_slope_lanes)
SPAN_OF_ONE(gelu_by_lanes, gelu_lanes)
SPAN_OF_TWO(gelu_slope_by_lanes, gelu_slope_lanes)
SPAN_OF_TWO(geglu_by_lanes, geglu_lanes)
SPAN_OF_ONE(gelu_tanh_by_lanes, gelu_tanh_lanes)
SPAN_OF_TWO(gelu_tanh_slope_by_lanes, gelu_tanh_slope_lanes)
SPAN_OF_TWO(logsigmoid_from_output_by_lanes, logsigmoid_from_output_lanes)

#define SPAN_OF_THREE_TO_TWO(name, function)                                                      \
    static void name(const float *x, const float *y, const float *z, float *out1, float *out2,   \
                     ptrdiff_t n)                                                                \
    {                                                                                            \
        ptrdiff_t i = 0;                                                                         \
        Lanes first, second;                                                                     \
        for (; i <= n - N_LANES; i += N_LANES) {                                                 \
            function(load_lanes(x + i), load_lanes(y + i), load_lanes(z + i), &first, &second);  \
            store_lanes(out1 + i, first);                                                        \
            store_lanes(out2 + i, second);                                                       \
        }                                                                                        \
        if (i < n) {                                                                             \
            n -= i;                                                                              \
            function(load_first(x + i, n), load_first(y + i, n), load_first(z + i, n), &first,   \
                     &second);                                                                   \
            store_first(out1 + i, first, n);                                                     \
            store_first(out2 + i, second, n);                                                    \
        }                                                                                        \
    }
SPAN_OF_ONE(sigmoid_by_lanes, sigmoid_lanes)
SPAN_OF_ONE(silu_by_lanes, silu_lanes)
SPAN_OF_TWO(silu_slope_by_lanes, silu_slope_lanes)
SPAN_OF_ONE(quick_gelu_by_lanes, quick_gelu_lanes)
SPAN_OF_TWO(quick_gelu_slope_by_lanes, quick_gelu_slope_lanes)
SPAN_OF_TWO(swiglu_by_lanes, swiglu_lanes)
SPAN_OF_TWO(glu_by_lanes, glu_lanes)
SPAN_OF_THREE_TO_TWO(glu_backward_by_lanes, glu_backward_lanes)
SPAN_OF_THREE_TO_TWO(geglu_backward_by_lanes, geglu_backward_lanes)
SPAN_OF_THREE_TO_TWO(swiglu_backward_by_lanes, swiglu_backward_lanes)

/* squareplus and its derivative, as in rational.pxi, but a square root is an estimate of 14 bits and a step
 * of Newton's, in half the time of the instruction for it. For s from 2^-100 to 2^127, root_of is 0.6 ULP
 * from the root. What is added to a scaled b is larger than in rational.pxi, so that no residue of Newton's
 * is subnormal. AVX2 has no such estimate. */
#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define RELUME_WIDE_LANES 1
RELUME_INLINE Lanes root_of(Lanes s)
{
    const Lanes estimate = _mm512_rsqrt14_ps(s), root = times(s, estimate);
    return fused(minus_product(s, root, root), times(all(0.5f), estimate), root);
}
typedef struct { Lanes scale, half, under; } Scaled;
RELUME_INLINE Scaled scaled_from(Lanes b)
{
    const __m512i half = _mm512_sub_epi32(_mm512_set1_epi32(0x59000000), _mm512_srli_epi32(BITS(b), 1));
    const Lanes scale = FLOATS(_mm512_and_si512(half, _mm512_set1_epi32(0x7f800000)));
    const Lanes once = times(b, scale);
    return (Scaled){scale, times(all(0.5f), once), plus(times(once, scale), all(7.888609052210118e-31f))};
}
RELUME_INLINE Lanes squareplus_lanes(Lanes x, Scaled b)
{
    const Lanes a = times(magnitude(x), b.scale), near = smaller(a, all(9.2233720368547758e18f));
    const Lanes root = root_of(fused(near, near, b.under));
    return plus(over(b.half, plus(larger(root, a), a)), larger(all(0), x));
}
RELUME_INLINE Lanes squareplus_slope_lanes(Lanes g, Lanes x, Scaled b)
{
    const Lanes a = times(magnitude(x), b.scale), near = smaller(all(9.2233720368547758e18f), a);
    const Lanes square = fused(near, near, b.under);
    const Lanes below = over(times(b.half, b.scale), fused(near, root_of(square), square));
    const Lanes slope = minus(step_of(x), flipped(below, x));
    return product_of_lanes(g, _mm512_mask_mov_ps(
        slope, _mm512_cmp_ps_mask(x, all(0), _CMP_EQ_OQ), all(0.5f)));
}
static void squareplus_by_lanes(const float *x, const float *b, int scalar, float *out, ptrdiff_t n)
{
    Scaled scaled = scaled_from(all(*b));
    ptrdiff_t i = 0;
    for (; i <= n - N_LANES; i += N_LANES) {
        if (!scalar) scaled = scaled_from(load_lanes(b + i));
        store_lanes(out + i, squareplus_lanes(load_lanes(x + i), scaled));
    }
    if (i < n) {
        if (!scalar) scaled = scaled_from(load_first(b + i, n - i));
        store_first(out + i, squareplus_lanes(load_first(x + i, n - i), scaled), n - i);
    }
}
static void squareplus_slope_by_lanes(const float *g, const float *x, const float *b, int scalar,
                                      float *out, ptrdiff_t n)
{
    Scaled scaled = scaled_from(all(*b));
    ptrdiff_t i = 0;
    for (; i <= n - N_LANES; i += N_LANES) {
        if (!scalar) scaled = scaled_from(load_lanes(b + i));
        store_lanes(out + i, squareplus_slope_lanes(load_lanes(g + i), load_lanes(x + i), scaled));
    }
    if (i < n) {
        if (!scalar) scaled = scaled_from(load_first(b + i, n - i));
        store_first(out + i, squareplus_slope_lanes(load_first(g + i, n - i), load_first(x + i, n - i),
                                                    scaled), n - i);
    }
}
#endif

#else
#define RELUME_LANES 0
RELUME_INLINE void tanh_by_lanes(const float *x, float *out, ptrdiff_t n) {}
RELUME_INLINE void tanhshrink_by_lanes(const float *x, float *out, ptrdiff_t n) {}
RELUME_INLINE void tanhshrink_slope_by_lanes(const float *x, const float *y, float *out, ptrdiff_t n) {}
RELUME_INLINE void gelu_by_lanes(const float *x, float *out, ptrdiff_t n) {}
RELUME_INLINE void gelu_slope_by_lanes(const float *x, const float *y, float *out, ptrdiff_t n) {}
RELUME_INLINE void geglu_by_lanes(const float *x, const float *y, float *out, ptrdiff_t n) {}
RELUME_INLINE void gelu_tanh_by_lanes(const float *x, float *out, ptrdiff_t n) {}
RELUME_INLINE void gelu_tanh_slope_by_lanes(const float *x, const float *y, float *out, ptrdiff_t n) {}
RELUME_INLINE void logsigmoid_from_output_by_lanes(const float *x, const float *y, float *out,
                                                   ptrdiff_t n) {}
RELUME_INLINE void sigmoid_by_lanes(const float *x, float *out, ptrdiff_t n) {}
RELUME_INLINE void silu_by_lanes(const float *x, float *out, ptrdiff_t n) {}
RELUME_INLINE void silu_slope_by_lanes(const float *x, const float *y, float *out, ptrdiff_t n) {}
RELUME_INLINE void quick_gelu_by_lanes(const float *x, float *out, ptrdiff_t n) {}
RELUME_INLINE void quick_gelu_slope_by_lanes(const float *x, const float *y, float *out, ptrdiff_t n) {}
RELUME_INLINE void swiglu_by_lanes(const float *x, const float *y, float *out, ptrdiff_t n) {}
RELUME_INLINE void glu_by_lanes(const float *x, const float *y, float *out, ptrdiff_t n) {}
RELUME_INLINE void glu_backward_by_lanes(const float *x, const float *y, const float *z,
                                         float *out1, float *out2, ptrdiff_t n) {}
RELUME_INLINE void geglu_backward_by_lanes(const float *x, const float *y, const float *z,
                                           float *out1, float *out2, ptrdiff_t n) {}
RELUME_INLINE void swiglu_backward_by_lanes(const float *x, const float *y, const float *z,
                                            float *out1, float *out2, ptrdiff_t n) {}
#endif
#ifndef RELUME_WIDE_LANES
#define RELUME_WIDE_LANES 0
#define squareplus_by_lanes(...)
#define squareplus_slope_by_lanes(...)
#endif
#endif
