/* log(1 + x) in double for 0 <= x < 2^52: a few of them at a time, as vectors, take the time of one call of
 * the C library. NaN and infinity give NaN.
 * 1 + x = 2^k (1 + f) with 1 + f within sqrt(1/2) and sqrt(2). What the addition of 1 has lost is added
 * to f, which is x itself where k is 0. With s = f / (2 + f), log(1 + f) = 2 atanh(s) = f - s (f - 2 s^2
 * (1/3 + s^2/5 + ...)). The first term that is left out is 2^-55 of the result, or 2^-34 of one that is
 * rounded to float. */
#ifndef RELUME_LOGARITHM_H
#define RELUME_LOGARITHM_H

#include "intrinsics.h"

RELUME_INLINE double log_plus_one(double x, int to_float)
{
    const double sum = 1 + x, lost = x - (sum - 1);
    const uint64_t bits = bits_of_double(sum);
    const uint64_t exponent = (bits - 0x3fe6a09e667f3bcdu) >> 52;                  /* sqrt(1/2) */
    const double inverse_power = double_of_bits(0x3ff0000000000000u - (exponent << 52));
    const double f = mul_add_double(lost, inverse_power,
                                    double_of_bits(bits - (exponent << 52)) - 1);
    const double k = double_of_bits(exponent | 0x4330000000000000u) - 4503599627370496.0;
    const double s = f / (2 + f), z = s * s;
    double series = 2.0 / 11;
    if (!to_float) {
        series = mul_add_double(2.0 / 19, z, 2.0 / 17);
        series = mul_add_double(series, z, 2.0 / 15);
        series = mul_add_double(series, z, 2.0 / 13);
        series = mul_add_double(series, z, 2.0 / 11);
    }
    series = mul_add_double(series, z, 2.0 / 9);
    series = mul_add_double(series, z, 2.0 / 7);
    series = mul_add_double(series, z, 2.0 / 5);
    series = mul_add_double(series, z, 2.0 / 3);
    const double low = mul_add_double(-s, mul_add_double(-z, series, f), k * 1.9082149292705877e-10);
    return mul_add_double(k, 0.693147180369123816490, f + low) + (x - x);  /* ln 2 in two parts */
}

#endif
