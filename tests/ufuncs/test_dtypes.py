"""Dtypes behave as in NumPy: promotion, casting, integers, errors; and floating-point warnings."""

import ctypes
import ctypes.util
import itertools
import platform
import sys

import numpy as np
import pytest

from tests.support.ops import (
    DTYPES,
    OPS,
    assert_same,
    each,
    each_dtype,
    each_op,
    each_ufunc,
    each_with_parameters,
    special_inputs,
)

pytestmark = pytest.mark.op

# NumPy's ufuncs to compare with, by their number of inputs.
TWINS = {1: np.cbrt, 2: np.hypot}
of_integers = [op for op in OPS if op.reference.integers and op.direction == "forward"]
each_of_integers = each(of_integers)
each_with_twin = each(op for op in OPS if op.ufunc.nin in TWINS and op not in of_integers)
INTEGERS = "bBhHiIlLqQ"


def outcome(call, *arguments, **keywords):
    """The dtype of a call's result, or the class and text of the exception that it raises."""
    try:
        return np.asarray(call(*arguments, **keywords)).dtype
    except Exception as error:
        return type(error), str(error)


def assert_as_numpy(op, *arguments, **keywords):
    """The same dtype, or exception but for the name, as NumPy's ufunc of as many inputs."""
    twin = TWINS[op.ufunc.nin]
    expected = outcome(twin, *arguments, **keywords)
    if isinstance(expected, tuple):
        expected = expected[0], expected[1].replace(twin.__name__, op.ufunc.__name__)
    given = [getattr(argument, "dtype", argument) for argument in arguments]
    assert outcome(op.ufunc, *arguments, **keywords) == expected, f"{op} of {given}, {keywords}"


# -- dtypes --


@each_op
@each_dtype
def test_dtype_in_is_dtype_out(op, dtype):
    for shape in [(), (3,), (0,), (2, 300)]:
        assert op.function(*op.operands(dtype, shape)).dtype == dtype, f"{op} of shape {shape}"


@each_with_twin
def test_dtypes_as_numpy(op):
    for first in "?bBhHiIlLqQefdFDOUSMm":
        for second in "?bHifdD" if op.ufunc.nin == 2 else "d":
            arguments = [np.ones(3).astype(code) for code in (first, second)[: op.ufunc.nin]]
            if "O" in first + second:
                with pytest.raises(TypeError):
                    op.ufunc(*arguments)
            else:
                assert_as_numpy(op, *arguments)


@each_ufunc
def test_unsupported_dtypes(op):
    for dtype in (complex, np.complex64, object, "M8[s]", "U3", np.longdouble):
        inputs = [np.ones(3).astype(int).astype(dtype) for _ in range(op.ufunc.nin)]
        if np.dtype(dtype).itemsize > 8 or np.dtype(dtype).kind != "f":
            with pytest.raises(TypeError, match=op.ufunc.__name__):
                op.ufunc(*inputs)


def integer_parameters(op, info):
    """Sets of integer parameters within the dtype's range."""
    values = [0, 1, 3, info.max - 1, info.max, info.min, info.min // 2]
    return list(itertools.product(values, repeat=len(op.parameter_names)))[::5]


@each_of_integers
def test_integers_as_in_numpy(op):
    for code in INTEGERS:
        info = np.iinfo(code)
        values = [info.min, info.min // 2, 0, 1, 2, 5, 6, 7, info.max - 1, info.max]
        values = np.array(values, code)
        for parameters in integer_parameters(op, info):
            for length in (*range(1, 70), 1000):
                for step in (1, -1, 3):
                    x = np.resize(values, length * abs(step))[::step]
                    expected = op.reference.integers(x, *parameters)
                    what = f"{op}{parameters} of {length} {code}, step {step}"
                    assert_same(op.function(x, *parameters), expected, what)
            expected = op.reference.integers(values, *parameters)
            swapped = values.astype(values.dtype.newbyteorder())
            scalars = [values.dtype.type(p) for p in parameters]
            arrays = [np.full(len(values), p) for p in scalars]
            for x, given in [(swapped, parameters), (values, scalars), (values, arrays)]:
                assert_same(op.function(x, *given), expected, f"{op}{given} of {code}")
            x = values.copy()
            op.function(x[1:], *parameters, out=x[:-1])
            assert_same(x[:-1], expected[1:], f"{op} of overlapping {code}")
            many = np.resize(values, 70_001)
            expected = op.reference.integers(many, *parameters)
            assert_same(op.function(many, *parameters), expected, f"{op} of 70001 {code}")


@each_of_integers
def test_integer_parameters_beyond_the_range(op):
    """As in NumPy, Python integers must be in range, and parameters with a dtype promote."""
    for k in range(len(op.parameter_names)):
        parameters = [1] * len(op.parameter_names)
        parameters[k] = 1000
        with pytest.raises(OverflowError):
            op.function(np.arange(3, dtype="b"), *parameters)
        parameters[k] = np.int32(1000)
        result = op.function(np.arange(3, dtype="b"), *parameters)
        expected = op.reference.integers(np.arange(3, dtype="i"), *parameters)
        assert_same(result, expected, f"{op} of int8 and int32")


@each(op for op in of_integers if not op.parameter_names)
def test_bool_takes_the_first_loop_as_in_numpy(op):
    x = np.array([True, False])
    expected = np.left_shift(x, False)  # has no loop of bool either
    assert_same(op.function(x), expected, f"{op} of bool")


@each_of_integers
def test_complex_and_long_double_have_no_loop(op):
    for code in "FDG":
        with pytest.raises(TypeError, match="not supported for the input types"):
            op.function(np.ones(3, code), *op.parameter_sets[0])


@each(op for op in OPS if op.direction == "forward" and op not in of_integers)
def test_integers_and_bool_become_floats(op):
    for code, dtype in zip("?bBhHiQ", "eeeffdd", strict=True):
        x = np.array([0, 1, 3]).astype(code)
        parameters = [np.array(p, dtype) for p in op.parameter_sets[0]]
        expected = op.ufunc(x.astype(dtype), *parameters)
        assert_same(op.ufunc(x, *parameters), expected, f"{op} of {x.dtype}")


@each_op
def test_python_scalars_and_sequences(op):
    values = [[0.5, 0.25]] * op.ufunc.nin
    expected = op.function(*map(np.array, values))
    assert_same(op.function(*values), expected, f"{op} of lists")
    result = op.function(*[0.5] * op.ufunc.nin)
    assert type(result) is np.float64
    assert_same(result, expected[0], f"{op} of Python floats")
    assert op.function(*[1] * op.ufunc.nin).dtype == (int if op in of_integers else float)


@each_with_parameters
@each_dtype
def test_python_parameters_do_not_promote(op, dtype):
    data = op.random(dtype, 7)
    count = len(op.parameter_sets[0])
    for value in (0.3, 1, True):
        result = op.function(*data, *[value] * count)
        assert result.dtype == dtype, f"{op} of {data[0].dtype} and {value!r}: {result.dtype}"
        expected = op.function(*data, *[np.full(7, value, dtype)] * count)
        assert_same(result, expected, f"{op} with {value!r}")
    if op.has_defaults:
        assert op.function(*data).dtype == dtype, f"{op} with its defaults"


@each_with_parameters
@each_dtype
def test_numpy_parameters_promote(op, dtype):
    data = op.random(dtype, 7)
    count = len(op.parameter_sets[0])
    for other in DTYPES:
        common = np.result_type(dtype, other)
        for value in (other(0.5), np.asarray(other(0.5)), np.full(7, 0.5, other)):
            result = op.function(*data, *[value] * count)
            expected = op.function(*(a.astype(common) for a in data), *[common.type(0.5)] * count)
            assert_same(result, expected, f"{op} of {dtype.__name__} and {other.__name__}")


@each_op
def test_mixed_dtypes(op):
    for k in range(op.ufunc.nin):
        inputs = op.operands(np.float16, 600)
        inputs[k] = inputs[k].astype(np.float64)
        expected = op.function(*(a.astype(np.float64) for a in inputs))
        assert_same(op.function(*inputs), expected, f"{op}, input {k} float64, others float16")


@each_op
def test_dtype_argument(op):
    inputs = op.operands(np.float32, 9000)
    wide = op.function(*(a.astype(np.float64) for a in inputs))
    assert_same(op.function(*inputs, dtype=np.float64), wide, f"{op} with dtype=float64")
    signature = (np.float64,) * (op.ufunc.nin + 1)
    assert_same(op.function(*inputs, signature=signature), wide, f"{op} with signature")
    half = op.function(*(a.astype(np.float16) for a in inputs))
    assert_same(op.function(*inputs, dtype=np.float16), half, f"{op} with dtype=float16")
    out = np.empty(9000, np.float16)
    op.function(*inputs, out=out)
    with np.errstate(over="ignore"):
        expected = op.function(*inputs).astype(np.float16)
    assert_same(out, expected, f"{op} of float32 into float16")


@each_op
def test_casting_errors(op):
    inputs = op.operands(np.float64, 4)
    with pytest.raises(TypeError, match=r"Cannot cast ufunc .* output from dtype"):
        op.function(*inputs, out=np.zeros(4, int))
    with pytest.raises(TypeError, match=r"Cannot cast ufunc .* input"):
        op.function(*inputs, dtype=np.float32, casting="safe")
    with pytest.raises(TypeError):
        op.function(*inputs, dtype=complex)
    with pytest.raises(TypeError):
        op.function(*inputs, no_such_argument=1)
    with pytest.raises(TypeError):
        op.function()
    out = np.zeros(4)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        op.function(*inputs, out=out)


@each_with_twin
def test_keywords_as_numpy(op):
    inputs = op.operands(np.float64, 4)
    for keywords in [
        {"dtype": np.float32},
        {"dtype": np.float32, "casting": "safe"},
        {"dtype": np.complex128},
        {"dtype": np.int64},
        {"out": np.zeros(4, np.float32)},
        {"out": np.zeros(4, np.int32)},
        {"out": np.zeros(4, np.int32), "casting": "unsafe"},
        {"out": np.zeros(5)},
        {"out": np.zeros((2, 4))},
        {"out": [1]},
        {"out": (np.zeros(4), np.zeros(4))},
        {"where": 3.5},
        {"casting": "whatever"},
        {"order": "Z"},
        {"signature": "dd"},
    ]:
        assert_as_numpy(op, *(abs(a) for a in inputs), **keywords)


# -- floating-point errors --


@each_op
@each_dtype
def test_no_warning_whatever_the_values(op, dtype):
    for parameters in op.parameter_sets:
        rounded = [dtype(p) for p in parameters]
        inputs = special_inputs(op, parameters, dtype)
        for length in (1, 5, 64, 1000, 100_000):
            data = [np.resize(column, length) for column in inputs]
            for slopes in (rounded, [np.full(length, p) for p in rounded]):
                with np.errstate(all="raise"):
                    op.function(*data, *slopes)
                    op.function(*(a[::-1] for a in data), *slopes)
        with np.errstate(all="raise"):
            for element in zip(*inputs, strict=True):
                op.function(*element, *rounded)


@each_ufunc
def test_no_warning_in_reductions(op):
    values = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e300, -1e300, 5e-324, -5e-324, 2])
    if op.ufunc.nin == 2:
        with np.errstate(all="raise"):
            for shift in range(len(values)):
                a = np.roll(values, shift)
                op.ufunc.reduce(a)
                op.ufunc.accumulate(a)
                op.ufunc.outer(a, a)
    if op.ufunc.nin < 3:
        with np.errstate(all="raise"):
            op.ufunc.at(values, [1, 2, 1], *[values[:3].copy()] * (op.ufunc.nin - 1))


@each_op
def test_errstate_is_left_as_it_was(op):
    inputs = op.operands(np.float64, 100_000)
    with np.errstate(divide="raise", over="warn", under="print", invalid="ignore"):
        before = np.geterr()
        op.function(*inputs)
        assert np.geterr() == before
        with pytest.raises(FloatingPointError):
            np.divide(np.ones(1), 0)


@each_with_twin
def test_overflow_of_a_cast_is_still_numpys_to_report(op):
    """The inner loop restores the flags that it found instead of clearing them."""
    inputs = [np.full(3, 1e300)] * op.ufunc.nin
    for keywords in ({}, {"dtype": np.float32}, {"dtype": np.float16}):
        for errors in ("raise", "ignore"):
            with np.errstate(all=errors):
                if keywords or op.ufunc.nin == 1:
                    assert_as_numpy(op, *inputs, **keywords)


@each_op
def test_the_callers_floating_point_flags_are_as_after_a_clean_numpy_call(op):
    name = ctypes.util.find_library("m")
    if not name or platform.machine() != "x86_64" or not sys.platform.startswith("linux"):
        pytest.skip("the values of the flags are those of Linux on x86-64")
    libm = ctypes.CDLL(name)
    every = 0x3D  # invalid, by zero, overflow, underflow, inexact
    parameters = op.parameter_sets[0]
    inputs = [np.resize(a, 999) for a in special_inputs(op, parameters, np.float64)]
    ones = np.ones(999)
    for raised in (0, every):
        libm.feclearexcept(every)
        libm.feraiseexcept(raised)
        np.absolute(ones)
        expected = libm.fetestexcept(every)
        libm.feclearexcept(every)
        libm.feraiseexcept(raised)
        op.function(*inputs, *parameters)
        got = libm.fetestexcept(every)
        libm.feclearexcept(every)
        assert got == expected, f"{op}: flags {got:#x} after the call, not {expected:#x}"
