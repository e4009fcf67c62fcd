# Elementary functions, branch-free, one value at a time, so that a compiler vectorizes every loop
# that calls them. The only place where float and double differ: constants and polynomial degrees.
# A constant beside a `floating` is cast, <floating> 1, since Cython writes it as a C double, which
# would carry a float expression to double and back; `make vec` fails on one that is forgotten.
# Polynomials: near-minimax (Chebyshev) fits made by tools/polynomials.py; errors are stated there.

cdef extern from "intrinsics.h" nogil:
    float mul_add_float(float a, float b, float c)
    double mul_add_double(double a, double b, double c)
    float power_of_two_float(float shifted)
    double power_of_two_double(double shifted)

cdef extern from "<math.h>" nogil:
    float fabsf(float x)
    double fabs(double x)
    float sqrtf(float x)
    float copysignf(float x, float y)
    double copysign(double x, double y)


cdef inline floating mul_add(floating a, floating b, floating c) noexcept nogil:
    if floating is float:
        return mul_add_float(a, b, c)
    else:
        return mul_add_double(a, b, c)


cdef inline floating absolute(floating x) noexcept nogil:
    if floating is float:
        return fabsf(x)
    else:
        return fabs(x)


cdef inline floating square_root(floating x) noexcept nogil:
    if floating is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef inline floating with_sign_of(floating x, floating y) noexcept nogil:
    if floating is float:
        return copysignf(x, y)
    else:
        return copysign(x, y)


cdef inline floating keep_nan(floating r, floating x) noexcept nogil:
    """r, but NaN where x is NaN."""
    return r if x == x else x


cdef inline floating chain(floating g, floating slope) noexcept nogil:
    """g * slope, where a slope of 0 gives 0 for an infinite g too, and NaN gives NaN."""
    cdef floating product = g * slope
    return keep_nan[floating](<floating> 0 if slope == 0 else product, g)


cdef inline floating nearest(floating x) noexcept nogil:
    """x rounded to an integer, for |x| < 2^22 (float) or 2^51 (double)."""
    cdef floating shift
    if floating is float:
        shift = 12582912.0              # 1.5 * 2^23: no bits are left for a fraction
    else:
        shift = 6755399441055744.0      # 1.5 * 2^52
    return (x + shift) - shift


cdef inline floating power_of_two(floating n) noexcept nogil:
    """2^n for an integer n whose power is a normal number."""
    if floating is float:
        return power_of_two_float(n + <float> 12582912.0)
    else:
        return power_of_two_double(n + 6755399441055744.0)


cdef inline floating exponent_of(floating x) noexcept nogil:
    """The n that brings x - n ln 2 into [-ln(2) / 2, ln(2) / 2]."""
    return nearest[floating](x * <floating> 1.4426950408889634)


cdef inline floating reduced(floating x, floating n) noexcept nogil:
    """x - n ln 2, with ln 2 in two parts of which the first has room for n (Cody and Waite)."""
    if floating is float:
        return mul_add(n, <float> 2.12194440e-4, mul_add(n, <float> -0.693359375, x))
    else:
        return mul_add(n, -1.90821492927058770002e-10,
                       mul_add(n, -6.93147180369123816490e-01, x))


cdef inline floating expm1_reduced(floating r) noexcept nogil:
    """exp(r) - 1 for |r| <= ln(2) / 2, as r + r^2 c(r)."""
    cdef floating c
    if floating is float:
        c = <float> 1.98909908e-4
        c = mul_add(c, r, <float> 1.39336500e-3)
        c = mul_add(c, r, <float> 8.33331093e-3)
        c = mul_add(c, r, <float> 4.16664649e-2)
        c = mul_add(c, r, <float> 1.66666667e-1)
        c = mul_add(c, r, <float> 0.5)
    else:
        c = 2.09146869680868772e-9
        c = mul_add(c, r, 2.51052170047207452e-8)
        c = mul_add(c, r, 2.75572736431102953e-7)
        c = mul_add(c, r, 2.75572554002064244e-6)
        c = mul_add(c, r, 2.48015873255477412e-5)
        c = mul_add(c, r, 1.98412698748206253e-4)
        c = mul_add(c, r, 1.38888888888837483e-3)
        c = mul_add(c, r, 8.33333333332613513e-3)
        c = mul_add(c, r, 4.16666666666666698e-2)
        c = mul_add(c, r, 1.66666666666666710e-1)
        c = mul_add(c, r, 0.5)
    return mul_add(c * r, r, r)


cdef inline floating exp_negative(floating x, floating* low) noexcept nogil:
    """exp(x) for x <= 0 as the returned value plus `low`; NaN gives NaN.

    The power of two is applied in two halves, since 2^n itself may be too small for a normal
    number; all products but the last are exact, so that subnormal results are rounded once.
    """
    cdef floating least = <floating> -104.0 if floating is float else <floating> -746.0
    cdef floating clamped = least if x < least else x       # exp(least) rounds to 0
    cdef floating n = exponent_of[floating](clamped)
    cdef floating half_n = nearest[floating](n * <floating> 0.5)
    cdef floating q = expm1_reduced(reduced[floating](clamped, n))
    cdef floating p = <floating> 1 + q
    cdef floating scale = power_of_two[floating](n - half_n)
    low[0] = (q - (p - <floating> 1)) * power_of_two[floating](half_n) * scale
    return p * power_of_two[floating](half_n) * scale


cdef inline floating sigmoid_below(floating x) noexcept nogil:
    """e / (1 + e) with e = exp(x), for x <= 0: the small one of sigmoid(x) and 1 - sigmoid(x).

    What the roundings of e and of d = 1 + e lost is put back after the division, where 1 / d, of
    which a few bits suffice, is a straight line on [1, 2].
    """
    cdef floating low
    cdef floating e = exp_negative[floating](x, &low)
    cdef floating d = <floating> 1 + e
    cdef floating d_low = e - (d - <floating> 1) + low
    cdef floating u = e / d
    return u + (low - u * d_low) * (<floating> 1.457 - <floating> 0.5 * d)


cdef inline floating tanh_small(floating x) noexcept nogil:
    """tanh(x) for 0 <= x <= 0.55, as x + x^3 c(x^2)."""
    cdef floating c, z = x * x
    if floating is float:
        c = <float> -0.00661022783
        c = mul_add(c, z, <float> 0.0213093887)
        c = mul_add(c, z, <float> -0.0539094288)
        c = mul_add(c, z, <float> 0.133331137)
        c = mul_add(c, z, <float> -0.33333332)
    else:
        c = -0.0000206027653763663416
        c = mul_add(c, z, 0.0000851131368557767152)
        c = mul_add(c, z, -0.000234634741088723714)
        c = mul_add(c, z, 0.000588936052007405777)
        c = mul_add(c, z, -0.00145566183010071603)
        c = mul_add(c, z, 0.00359211037868902388)
        c = mul_add(c, z, -0.00886323439781435484)
        c = mul_add(c, z, 0.0218694884936669419)
        c = mul_add(c, z, -0.0539682539674340145)
        c = mul_add(c, z, 0.133333333333327148)
        c = mul_add(c, z, -0.333333333333333326)
    return mul_add(c * z, x, x)
