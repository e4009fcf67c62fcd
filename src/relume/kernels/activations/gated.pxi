# Gated linear units: one half of the features times an activation of the other half. A backward
# pass has two results, the gradients with respect to both halves.

# -- glu: Dauphin et al., 2017 --------------------------------------------------------------------

cdef inline floating glu(floating a, floating b) noexcept nogil:
    return product(a, sigmoid[floating](b))

cdef inline void glu_backward(floating g, floating a, floating b, floating* grad_a,
                              floating* grad_b) noexcept nogil:
    # With e = exp(-|b|) and w = 1 / (1 + e), the sigmoid is e w below 0 and 1 - e w above 0, and
    # its derivative is e w w.
    cdef floating scaled = exp_below[floating](b)
    cdef floating w = <floating> 1 / plus_unscaled[floating](1, scaled), part = scaled * w
    cdef floating signed_part = flipped_by[floating](part, b)
    grad_a[0] = product_at(g, plus_unscaled[floating](step[floating](b), -signed_part), b)
    grad_b[0] = product_at(g, product(a, unscaled[floating](part * w)), b)

cdef void glu_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            glu_by_lanes(args[0], args[1], args[2], n)
            return
    map2[floating](glu, args, n)

cdef void glu_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            glu_backward_by_lanes(args[0], args[1], args[2], args[3], args[4], n)
            return
    map3_to2[floating](glu_backward, args, n)

row = new_gated_row(b"glu")
row.summary = b"Gated linear unit."
row.formula = b"a / (1 + exp(-b))"
row.derivative = (b"s with respect to `a` and a * s * (1 - s) with respect to `b`, where "
                  b"s = 1 / (1 + exp(-b))")
row.reference = (b"Y. N. Dauphin, A. Fan, M. Auli and D. Grangier, \"Language modeling with gated "
                 b"convolutional networks\", ICML 2017.")
row.values = b"1.9051"
row.slopes = b"[0.9526, 0.0904]"
fill(&row.forward, glu_span, glu_span)
fill(&row.backward, glu_backward_span, glu_backward_span)


# -- reglu, geglu, swiglu: Shazeer, "GLU variants improve transformer", 2020 ----------------------

cdef inline floating reglu(floating a, floating b) noexcept nogil:
    return product(b, relu[floating](a))

cdef inline void reglu_backward(floating g, floating a, floating b, floating* grad_a,
                                floating* grad_b) noexcept nogil:
    cdef floating gb = g * b, ga = g * a
    cdef floating r = gb if a > 0 else <floating> 0, s = ga if a > 0 else <floating> 0
    grad_a[0] = keep_nans[floating](r, g, b, a)
    grad_b[0] = keep_nans[floating](s, g, a, a)

cdef inline floating geglu(floating a, floating b) noexcept nogil:
    return product(b, gelu[floating](a))

cdef inline void geglu_backward(floating g, floating a, floating b, floating* grad_a,
                                floating* grad_b) noexcept nogil:
    grad_a[0] = product(g, gelu_slope[floating](b, a))
    grad_b[0] = product(g, gelu[floating](a))

cdef inline floating swiglu(floating a, floating b) noexcept nogil:
    return product(b, silu[floating](a))

cdef inline void swiglu_backward(floating g, floating a, floating b, floating* grad_a,
                                 floating* grad_b) noexcept nogil:
    cdef floating size = magnitude_at_most[floating](a, last_exponential(g))
    cdef floating q, power = exp_parts[floating](-size, &q)
    cdef floating slope = sigmoid_bump_slope[floating](power, q, silu_sum(power, q, size))
    cdef floating bump = sigmoid_bump[floating](size, mul_add(power, q, power))
    grad_a[0] = product(g, slope_of_bump[floating](b, a, slope))
    grad_b[0] = product(g, minus_bump[floating](a, bump))

cdef void reglu_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](reglu, args, n)

cdef void reglu_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map3_to2[floating](reglu_backward, args, n)

cdef void geglu_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            geglu_by_lanes(args[0], args[1], args[2], n)
            return
    map2[floating](geglu, args, n)

cdef void geglu_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            geglu_backward_by_lanes(args[0], args[1], args[2], args[3], args[4], n)
            return
    map3_to2[floating](geglu_backward, args, n)

cdef void swiglu_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            swiglu_by_lanes(args[0], args[1], args[2], n)
            return
    map2[floating](swiglu, args, n)

cdef void swiglu_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    if floating is float:
        if LANES_FLOAT:
            swiglu_backward_by_lanes(args[0], args[1], args[2], args[3], args[4], n)
            return
    map3_to2[floating](swiglu_backward, args, n)

row = new_gated_row(b"reglu")
row.summary = b"Gated linear unit with a ReLU as its gate."
row.formula = b"max(a, 0) * b"
row.derivative = b"(b where a > 0, else 0) with respect to `a` and max(a, 0) with respect to `b`"
row.reference = b"N. Shazeer, \"GLU variants improve transformer\", arXiv:2002.05202."
row.values = b"6.0"
row.slopes = b"[3., 2.]"
fill(&row.forward, reglu_span, reglu_span)
fill(&row.backward, reglu_backward_span, reglu_backward_span)

row = new_gated_row(b"geglu")
row.summary = b"Gated linear unit with a GELU as its gate."
row.formula = b"gelu(a) * b"
row.derivative = b"gelu'(a) * b with respect to `a` and gelu(a) with respect to `b`"
row.reference = b"N. Shazeer, \"GLU variants improve transformer\", arXiv:2002.05202."
row.values = b"5.8635"
row.slopes = b"[3.2557, 1.9545]"
fill(&row.forward, geglu_span, geglu_span)
fill(&row.backward, geglu_backward_span, geglu_backward_span)

row = new_gated_row(b"swiglu")
row.summary = b"Gated linear unit with a SiLU as its gate."
row.formula = b"silu(a) * b"
row.derivative = b"silu'(a) * b with respect to `a` and silu(a) with respect to `b`"
row.reference = b"N. Shazeer, \"GLU variants improve transformer\", arXiv:2002.05202."
row.values = b"5.2848"
row.slopes = b"[3.2724, 1.7616]"
fill(&row.forward, swiglu_span, swiglu_span)
fill(&row.backward, swiglu_backward_span, swiglu_backward_span)
