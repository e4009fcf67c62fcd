"""The functions along several axes, all of them or none; logsumexp with weights and a sign."""

import itertools

import dask.array
import numpy as np
import pandas
import pytest
from scipy import special

import relume
from relume.ufuncs import along_axis
from tests.support.along_axis import FORWARD, FUNCTIONS, each, each_axis_function, each_forward
from tests.support.ops import INF, assert_same, each_dtype, mp

pytestmark = pytest.mark.op

SHAPE = (3, 4, 5)
AXES = [None, (0, 1), (0, 2), (2, 0), (1, 2), (-1, 0), (0, 1, 2), (1,), (), (-3, -2, -1)]
LONG = along_axis.LONG_ROW


def as_rows(x, axes):
    """A copy with the axes merged at the end, in ascending order."""
    axes = range(x.ndim) if axes is None else sorted(i % x.ndim for i in axes)
    others = [i for i in range(x.ndim) if i not in axes]
    return x.transpose([*others, *axes]).reshape([x.shape[i] for i in others] + [-1])


def without(shape, axes, keepdims=False):
    axes = range(len(shape)) if axes is None else [i % len(shape) for i in axes]
    kept = [1 if i in axes else n for i, n in enumerate(shape)]
    return tuple(kept if keepdims else [n for i, n in enumerate(shape) if i not in axes])


def operands_of(function, dtype, axes):
    """Operands of SHAPE, with a gradient without the axes where the function needs one."""
    grad, x = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(dtype)
    if function.n_data == 1:
        return [x]
    if function.reduces:
        grad = np.random.default_rng(1).normal(size=without(SHAPE, axes)).astype(dtype)
    return [grad, -abs(x) if function.from_output else x]


@each_axis_function
@each_dtype
@pytest.mark.parametrize("axes", AXES, ids=str)
def test_axes_are_merged(function, dtype, axes):
    operands = operands_of(function, dtype, axes)
    rows = [a if function.reduces and a is not operands[-1] else as_rows(a, axes)
            for a in operands]  # fmt: skip
    expected = np.asarray(function(*rows))
    layouts = {"C": np.array, "F": lambda a: a.copy("F"), "swapped": lambda a: a.astype(
        a.dtype.newbyteorder())}  # fmt: skip
    for name, layout in layouts.items():
        actual = np.asarray(function(*map(layout, operands), axis=axes))
        assert actual.dtype == dtype
        merged = actual if str(function) == "logsumexp" else as_rows(actual, axes)
        assert_same(merged, expected, f"{function}, axes {axes}, {name}")
        out = layout(np.zeros_like(actual))
        assert function(*operands, axis=axes, out=out) is out
        assert_same(out.astype(dtype), actual, f"{function}, axes {axes}, out, {name}")


@each_forward
@pytest.mark.parametrize("axes", AXES, ids=str)
@pytest.mark.parametrize("kind", ["f", "d", "i", "?"])
def test_scipy(function, axes, kind):
    x = (np.random.default_rng(3).normal(size=SHAPE) * 3).astype(kind)
    actual = function(x, axis=axes)
    expected = getattr(special, str(function))(x.astype("d"), axis=axes)
    assert actual.shape == expected.shape
    tolerance = 16 * np.finfo(actual.dtype).eps  # SciPy computes in float64
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("axes", AXES, ids=str)
def test_keepdims(axes):
    x = np.random.default_rng(0).normal(size=SHAPE)
    kept = relume.logsumexp(x, axis=axes, keepdims=True)
    assert kept.shape == without(SHAPE, axes, keepdims=True)
    assert_same(kept.ravel(), np.ravel(relume.logsumexp(x, axis=axes)), "keepdims")
    grad = np.ones_like(kept)
    backward = relume.logsumexp_backward(grad, x, axis=axes, keepdims=True)
    assert_same(backward, relume.logsumexp_backward(
        grad.reshape(without(SHAPE, axes)), x, axis=axes), "keepdims backward")  # fmt: skip


@each_dtype
@pytest.mark.parametrize("axis", [-1, 0, None, ()])
def test_input_without_axes(dtype, axis):
    x = dtype(2.5)
    for value in (x, np.array(x)):
        for result, expected in (
            (relume.softmax(value, axis), 1),
            (relume.log_softmax(value, axis), 0),
            (relume.logsumexp(value, axis), 2.5),
            (relume.logsumexp_backward(dtype(3), value, axis), 3),
        ):
            assert result.dtype == dtype
            assert result.shape == ()
            assert result == expected
    assert relume.softmax(1000) == 1
    assert relume.log_softmax(1.5) == 0
    assert relume.logsumexp(-7) == -7
    assert np.isnan(relume.softmax(np.nan))


@each_forward
@pytest.mark.parametrize("axes", [None, (0, 1), (1, 2), (0,), ()], ids=str)
@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (0, 0, 0)], ids=str)
def test_empty(function, axes, shape):
    actual = np.asarray(function(np.ones(shape), axis=axes))
    if str(function) == "logsumexp":
        assert_same(actual, np.full(without(shape, axes), -INF), f"empty {shape}, {axes}")
    else:
        assert actual.shape == shape


@each_axis_function
@pytest.mark.parametrize("axes", [(0, 0), (0, -3)], ids=str)
def test_axis_given_twice(function, axes):
    with pytest.raises(ValueError, match="repeated axis"):
        function(*operands_of(function, np.float32, (0,)), axis=axes)


@each_axis_function
def test_axes_out_of_range(function):
    for axes in ((0, 3), (-4, 1), (0, 100)):
        with pytest.raises(np.exceptions.AxisError):
            function(*operands_of(function, np.float32, (0, 1)), axis=axes)


@each(f for f in FUNCTIONS if f.n_data == 2)
def test_gradient_of_another_shape(function):
    _, x = operands_of(function, np.float32, (0, 1))
    with pytest.raises(ValueError, match=r"shape"):
        function(np.ones((2, 4, 7), np.float32), x, axis=(0, 1))


@each_axis_function
def test_out_of_another_shape(function):
    operands = operands_of(function, np.float32, (0, 1))
    out = np.full((9, 9), 7, np.float32)
    with pytest.raises(ValueError, match="out must have the shape"):
        function(*operands, axis=(0, 1), out=out)
    assert (out == 7).all()
    for wrong in ([1.0], 3.0, "out"):
        with pytest.raises(TypeError):
            function(*operands, axis=(0, 1), out=wrong)
    good = np.asarray(function(*operands, axis=(0, 1)))
    out = np.zeros_like(good)
    assert function(*operands, axis=(0, 1), out=(out,)) is out
    assert_same(out, good, f"{function}, out as a tuple")


@each_axis_function
@pytest.mark.parametrize("layout", ["swapped", "integers", "Fortran"])
def test_large_arrays_are_converted_in_blocks(function, layout):
    """The blocks and the pieces of a long row have the bits of a contiguous copy."""
    for shape, axes in (((700, 3, 200), (1, 2)), ((3, 300, 500), (1, 2)), ((5, 60_001), (1,))):
        x = np.random.default_rng(0).normal(scale=3, size=shape).astype(np.float32)
        x = np.round(x) if layout == "integers" else x
        grad = np.ones(without(shape, axes), np.float32) if function.reduces else x / 3
        laid_out = {
            "swapped": lambda a: a.astype(">f4"),
            "integers": lambda a: a.astype(np.int16),
            "Fortran": np.asfortranarray,
        }[layout](x)
        x = 0 - abs(x) if function.from_output else x
        laid_out = 0 - abs(laid_out) if function.from_output else laid_out
        operands = [grad, x][-function.n_data :]
        rows = [a if a.ndim < len(shape) else as_rows(a, axes) for a in operands]
        expected = np.asarray(function(*rows))
        actual = np.asarray(function(*operands[:-1], laid_out, axis=axes))
        merged = actual if str(function) == "logsumexp" else as_rows(actual, axes)
        assert_same(merged, expected, f"{function} of {shape}, {layout}")


@each(f for f in FUNCTIONS if f.n_data == 2 and not f.reduces)
def test_large_rows_of_a_gradient_broadcast(function):
    """An axis is counted in each operand, by the ufunc as where arrays are converted."""
    grad, x = function.operands(np.float32, (3, 2, LONG + 1))
    for axis in (-1, 1):
        for order in ("<", ">"):
            rows = grad[0] if axis == -1 else grad[:1]
            actual = function(rows, x.astype(f"{order}f4"), axis=axis)
            whole = np.broadcast_to(rows, x.shape).copy()
            assert_same(actual, function(whole, x, axis=axis), f"{function}, axis {axis}")
        with pytest.raises(ValueError, match=r"shape|mismatch"):
            function(grad[0, :, :-1].astype(">f4"), x, axis=axis)


@each(f for f in FORWARD if not f.reduces)
def test_overlap(function):
    memory = np.random.default_rng(0).normal(size=(5, 6, 7))
    for axes in (None, (0, 2)):
        for part, to in ((np.s_[:4], np.s_[1:]), (np.s_[1:], np.s_[:4]), (np.s_[:], np.s_[::-1])):
            changed = memory.copy()
            expected = function(memory[part], axis=axes)
            function(changed[part], axis=axes, out=changed[to])
            assert_same(changed[to], expected, f"{function}, axes {axes}")


@each_forward
def test_other_libraries(function):
    x = np.random.default_rng(0).normal(size=(6, 8))
    lazy = dask.array.from_array(x, chunks=(3, 8))
    expected = function(x, axis=(0, 1))
    result = function(dask.array.from_array(x, chunks=(6, 8)), axis=(0, 1))
    assert isinstance(result, dask.array.Array)
    np.testing.assert_allclose(result.compute(scheduler="sync"), expected, rtol=1e-14)
    result = function(lazy, axis=(1,))
    assert isinstance(result, dask.array.Array)
    assert_same(result.compute(scheduler="sync"), function(x, axis=1), f"{function} of Dask")
    frame = pandas.DataFrame(x)
    np.testing.assert_allclose(function(frame, axis=None), expected, rtol=1e-14)
    masked = function(np.ma.array(x), axis=None)
    np.testing.assert_allclose(np.asarray(masked), expected, rtol=1e-14)


@each_forward
def test_keywords_of_a_ufunc(function):
    x = np.ones((2, 3), np.float32)
    assert function(x, axis=None, dtype=np.float64).dtype == np.float64
    with pytest.raises(TypeError):
        function(x, axis=None, where=np.ones((2, 3), bool))
    with pytest.raises(TypeError):
        function(x, axis=None, nothing=1)
    with pytest.raises(TypeError):
        function(x.astype(complex), axis=None)


# -- logsumexp with weights --


def exactly(x, b):
    """The sign of sum(b * exp(x)) and the logarithm of its absolute value, in 60 digits."""
    with mp.workdps(60):
        total = mp.fsum(
            mp.mpf(float(w)) * mp.exp(mp.mpf(float(v)))
            for v, w in zip(np.ravel(x), np.ravel(b), strict=True)
            if w != 0
        )
        return (mp.log(abs(total)) if total else -mp.inf), mp.sign(total)


@each_dtype
@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_weights(dtype, n):
    rng = np.random.default_rng(n)
    for scale, signs in itertools.product((1, 20), (False, True)):
        x = (rng.normal(size=(4, n)) * scale).astype(dtype)
        b = (rng.normal(size=(4, n)) if signs else rng.uniform(0, 2, (4, n))).astype(dtype)
        b[0, : n // 2] = 0
        value, sign = relume.logsumexp(x, b=b, return_sign=True)
        plain = relume.logsumexp(x, b=b)
        assert value.dtype == sign.dtype == plain.dtype == dtype
        for i in range(4):
            wanted, wanted_sign = exactly(x[i], b[i])
            assert sign[i] == wanted_sign
            cancelled = exactly(x[i], abs(b[i]))[0] - wanted  # of positive and negative terms
            size = max(1, abs(float(wanted)), abs(float(x[i].max()))) * float(mp.exp(cancelled))
            assert abs(float(value[i] - wanted)) <= 4 * np.finfo(dtype).eps * size
            assert np.isnan(plain[i]) if sign[i] < 0 else plain[i] == value[i]


WEIGHTED = [
    ([1.0, 10000.0], [1, 0]),
    ([1, 1], [1, -1]),
    ([1, 1, 1], [1, -1, -1]),
    ([INF], [-1.0]),
    ([INF, 1.0], [0, 1]),
    ([INF, INF], [1.0, -1.0]),
    ([-INF, -INF], [1.0, 2.0]),
    ([3.06409428, 0.37251854, 3.87471931], [1.88190708, 2.84174795, -0.85016884]),
    ([3.06409428, 0.37251854, 3.87471931], [1.88190708, 2.84174795, -3.85016884]),
    ([np.nan, 1.0], [1.0, 1.0]),
    ([1.0, 2.0], [np.nan, 1.0]),
    ([0.0, -40.0], [1, 1]),
    ([], []),
]


@pytest.mark.parametrize(("x", "b"), WEIGHTED, ids=str)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # SciPy's own
def test_weights_as_scipy(x, b):
    with np.errstate(all="raise"):
        value, sign = relume.logsumexp(x, b=b, return_sign=True)
        plain = relume.logsumexp(x, b=b)
    wanted, wanted_sign = special.logsumexp(x, b=b, return_sign=True)
    np.testing.assert_allclose(value, wanted, rtol=1e-14)
    assert sign == wanted_sign or np.isnan([sign, wanted_sign]).all() or not x
    np.testing.assert_allclose(plain, special.logsumexp(x, b=b), rtol=1e-14)


def test_no_elements_have_the_sign_0():
    """Their sum is 0, so its sign is 0; SciPy gives -1."""
    assert relume.logsumexp([], return_sign=True) == (-INF, 0)
    assert relume.logsumexp([], b=[], return_sign=True) == (-INF, 0)


def test_weights_broadcast():
    x, b = np.zeros((4, 1, 2, 1)), np.full((3, 1, 5), 2.0)
    for axes in (None, (0, 1), 2, (-1, 0)):
        actual = relume.logsumexp(x, axis=axes, b=b)
        np.testing.assert_allclose(actual, special.logsumexp(x, axis=axes, b=b), rtol=1e-14)
    kept = relume.logsumexp(x, axis=(0, 1), b=b, keepdims=True)
    assert kept.shape == (1, 1, 2, 5)
    out = np.empty((1, 1, 2, 5))
    assert relume.logsumexp(x, axis=(0, 1), b=b, keepdims=True, out=out) is out
    assert_same(out, kept, "out")


def test_dtype_of_weights():
    x = np.ones(3, np.float32)
    assert relume.logsumexp(x, b=2.0).dtype == np.float32
    assert relume.logsumexp(x, b=np.float64(2)).dtype == np.float64
    assert relume.logsumexp(x, b=[1, 2, 3]).dtype == np.float64
    assert relume.logsumexp(np.ones(3, np.float16), b=np.ones(3, np.float16)).dtype == np.float16
    for x, b in ((np.ones(2, complex), None), (np.ones(2), np.ones(2, complex))):
        with pytest.raises(TypeError):
            relume.logsumexp(x, b=b)


def test_sign_without_weights():
    x = np.array([[1.0, 2], [-INF, -INF], [np.nan, 0], [INF, 0]])
    value, sign = relume.logsumexp(x, return_sign=True)
    assert_same(value, relume.logsumexp(x), "value")
    assert_same(sign, np.array([1, 0, np.nan, 1]), "sign")


def test_weights_of_long_rows():
    x = np.random.default_rng(0).normal(size=(2, 2 * LONG + 5))
    b = np.random.default_rng(1).normal(size=x.shape)
    value, sign = relume.logsumexp(x, b=b, return_sign=True)
    wanted, wanted_sign = special.logsumexp(x, axis=-1, b=b, return_sign=True)
    np.testing.assert_allclose(value, wanted, rtol=1e-12)
    assert_same(sign, wanted_sign, "sign")
