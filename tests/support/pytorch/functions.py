"""Cases of PyTorch's elementwise functions and their gradients."""

from typing import NamedTuple

import numpy as np

from tests.support.ops import OPS, Op, hard_points

from . import uniform

N = 600  # points of a case
# Where PyTorch has another name, and arguments besides the parameters.
NAMES = {"gelu_tanh": "gelu"}
ARGUMENTS = {
    "gelu_tanh": {"approximate": "tanh"},
    "softplus": {"threshold": 1e30},  # above beta * x = 20 it would be linear
}


class Case(NamedTuple):
    """One function with one set of parameters, for a gradient of 1."""

    op: Op
    parameters: tuple
    dtype: str
    at_kinks: bool = False

    @property
    def name(self):
        parameters = f"({', '.join(map(str, self.parameters))})" if self.parameters else ""
        return f"{self.op}{parameters}-{self.dtype}{'-kinks' if self.at_kinks else ''}"

    def x(self):
        dtype = np.dtype(self.dtype).type
        if not self.at_kinks:
            return points(self.op, self.parameters, dtype)
        x = np.array([*self.op.kinks(self.parameters, dtype)], dtype)
        return np.concatenate([x, -x[x == 0]])

    def inputs(self):
        return {"x": self.x(), "parameters": np.array(self.parameters, self.dtype)}

    def compute(self, torch):
        name = self.op.row["name"]
        x = torch.from_numpy(self.x()).requires_grad_()
        parameters = self.inputs()["parameters"].tolist()
        if name == "prelu":
            parameters = [torch.full((1,), parameters[0], dtype=x.dtype)]
        function = getattr(torch.nn.functional, NAMES.get(name, name))
        y = function(x, *parameters, **ARGUMENTS.get(name, {}))
        if self.op.direction == "forward":
            return {"y": y.detach().numpy()}
        y.backward(torch.ones_like(y))
        return {"grad": x.grad.numpy()}


def points(op, parameters, dtype):
    """Return hard places, points of ordinary size, and points of all exponents and both signs."""
    info = np.finfo(dtype)
    rng = np.random.RandomState(len(op.name))
    always = (info.max, info.tiny, info.smallest_subnormal, info.eps, 0.0, 0.5, 1, 2)
    hard = rng.permutation(hard_points(op, parameters, dtype, *map(float, always)))[: N // 4]
    usual = uniform(rng, -12, 12, N // 4)
    n = N - len(hard) - len(usual)
    signs = 1 - 2 * rng.randint(2, size=n, dtype=np.int64)
    exponents = rng.randint(info.minexp - info.nmant, info.maxexp, size=n, dtype=np.int64)
    spread = np.ldexp(signs * uniform(rng, 1, 2, n), exponents)
    x = np.concatenate([hard, usual, spread]).astype(dtype)
    x[x == 0] = 0  # np.unique kept 0 or -0, depending on how this CPU sorts
    return x


def _cases():
    compared = [
        op for op in OPS if op.direction in ("forward", "backward") and op.reference.in_pytorch
    ]
    for op in compared:
        for parameters in op.parameter_sets:
            for dtype in ("float32", "float64"):
                yield Case(op, parameters, dtype)
                if op.direction == "backward" and op.kinks(parameters, np.float64):
                    yield Case(op, parameters, dtype, at_kinks=True)


CASES = {case.name: case for case in _cases()}
