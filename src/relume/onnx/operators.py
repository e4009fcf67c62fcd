"""Activations in the operators of ONNX: one where it has them, else a few.

Layers say their operators themselves, in `to_onnx`.
"""

from collections.abc import Callable

from relume.nn.layers.traits import OnnxGraph


def silu(g: OnnxGraph, x: str, factor: float = 1.0) -> str:
    """x * sigmoid(factor * x)."""
    scaled = x if factor == 1 else g.node("Mul", x, factor)
    return g.node("Mul", x, g.node("Sigmoid", scaled))


def softplus(g: OnnxGraph, x: str, beta: float) -> str:
    """ONNX has it for beta = 1."""
    if beta == 1:
        return g.node("Softplus", x)
    return g.node("Div", g.node("Softplus", g.node("Mul", x, beta)), beta)


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


def relu_squared(g: OnnxGraph, x: str) -> str:
    """The square of relu."""
    positive = g.node("Relu", x)
    return g.node("Mul", positive, positive)


OPERATORS: dict[str, Callable[..., str]] = {
    "relu": lambda g, x: g.node("Relu", x),
    "relu6": lambda g, x: g.node("Clip", x, 0.0, 6.0),
    "leaky_relu": lambda g, x, slope: g.node("LeakyRelu", x, alpha=slope),
    "threshold": threshold,
    "hardtanh": lambda g, x, low, high: g.node("Clip", x, low, high),
    "relu_squared": relu_squared,
    "hardshrink": lambda g, x, lambd: g.node("Shrink", x, lambd=lambd, bias=0.0),
    "softshrink": lambda g, x, lambd: g.node("Shrink", x, lambd=lambd, bias=lambd),
    "hardsigmoid": lambda g, x: g.node("HardSigmoid", x, alpha=1 / 6, beta=0.5),
    "hardswish": lambda g, x: g.node("HardSwish", x),
    "elu": lambda g, x, alpha: g.node("Elu", x, alpha=alpha),
    "selu": lambda g, x: g.node("Selu", x),
    "celu": lambda g, x, alpha: g.node("Celu", x, alpha=alpha),
    "softplus": softplus,
    "logsigmoid": lambda g, x: g.node("Neg", g.node("Softplus", g.node("Neg", x))),
    "sigmoid": lambda g, x: g.node("Sigmoid", x),
    "tanh": lambda g, x: g.node("Tanh", x),
    "tanhshrink": lambda g, x: g.node("Sub", x, g.node("Tanh", x)),
    "silu": silu,
    "quick_gelu": lambda g, x: silu(g, x, 1.702),
    "gelu": lambda g, x: g.node("Gelu", x),
    "gelu_tanh": lambda g, x: g.node("Gelu", x, approximate="tanh"),
    "mish": lambda g, x: g.node("Mish", x),
    "softsign": lambda g, x: g.node("Softsign", x),
    "squareplus": squareplus,
}
