"""Arrays of other libraries in functions that split, join or reduce an axis."""

import itertools

import dask.array
import numpy as np
import pandas
import pytest
import scipy.special

import relume

pytestmark = pytest.mark.op

GATED = ["glu", "reglu", "geglu", "swiglu"]
X = np.random.default_rng(0).normal(size=(4, 6))
MASK = np.arange(24).reshape(4, 6) % 5 == 0
GRAD = {-1: np.random.default_rng(1).normal(size=(4, 3)), 0: X[2:]}
ROWS, COLUMNS = pandas.Index(list("wxyz"), name="row"), pandas.Index(list("abcdef"))


def lazy(array, chunks=(3, 4)):
    return dask.array.from_array(array, chunks=chunks)


def frame(array=X):
    return pandas.DataFrame(array, index=ROWS, columns=COLUMNS)


def is_lazy(result, expected):
    """Whether a Dask array is right in shape, dtype and meta, and has these values."""
    assert isinstance(result, dask.array.Array)
    assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
    assert result._meta.dtype == expected.dtype
    assert type(result._meta) is np.ndarray
    computed = result.compute(scheduler="sync")
    assert computed.dtype == expected.dtype
    np.testing.assert_allclose(computed, expected, rtol=1e-6 if expected.itemsize > 2 else 1e-2)
    blocks = dask.compute(*result.to_delayed().ravel(), scheduler="sync")
    shapes = list(itertools.product(*result.chunks))
    assert [np.shape(block) for block in blocks] == shapes


class Wrapped(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of another library, with both of NumPy's protocols."""

    def __init__(self, data):
        self.data = data

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    dtype = property(lambda self: self.data.dtype)

    def __getitem__(self, index):
        return Wrapped(self.data[index])

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("converted")

    @staticmethod
    def unwrap(value):
        if isinstance(value, list | tuple):
            return type(value)(map(Wrapped.unwrap, value))
        return value.data if isinstance(value, Wrapped) else value

    @staticmethod
    def wrap(result):
        return tuple(map(Wrapped, result)) if isinstance(result, tuple) else Wrapped(result)

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        return self.wrap(getattr(ufunc, method)(*self.unwrap(inputs), **keywords))

    def __array_function__(self, function, types, args, keywords):
        return self.wrap(function(*self.unwrap(args), **self.unwrap(keywords)))


class Marked(np.ndarray):
    """A subclass that keeps an attribute."""

    def __array_finalize__(self, other):
        self.mark = getattr(other, "mark", None)


def marked(array):
    array = array.copy().view(Marked)
    array.mark = "here"
    return array


each_gated = pytest.mark.parametrize("name", GATED)
each_axis = pytest.mark.parametrize("axis", [0, 1, -1])


# -- gated units that split one array --


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8])
@each_gated
def test_gated_of_dask(name, dtype):
    x = (4 * X).astype(dtype)
    for axis in (0, 1, -1):
        is_lazy(getattr(relume, name)(lazy(x), axis=axis), getattr(relume, name)(x, axis=axis))


@pytest.mark.parametrize(
    ("name", "chunks"),
    [("glu", (3, 4)), ("reglu", (4, 6)), ("geglu", (2, 1)), ("swiglu", ((2, 2), (3, 3)))],
)
@each_axis
def test_gated_backward_of_dask(name, axis, chunks):
    backward = getattr(relume, f"{name}_backward")
    grad = GRAD[0 if axis == 0 else -1]
    x = lazy(X, chunks)
    for given, plain in ((grad, grad), (lazy(grad, (1, 2)), grad), (2.0, 2.0)):
        expected = backward(plain, X, axis=axis)
        result = backward(given, x, axis=axis)
        is_lazy(result, expected)
        assert result.chunks == x.chunks
    is_lazy(backward(lazy(grad, (1, 2)), X, axis=axis), backward(grad, X, axis=axis))


@each_gated
def test_gated_backward_of_two_dask_arrays(name):
    """Dask refuses ufuncs of several results."""
    backward = getattr(relume, f"{name}_backward")
    first, second = X[:, :3], X[:, 3:]
    for arrays in (
        (lazy(first), lazy(second), lazy(first, (1, 3))),
        (1.0, lazy(second), first[0]),
        (first, second, lazy(first, (2, 2))),
    ):
        plain = [a.compute(scheduler="sync") if hasattr(a, "compute") else a for a in arrays]
        results, expected = backward(*arrays), backward(*plain)
        for result, wanted in zip(results, expected, strict=True):
            is_lazy(result, wanted)


def test_nothing_is_computed_of_dask_before_it_is_asked_for():
    def fail(block):
        raise AssertionError("computed")

    x = dask.array.map_blocks(fail, lazy(X), dtype=X.dtype, meta=np.empty((0, 0)))
    for call in (
        lambda: relume.glu(x),
        lambda: relume.glu_backward(1.0, x),
        lambda: relume.glu_backward(x, x, x),
        lambda: relume.crelu(x),
        lambda: relume.crelu_backward(x, x[:, :3]),
        lambda: relume.maxout(x),
        lambda: relume.prelu_backward(x, x, 0.5),
    ):
        result = call()
        with pytest.raises(AssertionError, match="computed"):
            (result[0] if isinstance(result, tuple) else result).compute(scheduler="sync")


@each_gated
def test_gated_of_masked_arrays(name):
    x = np.ma.array(X, mask=MASK)
    either = MASK[:, :3] | MASK[:, 3:]
    result = getattr(relume, name)(x)
    assert isinstance(result, np.ma.MaskedArray)
    np.testing.assert_array_equal(result.mask, either)
    np.testing.assert_array_equal(result.data[~either], getattr(relume, name)(X)[~either])
    result = getattr(relume, f"{name}_backward")(GRAD[-1], x)
    both = np.hstack([either, either])
    assert isinstance(result, np.ma.MaskedArray)
    np.testing.assert_array_equal(result.mask, both)
    expected = getattr(relume, f"{name}_backward")(GRAD[-1], X)
    np.testing.assert_array_equal(result.data[~both], expected[~both])
    masked_grad = np.ma.array(GRAD[-1], mask=MASK[:, :3])
    result = getattr(relume, f"{name}_backward")(masked_grad, X)
    np.testing.assert_array_equal(result.mask, np.hstack([MASK[:, :3], MASK[:, :3]]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_gated
def test_gated_of_pandas(name, dtype):
    """The labels of the first half are those of the result."""
    function, backward = getattr(relume, name), getattr(relume, f"{name}_backward")
    x = frame(X.astype(dtype))
    result = function(x)
    expected = pandas.DataFrame(function(X.astype(dtype)), index=ROWS, columns=list("abc"))
    pandas.testing.assert_frame_equal(result, expected)
    for grad in (result, result.to_numpy(), 1.0):
        plain = grad if isinstance(grad, float) else np.asarray(grad)
        expected = frame(backward(plain, X.astype(dtype)))
        pandas.testing.assert_frame_equal(backward(grad, x), expected)
    series = pandas.Series(X[0].astype(dtype), index=COLUMNS, name="s")
    expected = pandas.Series(function(X[0].astype(dtype)), index=list("abc"), name="s")
    pandas.testing.assert_series_equal(function(series), expected)
    with pytest.raises(ValueError, match="grad must have the labels of the first half of a"):
        backward(result[::-1], x)


@each_gated
def test_gated_of_a_subclass(name):
    for result in (
        getattr(relume, name)(marked(X)),
        getattr(relume, f"{name}_backward")(GRAD[-1], marked(X)),
    ):
        assert type(result) is Marked
        assert result.mark == "here"


@each_gated
def test_gated_of_another_library(name):
    result = getattr(relume, name)(Wrapped(X))
    assert type(result) is Wrapped
    np.testing.assert_array_equal(result.data, getattr(relume, name)(X))
    backward = getattr(relume, f"{name}_backward")
    for grad, a in ((GRAD[-1], Wrapped(X)), (Wrapped(GRAD[-1]), Wrapped(X)), (1.0, Wrapped(X))):
        result = backward(grad, a)
        assert type(result) is Wrapped
        np.testing.assert_array_equal(result.data, backward(Wrapped.unwrap(grad), X))


def test_split_into_an_out():
    out = np.empty((4, 3))
    for x in (lazy(X), frame(), np.ma.array(X)):
        assert relume.glu(np.asarray(x), out=out) is out
    out = np.empty((4, 6))
    assert relume.glu_backward(1.0, frame(), out=out) is out
    np.testing.assert_array_equal(out, relume.glu_backward(1.0, X))


# -- prelu_backward --


@pytest.mark.parametrize("weight", [0.1, np.float64(0.5), np.arange(6.0), np.ones((4, 1))])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_prelu_backward_of_dask(dtype, weight):
    x, grad = X.astype(dtype), X[::-1].astype(dtype)
    if type(weight) is not float:
        weight = weight.astype(dtype)
    expected = relume.prelu_backward(grad, x, weight)
    for given in (weight, lazy(weight, -1) if np.ndim(weight) else weight):
        results = relume.prelu_backward(lazy(grad, (2, 2)), lazy(x), given)
        is_lazy(results[0], expected[0])
        is_lazy(results[1], expected[1])
        assert results[0].chunks[1] != (6,)


def test_prelu_backward_of_dask_by_broadcasting():
    expected = relume.prelu_backward(X, X[:1], np.ones(6))
    results = relume.prelu_backward(X, lazy(X[:1]), np.ones(6))
    for result, wanted in zip(results, expected, strict=True):
        is_lazy(result, wanted)


def test_prelu_backward_of_masked_arrays():
    """Masked elements are left out of the sums."""
    x, weight = np.ma.array(X, mask=MASK), np.arange(6.0)
    grad_x, grad_weight = relume.prelu_backward(X, x, weight)
    np.testing.assert_array_equal(grad_x.mask, MASK)
    expected = relume.prelu_backward(np.where(MASK, 0, X), X, weight)
    np.testing.assert_array_equal(grad_x.data[~MASK], expected[0][~MASK])
    np.testing.assert_allclose(grad_weight, expected[1])


def test_prelu_backward_of_pandas():
    weight = pandas.Series(np.arange(6.0), index=COLUMNS, name="slope")
    expected = relume.prelu_backward(X, X, weight.to_numpy())
    for grad in (X, frame()):
        grad_x, grad_weight = relume.prelu_backward(grad, frame(), weight)
        pandas.testing.assert_frame_equal(grad_x, frame(expected[0]))
        pandas.testing.assert_series_equal(
            grad_weight, pandas.Series(expected[1], index=COLUMNS, name="slope")
        )
    _, grad_weight = relume.prelu_backward(frame(), frame(), weight.to_numpy())
    assert type(grad_weight) is np.ndarray
    with pytest.raises(ValueError, match="weight must have the labels of x"):
        relume.prelu_backward(X, frame(), weight[::-1])
    with pytest.raises(ValueError, match="grad must have the labels of x"):
        relume.prelu_backward(frame()[::-1], frame(), weight)


def test_prelu_backward_of_a_subclass_and_of_another_library():
    expected = relume.prelu_backward(X, X, 0.5)
    grad_x, grad_weight = relume.prelu_backward(X, marked(X), 0.5)
    assert type(grad_x) is Marked
    assert grad_x.mark == "here"
    np.testing.assert_array_equal(grad_x, expected[0])
    assert grad_weight == expected[1]


# -- crelu and maxout --


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, np.uint8, np.bool_])
@each_axis
def test_crelu_of_dask(axis, dtype):
    # A negative float has no unsigned integer: what C makes of it depends on the processor.
    x = abs(4 * X).astype(dtype) if dtype is np.uint8 else (4 * X).astype(dtype)
    result = relume.crelu(lazy(x), axis)
    is_lazy(result, relume.crelu(x, axis))
    assert result.chunks[axis] == 2 * lazy(x).chunks[axis]


@each_axis
def test_crelu_backward_of_others(axis):
    grad = np.concatenate([X, 2 * X], axis)
    expected = relume.crelu_backward(grad, X, axis)
    is_lazy(relume.crelu_backward(lazy(grad), lazy(X), axis), expected)
    pandas.testing.assert_frame_equal(relume.crelu_backward(grad, frame(), axis), frame(expected))
    result = relume.crelu_backward(grad, np.ma.array(X, mask=MASK), axis)
    np.testing.assert_array_equal(result.mask, MASK)
    np.testing.assert_array_equal(result.data[~MASK], expected[~MASK])


@each_axis
def test_crelu_of_masked_arrays(axis):
    result = relume.crelu(np.ma.array(X, mask=MASK), axis)
    assert isinstance(result, np.ma.MaskedArray)
    np.testing.assert_array_equal(result.mask, np.concatenate([MASK, MASK], axis))
    np.testing.assert_array_equal(result.data[~result.mask], relume.crelu(X, axis)[~result.mask])


def test_crelu_of_a_subclass_of_another_library_and_of_pandas():
    """No library can say which labels the second half has."""
    result = relume.crelu(marked(X))
    assert type(result) is Marked
    assert result.mark == "here"
    result = relume.crelu(Wrapped(X))
    assert type(result) is Wrapped
    np.testing.assert_array_equal(result.data, relume.crelu(X))
    result = relume.crelu(frame())
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, relume.crelu(X))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8])
@pytest.mark.parametrize("chunks", [(3, 4), (4, 6), (1, 1)])
@each_axis
def test_maxout_of_dask(axis, chunks, dtype):
    x = (4 * X).astype(dtype)
    for result, expected in zip(
        relume.maxout(lazy(x, chunks), axis), relume.maxout(x, axis), strict=True
    ):
        is_lazy(result, expected)


@each_axis
def test_maxout_of_masked_arrays(axis):
    mask = MASK.copy()
    mask[1] = mask[:, 2] = True
    x = np.where(MASK, 100, X)
    x[2, 3] = x[2, 4] = -np.inf
    masked = np.ma.array(x, mask=mask)
    best, which = relume.maxout(masked, axis)
    expected = masked.max(axis)
    np.testing.assert_array_equal(best.mask, np.ma.getmaskarray(expected))
    np.testing.assert_array_equal(which.mask, best.mask)
    np.testing.assert_array_equal(best.compressed(), expected.compressed())
    index = np.expand_dims(which.data, axis)
    picked = np.take_along_axis(x, index, axis).squeeze(axis)
    np.testing.assert_array_equal(picked[~which.mask], best.compressed())
    hidden = np.take_along_axis(mask, index, axis).squeeze(axis)
    assert not hidden[~which.mask].any()


@each_axis
def test_maxout_of_pandas(axis):
    best, which = relume.maxout(frame(), axis)
    pandas.testing.assert_series_equal(best, frame().max(axis=axis % 2))
    expected = pandas.Series(X.argmax(axis), index=best.index)
    pandas.testing.assert_series_equal(which, expected, check_dtype=False)


# -- xarray --


def test_xarray():
    xarray = pytest.importorskip(
        "xarray", reason="xarray is not installed; its arrays are optional"
    )
    x = xarray.DataArray(
        X, dims=("row", "column"), coords={"row": list("wxyz"), "column": list("abcdef")}
    )
    result = relume.glu(x)
    assert result.dims == ("row", "column")
    assert list(result.column.values) == list("abc")
    np.testing.assert_array_equal(result.values, relume.glu(X))
    result = relume.glu_backward(result.T, x)
    xarray.testing.assert_equal(result, x.copy(data=relume.glu_backward(relume.glu(X), X)))
    grad_x, grad_weight = relume.prelu_backward(x, x, 0.5)
    expected = relume.prelu_backward(X, X, 0.5)
    xarray.testing.assert_equal(grad_x, x.copy(data=expected[0]))
    assert grad_weight == expected[1]
    best, which = relume.maxout(x, 0)
    xarray.testing.assert_equal(best, x.max("row"))
    xarray.testing.assert_equal(which, x.argmax("row"))
    assert type(relume.crelu(x)) is np.ndarray
    lazily = relume.glu(x.chunk({"row": 2}))
    assert isinstance(lazily.data, dask.array.Array)
    xarray.testing.assert_equal(lazily.compute(), relume.glu(x))


# -- gradients of maxout --


@each_axis
def test_maxout_backward_of_dask(axis):
    best, which = relume.maxout(X, axis)
    expected = relume.maxout_backward(best, which, X.shape[axis], axis)
    for chunks in ((3, 2), (4, 6), (1, 5)):
        pair = relume.maxout(lazy(X, chunks), axis)
        for grad, index in (pair, (best, pair[1]), (pair[0], which)):
            is_lazy(relume.maxout_backward(grad, index, X.shape[axis], axis), expected)


@each_axis
def test_maxout_backward_of_masked(axis):
    """Nothing flows where all pieces are masked, whatever lies behind the mask."""
    mask = np.zeros(X.shape, bool)
    mask[(slice(None), 1) if axis == 0 else 1] = True
    pieces = X.shape[axis]
    pair = relume.maxout(np.ma.array(X, mask=mask), axis)
    result = relume.maxout_backward(*pair, pieces, axis)
    assert type(result) is np.ma.MaskedArray
    np.testing.assert_array_equal(result.mask, mask)
    expected = relume.maxout_backward(*relume.maxout(X, axis), pieces, axis)
    np.testing.assert_array_equal(result.filled(0), np.where(mask, 0, expected))


@pytest.mark.parametrize(
    ("which", "pieces", "error", "text"),
    [
        (np.zeros(4), 3, TypeError, "which must hold the integers that maxout gives second"),
        (np.zeros(3, int), 3, ValueError, r"shape of grad, \(4,\), got \(3,\)"),
        (np.full(4, 3, np.uint8), 3, IndexError, "which has an index that is out of bounds"),
        (np.zeros(4, int), 2.5, TypeError, "pieces must be an integer of at least 1, got 2.5"),
        (np.zeros(4, int), 0, ValueError, "pieces must be at least 1, got 0"),
    ],
)
def test_maxout_backward_names_a_wrong_argument(which, pieces, error, text):
    for grad in (np.ones(4), lazy(np.ones(4), 2)):
        with pytest.raises(error, match=text):
            np.asarray(relume.maxout_backward(grad, which, pieces))


def test_maxout_backward_of_integers_names_a_wrong_index():
    with pytest.raises(IndexError, match="which must hold indices of the 2 pieces, got 0 to 2"):
        relume.maxout_backward([1, 2], [0, 2], 2)


# -- masked arrays along an axis --

MASK = np.random.default_rng(5).random(X.shape) < 0.3
MASK[1] = True
each_reduction = pytest.mark.parametrize("axis", [0, 1, -1, None, (0, 1)])


def rows_that_count(function, axis):
    """What a function of the elements that are not masked gives, row by row.

    Its second argument takes the same elements of another array.
    """
    result = np.full(X.shape, np.nan)
    if axis in (None, (0, 1)):
        result[~MASK] = function(X[~MASK], lambda a: a[~MASK])
        return result
    for i in range(X.shape[1 - axis % 2]):
        index = (i,) if axis % 2 else (slice(None), i)
        counts = ~MASK[index]
        if counts.any():
            row = result[index]
            row[counts] = function(X[index][counts], lambda a, at=(index, counts): a[at[0]][at[1]])
    return result


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@each_reduction
def test_masked_elements_are_left_out(name, axis):
    """They counted as if they were not masked."""
    result = getattr(relume, name)(np.ma.array(X, mask=MASK), axis=axis)
    assert type(result) is np.ma.MaskedArray
    np.testing.assert_array_equal(result.mask, MASK)
    expected = rows_that_count(lambda x, _: getattr(scipy.special, name)(x), axis)
    np.testing.assert_allclose(result.filled(np.nan), expected, rtol=1e-6)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("b", [None, 2.0])
@each_reduction
def test_logsumexp_of_masked(axis, b, keepdims):
    """Its mask had the shape of the input, which broke every later use of the result."""
    x = np.ma.array(X, mask=MASK)
    result = relume.logsumexp(x, axis, b=b, keepdims=keepdims)
    expected = np.ma.log(np.ma.sum(np.ma.exp(x), axis, keepdims=keepdims) * (b or 1))
    assert result.shape == result.mask.shape == np.shape(expected)
    np.testing.assert_array_equal(result.mask, np.ma.getmaskarray(expected))
    np.testing.assert_allclose(result.filled(0), np.ma.filled(expected, 0), rtol=1e-5, atol=1e-6)


@each_axis
def test_gradients_of_masked_rows(axis):
    x, grad = np.ma.array(X, mask=MASK), np.random.default_rng(6).normal(size=X.shape)
    for name in ("softmax", "log_softmax"):
        backward = getattr(relume, f"{name}_backward")
        expected = rows_that_count(lambda row, of, f=backward: f(of(grad), row), axis)
        for result in (
            backward(grad, x, axis=axis),
            getattr(relume, f"{name}_backward_from_output")(
                grad, getattr(relume, name)(x, axis=axis), axis=axis
            ),
        ):
            np.testing.assert_array_equal(result.mask, MASK)
            np.testing.assert_allclose(result.filled(np.nan), expected, rtol=1e-5, atol=1e-6)
    shares = relume.softmax(x, axis=axis)
    for keepdims in (False, True):
        total = relume.logsumexp(x, axis, keepdims=keepdims)
        result = relume.logsumexp_backward(total * 0 + 2, x, axis, keepdims=keepdims)
        np.testing.assert_array_equal(result.mask, MASK)
        np.testing.assert_allclose(result.filled(0), 2 * shares.filled(0), rtol=1e-5)


def test_a_masked_out_takes_the_mask():
    out = np.ma.zeros(X.shape, X.dtype)
    assert relume.softmax(np.ma.array(X, mask=MASK), out=out) is out
    np.testing.assert_array_equal(out.mask, MASK)
