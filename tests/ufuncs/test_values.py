"""The values of the ufuncs against mpmath, and at kinks, zeros, NaN and infinities."""

import inspect

import numpy as np
import pytest

import relume
from tests.support.ops import (
    OPS,
    assert_same,
    bound,
    describe,
    each,
    each_derivative,
    each_dtype,
    each_forward,
    each_function,
    each_op,
    each_with_gradient,
    each_with_parameters,
    errors,
    exact,
    hard_points,
    special_inputs,
    special_points,
    wake_threads,
)
from tests.support.reference import INF, ROWS, Row, mp

pytestmark = pytest.mark.op

LENGTHS = range(1, 65)


def tolerated(op, dtype, got, element, parameters):
    """Whether a deviating result is due to a derivative beyond the dtype's range.

    A derivative that underflows may become 0 before it is multiplied by an infinite gradient, and
    one that overflows may become infinite before it is multiplied by a small or zero gradient.
    """
    if op.n_data == 1:
        return False
    grad, factor = element[0], abs(op.factor(element[1], parameters, dtype))
    computed = np.finfo(np.promote_types(dtype, np.float32))
    if factor > computed.max:
        return np.isnan(got) if grad == 0 else abs(got) == INF and (got > 0) == (grad > 0)
    return abs(grad) == INF and got == 0 and 0 < factor < computed.tiny


def assert_close(op, dtype, actual, inputs, parameters):
    """Check the bounds of the contract, and exact results at NaN, zero and infinity."""
    elements = list(zip(*(column.tolist() for column in inputs), strict=True))
    values = [op.value(element, parameters, dtype) for element in elements]
    finite = np.array([mp.isfinite(value) for value in values])
    expected = exact([value if ok else mp.zero for value, ok in zip(values, finite, strict=True)])
    grads = np.nan_to_num(inputs[0].astype(float), posinf=0, neginf=0)
    half = 0.5 if op.n_data == 2 and dtype is not np.float16 else 0
    allowed = bound(op, dtype) + half * (abs(grads) != 1)  # the rounding of the product
    right = errors(op, actual, expected, grads) <= allowed
    other = np.array([float(mp.zero if ok else v) for v, ok in zip(values, finite, strict=True)])
    right = np.where(finite, right, (actual == other) | (np.isnan(actual) & np.isnan(other)))
    for i in np.flatnonzero(~right):
        got = float(actual[i])
        if not tolerated(op, dtype, got, elements[i], parameters):
            call = describe(op, *elements[i], *parameters)
            raise AssertionError(
                f"{call} in {dtype.__name__}, element {i}: {got!r}, not {mp.nstr(values[i], 20)}"
            )


# -- the table and the reference --


def test_every_public_function_is_tested():
    functions = {op.name for op in OPS}
    functions |= {f"{name}_backward" for name, row in ROWS.items() if row.parameter_derivative}
    public = {n for n in relume.__all__ if any(n == r or n.startswith(f"{r}_") for r in ROWS)}
    assert public <= functions
    assert {op.name for op in OPS if op.direction != "parameter_gradient"} <= public


def test_a_reference_row_that_is_wrong_is_noticed():
    wrong = Row(lambda x: x, lambda x: 1, lambda: ((-INF, INF), (1, 1)))
    op = next(op for op in OPS if op.name == "relu")._replace(reference=wrong)
    x = np.array([1.0, -1.0])
    with pytest.raises(AssertionError, match=rf"{op}\(-1.0\) in float64, element 1"):
        assert_close(op, np.float64, op.function(x), [x], ())


@each_op
def test_the_table_says_what_the_reference_says(op):
    row, reference = op.row, op.reference
    has = set(row["directions"])
    assert ("backward_from_output" in has) == (reference.from_output is not None)
    assert ("parameter_gradient" in has) == (reference.parameter_derivative is not None)
    assert {"forward", "backward"} <= has
    assert row["integers"] == (reference.integers is not None)
    assert row["ulp"] == reference.ulp
    assert bool(row["domain"]) == bool(reference.outside)
    impossible = not all(reference.from_output_needs(*p) for p in reference.parameters)
    assert bool(row["from_output_domain"]) >= impossible


@each_op
def test_is_a_ufunc_or_a_function_over_one(op):
    assert isinstance(op.ufunc, np.ufunc)
    parameters = len(op.parameter_sets[0])
    assert (op.ufunc.nin, op.ufunc.nout) == (op.n_data + parameters, 1)
    # Without parameters, or with a learnable one, the public name is the ufunc itself.
    bare = not parameters or op.reference.parameter_derivative is not None
    assert (op.function is op.ufunc) == (bare and op.row["name"] != "gelu")
    if op.function is not op.ufunc:
        assert op.function.__name__ == op.name
        assert op.function.__doc__


@each_function
def test_parameters_have_the_names_and_defaults_of_the_table(op):
    signature = inspect.signature(op.function).parameters.values()
    named = [p for p in signature if p.kind is p.POSITIONAL_OR_KEYWORD][op.n_data :]
    if op.row["name"] == "gelu":  # its row is the exact one; both are tested by name
        assert [(p.name, p.default) for p in named] == [("approximate", "none")]
        return
    assert tuple(p.name for p in named) == op.parameter_names
    texts = [f"{p.name}={p.default}" if op.has_defaults else p.name for p in named]
    assert texts == [text.strip() for text in op.row["parameters"].split(",")]
    data, values = op.random(np.float64, 50), op.reference.parameters[0]
    expected = op.function(*data, *values)
    by_name = dict(zip(op.parameter_names, values, strict=True))
    assert_same(op.function(*data, **by_name), expected, f"{op} with parameters by name")
    if op.has_defaults:
        assert tuple(p.default for p in named) == values
        assert_same(op.function(*data), expected, f"{op} with its defaults")
    else:
        with pytest.raises(TypeError, match=named[0].name):
            op.function(*data)


# -- values --


@each_op
@each_dtype
def test_values(op, dtype):
    for parameters in op.parameter_sets:
        usual = (0.01, 0.1, 0.3, 0.7, 1.1, 2, 3.3, 5, 7.7)
        points = hard_points(op, parameters, dtype, *usual)
        inputs = [points]
        if op.n_data == 2:
            grads = np.resize(np.array([-2.5, 0.75, 0.1, 300, 1e-3], dtype), points.shape)
            inputs = [np.append(np.ones_like(points), grads), np.tile(points, 2)]
        rounded = [dtype(p) for p in parameters]
        assert_close(op, dtype, op.function(*inputs, *rounded), inputs, parameters)


@each_op
@each_dtype
def test_special_values(op, dtype):
    for parameters in op.parameter_sets:
        inputs = special_inputs(op, parameters, dtype)
        with np.errstate(all="raise"):
            actual = op.function(*inputs, *(dtype(p) for p in parameters))
        assert_close(op, dtype, actual, inputs, parameters)


@each_op
@each_dtype
def test_special_values_at_every_length_and_position(op, dtype):
    """The vectorized body, its tail and each lane must give the result of a single element."""
    for parameters in op.parameter_sets:
        rounded = [dtype(p) for p in parameters]
        inputs = special_inputs(op, parameters, dtype)
        count = len(inputs[0])
        single = [op.function(*element, *rounded) for element in zip(*inputs, strict=True)]
        single = np.array(single, dtype)
        for length in LENGTHS:
            # There is a row for each shift, so that every special value is in every position.
            # NumPy calls the loop for each run of the mask, and so for rows of this length.
            index = np.add.outer(np.arange(count), np.arange(length + 1)) % count
            rows, expected = [column[index] for column in inputs], single[index]
            mask = np.arange(length + 1) < length
            expected[:, ~mask] = 5
            out = np.full(index.shape, 5, dtype)
            op.function(*rows, *rounded, out=out, where=np.tile(mask, (count, 1)))
            if out.tobytes() != expected.tobytes():
                assert_same(out, expected, f"{op}{parameters}, rows of {length} and one between")
            for k in range(0, count, 41):
                actual = op.function(*(row[k, mask] for row in rows), *rounded)
                if actual.tobytes() != expected[k, mask].tobytes():
                    assert_same(actual, expected[k, mask], f"{op}{parameters}, length {length}")


@each_op
@each_dtype
def test_nan_in_data_gives_nan(op, dtype):
    for parameters in op.parameter_sets:
        for k in range(op.n_data):
            inputs = special_inputs(op, parameters, dtype)
            inputs[k] = np.full_like(inputs[k], np.nan)
            actual = op.function(*inputs, *parameters)
            bad = np.flatnonzero(~np.isnan(actual))
            assert not bad.size, (
                f"{op}{parameters} {dtype.__name__}, NaN as input {k}: {actual[bad[0]]} "
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
        rounded = [dtype(p) for p in parameters]
        for kink, derivative in op.kinks(parameters, dtype).items():
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
        rounded = [dtype(p) for p in parameters]
        for x in special_points(op, parameters, dtype):
            if np.isnan(x) or op.factor(x, parameters, dtype) != 0:
                continue
            for grad in (INF, -INF):
                actual = op.function(dtype(grad), x, *rounded)
                assert actual == 0, f"{describe(op, grad, x, *parameters)}: {actual}"


@each(op for op in OPS if op.direction in ("forward", "backward"))
def test_limits_of_the_reference_are_its_values_far_out(op):
    for parameters in op.parameter_sets:
        arguments = op.arguments(parameters, np.float64)
        for side, x in enumerate((-1e300, 1e300)):
            limit = op.reference.limits(*arguments)[op.n_data - 1][side]
            function = op.reference.forward if op.n_data == 1 else op.reference.derivative
            value = function(mp.mpf(x), *arguments)
            near = abs(value - limit) < 1e-6 if abs(limit) < INF else value * limit > 1e50
            assert near, f"{op}{parameters} at {x:g}: {mp.nstr(value, 8)}, but the limit {limit}"


# -- the same bits everywhere --


@each_op
@each_dtype
def test_bits_do_not_depend_on_length(op, dtype):
    inputs = op.operands(dtype, 5000)
    expected = op.function(*inputs)
    generator = np.random.default_rng(2)
    for length in [*LENGTHS, 127, 511, 512, 513, 1000, 1024, 1025, 4999]:
        start = int(generator.integers(5000 - length))
        span = slice(start, start + length)
        actual = op.function(*(column[span] for column in inputs))
        assert_same(actual, expected[span], f"{op} elements {start} to {start + length}")


@each_with_parameters
@each_dtype
def test_bits_do_not_depend_on_parameters_being_scalars(op, dtype):
    data = op.random(dtype, 1300)
    for parameters in op.parameter_sets:
        rounded = [dtype(p) for p in parameters]
        arrays = [np.full(1300, p, dtype) for p in rounded]
        expected = op.function(*data, *arrays)
        forms = {
            "NumPy scalars": rounded,
            "Python floats": map(float, rounded),
            "0-d arrays": map(np.asarray, rounded),
            "one element": [np.array([p]) for p in rounded],
            "broadcast": [np.broadcast_to(p, 1300) for p in rounded],
        }
        for k in range(len(parameters) if len(parameters) > 1 else 0):
            forms[f"an array as {op.parameter_names[k]}"] = [
                arrays[i] if i == k else p for i, p in enumerate(rounded)
            ]
        for form, values in forms.items():
            assert_same(op.function(*data, *values), expected, f"{op}{parameters}, {form}")


@each_op
@each_dtype
def test_bits_do_not_depend_on_number_of_threads(op, dtype):
    data, slopes = op.random(dtype, 1_000_003), op.slopes(dtype, 1_000_003)
    for parameters in (slopes, op.parameter_sets[0]) if slopes else ([],):
        with relume.num_threads(1):
            expected = op.function(*data, *parameters)
        wake_threads()
        with relume.num_threads(2):
            assert_same(op.function(*data, *parameters), expected, f"{op} with two threads")
