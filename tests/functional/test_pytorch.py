"""PyTorch's functions and gradients agree: the same values where it is exact, the same kinks.

A point is left out if PyTorch's result is more than 4 ULP from mpmath's. This happens in the tails
of gelu, for subnormal results, and where PyTorch uses a float32 constant in float64, such as 1/6
in the gradient of hardsigmoid.
"""

import numpy as np
import pytest

from tests.support.ops import (
    OPS,
    accuracy_inputs,
    describe,
    each,
    exact,
    exact_results,
    ulps,
)
from tests.support.reference import mp

N = 600
# Functions that have another name in PyTorch, or arguments besides the parameters.
NAMES = {"gelu_tanh": "gelu"}
ARGUMENTS = {
    "gelu_tanh": {"approximate": "tanh"},
    "softplus": {"threshold": 1e30},  # by default it is linear above beta * x = 20
}
LACKING = {"relu_squared", "quick_gelu", "squareplus"}  # PyTorch has none of these
COMPARED = [
    op for op in OPS if op.direction in ("forward", "backward") and op.row["name"] not in LACKING
]
each_compared = each(COMPARED)
each_with_kinks = each(
    op for op in COMPARED if op.n_data == 2 and op.kinks(op.parameter_sets[0], np.float64)
)
each_precise_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(scope="module")
def torch():
    """Import PyTorch only here, so that its threads do not affect other tests."""
    return pytest.importorskip("torch", reason="PyTorch is not installed; it is compared with")


def by_torch(torch, op, x, parameters):
    """PyTorch's result, for a gradient of 1 and the same parameters for every element."""
    name = op.row["name"]
    x = torch.from_numpy(x).requires_grad_()
    if name == "prelu":
        parameters = [torch.full((1,), parameters[0], dtype=x.dtype)]
    function = getattr(torch.nn.functional, NAMES.get(name, name))
    y = function(x, *parameters, **ARGUMENTS.get(name, {}))
    if op.direction == "forward":
        return y.detach().numpy()
    y.backward(torch.ones_like(y))
    return x.grad.numpy()


def columns_of(op, dtype):
    """(parameters, points) for each parameter set."""
    inputs = accuracy_inputs(op, dtype, N * len(op.parameter_sets))
    points = np.split(inputs[op.n_data - 1], len(op.parameter_sets))
    return zip(op.parameter_sets, points, strict=True)


def call(op, x, parameters):
    grads = [np.ones_like(x)] * (op.n_data - 1)
    return op.function(*grads, x, *(x.dtype.type(p) for p in parameters))


@each_compared
@each_precise_dtype
def test_finite_values_agree(torch, op, dtype):
    for parameters, x in columns_of(op, dtype):
        rounded = [float(dtype(p)) for p in parameters]
        theirs, ours = by_torch(torch, op, x, rounded), call(op, x, parameters)
        inputs = [*[np.ones_like(x)] * (op.n_data - 1), x]
        inputs += [np.full_like(x, p) for p in parameters]
        floor = op.reference.floor if op.n_data == 2 else 0
        their_error = ulps(theirs, exact_results(op, inputs), floor)
        witness = (their_error <= 4) & np.isfinite(theirs)
        assert witness.mean() > 0.25, f"{op}{parameters}: PyTorch is exact at {witness.mean():.0%}"
        values = exact([mp.mpf(value) for value in np.where(witness, theirs, 0).tolist()])
        error = ulps(ours, values, floor)
        wrong = np.flatnonzero(witness & (error > 4 + their_error))
        assert not wrong.size, (
            f"{describe(op, x[wrong[0]], *parameters)} in {dtype.__name__}: {ours[wrong[0]]!r}, "
            f"PyTorch {theirs[wrong[0]]!r}; {wrong.size} points differ"
        )


@each_with_kinks
@each_precise_dtype
def test_kinks_agree(torch, op, dtype):
    for parameters in op.parameter_sets:
        rounded = [float(dtype(p)) for p in parameters]
        x = np.array([*op.kinks(parameters, dtype)], dtype)
        x = np.concatenate([x, -x[x == 0]])
        theirs, ours = by_torch(torch, op, x, rounded), call(op, x, parameters)
        for kink, one, other in zip(x, ours, theirs, strict=True):
            # Not bit for bit, because PyTorch may use a float32 constant in float64.
            what = f"{describe(op, kink, *parameters)}: {one!r}, PyTorch {other!r}"
            assert np.isclose(one, other, rtol=1e-6, atol=0), what
