"""Activations and layers in the operators of ONNX: one where it has them, else a few."""

from collections.abc import Callable
from typing import Any

import numpy as np

from relume.functional.activations import ROWS
from relume.onnx.graph import Graph

NAMES = {row["index"]: name for name, row in ROWS.items()}

# -- activations: an operator where ONNX has one, else a few --------------------------------------


def silu(g: Graph, x: str, factor: float = 1.0) -> str:
    """x * sigmoid(factor * x)."""
    scaled = x if factor == 1 else g.node("Mul", x, factor)
    return g.node("Mul", x, g.node("Sigmoid", scaled))


def softplus(g: Graph, x: str, beta: float) -> str:
    """ONNX has it for beta = 1."""
    if beta == 1:
        return g.node("Softplus", x)
    return g.node("Div", g.node("Softplus", g.node("Mul", x, beta)), beta)


def squareplus(g: Graph, x: str, b: float) -> str:
    """max(x, 0) + b / 2 / (abs(x) + sqrt(x**2 + b)): no difference of large numbers for x < 0."""
    positive = g.node("Relu", x)
    if b == 0:
        return positive
    root = g.node("Sqrt", g.node("Add", g.node("Mul", x, x), b))
    rest = g.node("Div", b / 2, g.node("Add", g.node("Abs", x), root))
    return g.node("Add", positive, rest)


def threshold(g: Graph, x: str, threshold: float, value: float) -> str:
    """ONNX has ThresholdedRelu for value = 0 alone."""
    return g.node("Where", g.node("Greater", x, threshold), x, value)


def relu_squared(g: Graph, x: str) -> str:
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


# -- layers: by the kind of step; `values` are the step's own, by name ----------------------------


def dense(g: Graph, x: str, spec: dict[str, Any], values: dict[str, Any]) -> str:
    """x @ weight.T + bias, with the weight as `state_dict` has it."""
    inputs = [g.constant(values[name], f"{spec['name']}.{name}") for name in values]
    return g.node("Gemm", x, *inputs, transB=1)


def activation(g: Graph, x: str, spec: dict[str, Any], values: dict[str, Any]) -> str:
    """One of OPERATORS."""
    return OPERATORS[NAMES[spec["activation"]]](g, x, *spec["numbers"])


def prelu(g: Graph, x: str, spec: dict[str, Any], values: dict[str, Any]) -> str:
    """One slope, or one a unit."""
    return g.node("PRelu", x, g.constant(values["weight"].ravel(), f"{spec['name']}.weight"))


def batch_norm(g: Graph, x: str, spec: dict[str, Any], values: dict[str, Any]) -> str:
    """By the running mean and variance.

    The mean is subtracted before, since runtimes fold it into a shift and lose the digits that it
    has in common with x: at 1,000 deviations ONNX Runtime 1.32 then errs by 1e-4.
    """
    mean, variance, weight, bias = (
        g.constant(values[name], f"{spec['name']}.{name}")
        for name in ("running_mean", "running_var", "weight", "bias")
    )
    inputs = (g.node("Sub", x, mean), weight, bias, np.zeros_like(values["bias"]), variance)
    return g.node("BatchNormalization", *inputs, epsilon=spec["numbers"][0])


def layer_norm(g: Graph, x: str, spec: dict[str, Any], values: dict[str, Any]) -> str:
    """Over the units of a row."""
    inputs = [g.constant(values[name], f"{spec['name']}.{name}") for name in ("weight", "bias")]
    return g.node("LayerNormalization", x, *inputs, epsilon=spec["numbers"][0])


def standardize(g: Graph, x: str, spec: dict[str, Any], values: dict[str, Any]) -> str:
    """By the training data's mean and scale."""
    mean = g.constant(values["mean"], f"{spec['name']}.mean")
    return g.node("Div", g.node("Sub", x, mean), values["scale"])


def fork(g: Graph, x: str, spec: dict[str, Any], values: dict[str, Any]) -> str:
    """Where a Residual begins."""
    g.forks.append(x)
    return x


def join(g: Graph, x: str, spec: dict[str, Any], values: dict[str, Any]) -> str:
    """Where it ends; there is a weight where widths differ."""
    past = g.forks.pop()
    return g.node("Add", x, dense(g, past, spec, values) if values else past)


def identity(g: Graph, x: str, spec: dict[str, Any], values: dict[str, Any]) -> str:
    """What only training has."""
    return x


STEPS: dict[str, Callable[[Graph, str, dict[str, Any], dict[str, Any]], str]] = {
    "dense": dense,
    "activation": activation,
    "prelu": prelu,
    "rrelu": lambda g, x, spec, values: g.node("LeakyRelu", x, alpha=spec["numbers"][0]),
    "sine": lambda g, x, spec, values: g.node("Sin", g.node("Mul", x, spec["numbers"][0])),
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "standardize": standardize,
    "fork": fork,
    "join": join,
    "dropout": identity,
    "alpha_dropout": identity,
    "activity_l1": identity,
}
