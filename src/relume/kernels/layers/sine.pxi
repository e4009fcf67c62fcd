# -- sine: Sitzmann et al., 2020 ------------------------------------------------------------------

from relume.kernels.table cimport Sine, SineBackward

cdef extern from "math/large_argument.h" nogil:
    double half_turns_of_large(double x, int half, double* rest)

cdef inline floating half_turns(floating x, floating* rest, floating half) noexcept nogil:
    """x = (k + half) pi + rest with rest within pi / 2; returned is (-1)^k.

    pi comes in three parts (Cody and Waite), of which the products with k are exact to k = 2^11,
    in float64 to 2^26.
    """
    cdef floating to_integer = <floating> 12582912.0 if floating is float else (
        <floating> 6755399441055744.0)
    cdef floating pi1 = <floating> 3.140625 if floating is float else (
        <floating> 3.1415926814079285)
    cdef floating pi2 = <floating> 9.675025939941406e-4 if floating is float else (
        <floating> -2.781813535079891e-8)
    cdef floating pi3 = <floating> 1.5099580252808664e-7 if floating is float else (
        <floating> 1.2246467991473532e-16)
    cdef floating k = (x * <floating> 0.3183098861837907 - half + to_integer) - to_integer
    cdef floating turns = k + half
    cdef floating pair = (k * <floating> 0.5 + to_integer) - to_integer
    rest[0] = ((x - turns * pi1) - turns * pi2) - turns * pi3
    return <floating> 1 - <floating> 4 * absolute(k * <floating> 0.5 - pair)

cdef inline floating sine_of(floating r) noexcept nogil:
    """sin(r) for abs(r) <= pi / 2, by Taylor's series: r^15 / 15! is below the last bit."""
    cdef floating s = r * r
    cdef floating p = <floating> 1.6059043836821613e-10                     # 1 / 13!
    if floating is double:
        p = <floating> 1.9572941063391263e-20                               # 1 / 21!
        p = mul_add(p, s, <floating> -8.22063524662433e-18)
        p = mul_add(p, s, <floating> 2.8114572543455206e-15)
        p = mul_add(p, s, <floating> -7.647163731819816e-13)
        p = mul_add(p, s, <floating> 1.6059043836821613e-10)
    p = mul_add(p, s, <floating> -2.505210838544172e-8)
    p = mul_add(p, s, <floating> 2.7557319223985893e-6)
    p = mul_add(p, s, <floating> -1.984126984126984e-4)
    p = mul_add(p, s, <floating> 8.333333333333333e-3)
    p = mul_add(p, s, <floating> -0.16666666666666666)
    return mul_add(p * s, r, r)

cdef enum:
    SINE_BLOCK = 256            # elements whose arguments are looked at together

cdef void sines(const floating* x, floating omega, bint half, Py_ssize_t n,
                floating* out) noexcept nogil:
    """sin(omega x), or -cos(omega x) with half, of at most SINE_BLOCK elements.

    An argument that `half_turns` cannot reduce is looked for in the whole block at once, and is
    then computed again.
    """
    cdef floating argument[SINE_BLOCK]
    cdef floating magnitude[SINE_BLOCK]
    cdef floating limit = <floating> 6000 if floating is float else <floating> 1e8
    cdef floating shift = <floating> 0.5 if half else <floating> 0
    cdef floating rest, sign
    cdef Py_ssize_t i
    for i in range(n):
        argument[i] = x[i] * omega
        magnitude[i] = absolute(argument[i])
    for i in range(n):
        sign = half_turns[floating](argument[i], &rest, shift)
        out[i] = sign * sine_of[floating](rest)
    if maximum_of[floating](magnitude, n) > limit:
        for i in range(n):                      # by hand: rare
            if magnitude[i] > limit:
                out[i] = <floating> sine_of_large(argument[i], half)

cdef double sine_of_large(double x, bint half) noexcept nogil:
    """sin(x), or -cos(x) with half, in double, NaN if x is infinite."""
    cdef double rest, sign
    if fabs(x) <= 1e8:                          # of a float
        sign = half_turns[double](x, &rest, 0.5 if half else 0)
    else:
        sign = half_turns_of_large(x, half, &rest)
    return sign * sine_of[double](rest)

cdef void sine(const floating* x, const floating* omega, Py_ssize_t n,
               floating* out) noexcept nogil:
    cdef Py_ssize_t i
    for i from 0 <= i < n by SINE_BLOCK:        # by hand: blocks
        sines[floating](x + i, omega[0], False, min(<Py_ssize_t> SINE_BLOCK, n - i), out + i)

cdef void sine_backward(const floating* g, const floating* x, const floating* omega, Py_ssize_t n,
                        floating* out) noexcept nogil:
    """g omega cos(omega x), where cos((k + 1/2) pi + r) = -(-1)^k sin(r)."""
    cdef floating slope[SINE_BLOCK]
    cdef floating frequency = omega[0]
    cdef Py_ssize_t i, j, size
    for i from 0 <= i < n by SINE_BLOCK:        # by hand: blocks
        size = min(<Py_ssize_t> SINE_BLOCK, n - i)
        sines[floating](x + i, frequency, True, size, slope)
        for j in range(size):
            out[i + j] = g[i + j] * (-frequency * slope[j])


# -- the table ------------------------------------------------------------------------------------

cdef void fill_sine(Spans* spans, floating like) noexcept:
    spans.sine = <Sine> sine[floating]
    spans.sine_backward = <SineBackward> sine_backward[floating]
