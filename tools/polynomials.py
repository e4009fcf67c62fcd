"""Fit the polynomials of src/relume/kernels and print their coefficients in the order used there.

The polynomials are Chebyshev interpolations in 90 digits. For functions as smooth as these, their
errors are within a few per cent of the minimax error. The quotients for the normal distribution
are fitted by iteratively reweighted least squares (Lawson) until the error is equal everywhere.
The tables of kernels/math/lookup.h have a polynomial for each of eight intervals.
Requires mpmath.
"""

from mpmath import (
    chebyfit,
    cos,
    erfc,
    exp,
    expm1,
    fabs,
    findroot,
    log,
    log1p,
    lu_solve,
    matrix,
    mp,
    mpf,
    nstr,
    pi,
    polyval,
    sqrt,
    tanh,
    workprec,
)

mp.dps = 90


def expm1_tail(r):
    """c(r) in expm1(r) = r + r^2 c(r)."""
    if fabs(r) < mpf("1e-9"):
        return mpf(1) / 2 + r / 6 + r**2 / 24
    return (expm1(r) - r) / r**2


def log1p_over(e):
    return log1p(e) / e if e > mpf("1e-30") else 1 - e / 2


def exp_twice(r):
    return exp(2 * r)


def tanh_gap_under(z):
    """c(z) in x - tanh(x) = x^3 / c(x^2)."""
    if z < mpf("1e-14"):
        return 3 + 6 * z / 5 - z**2 / 175
    x = sqrt(z)
    return z / (1 - tanh(x) / x)


def mish_slope_over(t):
    """The derivative of mish at -(1 + t), divided by the distance from its root."""
    w = exp(-1 - t)
    n = w * (w + 2)
    return w * ((w + 2) * (n + 2) - 4 * (1 + t) * (1 + w)) / (n + 2) ** 2 / (MISH_ROOT - 1 - t)


def mills(a):
    """The tail of the standard normal distribution without its exponential factor."""
    return exp(a * a / 2) * erfc(a / sqrt(mpf(2))) / 2


def gelu_slope_rest(a):
    """The factor of (root - a) in mills(a) - a / sqrt(2 pi), minus the factor's limit."""
    return (mills(a) - a / sqrt(2 * pi)) / (GELU_ROOT - a) - 1 / sqrt(2 * pi)


def quotient(function, high, n, m, nodes=160, rounds=25):
    """Fit p / q with degrees n and m to a function on [0, high].

    Returns the maximum relative error and the coefficients of p and q, lowest degree first.
    """
    spread = [
        (1 - cos(pi * (i + mpf(1) / 2) / nodes)) / 2 * high / (high + 2) for i in range(nodes)
    ]
    points = [2 * s / (1 - s) for s in spread]
    values = [function(a) for a in points]
    weights, denominators, best = [mpf(1)] * nodes, [mpf(1)] * nodes, None
    for _ in range(rounds):
        left, right = matrix(n + 1 + m, n + 1 + m), matrix(n + 1 + m, 1)
        for a, value, weight, q in zip(points, values, weights, denominators, strict=True):
            row = [a**j for j in range(n + 1)] + [-value * a**j for j in range(1, m + 1)]
            for i in range(n + 1 + m):
                right[i] += row[i] * value * weight / (value * q) ** 2
                for j in range(n + 1 + m):
                    left[i, j] += row[i] * row[j] * weight / (value * q) ** 2
        solved = list(lu_solve(left, right))
        p, q = solved[: n + 1], [mpf(1), *solved[n + 1 :]]
        denominators = [polyval(q[::-1], a) for a in points]
        errors = [
            fabs(polyval(p[::-1], a) / d / value - 1)
            for a, d, value in zip(points, denominators, values, strict=True)
        ]
        if best is None or max(errors) < best[0]:
            best = max(errors), p, q
        weights = [w * e for w, e in zip(weights, errors, strict=True)]
        weights = [w / sum(weights) for w in weights]
    return best


def bump(a):
    return a * mills(a)


def bump_slope(a):
    return mills(a) - a / sqrt(2 * pi)


def gap(a):
    return a - tanh(a) if a > mpf("1e-20") else a**3 / 3


def nearest_float(value):
    with workprec(24):
        return +value


def center_between(low, high, function):
    """A float at which the function is nearly a float.

    It is near the middle, or near the lower end if the function is much smaller there.
    """
    steep = function(low) < function(high) / 4
    near = nearest_float(low if steep else (low + high) / 2)
    candidates = [near + mpf(k) / 2**14 for k in range(-64, 65)]
    return min(candidates, key=lambda a: fabs(nearest_float(function(a)) / function(a) - 1))


def pieces(function, rate, high, zeros, root, degree=7):
    """The rows of a table of lookup.h: the centers, then the coefficients, highest degree first.

    The intervals end where 1 + rate a is 1.5, 2, 3, 4, 6, 8 and 12, and at `high`. The first one
    has its center at 0, where the function has a zero of order `zeros`; the one with a root has
    it there. Also returns the maximum relative error in units of 2^-24 in each interval.
    """
    ends = [(mpf(3 if k % 2 else 2) * 2 ** (k // 2 - 1) - 1) / rate for k in range(8)]
    columns, errors = [], []
    for low, end in zip(ends, [*ends[1:], high], strict=True):
        center, order = center_between(low, end, function) if low else mpf(0), 0 if low else zeros
        if root and low < root < end:
            center, order = root, 1

        def factor(t, center=center, order=order):
            t = t if fabs(t) > mpf("1e-12") else mpf("1e-12")
            return function(center + t) / t**order

        fitted = chebyfit(factor, [low - center, end - center], degree + 1 - order)
        fitted += [mpf(0)] * order
        columns.append([center, *fitted])
        spread = [low + (end - low) * (mpf(i) + mpf("0.01")) / 50 for i in range(50)]
        errors.append(
            max(fabs(polyval(fitted, a - center) / function(a) - 1) for a in spread) * 2**24
        )
    return list(zip(*columns, strict=True)), errors


HALF_LN2 = log(2) / 2 * mpf("1.0001")
GELU_ROOT = findroot(lambda a: mills(a) - a / sqrt(2 * pi), mpf("0.75"))
MISH_ROOT = findroot(
    lambda a: (2 + exp(-a)) * (1 + (1 + exp(-a)) ** 2) - 4 * a * (1 + exp(-a)), 1.2
)
FITS = [
    ("expm1_reduced", expm1_tail, [-HALF_LN2, HALF_LN2], {"float": 5, "double": 11}),
    ("log1p_over", log1p_over, [mpf(0), mpf(1)], {"float": 10, "double": 21}),
    ("tanh_gap, e", exp_twice, [-HALF_LN2 / 2, HALF_LN2 / 2], {"float": 6, "double": 12}),
    ("tanh_gap, c", tanh_gap_under, [mpf(0), mpf(1)], {"float": 4, "double": 9}),
    ("mish_slope_near_0", mish_slope_over, [mpf(-1), mpf(1)], {"float": 12, "double": 26}),
]
# Upper end of the interval, and degrees of p and q. normal_bump's `rest` is q / sqrt(2 pi) - a p.
QUOTIENTS = [
    ("normal_bump", mills, {"float": (mpf("14.7"), 4, 5), "double": (mpf(39), 9, 10)}),
    (
        "normal_bump_slope",
        gelu_slope_rest,
        {"float": (mpf("14.7"), 4, 4), "double": (mpf(39), 9, 10)},
    ),
]
# The function, the rate and the upper end of its intervals, the order of its zero at 0, and
# another root. The degree is 7.
TABLES = [
    ("TANH", tanh, mpf("1.5625"), mpf("9.5"), 1, None),
    ("TANH_GAP", gap, mpf("2.375"), mpf("9.5"), 3, None),
    ("NORMAL_BUMP", bump, mpf("1.015625"), mpf("14.7"), 1, None),
    ("NORMAL_BUMP_SLOPE", bump_slope, mpf("1.015625"), mpf("14.7"), 0, GELU_ROOT),
]


def show(name, dtype, error, coefficients):
    """Print coefficients, highest degree first, with the digits that the dtype needs."""
    print(f"{name}, {dtype}: maximum error {nstr(error, 3)}")
    for value in coefficients:
        print("   ", nstr(value, 9 if dtype == "float" else 18))


def show_inverse_pi():
    """Print the words of 1 / pi in kernels/math/large_argument.h, the first two being 0."""
    words = [0, 0]
    with workprec(1400):
        rest = 1 / +pi
        for _ in range(38):
            rest *= 2**32
            words.append(int(rest))
            rest -= words[-1]
    for i in range(0, 40, 7):
        print("   ", ", ".join(f"0x{word:08x}u" for word in words[i : i + 7]) + ",")


if __name__ == "__main__":
    show_inverse_pi()
    print("roots of the derivatives of gelu and mish:", -GELU_ROOT, -MISH_ROOT)
    for name, *arguments in TABLES:
        rows, errors = pieces(*arguments)
        print(f"{name}: maximum errors in 2^-24", *(nstr(error, 2) for error in errors))
        for row in rows:
            print("    {" + ", ".join(f"{nstr(value, 9)}f" for value in row) + "},")
    for name, function, interval, terms in FITS:
        for dtype, n in terms.items():
            coefficients, error = chebyfit(function, interval, n, error=True)
            show(name, dtype, error, coefficients)
    for name, function, degrees in QUOTIENTS:
        for dtype, (high, n, m) in degrees.items():
            error, p, q = quotient(function, high, n, m)
            show(f"{name}, numerator", dtype, error, p[::-1])
            show(f"{name}, denominator", dtype, error, q[::-1])
