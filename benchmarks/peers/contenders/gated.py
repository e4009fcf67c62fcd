"""Gated functions: of two arrays; and glu of one, split along its last axis, which PyTorch has.

PyTorch's others are what a model runs: its activation, then the product.
"""

from .case import Case

_GRADIENTS = (  # f(a) in t: db = g t; and t = g b, by which f'(a) is multiplied
    "{0}.{1}(g, t, out=db); {0}.{1}(g, b, out=t); "
)
_NUMPY, _TORCH = _GRADIENTS.format("np", "multiply"), _GRADIENTS.format("torch", "mul")


def _gated(name, **contenders):
    return Case(
        kind="gated",
        relume=(
            f"relume.{name}(a, b, out=out)",
            f"relume.{name}_backward(g, a, b, out=(da, db))",
        ),
        gradients=("da", "db"),
        **contenders,
    )


GATED = {
    "glu": _gated(
        "glu",
        numpy=(
            "special.expit(b, out=t); np.multiply(a, t, out=out)",
            "special.expit(b, out=t); np.multiply(g, t, out=da); np.subtract(1, t, out=u); "
            "np.multiply(u, a, out=u); np.multiply(u, da, out=db)",
        ),
        torch=(
            "torch.sigmoid(b, out=t); torch.mul(a, t, out=out)",
            "torch.sigmoid(b, out=t); torch.mul(g, t, out=da); torch.mul(g, a, out=u); "
            "aten.sigmoid_backward.grad_input(u, t, grad_input=db)",
        ),
        jax="lambda a, b: a * nn.sigmoid(b)",
        numexpr=("a / (1 + exp(-b))", ""),
    ),
    "glu split": Case(
        kind="split",
        relume=("relume.glu(x, out=out)", "relume.glu_backward(g, x, out=dx)"),
        torch=(
            "native.glu(x, -1, out=out)",
            "aten.glu_backward.grad_input(g, x, -1, grad_input=dx)",
        ),
        jax="nn.glu(x)",
    ),
    "reglu": _gated(
        "reglu",
        numpy=(
            "np.maximum(a, 0, out=out); np.multiply(out, b, out=out)",
            "np.maximum(a, 0, out=t); "
            + _NUMPY
            + "np.greater(a, 0, out=m); np.multiply(t, m, out=da)",
        ),
        torch=(
            "torch.clamp_min(a, 0, out=out); out.mul_(b)",
            "torch.clamp_min(a, 0, out=t); "
            + _TORCH
            + "aten.threshold_backward.grad_input(t, a, 0, grad_input=da)",
        ),
        jax="lambda a, b: nn.relu(a) * b",
        numexpr=("where(a > 0, a * b, 0)", "where(a > 0, g * b, 0); where(a > 0, g * a, 0)"),
    ),
    "geglu": _gated(
        "geglu",
        numpy=(
            "special.ndtr(a, out=t); np.multiply(t, a, out=out); np.multiply(out, b, out=out)",
            "special.ndtr(a, out=u); np.multiply(u, a, out=t); "
            + _NUMPY
            + "np.multiply(a, a, out=da); np.multiply(da, -0.5, out=da); np.exp(da, out=da); "
            "np.multiply(da, 0.3989422804014327, out=da); np.multiply(da, a, out=da); "
            "np.add(da, u, out=da); np.multiply(da, t, out=da)",
        ),
        torch=(
            "native.gelu(a, out=out); out.mul_(b)",
            "native.gelu(a, out=t); "
            + _TORCH
            + "aten.gelu_backward.grad_input(t, a, grad_input=da)",
        ),
        jax="lambda a, b: nn.gelu(a, approximate=False) * b",
    ),
    "swiglu": _gated(
        "swiglu",
        numpy=(
            "special.expit(a, out=t); np.multiply(t, a, out=out); np.multiply(out, b, out=out)",
            "special.expit(a, out=u); np.multiply(u, a, out=t); "
            + _NUMPY
            + "np.subtract(1, u, out=da); np.multiply(da, a, out=da); np.add(da, 1, out=da); "
            "np.multiply(da, u, out=da); np.multiply(da, t, out=da)",
        ),
        torch=(
            "native.silu(a, out=out); out.mul_(b)",
            "native.silu(a, out=t); "
            + _TORCH
            + "aten.silu_backward.grad_input(t, a, grad_input=da)",
        ),
        jax="lambda a, b: nn.silu(a) * b",
        numexpr=("a * b / (1 + exp(-a))", ""),
    ),
}
