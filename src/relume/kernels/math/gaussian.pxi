# The normal distribution for gelu, under the rules of elementary.pxi.

cdef inline floating normal_bump(floating a) noexcept nogil:
    """a exp(a^2 / 2) Phi(-a) for a >= 0, where Phi is the standard normal distribution function.

    Below 1 it is a quotient of polynomials with positive coefficients, which do not cancel. From 1
    on it is the limit 1 / sqrt(2 pi) minus a smaller quotient with the same denominator.
    """
    cdef floating p, rest, q, limit = <floating> 0.3989422804014327, a2 = a * a
    if floating is float:
        p = mul_add(a, <float> 0.00413164916, <float> 0.0407362295)
        p = mul_add(p, a2, mul_add(a, <float> 0.183540023, <float> 0.438705353))
        p = mul_add(p, a2, a * <floating> 0.5)
        rest = <float> -4.64421891e-8
        rest = mul_add(rest, a2, mul_add(a, <float> 2.51766502e-6, <float> 0.00407281684))
        rest = mul_add(rest, a2, mul_add(a, <float> 0.0415284886, <float> 0.168346282))
        rest = mul_add(rest, a, <float> 0.39894228)
        q = <float> 0.0103563922
        q = mul_add(q, a2, mul_add(a, <float> 0.102116895, <float> 0.470275648))
        q = mul_add(q, a2, mul_add(a, <float> 1.20376773, <float> 1.6752957))
        q = mul_add(q, a, <float> 1.0)
    else:
        p = 1.38640378707898506e-6
        p = mul_add(p, a2, mul_add(a, 0.0000372701476482803888, 0.000490594733860042422))
        p = mul_add(p, a2, mul_add(a, 0.00409054562565896951, 0.0236282413511208127))
        p = mul_add(p, a2, mul_add(a, 0.0977184114369224719, 0.289375119061149091))
        p = mul_add(p, a2, mul_add(a, 0.594105734039433845, 0.774914939035411417))
        p = mul_add(p, a2, a * <floating> 0.5)
        rest = mul_add(a, 4.09718999315930696e-18, -8.48581966130930944e-16)
        rest = mul_add(rest, a2, mul_add(a, 1.38640386632324381e-6, 0.0000372701431983423303))
        rest = mul_add(rest, a2, mul_add(a, 0.000487822095567277191, 0.00401600066657860975))
        rest = mul_add(rest, a2, mul_add(a, 0.0226610131055945139, 0.0899084426574251306))
        rest = mul_add(rest, a2, mul_add(a, 0.24694242926843965, 0.436602551975635154))
        rest = mul_add(rest, a, 0.398942280401432678)
        q = mul_add(a, 3.47519893275795143e-6, 0.0000934224058927246323)
        q = mul_add(q, a2, mul_add(a, 0.0012332138304100366, 0.0103468997186854403))
        q = mul_add(q, a2, mul_add(a, 0.060450006508263506, 0.255010353881598091))
        q = mul_add(q, a2, mul_add(a, 0.78215859159565536, 1.71456927555679192))
        q = mul_add(q, a2, mul_add(a, 2.56141657203045702, 2.34771443887367825))
        q = mul_add(q, a, 1.0)
    cdef floating quotient = (p if a < 1 else rest) / q
    return quotient if a < 1 else limit - quotient


cdef inline floating normal_bump_slope(floating a) noexcept nogil:
    """exp(a^2 / 2) (Phi(-a) - a phi(a)) for a >= 0, as root - a times a factor without a root.

    With root - a factored out, nothing cancels. The other factor is the limit 1 / sqrt(2 pi) plus
    a smaller quotient. root - a is in two parts, and the product is rounded once.
    """
    cdef floating p, q, root, root_low, limit = <floating> 0.3989422804014327, a2 = a * a
    if floating is float:
        root, root_low = <float> 0.751791536808, <float> -1.21144495e-8
        p = mul_add(a, <float> 4.13564982e-8, <float> 0.00836056675)
        p = mul_add(p, a2, mul_add(a, <float> 0.0639326448, <float> 0.199650234))
        p = mul_add(p, a, <float> 0.266135701)
        q = mul_add(a, <float> 0.0278829073, <float> 0.229138349)
        q = mul_add(q, a2, mul_add(a, <float> 0.812201458, <float> 1.41395136))
        q = mul_add(q, a, <float> 1.0)
    else:
        root, root_low = 0.75179152469356447241, -1.49567591770098833e-17
        p = 7.58968962881995087e-7
        p = mul_add(p, a2, mul_add(a, 0.0000210856869395730016, 0.000284096049405769127))
        p = mul_add(p, a2, mul_add(a, 0.00240640547580339972, 0.0140226109073633396))
        p = mul_add(p, a2, mul_add(a, 0.0580783646975717189, 0.170802477453711389))
        p = mul_add(p, a2, mul_add(a, 0.344607006613355343, 0.435431191098040308))
        p = mul_add(p, a, 0.266135714730001577)
        q = mul_add(a, 2.53055933651861973e-6, 0.0000717676224706887299)
        q = mul_add(q, a2, mul_add(a, 0.000989843081088461379, 0.00862460952809591034))
        q = mul_add(q, a2, mul_add(a, 0.0520989320230218369, 0.226488951160043272))
        q = mul_add(q, a2, mul_add(a, 0.71398987938221572, 1.6051693684705607))
        q = mul_add(q, a2, mul_add(a, 2.45487280433862236, 2.29989665458129616))
        q = mul_add(q, a, 1.0)
    cdef floating from_root = root - a, rest = limit + p / q
    cdef floating from_root_low = ((root - from_root) - a) + root_low
    return mul_add(from_root, rest, from_root_low * rest)


cdef inline floating times_exp_half_square(floating x, floating a) noexcept nogil:
    """x exp(-a^2 / 2), scaled and rounded once, for a up to 14.7 (float) or 39 (double)."""
    cdef floating q, minus_half = <floating> -0.5 * a, u = minus_half * a
    cdef floating power = exp_parts_two[floating](u, product_error(minus_half, a, u), &q)
    return mul_add(power * q, x, power * x)
