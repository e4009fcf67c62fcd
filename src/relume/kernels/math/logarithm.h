/* log(1 + x) in double for 0 <= x < 2^52, within an ULP: a few of them at a time, as vectors, take
 * the time of one call of the C library. NaN and infinity give NaN.
 * 1 + x = 2^k (1 + f) with 1 + f within sqrt(1/2) and sqrt(2), and f is exact. With s = f / (2 + f),
 * log(1 + f) = 2 atanh(s) = f - s (f - 2 s^2 (1/3 + s^2/5 + ...)): the first term that is left out
 * is 2^-55 of the result. What the addition of 1 has lost is added to first order. */
#ifndef RELUME_LOGARITHM_H
#define RELUME_LOGARITHM_H

#include "intrinsics.h"

RELUME_INLINE double log_plus_one(double x)
{
    const double sum = 1 + x, lost = (x - (sum - 1)) / sum;
    const uint64_t bits = bits_of_double(sum);
    const uint64_t exponent = (bits - 0x3fe6a09e667f3bcdu) >> 52;                  /* sqrt(1/2) */
    const double f = double_of_bits(bits - (exponent << 52)) - 1;
    const double k = double_of_bits(exponent | 0x4330000000000000u) - 4503599627370496.0;
    const double s = f / (2 + f), z = s * s;
    double series = 2.0 / 19;
    series = series * z + 2.0 / 17;
    series = series * z + 2.0 / 15;
    series = series * z + 2.0 / 13;
    series = series * z + 2.0 / 11;
    series = series * z + 2.0 / 9;
    series = series * z + 2.0 / 7;
    series = series * z + 2.0 / 5;
    series = series * z + 2.0 / 3;
    const double low = k * 1.9082149292705877e-10 + lost;       /* ln 2 in two parts */
    return (k * 0.693147180369123816490 + (f - (s * (f - z * series) - low))) + (x - x);
}

#endif
