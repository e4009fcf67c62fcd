# Loops that turn scalar functions into kernels. A function passed by name is inlined, and the loop
# is vectorized. `args` holds the inputs, then the parameters, then the outputs; each parameter is
# one value if `scalar` is true, else a span.
#
# An output may be one of the inputs, but never overlaps one in part. GCC's vector loops run for
# both. Clang's check for overlap would send a call in place to a loop of single elements, several
# times slower, so that with Clang a call in place has a loop of its own (IN_PLACE_APART), in which
# input and output are one pointer.

cdef extern from "math/intrinsics.h" nogil:
    const bint IN_PLACE_APART "RELUME_IN_PLACE_APART"


cdef inline void map1_into(floating (*f)(floating) noexcept nogil,
                           const floating* x, floating* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = f(x[i])


cdef inline void map1(floating (*f)(floating) noexcept nogil,
                      floating** args, Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef floating* out = args[1]
    if IN_PLACE_APART and x == out:
        map1_into[floating](f, out, out, n)
    else:
        map1_into[floating](f, x, out, n)


cdef inline void map2_into(floating (*f)(floating, floating) noexcept nogil,
                           const floating* x, const floating* y, floating* out,
                           Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = f(x[i], y[i])


cdef inline void map2(floating (*f)(floating, floating) noexcept nogil,
                      floating** args, Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef const floating* y = args[1]
    cdef floating* out = args[2]
    if IN_PLACE_APART and x == out:
        map2_into[floating](f, out, y, out, n)
    elif IN_PLACE_APART and y == out:
        map2_into[floating](f, x, out, out, n)
    else:
        map2_into[floating](f, x, y, out, n)


cdef inline void map1_with1_into(floating (*f)(floating, floating) noexcept nogil,
                                 const floating* x, const floating* a, floating* out, bint scalar,
                                 Py_ssize_t n) noexcept nogil:
    cdef floating a0 = a[0]
    cdef Py_ssize_t i
    if scalar:
        for i in range(n):
            out[i] = f(x[i], a0)
    else:
        for i in range(n):
            out[i] = f(x[i], a[i])


cdef inline void map1_with1(floating (*f)(floating, floating) noexcept nogil,
                            floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef const floating* a = args[1]
    cdef floating* out = args[2]
    if IN_PLACE_APART and x == out:
        map1_with1_into[floating](f, out, a, out, scalar, n)
    else:
        map1_with1_into[floating](f, x, a, out, scalar, n)


cdef inline void map2_with1_into(floating (*f)(floating, floating, floating) noexcept nogil,
                                 const floating* x, const floating* y, const floating* a,
                                 floating* out, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef floating a0 = a[0]
    cdef Py_ssize_t i
    if scalar:
        for i in range(n):
            out[i] = f(x[i], y[i], a0)
    else:
        for i in range(n):
            out[i] = f(x[i], y[i], a[i])


cdef inline void map2_with1(floating (*f)(floating, floating, floating) noexcept nogil,
                            floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef const floating* y = args[1]
    cdef const floating* a = args[2]
    cdef floating* out = args[3]
    if IN_PLACE_APART and x == out:
        map2_with1_into[floating](f, out, y, a, out, scalar, n)
    elif IN_PLACE_APART and y == out:
        map2_with1_into[floating](f, x, out, a, out, scalar, n)
    else:
        map2_with1_into[floating](f, x, y, a, out, scalar, n)


cdef inline void map1_with2_into(floating (*f)(floating, floating, floating) noexcept nogil,
                                 const floating* x, const floating* a, const floating* b,
                                 floating* out, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef floating a0 = a[0], b0 = b[0]
    cdef Py_ssize_t i
    if scalar:
        for i in range(n):
            out[i] = f(x[i], a0, b0)
    else:
        for i in range(n):
            out[i] = f(x[i], a[i], b[i])


cdef inline void map1_with2(floating (*f)(floating, floating, floating) noexcept nogil,
                            floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef const floating* a = args[1]
    cdef const floating* b = args[2]
    cdef floating* out = args[3]
    if IN_PLACE_APART and x == out:
        map1_with2_into[floating](f, out, a, b, out, scalar, n)
    else:
        map1_with2_into[floating](f, x, a, b, out, scalar, n)


cdef inline void map2_with2_into(
        floating (*f)(floating, floating, floating, floating) noexcept nogil,
        const floating* x, const floating* y, const floating* a, const floating* b, floating* out,
        bint scalar, Py_ssize_t n) noexcept nogil:
    cdef floating a0 = a[0], b0 = b[0]
    cdef Py_ssize_t i
    if scalar:
        for i in range(n):
            out[i] = f(x[i], y[i], a0, b0)
    else:
        for i in range(n):
            out[i] = f(x[i], y[i], a[i], b[i])


cdef inline void map2_with2(
        floating (*f)(floating, floating, floating, floating) noexcept nogil,
        floating** args, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef const floating* x = args[0]
    cdef const floating* y = args[1]
    cdef const floating* a = args[2]
    cdef const floating* b = args[3]
    cdef floating* out = args[4]
    if IN_PLACE_APART and x == out:
        map2_with2_into[floating](f, out, y, a, b, out, scalar, n)
    elif IN_PLACE_APART and y == out:
        map2_with2_into[floating](f, x, out, a, b, out, scalar, n)
    else:
        map2_with2_into[floating](f, x, y, a, b, out, scalar, n)


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


cdef inline void map1_integer_into(integer (*f)(integer) noexcept nogil,
                                   const integer* x, integer* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = f(x[i])


cdef inline void map1_integer(integer (*f)(integer) noexcept nogil,
                              integer** args, Py_ssize_t n) noexcept nogil:
    cdef const integer* x = args[0]
    cdef integer* out = args[1]
    if IN_PLACE_APART and x == out:
        map1_integer_into[integer](f, out, out, n)
    else:
        map1_integer_into[integer](f, x, out, n)


cdef inline void map1_integer_with2_into(integer (*f)(integer, integer, integer) noexcept nogil,
                                         const integer* x, const integer* a, const integer* b,
                                         integer* out, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef integer a0 = a[0], b0 = b[0]
    cdef Py_ssize_t i
    if scalar:
        for i in range(n):
            out[i] = f(x[i], a0, b0)
    else:
        for i in range(n):
            out[i] = f(x[i], a[i], b[i])


cdef inline void map1_integer_with2(integer (*f)(integer, integer, integer) noexcept nogil,
                                    integer** args, bint scalar, Py_ssize_t n) noexcept nogil:
    cdef const integer* x = args[0]
    cdef const integer* a = args[1]
    cdef const integer* b = args[2]
    cdef integer* out = args[3]
    if IN_PLACE_APART and x == out:
        map1_integer_with2_into[integer](f, out, a, b, out, scalar, n)
    else:
        map1_integer_with2_into[integer](f, x, a, b, out, scalar, n)
