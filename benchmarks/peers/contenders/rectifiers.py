"""Piecewise linear functions that are 0, or small, below 0."""

from .case import Case

_KEEP_INSIDE = (  # the gradient where m, else 0
    "np.greater(y, {0}, out=m); np.logical_and(m, y < {1}, out=m); np.multiply(g, m, out=dx)"
)
_LEAKY = "np.multiply(x, {0}, out=out); np.maximum(x, out, out=out)"
_LEAKY_BACKWARD = "np.multiply(g, {0}, out=dx); np.copyto(dx, g, where=np.greater(y, 0, out=m))"

RECTIFIERS = {
    "relu": Case(
        numpy=(
            "np.maximum(x, 0, out=out)",
            "np.greater(y, 0, out=m); np.multiply(g, m, out=dx)",
        ),
        torch=(
            ["torch.clamp_min(x, 0, out=out)", "torch.threshold(x, 0, 0, out=out)"],
            "aten.threshold_backward.grad_input(g, y, 0, grad_input=dx)",
        ),
        jax="nn.relu(x)",
        numexpr=("where(x > 0, x, 0)", "where(y > 0, g, 0)"),
    ),
    "relu6": Case(
        numpy=("np.clip(x, 0, 6, out=out)", _KEEP_INSIDE.format(0, 6)),
        torch=(
            ["torch.clamp(x, 0, 6, out=out)", "native.hardtanh(x, 0, 6, out=out)"],
            "aten.hardtanh_backward.grad_input(g, y, 0, 6, grad_input=dx)",
        ),
        jax="nn.relu6(x)",
        numexpr=("where(x > 0, where(x < 6, x, 6), 0)", "where((y > 0) & (y < 6), g, 0)"),
    ),
    "prelu": Case(
        kind="prelu",
        gradients=("dx", "dw"),
        relume=("relume.prelu(x, w, out=out)", "dx, dw = relume.prelu_backward(g, x, w)"),
        numpy=(
            "np.multiply(x, w, out=out); np.copyto(out, x, where=np.greater(x, 0, out=m))",
            "np.multiply(g, w, out=dx); np.copyto(dx, g, where=np.greater(x, 0, out=m)); "
            "np.minimum(x, 0, out=t); np.multiply(t, g, out=t); np.sum(t, axis=0, out=dw)",
        ),
        torch=(
            "out = torch.prelu(x, w)",
            "dx, t = aten._prelu_kernel_backward(g, x, w[None]); torch.sum(t, 0, out=dw)",
        ),
        jax="lambda x, w: jnp.where(x > 0, x, w * x)",
        numexpr=("where(x > 0, x, w * x)", ""),
    ),
    "leaky_relu": Case(
        numpy=(_LEAKY.format(0.01), _LEAKY_BACKWARD.format(0.01)),
        torch=(
            "native.leaky_relu(x, 0.01, out=out)",
            [
                "aten.leaky_relu_backward.grad_input(g, x, 0.01, False, grad_input=dx)",
                "aten.leaky_relu_backward.grad_input(g, y, 0.01, True, grad_input=dx)",
            ],
        ),
        jax="nn.leaky_relu(x)",
        numexpr=("where(x > 0, x, 0.01 * x)", "where(y > 0, g, 0.01 * g)"),
    ),
    "rrelu": Case(
        numpy=(_LEAKY.format(11 / 48), _LEAKY_BACKWARD.format(11 / 48)),
        relume=("relume.rrelu(x, out=out)", "relume.rrelu_backward(g, x, out=dx)"),
        torch=(
            "native.leaky_relu(x, 11 / 48, out=out)",
            "aten.leaky_relu_backward.grad_input(g, x, 11 / 48, False, grad_input=dx)",
        ),
        jax="nn.leaky_relu(x, 11 / 48)",
        numexpr=(
            "where(x > 0, x, 0.22916666666666666 * x)",
            "where(y > 0, g, 0.22916666666666666 * g)",
        ),
    ),
    "rrelu training": Case(
        kind="rrelu",
        random=True,
        relume=(
            "_, slope = relume.rrelu(x, training=True, rng=rng, return_slope=True, out=out)",
            "relume.rrelu_backward(g, x, slope=slope, out=dx)",
        ),
        numpy=(
            "rng.random(dtype=x.dtype, out=t); np.multiply(t, 5 / 24, out=t); "
            "np.add(t, 1 / 8, out=t); np.multiply(x, t, out=out); np.maximum(x, out, out=out)",
            "np.multiply(g, slope, out=dx); np.copyto(dx, g, where=np.greater(x, 0, out=m))",
        ),
        torch=(
            "aten.rrelu_with_noise.out(x, t, 1 / 8, 1 / 3, True, None, out=out)",
            "torch.mul(g, noise, out=dx)",
        ),
        jax=(
            "lambda x, key: jnp.where("
            "x > 0, x, x * jax.random.uniform(key, x.shape, x.dtype, 1 / 8, 1 / 3))",
            "lambda g, x, slope: jnp.where(x > 0, g, g * slope)",
        ),
        numexpr=("", "where(x > 0, g, g * slope)"),
    ),
    "threshold": Case(
        arguments=", 0.5, 0.1",
        numpy=(
            "np.copyto(out, x); np.copyto(out, 0.1, where=np.less_equal(x, 0.5, out=m))",
            "np.greater(x, 0.5, out=m); np.multiply(g, m, out=dx)",
        ),
        torch=(
            "torch.threshold(x, 0.5, 0.1, out=out)",
            "aten.threshold_backward.grad_input(g, x, 0.5, grad_input=dx)",
        ),
        jax="jnp.where(x > 0.5, x, 0.1)",
        numexpr=("where(x > 0.5, x, 0.1)", "where(x > 0.5, g, 0)"),
    ),
    "hardtanh": Case(
        numpy=("np.clip(x, -1, 1, out=out)", _KEEP_INSIDE.format(-1, 1)),
        torch=(
            ["torch.clamp(x, -1, 1, out=out)", "native.hardtanh(x, -1, 1, out=out)"],
            "aten.hardtanh_backward.grad_input(g, y, -1, 1, grad_input=dx)",
        ),
        jax="nn.hard_tanh(x)",
        numexpr=("where(x > -1, where(x < 1, x, 1), -1)", "where((y > -1) & (y < 1), g, 0)"),
    ),
    "relu_squared": Case(
        numpy=(
            "np.maximum(x, 0, out=out); np.multiply(out, out, out=out)",
            "np.maximum(x, 0, out=dx); np.add(dx, dx, out=dx); np.multiply(dx, g, out=dx)",
        ),
        torch=(
            "torch.clamp_min(x, 0, out=out); torch.mul(out, out, out=out)",
            "torch.clamp_min(x, 0, out=dx); torch.mul(dx, g, out=dx); torch.add(dx, dx, out=dx)",
        ),
        jax="jnp.square(nn.relu(x))",
        numexpr=("where(x > 0, x * x, 0)", "where(x > 0, (x + x) * g, 0)"),
    ),
    "crelu": Case(
        kind="crelu",
        relume=("relume.crelu(x, out=out)", "relume.crelu_backward(g, x, out=dx)"),
        numpy=(
            "np.maximum(x, 0, out=out1); np.negative(x, out=out2); np.maximum(out2, 0, out=out2)",
            "np.greater(x, 0, out=m); np.multiply(g1, m, out=dx); "
            "np.less(x, 0, out=m); np.multiply(g2, m, out=t); np.subtract(dx, t, out=dx)",
        ),
        torch=(
            "torch.clamp_min(x, 0, out=out1); torch.neg(x, out=out2); "
            "torch.clamp_min(out2, 0, out=out2)",
            "aten.threshold_backward.grad_input(g1, x, 0, grad_input=dx); torch.neg(x, out=t); "
            "aten.threshold_backward.grad_input(g2, t, 0, grad_input=u); torch.sub(dx, u, out=dx)",
        ),
        jax="jnp.concatenate((nn.relu(x), nn.relu(-x)), -1)",
        numexpr=("", "where(x > 0, g1, where(x < 0, -g2, 0))"),
    ),
    "maxout": Case(
        kind="maxout",
        outputs=("out", "which"),
        relume=(
            "relume.maxout(x, out=(out, which))",
            "relume.maxout_backward(g, which, 4, out=dx)",
        ),
        numpy=(
            "np.max(x, axis=-1, out=out); np.argmax(x, axis=-1, out=which)",
            "dx.fill(0); np.put_along_axis(dx, which[..., None], g[..., None], -1)",
        ),
        torch=(
            "torch.max(x, -1, out=(out, which))",
            "dx.zero_(); dx.scatter_(-1, which[..., None], g[..., None])",
        ),
        jax=(
            "(jnp.max(x, -1), jnp.argmax(x, -1))",
            "lambda g, which: nn.one_hot(which, 4, dtype=g.dtype) * g[..., None]",
        ),
    ),
}
