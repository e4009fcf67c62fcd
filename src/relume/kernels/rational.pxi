# Activations by division and square root.

cdef inline floating largest(floating like) noexcept nogil:
    if floating is float:
        return <float> 3.4028234663852886e38
    else:
        return 1.7976931348623157e308


# -- softsign: Turian et al., 2009 ----------------------------------------------------------------

cdef inline floating softsign(floating x) noexcept nogil:
    cdef floating magnitude = at_most[floating](absolute(x), largest(x))
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
row.summary = b"A sigmoid between -1 and 1 that approaches them slowly."
row.formula = b"x / (1 + abs(x))"
row.derivative = b"1 / (1 + abs(x))**2"
row.special = b"-1 at -inf, 1 at inf; the derivative is 0 at both."
row.reference = (b"J. Turian, J. Bergstra and Y. Bengio, \"Quadratic features and deep "
                 b"architectures for chunking\", NAACL 2009.")
row.initializer = b"glorot"
row.values = b"[-0.6667,  0.    ,  0.75  ]"
row.slopes = b"[0.1111, 1.    , 0.0625]"
fill(&row.forward, softsign_span, softsign_span)
fill(&row.backward, softsign_backward_span, softsign_backward_span)
fill(&row.backward_from_output, softsign_from_output_span, softsign_from_output_span)


# -- squareplus: Barron, 2021 ---------------------------------------------------------------------

# sqrt(a^2 + b) is taken of a and b scaled by a power of two that depends on b alone, so that a
# loop over x leaves it outside; a beyond `most` is added after, since there b counts no more.

cdef inline floating scale_for(floating b) noexcept nogil:
    cdef floating high = <floating> 1e26 if floating is float else <floating> 1e260
    cdef floating low = <floating> 1e-34 if floating is float else <floating> 1e-290
    cdef floating down = <floating> 1.3552527156068805e-20 if floating is float else (
        <floating> 1.8645851828000517e-155)                             # 2^-66, 2^-514
    cdef floating up = <floating> 1.2676506002282294e30 if floating is float else (
        <floating> 4.149515568880993e180)                               # 2^100, 2^600
    cdef floating scale = up if b < low else <floating> 1
    return down if b > high else scale

cdef inline floating squareplus(floating x, floating b) noexcept nogil:
    cdef floating most = <floating> 1e18 if floating is float else <floating> 1e150
    cdef floating tiny = <floating> 1e-37 if floating is float else <floating> 1e-307
    cdef floating scale = scale_for(b)
    cdef floating back = <floating> 1 / scale
    cdef floating a = absolute(x)
    cdef floating counted = at_most[floating](a, most * back)
    cdef floating beyond = a - counted
    cdef floating scaled = counted * scale
    cdef floating root = mul_add(
        square_root(mul_add(scaled, scaled, b * scale * scale)), back, beyond)
    cdef floating above = mul_add(a, <floating> 0.5, root * <floating> 0.5)
    cdef floating below = b / (above + tiny) * <floating> 0.25      # 0 / 0 is 0
    return above if x > 0 else below

cdef inline floating squareplus_backward(floating g, floating x, floating b) noexcept nogil:
    """1/2 + a / (2 r) above 0 and b / (2 r (r + a)) below, where r^2 = a^2 + b, all scaled."""
    cdef floating most = <floating> 1e18 if floating is float else <floating> 1e150
    cdef floating down = <floating> 1.3552527156068805e-20 if floating is float else (
        <floating> 1.8645851828000517e-155)                             # 2^-66, 2^-514
    cdef floating usual = scale_for(b), a = absolute(x)
    cdef floating scale = usual * down if a > most * (<floating> 1 / usual) else usual
    cdef floating scaled = a * scale
    cdef floating square = mul_add(scaled, scaled, b * scale * scale)
    cdef floating under = mul_add(scaled, square_root(square), square)
    # b scale^2 is taken at once only where it cannot vanish.
    cdef floating at_once = at_least[floating](scale, 1), later = at_most[floating](scale, 1)
    cdef floating below = <floating> 0.5 * (b * scale * at_once) / under * later
    cdef floating above = <floating> 1 - below
    cdef floating slope = above if x > 0 else below
    slope = <floating> 0.5 if x == 0 else slope
    return product(g, slope)

cdef void squareplus_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1_with1[floating](squareplus, args, scalar, n)

cdef void squareplus_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2_with1[floating](squareplus_backward, args, scalar, n)

row = new_row(b"squareplus")
row.layer = b"Squareplus"
row.summary = b"A smooth ReLU by a square root: softplus without exponentials."
row.formula = b"(x + sqrt(x**2 + b)) / 2"
row.derivative = b"(1 + x / sqrt(x**2 + b)) / 2"
row.special = b"0 at -inf. ``b=0`` is the ReLU, with a derivative of 1/2 at 0."
row.reference = (b"J. T. Barron, \"Squareplus: a softplus-like algebraic rectifier\", "
                 b"arXiv:2112.11687.")
row.parameters = b"b=4.0"
row.domain = b"(0 <= b) & (b < inf)"
row.ulp = 4
row.values = b"[0.4142, 1.    , 3.3028]"
row.slopes = b"[0.1464, 0.5   , 0.916 ]"
fill(&row.forward, squareplus_span, squareplus_span)
fill(&row.backward, squareplus_backward_span, squareplus_backward_span)
