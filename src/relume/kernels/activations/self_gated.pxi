# Activations that multiply x by a sigmoid-like function of x. Each is max(x, 0) minus a bump:
# a * sigmoid(-u) with a = |x|, which is small and has the same relative error everywhere. Except
# for mish, the bump is an even function of x. So f(x) = max(x, 0) - bump(a), and f'(x) is bump'(a)
# below 0 and 1 - bump'(a) above 0.

cdef inline floating minus_bump(floating x, floating scaled_bump) noexcept nogil:
    """max(x, 0) minus the bump."""
    return plus_unscaled[floating](above_0[floating](x), -scaled_bump)

cdef inline floating slope_of_bump(floating g, floating x, floating scaled_slope) noexcept nogil:
    cdef floating signed_slope = flipped_by[floating](scaled_slope, x)
    return product_at(g, plus_unscaled[floating](step[floating](x), -signed_slope), x)

cdef inline floating sigmoid_bump(floating a, floating e) noexcept nogil:
    """a e / (1 + e), scaled like e."""
    return a * (e / plus_unscaled[floating](1, e))

cdef inline floating sigmoid_bump_slope(floating power, floating q, floating sum) noexcept nogil:
    """The scaled derivative of a e / (1 + e), where power (1 + q) is the scaled e = exp(-u).

    The derivative is e sum / (1 + e)^2 with sum = 1 - a u'(a) + e. The sum changes sign, so the
    callers compute it from the two parts of e, which keeps the rounding before the cancellation
    small.
    """
    cdef floating scaled = mul_add(power, q, power)
    cdef floating e = unscaled[floating](scaled)
    cdef floating square = mul_add(e, <floating> 2 + e, <floating> 1)           # (1 + e)^2
    return scaled * sum / square


# -- silu: Elfwing, Uchibe and Doya, 2018 ---------------------------------------------------------

cdef inline floating silu(floating x) noexcept nogil:
    cdef floating a = magnitude_at_most[floating](x, last_exponential(x))
    return minus_bump[floating](x, sigmoid_bump[floating](a, exp_scaled[floating](-a)))

cdef inline floating silu_sum(floating power, floating q, floating a) noexcept nogil:
    """1 - a + exp(-a), computed from the two parts of the exponential."""
    return mul_add(unscaled[floating](power), q, plus_unscaled[floating](1, power) - a)

cdef inline floating silu_slope(floating g, floating x) noexcept nogil:
    cdef floating a = magnitude_at_most[floating](x, last_exponential(g))
    cdef floating q, power = exp_parts[floating](-a, &q)
    cdef floating slope = sigmoid_bump_slope[floating](power, q, silu_sum(power, q, a))
    return slope_of_bump[floating](g, x, slope)

cdef void silu_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            silu_by_lanes(args[0], args[1], n)
            return
    map1[floating](silu, args, n)

cdef void silu_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            silu_slope_by_lanes(args[0], args[1], args[2], n)
            return
    map2[floating](silu_slope, args, n)

row = new_row(b"silu")
row.alias = b"swish"
row.layer = b"SiLU"
row.summary = b"Sigmoid linear unit, also called swish."
row.formula = b"x / (1 + exp(-x))"
row.derivative = b"s * (1 + x * (1 - s)), where s = 1 / (1 + exp(-x))"
row.special = (b"The value is 0 at -inf; the derivative is 0 at -inf and 1 at inf. The derivative "
               b"changes sign; where its magnitude is below 2**-6, its error is in ULP of 2**-6.")
row.reference = (b"S. Elfwing, E. Uchibe and K. Doya, \"Sigmoid-weighted linear units for neural "
                 b"network function approximation in reinforcement learning\", Neural Networks "
                 b"107, 2018.")
row.ulp = 4
row.values = b"[-0.2384,  0.    ,  2.8577]"
row.slopes = b"[-0.0908,  0.5   ,  1.0881]"
fill(&row.forward, silu_span, silu_span)
fill(&row.backward, silu_backward_span, silu_backward_span)


# -- quick_gelu: Hendrycks and Gimpel, 2016 -------------------------------------------------------

cdef inline floating quick_gelu_exp(floating a) noexcept nogil:
    """The scaled exp(-1.702 a)."""
    cdef floating rate = <floating> 1.702
    cdef floating u = rate * a
    return exp_scaled_two[floating](-u, -product_error(rate, a, u))

cdef inline floating quick_gelu_last(floating like) noexcept nogil:
    return <floating> 65 if floating is float else <floating> 447

cdef inline floating quick_gelu(floating x) noexcept nogil:
    cdef floating a = magnitude_at_most[floating](x, quick_gelu_last(x))
    return minus_bump[floating](x, sigmoid_bump[floating](a, quick_gelu_exp[floating](a)))

cdef inline floating quick_gelu_slope(floating g, floating x) noexcept nogil:
    cdef floating a = magnitude_at_most[floating](x, quick_gelu_last(g))
    cdef floating rate = <floating> 1.702
    cdef floating u = rate * a, low = product_error(rate, a, u)
    cdef floating q, power = exp_parts_two[floating](-u, -low, &q)
    cdef floating small = mul_add(unscaled[floating](power), q, -low)
    cdef floating sum = (plus_unscaled[floating](1, power) - u) + small
    return slope_of_bump[floating](g, x, sigmoid_bump_slope[floating](power, q, sum))

cdef void quick_gelu_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            quick_gelu_by_lanes(args[0], args[1], n)
            return
    map1[floating](quick_gelu, args, n)

cdef void quick_gelu_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            quick_gelu_slope_by_lanes(args[0], args[1], args[2], n)
            return
    map2[floating](quick_gelu_slope, args, n)

row = new_row(b"quick_gelu")
row.layer = b"QuickGELU"
row.summary = b"Gaussian error linear unit, approximated by a sigmoid."
row.formula = b"x / (1 + exp(-1.702 * x))"
row.derivative = b"s * (1 + 1.702 * x * (1 - s)), where s = 1 / (1 + exp(-1.702 * x))"
row.special = (b"The value is 0 at -inf; the derivative is 0 at -inf and 1 at inf. The constant "
               b"1.702 is rounded to the dtype. The derivative changes sign; where its magnitude "
               b"is below 2**-6, its error is in ULP of 2**-6.")
row.reference = (b"D. Hendrycks and K. Gimpel, \"Gaussian error linear units (GELUs)\", "
                 b"arXiv:1606.08415.")
row.ulp = 4
row.values = b"[-0.0643,  0.    ,  2.9819]"
row.slopes = b"[-0.0738,  0.5   ,  1.0245]"
fill(&row.forward, quick_gelu_span, quick_gelu_span)
fill(&row.backward, quick_gelu_backward_span, quick_gelu_backward_span)


# -- gelu: Hendrycks and Gimpel, 2016 -------------------------------------------------------------

cdef inline floating gelu_last(floating like) noexcept nogil:
    return <floating> 14.7 if floating is float else <floating> 39

cdef inline floating gelu(floating x) noexcept nogil:
    cdef floating a = magnitude_at_most[floating](x, gelu_last(x))
    return minus_bump[floating](x, times_exp_half_square[floating](normal_bump[floating](a), a))

cdef inline floating gelu_slope(floating g, floating x) noexcept nogil:
    cdef floating a = magnitude_at_most[floating](x, gelu_last(g))
    cdef floating slope = times_exp_half_square[floating](normal_bump_slope[floating](a), a)
    return slope_of_bump[floating](g, x, slope)

cdef void gelu_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            gelu_by_lanes(args[0], args[1], n)
            return
    map1[floating](gelu, args, n)

cdef void gelu_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            gelu_slope_by_lanes(args[0], args[1], args[2], n)
            return
    map2[floating](gelu_slope, args, n)

row = new_row(b"gelu")
row.layer = b"GELU"
row.summary = b"Gaussian error linear unit."
row.formula = b"x * Phi(x), where Phi is the standard normal distribution function"
row.derivative = (b"Phi(x) + x * phi(x), where Phi and phi are the standard normal distribution "
                  b"function and density")
row.special = (b"The value is 0 at -inf; the derivative is 0 at -inf and 1 at inf. The derivative "
               b"changes sign; where its magnitude is below 2**-6, its error is in ULP of 2**-6.")
row.reference = (b"D. Hendrycks and K. Gimpel, \"Gaussian error linear units (GELUs)\", "
                 b"arXiv:1606.08415.")
row.ulp = 4
row.values = b"[-0.0455,  0.    ,  2.996 ]"
row.slopes = b"[-0.0852,  0.5   ,  1.0119]"
fill(&row.forward, gelu_span, gelu_span)
fill(&row.backward, gelu_backward_span, gelu_backward_span)


# -- gelu_tanh: x / 2 (1 + tanh(u / 2)) = x sigmoid(u), u = 2 sqrt(2 / pi) (x + 0.044715 x^3) -----

cdef inline floating gelu_tanh_linear(floating like) noexcept nogil:
    return <floating> 1.5957691216057308            # 2 sqrt(2 / pi)

cdef inline floating gelu_tanh_argument(floating a, floating* low) noexcept nogil:
    """u = a (linear + cubic a^2), in two words because it can be as large as a hundred.

    cubic is the product of linear and 0.044715, both rounded to the dtype as in the formula.
    linear is split in two parts so that subtracting the first part from the sum is exact.
    """
    cdef floating linear = gelu_tanh_linear(a), first = <floating> 1.59375
    cdef floating cubic = linear * <floating> 0.044715
    cdef floating cubic_low = product_error(linear, <floating> 0.044715, cubic)
    cdef floating square = a * a
    cdef floating rate = mul_add(cubic, square, first)
    cdef floating rate_low = mul_add(cubic, product_error(a, a, square), linear - first)
    rate_low = mul_add(cubic_low, square, rate_low) + product_error(cubic, square, rate - first)
    cdef floating u = a * rate
    low[0] = mul_add(a, rate_low, product_error(a, rate, u))
    return u

cdef inline floating gelu_tanh_last(floating like) noexcept nogil:
    return <floating> 11 if floating is float else <floating> 21.8

cdef inline floating gelu_tanh(floating x) noexcept nogil:
    cdef floating low, a = magnitude_at_most[floating](x, gelu_tanh_last(x))
    cdef floating u = gelu_tanh_argument[floating](a, &low)
    return minus_bump[floating](x, sigmoid_bump[floating](a, exp_scaled_two[floating](-u, -low)))

cdef inline floating gelu_tanh_slope(floating g, floating x) noexcept nogil:
    cdef floating low, a = magnitude_at_most[floating](x, gelu_tanh_last(g))
    cdef floating u = gelu_tanh_argument[floating](a, &low)
    cdef floating q, power = exp_parts_two[floating](-u, -low, &q)
    # a u'(a) is u plus twice its cubic part.
    cdef floating two_cubic = <floating> 2 * (gelu_tanh_linear(g) * <floating> 0.044715)
    cdef floating small = mul_add(unscaled[floating](power), q, -low)
    small = mul_add(-a, two_cubic * (a * a), small)
    cdef floating sum = (plus_unscaled[floating](1, power) - u) + small
    return slope_of_bump[floating](g, x, sigmoid_bump_slope[floating](power, q, sum))

cdef void gelu_tanh_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            gelu_tanh_by_lanes(args[0], args[1], n)
            return
    map1[floating](gelu_tanh, args, n)

cdef void gelu_tanh_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            gelu_tanh_slope_by_lanes(args[0], args[1], args[2], n)
            return
    map2[floating](gelu_tanh_slope, args, n)

row = new_row(b"gelu_tanh")
row.layer = b"GELUTanh"
row.summary = b"Gaussian error linear unit, approximated by a hyperbolic tangent."
row.formula = b"x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))"
row.derivative = (b"s * (1 + x * (1 - s) * u'), where s = 1 / (1 + exp(-u)) and "
                  b"u = 2 * sqrt(2 / pi) * (x + 0.044715 * x**3)")
row.special = (b"The value is 0 at -inf; the derivative is 0 at -inf and 1 at inf. The constants "
               b"sqrt(2 / pi) and 0.044715 are rounded to the dtype. Where the magnitude of the "
               b"derivative is below 2**-6, its error is in ULP of 2**-6.")
row.reference = (b"D. Hendrycks and K. Gimpel, \"Gaussian error linear units (GELUs)\", "
                 b"arXiv:1606.08415.")
row.ulp = 4
row.values = b"[-0.0454,  0.    ,  2.9964]"
row.slopes = b"[-0.0861,  0.5   ,  1.0116]"
fill(&row.forward, gelu_tanh_span, gelu_tanh_span)
fill(&row.backward, gelu_tanh_backward_span, gelu_tanh_backward_span)


# -- mish: Misra, 2020 ----------------------------------------------------------------------------
# With e = exp(-a), tanh(log(1 + exp(x))) is e (2 + e) / (2 + 2 e + e^2) below 0, and
# 1 - 2 e^2 / (1 + 2 e + 2 e^2) above 0.

cdef inline floating mish(floating x) noexcept nogil:
    cdef floating a = magnitude_at_most[floating](x, last_exponential(x))
    cdef floating scaled = exp_scaled[floating](-a)
    cdef floating e = unscaled[floating](scaled)
    cdef floating above = <floating> 2 * e
    cdef floating under_above = <floating> 2 * mul_add(e, e, e) + <floating> 1
    cdef floating below = mul_add(e, e, e)              # below 0 the bump needs 1 - quotient
    cdef floating under_below = mul_add(e, e, <floating> 2 * e) + <floating> 2
    cdef floating part = (above if x > 0 else below) / (under_above if x > 0 else under_below)
    cdef floating rest = scaled * part, other = mul_add(-scaled, part, scaled)
    return minus_bump[floating](x, a * (rest if x > 0 else other))

cdef inline floating mish_slope_near_0(floating a) noexcept nogil:
    """The derivative of mish at -a for 0 <= a <= 2: its distance from the root times a polynomial.
    """
    cdef floating c, from_root, t = a - <floating> 1
    cdef floating t2 = t * t
    if floating is float:
        from_root = (<float> 1.19243121147 - a) + <float> 3.04393759e-9
        c = <float> -7.43066822e-6
        c = mul_add(c, t2, mul_add(t, <float> -4.92655033e-5, <float> 0.000191320665))
        c = mul_add(c, t2, mul_add(t, <float> 3.28018464e-5, <float> -0.00127569156))
        c = mul_add(c, t2, mul_add(t, <float> 0.00266502357, <float> 0.00124093426))
        c = mul_add(c, t2, mul_add(t, <float> -0.0181830822, <float> 0.0334873906))
        c = mul_add(c, t2, mul_add(t, <float> 0.0264791122, <float> -0.218136139))
        c = mul_add(c, t, <float> 0.307729466)
    else:
        from_root = (1.1924312145154951637 - a) + 4.84848298480310455e-17
        c = -1.23478017347405224e-11
        c = mul_add(c, t2, mul_add(t, 9.82902508223205298e-11, -9.08538583781598126e-11))
        c = mul_add(c, t2, mul_add(t, -8.61523075469306419e-10, 2.61292079097990389e-9))
        c = mul_add(c, t2, mul_add(t, 3.08591036329157428e-10, -1.79877140342740858e-8))
        c = mul_add(c, t2, mul_add(t, 4.20295765296198571e-8, 1.19242696837986321e-8))
        c = mul_add(c, t2, mul_add(t, -3.06759486067519855e-7, 7.01987868723247143e-7))
        c = mul_add(c, t2, mul_add(t, 2.26528271528705534e-7, -5.13473563494345176e-6))
        c = mul_add(c, t2, mul_add(t, 0.0000114635107167680715, 4.09282876966664787e-6))
        c = mul_add(c, t2, mul_add(t, -0.0000827920619661063138, 0.000179742083353468584))
        c = mul_add(c, t2, mul_add(t, 0.0000698765150588991924, -0.00127001966433609489))
        c = mul_add(c, t2, mul_add(t, 0.0026459963988723702, 0.00123964522153952733))
        c = mul_add(c, t2, mul_add(t, -0.0181786494818627908, 0.0334874994331444346))
        c = mul_add(c, t2, mul_add(t, 0.0264787334036282904, -0.218136140838865653))
        c = mul_add(c, t, 0.307729471159298922)
    return from_root * c

cdef inline floating mish_slope(floating g, floating x) noexcept nogil:
    """g times the derivative of mish.

    Above 0 the derivative is 1 - 2 e^2 (d - 2 a (1 + e)) / d^2 with d = 1 + 2 e + 2 e^2. Below 0
    it is e ((2 + e) d - 4 a (1 + e)) / d^2 with d = 2 + 2 e + e^2, or a polynomial where that
    formula would cancel.
    """
    cdef floating a = magnitude_at_most[floating](x, last_exponential(g))
    cdef floating scaled = exp_scaled[floating](-a)
    cdef floating e = unscaled[floating](scaled)
    cdef floating d = <floating> 2 * mul_add(e, e, e) + <floating> 1
    cdef floating above = <floating> 2 * e * (d - <floating> 2 * a * (<floating> 1 + e))
    cdef floating below = mul_add(e, (<floating> 6 - <floating> 4 * a) + mul_add(
        e, e, <floating> 4 * e), <floating> 4 - <floating> 4 * a)
    cdef floating under_below = mul_add(e, mul_add(e, mul_add(
        e, <floating> 4 + e, <floating> 8), <floating> 8), <floating> 4)        # d^2
    cdef floating slope = unscaled[floating](
        scaled * (above if x > 0 else below) / (d * d if x > 0 else under_below))
    cdef floating near_0 = mish_slope_near_0[floating](a)
    slope = <floating> 1 - slope if x > 0 else slope
    return product_at(g, near_0 if x <= 0 and a < 2 else slope, x)

cdef void mish_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1[floating](mish, args, n)

cdef void mish_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](mish_slope, args, n)

row = new_row(b"mish")
row.layer = b"Mish"
row.summary = b"Smooth, non-monotonic rectifier."
row.formula = b"x * tanh(log(1 + exp(x)))"
row.derivative = b"t + x * (1 - t**2) / (1 + exp(-x)), where t = tanh(log(1 + exp(x)))"
row.special = (b"The value is 0 at -inf; the derivative is 0 at -inf and 1 at inf. The derivative "
               b"changes sign; where its magnitude is below 2**-6, its error is in ULP of 2**-6.")
row.reference = (b"D. Misra, \"Mish: a self regularized non-monotonic activation function\", "
                 b"BMVC 2020.")
row.ulp = 4
row.values = b"[-0.2525,  0.    ,  2.9865]"
row.slopes = b"[-0.1084,  0.6   ,  1.0211]"
fill(&row.forward, mish_span, mish_span)
fill(&row.backward, mish_backward_span, mish_backward_span)
