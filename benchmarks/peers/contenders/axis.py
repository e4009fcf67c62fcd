"""Functions along an axis of (n / 100, 100): the last, and the first.

`yk` and `gk` are y and g with the axis kept as 1; logsumexp's backward may use x and y both, as
PyTorch's does.
"""

from dataclasses import replace

from .case import Case

_SHIFTED = (  # s = the maxima, {0} = x - s
    "np.max(x, axis=axis, keepdims=True, out=s); np.subtract(x, s, out={0}); "
)

LAST = {
    "softmax": Case(
        kind="rows",
        arguments=", axis=axis",
        numpy=(
            _SHIFTED.format("out") + "np.exp(out, out=out); "
            "np.sum(out, axis=axis, keepdims=True, out=s); np.divide(out, s, out=out)",
            "np.multiply(g, y, out=t); np.sum(t, axis=axis, keepdims=True, out=s); "
            "np.subtract(g, s, out=dx); np.multiply(dx, y, out=dx)",
        ),
        torch=(
            "torch._softmax(x, axis, False, out=out)",
            "aten._softmax_backward_data.out(g, y, axis, x.dtype, grad_input=dx)",
        ),
        jax="nn.softmax(x, axis=axis)",
    ),
    "log_softmax": Case(
        kind="rows",
        arguments=", axis=axis",
        numpy=(
            _SHIFTED.format("out") + "np.exp(out, out=t); "
            "np.sum(t, axis=axis, keepdims=True, out=s); np.log(s, out=s); "
            "np.subtract(out, s, out=out)",
            "np.exp(y, out=t); np.sum(g, axis=axis, keepdims=True, out=s); "
            "np.multiply(t, s, out=t); np.subtract(g, t, out=dx)",
        ),
        torch=(
            "torch._log_softmax(x, axis, False, out=out)",
            "aten._log_softmax_backward_data.out(g, y, axis, x.dtype, out=dx)",
        ),
        jax="nn.log_softmax(x, axis=axis)",
    ),
    "logsumexp": Case(
        kind="reduced",
        arguments=", axis=axis",
        numpy=(
            _SHIFTED.format("t") + "np.exp(t, out=t); np.sum(t, axis=axis, out=out); "
            "np.log(out, out=out); np.add(out, s.reshape(out.shape), out=out)",
            "np.subtract(x, yk, out=dx); np.exp(dx, out=dx); np.multiply(dx, gk, out=dx)",
        ),
        torch=(
            "torch.logsumexp(x, axis, out=out)",
            [
                "torch.sub(x, yk, out=dx); dx.exp_().mul_(gk)",
                "torch._softmax(x, axis, False, out=dx); dx.mul_(gk)",
            ],
        ),
        jax="nn.logsumexp(x, axis=axis)",
    ),
}

AXIS = LAST | {f"{name} axis 0": replace(case, axis=0) for name, case in LAST.items()}
