# -- sine: Sitzmann et al., 2020 ------------------------------------------------------------------

from relume.kernels.table cimport Sine, SineBackward

cdef extern from "math/large_argument.h" nogil:
    double half_turns_of_large(double x, int half, double* rest)

cdef extern from "math/intrinsics.h" nogil:
    float flipped_if_odd_float(float x, float y)
    double flipped_if_odd_double(double x, double y)

cdef inline floating half_turns(floating x, floating* rest, floating half) noexcept nogil:
    """x = (k + half) pi + rest with rest within pi / 2; returned is k in the low bits.

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
    cdef floating shifted = x * <floating> 0.3183098861837907 - half + to_integer
    cdef floating turns = shifted - to_integer + half
    rest[0] = ((x - turns * pi1) - turns * pi2) - turns * pi3
    return shifted

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

cdef inline floating signed_sine(floating r, floating k) noexcept nogil:
    """(-1)^k sin(r) for the k that `half_turns` returns."""
    if floating is float:
        return flipped_if_odd_float(sine_of[float](r), k)
    else:
        return flipped_if_odd_double(sine_of[double](r), k)

cdef inline floating sine_limit(floating like) noexcept nogil:
    """The largest argument that `half_turns` reduces."""
    return <floating> 6000 if floating is float else <floating> 1e8

cdef double sine_of_large(double x, bint half) noexcept nogil:
    """sin(x), or -cos(x) with half, in double, NaN if x is infinite."""
    cdef double rest, sign, k
    if fabs(x) <= 1e8:                          # of a float
        k = half_turns[double](x, &rest, 0.5 if half else 0)
        return signed_sine[double](rest, k)
    sign = half_turns_of_large(x, half, &rest)
    return sign * sine_of[double](rest)

# An argument beyond the limit is noticed for the span at once, by a flag that is as wide as an
# element, so that the loop is made of vectors; such elements are then computed again.

cdef void sine(const floating* x, const floating* omega, Py_ssize_t n,
               floating* out) noexcept nogil:
    cdef floating argument, rest, k, frequency = omega[0], limit = sine_limit(frequency)
    cdef int32_t beyond = 0
    cdef int64_t beyond_double = 0
    cdef Py_ssize_t i
    for i in range(n):
        argument = x[i] * frequency
        if floating is float:
            beyond |= 1 if absolute(argument) > limit else 0
        else:
            beyond_double |= 1 if absolute(argument) > limit else 0
        k = half_turns[floating](argument, &rest, 0)
        out[i] = signed_sine[floating](rest, k)
    if beyond | beyond_double:
        for i in range(n):                      # by hand: rare
            argument = x[i] * frequency
            if absolute(argument) > limit:
                out[i] = <floating> sine_of_large(argument, False)

cdef void sine_backward(const floating* g, const floating* x, const floating* omega, Py_ssize_t n,
                        floating* out) noexcept nogil:
    """g omega cos(omega x), where cos((k + 1/2) pi + r) = -(-1)^k sin(r). out may be g."""
    cdef floating slope[SHORT]
    cdef floating frequency = omega[0]
    cdef Py_ssize_t i, j, size
    for i from 0 <= i < n by SHORT:             # by hand: blocks
        size = min(<Py_ssize_t> SHORT, n - i)
        negative_cosines[floating](x + i, frequency, size, slope)
        for j in range(size):
            out[i + j] = g[i + j] * (-frequency * slope[j])

cdef inline void negative_cosines(const floating* x, floating frequency, Py_ssize_t n,
                                  floating* out) noexcept nogil:
    cdef floating argument, rest, k, limit = sine_limit(frequency)
    cdef int32_t beyond = 0
    cdef int64_t beyond_double = 0
    cdef Py_ssize_t i
    for i in range(n):
        argument = x[i] * frequency
        if floating is float:
            beyond |= 1 if absolute(argument) > limit else 0
        else:
            beyond_double |= 1 if absolute(argument) > limit else 0
        k = half_turns[floating](argument, &rest, <floating> 0.5)
        out[i] = signed_sine[floating](rest, k)
    if beyond | beyond_double:
        for i in range(n):                      # by hand: rare
            argument = x[i] * frequency
            if absolute(argument) > limit:
                out[i] = <floating> sine_of_large(argument, True)


# -- the table ------------------------------------------------------------------------------------

cdef void fill_sine(Spans* spans, floating like) noexcept:
    spans.sine = <Sine> sine[floating]
    spans.sine_backward = <SineBackward> sine_backward[floating]
