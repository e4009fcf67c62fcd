# Loops that turn scalar functions into kernels. A function passed by name is inlined, and the loop
# is vectorized. `args` holds the inputs, then the parameters, then the outputs; each parameter is
# one value if `scalar` is true, else a span.

cdef inline void map1(floating (*f)(floating) noexcept nogil,
                      floating** args, Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef floating* out = args[1]
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = f(x[i])


cdef inline void map2(floating (*f)(floating, floating) noexcept nogil,
                      floating** args, Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef const floating* y = args[1]
    cdef floating* out = args[2]
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = f(x[i], y[i])


cdef inline void map1_with1(floating (*f)(floating, floating) noexcept nogil,
                            floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef const floating* a = args[1]
    cdef floating* out = args[2]
    cdef floating a0 = a[0]
    cdef Py_ssize_t i
    if scalar:
        for i in range(n):
            out[i] = f(x[i], a0)
    else:
        for i in range(n):
            out[i] = f(x[i], a[i])


cdef inline void map2_with1(floating (*f)(floating, floating, floating) noexcept nogil,
                            floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef const floating* y = args[1]
    cdef const floating* a = args[2]
    cdef floating* out = args[3]
    cdef floating a0 = a[0]
    cdef Py_ssize_t i
    if scalar:
        for i in range(n):
            out[i] = f(x[i], y[i], a0)
    else:
        for i in range(n):
            out[i] = f(x[i], y[i], a[i])


cdef inline void map1_with2(floating (*f)(floating, floating, floating) noexcept nogil,
                            floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef const floating* a = args[1]
    cdef const floating* b = args[2]
    cdef floating* out = args[3]
    cdef floating a0 = a[0], b0 = b[0]
    cdef Py_ssize_t i
    if scalar:
        for i in range(n):
            out[i] = f(x[i], a0, b0)
    else:
        for i in range(n):
            out[i] = f(x[i], a[i], b[i])


cdef inline void map2_with2(floating (*f)(floating, floating, floating, floating) noexcept nogil,
                            floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef const floating* y = args[1]
    cdef const floating* a = args[2]
    cdef const floating* b = args[3]
    cdef floating* out = args[4]
    cdef floating a0 = a[0], b0 = b[0]
    cdef Py_ssize_t i
    if scalar:
        for i in range(n):
            out[i] = f(x[i], y[i], a0, b0)
    else:
        for i in range(n):
            out[i] = f(x[i], y[i], a[i], b[i])


cdef inline void map1_to2(floating (*f)(floating) noexcept nogil,
                          floating (*f2)(floating) noexcept nogil,
                          floating** args, Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef floating* out1 = args[1]
    cdef floating* out2 = args[2]
    cdef floating value
    cdef Py_ssize_t i
    for i in range(n):
        value = x[i]
        out1[i] = f(value)
        out2[i] = f2(value)


cdef inline void map3(floating (*f)(floating, floating, floating) noexcept nogil,
                      floating** args, Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef const floating* y = args[1]
    cdef const floating* z = args[2]
    cdef floating* out = args[3]
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = f(x[i], y[i], z[i])


cdef inline void map3_to2(void (*f)(floating, floating, floating, floating*, floating*)
                          noexcept nogil, floating** args, Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef const floating* y = args[1]
    cdef const floating* z = args[2]
    cdef floating* out1 = args[3]
    cdef floating* out2 = args[4]
    cdef floating first, second
    cdef Py_ssize_t i
    for i in range(n):
        f(x[i], y[i], z[i], &first, &second)
        out1[i] = first
        out2[i] = second


cdef inline void map1_integer(integer (*f)(integer) noexcept nogil,
                              integer** args, Py_ssize_t n) noexcept nogil:
    cdef const integer* x = args[0]
    cdef integer* out = args[1]
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = f(x[i])


cdef inline void map1_integer_with2(integer (*f)(integer, integer, integer) noexcept nogil,
                                    integer** args, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef const integer* x = args[0]
    cdef const integer* a = args[1]
    cdef const integer* b = args[2]
    cdef integer* out = args[3]
    cdef integer a0 = a[0], b0 = b[0]
    cdef Py_ssize_t i
    if scalar:
        for i in range(n):
            out[i] = f(x[i], a0, b0)
    else:
        for i in range(n):
            out[i] = f(x[i], a[i], b[i])
