"""The oracle: what each activation of the table is, by definition, in one mpmath row.

Adding an activation is one entry of ROWS. Its functions take finite mpmath numbers and are written
so that nothing cancels and no exp grows: then 40 digits are exact enough for every dtype, and
ordinary floats, in which the trainer's twin computes, for float64. tests/support/ops.py measures
by them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mpmath import MPContext

INF, NAN = float("inf"), float("nan")
mp = MPContext()
mp.dps = 40


def _nothing(*arguments):
    return ()


@dataclass(frozen=True)
class Row:
    """The definition of an activation. All functions take x or y, parameters and constants."""

    forward: Callable  # (x, *parameters, *constants), with the public names of the parameters
    derivative: Callable  # with respect to x; at a kink, the value of the contract
    limits: Callable  # (*parameters, *constants) -> (f(-inf), f(inf)), (f'(-inf), f'(inf))
    from_output: Callable | None = None  # the derivative with respect to x as a function of y
    from_output_needs: Callable = lambda *parameters: True  # whether that function exists
    outputs: Callable = lambda *parameters: (-INF, INF)  # the range of y
    parameter_derivative: Callable | None = None  # (x); a learnable parameter is a factor
    constants: tuple = ()  # constants that are rounded to the dtype, for float16 to float32
    # Sets of parameters to test with, the defaults first; the first two may be mixed.
    parameters: tuple = ((),)
    outside: tuple = ()  # sets of parameters that raise ValueError
    integers: Callable | None = None  # (x, *parameters) in NumPy, if integers stay integers
    kinks: Callable = lambda *parameters: {}  # {x: PyTorch's derivative there}
    zeros: tuple = (None, None)  # f(-0.0) and f(0.0) if the contract defines the sign of the zero
    hard: Callable = _nothing  # branches, overflow, tails; tested with neighbours and negatives
    in_pytorch: bool = True  # whether PyTorch has it; its results are then recorded
    ulp: float = 2
    backward_ulp: float = 4
    floor: float = 0  # errors of the derivative are in ULP of max(|f'|, floor)


# -- functions of mpmath numbers and of floats --


def _elementary(name):
    exact, quick = getattr(mp, name), getattr(math, name)
    return lambda x: quick(x) if type(x) is float else exact(x)


exp, expm1, log1p, tanh, sqrt = map(_elementary, ("exp", "expm1", "log1p", "tanh", "sqrt"))


def erfc(x):
    if type(x) is float:
        return math.erfc(x)
    if x > 1e30:  # mpmath's function may overflow; the next term is x**-2 times as large
        return mp.exp(-x * x) / (x * mp.sqrt(mp.pi))
    return mp.erfc(x)


def ncdf(x):
    """The standard normal distribution function."""
    return erfc(-x / sqrt(type(x)(2))) / 2


def normal(x):
    """The standard normal density."""
    return exp(-x * x / 2) / sqrt(2 * type(x)(mp.pi))


def sigmoid(x):
    small = exp(-abs(x))
    return (1 if x > 0 else small) / (1 + small)


def sigmoid_derivative(x):
    small = exp(-abs(x))
    return small / (1 + small) ** 2


def softplus(x):
    return max(x, 0) + log1p(exp(-abs(x)))


def gated(x, u, slope):
    """The derivative of x * sigmoid(u), where u' = slope."""
    return sigmoid(u) * (1 + x * slope * sigmoid(-u))


def mish_tanh(x):
    """tanh(softplus(x)) and its derivative; with e = exp(x) and n = e * (e + 2), n / (n + 2)."""
    small = exp(-abs(x))
    if x > 0:  # all terms are multiplied by exp(-2 * x)
        n, two, product = 1 + 2 * small, 2 * small**2, small**2 * (1 + small)
    else:
        n, two, product = small * (small + 2), 2, small * (small + 1)
    return n / (n + two), 4 * product / (n + two) ** 2


def tanhshrink(x):
    if abs(x) > 0.5:
        return x - tanh(x)
    # (x * cosh(x) - sinh(x)) / cosh(x), by power series.
    square, term, numerator, cosh = x * x, 1, 0, 1
    for k in range(2, 40, 2):
        term = term * square / (k * (k - 1))
        cosh += term
        numerator += term * k / (k + 1)
    return x * numerator / cosh


def squareplus(x, b):
    root = sqrt(x * x + b)
    return b / (root - x) / 2 if x < 0 else (x + root) / 2


def squareplus_derivative(x, b):
    if x == 0:
        return x + 0.5
    root = sqrt(x * x + b)
    return b / (root * (root - x)) / 2 if x < 0 else (1 + x / root) / 2


def gelu_tanh_argument(x, k, c):
    return 2 * k * (x + c * x**3)


# -- hard points --

# Overflow and underflow of exp, and the halfway points of its argument reduction.
EXP = (0.34657359, 0.69314718, 1.03972077, 11.0903549, 16.6355, 36.7368, 37.43, 87.33654)
EXP += (88.02969, 88.72284, 103.2789, 103.972, 707.7, 708.3964, 709.7827, 744.44, 745.1332)
# x * exp(x) becomes subnormal or 0, in float32 and float64.
X_EXP = (91.86, 92.5, 104.9, 108.6, 108.7, 109.4, 110, 708.4, 714.97, 745.5, 751.7, 751.8, 752.5)
# exp(-x**2 / 2), and that times or divided by x, become subnormal or 0.
NORMAL = (*(math.sqrt(2 * x) for x in EXP), 12.9, 13.05, 13.4, 14.1, 14.2, 14.31, 14.36, 14.5)
NORMAL += (37.4, 37.5, 37.6, 37.7, 38.3, 38.4, 38.46, 38.5, 38.55, 38.6, 38.65, 38.7)
# Branches of erf's implementations, times sqrt(2), and the point from which it rounds to 1.
ERF = tuple(
    x * math.sqrt(2) for x in (0.0625, 0.5, 0.84375, 1, 1.25, 2, 2.857, 3.92, 4, 6, 9.2, 27.2)
)
ERF += (4.9, 5.17, 5.42, 8.13, 8.29)
TANH = (*EXP, *(x / 2 for x in EXP), 2.4e-4, 0.02, 0.25, 0.55, 0.625, 9.0109, 18.37, 19.06)
# 2 * sqrt(2 / pi) * (x + 0.044715 * x**3) is a hard point of exp or x * exp.
GELU_TANH = (0.43079077, 4.96196522, 7.0893429, 10.0010447, 10.0609663, 10.1941668, 10.6535133)
GELU_TANH += (10.6802198, 10.7157823, 10.8554152, 21.1455531, 21.1597897, 21.5097427, 21.5166287)
GELU_TANH += (21.5816466, 21.5895411)
# Squares, cubes and their inverses overflow or underflow.
SQUARES = (1e-30, 1e-19, 1e-10, 1e10, 1e19, 1.3043818e19, 1.8446744e19, 2.3e22, 1e-160, 1.34e154)


# -- the rows, in the table's order --

# G. Klambauer et al., "Self-normalizing neural networks", 2017, appendix: scale, scale * alpha.
SCALE = mp.mpf("1.0507009873554804934193349852946")
SCALE_ALPHA = SCALE * mp.mpf("1.6732632423543772848170429916717")
SLOPES = ((0.01,), (0.0,), (-0.5,), (3.0,))
SIGN_CHANGES = 2**-6  # the floor of derivatives that change sign

ROWS = {
    "relu": Row(
        forward=lambda x: x if x > 0 else 0,
        derivative=lambda x: 1 if x > 0 else 0,
        limits=lambda: ((0, INF), (0, 1)),
        from_output=lambda y: 1 if y > 0 else 0,
        outputs=lambda: (0, INF),
        integers=lambda x: np.maximum(x, 0),
        kinks=lambda: {0: 0},
        zeros=(0.0, 0.0),
    ),
    "relu6": Row(
        forward=lambda x: min(max(x, 0), 6),
        derivative=lambda x: 1 if 0 < x < 6 else 0,
        limits=lambda: ((0, 6), (0, 0)),
        from_output=lambda y: 1 if 0 < y < 6 else 0,
        outputs=lambda: (0, 6),
        integers=lambda x: np.minimum(np.maximum(x, 0), 6),
        kinks=lambda: {0: 0, 6: 0},
    ),
    "prelu": Row(
        forward=lambda x, weight: x if x > 0 else weight * x,
        derivative=lambda x, weight: 1 if x > 0 else weight,
        limits=lambda weight: ((-INF * weight if weight else 0, INF), (weight, 1)),
        parameter_derivative=lambda x: x if x < 0 else 0,
        parameters=SLOPES,
        kinks=lambda weight: {0: weight},
    ),
    "leaky_relu": Row(
        forward=lambda x, negative_slope: x if x > 0 else negative_slope * x,
        derivative=lambda x, slope: 1 if x > 0 else slope,
        limits=lambda slope: ((-INF * slope if slope else 0, INF), (slope, 1)),
        from_output=lambda y, slope: 1 if y > 0 else slope,
        from_output_needs=lambda slope: slope > 0,
        parameters=SLOPES,
        outside=((NAN,),),
        kinks=lambda slope: {0: slope},
    ),
    "threshold": Row(
        forward=lambda x, threshold, value: x if x > threshold else value,
        derivative=lambda x, threshold, value: 1 if x > threshold else 0,
        limits=lambda threshold, value: ((value, INF), (0, 1)),
        parameters=((0.1, 20.0), (-1.0, 0.0), (0.0, 0.0)),
        outside=((NAN, 0.0), (0.0, NAN), (NAN, NAN)),
        integers=lambda x, threshold, value: np.where(x > threshold, x, value).astype(x.dtype),
        kinks=lambda threshold, value: {threshold: 0},
    ),
    "hardtanh": Row(
        forward=lambda x, min_val, max_val: min(max(x, min_val), max_val),
        derivative=lambda x, low, high: 1 if low < x < high else 0,
        limits=lambda low, high: ((low, high), (0, 0)),
        from_output=lambda y, low, high: 1 if low < y < high else 0,
        outputs=lambda low, high: (low, high),
        parameters=((-1.0, 1.0), (0.25, 3.0), (-2.0, -2.0)),
        outside=((1.0, -1.0), (INF, -INF), (NAN, 1.0), (-1.0, NAN), (NAN, NAN)),
        kinks=lambda low, high: {low: 0, high: 0},
    ),
    "relu_squared": Row(
        forward=lambda x: x * x if x > 0 else 0,
        derivative=lambda x: 2 * x if x > 0 else 0,
        limits=lambda: ((0, INF), (0, INF)),
        kinks=lambda: {0: 0},
        hard=lambda: SQUARES,
        in_pytorch=False,
    ),
    "elu": Row(
        forward=lambda x, alpha: x if x > 0 else alpha * expm1(x),
        derivative=lambda x, alpha: 1 if x > 0 else alpha * exp(x),
        limits=lambda alpha: ((-alpha, INF), (0, 1)),
        from_output=lambda y, alpha: 1 if y > 0 else y + alpha,
        from_output_needs=lambda alpha: alpha > 0,
        outputs=lambda alpha: (-alpha, INF),
        parameters=((1.0,), (0.5,), (2.5,), (-0.5,)),
        outside=((NAN,),),
        kinks=lambda alpha: {0: alpha},
        hard=lambda alpha: (*EXP, 1e-8, 0.02, 0.25, 0.5, 17.33, 40),
    ),
    "selu": Row(
        forward=lambda x, scale, below: scale * x if x > 0 else below * expm1(x),
        derivative=lambda x, scale, below: scale if x > 0 else below * exp(x),
        limits=lambda scale, below: ((-below, INF), (0, scale)),
        from_output=lambda y, scale, below: scale if y > 0 else y + below,
        outputs=lambda scale, below: (-below, INF),
        constants=(SCALE, SCALE_ALPHA),
        kinks=lambda scale, below: {0: below},
        hard=lambda scale, below: (*EXP, 1e-8, 0.02, 0.25, 0.5, 17.33, 40),
    ),
    "celu": Row(
        forward=lambda x, alpha: x if x > 0 else alpha * expm1(x / alpha),
        derivative=lambda x, alpha: 1 if x > 0 else exp(x / alpha),
        limits=lambda alpha: ((-alpha, INF), (0, 1)) if alpha > 0 else ((-INF, INF), (INF, 1)),
        from_output=lambda y, alpha: 1 if y > 0 else (alpha + y) / alpha,
        from_output_needs=lambda alpha: alpha > 0,
        outputs=lambda alpha: (-alpha, INF),
        parameters=((1.0,), (0.3,), (5.0,), (-2.0,)),
        outside=((0.0,), (-0.0,), (NAN,)),
        kinks=lambda alpha: {0: 1},
        hard=lambda alpha: [abs(alpha) * x for x in (*EXP, 1e-8, 0.02, 0.25, 0.5, 17.33, 40)],
        ulp=4,
    ),
    "softplus": Row(
        forward=lambda x, beta: softplus(beta * x) / beta,
        derivative=lambda x, beta: sigmoid(beta * x),
        limits=lambda beta: ((0, INF), (0, 1)),
        from_output=lambda y, beta: -expm1(-beta * y),
        outputs=lambda beta: (0, INF),
        parameters=((1.0,), (0.1,), (7.0,)),
        outside=((0.0,), (-0.0,), (-1.0,), (INF,), (-INF,), (NAN,)),
        hard=lambda beta: [x / beta for x in (*EXP, 8.318, 15.94, 17.328, 20, 33.3, 36.04, 80)],
        ulp=4,
    ),
    "logsigmoid": Row(
        forward=lambda x: -softplus(-x),
        derivative=lambda x: sigmoid(-x),
        limits=lambda: ((-INF, 0), (1, 0)),
        from_output=lambda y: -expm1(y),
        outputs=lambda: (-INF, 0),
        hard=lambda: (*EXP, 8.318, 15.94, 17.328, 20, 33.3, 36.04, 80),
        ulp=4,
    ),
    "sigmoid": Row(
        forward=sigmoid,
        derivative=sigmoid_derivative,
        limits=lambda: ((0, 1), (0, 0)),
        from_output=lambda y: y * (1 - y),
        outputs=lambda: (0, 1),
        hard=lambda: (*EXP, 8.318, 17.328, 36.04),
    ),
    "tanh": Row(
        forward=tanh,
        derivative=lambda x: 4 * sigmoid_derivative(2 * x),
        limits=lambda: ((-1, 1), (0, 0)),
        from_output=lambda y: (1 - y) * (1 + y),
        outputs=lambda: (-1, 1),
        zeros=(-0.0, 0.0),
        hard=lambda: TANH,
    ),
    "silu": Row(
        forward=lambda x: x * sigmoid(x),
        derivative=lambda x: gated(x, x, 1),
        limits=lambda: ((0, INF), (0, 1)),
        hard=lambda: (*EXP, *X_EXP, 1.27846454, 8.318, 17.328, 36.04),
        ulp=4,
        floor=SIGN_CHANGES,
    ),
    "mish": Row(
        forward=lambda x: x * mish_tanh(x)[0],
        derivative=lambda x: mish_tanh(x)[0] + x * mish_tanh(x)[1],
        limits=lambda: ((0, INF), (0, 1)),
        hard=lambda: (*EXP, *X_EXP, *(x / 2 for x in EXP), 1.19240379, 8.318, 17.328),
        ulp=4,
        floor=SIGN_CHANGES,
    ),
    "gelu": Row(
        forward=lambda x: x * ncdf(x),
        derivative=lambda x: ncdf(x) + x * normal(x),
        limits=lambda: ((0, INF), (0, 1)),
        hard=lambda: (*NORMAL, *ERF, 0.75179152, 0.829077959),
        ulp=4,
        floor=SIGN_CHANGES,
    ),
    "gelu_tanh": Row(
        forward=lambda x, k, c: x * sigmoid(gelu_tanh_argument(x, k, c)),
        derivative=lambda x, k, c: gated(
            x, gelu_tanh_argument(x, k, c), 2 * k * (1 + 3 * x * x * c)
        ),
        limits=lambda k, c: ((0, INF), (0, 1)),
        constants=(mp.sqrt(2 / mp.pi), mp.mpf("0.044715")),
        hard=lambda k, c: (*ERF, *SQUARES, *GELU_TANH, 0.75246145, 0.343508659),
        ulp=4,
        floor=SIGN_CHANGES,
    ),
    "quick_gelu": Row(
        forward=lambda x, q: x * sigmoid(q * x),
        derivative=lambda x, q: gated(x, q * x, q),
        limits=lambda q: ((0, INF), (0, 1)),
        constants=(mp.mpf("1.702"),),
        hard=lambda q: [x / q for x in (*EXP, *X_EXP, 1.27846454, 8.318, 17.328, 36.04)],
        ulp=4,
        floor=SIGN_CHANGES,
        in_pytorch=False,
    ),
    "softsign": Row(
        forward=lambda x: x / (1 + abs(x)),
        derivative=lambda x: (1 + abs(x)) ** -2,
        limits=lambda: ((-1, 1), (0, 0)),
        from_output=lambda y: (1 - abs(y)) ** 2,
        outputs=lambda: (-1, 1),
        zeros=(-0.0, 0.0),
        hard=lambda: (*SQUARES, 1.7014118e38, 8.9884656e307),
    ),
    "squareplus": Row(
        forward=squareplus,
        derivative=squareplus_derivative,
        limits=lambda b: ((0, INF), (0, 1)),
        parameters=((4.0,), (0.0,), (1e-3,), (100.0,), (1e-40,)),
        outside=((-1.0,), (-INF,), (INF,), (NAN,)),
        kinks=lambda b: {} if b else {0: 0.5},
        hard=lambda b: (*SQUARES, 1e-3, 0.0316, 10, 4096, 1e8),
        ulp=4,
        in_pytorch=False,
    ),
    "hardsigmoid": Row(
        forward=lambda x: min(max(x + 3, 0), 6) / 6,
        derivative=lambda x: type(x)(1) / 6 if -3 < x < 3 else 0,
        limits=lambda: ((0, 1), (0, 0)),
        from_output=lambda y: type(y)(1) / 6 if 0 < y < 1 else 0,
        outputs=lambda: (0, 1),
        kinks=lambda: {-3: 0, 3: 0},
    ),
    "hardswish": Row(
        forward=lambda x: x * min(max(x + 3, 0), 6) / 6,
        derivative=lambda x: (2 * x + 3) / 6 if -3 < x < 3 else int(x > 0),
        limits=lambda: ((0, INF), (0, 1)),
        kinks=lambda: {-3: 0, 3: 1},
        hard=lambda: (1.5, 1.7014118e38, 8.9884656e307),
    ),
    "hardshrink": Row(
        forward=lambda x, lambd: x if abs(x) > lambd else 0,
        derivative=lambda x, lambd: 1 if abs(x) > lambd else 0,
        limits=lambda lambd: ((-INF, INF), (1, 1)),
        parameters=((0.5,), (0.0,), (2.0,), (-1.0,)),
        outside=((NAN,),),
        kinks=lambda lambd: {-lambd: 0, lambd: 0} if lambd >= 0 else {},
    ),
    "softshrink": Row(
        forward=lambda x, lambd: x - lambd if x > lambd else x + lambd if x < -lambd else 0,
        derivative=lambda x, lambd: 1 if abs(x) > lambd else 0,
        limits=lambda lambd: ((-INF, INF), (1, 1)),
        parameters=((0.5,), (0.0,), (2.0,)),
        outside=((-0.5,), (-INF,), (NAN,)),
        kinks=lambda lambd: {-lambd: 0, lambd: 0},
    ),
    "tanhshrink": Row(
        forward=tanhshrink,
        derivative=lambda x: tanh(x) ** 2,
        limits=lambda: ((-INF, INF), (1, 1)),
        zeros=(-0.0, 0.0),
        hard=lambda: (*TANH, 1e-15, 1e-13, 1e-8, 1e-5, 1e-3, 0.1, 0.3, 0.9, 1.0, 1.1, 4e-103),
        ulp=4,
    ),
}
