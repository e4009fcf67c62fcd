# Optimizers: one fused loop over a span of parameters p, gradients g and state s1, s2 (same
# length). hyper[0] is the learning rate; t counts the steps from 1.

cdef void sgd(floating* p, const floating* g, floating* s1, floating* s2, Py_ssize_t n,
              const double* hyper, int64_t t) noexcept nogil:
    """v = momentum v + g; p -= learning_rate (v, or g + momentum v with Nesterov); s1 is v.

    As torch.optim.SGD without dampening; Sutskever et al., ICML 2013.
    """
    cdef Py_ssize_t i
    cdef floating learning_rate = <floating> hyper[0]
    cdef floating momentum = <floating> hyper[1]
    cdef floating ahead = momentum if hyper[2] else 1       # Nesterov's weight of v
    cdef floating now = 1 if hyper[2] else 0                # and of g
    cdef floating v, gradient
    if momentum == 0:
        for i in range(n):
            p[i] = p[i] - learning_rate * g[i]
        return
    for i in range(n):
        gradient = g[i]
        v = momentum * s1[i] + gradient
        s1[i] = v
        p[i] = p[i] - learning_rate * (now * gradient + ahead * v)


cdef void adam(floating* p, const floating* g, floating* s1, floating* s2, Py_ssize_t n,
               const double* hyper, int64_t t) noexcept nogil:
    """m, v: running means of g and g^2 (s1, s2); p -= learning_rate m^ / (sqrt(v^) + eps).

    Kingma and Ba, ICLR 2015, with both bias corrections taken out of the loop.
    """
    cdef Py_ssize_t i
    cdef double beta1 = hyper[1], beta2 = hyper[2]
    cdef double correction = sqrt(1 - pow(beta2, <double> t))
    cdef floating rate = <floating> (hyper[0] * correction / (1 - pow(beta1, <double> t)))
    cdef floating eps = <floating> (hyper[3] * correction)
    cdef floating keep1 = <floating> beta1, take1 = <floating> (1 - beta1)
    cdef floating keep2 = <floating> beta2, take2 = <floating> (1 - beta2)
    cdef floating gradient, m, v
    for i in range(n):
        gradient = g[i]
        m = keep1 * s1[i] + take1 * gradient
        v = keep2 * s2[i] + take2 * (gradient * gradient)
        s1[i] = m
        s2[i] = v
        p[i] = p[i] - rate * (m / (square_root(v) + eps))
