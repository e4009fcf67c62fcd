"""Parameters: allowed values and forms, errors, and the gradient of a learnable parameter."""

import itertools
import math

import numpy as np
import pytest

import relume
from tests.support.ops import (
    DTYPES,
    OPS,
    assert_same,
    each,
    each_dtype,
    each_with_parameters,
    special_inputs,
)
from tests.support.reference import ROWS

pytestmark = pytest.mark.op

# The functions (grad, x, weight) -> (grad_x, grad_weight) and their rows.
LEARNABLE = [name for name, row in ROWS.items() if row.parameter_derivative]
each_learnable = pytest.mark.parametrize("name", LEARNABLE)
# Shapes of x and of weight.
SHAPES = [
    ((7,), ()),
    ((7,), (1,)),
    ((7,), (7,)),
    ((4, 7), ()),
    ((4, 7), (7,)),
    ((4, 7), (4, 1)),
    ((4, 7), (1, 7)),
    ((4, 7), (1, 1)),
    ((4, 7), (4, 7)),
    ((7,), (4, 1)),
    ((7,), (4, 7)),
    ((), ()),
    ((), (3,)),
    ((5, 3, 4, 6), (3, 1, 1)),
    ((5, 3, 4, 6), (1, 3, 1, 6)),
    ((0, 7), (7,)),
    ((4, 0), (4, 1)),
    ((0,), ()),
    ((3000, 5), (5,)),
    ((3000, 5), (1, 5)),
    ((5, 3000), (5, 1)),
]


@each_with_parameters
@each_dtype
def test_parameters_broadcast(op, dtype):
    data = op.random(dtype, (6, 70))
    for shape in [(), (1,), (70,), (6, 1), (1, 70), (6, 70), (3, 1, 1), (2, 6, 70)]:
        slopes = op.slopes(dtype, shape)
        result = np.broadcast_shapes(shape, (6, 70))
        copies = [np.broadcast_to(a, result).copy() for a in (*data, *slopes)]
        what = f"{op}, parameters of shape {shape}"
        assert_same(op.function(*data, *slopes), op.function(*copies), what)


def forms(value):
    """A scalar in every form in which it may be passed."""
    scalars = [np.float32(value), np.float64(value)]
    return [value, *scalars, *map(np.asarray, scalars)]


def assert_refused(op, parameters, chosen):
    """Check that a call raises a ValueError with the parameters' values, and writes nothing."""
    out = np.full(4, 5, np.float32)
    with pytest.raises(ValueError, match="|".join(op.parameter_names)) as caught:
        op.function(*op.random(np.float32, 4), *chosen, out=out)
    assert (out == 5).all(), f"{op}{parameters} wrote before it raised"
    message = str(caught.value)
    assert any(f"{value:g}" in message for value in parameters), f"{op}{parameters}: {message}"


@each(op for op in OPS if op.reference.outside and op.direction != "parameter_gradient")
def test_parameters_outside_their_domain(op):
    for parameters in op.reference.outside:
        for chosen in itertools.product(*map(forms, parameters)):
            assert_refused(op, parameters, chosen)
        by_name = dict(zip(op.parameter_names, parameters, strict=True))
        with pytest.raises(ValueError, match="|".join(by_name)):
            op.function(*op.random(np.float64, 3), **by_name)


@each(op for op in OPS if op.reference.outside and op.reference.integers)
def test_parameters_outside_their_domain_with_integers(op):
    for parameters in op.reference.outside:
        with pytest.raises(ValueError, match="|".join(op.parameter_names)):
            op.function(*[np.arange(3)] * op.n_data, *parameters)


@each(op for op in OPS if op.reference.outside and op.direction != "parameter_gradient")
@each_dtype
def test_parameters_at_the_edge_of_their_domain_are_allowed(op, dtype):
    for parameters in op.parameter_sets:
        expected = op.function(*op.random(dtype, 3), *parameters)
        for given in ([dtype(p) for p in parameters], [np.asarray(dtype(p)) for p in parameters]):
            assert_same(op.function(*op.random(dtype, 3), *given), expected, f"{op}{parameters}")
        whole = [int(p) if p == int(p) else p for p in parameters]
        assert_same(op.function(*op.random(dtype, 3), *whole), expected, f"{op} with {whole}")


@each(
    op
    for op in OPS
    if op.direction == "backward_from_output"
    and op.parameter_sets != list(op.reference.parameters)
)
@each_dtype
def test_parameters_that_make_the_derivative_from_output_impossible(op, dtype):
    data = op.random(dtype, 4)
    good, out = op.parameter_sets[0], np.full(4, 5, dtype)
    bad = [p for p in op.reference.parameters if not op.reference.from_output_needs(*p)]
    bad += [tuple(-0.0 if value == 0 else value for value in p) for p in bad]
    bad += [(float("nan"),) * len(good)]
    for parameters in bad:
        arrays = [np.array([g, g, b, g], dtype) for g, b in zip(good, parameters, strict=True)]
        scalars = [dtype(p) for p in parameters]
        for values in (parameters, scalars, map(np.asarray, scalars), arrays):
            with pytest.raises(ValueError, match="|".join(op.parameter_names)):
                op.function(*data, *values, out=out)
    assert (out == 5).all(), f"{op} wrote before it raised"


def test_leaky_relu_is_prelu():
    assert relume.leaky_relu.ufunc is relume.prelu


# -- the gradient of a learnable parameter --


def by_definition(name, grad, x, weight):
    """Both gradients in float64, summed by math.fsum, and the size of the sum's terms."""
    row = ROWS[name]
    shape = np.broadcast_shapes(grad.shape, x.shape, weight.shape)
    g, x, w = (np.broadcast_to(a, shape).astype(np.float64) for a in (grad, x, weight))
    grad_x = np.empty(shape)
    terms = {index: [] for index in np.ndindex(weight.shape)}
    for index in np.ndindex(shape):
        grad_x[index] = g[index] * row.derivative(x[index], w[index])
        last = index[len(index) - weight.ndim :]
        key = tuple(0 if n == 1 else i for i, n in zip(last, weight.shape, strict=True))
        terms[key].append(g[index] * row.parameter_derivative(x[index]))
    grad_weight = np.empty(weight.shape)
    for key, values in terms.items():
        grad_weight[key] = math.fsum(values)
    size = max([sum(map(abs, values)) for values in terms.values()], default=0)
    return grad_x, grad_weight, size


@each_learnable
@each_dtype
@pytest.mark.parametrize(("x_shape", "weight_shape"), SHAPES)
def test_learnable(name, dtype, x_shape, weight_shape):
    generator = np.random.default_rng(9)
    grad, x = (np.asarray(generator.normal(size=x_shape)).astype(dtype) for _ in range(2))
    weight = np.asarray(generator.normal(size=weight_shape)).astype(dtype)
    backward = getattr(relume, f"{name}_backward")
    grad_x, grad_weight = backward(grad, x, weight)
    what = f"{name}_backward {dtype.__name__} of shapes {x_shape} and {weight_shape}"
    expected_x, expected_weight, size = by_definition(name, grad, x, weight)
    eps = np.finfo(dtype).eps
    assert grad_x.shape == expected_x.shape, f"{what}: grad_x of shape {grad_x.shape}"
    assert grad_x.dtype == grad_weight.dtype == dtype, what
    assert np.shape(grad_weight) == weight_shape, f"{what}: {np.shape(grad_weight)}"
    np.testing.assert_allclose(grad_x, expected_x, rtol=2 * eps, atol=1e-7, err_msg=what)
    np.testing.assert_allclose(
        grad_weight, expected_weight, rtol=0, atol=4 * eps * size, err_msg=what
    )


@each_learnable
@each_dtype
def test_learnable_in_other_layouts(name, dtype):
    generator = np.random.default_rng(10)
    backward = getattr(relume, f"{name}_backward")
    grad, x = (generator.normal(size=(60, 70)).astype(dtype) for _ in range(2))
    weight = generator.normal(size=(60, 1)).astype(dtype)
    expected = backward(grad, x, weight)
    layouts = {
        "F": lambda a: a.copy("F"),
        "reversed": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
        "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
        "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    }
    for layout, lay_out in layouts.items():
        actual = backward(lay_out(grad), lay_out(x), weight)
        for part, one, other in zip(("grad_x", "grad_weight"), actual, expected, strict=True):
            assert_same(one, other, f"{name}_backward, {part}, {layout}")


@each_learnable
@pytest.mark.parametrize(
    ("x_shape", "weight_shape"),
    [
        ((1_000_000,), ()),
        ((1_000_000,), (1,)),
        ((250_000, 4), (4,)),
        ((250_000, 4), (1, 4)),
        ((4, 250_000), (4, 1)),
        ((1000, 1000), (1, 1)),
        ((50_000, 2, 10), (2, 1)),
    ],
)
def test_learnable_sums_are_pairwise(name, x_shape, weight_shape):
    """Adding a million terms near 1 one by one would lose three digits of float32."""
    generator = np.random.default_rng(11)
    grad = (1 + 0.1 * generator.random(x_shape)).astype(np.float32)
    x = np.full(x_shape, -1, np.float32)
    weight = np.full(weight_shape, 0.25, np.float32)
    _, actual = getattr(relume, f"{name}_backward")(grad, x, weight)
    factor = ROWS[name].parameter_derivative(-1.0)
    axes = tuple(range(len(x_shape) - len(weight_shape)))
    axes += tuple(
        len(x_shape) - len(weight_shape) + i for i, n in enumerate(weight_shape) if n == 1
    )
    exact = (grad.astype(np.float64) * factor).sum(axis=axes).reshape(weight_shape)
    error = abs(actual - exact) / np.spacing(abs(exact).astype(np.float32))
    assert np.max(error) <= 4, f"{name}_backward of {x_shape}: {np.max(error):.1f} ULP"


@each_learnable
def test_learnable_bits_do_not_depend_on_number_of_threads(name):
    generator = np.random.default_rng(12)
    backward = getattr(relume, f"{name}_backward")
    grad, x = (generator.normal(size=(1000, 1000)).astype(np.float32) for _ in range(2))
    for weight in (np.float32(0.3), np.full(1000, 0.3, np.float32), np.full((1000, 1), 0.3, "f")):
        with relume.num_threads(1):
            expected = backward(grad, x, weight)
        with relume.num_threads(2):
            actual = backward(grad, x, weight)
        for part, one, other in zip(("grad_x", "grad_weight"), actual, expected, strict=True):
            assert_same(one, other, f"{name}_backward, {part}, two threads")


@each_learnable
def test_learnable_promotes_as_its_ufuncs(name):
    backward = getattr(relume, f"{name}_backward")
    for grad, x, weight in np.ndindex(3, 3, 4):
        grad, x = np.ones(5, DTYPES[grad]), -np.ones(5, DTYPES[x])
        weight = 0.5 if weight == 3 else np.full(5, 0.5, DTYPES[weight])
        common = np.result_type(grad, x, weight)
        for part, result in zip(("grad_x", "grad_weight"), backward(grad, x, weight), strict=True):
            given = [getattr(a, "dtype", a) for a in (grad, x, weight)]
            assert result.dtype == common, f"{part} of {given}: {result.dtype}, not {common}"


@each_learnable
def test_learnable_takes_sequences_and_integers(name):
    backward = getattr(relume, f"{name}_backward")
    grads, xs = [1.0, 2.0, 4.0], [-2.0, 3.0, -1.0]
    expected = backward(np.array(grads), np.array(xs), np.array([0.5]))
    for grad, x, weight in [
        (grads, xs, [0.5]),
        (tuple(grads), np.array(xs), np.array([0.5])),
        ([1, 2, 4], [-2, 3, -1], [0.5]),
        (np.array([1, 2, 4]), np.array([-2, 3, -1]), np.array([0.5])),
    ]:
        for one, other in zip(backward(grad, x, weight), expected, strict=True):
            assert_same(one, other, f"{name}_backward of {grad!r}, {x!r}, {weight!r}")
    whole = backward(np.array([1, 2, 4]), np.array([-2, 3, -1]), np.array([2]))
    assert [part.dtype for part in whole] == [np.float64, np.float64]


@each_learnable
@each_dtype
def test_learnable_does_not_warn(name, dtype):
    op = next(op for op in OPS if op.name == f"{name}_parameter_gradient")
    grad, x = special_inputs(op, (), dtype)
    big = np.finfo(dtype).max
    backward = getattr(relume, f"{name}_backward")
    with np.errstate(all="raise"):
        for weight in (dtype(0.5), np.full(len(x), 0.5, dtype), np.zeros(1, dtype)):
            backward(grad, x, weight)
        _, opposite = backward(np.array([np.inf, -np.inf], dtype), -np.ones(2, dtype), dtype(0.5))
        _, beyond = backward(np.full(9, big, dtype), -np.ones(9, dtype), dtype(0.5))
    assert np.isnan(opposite)
    assert beyond == -np.inf


@each_learnable
@each_dtype
def test_learnable_at_nan_and_kinks(name, dtype):
    backward = getattr(relume, f"{name}_backward")
    row = ROWS[name]
    for length in range(1, 65):
        for index in range(length):
            for operand in (0, 1):
                inputs = [np.ones(length, dtype), -np.ones(length, dtype)]
                inputs[operand][index] = np.nan
                grad_x, total = backward(*inputs, dtype(0.5))
                assert np.isnan(grad_x[index])
                assert np.isnan(grad_x).sum() == 1
                assert np.isnan(total), f"{name}_backward, NaN at {index} of {length}"
    for kink, derivative in row.kinks(0.5).items():
        grad_x, grad_weight = backward(dtype(1), dtype(kink), dtype(0.5))
        assert grad_x == derivative
        assert grad_weight == row.parameter_derivative(kink)
    _, grad_weight = backward(np.full(3, np.inf, dtype), np.ones(3, dtype), np.full(3, 0.5, dtype))
    assert (grad_weight == 0).all()


@each_learnable
def test_learnable_shapes_and_dtypes_that_do_not_fit(name):
    backward = getattr(relume, f"{name}_backward")
    with pytest.raises(ValueError, match="broadcast"):
        backward(np.ones(3), np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="broadcast"):
        backward(np.ones(3), np.ones(4), 0.5)
    with pytest.raises(TypeError):
        backward(np.ones(3, complex), np.ones(3), 0.5)
    with pytest.raises(TypeError):
        backward(np.ones(3), np.ones(3), "half")
