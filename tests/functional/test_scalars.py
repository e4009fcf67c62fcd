"""The dtype of results where an operand is a number: NEP 50, in every public function."""

import numpy as np
import pytest

import relume
from tests.support.ops import OPS, each_dtype

pytestmark = pytest.mark.op

GATED = ["glu", "reglu", "geglu", "swiglu"]
SCALARS = {
    "float": float, "int": int, "bool": bool, "float16": np.float16, "float32": np.float32,
    "float64": np.float64, "int8": np.int8, "int64": np.int64, "bool_": np.bool_,
}  # fmt: skip


def _calls():
    """Functions of operands that are arrays of 4, or numbers; and which may be numbers."""
    for op in OPS:
        parameters = op.parameter_sets[0]
        yield op.name, op.function, op.n_data, parameters
    for name in GATED:
        yield name, getattr(relume, name), 2, ()
        yield f"{name}_backward", getattr(relume, f"{name}_backward"), 3, ()
        yield f"{name}_backward, split", _split_backward(name), 2, ()
    yield "prelu_backward", relume.prelu_backward, 2, (0.5,)
    yield "rrelu", relume.rrelu, 1, (0.25, 0.5)
    yield "rrelu_backward", relume.rrelu_backward, 2, (0.25, 0.5)
    yield "rrelu_backward, slope", _rrelu_backward_by_slope, 2, (0.5,)


def _split_backward(name):
    return lambda grad, a: getattr(relume, f"{name}_backward")(grad, np.append(a, a))


def _rrelu_backward_by_slope(grad, x, slope):
    return relume.rrelu_backward(grad, x, slope=slope)


REFUSING = {*GATED, *(f"{name}_backward" for name in GATED)}
CALLS = {name: call for name, *call in _calls()}


@each_dtype
@pytest.mark.parametrize("name", CALLS)
def test_dtype_with_a_number_among_arrays(name, dtype):
    """A gradient of a Python float made the split form of glu_backward return float64."""
    for scalar in SCALARS:
        _check_dtypes(name, scalar, dtype)


def _check_dtypes(name, scalar, dtype):
    function, n_data, parameters = CALLS[name]
    arrays = [np.full(4, 0.5, dtype) for _ in range(n_data)]
    parameters = list(parameters)
    for k in range(n_data + len(parameters)):
        operands = arrays + [float(p) for p in parameters]
        if len(arrays) == 1 and k == 0:
            continue  # a number alone: test_python_scalars_and_sequences
        if name.endswith("split") and k == 1:
            continue
        if scalar == "int" and name in REFUSING and k == n_data - 1:
            continue  # refused, as it may be meant as an axis
        value = SCALARS[scalar](operands[k] if k >= n_data else 1)
        if k >= n_data and value != operands[k]:
            continue  # integers that would change the parameter, perhaps out of its domain
        operands[k] = value
        if function is relume.rrelu and k >= n_data:
            promoted = [operands[0], (operands[1] + operands[2]) / 2]
        else:
            promoted = operands
        results = function(*operands)
        expected = np.result_type(*promoted)
        for result in results if isinstance(results, tuple) else (results,):
            assert result.dtype == expected, f"{name}, operand {k} a {scalar}"


@each_dtype
@pytest.mark.parametrize("name", GATED)
def test_a_number_for_the_gradient_of_the_split_form_is_broadcast(name, dtype):
    a = np.array([0.5, -1.0, 2.0, 0.25], dtype)
    backward = getattr(relume, f"{name}_backward")
    pair, joined = backward(1.0, a[:2], a[2:]), backward(1.0, a)
    np.testing.assert_array_equal(joined, np.concatenate(pair))
