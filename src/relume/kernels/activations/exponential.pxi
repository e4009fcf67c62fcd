# Activations that take one exponential: sigmoids, and rectifiers that are curved below 0.

# -- elu: Clevert, Unterthiner and Hochreiter, 2016 -----------------------------------------------

cdef inline floating elu(floating x, floating alpha) noexcept nogil:
    cdef floating below = alpha * expm1_negative[floating](x)
    return below if x <= 0 else x

cdef inline floating elu_backward(floating g, floating x, floating alpha) noexcept nogil:
    cdef floating below = product(g, alpha * exp_negative[floating](x))
    return keep_nan[floating](g if x > 0 else below, x)               # alpha at 0, as PyTorch

cdef inline floating elu_backward_from_output(
        floating g, floating y, floating alpha) noexcept nogil:
    cdef floating below = product(g, y + alpha)
    return keep_nan[floating](g if y > 0 else below, y)

cdef void elu_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1_with1[floating](elu, args, scalar, n)

cdef void elu_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2_with1[floating](elu_backward, args, scalar, n)

cdef void elu_from_output_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2_with1[floating](elu_backward_from_output, args, scalar, n)

row = new_row(b"elu")
row.layer = b"ELU"
row.summary = b"Exponential linear unit."
row.formula = b"x where x > 0, else alpha * (exp(x) - 1)"
row.derivative = b"1 where x > 0, else alpha * exp(x)"
row.special = b"The derivative at 0 is ``alpha``, as in PyTorch. The value at -inf is ``-alpha``."
row.reference = (b"D.-A. Clevert, T. Unterthiner and S. Hochreiter, \"Fast and accurate deep "
                 b"network learning by exponential linear units (ELUs)\", ICLR 2016.")
row.parameters = b"alpha=1.0"
row.domain = b"alpha == alpha"
row.from_output_domain = b"alpha > 0"
row.values = b"[-0.8647,  0.    ,  3.    ]"
row.slopes = b"[0.1353, 1.    , 1.    ]"
fill(&row.forward, elu_span, elu_span)
fill(&row.backward, elu_backward_span, elu_backward_span)
fill(&row.backward_from_output, elu_from_output_span, elu_from_output_span)


# -- selu: Klambauer et al., 2017 -----------------------------------------------------------------

cdef inline floating selu_scale(floating like) noexcept nogil:
    return <floating> 1.05070098735548049342

cdef inline floating selu_scale_alpha(floating like) noexcept nogil:
    return <floating> 1.75809934084737685994            # scale * alpha, rounded once

cdef inline floating selu(floating x) noexcept nogil:
    cdef floating below = selu_scale_alpha(x) * expm1_negative[floating](x)
    cdef floating above = selu_scale(x) * x
    return below if x <= 0 else above

cdef inline floating selu_backward(floating g, floating x) noexcept nogil:
    cdef floating below = selu_scale_alpha(g) * exp_negative[floating](x)
    return product(g, selu_scale(g) if x > 0 else below)

cdef inline floating selu_backward_from_output(floating g, floating y) noexcept nogil:
    cdef floating below = y + selu_scale_alpha(g)
    return product(g, selu_scale(g) if y > 0 else below)

cdef void selu_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1[floating](selu, args, n)

cdef void selu_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](selu_backward, args, n)

cdef void selu_from_output_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](selu_backward_from_output, args, n)

row = new_row(b"selu")
row.layer = b"SELU"
row.summary = b"Scaled exponential linear unit, which preserves mean 0 and variance 1."
row.formula = b"scale * (x where x > 0, else alpha * (exp(x) - 1))"
row.derivative = b"scale where x > 0, else scale * alpha * exp(x)"
row.special = (b"The constants are scale = 1.0507009873554805 and alpha = 1.6732632423543772; "
               b"scale and scale * alpha are rounded to the dtype. The derivative at 0 is "
               b"scale * alpha, as in PyTorch.")
row.reference = (b"G. Klambauer, T. Unterthiner, A. Mayr and S. Hochreiter, \"Self-normalizing "
                 b"neural networks\", NeurIPS 2017.")
row.initializer = b"lecun"
row.values = b"[-1.5202,  0.    ,  3.1521]"
row.slopes = b"[0.2379, 1.7581, 1.0507]"
fill(&row.forward, selu_span, selu_span)
fill(&row.backward, selu_backward_span, selu_backward_span)
fill(&row.backward_from_output, selu_from_output_span, selu_from_output_span)


# -- celu: Barron, 2017 ---------------------------------------------------------------------------

cdef inline floating celu(floating x, floating alpha) noexcept nogil:
    cdef floating t = x / alpha
    cdef floating straight = <floating> 1e-4 if floating is float else <floating> 1e-8
    cdef floating small = mul_add(<floating> 0.5 * x, t, x)   # t may be subnormal where x is not
    cdef floating curved = alpha * expm1[floating](t)
    cdef floating below = small if absolute(t) < straight else curved
    return x if x > 0 else below

cdef inline floating celu_backward(floating g, floating x, floating alpha) noexcept nogil:
    cdef floating t = x / alpha
    cdef floating low = -product_error(t, alpha, x) / alpha
    cdef floating below = product(g, exp_two[floating](t, low))
    return keep_nan[floating](g if x > 0 else below, x)

cdef inline floating celu_backward_from_output(
        floating g, floating y, floating alpha) noexcept nogil:
    cdef floating below = product(g, (y + alpha) / alpha)
    return keep_nan[floating](g if y > 0 else below, y)

cdef extern from "math/intrinsics.h" nogil:
    bint is_power_of_two_float(float x)
    bint is_power_of_two_double(double x)

cdef inline bint has_exact_inverse(floating x) noexcept nogil:
    """Whether x is a power of two between 2^-60 and 2^60."""
    cdef floating high = <floating> 1152921504606846976.0
    if floating is float:
        return is_power_of_two_float(x) and <float> 1 / high < x < high
    else:
        return is_power_of_two_double(x) and 1 / high < x < high

cdef inline floating celu_backward_from_output_for_power_of_two(
        floating g, floating y, floating alpha) noexcept nogil:
    """The same where 1 / alpha is exact. The division leaves the loop, in a third of the time."""
    cdef floating below = product(g, (y + alpha) * (<floating> 1 / alpha))
    return keep_nan[floating](g if y > 0 else below, y)

cdef void celu_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1_with1[floating](celu, args, scalar, n)

cdef void celu_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2_with1[floating](celu_backward, args, scalar, n)

cdef void celu_from_output_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if scalar and has_exact_inverse[floating](args[2][0]):
        map2_with1[floating](celu_backward_from_output_for_power_of_two, args, True, n)
    else:
        map2_with1[floating](celu_backward_from_output, args, scalar, n)

row = new_row(b"celu")
row.layer = b"CELU"
row.summary = b"Continuously differentiable exponential linear unit."
row.formula = b"max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0)"
row.derivative = b"1 where x > 0, else exp(x / alpha)"
row.special = b"It is continuous at 0. For alpha > 0 the value at -inf is ``-alpha``."
row.reference = (b"J. T. Barron, \"Continuously differentiable exponential linear units\", "
                 b"arXiv:1704.07483.")
row.parameters = b"alpha=1.0"
row.domain = b"(alpha != 0) & (alpha == alpha)"
row.from_output_domain = b"alpha > 0"
row.ulp = 4
row.values = b"[-0.8647,  0.    ,  3.    ]"
row.slopes = b"[0.1353, 1.    , 1.    ]"
fill(&row.forward, celu_span, celu_span)
fill(&row.backward, celu_backward_span, celu_backward_span)
fill(&row.backward_from_output, celu_from_output_span, celu_from_output_span)


# -- softplus: Dugas et al., 2001 -----------------------------------------------------------------

cdef inline floating softplus(floating x, floating beta) noexcept nogil:
    cdef floating t = beta * x
    cdef floating scaled = exp_below_two[floating](t, product_error(beta, x, t))
    cdef floating bump = log1p_of[floating](scaled)
    return above_0[floating](x) + unscaled[floating](bump * (<floating> 1 / beta))

cdef inline floating softplus_backward(floating g, floating x, floating beta) noexcept nogil:
    cdef floating t = beta * x
    return product_at(g, sigmoid_two[floating](t, product_error(beta, x, t)), x)

cdef inline floating softplus_backward_from_output(
        floating g, floating y, floating beta) noexcept nogil:
    return product_at(g, exp_rest[floating](-beta * y), y)

cdef void softplus_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1_with1[floating](softplus, args, scalar, n)

cdef void softplus_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2_with1[floating](softplus_backward, args, scalar, n)

cdef void softplus_from_output_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2_with1[floating](softplus_backward_from_output, args, scalar, n)

row = new_row(b"softplus")
row.layer = b"Softplus"
row.summary = b"Smooth approximation of the ReLU."
row.formula = b"log(1 + exp(beta * x)) / beta"
row.derivative = b"1 / (1 + exp(-beta * x))"
row.special = (b"The value is 0 at -inf; the derivative is 0 at -inf and 1 at inf. There is "
               b"no threshold above which the function becomes linear.")
row.reference = (b"C. Dugas, Y. Bengio, F. Belisle, C. Nadeau and R. Garcia, \"Incorporating "
                 b"second-order functional knowledge for better option pricing\", NeurIPS 2001.")
row.parameters = b"beta=1.0"
row.domain = b"(0 < beta) & (beta < inf)"
row.from_output_domain = b"(0 < beta) & (beta < inf)"
row.ulp = 4
row.values = b"[0.1269, 0.6931, 3.0486]"
row.slopes = b"[0.1192, 0.5   , 0.9526]"
fill(&row.forward, softplus_span, softplus_span)
fill(&row.backward, softplus_backward_span, softplus_backward_span)
fill(&row.backward_from_output, softplus_from_output_span, softplus_from_output_span)


# -- logsigmoid -----------------------------------------------------------------------------------

cdef inline floating logsigmoid(floating x) noexcept nogil:
    return at_most[floating](x, 0) - unscaled[floating](log1p_of[floating](exp_below[floating](x)))

cdef inline floating logsigmoid_backward(floating g, floating x) noexcept nogil:
    return product_at(g, sigmoid_of[floating](-x), x)

cdef inline floating logsigmoid_backward_from_output(floating g, floating y) noexcept nogil:
    return product_at(g, exp_rest[floating](y), y)

cdef void logsigmoid_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1[floating](logsigmoid, args, n)

cdef void logsigmoid_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](logsigmoid_backward, args, n)

cdef void logsigmoid_from_output_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            logsigmoid_from_output_by_lanes(args[0], args[1], args[2], n)
            return
    map2[floating](logsigmoid_backward_from_output, args, n)

row = new_row(b"logsigmoid")
row.layer = b"LogSigmoid"
row.summary = b"Logarithm of the logistic sigmoid."
row.formula = b"-log(1 + exp(-x))"
row.derivative = b"1 / (1 + exp(x))"
row.special = b"The value is 0 at inf; the derivative is 1 at -inf and 0 at inf."
row.reference = b"NIST Digital Library of Mathematical Functions, sections 4.2 and 4.6."
row.initializer = b"glorot"
row.ulp = 4
row.values = b"[-2.1269, -0.6931, -0.0486]"
row.slopes = b"[0.8808, 0.5   , 0.0474]"
fill(&row.forward, logsigmoid_span, logsigmoid_span)
fill(&row.backward, logsigmoid_backward_span, logsigmoid_backward_span)
fill(&row.backward_from_output, logsigmoid_from_output_span, logsigmoid_from_output_span)


# -- sigmoid --------------------------------------------------------------------------------------

cdef inline floating sigmoid(floating x) noexcept nogil:
    return keep_nan[floating](sigmoid_of[floating](x), x)

cdef inline floating sigmoid_backward(floating g, floating x) noexcept nogil:
    return product_at(g, sigmoid_slope[floating](exp_below[floating](x)), x)

cdef inline floating sigmoid_backward_from_output(floating g, floating y) noexcept nogil:
    return product(g, y * (<floating> 1 - y))

cdef void sigmoid_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            sigmoid_by_lanes(args[0], args[1], n)
            return
    map1[floating](sigmoid, args, n)

cdef void sigmoid_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](sigmoid_backward, args, n)

cdef void sigmoid_from_output_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](sigmoid_backward_from_output, args, n)

row = new_row(b"sigmoid")
row.layer = b"Sigmoid"
row.summary = b"Logistic sigmoid."
row.formula = b"1 / (1 + exp(-x))"
row.derivative = b"sigmoid(x) * (1 - sigmoid(x))"
row.special = b"The value is 0 at -inf and 1 at inf; the derivative is 0 at both."
row.reference = b"NIST Digital Library of Mathematical Functions, section 4.2 (the exponential)."
row.initializer = b"glorot"
row.values = b"[0.1192, 0.5   , 0.9526]"
row.slopes = b"[0.105 , 0.25  , 0.0452]"
fill(&row.forward, sigmoid_span, sigmoid_span)
fill(&row.backward, sigmoid_backward_span, sigmoid_backward_span)
fill(&row.backward_from_output, sigmoid_from_output_span, sigmoid_from_output_span)


# -- tanh -----------------------------------------------------------------------------------------

cdef inline floating tanh(floating x) noexcept nogil:
    return with_sign_of(tanh_of[floating](absolute(x)), x)

cdef inline floating tanh_backward(floating g, floating x) noexcept nogil:
    cdef floating scaled = exp_below[floating](<floating> 2 * x)
    return product_at(g, <floating> 4 * sigmoid_slope[floating](scaled), x)

cdef inline floating tanh_backward_from_output(floating g, floating y) noexcept nogil:
    return product(g, (<floating> 1 - y) * (<floating> 1 + y))

cdef void tanh_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            tanh_by_lanes(args[0], args[1], n)
            return
    map1[floating](tanh, args, n)

cdef void tanh_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](tanh_backward, args, n)

cdef void tanh_from_output_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](tanh_backward_from_output, args, n)

row = new_row(b"tanh")
row.layer = b"Tanh"
row.summary = b"Hyperbolic tangent."
row.formula = b"(exp(x) - exp(-x)) / (exp(x) + exp(-x))"
row.derivative = b"1 - tanh(x)**2"
row.special = (b"The value is -1 at -inf and 1 at inf; the derivative is 0 at both. "
               b"``tanh(-0.0)`` is ``-0.0``.")
row.reference = b"NIST Digital Library of Mathematical Functions, section 4.28."
row.initializer = b"glorot"
row.values = b"[-0.964 ,  0.    ,  0.9951]"
row.slopes = b"[0.0707, 1.    , 0.0099]"
fill(&row.forward, tanh_span, tanh_span)
fill(&row.backward, tanh_backward_span, tanh_backward_span)
fill(&row.backward_from_output, tanh_from_output_span, tanh_from_output_span)


# -- tanhshrink -----------------------------------------------------------------------------------

cdef inline floating tanhshrink(floating x) noexcept nogil:
    cdef floating a = absolute(x), beyond = a - <floating> 1
    return with_sign_of((beyond if a >= 1 else <floating> 0) + tanh_gap[floating](a), x)

cdef inline floating tanhshrink_backward(floating g, floating x) noexcept nogil:
    cdef floating t = tanh_of[floating](absolute(x))
    return product(g, t * t)

cdef void tanhshrink_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            tanhshrink_by_lanes(args[0], args[1], n)
            return
    map1[floating](tanhshrink, args, n)

cdef void tanhshrink_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            tanhshrink_slope_by_lanes(args[0], args[1], args[2], n)
            return
    map2[floating](tanhshrink_backward, args, n)

row = new_row(b"tanhshrink")
row.layer = b"Tanhshrink"
row.summary = b"Difference between the identity and the hyperbolic tangent."
row.formula = b"x - tanh(x)"
row.derivative = b"tanh(x)**2"
row.special = b"The derivative is 1 at both infinities. ``tanhshrink(-0.0)`` is ``-0.0``."
row.reference = b"NIST Digital Library of Mathematical Functions, section 4.28."
row.initializer = b"glorot"
row.ulp = 4
row.values = b"[-1.036 ,  0.    ,  2.0049]"
row.slopes = b"[0.9293, 0.    , 0.9901]"
fill(&row.forward, tanhshrink_span, tanhshrink_span)
fill(&row.backward, tanhshrink_backward_span, tanhshrink_backward_span)
