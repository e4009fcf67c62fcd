"""crelu, which doubles an axis, and maxout, which removes one, with their gradients."""

import itertools

import numpy as np
import pytest

import relume
from tests.support.ops import INF, assert_same, each_dtype
from tests.ufuncs.test_memory import LAYOUTS

pytestmark = pytest.mark.op

NAN = float("nan")
SHAPES = [(1,), (7,), (5, 4), (3, 300), (2, 3, 4), (2, 3, 4, 5), (40_000, 2)]


def normal(dtype, shape, seed=0):
    return np.random.default_rng(seed).normal(scale=3, size=shape).astype(dtype)


def axes(shape):
    return range(-len(shape), len(shape))


def doubled(shape, axis):
    shape = list(shape)
    shape[axis] *= 2
    return tuple(shape)


# -- crelu --


def crelu(x, axis):
    """By definition."""
    return np.concatenate((np.maximum(x, 0), np.maximum(-x, 0)), axis)


def crelu_backward(grad, x, axis):
    positive, negative = np.split(grad, 2, axis)
    return np.where(x > 0, positive, np.where(x < 0, -negative, 0)).astype(x.dtype)


@each_dtype
@pytest.mark.parametrize(("shape", "axis"), [(s, axis) for s in SHAPES for axis in axes(s)])
def test_crelu(dtype, shape, axis):
    x = normal(dtype, shape)
    what = f"crelu of shape {shape}, axis {axis}"
    expected = crelu(x, axis)
    assert_same(relume.crelu(x, axis), expected, what)
    out = np.full(expected.shape, 7, dtype)
    assert relume.crelu(x, axis=axis, out=out) is out
    assert_same(out, expected, f"{what}, out")
    grad = normal(dtype, expected.shape, seed=1)
    wanted = crelu_backward(grad, x, axis)
    assert_same(abs(relume.crelu_backward(grad, x, axis)), abs(wanted), f"{what} backward")
    out = np.full(shape, 7, dtype)
    assert relume.crelu_backward(grad, x, axis=axis, out=out) is out
    np.testing.assert_array_equal(out, wanted, f"{what} backward, out")
    if axis == -1:
        assert_same(relume.crelu(x), expected, f"{what}, the default")


@each_dtype
def test_crelu_at_special_values(dtype):
    """Zeros give +0.0 and NaN gives NaN in both halves; an infinite gradient at 0 gives 0."""
    x = np.array([0.0, -0.0, INF, -INF, NAN, 2, -2], dtype)
    with np.errstate(all="raise"):
        actual = relume.crelu(x)
    expected = np.array([0, 0, INF, 0, NAN, 2, 0, 0, 0, 0, INF, NAN, 0, 2], dtype)
    assert_same(actual, expected, "crelu of special values")
    for first, second in itertools.product((1, -INF, INF, NAN), repeat=2):
        grad = np.repeat(np.array([first, second], dtype), len(x))
        with np.errstate(all="raise"):
            actual = relume.crelu_backward(grad, x)
        if first != first or second != second:
            assert np.isnan(actual).all(), f"gradients {first} and {second}: {actual}"
        else:
            expected = np.array([0, 0, first, -second, NAN, first, -second], dtype)
            np.testing.assert_array_equal(actual, expected, f"gradients {first} and {second}")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_crelu_in_any_layout(layout):
    for shape, axis in [((5, 40), 0), ((5, 40), 1), ((3, 4, 5), 1)]:
        x = normal(np.float32, shape)
        grad = normal(np.float32, doubled(shape, axis), seed=1)
        laid_out = LAYOUTS[layout](x)
        what = f"crelu of shape {shape}, axis {axis}, {layout}"
        assert_same(relume.crelu(laid_out, axis), crelu(x, axis), what)
        out = LAYOUTS[layout](np.zeros_like(grad))
        relume.crelu(laid_out, axis, out=out)
        assert_same(out.astype(np.float32), crelu(x, axis), f"{what}, out")
        back = LAYOUTS[layout](np.zeros_like(x))
        relume.crelu_backward(LAYOUTS[layout](grad), laid_out, axis, out=back)
        expected = relume.crelu_backward(grad, x, axis)
        assert_same(back.astype(np.float32), expected, f"{what} backward")


@each_dtype
def test_crelu_where_x_lies_in_out(dtype):
    for start in (0, 1, 2, 4):
        memory = normal(dtype, (6, 8))
        x = memory[:, start : start + 4]
        expected = crelu(x.copy(), -1)
        assert relume.crelu(x, out=memory) is memory
        assert_same(memory, expected, f"crelu of columns {start} on of its out")
    for start in (0, 2, 4):
        grad = normal(dtype, (6, 8))
        x = normal(dtype, (6, 4), seed=1)
        expected = relume.crelu_backward(grad.copy(), x)
        relume.crelu_backward(grad, x, out=grad[:, start : start + 4])
        assert_same(grad[:, start : start + 4], expected, f"backward into columns {start} on")
        expected = relume.crelu_backward(grad.copy(), x)
        relume.crelu_backward(grad, x, out=x)
        assert_same(x, expected, "backward in place of x")


@pytest.mark.parametrize("kind", "bhiq")
def test_crelu_keeps_signed_integers(kind):
    x = np.array([[3, -2, 0], [-7, 1, 5]], kind)
    assert_same(relume.crelu(x), crelu(x, -1), f"crelu of {kind}")


@pytest.mark.parametrize("kind", "BHILQ?")
def test_crelu_of_unsigned_integers_and_booleans(kind):
    """The negative of an unsigned integer wraps around to a large one."""
    x = np.array([[3, 0, 250], [1, 0, 255]]).astype(kind)
    expected = np.hstack([relume.relu(x), np.zeros((2, 3), relume.relu(x).dtype)])
    assert_same(relume.crelu(x), expected, f"crelu of {kind}")
    assert_same(relume.crelu(x, out=np.ones((2, 6), expected.dtype)), expected, f"{kind}, out")


@pytest.mark.parametrize("kind", "bhilq")
def test_crelu_of_the_smallest_integer_is_numpys(kind):
    x = np.array([np.iinfo(kind).min, np.iinfo(kind).min + 1, -1], kind)
    expected = np.concatenate([np.maximum(x, 0), np.maximum(np.negative(x), 0)])
    assert_same(relume.crelu(x), expected, f"crelu of {kind}")


@pytest.mark.parametrize(("shape", "axis"), [((0,), 0), ((3, 0), 1), ((0, 3), 1)])
def test_crelu_of_empty_arrays(shape, axis):
    x = np.ones(shape, np.float32)
    actual = relume.crelu(x, axis)
    assert_same(actual, np.ones(doubled(shape, axis), np.float32), f"crelu of shape {shape}")
    assert_same(relume.crelu_backward(actual, x, axis), x, f"backward of shape {shape}")


FITS = r"broadcast|match|shape|size"


@pytest.mark.parametrize("shape", [(2, 3), (2, 5), (4, 3), (3, 6), (6,), (2, 2, 6)])
def test_crelu_backward_of_a_gradient_of_the_wrong_shape(shape):
    with pytest.raises(ValueError, match=FITS):
        relume.crelu_backward(np.ones(shape), np.ones((2, 3)))


@pytest.mark.parametrize("shape", [(2, 3), (2, 7), (4, 3), (2, 2, 6)])
def test_crelu_into_an_out_of_the_wrong_shape(shape):
    with pytest.raises(ValueError, match=FITS):
        relume.crelu(np.ones((2, 3)), out=np.ones(shape))


def test_crelu_backward_into_an_out_of_the_wrong_shape():
    with pytest.raises(ValueError, match=FITS):
        relume.crelu_backward(np.ones((2, 6)), np.ones((2, 3)), out=np.ones((2, 6)))


def test_crelu_of_complex_numbers():
    with pytest.raises(TypeError):
        relume.crelu(np.ones((2, 3), complex))


# -- maxout --


def maxout(x, axis):
    """By definition: np.argmax takes the first among equals, and the first NaN."""
    which = np.argmax(x, axis)
    best = np.take_along_axis(x, np.expand_dims(which, axis), axis).squeeze(axis)
    return best, which


def maxout_backward(grad, which, pieces, axis):
    """By definition, element by element."""
    chosen = np.arange(pieces) == which[..., None]
    return np.moveaxis(np.where(chosen, grad[..., None], 0).astype(grad.dtype), -1, axis)


def assert_pair(actual, expected, what):
    best, which = actual
    assert_same(which, expected[1], f"{what}, which")
    assert_same(best, expected[0], what)


@each_dtype
@pytest.mark.parametrize(
    ("shape", "axis"), [(s, axis) for s in [*SHAPES, (2, 40_000), (70, 3)] for axis in axes(s)]
)
def test_maxout(dtype, shape, axis):
    x = normal(dtype, shape)
    what = f"maxout of shape {shape}, axis {axis}"
    expected = maxout(x, axis)
    assert expected[1].dtype == np.intp
    assert_pair(relume.maxout(x, axis), expected, what)
    out = tuple(np.full_like(part, 7) for part in expected)
    best, which = relume.maxout(x, axis=axis, out=out)
    assert best is out[0]
    assert which is out[1]
    assert_pair(out, expected, f"{what}, out")
    if axis == -1:
        assert_pair(relume.maxout(x), expected, f"{what}, the default")


@each_dtype
@pytest.mark.parametrize("n", [2, 3, 8, 17, 64, 70])
def test_maxout_takes_the_first_among_equals(dtype, n):
    x = np.random.default_rng(n).integers(0, 3, (50, n)).astype(dtype)
    assert_pair(relume.maxout(x), maxout(x, -1), f"maxout of {n} with ties")
    assert_pair(relume.maxout(x, 0), maxout(x, 0), f"maxout of {n} columns with ties")


@each_dtype
def test_maxout_of_minus_infinities_is_the_first_one(dtype):
    best, which = relume.maxout(np.full((3, 40), -INF, dtype))
    assert (best == -INF).all()
    assert (which == 0).all()


@each_dtype
@pytest.mark.parametrize("n", [1, 3, 8, 33, 70])
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_maxout_of_nan_is_the_first_nan(dtype, n, share):
    first = min(int(share * n), n - 1)
    x = normal(dtype, (4, n))
    x[1, first:] = INF
    x[1, first] = NAN
    x[1, -1] = NAN
    with np.errstate(all="raise"):
        actual = relume.maxout(x)
    assert_pair(actual, maxout(x, -1), f"maxout of {n}, NaN at {first}")


@each_dtype
def test_maxout_of_infinities(dtype):
    for row in itertools.product((INF, -INF, np.finfo(dtype).max, 0), repeat=3):
        x = np.array(row, dtype)
        assert_pair(relume.maxout(x), maxout(x, 0), f"maxout of {row}")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_maxout_in_any_layout(layout):
    for shape, axis in [((50, 4), 1), ((4, 50), 0), ((3, 4, 5), 1), ((7,), 0)]:
        x = normal(np.float32, shape)
        best, which = relume.maxout(LAYOUTS[layout](x), axis)
        what = f"maxout of shape {shape}, axis {axis}, {layout}"
        assert_pair((best.astype(np.float32), which), maxout(x, axis), what)
        grad = LAYOUTS[layout](normal(np.float32, best.shape, seed=1))
        laid_out, out = LAYOUTS[layout](which), LAYOUTS[layout](np.zeros_like(x))
        relume.maxout_backward(grad, laid_out, shape[axis], axis, out=out)
        expected = maxout_backward(grad.astype(np.float32), which, shape[axis], axis)
        assert_same(out.astype(np.float32), expected, f"{what} backward")


@each_dtype
@pytest.mark.parametrize(("shape", "axis"), [(s, axis) for s in SHAPES for axis in axes(s)])
def test_maxout_backward(dtype, shape, axis):
    best, which = relume.maxout(normal(dtype, shape), axis)
    grad = np.asarray(normal(dtype, best.shape, seed=1))
    pieces = shape[axis]
    expected = maxout_backward(grad, which, pieces, axis)
    what = f"maxout_backward of shape {grad.shape}, axis {axis}"
    assert_same(relume.maxout_backward(grad, which, pieces, axis), expected, what)
    out = np.full(shape, 7, dtype)
    assert relume.maxout_backward(grad, which, pieces, axis=axis, out=out) is out
    assert_same(out, expected, f"{what}, out")


@each_dtype
@pytest.mark.parametrize("pieces", [1, 2, 3, 4, 5, 8, 31, 32, 33, 70, 300])
@pytest.mark.parametrize("rows", [1, 7, 8, 9, 127, 129, 300])
def test_maxout_of_any_number_of_pieces(dtype, pieces, rows):
    """Rows of few pieces, other short rows, long rows and columns have kernels of their own."""
    x = np.random.default_rng(pieces).integers(-3, 3, (rows, pieces)).astype(dtype)
    x[::3, ::2] *= -0.0
    x[::4, pieces // 2] = NAN
    grad = np.asarray(normal(dtype, rows, seed=1))
    for axis, laid_out in ((1, x), (0, x.T.copy()), (1, x[:, ::-1].copy()[:, ::-1])):
        what = f"{pieces} pieces, {rows} rows, axis {axis}"
        expected = maxout(laid_out, axis)
        assert_pair(relume.maxout(laid_out, axis), expected, what)
        which = expected[1]
        wanted = maxout_backward(grad, which, pieces, axis)
        actual = relume.maxout_backward(grad, which, pieces, axis)
        assert_same(actual, wanted, f"{what}, backward")
        actual = relume.maxout_backward(grad, which - pieces, pieces, axis)
        assert_same(actual, wanted, f"{what}, backward, indices from the end")
        out = np.full((*wanted.shape, 2), 7, dtype)[..., 0]
        relume.maxout_backward(grad, which, pieces, axis, out=out)
        assert_same(out, wanted, f"{what}, backward, strided out")


@pytest.mark.parametrize("kind", "bhiqBHIQgD")
@pytest.mark.parametrize("index", "bhiqBHIQ")
def test_maxout_backward_of_other_dtypes(kind, index):
    which, grad = np.array([1, 0, 1]), np.array([1, 2, 3]).astype(kind)
    actual = relume.maxout_backward(grad, which.astype(index), 2)
    assert_same(actual, maxout_backward(grad, which, 2, -1), f"grad {kind}, which {index}")


@each_dtype
@pytest.mark.parametrize("pieces", [2, 5])
def test_maxout_backward_where_grad_lies_in_out(dtype, pieces):
    memory = normal(dtype, (9, pieces))
    which = np.arange(9) % pieces
    expected = maxout_backward(memory[:, 1].copy(), which, pieces, -1)
    relume.maxout_backward(memory[:, 1], which, pieces, out=memory)
    assert_same(memory, expected, f"maxout_backward of a column of its out, {pieces} pieces")


@pytest.mark.parametrize("pieces", [2, 4, 5, 40])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    ("rows", "index"), [(1, 0), (9, 0), (9, 4), (9, 8), (300, 0), (300, 150), (300, 299)]
)
def test_maxout_backward_finds_a_bad_index_anywhere(pieces, axis, rows, index):
    which = np.zeros(rows, int)
    which[index] = pieces
    with pytest.raises(IndexError, match="out of bounds"):
        relume.maxout_backward(np.ones(rows), which, pieces, axis)


@each_dtype
def test_maxout_backward_of_special_gradients(dtype):
    grad = np.array([NAN, INF, -INF, 1], dtype)
    which = np.array([1, 0, 1, 0])
    with np.errstate(all="raise"):
        actual = relume.maxout_backward(grad, which, 2)
    assert_same(actual, maxout_backward(grad, which, 2, -1), "maxout_backward")


@pytest.mark.parametrize("pieces", [2, 3])
@pytest.mark.parametrize("bad", [2, 3, -3, -4, 10**9, -(10**9)])
def test_maxout_backward_of_an_index_out_of_bounds(pieces, bad):
    if -pieces <= bad < pieces:
        pytest.skip("this index is in bounds")
    with pytest.raises((IndexError, ValueError)):
        relume.maxout_backward(np.ones(2), np.array([0, bad]), pieces)


@pytest.mark.parametrize("pieces", [2, 3])
def test_maxout_backward_of_floating_indices(pieces):
    with pytest.raises((IndexError, TypeError)):
        relume.maxout_backward(np.ones(2), np.array([0.0, 1.0]), pieces)


def test_maxout_of_empty_arrays():
    best, which = relume.maxout(np.ones((0, 3), np.float32))
    assert best.shape == which.shape == (0,)
    assert relume.maxout_backward(best, which, 3).shape == (0, 3)
    with pytest.raises(ValueError, match=r"empty|zero-size|shape"):
        relume.maxout(np.ones((3, 0), np.float32))


def test_maxout_backward_of_indices_of_the_wrong_shape():
    with pytest.raises((IndexError, ValueError), match=FITS):
        relume.maxout_backward(np.ones(3), np.zeros(4, int), 2)


def test_maxout_backward_into_an_out_of_the_wrong_shape():
    with pytest.raises(ValueError, match=FITS):
        relume.maxout_backward(np.ones(3), np.zeros(3, int), 2, out=np.ones((3, 4)))


# -- both --


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize(
    ("shape", "axis"), [((300_000, 2), 1), ((2, 300_000), 0), ((3, 200_000), 1)]
)
def test_bits_do_not_depend_on_number_of_threads(threads, shape, axis):
    x = normal(np.float32, shape)
    with relume.num_threads(threads):
        assert_pair(relume.maxout(x, axis), maxout(x, axis), f"maxout, {threads} threads")
        assert_same(relume.crelu(x, axis), crelu(x, axis), f"crelu, {threads} threads")


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize(
    "call",
    [relume.crelu, relume.maxout, lambda x, axis: relume.crelu_backward(x, x, axis)],
    ids=["crelu", "maxout", "crelu_backward"],
)
def test_axis_out_of_range(shape, call):
    for axis in (len(shape), -len(shape) - 1, 50):
        with pytest.raises(np.exceptions.AxisError):
            call(np.ones(shape), axis)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_axis_of_maxout_backward_out_of_range(shape):
    for axis in (len(shape) + 1, -len(shape) - 2, 50):
        with pytest.raises(np.exceptions.AxisError):
            relume.maxout_backward(np.ones(shape), np.zeros(shape, int), 2, axis)
