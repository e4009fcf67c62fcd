"""The values of softmax, log-softmax and logsumexp: against definitions, and at special values."""

import numpy as np
import pytest

import relume
from tests.support.along_axis import (
    FORWARD,
    FUNCTIONS,
    assert_close,
    each,
    each_axis_function,
    each_backward,
    each_forward,
    softmax,
)
from tests.support.ops import DTYPES, INF, assert_same, each_dtype, mp

pytestmark = pytest.mark.op

NAN = float("nan")


# -- the oracle --


@each_backward
def test_definition_is_the_derivative_of_the_forward(function):
    """The definition agrees with a central difference along every direction, in 40 digits."""
    step = mp.mpf(10) ** -13
    for n in (1, 2, 5, 9):
        grad, x = function.operands(np.float64, (n,), seed=n)
        x = list(map(mp.mpf, x.tolist()))
        grad = list(map(mp.mpf, np.atleast_1d(grad).tolist()))
        values = x
        if function.from_output:  # a point on the surface of outputs, exactly
            values = function.forward(x)
        for i, derivative in enumerate(function.definition(grad, values)):
            up, down = (
                function.forward([v + sign * step * (k == i) for k, v in enumerate(x)])
                for sign in (1, -1)
            )
            slope = mp.fsum(
                g * (a - b) / (2 * step) for g, a, b in zip(grad, up, down, strict=True)
            )
            assert abs(slope - derivative) < 1e-22, f"{function}, length {n}, element {i}"


@each_axis_function
def test_definition_on_floats_is_the_one_on_mpmath_numbers(function):
    operands = function.operands(np.float64, (50,))
    exactly = function.expected(*operands)
    for a, b in zip(function.expected(*operands, number=float), exactly, strict=True):
        assert abs(a - b) <= 1e-15 * max(1, abs(b))


def test_an_error_is_noticed():
    values = [mp.mpf("0.25"), mp.mpf(3)]
    for dtype in DTYPES:
        good = np.array([0.25, 3], dtype)
        assert_close("good", good, values)
        for wrong in (good + dtype(12) * np.finfo(dtype).eps, good * [1, 0], good * [np.nan, 1]):
            with pytest.raises(AssertionError, match="element"):
                assert_close("wrong", wrong.astype(dtype), values)


# -- values --


@each_axis_function
@each_dtype
def test_values_at_every_length(function, dtype):
    for n in [*range(1, 71), 255, 1000]:
        operands = function.operands(dtype, (n,), seed=n)
        number = mp.mpf if n < 100 else float
        actual = np.atleast_1d(function(*operands))
        assert_close(
            f"{function}, length {n}", actual, function.expected(*operands, number=number)
        )


@each(function for function in FUNCTIONS if not function.from_output)
@each_dtype
@pytest.mark.parametrize("scale", [1e-3, 1, 30, 1000])
def test_values_of_any_size(function, dtype, scale):
    """The elements range from nearly equal to one that dominates, and may all be far from 0."""
    for n, offset in ((2, 0), (17, 0), (40, 100), (40, -3000)):
        operands = function.operands(dtype, (n,), seed=n)
        operands[-1] = (operands[-1] / 3 * scale + offset).astype(dtype)
        actual = np.atleast_1d(function(*operands))
        what = f"{function}, length {n}, scale {scale}, offset {offset}"
        assert_close(what, actual, function.expected(*operands))


@each_axis_function
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_long_sums(function, dtype):
    for n in (100_003, 1_000_000)[: 2 if dtype is np.float32 else 1]:
        operands = function.operands(dtype, (n,))
        actual = np.atleast_1d(function(*operands))
        expected = function.expected(*operands, number=float)
        assert_close(f"{function}, length {n}", actual, expected)


@pytest.mark.parametrize("n", [100_003, 1_000_000])
@each_forward
@each_dtype
def test_long_rows_of_equal_elements(function, dtype, n):
    """A naive float32 sum would stop growing at 2**24, and lose digits before."""
    actual = np.atleast_1d(function(np.full(n, 1.5, dtype)))
    shift = mp.log(n)
    exactly = {"softmax": 1 / mp.mpf(n), "log_softmax": -shift, "logsumexp": 1.5 + shift}
    assert (actual == actual[0]).all()
    assert_close(f"{function} of {n} equal elements", actual[:1], [exactly[str(function)]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(63, 3), (65, 16), (200, 70), (300, 129)])
def test_the_maximum_may_be_anywhere_in_a_column(shape, dtype):
    """Maxima across columns are taken block by block; one that is missed makes exp overflow."""
    x = np.random.default_rng(0).uniform(-1e4, 1e4, shape).astype(dtype)
    wide = x.astype(np.float64)
    top = wide.max(axis=0)
    expected = top + np.log(np.exp(wide - top).sum(axis=0))
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(relume.logsumexp(x, axis=0), expected, 4 * eps)
    # exp of a difference of 100 has the error of the difference, 100 eps, relative to itself.
    probabilities = np.exp(wide - top) / np.exp(wide - top).sum(axis=0)
    np.testing.assert_allclose(relume.softmax(x, axis=0), probabilities, 200 * eps, 1e-37)


@each_dtype
def test_softmax_is_relatively_accurate(dtype):
    """Small probabilities are accurate to 4 ULP plus the rounding error of x - max(x)."""
    if dtype is np.float16:
        return
    info = np.finfo(dtype)
    for n in (3, 40):
        x = np.random.default_rng(n).normal(scale=20, size=n).astype(dtype)
        (function,) = (f for f in FORWARD if f.definition is softmax)
        actual = function(x).tolist()
        for value, got, expected in zip(x, actual, function.expected(x), strict=True):
            if expected > info.tiny:
                error = abs(got - expected) / expected / info.eps
                allowed = 4 + float(x.max() - value)
                assert error <= allowed, f"{dtype.__name__} {value - x.max()}: {error} eps"


@each_dtype
def test_probabilities_sum_to_1(dtype):
    (function,) = (f for f in FORWARD if f.definition is softmax)
    x = function.operands(dtype, (30, 500))[0]
    sums = function(x).astype(np.float64).sum(-1)
    assert abs(sums - 1).max() <= 4 * np.finfo(dtype).eps


@each_axis_function
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 10, 16, 17, 33, 56, 57, 70])
def test_bits_of_a_row_do_not_depend_on_the_others(function, dtype, n):
    """Short rows are transposed in tiles of 16, and the last few are computed one by one."""
    operands = function.operands(dtype, (40, n), seed=n)
    operands[-1][::3] *= 9  # some rows are dominated by one element
    whole = np.asarray(function(*operands))
    for start, stop in [(0, 1), (3, 7), (1, 17), (0, 16), (5, 20), (7, 40), (9, 28), (38, 40)]:
        part = [a[start:stop] for a in operands]
        what = f"{function} of rows {start} to {stop} of {n} elements"
        assert_same(np.asarray(function(*part)), whole[start:stop], what)
        strided = [np.repeat(a, 2, axis=0)[::2] for a in part]
        assert_same(np.asarray(function(*strided)), whole[start:stop], f"{what}, strided")


# -- special values --


def rows(dtype):
    """Rows with infinities, NaN, or numbers whose sums or differences overflow."""
    big, tiny = float(np.finfo(dtype).max), float(np.finfo(dtype).smallest_subnormal)
    plain = [
        [big] * 3,
        [-big] * 3,
        [big, -big, 0],
        [0, -big, 1],
        [big, big / 2, -big],
        [tiny, -tiny, 0],
        [0.0, -0.0, 0.0],
        [5],
        [-big],
        [big],
    ]
    below = [[0, -INF, 1], [-INF, -INF, 2], [-INF, big, -big], [3, -INF], [-INF, -7]]
    above = [[0, INF, 1], [INF, INF, 2], [INF], [-INF, INF], [big, INF, -big]]
    nothing = [[-INF], [-INF] * 5]
    nan = [[0, NAN, 1], [NAN], [INF, NAN], [NAN, -INF, 3], [NAN] * 4]
    return plain, below, above, nothing, nan


def lengthened(row, n, dtype):
    """The row, repeated to at least n elements, to reach the vectorized body and its tail."""
    return np.resize(np.array(row, dtype), max(n, len(row)))


@each_forward
@each_dtype
@pytest.mark.parametrize("n", [1, 7, 8, 16, 17, 33, 70])
def test_extreme_values(function, dtype, n):
    plain, below, *_ = rows(dtype)
    for row in plain + below:
        x = lengthened(row, n, dtype)
        finite = x[np.isfinite(x)]
        with np.errstate(all="raise"):
            actual = np.atleast_1d(function(x))
        expected = iter(function.expected(finite))
        if len(actual) > 1 or len(x) == 1:
            assert_close(f"{function} of {row}", actual[np.isfinite(x)], list(expected))
            gone = 0 if function.definition is softmax else -INF
            assert (actual[x == -INF] == gone).all(), f"{function} of {row}: {actual}"
        else:
            assert_close(f"{function} of {row}", actual, list(expected))


@each_forward
@each_dtype
@pytest.mark.parametrize("n", [1, 7, 8, 16, 17, 33, 70])
def test_rows_without_a_finite_maximum(function, dtype, n):
    _, _, above, nothing, nan = rows(dtype)
    limits = {"logsumexp": (INF, -INF, NAN)}.get(str(function), (NAN, NAN, NAN))
    for kind, limit in zip((above, nothing, nan), limits, strict=True):
        for row in kind:
            x = lengthened(row, n, dtype)
            with np.errstate(all="raise"):
                actual = np.asarray(function(x))
            assert_same(actual, np.full(actual.shape, limit, dtype), f"{function} of {x}")


@each_axis_function
@each_dtype
def test_one_nan_makes_its_row_nan_and_no_other(function, dtype):
    for n in (1, 5, 16, 33):
        operands = function.operands(dtype, (4, n))
        expected = np.asarray(function(*operands))
        for operand in range(function.n_data):
            for index in {0, n // 2, n - 1}:
                changed = [a.copy() for a in operands]
                changed[operand][(2, index)[: changed[operand].ndim]] = NAN
                actual = function(*changed)
                wanted = expected.copy()
                wanted[2] = NAN
                if operand and str(function) == "log_softmax_backward_from_output":
                    assert np.isnan(actual[2, index])
                    actual[2] = NAN  # an element depends on its own y only, so others may differ
                what = f"{function}, length {n}, NaN as element {index} of input {operand}"
                assert_same(actual, wanted, what)


@each_backward
@each_dtype
def test_backward_of_extreme_values(function, dtype):
    if function.from_output:
        return
    plain, below, *_ = rows(dtype)
    for row in plain + below:
        for n in (1, 8, 17):
            x = lengthened(row, n, dtype)
            finite = np.isfinite(x)
            grad = function.operands(dtype, x.shape)[0]
            with np.errstate(all="raise"):
                actual = function(grad, x)
            kept = grad[finite] if grad.ndim else grad
            if str(function) == "log_softmax_backward":
                # The sum includes elements of grad whose probability is 0.
                p = np.zeros(len(x), object)
                p[finite] = softmax([mp.mpf(float(v)) for v in x[finite]])
                gs = [mp.mpf(float(g)) for g in grad]
                expected = [g - q * mp.fsum(gs) for g, q in zip(gs, p, strict=True)]
                assert_close(f"{function} at {row}", actual, expected)
            else:
                assert_close(
                    f"{function} at {row}", actual[finite], function.expected(kept, x[finite])
                )
                assert (actual[~finite] == 0).all(), f"{function} at {row}: {actual}"


@each_dtype
def test_backward_from_output_of_a_one_hot_row(dtype):
    """If one element dominates, the Jacobian of softmax is 0, but that of log_softmax is not."""
    grad = np.array([0.5, -1, 0.25], dtype)
    one_hot = np.array([0, 1, 0], dtype)
    by_name = {str(f): f for f in FUNCTIONS}
    with np.errstate(all="raise"):
        actual = by_name["softmax_backward_from_output"](grad, one_hot)
        assert (actual == 0).all()
        y = np.array([-INF, 0, -INF], dtype)
        actual = by_name["log_softmax_backward_from_output"](grad, y)
    assert_same(actual, np.array([0.5, -0.75, 0.25], dtype), "log_softmax from a one-hot output")


@each_axis_function
@each_dtype
def test_does_not_warn(function, dtype):
    """No warning even if results underflow, or if infinities and NaN meet in a backward pass."""
    info = np.finfo(dtype)
    odd = np.array([0, 1, -80, info.max, -info.max, info.tiny, INF, -INF, NAN], dtype)
    with np.errstate(all="raise"):
        for a in odd:
            for b in odd:
                x = np.array([a, b, 0] * 6, dtype)
                for grad in odd[: None if function.n_data == 2 else 1]:
                    g = np.full((), grad) if function.reduces else np.full(18, grad)
                    function(*[g.astype(dtype), x][-function.n_data :])


# -- a dominating maximum --


def dominated(n, gap, dtype, seed=0):
    """A row for each position of the maximum, which is `gap` above all others."""
    x = np.random.default_rng(1000 * n + seed).uniform(-1, 0, (n, n))
    np.fill_diagonal(x, gap)
    return x.astype(dtype)


def ways(function, x):
    """The results for rows: many at once, as columns, side by side, and one by one."""
    return {
        "rows": function(x),
        "columns": np.asarray(function(np.asfortranarray(x))),
        "axis 0": np.moveaxis(np.asarray(function(x.T.copy(), axis=0)), 0, -1).T
        if np.ndim(function(x)) == 1
        else function(x.T.copy(), axis=0).T,
        "single": np.array([function(row) for row in x]),
    }


def assert_near_zero(what, function, x, actual):
    """The bound of the result itself; logsumexp's may cancel against the maximum of x."""
    with mp.workdps(90):  # since the definition loses the digits, too
        exactly = function.expected(x)
    dtype = x.dtype
    for got, value in zip(np.atleast_1d(actual), exactly, strict=True):
        size = max(abs(value), abs(mp.mpf(float(x.max())))) if function.reduces else abs(value)
        size = max(float(size), float(np.finfo(dtype).smallest_subnormal))
        unit = max(float(np.spacing(dtype.type(size))), float(np.finfo(dtype).smallest_subnormal))
        allowed = (0.52 if dtype == np.float16 else 4 if len(x) <= 100 else 8) * unit
        assert abs(mp.mpf(float(got)) - value) <= allowed, (
            f"{what}: {got!r}, not {mp.nstr(value, 20)}: {float(abs(got - value)) / unit:.3g} ULP"
        )


@pytest.mark.parametrize("n", range(1, 41))
@each(f for f in FORWARD if f.definition is not softmax)
@each_dtype
def test_accuracy_near_zero(function, dtype, n):
    """SciPy's gh-18295: the sum with the maximum's term of 1 would lose the other terms."""
    for gap in (3, 9) if dtype is np.float16 else (9, 40 + n):
        x = dominated(n, gap, dtype)
        shifted = (x - x.max(-1, keepdims=True)).astype(dtype)  # the maximum 0
        for rows in (x, shifted) if n % 4 == 1 else (shifted,):
            results = ways(function, rows)
            for way, result in results.items():
                assert_same(result, results["rows"], f"{function} of rows of {n}, {way}")
            for k in {0, n // 2, n - 1}:
                what = f"{function}, {n} elements, the maximum at {k} ahead by {gap}"
                assert_near_zero(what, function, rows[k], results["rows"][k])


@each(f for f in FORWARD if f.definition is not softmax)
@each_dtype
def test_accuracy_of_random_rows(function, dtype):
    for n in (2, 3, 10, 40, 300):
        for scale in (0.1, 1, 3, 10):
            x = np.random.default_rng(n).normal(scale=scale, size=n).astype(dtype)
            assert_near_zero(f"{function}, {n}, scale {scale}", function, x, function(x))


@pytest.mark.parametrize("gap", [0, 1e-30, 1e-9, 0.5, 5, 30, 80, 100, 700, 740])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_elements_are_as_accurate_as_softplus(dtype, gap):
    """logsumexp([0, -gap]) is softplus(-gap), and log_softmax the negative of both softplus."""
    x = np.array([0, -gap], dtype)
    exact = mp.log1p(mp.exp(-mp.mpf(float(-x[1]))))
    unit = float(np.spacing(dtype(float(exact))))
    assert abs(relume.logsumexp(x) - exact) <= 4 * unit
    assert abs(relume.log_softmax(x)[0] + exact) <= 4 * unit


@pytest.mark.parametrize("n", range(1, 41))
@each_dtype
def test_sums_and_maxima_with_one_dominating_element(dtype, n):
    """Small integers add up exactly, so the result is that of any order, whichever is missing."""
    grad = np.tile(np.arange(1, n + 1), (n, 1)) + np.eye(n, dtype=int) * 512
    one = np.where(np.eye(n, dtype=bool), 0, -INF)
    expected = grad - np.where(np.eye(n, dtype=bool), grad.sum(-1, keepdims=True), 0)
    grad, expected, one = grad.astype(dtype), expected.astype(dtype), one.astype(dtype)
    backward = relume.log_softmax_backward_from_output
    assert_same(backward(grad, one), expected, f"sums of rows of {n}")
    assert_same(backward(grad.T.copy(), one.T.copy(), axis=0).T, expected, f"sums of columns {n}")
    p = np.exp(one)
    expected = np.zeros_like(p)  # the mean is the gradient where p is 1
    assert_same(abs(relume.softmax_backward_from_output(grad, p)), expected, f"dots of {n}")
    for k in range(n):
        assert_same(backward(grad[k], one[k]), backward(grad, one)[k], f"sum of row {k} of {n}")
    for gap in (0.5, 200):
        x = dominated(n, gap, dtype)
        best, which = relume.maxout(x)
        assert (which == np.arange(n)).all()
        assert (best == dtype(gap)).all()
        for k in range(n):
            row = relume.softmax(x[k])
            assert row.argmax() == k
            assert_close(f"softmax, {n} elements, {k}", row, FORWARD[0].expected(x[k]))
            if gap == 200:
                assert row[k] == 1
