# Activations that are computed by a division or a square root.

cdef inline floating max_finite(floating like) noexcept nogil:
    """The largest finite number of the dtype."""
    if floating is float:
        return <float> 3.4028234663852886e38
    else:
        return 1.7976931348623157e308


# -- softsign: Turian et al., 2009 ----------------------------------------------------------------

cdef inline floating softsign(floating x) noexcept nogil:
    cdef floating magnitude = at_most[floating](absolute(x), max_finite(x))
    return with_sign_of(magnitude / (<floating> 1 + magnitude), x)

cdef inline floating softsign_backward(floating g, floating x) noexcept nogil:
    cdef floating inverse = <floating> 1 / (<floating> 1 + absolute(x))
    return product(g, inverse * inverse)

cdef inline floating softsign_backward_from_output(floating g, floating y) noexcept nogil:
    cdef floating rest = <floating> 1 - absolute(y)
    return product(g, rest * rest)

cdef void softsign_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1[floating](softsign, args, n)

cdef void softsign_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](softsign_backward, args, n)

cdef void softsign_from_output_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](softsign_backward_from_output, args, n)

row = new_row(b"softsign")
row.layer = b"Softsign"
row.summary = b"Sigmoid from -1 to 1 with slowly decaying tails."
row.formula = b"x / (1 + abs(x))"
row.derivative = b"1 / (1 + abs(x))**2"
row.special = b"The value is -1 at -inf and 1 at inf; the derivative is 0 at both."
row.reference = (b"J. Turian, J. Bergstra and Y. Bengio, \"Quadratic features and deep "
                 b"architectures for chunking\", NAACL 2009.")
row.initializer = b"glorot"
row.values = b"[-0.6667,  0.    ,  0.75  ]"
row.slopes = b"[0.1111, 1.    , 0.0625]"
fill(&row.forward, softsign_span, softsign_span)
fill(&row.backward, softsign_backward_span, softsign_backward_span)
fill(&row.backward_from_output, softsign_from_output_span, softsign_from_output_span)


# -- squareplus: Barron, 2021 ---------------------------------------------------------------------

# With a = |x| and r = sqrt(a^2 + b), squareplus is b / (2 (r + a)) below 0, which does not cancel,
# and x plus that above 0. All terms are scaled by a power of two that makes b about 2^-24, so that
# a^2 overflows only where the derivative is already 0 or 1. With a scalar b, the compiler moves
# the scale out of the loop over x.

cdef extern from "math/intrinsics.h" nogil:
    float inverse_root_power_float(float b)
    double inverse_root_power_double(double b)

cdef inline floating inverse_root_power(floating b) noexcept nogil:
    """A power of two p with 2^-25 <= b p^2 < 2^-23 (float) or 2^-54 <= b p^2 < 2^-52 (double)."""
    if floating is float:
        return inverse_root_power_float(b)
    else:
        return inverse_root_power_double(b)

cdef inline floating min_normal(floating like) noexcept nogil:
    """The smallest normal number; added to a scaled b, it changes the sum only if b is 0."""
    if floating is float:
        return <float> 1.1754943508222875e-38
    else:
        return 2.2250738585072014e-308

cdef inline floating squareplus(floating x, floating b) noexcept nogil:
    cdef floating high = <floating> 9.2233720368547758e18 if floating is float else (
        <floating> 6.7039039649712985e153)                              # 2^63, 2^511
    cdef floating scale = inverse_root_power(b), half = <floating> 0.5 * (b * scale)
    cdef floating under = b * scale * scale + min_normal(x)
    cdef floating a = absolute(x) * scale
    cdef floating clamped = magnitude_at_most[floating](a, high)
    cdef floating root = square_root(mul_add(clamped, clamped, under))
    cdef floating larger = a if a > root else root
    return half / (larger + a) + above_0[floating](x)

cdef inline floating squareplus_backward(floating g, floating x, floating b) noexcept nogil:
    """g times the derivative, which is b / (2 r (r + a)) below 0 and 1 minus that above 0."""
    cdef floating scale = inverse_root_power(b), scaled = b * scale * scale
    cdef floating a = absolute(x) * scale
    cdef floating square = mul_add(a, a, scaled + min_normal(x))
    cdef floating below = <floating> 0.5 * scaled / mul_add(a, square_root(square), square)
    cdef floating slope = step[floating](x) - flipped_by[floating](below, x)
    return product(g, <floating> 0.5 if x == 0 else slope)

cdef inline floating squareplus_backward_above_0(
        floating g, floating x, floating b) noexcept nogil:
    """squareplus_backward for b > 0, with the same bits: the formula itself gives 1/2 at 0."""
    cdef floating scale = inverse_root_power(b), scaled = b * scale * scale
    cdef floating a = absolute(x) * scale
    cdef floating square = mul_add(a, a, scaled)
    cdef floating below = <floating> 0.5 * scaled / mul_add(a, square_root(square), square)
    return product(g, step[floating](x) - flipped_by[floating](below, x))

cdef void squareplus_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if WIDE_LANES_FLOAT:
            squareplus_by_lanes(args[0], args[1], scalar, args[2], n)
            return
    map1_with1[floating](squareplus, args, scalar, n)

cdef void squareplus_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if WIDE_LANES_FLOAT:
            squareplus_slope_by_lanes(args[0], args[1], args[2], scalar, args[3], n)
            return
    if scalar and 0 < args[2][0] < INFINITY:
        map2_with1[floating](squareplus_backward_above_0, args, True, n)
    else:
        map2_with1[floating](squareplus_backward, args, scalar, n)

row = new_row(b"squareplus")
row.layer = b"Squareplus"
row.summary = b"Smooth approximation of the ReLU that uses a square root and no exponential."
row.formula = b"(x + sqrt(x**2 + b)) / 2"
row.derivative = b"(1 + x / sqrt(x**2 + b)) / 2"
row.special = b"The value at -inf is 0. ``b=0`` gives the ReLU with a derivative of 1/2 at 0."
row.reference = (b"J. T. Barron, \"Squareplus: a softplus-like algebraic rectifier\", "
                 b"arXiv:2112.11687.")
row.parameters = b"b=4.0"
row.domain = b"(0 <= b) & (b < inf)"
row.ulp = 4
row.values = b"[0.4142, 1.    , 3.3028]"
row.slopes = b"[0.1464, 0.5   , 0.916 ]"
fill(&row.forward, squareplus_span, squareplus_span)
fill(&row.backward, squareplus_backward_span, squareplus_backward_span)
