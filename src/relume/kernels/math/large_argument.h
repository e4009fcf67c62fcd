/* Sine and cosine of arguments too large for Cody and Waite's reduction: Payne and Hanek, "Radian
 * reduction for trigonometric functions", SIGNUM Newsletter 18(1), 1983. */
#ifndef RELUME_LARGE_ARGUMENT_H
#define RELUME_LARGE_ARGUMENT_H

#include "intrinsics.h"
#include <math.h>

/* The bits of 1 / pi after two words of zeros, from tools/polynomials.py. */
static const uint32_t INVERSE_PI[40] = {
    0x00000000u, 0x00000000u, 0x517cc1b7u, 0x27220a94u, 0xfe13abe8u, 0xfa9a6ee0u, 0x6db14accu,
    0x9e21c820u, 0xff28b1d5u, 0xef5de2b0u, 0xdb92371du, 0x2126e970u, 0x03249775u, 0x04e8c90eu,
    0x7f0ef58eu, 0x5894d39fu, 0x74411afau, 0x975da242u, 0x74ce3813u, 0x5a2fbf20u, 0x9cc8eb1cu,
    0xc1a99cfau, 0x4e422fc5u, 0xdefc941du, 0x8ffc4bffu, 0xef02cc07u, 0xf79788c5u, 0xad05368fu,
    0xb69b3f67u, 0x93e584dbu, 0xa7a31fb3u, 0x4f2ff516u, 0xba93dd63u, 0xf5f2f8bdu, 0x9e839cfbu,
    0xc5294975u, 0x35fdafd8u, 0x8fc6ae84u, 0x2b019823u, 0x7e3db5d5u,
};

/* x = (k + half / 2) pi + rest with rest within pi / 2; returned is (-1)^k. abs(x) is 1 or more.
 *
 * x = m 2^e. Words of 1 / pi whose products with m 2^e are even numbers are left out; the next seven
 * give at least 190 bits after the point, and no double is nearer to a multiple of pi / 2 than
 * 2^-62. With half = 1 the rest is that of abs(x), since the cosine is even. */
static double half_turns_of_large(double x, int half, double *rest)
{
    uint64_t bits, product[8] = {0}, carry = 0;
    uint32_t turns[8];
    double fraction = 0;
    memcpy(&bits, &x, sizeof bits);
    const int e = (int)(bits >> 52 & 0x7ff) - 1075, word = (e + 63) / 32, shift = e + 64 - 32 * word;
    const uint64_t m = (bits & 0xfffffffffffffu) | 0x10000000000000u;
    if (e == 0x7ff - 1075) {
        *rest = x - x;                                  /* NaN */
        return 1;
    }
    for (int j = 0; j < 7; j++) {
        carry += INVERSE_PI[word + 6 - j] * (m & 0xffffffffu);
        product[j] = carry & 0xffffffffu;
        carry >>= 32;
    }
    product[7] = carry, carry = 0;
    for (int j = 0; j < 7; j++) {
        carry += INVERSE_PI[word + 6 - j] * (m >> 32) + product[j + 1];
        product[j + 1] = carry & 0xffffffffu;
        carry >>= 32;
    }
    for (int j = 0; j < 8; j++)                         /* the point is before turns[7] now */
        turns[j] = (uint32_t)(product[j] << shift | (j > 0 ? product[j - 1] >> (32 - shift) : 0));
    const int above = turns[6] >> 31;                   /* the fraction is 1/2 or more */
    const int negative = half ? !above : above;
    if (negative) {                                     /* 1 - fraction */
        uint32_t add = 1;
        for (int j = 0; j < 7; j++) {
            turns[j] = ~turns[j] + add;
            add = add && turns[j] == 0;
        }
    }
    if (half) turns[6] -= 0x80000000u;
    for (int j = 0; j < 7; j++) fraction = (fraction + turns[j]) * 0x1p-32;
    *rest = fraction * 3.141592653589793 * ((negative != (x < 0 && !half)) ? -1 : 1);
    return (turns[7] + (half ? 0 : above)) & 1 ? -1 : 1;
}

#endif
