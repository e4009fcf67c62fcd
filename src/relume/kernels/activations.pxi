# THE list of activations: one block each, holding its formula, its derivative and its row of the
# table. To add one, add a block here and a row to tests/reference.py; ufuncs, docstrings, public
# names, the trainer's choices, tests and benchmarks follow.
#
# A block writes load first, compute both sides, select last: then GCC vectorizes it. NaN in x or
# grad gives NaN, and the derivative at a kink is PyTorch's.

ctypedef void (*SpanFloat)(float** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanDouble)(double** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanByte)(schar** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanUbyte)(uchar** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanShort)(short** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanUshort)(ushort** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanInt)(int** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanUint)(uint** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanLong)(long** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanUlong)(ulong** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanLongLong)(longlong** args, bint scalar, Py_ssize_t n) noexcept nogil
ctypedef void (*SpanUlongLong)(ulonglong** args, bint scalar, Py_ssize_t n) noexcept nogil

cdef Table table
cdef Activation* row


cdef Activation* new_row(const char* name) except NULL:
    """The next row of the table; all its entries are NULL."""
    if table.n_activations == MAX_ACTIVATIONS:
        raise SystemError("MAX_ACTIVATIONS in types.pxd is too small")
    cdef Activation* added = &table.activations[table.n_activations]
    table.n_activations += 1
    added.name = name
    added.initializer = b"he"
    return added


cdef void fill(Kernels* kernels, SpanFloat float32, SpanDouble float64) noexcept:
    kernels.float32 = <Kernel> float32
    kernels.float64 = <Kernel> float64


cdef void fill_integers(Kernels* kernels, SpanByte b, SpanUbyte ub, SpanShort h, SpanUshort uh,
                        SpanInt i, SpanUint ui, SpanLong l, SpanUlong ul, SpanLongLong q,
                        SpanUlongLong uq) noexcept:
    kernels.integer = [<Kernel> b, <Kernel> ub, <Kernel> h, <Kernel> uh, <Kernel> i, <Kernel> ui,
                       <Kernel> l, <Kernel> ul, <Kernel> q, <Kernel> uq]


# -- relu: Nair and Hinton, 2010 ------------------------------------------------------------------

cdef inline floating relu(floating x) noexcept nogil:
    return <floating> 0 if x <= 0 else x           # NaN is not <= 0; -0.0 is, and becomes +0.0

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
row.special = b"The derivative at 0 is 0, as PyTorch's. ``relu(-0.0)`` is ``+0.0``."
row.reference = (b"V. Nair and G. E. Hinton, \"Rectified linear units improve restricted "
                 b"Boltzmann machines\", ICML 2010.")
fill(&row.forward, relu_span, relu_span)
fill(&row.backward, relu_backward_span, relu_backward_span)
fill(&row.backward_from_output, relu_backward_span, relu_backward_span)     # y > 0 where x > 0
fill_integers(&row.forward, relu_integer_span, relu_integer_span, relu_integer_span,
              relu_integer_span, relu_integer_span, relu_integer_span, relu_integer_span,
              relu_integer_span, relu_integer_span, relu_integer_span)


# -- prelu: He et al., "Delving deep into rectifiers", 2015; leaky_relu: Maas et al., 2013 --------

cdef inline floating leaky_relu(floating x, floating negative_slope) noexcept nogil:
    cdef floating product = negative_slope * x
    cdef floating below = <floating> 0 if negative_slope == 0 else product    # 0 at -inf too
    return keep_nan[floating](x if x > 0 else below, x)

cdef inline floating leaky_relu_backward(
        floating g, floating x, floating negative_slope) noexcept nogil:
    cdef floating below = chain(g, negative_slope)
    return keep_nan[floating](g if x > 0 else below, x)               # at 0 the slope, as PyTorch

cdef inline floating prelu_weight_gradient(floating g, floating x) noexcept nogil:
    cdef floating below = x if x < 0 else <floating> 0
    return chain(g, keep_nan[floating](below, x))

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
row.special = b"The derivative at 0 is ``weight``, as PyTorch's; a weight of 0 gives 0 at -inf."
row.reference = (b"K. He, X. Zhang, S. Ren and J. Sun, \"Delving deep into rectifiers: surpassing "
                 b"human-level performance on ImageNet classification\", ICCV 2015.")
row.parameters = b"weight"
fill(&row.forward, leaky_relu_span, leaky_relu_span)
fill(&row.backward, leaky_relu_backward_span, leaky_relu_backward_span)
fill(&row.parameter_gradient, prelu_weight_gradient_span, prelu_weight_gradient_span)

row = new_row(b"leaky_relu")
row.layer = b"LeakyReLU"
row.summary = b"Leaky rectified linear unit."
row.formula = b"x where x > 0, else negative_slope * x"
row.derivative = b"1 where x > 0, else negative_slope"
row.special = (b"The derivative at 0 is ``negative_slope``, as PyTorch's; a slope of 0 gives 0 at "
               b"-inf.")
row.reference = (b"A. L. Maas, A. Y. Hannun and A. Y. Ng, \"Rectifier nonlinearities improve "
                 b"neural network acoustic models\", ICML 2013.")
row.parameters = b"negative_slope=0.01"
row.domain = b"negative_slope == negative_slope"
row.from_output_domain = b"negative_slope > 0"
fill(&row.forward, leaky_relu_span, leaky_relu_span)
fill(&row.backward, leaky_relu_backward_span, leaky_relu_backward_span)
fill(&row.backward_from_output, leaky_relu_backward_span, leaky_relu_backward_span)


# -- sigmoid ------------------------------------------------------------------------------------

cdef inline floating sigmoid(floating x) noexcept nogil:
    cdef floating below = sigmoid_below[floating](-absolute(x))
    return below if x < 0 else <floating> 1 - below

cdef inline floating sigmoid_backward(floating g, floating x) noexcept nogil:
    cdef floating below = sigmoid_below[floating](-absolute(x))
    return chain(g, below * (<floating> 1 - below))                 # exact in both tails

cdef inline floating sigmoid_backward_from_output(floating g, floating y) noexcept nogil:
    return chain(g, y * (<floating> 1 - y))

cdef void sigmoid_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
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
row.special = b"0 at -inf, 1 at inf; the derivative is 0 at both."
row.reference = b"NIST Digital Library of Mathematical Functions, section 4.2 (the exponential)."
row.initializer = b"glorot"
fill(&row.forward, sigmoid_span, sigmoid_span)
fill(&row.backward, sigmoid_backward_span, sigmoid_backward_span)
fill(&row.backward_from_output, sigmoid_from_output_span, sigmoid_from_output_span)


# -- tanh ---------------------------------------------------------------------------------------

cdef inline floating tanh(floating x) noexcept nogil:
    cdef floating magnitude = absolute(x)
    cdef floating small = tanh_small[floating](magnitude)
    cdef floating large = <floating> 1 - <floating> 2 * sigmoid_below[floating](
        <floating> -2 * magnitude)
    cdef floating r = small if magnitude < <floating> 0.55 else large
    return with_sign_of(r, x)

cdef inline floating tanh_backward(floating g, floating x) noexcept nogil:
    cdef floating below = sigmoid_below[floating](<floating> -2 * absolute(x))
    return chain(g, <floating> 4 * below * (<floating> 1 - below))  # exact in both tails

cdef inline floating tanh_backward_from_output(floating g, floating y) noexcept nogil:
    return chain(g, (<floating> 1 - y) * (<floating> 1 + y))

cdef void tanh_span(floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
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
row.special = b"-1 at -inf, 1 at inf; the derivative is 0 at both. ``tanh(-0.0)`` is ``-0.0``."
row.reference = b"NIST Digital Library of Mathematical Functions, section 4.28."
row.initializer = b"glorot"
fill(&row.forward, tanh_span, tanh_span)
fill(&row.backward, tanh_backward_span, tanh_backward_span)
fill(&row.backward_from_output, tanh_from_output_span, tanh_from_output_span)
