/* Operations that the kernels need and that C or Cython cannot express, each with a portable
 * fallback. All are free of branches, so that the loops that call them are vectorized. */
#ifndef RELUME_INTRINSICS_H
#define RELUME_INTRINSICS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__F16C__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define RELUME_INLINE static __forceinline
#else
#define RELUME_INLINE static inline __attribute__((always_inline))
#endif

/* Whether a loop in place must be apart from others to be vectorized, see map.pxi. */
#if defined(__clang__)
#define RELUME_IN_PLACE_APART 1
#else
#define RELUME_IN_PLACE_APART 0
#endif

/* a * b + c, rounded once if the instruction set has a fused multiply-add, else twice. Contraction is
 * off (-ffp-contract=off), so a vector body and its scalar tail always round in the same way. */
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
RELUME_INLINE float mul_add_float(float a, float b, float c) { return fmaf(a, b, c); }
RELUME_INLINE double mul_add_double(double a, double b, double c) { return fma(a, b, c); }
#else
RELUME_INLINE float mul_add_float(float a, float b, float c) { return a * b + c; }
RELUME_INLINE double mul_add_double(double a, double b, double c) { return a * b + c; }
#endif

RELUME_INLINE uint32_t bits_of_float(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
RELUME_INLINE uint64_t bits_of_double(double x) { uint64_t u; memcpy(&u, &x, 8); return u; }
RELUME_INLINE float float_of_bits(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }
RELUME_INLINE double double_of_bits(uint64_t u) { double x; memcpy(&x, &u, 8); return x; }

/* a * b - product, where product is the rounded a * b. Without a fused multiply-add, a and b are
 * split into halves whose products are exact (Dekker). */
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
RELUME_INLINE float product_error_float(float a, float b, float p) { return fmaf(a, b, -p); }
RELUME_INLINE double product_error_double(double a, double b, double p) { return fma(a, b, -p); }
#else
RELUME_INLINE float product_error_float(float a, float b, float product)
{
    const float a1 = float_of_bits(bits_of_float(a) & 0xfffff000u), a2 = a - a1;
    const float b1 = float_of_bits(bits_of_float(b) & 0xfffff000u), b2 = b - b1;
    return ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2;
}
RELUME_INLINE double product_error_double(double a, double b, double product)
{
    const double a1 = double_of_bits(bits_of_double(a) & 0xfffffffff8000000u), a2 = a - a1;
    const double b1 = double_of_bits(bits_of_double(b) & 0xfffffffff8000000u), b2 = b - b1;
    return ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2;
}
#endif

/* Clamps of floats as integers, whose order is that of the floats of one sign. Each clamp takes one
 * instruction less, and any execution port can run it. NaN compares as larger than infinity, so it
 * may be lost. */
RELUME_INLINE float magnitude_at_most_float(float x, float high)
{
    const uint32_t u = bits_of_float(x) & 0x7fffffffu, v = bits_of_float(high);
    return float_of_bits(u < v ? u : v);
}
RELUME_INLINE float not_below_float(float x, float low)           /* for low < 0 */
{
    const uint32_t u = bits_of_float(x), v = bits_of_float(low);
    return float_of_bits(u < v ? u : v);
}
RELUME_INLINE float not_above_float(float x, float high)          /* for high > 0 */
{
    const int32_t i = (int32_t)bits_of_float(x), j = (int32_t)bits_of_float(high);
    return float_of_bits((uint32_t)(i < j ? i : j));
}
RELUME_INLINE double magnitude_at_most_double(double x, double high)
{
    const double magnitude = fabs(x);
    return magnitude < high ? magnitude : high;
}
RELUME_INLINE double not_below_double(double x, double low) { return x < low ? low : x; }
RELUME_INLINE double not_above_double(double x, double high) { return x > high ? high : x; }

/* step: 0 where the sign bit of x is set, else 1. flipped_by: -x where the sign bit of y is set,
 * else x. */
RELUME_INLINE float step_float(float x)
{
    return float_of_bits(~(uint32_t)((int32_t)bits_of_float(x) >> 31) & 0x3f800000u);
}
RELUME_INLINE double step_double(double x)
{
    return double_of_bits(~(uint64_t)((int64_t)bits_of_double(x) >> 63) & 0x3ff0000000000000u);
}
RELUME_INLINE float flipped_by_float(float x, float y)
{
    return float_of_bits(bits_of_float(x) ^ (bits_of_float(y) & 0x80000000u));
}
RELUME_INLINE double flipped_by_double(double x, double y)
{
    return double_of_bits(bits_of_double(x) ^ (bits_of_double(y) & 0x8000000000000000u));
}

/* other_than: 0 where x and y have the same bits, else x. is_same: 1 where they have, else 0. Written as
 * masks, because a compiler makes two selections by one condition a branch. */
RELUME_INLINE float other_than_float(float x, float y)
{
    const uint32_t u = bits_of_float(x);
    return float_of_bits(u & -(uint32_t)(u != bits_of_float(y)));
}
RELUME_INLINE double other_than_double(double x, double y)
{
    const uint64_t u = bits_of_double(x);
    return double_of_bits(u & -(uint64_t)(u != bits_of_double(y)));
}
RELUME_INLINE float is_same_float(float x, float y)
{
    return float_of_bits(0x3f800000u & -(uint32_t)(bits_of_float(x) == bits_of_float(y)));
}
RELUME_INLINE double is_same_double(double x, double y)
{
    return double_of_bits(
        0x3ff0000000000000u & -(uint64_t)(bits_of_double(x) == bits_of_double(y)));
}

/* -x where the integer that the addition of a shift has put into the low bits of y is odd, else x. */
RELUME_INLINE float flipped_if_odd_float(float x, float y)
{
    return float_of_bits(bits_of_float(x) ^ bits_of_float(y) << 31);
}
RELUME_INLINE double flipped_if_odd_double(double x, double y)
{
    return double_of_bits(bits_of_double(x) ^ bits_of_double(y) << 63);
}

/* x / 6, as a product with 1/6 in two parts. A single rounded 1/6 would cost half a ULP. */
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
RELUME_INLINE float sixth_float(float x) { return fmaf(x, 0.16666667f, x * -4.967053731e-9f); }
RELUME_INLINE double sixth_double(double x)
{
    return fma(x, 0.16666666666666666, x * 9.25185853854297e-18);
}
#else
RELUME_INLINE float sixth_float(float x) { return x / 6; }
RELUME_INLINE double sixth_double(double x) { return x / 6; }
#endif

/* 2^n for shifted = n + 1.5 * 2^23 + 127 (float) or n + 1.5 * 2^52 + 1023 (double). Adding these
 * constants rounds to an integer and leaves the biased exponent in the low bits, from where it is
 * shifted to the exponent's position. */
RELUME_INLINE float power_of_two_float(float shifted)
{
    return float_of_bits(bits_of_float(shifted) << 23);
}
RELUME_INLINE double power_of_two_double(double shifted)
{
    return double_of_bits(bits_of_double(shifted) << 52);
}

/* Whether a normal number is a power of two, or minus one. */
RELUME_INLINE int is_power_of_two_float(float x) { return !(bits_of_float(x) & 0x007fffffu); }
RELUME_INLINE int is_power_of_two_double(double x)
{
    return !(bits_of_double(x) & 0x000fffffffffffffu);
}

/* A power of two near 2^-12 / sqrt(b) (float) or 2^-27 / sqrt(b) (double) for finite b >= 0. It
 * negates half the exponent and clears the mantissa. */
RELUME_INLINE float inverse_root_power_float(float b)
{
    return float_of_bits((0x59000000u - (bits_of_float(b) >> 1)) & 0x7f800000u);
}
RELUME_INLINE double inverse_root_power_double(double b)
{
    return double_of_bits((0x5e30000000000000u - (bits_of_double(b) >> 1)) & 0x7ff0000000000000u);
}

/* float16 is converted in blocks of eight, because compilers do not vectorize _Float16 conversions.
 * The conversions of single numbers are portable; instructions give the same bits. */
enum { HALF_BLOCK = 8 };

/* Subnormal halves are normal floats. An exact float subtraction computes their value. */
RELUME_INLINE float half_to_float(uint16_t h)
{
    const uint32_t magnitude = (uint32_t)(h & 0x7fffu) << 13, sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t exponent = magnitude & 0x0f800000u;
    const uint32_t normal = magnitude + 0x38000000u;          /* rebias by 127 - 15 */
    const uint32_t special = magnitude + 0x70000000u;         /* infinity, NaN: exponent 255 */
    const float subnormal = float_of_bits(magnitude + 0x38800000u) - float_of_bits(0x38800000u);
    uint32_t r = exponent == 0x0f800000u ? special : normal;
    r = exponent == 0 ? bits_of_float(subnormal) : r;
    r = magnitude > 0x0f800000u ? r | 0x00400000u : r;        /* quiet, as the hardware does */
    return float_of_bits(r | sign);
}
/* Rounds to nearest even: for normal halves by an integer carry, for subnormal halves by adding 0.5,
 * whose ULP is the smallest half. */
RELUME_INLINE uint16_t float_to_half(float x)
{
    const uint32_t bits = bits_of_float(x), magnitude = bits & 0x7fffffffu;
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t carried = magnitude + 0xc8000fffu + ((magnitude >> 13) & 1u);
    const uint32_t small = bits_of_float(float_of_bits(magnitude) + 0.5f) - 0x3f000000u;
    uint32_t r = carried >> 13;
    r = magnitude < 0x38800000u ? small : r;                  /* below 2^-14 */
    r = magnitude >= 0x47800000u ? 0x7c00u : r;               /* 65536 and above, infinity */
    r = magnitude > 0x7f800000u ? 0x7e00u | ((magnitude >> 13) & 0x3ffu) : r;
    return (uint16_t)(r | sign);
}

#if defined(__F16C__)
RELUME_INLINE void half_to_float_block(const uint16_t *x, float *out)
{
    _mm256_storeu_ps(out, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)x)));
}
RELUME_INLINE void float_to_half_block(const float *x, uint16_t *out)
{
    const __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(x), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128((__m128i *)out, halves);
}
#elif defined(__aarch64__)
RELUME_INLINE void half_to_float_block(const uint16_t *x, float *out)
{
    const float16x8_t halves = vreinterpretq_f16_u16(vld1q_u16(x));
    vst1q_f32(out, vcvt_f32_f16(vget_low_f16(halves)));
    vst1q_f32(out + 4, vcvt_high_f32_f16(halves));
}
RELUME_INLINE void float_to_half_block(const float *x, uint16_t *out)
{
    const float16x4_t low = vcvt_f16_f32(vld1q_f32(x));
    vst1q_u16(out, vreinterpretq_u16_f16(vcvt_high_f16_f32(low, vld1q_f32(x + 4))));
}
#else
RELUME_INLINE void half_to_float_block(const uint16_t *x, float *out)
{
    for (int i = 0; i < HALF_BLOCK; i++) out[i] = half_to_float(x[i]);
}
RELUME_INLINE void float_to_half_block(const float *x, uint16_t *out)
{
    for (int i = 0; i < HALF_BLOCK; i++) out[i] = float_to_half(x[i]);
}
#endif
#endif
