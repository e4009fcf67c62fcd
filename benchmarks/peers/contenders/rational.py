"""Functions without an exponential (except tanhshrink) that are not rectifiers."""

from .case import Case

RATIONAL = {
    "softsign": Case(
        numpy=(
            "np.abs(x, out=out); np.add(out, 1, out=out); np.divide(x, out, out=out)",
            [
                "np.abs(x, out=dx); np.add(dx, 1, out=dx); np.multiply(dx, dx, out=dx); "
                "np.divide(g, dx, out=dx)",
                "np.abs(y, out=dx); np.subtract(1, dx, out=dx); np.multiply(dx, dx, out=dx); "
                "np.multiply(dx, g, out=dx)",
            ],
        ),
        torch=(
            "torch.abs(x, out=out); out.add_(1); torch.div(x, out, out=out)",
            [
                "torch.abs(x, out=dx); dx.add_(1); dx.mul_(dx); torch.div(g, dx, out=dx)",
                "torch.abs(y, out=dx); dx.sub_(1); dx.mul_(dx); dx.mul_(g)",
            ],
        ),
        jax="nn.soft_sign(x)",
        numexpr=("x / (1 + abs(x))", ["g / (1 + abs(x)) ** 2", "g * (1 - abs(y)) ** 2"]),
    ),
    "squareplus": Case(
        numpy=(
            "np.multiply(x, x, out=out); np.add(out, 4, out=out); np.sqrt(out, out=out); "
            "np.add(out, x, out=out); np.multiply(out, 0.5, out=out)",
            "np.multiply(x, x, out=dx); np.add(dx, 4, out=dx); np.sqrt(dx, out=dx); "
            "np.divide(x, dx, out=dx); np.add(dx, 1, out=dx); np.multiply(dx, 0.5, out=dx); "
            "np.multiply(dx, g, out=dx)",
        ),
        torch=(
            "torch.mul(x, x, out=out); out.add_(4).sqrt_().add_(x).mul_(0.5)",
            "torch.mul(x, x, out=dx); dx.add_(4).rsqrt_().mul_(x).add_(1).mul_(g).mul_(0.5)",
        ),
        jax="nn.squareplus(x)",
        numexpr=("0.5 * (x + sqrt(x * x + 4))", "0.5 * g * (1 + x / sqrt(x * x + 4))"),
    ),
    "hardsigmoid": Case(
        numpy=(
            "np.multiply(x, 1 / 6, out=out); np.add(out, 0.5, out=out); "
            "np.clip(out, 0, 1, out=out)",
            "np.greater(y, 0, out=m); np.logical_and(m, y < 1, out=m); "
            "np.multiply(g, m, out=dx); np.multiply(dx, 1 / 6, out=dx)",
        ),
        torch=(
            "native.hardsigmoid(x, out=out)",
            "aten.hardsigmoid_backward.grad_input(g, x, grad_input=dx)",
        ),
        jax="nn.hard_sigmoid(x)",
        numexpr=(
            "where(x > -3, where(x < 3, x / 6 + 0.5, 1), 0)",
            "where((y > 0) & (y < 1), g / 6, 0)",
        ),
    ),
    "hardswish": Case(
        numpy=(
            "np.add(x, 3, out=out); np.clip(out, 0, 6, out=out); np.multiply(out, x, out=out); "
            "np.multiply(out, 1 / 6, out=out)",
            "np.multiply(x, 1 / 3, out=dx); np.add(dx, 0.5, out=dx); "
            "np.copyto(dx, 0, where=np.less_equal(x, -3, out=m)); "
            "np.copyto(dx, 1, where=np.greater_equal(x, 3, out=m)); np.multiply(dx, g, out=dx)",
        ),
        torch=(
            "native.hardswish(x, out=out)",
            ["dx = aten.hardswish_backward(g, x)", "aten.hardswish_backward.out(g, x, out=dx)"],
        ),
        jax="nn.hard_swish(x)",
        numexpr=(
            "where(x > -3, where(x < 3, x * (x / 6 + 0.5), x), 0)",
            "where(x > -3, where(x < 3, g * (x / 3 + 0.5), g), 0)",
        ),
    ),
    "hardshrink": Case(
        numpy=(
            "np.abs(x, out=t); np.greater(t, 0.5, out=m); np.multiply(x, m, out=out)",
            "np.abs(x, out=t); np.greater(t, 0.5, out=m); np.multiply(g, m, out=dx)",
        ),
        torch=(
            "torch.hardshrink(x, 0.5, out=out)",
            "aten.hardshrink_backward.grad_input(g, x, 0.5, grad_input=dx)",
        ),
        jax="jnp.where(jnp.abs(x) > 0.5, x, 0)",
        numexpr=("where(abs(x) > 0.5, x, 0)", "where(abs(x) > 0.5, g, 0)"),
    ),
    "softshrink": Case(
        numpy=(
            "np.clip(x, -0.5, 0.5, out=out); np.subtract(x, out, out=out)",
            "np.abs(x, out=t); np.greater(t, 0.5, out=m); np.multiply(g, m, out=dx)",
        ),
        torch=(
            "native.softshrink(x, 0.5, out=out)",
            "aten.softshrink_backward.grad_input(g, x, 0.5, grad_input=dx)",
        ),
        jax="jnp.where(x > 0.5, x - 0.5, jnp.where(x < -0.5, x + 0.5, 0))",
        numexpr=(
            "where(x > 0.5, x - 0.5, where(x < -0.5, x + 0.5, 0))",
            "where(abs(x) > 0.5, g, 0)",
        ),
    ),
    "tanhshrink": Case(
        numpy=(
            "np.tanh(x, out=out); np.subtract(x, out, out=out)",
            "np.tanh(x, out=dx); np.multiply(dx, dx, out=dx); np.multiply(dx, g, out=dx)",
        ),
        torch=(
            "torch.tanh(x, out=out); torch.sub(x, out, out=out)",
            "torch.tanh(x, out=dx); dx.mul_(dx); dx.mul_(g)",
        ),
        jax="x - jnp.tanh(x)",
        numexpr=("x - tanh(x)", "g * tanh(x) ** 2"),
    ),
}
