"""What the ufuncs compute: against mpmath, at kinks, zeros, NaN and infinities, everywhere."""

import inspect

import numpy as np
import pytest

import relume
from tests.reference import (
    INF,
    OPS,
    ROWS,
    Row,
    assert_same,
    describe,
    each,
    each_derivative,
    each_dtype,
    each_forward,
    each_function,
    each_op,
    each_with_gradient,
    each_with_parameters,
    exact,
    mp,
    neighbours,
    special_inputs,
    special_points,
    ulps,
    underflows,
    wake_threads,
)

pytestmark = pytest.mark.op

LENGTHS = range(1, 65)


def tolerance(op, dtype):
    """The bound of the contract; half a unit more where a gradient is not 1."""
    if dtype is np.float16:
        return 0.51
    return op.reference.ulp if op.n_data == 1 else op.reference.backward_ulp + 0.5


def assert_close(op, dtype, actual, inputs, parameters):
    """Every element within the bounds of the contract, at NaN, zero and infinity exactly."""
    elements = list(zip(*(column.tolist() for column in inputs), strict=True))
    values = [op.value(*element, *parameters) for element in elements]
    finite = [mp.isfinite(value) for value in values]
    expected = exact([value if ok else mp.zero for value, ok in zip(values, finite, strict=True)])
    grads = np.nan_to_num(inputs[0].astype(float), posinf=0, neginf=0)
    error = ulps(actual, expected, abs(grads) * op.reference.floor if op.n_data == 2 else 0)
    tiny = underflows(expected, dtype) & (op.n_data == 2) & (expected.high != 0)
    smallest = np.finfo(np.promote_types(dtype, np.float32)).tiny
    for i, (value, element) in enumerate(zip(values, elements, strict=True)):
        got = float(actual[i])
        if not finite[i]:
            right = np.isnan(got) if mp.isnan(value) else got == float(value)
            # A derivative that underflows may have become 0 before it meets an infinite gradient.
            factor = None if op.n_data == 1 else op.factor(mp.mpf(element[1]), *parameters)
            if not right and got == 0 and factor is not None:
                right = 0 < abs(factor) < smallest
        elif tiny[i]:
            right = abs(got) <= smallest and (got == 0 or (got > 0) == (value > 0))
        else:
            right = error[i] <= tolerance(op, dtype)
        call = describe(op, *element, *parameters)
        assert right, f"{call} in {dtype.__name__}, element {i}: {got!r}, not {mp.nstr(value, 20)}"


# -- the table and the reference --


def test_every_row_of_the_table_has_a_reference():
    assert list(relume.activations.ROWS) == list(ROWS)


def test_every_public_function_is_tested():
    functions = {op.name for op in OPS}
    functions |= {f"{name}_backward" for name, row in ROWS.items() if row.parameter_derivative}
    public = {n for n in relume.__all__ if any(n == r or n.startswith(f"{r}_") for r in ROWS)}
    assert public <= functions
    assert {op.name for op in OPS if op.direction != "parameter_gradient"} <= public


def test_a_reference_row_that_is_wrong_is_noticed():
    wrong = Row(lambda x: x, lambda x: 1, lambda: ((-INF, INF), (1, 1)))
    op = OPS[0]._replace(reference=wrong)
    x = np.array([1.0, -1.0])
    with pytest.raises(AssertionError, match=rf"{op}\(-1.0\) in float64, element 1"):
        assert_close(op, np.float64, op.function(x), [x], ())


@each_op
def test_directions_of_the_reference_are_those_of_the_table(op):
    has = set(op.row["directions"])
    assert ("backward_from_output" in has) == (op.reference.from_output is not None)
    assert ("parameter_gradient" in has) == (op.reference.parameter_derivative is not None)
    assert {"forward", "backward"} <= has


@each_op
def test_is_a_ufunc_or_a_function_over_one(op):
    assert isinstance(op.ufunc, np.ufunc)
    parameters = len(op.parameter_sets[0])
    assert (op.ufunc.nin, op.ufunc.nout) == (op.n_data + parameters, 1)
    if op.function is not op.ufunc:
        assert op.function.__name__ == op.name
        assert op.function.__doc__


@each_function
def test_parameters_have_the_names_and_defaults_of_the_table(op):
    signature = inspect.signature(op.function).parameters.values()
    named = [p for p in signature if p.kind is p.POSITIONAL_OR_KEYWORD][op.n_data :]
    assert ", ".join(f"{p.name}={p.default}" for p in named) == op.row["parameters"]
    data = op.random(np.float64, 50)
    defaults = {p.name: p.default for p in named}
    assert_same(op.function(*data), op.function(*data, **defaults), f"{op} with its defaults")


# -- values --


@each_op
@each_dtype
def test_values(op, dtype):
    for parameters in op.parameter_sets:
        rounded = tuple(dtype(p) for p in parameters)
        points = [0.01, 0.1, 0.3, 0.7, 1.1, 2, 3.3, 5, 7.7, *op.reference.hard]
        points += op.kinks(*parameters)
        points = neighbours([*points, *(-np.array(points))], dtype)
        if op.direction == "backward_from_output":
            low, high = op.reference.outputs
            points = points[(low <= points) & (points <= high)]
        grads = np.resize(np.array([1, -2.5, 0.75, 0.1, 300, 1e-3], dtype), points.shape)
        inputs = [points] if op.n_data == 1 else [grads, points]
        assert_close(op, dtype, op.function(*inputs, *rounded), inputs, rounded)


@each_op
@each_dtype
def test_special_values(op, dtype):
    for parameters in op.parameter_sets:
        rounded = tuple(dtype(p) for p in parameters)
        inputs = special_inputs(op, dtype, rounded)
        with np.errstate(all="raise"):
            actual = op.function(*inputs, *rounded)
        assert_close(op, dtype, actual, inputs, rounded)


@each_op
@each_dtype
def test_special_values_at_every_length_and_position(op, dtype):
    """A span's vector body, its tail and each lane must treat them as a single element is."""
    for parameters in op.parameter_sets:
        rounded = tuple(dtype(p) for p in parameters)
        inputs = special_inputs(op, dtype, rounded)
        count = len(inputs[0])
        # In an odd cycle, so that over the shifts every special value comes to every position.
        cycle = [np.resize(column, count + len(LENGTHS)) for column in inputs]
        single = [op.function(*element, *rounded) for element in zip(*inputs, strict=True)]
        expected = np.resize(np.array(single, dtype), count + len(LENGTHS))
        for length in LENGTHS:
            for shift in range(count):
                span = slice(shift, shift + length)
                actual = op.function(*(column[span] for column in cycle), *rounded)
                if actual.tobytes() != expected[span].tobytes():
                    what = f"{op}{parameters} length {length}, shift {shift}"
                    assert_same(actual, expected[span], what)


@each_op
@each_dtype
def test_nan_in_data_gives_nan(op, dtype):
    for parameters in op.parameter_sets:
        for place in range(op.n_data):
            inputs = special_inputs(op, dtype, parameters)
            inputs[place] = np.full_like(inputs[place], np.nan)
            actual = op.function(*inputs, *parameters)
            bad = np.flatnonzero(~np.isnan(actual))
            assert not bad.size, (
                f"{op}{parameters} {dtype.__name__}, NaN as input {place}: {actual[bad[0]]} "
                f"at {bad[0]}, other inputs {[column[bad[0]] for column in inputs]}"
            )


@each_forward
@each_dtype
def test_signs_of_zero(op, dtype):
    for x, sign in zip((-0.0, 0.0), op.reference.zeros, strict=True):
        for parameters in op.parameter_sets:
            for length in LENGTHS:
                if sign is not None:
                    actual = op.function(np.full(length, x, dtype), *parameters)
                    expected = np.full(length, sign, dtype)
                    assert_same(actual, expected, f"{op}({x}), length {length}")


@each_derivative
@each_dtype
def test_derivative_at_kinks(op, dtype):
    for parameters in op.parameter_sets:
        rounded = tuple(dtype(p) for p in parameters)
        for kink, derivative in op.reference.kinks(*rounded).items():
            for x in (kink, -kink) if kink == 0 else (kink,):
                for length in LENGTHS:
                    actual = op.function(
                        np.ones(length, dtype), np.full(length, x, dtype), *rounded
                    )
                    wrong = np.flatnonzero(actual != dtype(derivative))
                    what = f"{op}(1, {x}, {parameters}) {dtype.__name__}, length {length}"
                    assert not wrong.size, f"{what}: {actual[wrong[0]]} at {wrong[0]}"


@each_with_gradient
@each_dtype
def test_infinite_gradient_where_the_derivative_is_0(op, dtype):
    for parameters in op.parameter_sets:
        rounded = tuple(dtype(p) for p in parameters)
        for x in special_points(op, dtype, rounded):
            if np.isnan(x) or op.factor(mp.mpf(float(x)), *map(float, rounded)) != 0:
                continue
            for grad in (INF, -INF):
                actual = op.function(dtype(grad), x, *rounded)
                assert actual == 0, f"{describe(op, grad, x, *parameters)}: {actual}"


@each(op for op in OPS if op.direction in ("forward", "backward"))
def test_limits_of_the_reference_are_its_values_far_out(op):
    for parameters in op.parameter_sets:
        for side, x in enumerate((-1e300, 1e300)):
            limit = op.reference.limits(*parameters)[op.n_data - 1][side]
            function = op.reference.forward if op.n_data == 1 else op.reference.derivative
            value = function(mp.mpf(x), *parameters)
            near = abs(value - limit) < 1e-6 if abs(limit) < INF else value * limit > 1e50
            assert near, f"{op}{parameters} at {x:g}: {mp.nstr(value, 8)}, but the limit {limit}"


# -- the same bits everywhere --


@each_op
@each_dtype
def test_bits_do_not_depend_on_length(op, dtype):
    data = op.random(dtype, 5000)
    slopes = op.slopes(dtype, 5000)
    expected = op.function(*data, *slopes)
    generator = np.random.default_rng(2)
    lengths = [*LENGTHS, 127, 511, 512, 513, 1000, 1024, 1025, 4999]
    for length in lengths:
        start = int(generator.integers(5000 - length))
        span = slice(start, start + length)
        actual = op.function(*(column[span] for column in (*data, *slopes)))
        assert_same(actual, expected[span], f"{op} elements {start} to {start + length}")


@each_with_parameters
@each_dtype
def test_bits_do_not_depend_on_parameters_being_scalars(op, dtype):
    data = op.random(dtype, 1300)
    for parameters in op.parameter_sets:
        rounded = [dtype(p) for p in parameters]
        expected = op.function(*data, *(np.full(1300, p, dtype) for p in rounded))
        forms = {
            "NumPy scalars": rounded,
            "Python floats": map(float, rounded),
            "0-d arrays": map(np.asarray, rounded),
            "one element": [np.array([p]) for p in rounded],
            "broadcast": [np.broadcast_to(p, 1300) for p in rounded],
        }
        for form, values in forms.items():
            assert_same(op.function(*data, *values), expected, f"{op}{parameters}, {form}")


@each_op
@each_dtype
def test_bits_do_not_depend_on_number_of_threads(op, dtype):
    data = op.random(dtype, 1_000_003)
    for slopes in (op.slopes(dtype, 1_000_003), op.parameter_sets[0]):
        with relume.num_threads(1):
            expected = op.function(*data, *slopes)
        wake_threads()
        with relume.num_threads(2):
            assert_same(op.function(*data, *slopes), expected, f"{op} with two threads")
