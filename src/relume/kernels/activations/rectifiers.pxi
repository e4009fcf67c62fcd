# Activations that are piecewise polynomials: straight lines and products of two of them.

cdef inline floating within_slope(floating g, floating x, floating low,
                                  floating high) noexcept nogil:
    """g where low < x < high, else 0."""
    cdef floating r = g if (x > low) & (x < high) else <floating> 0
    return keep_nan[floating](keep_nan[floating](r, g), x)


# -- relu: Nair and Hinton, 2010 ------------------------------------------------------------------

cdef inline floating relu(floating x) noexcept nogil:
    return above_0[floating](x)

cdef inline floating relu_backward(floating g, floating x) noexcept nogil:
    cdef floating r = g if x > 0 else <floating> 0
    return keep_nan[floating](keep_nan[floating](r, g), x)

cdef inline integer relu_integer(integer x) noexcept nogil:
    return x if x > 0 else 0

cdef void relu_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1[floating](relu, args, n)

cdef void relu_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](relu_backward, args, n)

cdef void relu_integer_span(integer** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1_integer[integer](relu_integer, args, n)

row = new_row(b"relu")
row.layer = b"ReLU"
row.summary = b"Rectified linear unit."
row.formula = b"max(x, 0)"
row.derivative = b"1 where x > 0, else 0"
row.special = b"The derivative at 0 is 0, as in PyTorch. ``relu(-0.0)`` is ``+0.0``."
row.reference = (b"V. Nair and G. E. Hinton, \"Rectified linear units improve restricted "
                 b"Boltzmann machines\", ICML 2010.")
row.values = b"[0., 0., 3.]"
row.slopes = b"[0., 0., 1.]"
fill(&row.forward, relu_span, relu_span)
fill(&row.backward, relu_backward_span, relu_backward_span)
fill(&row.backward_from_output, relu_backward_span, relu_backward_span)     # y > 0 where x > 0
fill_integers(&row.forward, relu_integer_span, relu_integer_span, relu_integer_span,
              relu_integer_span, relu_integer_span, relu_integer_span, relu_integer_span,
              relu_integer_span, relu_integer_span, relu_integer_span)


# -- crelu: Shang et al., 2016: relu(x) and relu(-x), which functional/crelu.py joins -------------

cdef inline floating relu_of_minus(floating x) noexcept nogil:
    return above_0[floating](-x)

cdef inline floating crelu_gradient(floating g, floating g_minus, floating x) noexcept nogil:
    cdef floating minus = -g_minus
    cdef floating either = g if x > 0 else minus
    return keep_nans[floating](<floating> 0 if x == 0 else either, g, g_minus, x)

cdef inline bint gapless(const Py_ssize_t* steps, int operands, Py_ssize_t n) noexcept nogil:
    """Whether the rows of n elements follow each other without gaps in each operand."""
    cdef bint result = True
    cdef int k
    for k in range(operands):                   # by hand: three or four numbers
        result &= steps[k] == n
    return result

# crelu is a function along an axis because, for a ufunc, NumPy copies the halves of an array whose
# rows are short.
cdef void crelu_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                     Py_ssize_t n) noexcept nogil:
    cdef floating* spans[3]
    cdef Py_ssize_t i
    if gapless(steps, 3, n):
        rows, n = 1, rows * n
    for i in range(rows):                       # by hand: a loop over rows
        spans = [args[0] + i * steps[0], args[1] + i * steps[1], args[2] + i * steps[2]]
        map1_to2[floating](relu, relu_of_minus, spans, n)

cdef void crelu_columns(floating** args, const Py_ssize_t* steps, Py_ssize_t columns,
                        Py_ssize_t n) noexcept nogil:
    crelu_rows[floating](args, steps, n, columns)

cdef void crelu_backward_rows(floating** args, const Py_ssize_t* steps, Py_ssize_t rows,
                              Py_ssize_t n) noexcept nogil:
    cdef floating* spans[4]
    cdef Py_ssize_t i
    if gapless(steps, 4, n):
        rows, n = 1, rows * n
    for i in range(rows):                       # by hand: a loop over rows
        spans = [args[0] + i * steps[0], args[1] + i * steps[1], args[2] + i * steps[2],
                 args[3] + i * steps[3]]
        map3[floating](crelu_gradient, spans, n)

cdef void crelu_backward_columns(floating** args, const Py_ssize_t* steps, Py_ssize_t columns,
                                 Py_ssize_t n) noexcept nogil:
    crelu_backward_rows[floating](args, steps, n, columns)

cdef void crelu_passes(floating** args, RowState* state, int number, Py_ssize_t n) noexcept nogil:
    if number == 0:
        map1_to2[floating](relu, relu_of_minus, args, n)

cdef void crelu_backward_passes(floating** args, RowState* state, int number,
                                Py_ssize_t n) noexcept nogil:
    if number == 0:
        map3[floating](crelu_gradient, args, n)


# -- relu6: Krizhevsky, 2010 ----------------------------------------------------------------------

cdef inline floating relu6(floating x) noexcept nogil:
    return at_most[floating](above_0[floating](x), <floating> 6)

cdef inline floating relu6_backward(floating g, floating x) noexcept nogil:
    return within_slope[floating](g, x, 0, 6)

cdef inline integer relu6_integer(integer x) noexcept nogil:
    cdef integer above = x if x > 0 else 0
    return above if above < 6 else 6

cdef void relu6_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1[floating](relu6, args, n)

cdef void relu6_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](relu6_backward, args, n)

cdef void relu6_integer_span(integer** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1_integer[integer](relu6_integer, args, n)

row = new_row(b"relu6")
row.layer = b"ReLU6"
row.summary = b"Rectified linear unit capped at 6."
row.formula = b"min(max(x, 0), 6)"
row.derivative = b"1 where 0 < x < 6, else 0"
row.special = b"The derivative at 0 and at 6 is 0, as in PyTorch. ``relu6(-0.0)`` is ``+0.0``."
row.reference = (b"A. Krizhevsky, \"Convolutional deep belief networks on CIFAR-10\", "
                 b"University of Toronto, 2010.")
row.values = b"[0., 0., 3.]"
row.slopes = b"[0., 0., 1.]"
fill(&row.forward, relu6_span, relu6_span)
fill(&row.backward, relu6_backward_span, relu6_backward_span)
fill(&row.backward_from_output, relu6_backward_span, relu6_backward_span)   # 0 < y < 6 as x is
fill_integers(&row.forward, relu6_integer_span, relu6_integer_span, relu6_integer_span,
              relu6_integer_span, relu6_integer_span, relu6_integer_span, relu6_integer_span,
              relu6_integer_span, relu6_integer_span, relu6_integer_span)


# -- prelu: He et al., "Delving deep into rectifiers", 2015; leaky_relu: Maas et al., 2013 --------

cdef inline floating leaky_relu(floating x, floating negative_slope) noexcept nogil:
    cdef floating below = product(x, negative_slope)                  # slope 0 gives 0 at -inf
    return x if x > 0 else below

cdef inline floating leaky_relu_backward(
        floating g, floating x, floating negative_slope) noexcept nogil:
    cdef floating below = product(g, negative_slope)
    return keep_nan[floating](g if x > 0 else below, x)               # the slope at 0, as PyTorch

cdef inline floating prelu_weight_gradient(floating g, floating x) noexcept nogil:
    cdef floating below = x if x < 0 else <floating> 0
    return product(g, keep_nan[floating](below, x))

cdef void leaky_relu_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1_with1[floating](leaky_relu, args, scalar, n)

cdef void leaky_relu_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2_with1[floating](leaky_relu_backward, args, scalar, n)

cdef void prelu_weight_gradient_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](prelu_weight_gradient, args, n)

row = new_row(b"prelu")
row.summary = b"Parametric rectified linear unit: a leaky ReLU with a slope for each element."
row.formula = b"x where x > 0, else weight * x"
row.derivative = b"1 where x > 0, else weight"
row.special = b"The derivative at 0 is ``weight``, as in PyTorch; a weight of 0 gives 0 at -inf."
row.reference = (b"K. He, X. Zhang, S. Ren and J. Sun, \"Delving deep into rectifiers: surpassing "
                 b"human-level performance on ImageNet classification\", ICCV 2015.")
row.parameters = b"weight"
row.values = b"[-1.,  0.,  3.]"
fill(&row.forward, leaky_relu_span, leaky_relu_span)
fill(&row.backward, leaky_relu_backward_span, leaky_relu_backward_span)
fill(&row.parameter_gradient, prelu_weight_gradient_span, prelu_weight_gradient_span)

# -- rrelu: Xu et al., 2015: prelu with random slopes, which functional/rrelu.py draws ------------
# The inputs are (numbers in [0, 1), lower, width, max_slope); the slopes are uniform in
# [lower, lower + width), clamped to max_slope. The numbers are doubles. For float32, the 53 bits
# of one double make two slopes of 24 bits each, in half the time that NumPy takes for two floats.

cdef void uniform_float(float** args, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef const double* u = <const double*> args[0]
    cdef float* out = args[4]
    cdef float lower = args[1][0], width = args[2][0] / 16777216, max_slope = args[3][0]
    cdef double scaled
    cdef int high, low
    cdef Py_ssize_t i
    for i in range(n // 2):
        scaled = u[i] * 16777216                # 2^24
        high = <int> scaled
        low = <int> ((scaled - high) * 16777216)
        out[2 * i] = at_most[float](lower + width * <float> high, max_slope)
        out[2 * i + 1] = at_most[float](lower + width * <float> low, max_slope)


cdef void uniform_double(double** args, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef const double* u = args[0]
    cdef double* out = args[4]
    cdef double lower = args[1][0], width = args[2][0], max_slope = args[3][0]
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = at_most[double](lower + width * u[i], max_slope)

fill(&table.uniform, uniform_float, uniform_double)


row = new_row(b"leaky_relu")
row.layer = b"LeakyReLU"
row.summary = b"Leaky rectified linear unit."
row.formula = b"x where x > 0, else negative_slope * x"
row.derivative = b"1 where x > 0, else negative_slope"
row.special = (b"The derivative at 0 is ``negative_slope``, as in PyTorch; a slope of 0 gives 0 "
               b"at -inf.")
row.reference = (b"A. L. Maas, A. Y. Hannun and A. Y. Ng, \"Rectifier nonlinearities improve "
                 b"neural network acoustic models\", ICML 2013.")
row.parameters = b"negative_slope=0.01"
row.domain = b"negative_slope == negative_slope"
row.from_output_domain = b"negative_slope > 0"
row.values = b"[-0.02,  0.  ,  3.  ]"
row.slopes = b"[0.01, 0.01, 1.  ]"
fill(&row.forward, leaky_relu_span, leaky_relu_span)
fill(&row.backward, leaky_relu_backward_span, leaky_relu_backward_span)
fill(&row.backward_from_output, leaky_relu_backward_span, leaky_relu_backward_span)


# -- threshold ------------------------------------------------------------------------------------

cdef inline floating threshold(floating x, floating limit, floating value) noexcept nogil:
    return keep_nan[floating](x if x > limit else value, x)

cdef inline floating threshold_backward(
        floating g, floating x, floating limit, floating value) noexcept nogil:
    cdef floating r = g if x > limit else <floating> 0
    return keep_nan[floating](keep_nan[floating](r, g), x)

cdef inline integer threshold_integer(integer x, integer limit, integer value) noexcept nogil:
    return x if x > limit else value

cdef void threshold_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1_with2[floating](threshold, args, scalar, n)

cdef void threshold_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2_with2[floating](threshold_backward, args, scalar, n)

cdef void threshold_integer_span(integer** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1_integer_with2[integer](threshold_integer, args, scalar, n)

row = new_row(b"threshold")
row.layer = b"Threshold"
row.summary = b"Replace values at or below a threshold by another value."
row.formula = b"x where x > threshold, else value"
row.derivative = b"1 where x > threshold, else 0"
row.special = (b"The derivative at the threshold is 0, as in PyTorch. With ``value=0``, this is "
               b"the thresholded ReLU.")
row.reference = (b"K. Konda, R. Memisevic and D. Krueger, \"Zero-bias autoencoders and the "
                 b"benefits of co-adapting features\", ICLR 2015.")
row.parameters = b"threshold,value"
row.domain = b"(threshold == threshold) & (value == value)"
row.values = b"[0., 0., 3.]"
row.slopes = b"[0., 0., 1.]"
fill(&row.forward, threshold_span, threshold_span)
fill(&row.backward, threshold_backward_span, threshold_backward_span)
fill_integers(&row.forward, threshold_integer_span, threshold_integer_span,
              threshold_integer_span, threshold_integer_span, threshold_integer_span,
              threshold_integer_span, threshold_integer_span, threshold_integer_span,
              threshold_integer_span, threshold_integer_span)


# -- hardtanh -------------------------------------------------------------------------------------

cdef inline floating hardtanh(floating x, floating min_val, floating max_val) noexcept nogil:
    return at_most[floating](at_least[floating](x, min_val), max_val)

cdef inline floating hardtanh_backward(
        floating g, floating x, floating min_val, floating max_val) noexcept nogil:
    return within_slope[floating](g, x, min_val, max_val)

cdef void hardtanh_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1_with2[floating](hardtanh, args, scalar, n)

cdef void hardtanh_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2_with2[floating](hardtanh_backward, args, scalar, n)

row = new_row(b"hardtanh")
row.layer = b"Hardtanh"
row.summary = b"Identity clipped to two bounds."
row.formula = b"min(max(x, min_val), max_val)"
row.derivative = b"1 where min_val < x < max_val, else 0"
row.special = b"The derivative at both bounds is 0, as in PyTorch."
row.reference = (b"R. Collobert, \"Large scale machine learning\", PhD thesis, Universite Paris "
                 b"VI, 2004.")
row.parameters = b"min_val=-1.0,max_val=1.0"
row.domain = b"min_val <= max_val"
row.from_output_domain = b"min_val <= max_val"
row.initializer = b"glorot"
row.values = b"[-1.,  0.,  1.]"
row.slopes = b"[0., 1., 0.]"
fill(&row.forward, hardtanh_span, hardtanh_span)
fill(&row.backward, hardtanh_backward_span, hardtanh_backward_span)
fill(&row.backward_from_output, hardtanh_backward_span, hardtanh_backward_span)


# -- relu_squared: So et al., 2021 ----------------------------------------------------------------

cdef inline floating relu_squared(floating x) noexcept nogil:
    cdef floating above = above_0[floating](x)
    return above * above

cdef inline floating relu_squared_backward(floating g, floating x) noexcept nogil:
    return product(g, <floating> 2 * above_0[floating](x))

cdef void relu_squared_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1[floating](relu_squared, args, n)

cdef void relu_squared_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](relu_squared_backward, args, n)

row = new_row(b"relu_squared")
row.layer = b"ReLUSquared"
row.summary = b"Square of the rectified linear unit."
row.formula = b"max(x, 0)**2"
row.derivative = b"2 * max(x, 0)"
row.special = b"It is continuous at 0."
row.reference = (b"D. R. So et al., \"Primer: searching for efficient transformers for language "
                 b"modeling\", NeurIPS 2021.")
row.values = b"[0., 0., 9.]"
row.slopes = b"[0., 0., 6.]"
fill(&row.forward, relu_squared_span, relu_squared_span)
fill(&row.backward, relu_squared_backward_span, relu_squared_backward_span)


# -- hardshrink, softshrink: Donoho, "De-noising by soft-thresholding", 1995 ----------------------

cdef inline floating hardshrink(floating x, floating lambd) noexcept nogil:
    return <floating> 0 if absolute(x) <= lambd else x

cdef inline floating shrink_backward(floating g, floating x, floating lambd) noexcept nogil:
    cdef floating r = <floating> 0 if absolute(x) <= lambd else g
    return keep_nan[floating](keep_nan[floating](r, g), x)

cdef inline floating softshrink(floating x, floating lambd) noexcept nogil:
    cdef floating inner = at_most[floating](at_least[floating](x, -lambd), lambd)
    return x - inner

cdef void hardshrink_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1_with1[floating](hardshrink, args, scalar, n)

cdef void softshrink_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1_with1[floating](softshrink, args, scalar, n)

cdef void shrink_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2_with1[floating](shrink_backward, args, scalar, n)

row = new_row(b"hardshrink")
row.layer = b"Hardshrink"
row.summary = b"Identity with the values around 0 set to 0."
row.formula = b"x where abs(x) > lambd, else 0"
row.derivative = b"1 where abs(x) > lambd, else 0"
row.special = b"The derivative at -lambd and lambd is 0, as in PyTorch."
row.reference = (b"D. L. Donoho, \"De-noising by soft-thresholding\", IEEE Transactions on "
                 b"Information Theory 41, 1995.")
row.parameters = b"lambd=0.5"
row.domain = b"lambd == lambd"
row.initializer = b"glorot"
row.values = b"[-2.,  0.,  3.]"
row.slopes = b"[1., 0., 1.]"
fill(&row.forward, hardshrink_span, hardshrink_span)
fill(&row.backward, shrink_backward_span, shrink_backward_span)

row = new_row(b"softshrink")
row.layer = b"Softshrink"
row.summary = b"Shrink values towards 0 by a constant."
row.formula = b"x - min(max(x, -lambd), lambd)"
row.derivative = b"1 where abs(x) > lambd, else 0"
row.special = b"The derivative at -lambd and lambd is 0, as in PyTorch."
row.reference = (b"D. L. Donoho, \"De-noising by soft-thresholding\", IEEE Transactions on "
                 b"Information Theory 41, 1995.")
row.parameters = b"lambd=0.5"
row.domain = b"(0 <= lambd) & (lambd < inf)"
row.initializer = b"glorot"
row.values = b"[-1.5,  0. ,  2.5]"
row.slopes = b"[1., 0., 1.]"
fill(&row.forward, softshrink_span, softshrink_span)
fill(&row.backward, shrink_backward_span, shrink_backward_span)


# -- hardsigmoid, hardswish: Howard et al., "Searching for MobileNetV3", 2019 ---------------------

cdef inline floating hardsigmoid(floating x) noexcept nogil:
    return relu6[floating](x + <floating> 3) * <floating> 0.16666666666666666

cdef inline floating hardsigmoid_backward(floating g, floating x) noexcept nogil:
    return within_slope[floating](g * <floating> 0.16666666666666666, x, -3, 3)

cdef inline floating hardsigmoid_backward_from_output(floating g, floating y) noexcept nogil:
    return within_slope[floating](g * <floating> 0.16666666666666666, y, 0, 1)

cdef inline floating hardswish(floating x) noexcept nogil:
    cdef floating inner = x * sixth[floating](x + <floating> 3)
    cdef floating above = x if x >= 3 else inner
    return <floating> 0 if x <= -3 else above

cdef inline floating hardswish_backward(floating g, floating x) noexcept nogil:
    cdef floating inner = sixth[floating](<floating> 2 * x + <floating> 3)
    cdef floating slope = <floating> 1 if x >= 3 else inner
    return product(g, <floating> 0 if x <= -3 else slope)

cdef void hardsigmoid_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1[floating](hardsigmoid, args, n)

cdef void hardsigmoid_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](hardsigmoid_backward, args, n)

cdef void hardsigmoid_from_output_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](hardsigmoid_backward_from_output, args, n)

cdef void hardswish_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map1[floating](hardswish, args, n)

cdef void hardswish_backward_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    map2[floating](hardswish_backward, args, n)

row = new_row(b"hardsigmoid")
row.layer = b"Hardsigmoid"
row.summary = b"Piecewise linear approximation of the logistic sigmoid."
row.formula = b"min(max(x + 3, 0), 6) / 6"
row.derivative = b"1/6 where -3 < x < 3, else 0"
row.special = b"The derivative at -3 and 3 is 0, as in PyTorch."
row.reference = b"A. Howard et al., \"Searching for MobileNetV3\", ICCV 2019."
row.initializer = b"glorot"
row.values = b"[0.1667, 0.5   , 1.    ]"
row.slopes = b"[0.1667, 0.1667, 0.    ]"
fill(&row.forward, hardsigmoid_span, hardsigmoid_span)
fill(&row.backward, hardsigmoid_backward_span, hardsigmoid_backward_span)
fill(&row.backward_from_output, hardsigmoid_from_output_span, hardsigmoid_from_output_span)

row = new_row(b"hardswish")
row.layer = b"Hardswish"
row.summary = b"Approximation of the SiLU by the hard sigmoid."
row.formula = b"x * min(max(x + 3, 0), 6) / 6"
row.derivative = b"0 where x <= -3, 1 where x >= 3, else x / 3 + 1/2"
row.special = b"The derivative is 0 at -3 and 1 at 3, as in PyTorch. ``hardswish(-inf)`` is 0."
row.reference = b"A. Howard et al., \"Searching for MobileNetV3\", ICCV 2019."
row.values = b"[-0.3333,  0.    ,  3.    ]"
row.slopes = b"[-0.1667,  0.5   ,  1.    ]"
fill(&row.forward, hardswish_span, hardswish_span)
fill(&row.backward, hardswish_backward_span, hardswish_backward_span)
