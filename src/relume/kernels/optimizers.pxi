# Optimizers: one fused loop over spans of equal length of parameters p, gradients g and state s1
# and s2. Every loop begins with the coupled weight decay and ends with the decoupled one. The
# decoupled decay is subtracted together with the step, because 1 - lr decay rounded to float would
# be off by some thousandths of lr decay. Each loop is also compiled without weight decay, which
# costs 0.6 us of Adam's 6.5 us on 16,384 parameters. The bits are the same.

cdef extern from "math/divide_by_root.h" nogil:
    void over_root_float(const float* x, const float* v, float eps, Py_ssize_t n, float* out)
    void over_root_double(const double* x, const double* v, double eps, Py_ssize_t n, double* out)

cdef inline void over_root(const floating* x, const floating* v, floating eps, Py_ssize_t n,
                           floating* out) noexcept nogil:
    """x / (sqrt(v) + eps)."""
    if floating is float:
        over_root_float(x, v, eps, n, out)
    else:
        over_root_double(x, v, eps, n, out)


cdef inline floating sign(floating x) noexcept nogil:
    """1 or -1; x itself if it is 0 or NaN."""
    cdef floating one = with_sign_of(<floating> 1, x)
    return one if absolute(x) > 0 else x


cdef inline floating decayed(floating g, floating p, floating decay, bint decaying) noexcept nogil:
    return g + decay * p if decaying else g


cdef inline floating moved(floating p, floating step, floating shrink,
                           bint decaying) noexcept nogil:
    return p - (shrink * p + step) if decaying else p - step


cdef inline void built_twice(
        void (*steps)(floating*, const floating*, floating*, floating*, Py_ssize_t, const double*,
                      int64_t, bint) noexcept nogil,
        floating* p, const floating* g, floating* s1, floating* s2, Py_ssize_t n,
        const double* hyper, int64_t t) noexcept nogil:
    if hyper[1] != 0 or hyper[2] != 0:
        steps(p, g, s1, s2, n, hyper, t, True)
    else:
        steps(p, g, s1, s2, n, hyper, t, False)


# -- SGD: like torch.optim.SGD without dampening; Sutskever et al., ICML 2013 ---------------------

cdef inline void sgd_steps(floating* p, const floating* g, floating* s1, floating* s2,
                           Py_ssize_t n, const double* hyper, int64_t t,
                           bint decaying) noexcept nogil:
    """v = momentum v + g; p -= lr (v, or g + momentum v with Nesterov); s1 is v.

    hyper: momentum, nesterov, and whether v includes the learning rate, as in scikit-learn:
    v = momentum v + lr g; p -= v. The two forms differ if lr changes.
    """
    cdef Py_ssize_t i
    cdef floating lr = <floating> hyper[0], decay = <floating> hyper[1]
    cdef floating shrink = <floating> (hyper[0] * hyper[2])
    cdef floating momentum = <floating> hyper[3]
    cdef floating ahead = momentum if hyper[4] else 1       # weight of v with Nesterov
    cdef floating now = 1 if hyper[4] else 0                # and weight of g
    cdef floating lr_in = lr if hyper[5] else 1
    cdef floating lr_out = 1 if hyper[5] else lr
    cdef floating v, gradient
    if momentum == 0:
        for i in range(n):
            p[i] = moved(p[i], lr * decayed(g[i], p[i], decay, decaying), shrink, decaying)
        return
    for i in range(n):
        gradient = lr_in * decayed(g[i], p[i], decay, decaying)
        v = momentum * s1[i] + gradient
        s1[i] = v
        p[i] = moved(p[i], lr_out * (now * gradient + ahead * v), shrink, decaying)


cdef void sgd(floating* p, const floating* g, floating* s1, floating* s2, Py_ssize_t n,
              const double* hyper, int64_t t) noexcept nogil:
    built_twice[floating](sgd_steps, p, g, s1, s2, n, hyper, t)


# -- RMSprop: like torch.optim.RMSprop; Tieleman and Hinton, Coursera lecture 6.5, 2012 -----------

cdef inline void rmsprop_steps(floating* p, const floating* g, floating* s1, floating* s2,
                               Py_ssize_t n, const double* hyper, int64_t t,
                               bint decaying) noexcept nogil:
    """b = momentum b + g / (sqrt(v) + eps); p -= lr b; v is the running mean of g^2; s1, s2: b, v.

    hyper: alpha, eps, momentum.
    """
    cdef Py_ssize_t block, start, size, i
    cdef floating lr = <floating> hyper[0], decay = <floating> hyper[1]
    cdef floating shrink = <floating> (hyper[0] * hyper[2])
    cdef floating keep = <floating> hyper[3], take = <floating> (1 - hyper[3])
    cdef floating eps = <floating> hyper[4], momentum = <floating> hyper[5]
    cdef floating gradient
    cdef floating terms[SHORT]
    for block in range((n + SHORT - 1) // SHORT):
        start, size = block * SHORT, min(<Py_ssize_t> SHORT, n - block * SHORT)
        for i in range(size):
            gradient = decayed(g[start + i], p[start + i], decay, decaying)
            s2[start + i] = keep * s2[start + i] + take * (gradient * gradient)
            terms[i] = gradient
        over_root[floating](terms, s2 + start, eps, size, terms)
        if momentum != 0:
            for i in range(size):
                terms[i] = momentum * s1[start + i] + terms[i]
                s1[start + i] = terms[i]
        for i in range(size):
            p[start + i] = moved(p[start + i], lr * terms[i], shrink, decaying)


cdef void rmsprop(floating* p, const floating* g, floating* s1, floating* s2, Py_ssize_t n,
                  const double* hyper, int64_t t) noexcept nogil:
    built_twice[floating](rmsprop_steps, p, g, s1, s2, n, hyper, t)


# -- Adam: Kingma and Ba, ICLR 2015; AdamW with decoupled decay: Loshchilov and Hutter ------------

cdef inline void adam_steps(floating* p, const floating* g, floating* s1, floating* s2,
                            Py_ssize_t n, const double* hyper, int64_t t,
                            bint decaying) noexcept nogil:
    """p -= lr m^ / (sqrt(v^) + eps), where m and v (s1, s2) are running means of g and g^2.

    Both bias corrections are moved out of the loop. hyper: beta1, beta2, eps, and whether eps is
    added to the root of v before its bias correction, as in scikit-learn.
    """
    cdef Py_ssize_t block, start, size, i
    cdef double beta1 = hyper[3], beta2 = hyper[4]
    cdef double correction = sqrt(1 - pow(beta2, <double> t))
    cdef floating rate = <floating> (hyper[0] * correction / (1 - pow(beta1, <double> t)))
    cdef floating eps = <floating> (hyper[5] if hyper[6] else hyper[5] * correction)
    cdef floating decay = <floating> hyper[1], shrink = <floating> (hyper[0] * hyper[2])
    cdef floating keep1 = <floating> beta1, take1 = <floating> (1 - beta1)
    cdef floating keep2 = <floating> beta2, take2 = <floating> (1 - beta2)
    cdef floating gradient
    cdef floating terms[SHORT]
    for block in range((n + SHORT - 1) // SHORT):
        start, size = block * SHORT, min(<Py_ssize_t> SHORT, n - block * SHORT)
        for i in range(start, start + size):
            gradient = decayed(g[i], p[i], decay, decaying)
            s1[i] = keep1 * s1[i] + take1 * gradient
            s2[i] = keep2 * s2[i] + take2 * (gradient * gradient)
        over_root[floating](s1 + start, s2 + start, eps, size, terms)
        for i in range(size):
            p[start + i] = moved(p[start + i], rate * terms[i], shrink, decaying)


cdef void adam(floating* p, const floating* g, floating* s1, floating* s2, Py_ssize_t n,
               const double* hyper, int64_t t) noexcept nogil:
    built_twice[floating](adam_steps, p, g, s1, s2, n, hyper, t)


# -- NAdam: like torch.optim.NAdam; Dozat, ICLR 2016 workshop -------------------------------------

cdef inline double nadam_momentum(const double* hyper, double t) noexcept nogil:
    return hyper[3] * (1 - 0.5 * pow(0.96, t * hyper[6]))


cdef void nadam_prepare(double* hyper, int64_t t) noexcept nogil:
    """Advance hyper[7], the product of the momenta of the first hyper[8] steps, to step t.

    A product that no longer changes 1 - product is left as it is, so that a fit that continues
    after many steps starts without delay and gives the same bits.
    """
    while hyper[8] < t and hyper[7] > 1e-20:
        hyper[8] += 1
        hyper[7] *= nadam_momentum(hyper, hyper[8])


cdef inline void nadam_steps(floating* p, const floating* g, floating* s1, floating* s2,
                             Py_ssize_t n, const double* hyper, int64_t t,
                             bint decaying) noexcept nogil:
    """Adam with Nesterov momentum: m^ is a mean of g and m, weighted by two successive momenta.

    hyper: beta1, beta2, eps, momentum_decay, and the two numbers of nadam_prepare.
    """
    cdef Py_ssize_t block, start, size, i
    cdef double beta1 = hyper[3], beta2 = hyper[4], product = hyper[7]
    cdef double now = nadam_momentum(hyper, <double> t)
    cdef double next = nadam_momentum(hyper, <double> (t + 1))
    cdef double correction = sqrt(1 - pow(beta2, <double> t)), rate = hyper[0] * correction
    cdef floating rate_g = <floating> (rate * (1 - now) / (1 - product))
    cdef floating rate_m = <floating> (rate * next / (1 - product * next))
    cdef floating eps = <floating> (hyper[5] * correction)
    cdef floating decay = <floating> hyper[1], shrink = <floating> (hyper[0] * hyper[2])
    cdef floating keep1 = <floating> beta1, take1 = <floating> (1 - beta1)
    cdef floating keep2 = <floating> beta2, take2 = <floating> (1 - beta2)
    cdef floating gradient
    cdef floating terms[SHORT]
    for block in range((n + SHORT - 1) // SHORT):
        start, size = block * SHORT, min(<Py_ssize_t> SHORT, n - block * SHORT)
        for i in range(size):
            gradient = decayed(g[start + i], p[start + i], decay, decaying)
            s1[start + i] = keep1 * s1[start + i] + take1 * gradient
            s2[start + i] = keep2 * s2[start + i] + take2 * (gradient * gradient)
            terms[i] = rate_g * gradient + rate_m * s1[start + i]
        over_root[floating](terms, s2 + start, eps, size, terms)
        for i in range(size):
            p[start + i] = moved(p[start + i], terms[i], shrink, decaying)


cdef void nadam(floating* p, const floating* g, floating* s1, floating* s2, Py_ssize_t n,
                const double* hyper, int64_t t) noexcept nogil:
    built_twice[floating](nadam_steps, p, g, s1, s2, n, hyper, t)


# -- Lion: Chen et al., NeurIPS 2023, algorithm 2 -------------------------------------------------

cdef inline void lion_steps(floating* p, const floating* g, floating* s1, floating* s2,
                            Py_ssize_t n, const double* hyper, int64_t t,
                            bint decaying) noexcept nogil:
    """p -= lr sign(beta1 m + (1 - beta1) g), then m = beta2 m + (1 - beta2) g; s1 is m.

    hyper: beta1, beta2. A NaN gradient makes p NaN, so that it is detected.
    """
    cdef Py_ssize_t i
    cdef floating lr = <floating> hyper[0], decay = <floating> hyper[1]
    cdef floating shrink = <floating> (hyper[0] * hyper[2])
    cdef floating keep1 = <floating> hyper[3], take1 = <floating> (1 - hyper[3])
    cdef floating keep2 = <floating> hyper[4], take2 = <floating> (1 - hyper[4])
    cdef floating gradient, step
    for i in range(n):
        gradient = decayed(g[i], p[i], decay, decaying)
        step = sign(keep1 * s1[i] + take1 * gradient)
        s1[i] = keep2 * s1[i] + take2 * gradient
        p[i] = moved(p[i], lr * step, shrink, decaying)


cdef void lion(floating* p, const floating* g, floating* s1, floating* s2, Py_ssize_t n,
               const double* hyper, int64_t t) noexcept nogil:
    built_twice[floating](lion_steps, p, g, s1, s2, n, hyper, t)


# -- clipping, averaging and penalties ------------------------------------------------------------

cdef double sum_squares(const floating* x, Py_ssize_t n) noexcept nogil:
    """The sum of x^2, computed in double like `total`."""
    cdef double sum = 0, error = 0
    cdef double terms[SHORT]
    cdef Py_ssize_t block, start, size, j
    for block in range((n + SHORT - 1) // SHORT):
        start, size = block * SHORT, min(<Py_ssize_t> SHORT, n - block * SHORT)
        for j in range(size):
            terms[j] = <double> x[start + j] * <double> x[start + j]
        add_exactly(&sum, &error, sum_of[double](terms, size))
    return corrected(sum, error)


cdef void clip(floating* x, Py_ssize_t n, double limit) noexcept nogil:
    """Clip x to [-limit, limit]; NaN stays NaN."""
    cdef floating bound = <floating> limit
    cdef Py_ssize_t i
    for i in range(n):
        x[i] = at_most[floating](at_least[floating](x[i], -bound), bound)


cdef void scale(floating* x, Py_ssize_t n, double factor) noexcept nogil:
    """x = factor x."""
    cdef floating by = <floating> factor
    cdef Py_ssize_t i
    for i in range(n):
        x[i] = by * x[i]


cdef void average(floating* mean, const floating* p, Py_ssize_t n, double keep) noexcept nogil:
    """mean = keep mean + (1 - keep) p."""
    cdef floating kept = <floating> keep, taken = <floating> (1 - keep)
    cdef Py_ssize_t i
    for i in range(n):
        mean[i] = kept * mean[i] + taken * p[i]


cdef double penalize(floating* g, const floating* p, Py_ssize_t n, double l1,
                     double l2) noexcept nogil:
    """g += l1 sign(p) + 2 l2 p; returns the penalty l1 sum(|p|) + l2 sum(p^2)."""
    cdef floating l1_slope = <floating> l1, l2_slope = <floating> (2 * l2)
    cdef floating l1_term = <floating> l1, l2_term = <floating> l2, size_of
    cdef double sum = 0, error = 0
    cdef floating terms[SHORT]
    cdef Py_ssize_t block, start, size, j
    for block in range((n + SHORT - 1) // SHORT):
        start, size = block * SHORT, min(<Py_ssize_t> SHORT, n - block * SHORT)
        for j in range(size):
            size_of = absolute(p[start + j])
            terms[j] = size_of * (l1_term + l2_term * size_of)
        if l1 == 0:
            for j in range(size):
                g[start + j] = g[start + j] + l2_slope * p[start + j]
        else:
            for j in range(size):
                g[start + j] = g[start + j] + (l1_slope * sign(p[start + j])
                                               + l2_slope * p[start + j])
        add_exactly(&sum, &error, sum_of[floating](terms, size))
    return corrected(sum, error)


# -- max_norm: Srebro and Shraibman, 2005 ---------------------------------------------------------

cdef double scaled_norm(const floating* x, Py_ssize_t n, Py_ssize_t stride) noexcept nogil:
    """The norm of a column, whose squares may overflow."""
    cdef double largest = 0, sum = 0, value
    cdef Py_ssize_t i
    for i in range(n):                          # by hand: rare
        value = fabs(x[i * stride])
        largest = value if value > largest else largest
    if largest == 0:
        return 0
    for i in range(n):                          # by hand: rare
        value = x[i * stride] / largest
        sum += value * value
    return largest * sqrt(sum)

cdef void limit_columns(floating* w, Py_ssize_t rows, Py_ssize_t n, double max_norm,
                        floating* factor) noexcept nogil:
    """Scale each column of a matrix down to a norm of at most max_norm; `factor` is scratch."""
    cdef Py_ssize_t i, j
    cdef floating limit = <floating> max_norm
    memset(factor, 0, n * sizeof(floating))
    for i in range(rows):
        for j in range(n):
            factor[j] = factor[j] + w[i * n + j] * w[i * n + j]
    for j in range(n):
        factor[j] = limit / at_least[floating](square_root(factor[j]), limit)
    for j in range(n):                          # by hand: rare
        if factor[j] == 0:                      # the squares have overflowed
            factor[j] = <floating> (max_norm / scaled_norm[floating](w + j, rows, n))
    for i in range(rows):
        for j in range(n):
            w[i * n + j] = w[i * n + j] * factor[j]
