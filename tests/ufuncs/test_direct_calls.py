"""Calls that skip NumPy's machinery: the same results as with it, and no copies."""

import itertools
import tracemalloc

import numpy as np
import pytest

import relume
from relume.ufuncs import along_axis
from tests.support.along_axis import each_axis_function
from tests.support.ops import (
    UFUNCS,
    assert_same,
    each,
    each_dtype,
    each_with_parameters,
    wake_threads,
)

pytestmark = pytest.mark.op

# The shape of the data, and of a parameter: a value for each column, row, channel or all of them,
# with few and many elements before the values repeat, and after which they do.
BROADCASTS = [
    ((7, 5), (5,)),
    ((301, 3), (3,)),
    ((301, 100), (1, 100)),
    ((40, 513), (513,)),
    ((2, 3000), (3000,)),
    ((5, 70), (5, 1)),
    ((3001, 2), (3001, 1)),
    ((6, 4, 25), (4, 1)),
    ((3, 700, 3), (700, 1)),
    ((3, 70, 300), (70, 1)),
    ((2, 3, 4, 5), (3, 1, 1)),
    ((2, 3, 4, 5), (2, 1, 4, 1)),
    ((2, 3, 4, 5), (1, 3, 1, 5)),
    ((3, 1, 5), (1, 1, 1)),
    ((1, 1), (1,)),
    ((1, 600), (1, 1)),
]
LAYOUTS = {
    "C": lambda a: a,
    "F": np.asfortranarray,
    "rows of a wider array": lambda a: np.concatenate([a, a, a], -1)[..., : a.shape[-1]],
    "every second row": lambda a: np.repeat(a, 2, 0)[::2],
    "every second element": lambda a: np.repeat(a, 2, -1)[..., ::2],
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "reversed": lambda a: a[::-1].copy()[::-1],
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
}
each_layout = pytest.mark.parametrize("layout", LAYOUTS)


def by_numpy(ufunc, *inputs, **keywords):
    """A call with a keyword that leaves it to NumPy."""
    return ufunc(*inputs, **keywords, casting="same_kind")


def assert_like(actual, expected, what):
    actual, expected = ((a,) if isinstance(a, np.ndarray) else a for a in (actual, expected))
    for a, b in zip(actual, expected, strict=True):
        assert_same(a, b, what)
        assert type(a) is type(b), what
        assert a.strides == b.strides, f"{what}: strides {a.strides}, by NumPy {b.strides}"
        assert a.flags.owndata, what
        assert a.flags.writeable, what


# -- elementwise --


@each_with_parameters
@each_dtype
@pytest.mark.parametrize(("shape", "of_parameter"), BROADCASTS, ids=str)
def test_parameters_that_repeat(op, dtype, shape, of_parameter):
    data, slopes = op.random(dtype, shape), op.slopes(dtype, of_parameter)
    copies = [np.broadcast_to(a, shape).copy() for a in slopes]
    expected = by_numpy(op.ufunc, *data, *copies)
    what = f"{op} of {shape}, parameters of {of_parameter}"
    for first in ([], [float(a.flat[0]) for a in slopes[:1]]):  # a number beside arrays
        rest = slopes[len(first) :]
        if first:
            numbers = [np.full(shape, a, dtype) for a in first]
            expected = by_numpy(op.ufunc, *data, *numbers, *copies[len(first) :])
        assert_like(op.ufunc(*data, *first, *rest), expected, what)
        out = np.full(shape, 7, dtype)
        assert op.ufunc(*data, *first, *rest, out=out) is out, what
        assert_same(out, expected, f"{what}, into out")
        place = data[0].copy()
        op.ufunc(place, *data[1:], *first, *rest, out=place)
        assert_same(place, expected, f"{what}, in place")


@each(UFUNCS)
@each_layout
def test_layouts(op, layout):
    for shape in [(6, 5), (3, 70), (4, 3, 100), (1, 7), (7, 1), (1, 1, 1)]:
        inputs = [LAYOUTS[layout](a) for a in op.operands(np.float32, shape)]
        what = f"{op} of {shape}, {layout}"
        expected = by_numpy(op.ufunc, *inputs)
        assert_like(op.ufunc(*inputs), expected, what)
        for target in LAYOUTS:
            out = LAYOUTS[target](np.full(shape, 7, np.float32))
            assert op.ufunc(*inputs, out=out) is out
            assert_same(out.astype(np.float32), expected, f"{what}, into out: {target}")
        mixed = [inputs[0], *op.operands(np.float32, shape)[1:]]
        assert_like(op.ufunc(*mixed), by_numpy(op.ufunc, *mixed), f"{what}, the first input only")


@each_with_parameters
@pytest.mark.parametrize(
    ("shape", "of_parameter"),
    [((1001, 100), (100,)), ((70, 2000), (2000,)), ((70, 2000), (70, 1)), ((20, 50, 99), (50, 1)),
     ((4, 10_000, 3), (10_000, 1)), ((2, 50_001), (50_001,))],
    ids=str,
)  # fmt: skip
def test_bits_do_not_depend_on_number_of_threads(op, shape, of_parameter):
    data, slopes = op.random(np.float32, shape), op.slopes(np.float32, of_parameter)
    wide = [LAYOUTS["rows of a wider array"](a) for a in data]
    with relume.num_threads(1):
        expected = by_numpy(op.ufunc, *data, *slopes)
    for inputs in (data, wide):
        wake_threads()
        with relume.num_threads(2):
            actual = op.ufunc(*inputs, *slopes)
        assert_same(actual, expected, f"{op} of {shape} with two threads")


@pytest.mark.parametrize("name", ["glu", "reglu", "geglu", "swiglu"])
@each_dtype
def test_overlap_of_two_outputs(name, dtype):
    """Halves of one array share no memory; other outputs may overlap each other and the inputs."""
    ufunc = getattr(relume, f"{name}_backward").ufunc
    rows, n = 9, 40
    grad, a, b = np.random.default_rng(0).normal(size=(3, rows, n)).astype(dtype)
    expected = ufunc(grad, a, b)
    for first, second in itertools.product([0, 1, 20, 40, 79], repeat=2):
        if abs(first - second) < n:  # then the order of writing decides
            continue
        memory = np.zeros((rows, 3 * n), dtype)
        pair = memory[:, first : first + n], memory[:, second : second + n]
        ufunc(grad, a, b, out=pair)
        for k in range(2):
            assert_same(pair[k], expected[k], f"{name}, outputs at {first} and {second}")
    for shift in (0, 1, n // 2, n):
        memory = np.zeros((rows, 3 * n), dtype)
        memory[:, :n], memory[:, n : 2 * n] = a, b
        pair = memory[:, shift : shift + n], memory[:, shift + n : shift + 2 * n]
        ufunc(grad, memory[:, :n], memory[:, n : 2 * n], out=pair)
        for k in range(2):
            assert_same(pair[k], expected[k], f"{name}, outputs {shift} from the inputs")


@pytest.mark.parametrize("name", ["glu", "reglu", "geglu", "swiglu"])
def test_halves_are_not_copied(name):
    """NumPy copied both outputs, as the rows of each lie between those of the other."""
    grad, x = np.ones((1000, 100), np.float32), np.ones((1000, 200), np.float32)
    out, function = np.empty_like(x), getattr(relume, f"{name}_backward")
    function(grad, x, out=out)
    tracemalloc.start()
    try:
        function(grad, x, out=out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < grad.nbytes / 10, f"{name}: {peak} bytes for an output of {out.nbytes}"


def test_parameters_that_need_numpy():
    """A number that overflows the dtype warns, and one of another dtype promotes, as in NumPy."""
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    with pytest.warns(RuntimeWarning, match="overflow"):
        relume.prelu(x, 1e300)
    assert relume.prelu(x, np.float64(0.5)).dtype == np.float64
    assert relume.prelu(x, np.full(4, 0.5)).dtype == np.float64
    assert relume.prelu(x, 0.5).dtype == np.float32
    assert relume.prelu(x, np.full((2, 1, 1), 0.5, np.float32)).shape == (2, 3, 4)
    with pytest.raises(ValueError, match="broadcast"):
        relume.prelu(x, np.ones(3, np.float32))
    read_only = x.copy()
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        relume.prelu(x, 0.5, out=read_only)


# -- along an axis --


@each_axis_function
@each_dtype
@each_layout
def test_along_an_axis(function, dtype, layout):
    ufunc = getattr(along_axis, str(function))
    for shape in [(3, 5), (40, 3), (2, 300), (3, 4, 5), (2, 3, 4, 5), (1, 6), (6, 1)]:
        for axis in range(-len(shape), len(shape)):
            operands = function.operands(dtype, shape, axis)
            operands = [LAYOUTS[layout](a) if a.ndim > 1 else a for a in operands]
            what = f"{function} of {shape}, axis {axis}, {layout}"
            expected = by_numpy(ufunc, *operands, axis=axis)
            actual = ufunc(*operands, axis=axis)
            assert_same(actual, expected, what)
            out = np.full(actual.shape, 7, dtype)
            assert ufunc(*operands, axis=axis, out=out) is out
            assert_same(out, expected, f"{what}, into out")
            assert ufunc(*operands, out=(out,), axis=axis) is out
            assert_same(out, expected, f"{what}, into a tuple")


@each_axis_function
def test_overlap_along_an_axis(function):
    ufunc = getattr(along_axis, str(function))
    operands = function.operands(np.float32, (30, 40), -1)
    expected = by_numpy(ufunc, *operands)
    for k, shift in itertools.product(range(len(operands)), (0, 1, 7, 40)):
        if operands[k].shape != expected.shape:
            continue
        memory = np.zeros((31, 40), np.float32).reshape(-1)
        size = operands[k].size
        inputs = list(operands)
        inputs[k] = memory[:size].reshape(30, 40)
        inputs[k][...] = operands[k]
        out = memory[shift : shift + size].reshape(30, 40)
        ufunc(*inputs, out=out)
        assert_same(out, expected, f"{function}, out {shift} elements from input {k}")


def test_a_column_has_the_order_of_its_input():
    """NumPy gives the result of an axis that is not the last one with this axis last in memory."""
    x = np.random.default_rng(0).normal(size=(6, 5, 4))
    assert relume.softmax(x, axis=0).flags.c_contiguous


@each_dtype
def test_outputs_that_are_halves(dtype):
    x = np.random.default_rng(0).normal(size=(9, 40)).astype(dtype)
    out = np.zeros((9, 80), dtype)
    halves = out[:, :40], out[:, 40:]
    assert along_axis.crelu(x, out=halves)[1] is halves[1]
    assert_same(out, np.concatenate([relume.relu(x), relume.relu(-x)], 1), "crelu")
    joined = np.zeros((9, 60), dtype)
    expected = by_numpy(along_axis.crelu, x[:, :20])
    along_axis.crelu(x[:, :20], out=(joined[:, :20], joined[:, 30:50]))
    assert_same(joined[:, :20], expected[0], "first")
    assert_same(joined[:, 30:50], expected[1], "second")


def test_wrong_calls_along_an_axis_are_numpys():
    x = np.ones((3, 4), np.float32)
    with pytest.raises(np.exceptions.AxisError):
        along_axis.softmax(x, axis=2)
    with pytest.raises(ValueError, match=r"mismatch|broadcast"):
        along_axis.softmax(x, out=np.ones((3, 5), np.float32))
    assert along_axis.logsumexp(x, keepdims=True).shape == (3, 1)
    assert isinstance(along_axis.logsumexp(x[0]), np.float32)
