# Optimizers: one fused loop over spans of equal length of parameters p, gradients g and state s1,
# s2 and, for some, s3. s2 is below 0 where a unit was revived: the next step of such an element
# whose gradient is not 0 is the first step of a new optimizer. Every loop begins with the coupled
# weight decay and ends with the decoupled one. The decoupled decay is subtracted together with the
# step, because 1 - lr decay rounded to float would be off by some thousandths of lr decay. Each
# loop is also compiled without weight decay, which costs 0.6 us of Adam's 6.5 us on 16,384
# parameters. The bits are the same.

cdef extern from "adaptive/steps.h" nogil:
    enum: ADAM
    enum: AMSGRAD
    enum: NADAM
    enum: RMSPROP
    enum: CENTERED_RMSPROP
    ctypedef struct Adaptive:
        double keep1, take1, keep2, take2, rate_m, rate_g, eps, momentum, decay, shrink
        double fresh_m, fresh_r
    void adaptive_float(float* p, const float* g, float* s1, float* s2, float* s3, Py_ssize_t n,
                        const Adaptive* q, int method)
    void adaptive_double(double* p, const double* g, double* s1, double* s2, double* s3,
                         Py_ssize_t n, const Adaptive* q, int method)


cdef inline void adaptive(floating* p, const floating* g, floating* s1, floating* s2,
                          floating* s3, Py_ssize_t n, const Adaptive* q,
                          int method) noexcept nogil:
    if floating is float:
        adaptive_float(p, g, s1, s2, s3, n, q, method)
    else:
        adaptive_double(p, g, s1, s2, s3, n, q, method)


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


# -- SGD: like torch.optim.SGD; Sutskever et al., ICML 2013 ---------------------------------------

cdef inline void sgd_steps(floating* p, const floating* g, floating* s1, floating* s2,
                           Py_ssize_t n, const double* hyper, int64_t t,
                           bint decaying) noexcept nogil:
    """v = momentum v + (1 - dampening) g; p -= lr (v, or g + momentum v with Nesterov); s1 is v.

    hyper: momentum, nesterov, whether v includes the learning rate, as in scikit-learn, and
    dampening, which a first step has none of. v = momentum v + lr g; p -= v. The two forms differ
    if lr changes.
    """
    cdef Py_ssize_t i
    cdef floating lr = <floating> hyper[0], decay = <floating> hyper[1]
    cdef floating shrink = <floating> (hyper[0] * hyper[2])
    cdef floating momentum = <floating> hyper[3]
    cdef floating ahead = momentum if hyper[4] else 1       # weight of v with Nesterov
    cdef floating now = 1 if hyper[4] else 0                # and weight of g
    cdef floating lr_in = lr if hyper[5] else 1
    cdef floating lr_out = 1 if hyper[5] else lr
    cdef floating damped = <floating> (1 if t == 1 else 1 - hyper[6])
    cdef floating v, gradient, share
    if momentum == 0:
        for i in range(n):
            p[i] = moved(p[i], lr * decayed(g[i], p[i], decay, decaying), shrink, decaying)
        return
    if hyper[6] != 0:
        for i in range(n):
            gradient = lr_in * decayed(g[i], p[i], decay, decaying)
            share = <floating> 1 if s2[i] < 0 else damped
            v = momentum * s1[i] + share * gradient
            s1[i] = v
            s2[i] = s2[i] if gradient == 0 else <floating> 0
            p[i] = moved(p[i], lr_out * v, shrink, decaying)
        return
    for i in range(n):
        gradient = lr_in * decayed(g[i], p[i], decay, decaying)
        v = momentum * s1[i] + gradient
        s1[i] = v
        p[i] = moved(p[i], lr_out * (now * gradient + ahead * v), shrink, decaying)


cdef void sgd(floating* p, const floating* g, floating* s1, floating* s2, floating* s3,
              Py_ssize_t n, const double* hyper, int64_t t) noexcept nogil:
    built_twice[floating](sgd_steps, p, g, s1, s2, n, hyper, t)


cdef double sgd_reach(const double* hyper, int64_t t, double g, double* s1) noexcept nogil:
    cdef double lr = max(hyper[0], 1.0)
    s1[0] = hyper[3] * s1[0] + lr * g
    return lr * (s1[0] + g)


# -- RMSprop: like torch.optim.RMSprop; Tieleman and Hinton, Coursera lecture 6.5, 2012 -----------

cdef inline Adaptive rmsprop_numbers(const double* hyper) noexcept nogil:
    """hyper: alpha, eps, momentum."""
    cdef Adaptive q
    q.keep1, q.take1 = hyper[3], 1 - hyper[3]
    q.keep2, q.take2 = hyper[3], 1 - hyper[3]
    q.rate_m, q.rate_g = hyper[0], 0
    q.eps, q.momentum = hyper[4], hyper[5]
    q.decay, q.shrink = hyper[1], hyper[0] * hyper[2]
    q.fresh_m = q.fresh_r = 0                           # a first step is like any other
    return q


cdef void rmsprop(floating* p, const floating* g, floating* s1, floating* s2, floating* s3,
                  Py_ssize_t n, const double* hyper, int64_t t) noexcept nogil:
    """b = momentum b + g / (r + eps); p -= lr b; r^2 is the running mean of g^2; s1, s2: b, r."""
    cdef Adaptive q = rmsprop_numbers(hyper)
    adaptive[floating](p, g, s1, s2, s3, n, &q, RMSPROP)


cdef double rmsprop_reach(const double* hyper, int64_t t, double g, double* s1) noexcept nogil:
    s1[0] = hyper[5] * s1[0] + min(g / hyper[4], 2 / sqrt(1 - hyper[3]))
    return hyper[0] * s1[0]


cdef void centered_rmsprop(floating* p, const floating* g, floating* s1, floating* s2,
                           floating* s3, Py_ssize_t n, const double* hyper,
                           int64_t t) noexcept nogil:
    """`rmsprop` where r^2 is the running variance of g; s3 is its running mean."""
    cdef Adaptive q = rmsprop_numbers(hyper)
    q.take2 *= q.keep2
    adaptive[floating](p, g, s1, s2, s3, n, &q, CENTERED_RMSPROP)


cdef double centered_rmsprop_reach(const double* hyper, int64_t t, double g,
                                   double* s1) noexcept nogil:
    s1[0] = hyper[5] * s1[0] + g / hyper[4]
    return hyper[0] * s1[0]


# -- Adam: Kingma and Ba, ICLR 2015; AdamW with decoupled decay: Loshchilov and Hutter ------------
# -- AMSGrad: Reddi, Kale and Kumar, "On the convergence of Adam and beyond", ICLR 2018 -----------

cdef inline Adaptive adam_numbers(const double* hyper, int64_t t) noexcept nogil:
    """Both bias corrections are moved out of the loop.

    hyper: beta1, beta2, eps, and whether eps is added to the root of v before its bias correction,
    as in scikit-learn.
    """
    cdef Adaptive q
    cdef double beta1 = hyper[3], beta2 = hyper[4]
    cdef double correction1 = 1 - pow(beta1, <double> t)
    cdef double correction2 = sqrt(1 - pow(beta2, <double> t))
    q.keep1, q.take1, q.keep2, q.take2 = beta1, 1 - beta1, beta2, 1 - beta2
    q.rate_m, q.rate_g = hyper[0] * correction2 / correction1, 0
    q.eps, q.momentum = hyper[5] if hyper[6] else hyper[5] * correction2, 0
    q.decay, q.shrink = hyper[1], hyper[0] * hyper[2]
    q.fresh_m, q.fresh_r = correction1, correction2
    return q


cdef void adam(floating* p, const floating* g, floating* s1, floating* s2, floating* s3,
               Py_ssize_t n, const double* hyper, int64_t t) noexcept nogil:
    """p -= lr m^ / (r^ + eps), where m and r^2 (of s1, s2) are running means of g and g^2."""
    cdef Adaptive q = adam_numbers(hyper, t)
    adaptive[floating](p, g, s1, s2, s3, n, &q, ADAM)


cdef double adam_reach(const double* hyper, int64_t t, double g, double* s1) noexcept nogil:
    """NAdam's too: of g and m, and in a first step, it takes less than four times the larger."""
    s1[0] = max(s1[0], 2 * g)
    return 4 * hyper[0] * s1[0] / ((1 - hyper[3]) * hyper[5])


cdef void amsgrad(floating* p, const floating* g, floating* s1, floating* s2, floating* s3,
                  Py_ssize_t n, const double* hyper, int64_t t) noexcept nogil:
    """`adam` that divides by s3, the maximum of r over all steps."""
    cdef Adaptive q = adam_numbers(hyper, t)
    adaptive[floating](p, g, s1, s2, s3, n, &q, AMSGRAD)


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


cdef void nadam(floating* p, const floating* g, floating* s1, floating* s2, floating* s3,
                Py_ssize_t n, const double* hyper, int64_t t) noexcept nogil:
    """Adam with Nesterov momentum: m^ is a mean of g and m, weighted by two successive momenta.

    hyper: beta1, beta2, eps, momentum_decay, and the two numbers of nadam_prepare.
    """
    cdef Adaptive q
    cdef double beta1 = hyper[3], beta2 = hyper[4], product = hyper[7]
    cdef double now = nadam_momentum(hyper, <double> t)
    cdef double next = nadam_momentum(hyper, <double> (t + 1))
    cdef double first = nadam_momentum(hyper, 1), second = nadam_momentum(hyper, 2)
    cdef double correction = sqrt(1 - pow(beta2, <double> t)), rate = hyper[0] * correction
    cdef double weight_g = (1 - now) / (1 - product), weight_m = next / (1 - product * next)
    cdef double at_first = 1 + second * (1 - beta1) / (1 - first * second)
    q.keep1, q.take1, q.keep2, q.take2 = beta1, 1 - beta1, beta2, 1 - beta2
    q.rate_m, q.rate_g = rate * weight_m, rate * weight_g
    q.eps, q.momentum = hyper[5] * correction, 0
    q.decay, q.shrink = hyper[1], hyper[0] * hyper[2]
    q.fresh_m, q.fresh_r = (at_first - weight_g) / weight_m if weight_m > 0 else 0, correction
    adaptive[floating](p, g, s1, s2, s3, n, &q, NADAM)


# -- Lion: Chen et al., NeurIPS 2023, algorithm 2 -------------------------------------------------

cdef inline void lion_steps(floating* p, const floating* g, floating* s1, floating* s2,
                            Py_ssize_t n, const double* hyper, int64_t t,
                            bint decaying) noexcept nogil:
    """p -= lr sign(beta1 m + (1 - beta1) g), then m = beta2 m + (1 - beta2) g; s1 is m.

    hyper: beta1, beta2. A gradient that is not finite makes p NaN, so that it is detected.
    """
    cdef Py_ssize_t i
    cdef floating lr = <floating> hyper[0], decay = <floating> hyper[1]
    cdef floating shrink = <floating> (hyper[0] * hyper[2])
    cdef floating keep1 = <floating> hyper[3], take1 = <floating> (1 - hyper[3])
    cdef floating keep2 = <floating> hyper[4], take2 = <floating> (1 - hyper[4])
    cdef floating gradient, step
    for i in range(n):
        gradient = decayed(g[i], p[i], decay, decaying)
        step = sign(keep1 * s1[i] + take1 * gradient) + (gradient - gradient)
        s1[i] = keep2 * s1[i] + take2 * gradient
        p[i] = moved(p[i], lr * step, shrink, decaying)


cdef void lion(floating* p, const floating* g, floating* s1, floating* s2, floating* s3,
               Py_ssize_t n, const double* hyper, int64_t t) noexcept nogil:
    built_twice[floating](lion_steps, p, g, s1, s2, n, hyper, t)


cdef double lion_reach(const double* hyper, int64_t t, double g, double* s1) noexcept nogil:
    s1[0] = max(s1[0], g)
    return hyper[0]


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
    sum = corrected(sum, error)
    if sum - sum == 0:
        return sum
    sum = 0                                             # a square of a float may have overflowed
    for j in range(n):                                  # by hand: rare
        sum += absolute(<double> p[j]) * (l1 + l2 * absolute(<double> p[j]))
    return sum


# -- max_norm: Srebro and Shraibman, 2005 ---------------------------------------------------------

cdef void limit_columns(floating* w, Py_ssize_t rows, Py_ssize_t n, double max_norm,
                        floating* factor) noexcept nogil:
    """Scale each column of a matrix down to a norm of at most max_norm; `factor` is scratch."""
    cdef Py_ssize_t i, j
    cdef floating limit = <floating> max_norm
    cdef floating high = 1e30 if floating is float else 1e290       # of a sum of squares
    cdef floating low = 1e-10 if floating is float else 1e-140      # of a limit
    cdef bint fits = low < limit < high
    memset(factor, 0, n * sizeof(floating))
    for i in range(rows):
        for j in range(n):
            factor[j] = factor[j] + w[i * n + j] * w[i * n + j]
    if not (fits and peak[floating](factor, n) < high):
        limit_columns_scaled[floating](w, rows, n, max_norm)
        return
    for j in range(n):
        factor[j] = limit / at_least[floating](square_root(factor[j]), limit)
    for i in range(rows):
        for j in range(n):
            w[i * n + j] = w[i * n + j] * factor[j]


cdef void limit_columns_scaled(floating* w, Py_ssize_t rows, Py_ssize_t n,
                               double max_norm) noexcept nogil:
    """`limit_columns` where squares, or the factors, could leave the range of the dtype."""
    cdef Py_ssize_t i, j
    cdef double largest, norm
    for j in range(n):                                  # by hand: rare, one column after the other
        largest = 0
        for i in range(rows):                           # by hand: as the columns
            largest = max(largest, absolute(<double> w[i * n + j]))
        if largest == 0:
            continue
        norm = 0
        for i in range(rows):                           # by hand: as the columns
            norm += (w[i * n + j] / largest) * (w[i * n + j] / largest)
        norm = sqrt(norm)
        if not norm <= max_norm / largest:              # NaN too
            for i in range(rows):                       # by hand: as the columns
                w[i * n + j] = <floating> (w[i * n + j] / largest * (max_norm / norm))
