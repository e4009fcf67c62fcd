"""Fit the polynomials of src/relume/kernels/math.pxi and print coefficients and errors.

Chebyshev interpolation in 40 digits, which is within a few per cent of minimax for functions as
smooth as these. Needs mpmath.
"""

from mpmath import chebyfit, expm1, fabs, log, mp, mpf, nstr, tanh

mp.dps = 40


def expm1_tail(r):
    """The c of expm1(r) = r + r^2 c(r)."""
    if fabs(r) < mpf("1e-9"):
        return mpf(1) / 2 + r / 6 + r**2 / 24
    return (expm1(r) - r) / r**2


def tanh_tail(z):
    """The c of tanh(x) = x + x^3 c(x^2)."""
    if z < mpf("1e-12"):
        return mpf(-1) / 3 + 2 * z / 15
    x = z**0.5
    return (tanh(x) / x - 1) / z


HALF_LN2 = log(2) / 2 * mpf("1.0001")
FITS = [
    ("expm1_reduced", expm1_tail, [-HALF_LN2, HALF_LN2], {"float": 6, "double": 11}),
    ("tanh, small", tanh_tail, [mpf(0), mpf("0.3025")], {"float": 5, "double": 11}),
]

for name, function, interval, terms in FITS:
    for dtype, n in terms.items():
        coefficients, error = chebyfit(function, interval, n, error=True)
        print(f"{name}, {dtype}: largest absolute error {nstr(error, 3)}")
        for value in coefficients:
            print("   ", nstr(value, 9 if dtype == "float" else 18))
