"""Functions with an exponential, an error function or a hyperbolic tangent inside."""

from .case import Case

EXACT, TANH = 'approximate="none"', 'approximate="tanh"'

_ELU = (
    "np.minimum(x, 0, out=t); np.expm1(t, out=t); np.maximum(x, 0, out=out); "
    "np.add(out, t, out=out)"
)
_ELU_BACKWARD = "np.minimum(y, 0, out=dx); np.add(dx, 1, out=dx); np.multiply(dx, g, out=dx)"
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554804934, 1.6732632423543772848
EXPONENTIAL = {
    "elu": Case(
        numpy=(_ELU, _ELU_BACKWARD),
        torch=(
            "native.elu(x, 1, out=out)",
            [
                "aten.elu_backward.grad_input(g, 1, 1, 1, False, x, grad_input=dx)",
                "aten.elu_backward.grad_input(g, 1, 1, 1, True, y, grad_input=dx)",
            ],
        ),
        jax="nn.elu(x)",
        numexpr=("where(x > 0, x, expm1(x))", "where(y > 0, g, g * (y + 1))"),
    ),
    "selu": Case(
        numpy=(
            f"np.minimum(x, 0, out=t); np.expm1(t, out=t); np.multiply(t, {_SELU_ALPHA}, out=t); "
            "np.maximum(x, 0, out=out); np.add(out, t, out=out); "
            f"np.multiply(out, {_SELU_SCALE}, out=out)",
            f"np.add(y, {_SELU_SCALE * _SELU_ALPHA}, out=dx); "
            f"np.copyto(dx, {_SELU_SCALE}, where=np.greater(y, 0, out=m)); "
            "np.multiply(dx, g, out=dx)",
        ),
        torch=(
            f"native.elu(x, {_SELU_ALPHA}, {_SELU_SCALE}, out=out)",
            [
                f"aten.elu_backward.grad_input(g, {_SELU_ALPHA}, {_SELU_SCALE}, 1, {how}, "
                "grad_input=dx)"
                for how in ("False, x", "True, y")
            ],
        ),
        jax="nn.selu(x)",
        numexpr=(
            f"{_SELU_SCALE} * where(x > 0, x, {_SELU_ALPHA} * expm1(x))",
            f"where(y > 0, {_SELU_SCALE} * g, g * (y + {_SELU_SCALE * _SELU_ALPHA}))",
        ),
    ),
    "celu": Case(
        arguments=", 2.0",  # at 1 it is elu
        numpy=(
            "np.minimum(x, 0, out=t); np.multiply(t, 0.5, out=t); np.expm1(t, out=t); "
            "np.multiply(t, 2, out=t); np.maximum(x, 0, out=out); np.add(out, t, out=out)",
            "np.minimum(y, 0, out=dx); np.multiply(dx, 0.5, out=dx); np.add(dx, 1, out=dx); "
            "np.multiply(dx, g, out=dx)",
        ),
        torch=(
            "native.elu(x, 2, 1, 0.5, out=out)",
            [
                "aten.elu_backward.grad_input(g, 2, 1, 0.5, False, x, grad_input=dx)",
                "aten.elu_backward.grad_input(g, 2, 1, 0.5, True, y, grad_input=dx)",
            ],
        ),
        jax="nn.celu(x, 2)",
        numexpr=("where(x > 0, x, 2 * expm1(0.5 * x))", "where(y > 0, g, g * (0.5 * y + 1))"),
    ),
    "softplus": Case(
        numpy=(
            [
                "np.logaddexp(0, x, out=out)",
                "np.abs(x, out=t); np.negative(t, out=t); np.exp(t, out=t); np.log1p(t, out=t); "
                "np.maximum(x, 0, out=out); np.add(out, t, out=out)",
            ],
            [
                "special.expit(x, out=dx); np.multiply(dx, g, out=dx)",
                "np.negative(y, out=dx); np.expm1(dx, out=dx); np.multiply(dx, g, out=dx); "
                "np.negative(dx, out=dx)",
            ],
        ),
        torch=(
            "native.softplus(x, 1, 20, out=out)",
            "aten.softplus_backward.grad_input(g, x, 1, 20, grad_input=dx)",
        ),
        jax="nn.softplus(x)",
        numexpr=("where(x > 0, x, 0) + log1p(exp(-abs(x)))", "g / (1 + exp(-x))"),
    ),
    "logsigmoid": Case(
        numpy=(
            [
                "special.log_expit(x, out=out)",
                "np.abs(x, out=t); np.negative(t, out=t); np.exp(t, out=t); np.log1p(t, out=t); "
                "np.minimum(x, 0, out=out); np.subtract(out, t, out=out)",
            ],
            "np.negative(x, out=t); special.expit(t, out=dx); np.multiply(dx, g, out=dx)",
        ),
        torch=(
            "aten.log_sigmoid_forward.output(x, output=out, buffer=buffer)",
            "aten.log_sigmoid_backward.grad_input(g, x, buffer, grad_input=dx)",
        ),
        jax="nn.log_sigmoid(x)",
        numexpr=("where(x < 0, x, 0) - log1p(exp(-abs(x)))", "g / (1 + exp(x))"),
    ),
    "sigmoid": Case(
        numpy=(
            [
                "special.expit(x, out=out)",
                "np.negative(x, out=out); np.exp(out, out=out); np.add(out, 1, out=out); "
                "np.divide(1, out, out=out)",
            ],
            "np.subtract(1, y, out=dx); np.multiply(dx, y, out=dx); np.multiply(dx, g, out=dx)",
        ),
        torch=(
            "torch.sigmoid(x, out=out)",
            "aten.sigmoid_backward.grad_input(g, y, grad_input=dx)",
        ),
        jax="nn.sigmoid(x)",
        numexpr=("1 / (1 + exp(-x))", "g * y * (1 - y)"),
    ),
    "tanh": Case(
        numpy=(
            "np.tanh(x, out=out)",
            "np.multiply(y, y, out=dx); np.subtract(1, dx, out=dx); np.multiply(dx, g, out=dx)",
        ),
        torch=("torch.tanh(x, out=out)", "aten.tanh_backward.grad_input(g, y, grad_input=dx)"),
        jax="jnp.tanh(x)",
        numexpr=("tanh(x)", "g * (1 - y * y)"),
    ),
}

_SILU_BACKWARD = (  # g s (1 + x (1 - s))
    "special.expit({0}, out=t); "
    "np.subtract(1, t, out=dx); np.multiply(dx, {0}, out=dx); np.add(dx, 1, out=dx); "
    "np.multiply(dx, t, out=dx); np.multiply(dx, g, out=dx)"
)
_INNER = (  # of gelu_tanh: t = tanh(k (x + c x^3)), u = x^2
    "np.multiply(x, x, out=u); np.multiply(u, 0.044715 * 0.7978845608028654, out=t); "
    "np.add(t, 0.7978845608028654, out=t); np.multiply(t, x, out=t); np.tanh(t, out=t); "
)

SMOOTH = {
    "silu": Case(
        numpy=(
            "special.expit(x, out=t); np.multiply(x, t, out=out)",
            _SILU_BACKWARD.format("x"),
        ),
        torch=("native.silu(x, out=out)", "aten.silu_backward.grad_input(g, x, grad_input=dx)"),
        jax="nn.silu(x)",
        numexpr=("x / (1 + exp(-x))", "g / (1 + exp(-x)) * (1 + x / (1 + exp(x)))"),
    ),
    "mish": Case(
        numpy=(
            "np.logaddexp(0, x, out=t); np.tanh(t, out=t); np.multiply(x, t, out=out)",
            "np.logaddexp(0, x, out=t); np.tanh(t, out=t); special.expit(x, out=u); "
            "np.multiply(u, x, out=u); np.multiply(t, t, out=dx); np.subtract(1, dx, out=dx); "
            "np.multiply(dx, u, out=dx); np.add(dx, t, out=dx); np.multiply(dx, g, out=dx)",
        ),
        torch=("native.mish(x, out=out)", "dx = aten.mish_backward(g, x)"),
        jax="nn.mish(x)",
        numexpr=("x * tanh(where(x > 0, x, 0) + log1p(exp(-abs(x))))", ""),
    ),
    "gelu": Case(
        numpy=(
            "special.ndtr(x, out=t); np.multiply(x, t, out=out)",
            "np.multiply(x, x, out=t); np.multiply(t, -0.5, out=t); np.exp(t, out=t); "
            "np.multiply(t, 0.3989422804014327, out=t); np.multiply(t, x, out=t); "
            "special.ndtr(x, out=dx); np.add(dx, t, out=dx); np.multiply(dx, g, out=dx)",
        ),
        torch=(
            f"native.gelu(x, {EXACT}, out=out)",
            f"aten.gelu_backward.grad_input(g, x, {EXACT}, grad_input=dx)",
        ),
        jax="nn.gelu(x, approximate=False)",
    ),
    "gelu_tanh": Case(
        numpy=(
            _INNER + "np.add(t, 1, out=t); np.multiply(t, 0.5, out=t); np.multiply(t, x, out=out)",
            _INNER + "np.multiply(u, 0.134145 * 0.7978845608028654, out=u); "
            "np.add(u, 0.7978845608028654, out=u); np.multiply(u, x, out=u); "
            "np.multiply(t, t, out=dx); np.subtract(1, dx, out=dx); np.multiply(dx, u, out=dx); "
            "np.add(dx, t, out=dx); np.add(dx, 1, out=dx); np.multiply(dx, 0.5, out=dx); "
            "np.multiply(dx, g, out=dx)",
        ),
        torch=(
            f"native.gelu(x, {TANH}, out=out)",
            f"aten.gelu_backward.grad_input(g, x, {TANH}, grad_input=dx)",
        ),
        jax="nn.gelu(x, approximate=True)",
        numexpr=("0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))", ""),
    ),
    "quick_gelu": Case(
        numpy=(
            "np.multiply(x, 1.702, out=t); special.expit(t, out=t); np.multiply(x, t, out=out)",
            "np.multiply(x, 1.702, out=u); " + _SILU_BACKWARD.format("u"),
        ),
        torch=(
            [
                "torch.mul(x, 1.702, out=t); torch.sigmoid(t, out=t); torch.mul(x, t, out=out)",
                "torch.mul(x, 1.702, out=t); native.silu(t, out=out); "
                "torch.mul(out, 1 / 1.702, out=out)",
            ],
            "torch.mul(x, 1.702, out=t); aten.silu_backward.grad_input(g, t, grad_input=dx)",
        ),
        jax="x * nn.sigmoid(1.702 * x)",
        numexpr=("x / (1 + exp(-1.702 * x))", ""),
    ),
}
