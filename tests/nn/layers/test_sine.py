"""nn.Sine of arguments of any size, against mpmath."""

import mpmath
import numpy as np
import pytest

from relume import nn

DTYPES = ["float32", "float64"]
WIDTH = 23  # no multiple of a vector, so that elements are at all positions


def values_and_slopes(x, dtype, omega=1.0, width=WIDTH):
    """sin(omega x) and omega cos(omega x) of a vector, through a network."""
    rows = -(-len(x) // width)
    X = np.zeros((rows, width), dtype)
    X.flat[: len(x)] = x
    net = nn.Network([nn.Sine(omega), nn.Dense(width, use_bias=False)], loss="mse", dtype=dtype)
    net.load_state_dict({"1.weight": np.eye(width)})
    values = net.forward(X, training=True)
    np.testing.assert_array_equal(net.forward(X), values)
    return values.flat[: len(x)], net.backward(np.ones_like(X)).flat[: len(x)]


def arguments(dtype):
    """Random ones of all exponents, those around the limits of each method, and the hardest."""
    rng, info = np.random.default_rng(0), np.finfo(dtype)
    x = [*np.exp2(rng.uniform(info.minexp, info.maxexp, 400)), *rng.uniform(5e3, 7e3, 100)]
    x += [*(10.0 ** rng.uniform(7, 9, 100)), 0.0, 6000, 1e8, 2.0**24, 2.0**53, info.max, info.tiny]
    with mpmath.workprec(300):
        multiples = [1, 2, 3, 355, 2**11, 12345, 2**26, 10**9 + 7, 10**15 + 1, 3 * 10**30]
        x += [float(k * mpmath.pi / 2) for k in multiples]
    # The floats and doubles nearest to a multiple of pi / 2, as continued fractions find them.
    x.append(6381956970095103 * 2.0**797 if dtype == "float64" else 16367173 * 2.0**72)
    x = np.array(x).astype(dtype)
    with np.errstate(over="ignore"):
        x = np.concatenate([np.nextafter(x, x.dtype.type(0)), x, np.nextafter(x, np.inf)])
    x = x[np.isfinite(x) & ((x == 0) | (x >= info.tiny))]
    return np.append(x, -x)


def exact(function, x):
    with mpmath.workprec(1300):
        return np.array([float(function(mpmath.mpf(float(each)))) for each in x])


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_finite_argument_is_right(dtype):
    """Beyond 6,000 in float32 and 10**8 in float64 the result was not even within [-1, 1]."""
    x = arguments(dtype)
    values, slopes = values_and_slopes(x, dtype)
    bound = 4 * np.finfo(dtype).eps
    for found, function in ((values, mpmath.sin), (slopes, mpmath.cos)):
        error = np.abs(found.astype(float) - exact(function, x))
        worst = error.argmax()
        assert error[worst] <= bound, (function.__name__, dtype, float(x[worst]), error[worst])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_argument_is_the_rounded_product(dtype):
    """omega x in the dtype, whose sine is then taken; overflow and infinity give NaN."""
    omega = np.array(1234.567, dtype)
    x = np.array([1.5, 77.7, -1e6, 1e20, 3e30], dtype)
    values, slopes = values_and_slopes(x, dtype, float(omega))
    turned, eps = x * omega, np.finfo(dtype).eps
    np.testing.assert_allclose(values, exact(mpmath.sin, turned), rtol=0, atol=4 * eps)
    cosines = exact(mpmath.cos, turned) * float(omega)
    np.testing.assert_allclose(slopes, cosines, rtol=0, atol=5 * eps * float(omega))
    largest = np.array([np.finfo(dtype).max, 1.0], dtype)
    values, slopes = values_and_slopes(largest, dtype, 2.0, width=1)
    assert np.isnan(values[0])
    assert np.isnan(slopes[0])
    np.testing.assert_allclose(values[1], np.sin(2.0), atol=4 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 7, 16, 255, 256, 257, 300])
def test_large_neighbors_change_no_bits(dtype, n):
    """A block with one large argument takes another way for that one alone."""
    x = np.random.default_rng(n).uniform(-100, 100, n).astype(dtype)
    alone = values_and_slopes(x, dtype, width=n)
    for i in {0, n // 2, n - 1}:
        mixed = x.copy()
        mixed[i] = 1e30
        rest = np.arange(n) != i
        for found, expected in zip(values_and_slopes(mixed, dtype, width=n), alone, strict=True):
            np.testing.assert_array_equal(found[rest], expected[rest])
            single = values_and_slopes(mixed[i : i + 1], dtype, width=1)
            assert found[i] in (single[0][0], single[1][0])
