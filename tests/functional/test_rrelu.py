"""The randomized leaky ReLU: one fixed slope in evaluation, a slope per element in training."""

import numpy as np
import pytest

import relume
from tests.support.ops import assert_same, each_dtype

pytestmark = pytest.mark.op

BOUNDS = [(1 / 8, 1 / 3), (0.0, 1.0), (-1.5, -0.25), (0.3, 0.3), (-2, 5)]
each_bounds = pytest.mark.parametrize(("lower", "upper"), BOUNDS)
OUTSIDE = [(1, 0), (0.5, 0.25), (float("nan"), 1), (0, float("nan")), (-np.inf, 0), (0, np.inf)]
OUTSIDE += [(np.float32(1), np.float32(0)), (np.inf, np.inf)]


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(dtype, shape, seed=1):
    return np.asarray(rng(seed).normal(scale=3, size=shape)).astype(dtype)


def train(x, *bounds, seed=0, **keywords):
    """The result and the slopes of a call in training."""
    return relume.rrelu(x, *bounds, training=True, rng=rng(seed), return_slope=True, **keywords)


# -- evaluation --


@each_dtype
@each_bounds
def test_evaluation_is_leaky_relu_with_the_mean_slope(dtype, lower, upper):
    x, grad = normal(dtype, 500), normal(dtype, 500, seed=2)
    x[:4] = 0, -0.0, np.inf, -np.inf
    slope = (lower + upper) / 2
    expected = relume.leaky_relu(x, slope)
    assert_same(relume.rrelu(x, lower, upper), expected, f"rrelu({lower}, {upper})")
    named = relume.rrelu(x, lower=lower, upper=upper, training=False, rng=rng())
    assert_same(named, expected, f"rrelu({lower}, {upper}) by name")
    expected = relume.leaky_relu_backward(grad, x, slope)
    actual = relume.rrelu_backward(grad, x, lower, upper)
    assert_same(actual, expected, f"rrelu_backward({lower}, {upper})")


@each_dtype
def test_defaults(dtype):
    x, grad = normal(dtype, 50), normal(dtype, 50, seed=2)
    assert_same(relume.rrelu(x), relume.rrelu(x, 1 / 8, 1 / 3), "rrelu with its defaults")
    expected = relume.rrelu_backward(grad, x, 1 / 8, 1 / 3, slope=None)
    assert_same(relume.rrelu_backward(grad, x), expected, "rrelu_backward with its defaults")
    _, slope = train(x)
    _, wanted = train(x, 1 / 8, 1 / 3)
    assert_same(slope, wanted, "slopes with the defaults")


def test_slope_in_evaluation_is_the_mean():
    y, slope = relume.rrelu(np.array([-4.0, 2.0]), 0.25, 0.75, return_slope=True)
    assert y.tolist() == [-2, 2]
    assert np.ndim(slope) == 0
    assert slope == 0.5


def test_evaluation_draws_nothing():
    generator = rng()
    relume.rrelu(np.ones(9), rng=generator)
    assert generator.random() == rng().random()


# -- training --


@each_dtype
@each_bounds
@pytest.mark.parametrize("shape", [(), (0,), (7,), (70, 30), (2, 3, 4)])
def test_training_is_prelu_with_the_slopes_it_returns(dtype, lower, upper, shape):
    x = normal(dtype, shape)
    y, slope = train(x, lower, upper)
    what = f"rrelu({lower}, {upper}) of shape {shape} in training"
    assert np.shape(slope) == shape
    assert slope.dtype == dtype, f"{what}: slopes of {slope.dtype}"
    assert_same(y, relume.prelu(x, slope), what)
    grad = normal(dtype, shape, seed=2)
    actual = relume.rrelu_backward(grad, x, lower, upper, slope=slope)
    expected = np.where(x > 0, grad, (grad * slope).astype(dtype))
    assert_same(actual, expected, f"backward of {what}")


@each_dtype
@each_bounds
def test_slopes_are_in_the_half_open_interval(dtype, lower, upper):
    _, slope = train(np.ones(200_000, dtype), lower, upper)
    below = np.nextafter(dtype(upper), dtype(-np.inf)) if upper > lower else dtype(upper)
    assert slope.min() >= dtype(lower)
    assert slope.max() <= below, f"{slope.max()!r} of slopes below {upper}"


@each_dtype
def test_slopes_are_uniform_and_independent(dtype):
    """Counts in 20 bins and the correlation of neighbours are within 5 standard deviations."""
    n, bins = 400_000, 20
    _, slope = train(-np.ones(n, dtype), 0.0, 1.0, seed=5)
    values = slope.astype(np.float64)
    expected = n / bins
    counts = np.histogram(values, bins, (0, 1))[0]
    # In float16, rounding moves up to this many slopes across the edges of a bin.
    rounding = 2 * n * float(np.finfo(dtype).eps) if dtype is np.float16 else 0
    assert abs(counts - expected).max() < 5 * np.sqrt(expected) + rounding, counts
    middle = values - 0.5
    correlation = (middle[1:] * middle[:-1]).mean() * 12
    assert abs(correlation) < 5 / np.sqrt(n)


@each_dtype
def test_slopes_come_from_the_generator_alone(dtype):
    x, other = normal(dtype, (300, 500)), normal(dtype, (300, 500), seed=3)
    y, slope = train(x, seed=7)
    for layout in (x.copy("F"), x[::-1].copy()[::-1], np.repeat(x, 2, axis=1)[:, ::2]):
        again, same = train(layout, seed=7)
        assert_same(same, slope, "slopes for another layout")
        assert_same(again, y, "rrelu of another layout")
    assert_same(train(other, seed=7)[1], slope, "slopes for other data")
    assert (train(x, seed=8)[1] != slope).mean() > 0.9
    for threads in (1, 2):
        with relume.num_threads(threads):
            assert_same(train(x, seed=7)[0], y, f"rrelu with {threads} threads")


def test_training_advances_the_generator():
    generator, x = rng(), -np.ones(50)
    first, second = (relume.rrelu(x, training=True, rng=generator) for _ in range(2))
    assert (first != second).all()


def test_only_the_result_unless_slopes_are_asked_for():
    x = normal(np.float32, 20)
    y = relume.rrelu(x, training=True, rng=rng())
    assert_same(y, train(x)[0], "rrelu without return_slope")


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937, np.random.Philox])
def test_any_bit_generator(bits):
    x = -np.ones(10_000)
    y = relume.rrelu(x, training=True, rng=np.random.Generator(bits(3)))
    assert abs(y.mean() + (1 / 8 + 1 / 3) / 2) < 0.01


@each_dtype
def test_nan_and_kink(dtype):
    x = np.array([np.nan, 0, -0.0, 1, -1], dtype)
    grad = np.array([1, 1, 1, np.nan, np.nan], dtype)
    y, slope = train(x)
    assert np.isnan(y).tolist() == [True, False, False, False, False]
    gradient = relume.rrelu_backward(grad, x, slope=slope)
    assert np.isnan(gradient).tolist() == [True, False, False, True, True]
    assert (gradient[1:3] == slope[1:3]).all(), "the derivative at 0 is the slope"


# -- out, dtypes --


@each_dtype
def test_out(dtype):
    x = normal(dtype, (30, 40))
    grad = normal(dtype, (30, 40), seed=2)
    for keywords in ({}, {"training": True}):
        expected = relume.rrelu(x, rng=rng(), **keywords)
        out = np.zeros((40, 60), dtype)[:, ::2].T
        assert relume.rrelu(x, rng=rng(), out=out, **keywords) is out
        assert_same(out, expected, f"rrelu into out, {keywords}")
        changed = x.copy()
        assert relume.rrelu(changed, rng=rng(), out=changed, **keywords) is changed
        assert_same(changed, expected, f"rrelu in place, {keywords}")
    y, slope = train(x, out=x.copy())
    assert_same(y, train(x)[0], "rrelu in place with slopes")
    expected = relume.rrelu_backward(grad, x, slope=slope)
    assert relume.rrelu_backward(grad, x, slope=slope, out=grad) is grad
    assert_same(grad, expected, "rrelu_backward in place")


@pytest.mark.parametrize("kind", "bBhHiqefd")
def test_dtypes_are_those_of_a_ufunc(kind):
    x = np.array([1, 0, 3]).astype(kind)
    dtype = relume.prelu(x, x).dtype
    y, slope = train(x)
    assert y.dtype == slope.dtype == dtype
    assert relume.rrelu(x).dtype == relume.leaky_relu(x).dtype


def test_sequences():
    y, slope = train([-1.0, 2.0])
    assert y.tolist() == [-slope[0], 2]


# -- bad arguments --


@pytest.mark.parametrize("given", [None, 0, "pcg", np.random, np.random.RandomState(0)], ids=str)
def test_training_without_a_generator(given):
    out = np.full(3, 7.0)
    with pytest.raises(TypeError, match="rng"):
        relume.rrelu(-np.ones(3), training=True, rng=given, out=out)
    assert (out == 7).all()


def test_training_without_any_rng():
    with pytest.raises(TypeError, match="rng"):
        relume.rrelu(-np.ones(3), training=True)


@pytest.mark.parametrize(("lower", "upper"), OUTSIDE)
def test_bounds_outside_the_domain(lower, upper):
    out, generator = np.full(3, 7.0), rng()
    for training in (False, True):
        with pytest.raises(ValueError, match=r"lower|upper"):
            relume.rrelu(np.ones(3), lower, upper, training, rng=generator, out=out)
    with pytest.raises(ValueError, match=r"lower|upper"):
        relume.rrelu_backward(np.ones(3), np.ones(3), lower, upper, out=out)
    assert (out == 7).all()
    assert generator.random() == rng().random(), "it drew before it raised"


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("x", [np.ones(3, complex), np.array(["a"])], ids=["complex", "str"])
def test_dtypes_that_have_no_loop(x, training):
    with pytest.raises(TypeError):
        relume.rrelu(x, training=training, rng=rng())


@each_dtype
def test_slopes_that_do_not_fit(dtype):
    x = np.ones(3, dtype)
    with pytest.raises(ValueError, match="broadcast"):
        relume.rrelu_backward(x, x, slope=np.ones(2, dtype))
