"""Activations in the operators of ONNX: one where it has them, else a few.

ONNX Runtime runs many of the operators in float32 alone, and others are missing in old operator
sets: then there are a few simple ones. Layers say their operators themselves, in `to_onnx`.
"""

import math
from collections.abc import Callable

import numpy as np

from relume.nn.layers.traits import OnnxGraph

Activation = Callable[..., str]
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def _single(g: OnnxGraph, opset: int = 13) -> bool:
    """Whether there is the operator: in float32, since an operator set."""
    return g.dtype == np.float32 and g.opset >= opset


def _branches(g: OnnxGraph, x: str, otherwise: str) -> str:
    """x where it is positive."""
    return g.node("Where", g.node("Greater", x, 0.0), x, otherwise)


def _expm1_of_negative(g: OnnxGraph, x: str) -> str:
    """exp(x) - 1 where x is negative, else 0."""
    return g.node("Sub", g.node("Exp", g.node("Min", x, 0.0)), 1.0)


def leaky_relu(g: OnnxGraph, x: str, slope: float) -> str:
    """The slope is an attribute, which is in float32."""
    if _single(g):
        return g.node("LeakyRelu", x, alpha=slope)
    return _branches(g, x, g.node("Mul", x, slope))


def elu(g: OnnxGraph, x: str, alpha: float) -> str:
    """alpha * (exp(x) - 1) below 0."""
    if _single(g):
        return g.node("Elu", x, alpha=alpha)
    return _branches(g, x, g.node("Mul", _expm1_of_negative(g, x), alpha))


def selu(g: OnnxGraph, x: str) -> str:
    """Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017."""
    if _single(g):
        return g.node("Selu", x)
    return g.node("Mul", elu(g, x, SELU_ALPHA), SELU_SCALE)


def celu(g: OnnxGraph, x: str, alpha: float) -> str:
    """max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0)."""
    if _single(g):
        return g.node("Celu", x, alpha=alpha)
    powers = g.node("Exp", g.node("Div", g.node("Min", x, 0.0), alpha))
    return _branches(g, x, g.node("Mul", g.node("Sub", powers, 1.0), alpha))


def hardsigmoid(g: OnnxGraph, x: str) -> str:
    """x / 6 + 1/2 between 0 and 1."""
    if _single(g):
        return g.node("HardSigmoid", x, alpha=1 / 6, beta=0.5)
    return g.node("Clip", g.node("Add", g.node("Div", x, 6.0), 0.5), 0.0, 1.0)


def hardswish(g: OnnxGraph, x: str) -> str:
    """x * hardsigmoid(x)."""
    return g.node("HardSwish", x) if _single(g, 14) else g.node("Mul", x, hardsigmoid(g, x))


def silu(g: OnnxGraph, x: str, factor: float = 1.0) -> str:
    """x * sigmoid(factor * x)."""
    scaled = x if factor == 1 else g.node("Mul", x, factor)
    return g.node("Mul", x, g.node("Sigmoid", scaled))


def softplus(g: OnnxGraph, x: str, beta: float = 1.0) -> str:
    """ONNX has it for beta = 1; else max(x, 0) + log(1 + exp(-abs(x)))."""
    if beta != 1:
        return g.node("Div", softplus(g, g.node("Mul", x, beta)), beta)
    if _single(g):
        return g.node("Softplus", x)
    power = g.node("Exp", g.node("Neg", g.node("Abs", x)))
    return g.node("Add", g.node("Relu", x), g.node("Log", g.node("Add", power, 1.0)))


def mish(g: OnnxGraph, x: str) -> str:
    """x * tanh(softplus(x))."""
    if _single(g, 18):
        return g.node("Mish", x)
    return g.node("Mul", x, g.node("Tanh", softplus(g, x)))


def gelu(g: OnnxGraph, x: str) -> str:
    """x / 2 * (1 + erf(x / sqrt(2)))."""
    if _single(g, 20):
        return g.node("Gelu", x)
    scaled = g.node("Div", x, math.sqrt(2))
    erf = g.node("Erf", scaled) if _single(g) else erf_in_double(g, scaled)
    return g.node("Mul", g.node("Mul", x, 0.5), g.node("Add", erf, 1.0))


def gelu_tanh(g: OnnxGraph, x: str) -> str:
    """x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))."""
    if _single(g, 20):
        return g.node("Gelu", x, approximate="tanh")
    factor = g.node("Add", g.node("Mul", g.node("Mul", x, x), 0.044715), 1.0)
    inner = g.node("Mul", g.node("Mul", x, math.sqrt(2 / math.pi)), factor)
    return g.node("Mul", g.node("Mul", x, 0.5), g.node("Add", g.node("Tanh", inner), 1.0))


def erf_in_double(g: OnnxGraph, x: str) -> str:
    """sign(x) * (1 - exp(-x**2) * erfcx(abs(x))), where ONNX Runtime has Erf in float32 alone.

    erfcx is exp(x**2) * erfc(x), which falls slowly: t = 2 / (2 + x) times a polynomial in t,
    interpolated here. The error is below 1e-14.
    """
    from scipy.special import erfcx

    def quotient(s):  # s is 2 t - 1
        t = np.maximum((s + 1) / 2, 1e-12)
        return erfcx(2 / t - 2) / t

    chebyshev = np.polynomial.chebyshev.chebinterpolate(quotient, 24)
    coefficients = np.polynomial.chebyshev.cheb2poly(chebyshev)
    size = g.node("Abs", x)
    t = g.node("Div", 2.0, g.node("Add", size, 2.0))
    s = g.node("Sub", g.node("Mul", t, 2.0), 1.0)
    polynomial = g.constant(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        polynomial = g.node("Add", g.node("Mul", polynomial, s), coefficient)
    power = g.node("Exp", g.node("Neg", g.node("Mul", x, x)))
    rest = g.node("Mul", g.node("Mul", polynomial, t), power)
    return g.node("Mul", g.node("Sign", x), g.node("Sub", 1.0, rest))


def softsign(g: OnnxGraph, x: str) -> str:
    """x / (1 + abs(x))."""
    if _single(g):
        return g.node("Softsign", x)
    return g.node("Div", x, g.node("Add", g.node("Abs", x), 1.0))


def squareplus(g: OnnxGraph, x: str, b: float) -> str:
    """max(x, 0) + b / 2 / (abs(x) + sqrt(x**2 + b)): no difference of large numbers for x < 0."""
    positive = g.node("Relu", x)
    if b == 0:
        return positive
    root = g.node("Sqrt", g.node("Add", g.node("Mul", x, x), b))
    rest = g.node("Div", b / 2, g.node("Add", g.node("Abs", x), root))
    return g.node("Add", positive, rest)


def threshold(g: OnnxGraph, x: str, threshold: float, value: float) -> str:
    """ONNX has ThresholdedRelu for value = 0 alone."""
    return g.node("Where", g.node("Greater", x, threshold), x, value)


def hardshrink(g: OnnxGraph, x: str, lambd: float, bias: float = 0.0) -> str:
    """The attributes of Shrink are in float32."""
    if _single(g):
        return g.node("Shrink", x, lambd=lambd, bias=bias)
    above = g.node("Where", g.node("Greater", x, lambd), g.node("Sub", x, bias), 0.0)
    return g.node("Where", g.node("Less", x, -lambd), g.node("Add", x, bias), above)


def relu_squared(g: OnnxGraph, x: str) -> str:
    """The square of relu."""
    positive = g.node("Relu", x)
    return g.node("Mul", positive, positive)


OPERATORS: dict[str, Activation] = {
    "relu": lambda g, x: g.node("Relu", x),
    "relu6": lambda g, x: g.node("Clip", x, 0.0, 6.0),
    "leaky_relu": leaky_relu,
    "threshold": threshold,
    "hardtanh": lambda g, x, low, high: g.node("Clip", x, low, high),
    "relu_squared": relu_squared,
    "hardshrink": hardshrink,
    "softshrink": lambda g, x, lambd: hardshrink(g, x, lambd, lambd),
    "hardsigmoid": hardsigmoid,
    "hardswish": hardswish,
    "elu": elu,
    "selu": selu,
    "celu": celu,
    "softplus": softplus,
    "logsigmoid": lambda g, x: g.node("Neg", softplus(g, g.node("Neg", x))),
    "sigmoid": lambda g, x: g.node("Sigmoid", x),
    "tanh": lambda g, x: g.node("Tanh", x),
    "tanhshrink": lambda g, x: g.node("Sub", x, g.node("Tanh", x)),
    "silu": silu,
    "quick_gelu": lambda g, x: silu(g, x, 1.702),
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "mish": mish,
    "softsign": softsign,
    "squareplus": squareplus,
}
