# Elementary functions of one value, without branches, so that a compiler vectorizes every loop
# that calls them. Only here do float and double differ, in constants and polynomial degrees.
#   - A result whose tail is subnormal is kept "scaled", multiplied by 2^64 (float) or 2^128
#     (double), and unscaled at the end, so that it is rounded once.
#   - Arguments are clamped where the result no longer changes; NaN passes through every clamp.
#   - Polynomials are evaluated in two interleaved chains (Estrin) to reduce latency.
#     tools/polynomials.py fits their coefficients.
# A constant next to a `floating` value is cast, as in <floating> 1, because Cython writes it as a
# C double and a float expression would be computed in double. `make vec` fails on a missing cast.

cdef extern from "math/intrinsics.h" nogil:
    float mul_add_float(float a, float b, float c)
    double mul_add_double(double a, double b, double c)
    float product_error_float(float a, float b, float product)
    double product_error_double(double a, double b, double product)
    float magnitude_at_most_float(float x, float high)
    double magnitude_at_most_double(double x, double high)
    float not_below_float(float x, float low)
    double not_below_double(double x, double low)
    float not_above_float(float x, float high)
    double not_above_double(double x, double high)
    float step_float(float x)
    double step_double(double x)
    float flipped_by_float(float x, float y)
    double flipped_by_double(double x, double y)
    float sixth_float(float x)
    double sixth_double(double x)
    float power_of_two_float(float shifted)
    double power_of_two_double(double shifted)

cdef extern from "math/lanes.h" nogil:
    const bint LANES_FLOAT "RELUME_LANES"   # whether these spans exist
    const bint WIDE_LANES_FLOAT "RELUME_WIDE_LANES"     # whether those for AVX-512 only do
    void squareplus_by_lanes(const float* x, const float* b, bint scalar, float* out,
                             Py_ssize_t n)
    void squareplus_slope_by_lanes(const float* g, const float* x, const float* b, bint scalar,
                                   float* out, Py_ssize_t n)
    void tanh_by_lanes(const float* x, float* out, Py_ssize_t n)
    void tanhshrink_by_lanes(const float* x, float* out, Py_ssize_t n)
    void tanhshrink_slope_by_lanes(const float* x, const float* y, float* out, Py_ssize_t n)
    void gelu_by_lanes(const float* x, float* out, Py_ssize_t n)
    void gelu_slope_by_lanes(const float* x, const float* y, float* out, Py_ssize_t n)
    void geglu_by_lanes(const float* x, const float* y, float* out, Py_ssize_t n)
    void gelu_tanh_by_lanes(const float* x, float* out, Py_ssize_t n)
    void gelu_tanh_slope_by_lanes(const float* x, const float* y, float* out, Py_ssize_t n)
    void logsigmoid_from_output_by_lanes(const float* x, const float* y, float* out, Py_ssize_t n)
    void sigmoid_by_lanes(const float* x, float* out, Py_ssize_t n)
    void silu_by_lanes(const float* x, float* out, Py_ssize_t n)
    void silu_slope_by_lanes(const float* x, const float* y, float* out, Py_ssize_t n)
    void quick_gelu_by_lanes(const float* x, float* out, Py_ssize_t n)
    void quick_gelu_slope_by_lanes(const float* x, const float* y, float* out, Py_ssize_t n)
    void swiglu_by_lanes(const float* x, const float* y, float* out, Py_ssize_t n)
    void glu_by_lanes(const float* x, const float* y, float* out, Py_ssize_t n)
    void glu_backward_by_lanes(const float* x, const float* y, const float* z,
                               float* out1, float* out2, Py_ssize_t n)
    void geglu_backward_by_lanes(const float* x, const float* y, const float* z,
                                 float* out1, float* out2, Py_ssize_t n)
    void swiglu_backward_by_lanes(const float* x, const float* y, const float* z,
                                  float* out1, float* out2, Py_ssize_t n)

cdef extern from "<math.h>" nogil:
    float fabsf(float x)
    double fabs(double x)
    float sqrtf(float x)
    float copysignf(float x, float y)
    bint isunordered(double x, double y)    # a macro for any type
    double copysign(double x, double y)


# -- arithmetic -------------------------------------------------------------------------------

cdef inline floating mul_add(floating a, floating b, floating c) noexcept nogil:
    if floating is float:
        return mul_add_float(a, b, c)
    else:
        return mul_add_double(a, b, c)


cdef inline floating product_error(floating a, floating b, floating product) noexcept nogil:
    """a * b - product, where product is the rounded a * b."""
    if floating is float:
        return product_error_float(a, b, product)
    else:
        return product_error_double(a, b, product)


cdef inline floating sixth(floating x) noexcept nogil:
    """x / 6 for a finite x."""
    if floating is float:
        return sixth_float(x)
    else:
        return sixth_double(x)


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


cdef inline floating step(floating x) noexcept nogil:
    """0 where the sign of x is set, else 1."""
    if floating is float:
        return step_float(x)
    else:
        return step_double(x)


cdef inline floating flipped_by(floating x, floating y) noexcept nogil:
    """-x where the sign of y is set, else x."""
    if floating is float:
        return flipped_by_float(x, y)
    else:
        return flipped_by_double(x, y)


cdef inline floating at_least(floating x, floating low) noexcept nogil:
    """max(x, low); NaN stays NaN."""
    return low if x < low else x


cdef inline floating at_most(floating x, floating high) noexcept nogil:
    """min(x, high); NaN stays NaN."""
    return high if x > high else x


cdef inline floating magnitude_at_most(floating x, floating high) noexcept nogil:
    """min(|x|, high). A NaN in x is lost, so the caller must take it from x."""
    if floating is float:
        return magnitude_at_most_float(x, high)
    else:
        return magnitude_at_most_double(x, high)


cdef inline floating not_below(floating x, floating low) noexcept nogil:
    """max(x, low) for low < 0. A NaN in x may be lost, so the caller must take it from x."""
    if floating is float:
        return not_below_float(x, low)
    else:
        return not_below_double(x, low)


cdef inline floating not_above(floating x, floating high) noexcept nogil:
    """min(x, high) for high > 0. A NaN in x may be lost, so the caller must take it from x."""
    if floating is float:
        return not_above_float(x, high)
    else:
        return not_above_double(x, high)


cdef inline floating above_0(floating x) noexcept nogil:
    """max(x, 0). NaN stays NaN, and -0.0 becomes 0.0."""
    return <floating> 0 if x <= 0 else x


cdef inline floating keep_nan(floating r, floating x) noexcept nogil:
    """r, or NaN where x is NaN."""
    return r if x == x else x


cdef inline floating keep_nans(floating r, floating x, floating y, floating z) noexcept nogil:
    """r, or NaN where x, y or z is NaN."""
    return r if (x == x) & (y == y) & (z == z) else <floating> NAN


cdef inline floating product(floating g, floating slope) noexcept nogil:
    """g * slope. A slope of 0 gives 0 even if g is infinite; NaN gives NaN."""
    cdef floating ordinary = g * slope
    return keep_nan[floating](<floating> 0 if slope == 0 else ordinary, g)


cdef inline floating product_at(floating g, floating slope, floating x) noexcept nogil:
    """product(g, slope), or NaN where x is NaN, for a slope that has lost the NaN of x."""
    cdef floating ordinary = g * slope
    cdef floating r = <floating> 0 if slope == 0 else ordinary
    return <floating> NAN if isunordered(g, x) else r


# -- exponentials -------------------------------------------------------------------------------

cdef inline floating last_exponential(floating like) noexcept nogil:
    """A bound on x from which on exp(-x) and x * exp(-x) round to 0."""
    return <floating> 110 if floating is float else <floating> 760


cdef inline floating unscaled(floating x) noexcept nogil:
    """x / 2^64 (float) or x / 2^128 (double)."""
    if floating is float:
        return x * <float> 5.421010862427522e-20
    else:
        return x * 2.938735877055719e-39


cdef inline floating plus_unscaled(floating x, floating scaled) noexcept nogil:
    """x + unscaled(scaled), rounded once."""
    if floating is float:
        return mul_add(scaled, <floating> 5.421010862427522e-20, x)
    else:
        return mul_add(scaled, 2.938735877055719e-39, x)


cdef inline floating shift_of(floating like, int bias) noexcept nogil:
    """A number whose addition rounds to an integer n, with the exponent bits of 2^(n + bias)."""
    if floating is float:
        return <float> 12583039.0 + <float> bias            # 1.5 * 2^23 + 127
    else:
        return 6755399441056767.0 + bias                    # 1.5 * 2^52 + 1023


cdef inline floating power_of_two(floating shifted) noexcept nogil:
    """The power of two whose exponent bits are the low bits of shifted."""
    if floating is float:
        return power_of_two_float(shifted)
    else:
        return power_of_two_double(shifted)


cdef inline floating expm1_reduced(floating r) noexcept nogil:
    """exp(r) - 1 for |r| <= ln(2) / 2, as r + r^2 c(r)."""
    cdef floating c, r2 = r * r
    if floating is float:
        c = mul_add(r, <float> 0.00139261836, <float> 0.00836317905)
        c = mul_add(c, r, <float> 0.0416665546)
        c = mul_add(c, r, <float> 0.16666577)
        c = mul_add(c, r, <float> 0.5)
    else:
        c = 2.09146869680868772e-9
        c = mul_add(c, r2, mul_add(r, 2.51052170047207452e-8, 2.75572736431102953e-7))
        c = mul_add(c, r2, mul_add(r, 2.75572554002064244e-6, 2.48015873255477412e-5))
        c = mul_add(c, r2, mul_add(r, 1.98412698748206253e-4, 1.38888888888837483e-3))
        c = mul_add(c, r2, mul_add(r, 8.33333333332613513e-3, 4.16666666666666698e-2))
        c = mul_add(c, r2, mul_add(r, 1.66666666666666710e-1, 0.5))
    return mul_add(c, r2, r)


cdef inline floating reduced(floating x, floating n) noexcept nogil:
    """x - n ln 2, with ln 2 in two parts, the first short enough that n times it is exact."""
    if floating is float:
        return mul_add(n, <float> 2.12194440e-4, mul_add(n, <float> -0.693359375, x))
    else:
        return mul_add(n, -1.90821492927058770002e-10,
                       mul_add(n, -6.93147180369123816490e-01, x))


cdef inline floating reduced_two(floating x, floating low, floating n) noexcept nogil:
    """x + low - n ln 2."""
    if floating is float:
        return mul_add(n, <float> -0.693359375, x) + mul_add(n, <float> 2.12194440e-4, low)
    else:
        return (mul_add(n, -6.93147180369123816490e-01, x)
                + mul_add(n, -1.90821492927058770002e-10, low))


cdef inline floating rounded(floating x, floating shift) noexcept nogil:
    """x / ln 2 rounded to an integer, which is in the low bits."""
    return mul_add(x, <floating> 1.4426950408889634, shift)


cdef inline floating exp_parts(floating x, floating* q) noexcept nogil:
    """A power of two p and q with p (1 + q) = exp(x), scaled; -last_exponential() <= x <= 0."""
    cdef floating shift = shift_of(x, 64 if floating is float else 128)
    cdef floating n = rounded[floating](x, shift)
    q[0] = expm1_reduced[floating](reduced[floating](x, n - shift))
    return power_of_two[floating](n)


cdef inline floating exp_parts_two(floating x, floating low, floating* q) noexcept nogil:
    """A power of two p and q with p (1 + q) = exp(x + low), scaled, for the same range of x."""
    cdef floating shift = shift_of(x, 64 if floating is float else 128)
    cdef floating n = rounded[floating](x, shift)
    q[0] = expm1_reduced[floating](reduced_two[floating](x, low, n - shift))
    return power_of_two[floating](n)


cdef inline floating exp_scaled(floating x) noexcept nogil:
    """exp(x), scaled, for the same range of x."""
    cdef floating q
    cdef floating power = exp_parts[floating](x, &q)
    return mul_add(power, q, power)


cdef inline floating exp_scaled_two(floating x, floating low) noexcept nogil:
    """exp(x + low), scaled, for the same range of x."""
    cdef floating q
    cdef floating power = exp_parts_two[floating](x, low, &q)
    return mul_add(power, q, power)


cdef inline floating exp_negative(floating x) noexcept nogil:
    """exp(x) for any x <= 0."""
    return unscaled[floating](exp_scaled[floating](at_least[floating](x, -last_exponential(x))))


cdef inline floating exp_below(floating x) noexcept nogil:
    """exp(-|x|), scaled, for any x; NaN gives a number."""
    return exp_scaled[floating](-magnitude_at_most[floating](x, last_exponential(x)))


cdef inline floating exp_below_two(floating x, floating low) noexcept nogil:
    """exp(-|x + low|), scaled, for any x; low may be NaN where x is infinite."""
    cdef floating magnitude = absolute(x), last = last_exponential(x)
    cdef floating signed_low = low if x < 0 else -low
    return exp_scaled_two[floating](-at_most[floating](magnitude, last),
                                    signed_low if magnitude < last else <floating> 0)


cdef inline floating expm1_parts(floating x, floating* q) noexcept nogil:
    """A power of two p and q with p (1 + q) = exp(x) for x <= 0; NaN gives any value.

    A single part for n ln 2 is enough for exp(x) - 1, because the exponential contributes less to
    it the larger n is.
    """
    cdef floating clamped = not_below[floating](x, -40), shift = shift_of(x, 0)
    cdef floating n = rounded[floating](clamped, shift)
    q[0] = expm1_reduced[floating](mul_add(
        n - shift, <floating> -0.69314718055994531, clamped))
    return power_of_two[floating](n)


cdef inline floating expm1_negative(floating x) noexcept nogil:
    """exp(x) - 1 for any x <= 0; NaN gives any value."""
    cdef floating q
    cdef floating power = expm1_parts[floating](x, &q)
    return mul_add(power, q, power - <floating> 1)


cdef inline floating exp_rest(floating x) noexcept nogil:
    """1 - exp(x) for any x <= 0; NaN gives any value."""
    cdef floating q
    cdef floating power = expm1_parts[floating](x, &q)
    return mul_add(-power, q, <floating> 1 - power)


cdef inline floating expm1(floating x) noexcept nogil:
    """exp(x) - 1 for any x. Computes half of it first, because 2^n itself may overflow."""
    cdef floating high = <floating> 89 if floating is float else <floating> 710
    cdef floating clamped = at_most[floating](at_least[floating](x, <floating> -40), high)
    cdef floating shift = shift_of(x, -1)
    cdef floating n = rounded[floating](clamped, shift)
    cdef floating q = expm1_reduced[floating](reduced[floating](clamped, n - shift))
    cdef floating half_power = power_of_two[floating](n)
    return <floating> 2 * mul_add(half_power, q, half_power - <floating> 0.5)


cdef inline floating exp_two(floating x, floating low) noexcept nogil:
    """exp(x + low) for any x, scaled up for x < 0 and down for x > 0, without a branch."""
    cdef floating last = last_exponential(x)
    cdef floating clamped = at_most[floating](at_least[floating](x, -last), last)
    cdef floating bias = with_sign_of(<floating> 64 if floating is float else <floating> 128, -x)
    cdef floating shift = shift_of(x, 0) + bias
    cdef floating n = rounded[floating](clamped, shift)
    cdef floating r = reduced_two[floating](clamped, low if clamped == x else <floating> 0,
                                            n - shift)
    cdef floating power = power_of_two[floating](n)
    cdef floating scaled = mul_add(power, expm1_reduced[floating](r), power)
    return scaled * power_of_two[floating](shift_of(x, 0) - bias)


# -- logarithm, sigmoid, tanh -------------------------------------------------------------------

cdef inline floating log1p_over(floating e) noexcept nogil:
    """log(1 + e) / e for 0 <= e <= 1."""
    cdef floating c, e2 = e * e
    if floating is float:
        c = <float> -0.00317605702
        c = mul_add(c, e2, mul_add(e, <float> 0.0195425273, <float> -0.0563736128))
        c = mul_add(c, e2, mul_add(e, <float> 0.105436238, <float> -0.152696671))
        c = mul_add(c, e2, mul_add(e, <float> 0.196632743, <float> -0.249516163))
        c = mul_add(c, e2, mul_add(e, <float> 0.333297105, <float> -0.499998926))
        return mul_add(c, e, <float> 0.999999995)
    else:
        c = mul_add(e, 0.0000244379739485809471, -0.000282742113937410716)
        c = mul_add(c, e2, mul_add(e, 0.00155352440343343336, -0.00542173399100160966))
        c = mul_add(c, e2, mul_add(e, 0.0135987780906172537, -0.0263987794807432172))
        c = mul_add(c, e2, mul_add(e, 0.0419257098539041573, -0.0571897853419390586))
        c = mul_add(c, e2, mul_add(e, 0.0701529623652647141, -0.0807095457843020583))
        c = mul_add(c, e2, mul_add(e, 0.0900909581519863245, -0.0997976809658656833))
        c = mul_add(c, e2, mul_add(e, 0.111072115852995379, -0.124994270635143811))
        c = mul_add(c, e2, mul_add(e, 0.142856519752759262, -0.166666618482485386))
        c = mul_add(c, e2, mul_add(e, 0.199999997498565228, -0.249999999920095234))
        c = mul_add(c, e2, mul_add(e, 0.333333333331975252, -0.49999999999999079))
        return mul_add(c, e, 0.99999999999999999)


cdef inline floating log1p_of(floating scaled) noexcept nogil:
    """log(1 + e), scaled like e, for 0 <= e <= 1."""
    return scaled * log1p_over[floating](unscaled[floating](scaled))


cdef inline floating sigmoid_reduced(floating n, floating r) noexcept nogil:
    """scale / (scale + scale exp(-x)), scaled so that only the quotient may be subnormal.

    The denominator is (scale + power) + power q, so its larger part is rounded once. The rounding
    error of the first sum, which is nonzero from 2^24 on (float), is added to the smaller part.
    """
    cdef floating q = expm1_reduced[floating](r), scale = unscaled[floating](<floating> 1)
    cdef floating power = power_of_two[floating](n)
    cdef floating sum = scale + power
    return scale / (sum + mul_add(power, q, scale - (sum - power)))


cdef inline floating sigmoid_of(floating x) noexcept nogil:
    """1 / (1 + exp(-x)) for any x; NaN gives any value."""
    cdef floating t = not_above[floating](not_below[floating](x, -last_exponential(x)), 40)
    cdef floating shift = shift_of(x, -64 if floating is float else -128)
    cdef floating n = rounded[floating](-t, shift)
    return sigmoid_reduced[floating](n, reduced[floating](-t, n - shift))


cdef inline floating sigmoid_two(floating x, floating low) noexcept nogil:
    """1 / (1 + exp(-x - low)) for any x; NaN gives any value. low may be NaN if x is infinite."""
    cdef floating t = not_above[floating](not_below[floating](x, -last_exponential(x)), 40)
    cdef floating shift = shift_of(x, -64 if floating is float else -128)
    cdef floating n = rounded[floating](-t, shift), counted = low if t == x else <floating> 0
    return sigmoid_reduced[floating](n, reduced_two[floating](-t, -counted, n - shift))


cdef inline floating sigmoid_slope(floating scaled) noexcept nogil:
    """e / (1 + e)^2 for a scaled e."""
    cdef floating u = scaled / plus_unscaled[floating](1, scaled)
    return unscaled[floating](u * plus_unscaled[floating](1, -u))


cdef inline floating tanh_gap(floating a) noexcept nogil:
    """min(a, 1) - tanh(a) for a >= 0: a^3 / c(a^2) below 1, else 2 / (1 + exp(2 a)).

    One division serves both cases. A single part for n ln 2 is enough, because the exponential
    contributes less the larger n is.
    """
    cdef floating x = magnitude_at_most[floating](a, 20), shift = shift_of(a, 0), z = a * a, c, e
    cdef floating n = mul_add(x, <floating> 2.8853900817779268, shift)
    cdef floating r = mul_add(n - shift, <floating> -0.34657359027997265, x)
    if floating is float:
        e = mul_add(r, <float> 0.267812981, <float> 0.670680921)
        e = mul_add(e, r, <float> 1.33332042)
        e = mul_add(e, r, <float> 1.99995476)
        e = mul_add(e, r, <float> 2.00000002)
        c = mul_add(z, <float> 0.000231116379, <float> -0.00570029598)
        c = mul_add(c, z, <float> 1.19999723)
    else:
        e = mul_add(r, 0.0000514253807714686153, 0.000282958384358684589)
        e = mul_add(e, r, 0.00141093073342616927)
        e = mul_add(e, r, 0.00634918027303969612)
        e = mul_add(e, r, 0.0253968254592977956)
        e = mul_add(e, r, 0.0888888892950583223)
        e = mul_add(e, r, 0.266666666666226868)
        e = mul_add(e, r, 0.66666666666380724)
        e = mul_add(e, r, 1.33333333333333447)
        e = mul_add(e, r, 2.00000000000000736)
        e = mul_add(e, r, 2.0)
        c = mul_add(z, -5.81911754501717848e-11, 1.43724279845915496e-9)
        c = mul_add(c, z, -2.95398127090569229e-8)
        c = mul_add(c, z, 5.98751575020055784e-7)
        c = mul_add(c, z, -0.0000122036642831773431)
        c = mul_add(c, z, 0.000253968252988436896)
        c = mul_add(c, z, -0.00571428571419056013)
        c = mul_add(c, z, 1.19999999999999644)
    c = mul_add(c, z, <floating> 3)
    e = mul_add(power_of_two[floating](n), mul_add(e, r, <floating> 1), <floating> 1)
    cdef floating cube = a * z
    return (<floating> 2 if a >= 1 else cube) / (e if a >= 1 else c)


cdef inline floating tanh_of(floating a) noexcept nogil:
    """tanh(a) for a >= 0."""
    return (<floating> 1 if a >= 1 else a) - tanh_gap[floating](a)
