# -- sine: Sitzmann et al., 2020 ------------------------------------------------------------------

from relume.kernels.table cimport Sine, SineBackward

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

cdef void sine(const floating* x, const floating* omega, Py_ssize_t n,
               floating* out) noexcept nogil:
    cdef Py_ssize_t i
    cdef floating rest, sign, frequency = omega[0]
    for i in range(n):
        sign = half_turns[floating](x[i] * frequency, &rest, 0)
        out[i] = sign * sine_of[floating](rest)

cdef void sine_backward(const floating* g, const floating* x, const floating* omega, Py_ssize_t n,
                        floating* out) noexcept nogil:
    """g omega cos(omega x), where cos((k + 1/2) pi + r) = -(-1)^k sin(r)."""
    cdef Py_ssize_t i
    cdef floating rest, sign, frequency = omega[0]
    for i in range(n):
        sign = half_turns[floating](x[i] * frequency, &rest, <floating> 0.5)
        out[i] = g[i] * (-frequency * sign * sine_of[floating](rest))


# -- the table ------------------------------------------------------------------------------------

cdef void fill_sine(Spans* spans, floating like) noexcept:
    spans.sine = <Sine> sine[floating]
    spans.sine_backward = <SineBackward> sine_backward[floating]
