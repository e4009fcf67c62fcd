"""The functions along an axis: axes, memory layouts, out, dtypes, threads and errors."""

import itertools

import numpy as np
import pytest

import relume
from tests.support.along_axis import FORWARD, FUNCTIONS, each, each_axis_function, each_forward
from tests.support.ops import DTYPES, INF, assert_same, each_dtype, wake_threads
from tests.ufuncs.test_memory import LAYOUTS

pytestmark = pytest.mark.op

SHAPES = [(7,), (3, 5), (40, 3), (2, 300), (3, 4, 5), (2, 3, 4, 5), (1, 6, 1), (5000,), (2500, 3)]
# Large enough for several threads: few and many rows, short and long, contiguous and strided.
LARGE = [(1000, 333), (2, 150_001), (100_001, 3), (300_001,), (30, 100, 101)]

each_reduction = each(function for function in FUNCTIONS if function.reduces)
each_in_place = each(function for function in FUNCTIONS if str(function) != "logsumexp")


def by_rows(function, operands, axis):
    """The result row by row, from contiguous copies."""
    x = np.moveaxis(operands[-1], axis, -1)
    rows = x.reshape(-1, x.shape[-1])
    grads = operands[:-1]
    if grads and not function.reduces:
        grads = [np.moveaxis(grads[0], axis, -1).reshape(rows.shape)]
    elif grads:
        grads = [grads[0].reshape(len(rows))]
    results = [
        function(*(grad[i].copy() for grad in grads), row.copy()) for i, row in enumerate(rows)
    ]
    if function in FORWARD and function.reduces:
        return np.array(results, x.dtype).reshape(x.shape[:-1])
    return np.moveaxis(np.array(results, x.dtype).reshape(x.shape), -1, axis)


@each_axis_function
@each_dtype
def test_every_axis(function, dtype):
    for shape in SHAPES:
        for axis in range(-len(shape), len(shape)):
            operands = function.operands(dtype, shape, axis)
            actual = function(*operands, axis=axis)
            what = f"{function} of shape {shape}, axis {axis}"
            assert_same(actual, by_rows(function, operands, axis), what)
            assert_same(function(*operands, axis), actual, f"{what}, positional")
            assert_same(function(*operands, axis=np.int64(axis)), actual, f"{what}, np.int64")
            if axis == -1:
                assert_same(function(*operands), actual, f"{what}, the default")


@each_axis_function
@each_dtype
@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 32, 33, 100, 1024, 1025, 2100])
def test_bits_of_a_column_are_those_of_a_row(function, dtype, n):
    """Rows, columns side by side, and packed tiles of either are summed in the same order."""
    for columns in (1, 7, 8, 9, 130):
        operands = function.operands(dtype, (n, columns), 0, seed=n)
        expected = by_rows(function, operands, 0)
        what = f"{function} of {columns} columns of {n}"
        assert_same(function(*operands, axis=0), expected, f"{what}, side by side")
        rows = [np.ascontiguousarray(a.T) for a in operands]
        assert_same(function(*rows, axis=-1), expected.T, f"{what}, as rows")
        mixed = [operands[0], *(np.asfortranarray(a) for a in operands[1:])]
        assert_same(function(*mixed, axis=0), expected, f"{what}, mixed layouts")


@each_axis_function
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout(function, layout):
    for dtype, shape in itertools.product(DTYPES, SHAPES):
        for axis in range(len(shape)):
            operands = function.operands(dtype, shape, axis)
            expected = np.asarray(function(*operands, axis=axis))
            laid_out = [LAYOUTS[layout](a) for a in operands]
            what = f"{function} of shape {shape}, axis {axis}, {layout}"
            assert_same(function(*laid_out, axis=axis), expected, what)
            for k, a in enumerate(laid_out):
                assert_same(a.astype(dtype), operands[k], f"{what}: input {k} after the call")
            out = LAYOUTS[layout](np.full(expected.shape, -7, dtype))
            assert function(*operands, axis=axis, out=out) is out
            assert_same(out.astype(dtype), expected, f"{what}, out alone")
            function(*laid_out, axis=axis, out=out)
            assert_same(out.astype(dtype), expected, f"{what}, all")


@each_axis_function
def test_writes_nothing_beside_out(function):
    operands = function.operands(np.float32, (6, 70), 0)
    expected = function(*operands, axis=0)
    memory = np.full((13, 220), 9, np.float32)
    out = memory[1::2, 3::3][tuple(map(slice, expected.shape[-2:]))]
    out = out[0] if expected.ndim == 1 else out
    out = out[: expected.shape[-1]] if expected.ndim == 1 else out
    wanted = memory.copy()
    function(*operands, axis=0, out=out)
    assert_same(out, expected, f"{function} into a strided out")
    out[...] = 9
    assert_same(memory, wanted, f"{function}, memory around a strided out")


@each_axis_function
@each_dtype
def test_broadcast_operands(function, dtype):
    """Zero strides across rows and along them."""
    for axis in (0, 1):
        full = [
            np.broadcast_to(a[:1, :1], a.shape) if a.ndim == 2 else a
            for a in function.operands(dtype, (5, 40), axis)
        ]
        copies = [a.copy() for a in full]
        assert_same(
            function(*full, axis=axis), function(*copies, axis=axis), f"{function}, axis {axis}"
        )


@each(function for function in FUNCTIONS if function.n_data == 2 and not function.reduces)
def test_rows_of_gradient_broadcast(function):
    grad, x = function.operands(np.float32, (4, 3, 7))
    expected = function(np.broadcast_to(grad[0], x.shape).copy(), x)
    assert_same(function(grad[0], x), expected, f"{function}, one gradient for all rows")


@each_reduction
@each_dtype
def test_keepdims(function, dtype):
    for shape in [(7,), (3, 5), (2, 3, 4)]:
        for axis in range(len(shape)):
            *grads, x = function.operands(dtype, shape, axis)
            expected = function(*grads, x, axis=axis)
            kept = [np.expand_dims(grad, axis) for grad in grads]
            actual = function(*kept, x, axis=axis, keepdims=True)
            wanted = expected if grads else np.expand_dims(expected, axis)
            assert_same(actual, wanted, f"{function} of shape {shape}, axis {axis}, keepdims")
            out = np.zeros_like(wanted)
            assert function(*kept, x, axis=axis, keepdims=True, out=out) is out
            assert_same(out, wanted, f"{function} of shape {shape}, axis {axis}, keepdims, out")


# -- in place and overlapping --


@each_in_place
@each_dtype
@pytest.mark.parametrize("layout", ["C", "F", "reversed", "strided"])
def test_in_place(function, dtype, layout):
    for shape, axis in itertools.product([(5, 33), (700, 6), (3, 4000)], (0, 1)):
        operands = function.operands(dtype, shape, axis)
        expected = function(*operands, axis=axis)
        for k, a in enumerate(operands):
            if a.shape != expected.shape:
                continue
            changed = [b.copy() for b in operands]
            changed[k] = LAYOUTS[layout](a)
            assert function(*changed, axis=axis, out=changed[k]) is changed[k]
            what = f"{function} of shape {shape}, axis {axis}, in place of input {k}, {layout}"
            assert_same(changed[k].astype(dtype), expected, what)


@each_in_place
@each_dtype
def test_overlap(function, dtype):
    """out overlaps an input with an offset of an element or a row, reversed, or transposed."""
    memory = function.operands(dtype, (44, 43), -1, seed=3)[-1]
    views = {
        "one row on": lambda m: (m[:40, :40], m[1:41, :40]),
        "one row back": lambda m: (m[1:41, :40], m[:40, :40]),
        "one element on": lambda m: (m[:40, :40], m[:40, 1:41]),
        "reversed": lambda m: (m[:40, :40], m[39::-1, 39::-1]),
        "transposed": lambda m: (m[:40, :40], m[:40, :40].T),
        "rows interleaved": lambda m: (m[:20, :40], m[:40:2, :40]),
    }
    for axis, (name, view) in itertools.product((0, 1), views.items()):
        x, out = view(memory.copy())
        grads = function.operands(dtype, x.shape, axis)[:-1]
        expected = function(*grads, x.copy(), axis=axis)
        function(*grads, x, axis=axis, out=out)
        assert_same(out, expected, f"{function}, axis {axis}, out {name}")


@each_dtype
def test_logsumexp_into_its_own_input(dtype):
    for axis in (0, 1):
        x = FORWARD[2].operands(dtype, (9, 9))[0]
        expected = relume.logsumexp(x, axis)
        out = x[4] if axis else x[:, 4]
        relume.logsumexp(x, axis, out=out)
        assert_same(out, expected, f"logsumexp, axis {axis}, into a row and a column of x")


# -- threads --


@each_axis_function
@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_bits_do_not_depend_on_number_of_threads(function, shape):
    for axis in range(len(shape)):
        operands = function.operands(np.float32, shape, axis)
        with relume.num_threads(1):
            expected = np.asarray(function(*operands, axis=axis))
        wake_threads()
        for threads in (2, 3):
            with relume.num_threads(threads):
                actual = function(*operands, axis=axis)
                assert_same(actual, expected, f"{function}, axis {axis}, {threads} threads")
        if axis == 0 and expected.shape == shape:
            with relume.num_threads(2):
                function(*operands, axis=axis, out=operands[-1])
            assert_same(operands[-1], expected, f"{function}, axis {axis}, in place, threads")


# -- dtypes, sequences, empty arrays --


@each_axis_function
def test_dtypes_are_those_of_a_ufunc(function):
    """Integers are promoted to the same floats as in NumPy's ufuncs of floats."""
    twin = np.hypot if function.n_data == 2 else np.cbrt
    for kind in "?bBhHiIlLqQefd":
        x = np.array([[1, 0, 3], [2, 1, 1]]).astype(kind)
        for grad_kind in "ef" if function.n_data == 2 else "e":
            grad = np.ones(2 if function.reduces else (2, 3), grad_kind)
            operands = [grad, x][-function.n_data :]
            with np.errstate(all="ignore"):
                dtype = twin(*(np.ones(2, a.dtype) for a in operands)).dtype
            expected = function(*(a.astype(dtype) for a in operands))
            assert expected.dtype == dtype
            assert_same(function(*operands), expected, f"{function} of {grad_kind} and {kind}")


@each_axis_function
def test_sequences(function):
    operands = function.operands(np.float64, (3, 4))
    expected = function(*operands)
    assert_same(function(*(a.tolist() for a in operands)), expected, f"{function} of lists")


@each_axis_function
@pytest.mark.parametrize("kind", ["D", "S3", "O", "M8[s]", "g"])
def test_dtypes_that_have_no_loop(function, kind):
    if np.dtype(kind) == np.float64:
        pytest.skip("long double is double here")
    x = np.ones((2, 3)).astype(int).astype(kind)
    grad = np.ones(2) if function.reduces else np.ones((2, 3))
    with pytest.raises(TypeError):
        function(*[grad, x][-function.n_data :])


@each_axis_function
@each_dtype
@pytest.mark.parametrize(
    ("shape", "axis"), [((0,), 0), ((3, 0), 1), ((3, 0), 0), ((0, 3), 1), ((2, 0, 4), 1)]
)
def test_empty(function, dtype, shape, axis):
    operands = function.operands(dtype, shape, axis)
    with np.errstate(all="raise"):
        actual = function(*operands, axis=axis)
    wanted = np.full(shape, 7, dtype)
    if str(function) == "logsumexp":
        wanted = np.full(np.delete(shape, axis), -INF, dtype)
    assert_same(actual, wanted, f"{function} of shape {shape}, axis {axis}")


# -- bad arguments --


@each_axis_function
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4)])
def test_axis_out_of_range(function, shape):
    x = np.ones(shape)
    grad = np.ones(shape[:-1]) if function.reduces else x
    for axis in (max(1, len(shape)), min(-2, -len(shape) - 1), 100, -100):
        with pytest.raises(np.exceptions.AxisError):
            function(*[grad, x][-function.n_data :], axis=axis)


@each_axis_function
@pytest.mark.parametrize("axis", [1.0, "1", [1], (0, 1.0), ("1",)], ids=repr)
def test_axis_of_another_type(function, axis):
    with pytest.raises(TypeError):
        function(*function.operands(np.float32, (2, 3)), axis=axis)


@each_axis_function
def test_out_that_does_not_fit(function):
    operands = function.operands(np.float32, (4, 5))
    good = np.asarray(function(*operands))
    for shape in [(), (3,), (3, 3), (4, 6), (1, 4, 6), (6,)]:
        out = np.full(shape, 7, np.float32)
        with pytest.raises(ValueError, match=r"broadcast|match|shape|dimension"):
            function(*operands, out=out)
        assert (out == 7).all(), f"{function} wrote into an out of shape {shape}"
    for dtype in (np.int32, bool):
        out = np.full(good.shape, 1, dtype)
        with pytest.raises(TypeError):
            function(*operands, out=out)
        assert (out == 1).all(), f"{function} wrote into an out of {dtype}"
    for out in (good.tolist(), 3.0, "out"):
        with pytest.raises(TypeError):
            function(*operands, out=out)
    read_only = np.full_like(good, 7)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        function(*operands, out=read_only)
    assert (read_only == 7).all()


@each_axis_function
def test_out_of_another_float_dtype(function):
    operands = function.operands(np.float32, (4, 5))
    expected = np.asarray(function(*operands))
    for dtype in DTYPES:
        out = np.zeros(expected.shape, dtype)
        assert function(*operands, out=out) is out
        assert_same(out, expected.astype(dtype), f"{function} of float32 into {dtype}")


@each(function for function in FUNCTIONS if function.n_data == 2)
@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 4, 7)])
def test_gradient_of_another_shape(function, shape):
    _, x = function.operands(np.float32, (4, 5))
    with pytest.raises(ValueError, match=r"broadcast|match|shape"):
        function(np.ones(shape, np.float32), x)


@each_forward
def test_unknown_keyword(function):
    with pytest.raises(TypeError):
        function(np.ones(3), dim=-1)
