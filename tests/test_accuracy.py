"""The accuracy that is promised, at 2,000 points of every function, direction and dtype."""

from functools import cache

import numpy as np
import pytest

from tests.reference import (
    OPS,
    accuracy_points,
    describe,
    each_dtype,
    each_op,
    exact,
    mp,
    ulps,
    underflows,
)

pytestmark = pytest.mark.op

N = 2000


@cache
def reference(name, dtype):
    """The points, the parameters at each, rounded to the dtype, and the exact results there."""
    op = next(op for op in OPS if op.name == name)
    points = accuracy_points(name, dtype, N)
    sets = np.array(op.parameter_sets, dtype)
    parameters = [np.resize(column, N) for column in sets.T]
    grads = [] if op.n_data == 1 else [np.ones(N, dtype)]
    inputs = [*grads, points, *parameters]
    elements = zip(*(column.tolist() for column in inputs), strict=True)
    return inputs, exact([op.value(*element) for element in elements])


def bound(op, dtype):
    if dtype is np.float16:
        return 0.51
    return op.reference.ulp if op.direction == "forward" else op.reference.backward_ulp


@each_op
@each_dtype
def test_accuracy(op, dtype):
    inputs, expected = reference(op.name, dtype)
    actual = op.function(*inputs)
    error = ulps(actual, expected, op.reference.floor if op.n_data == 2 else 0)
    if op.n_data == 2:
        # Products that underflow are excepted: only the sign and the size of those count.
        tiny = underflows(expected, dtype) & (expected.high != 0)
        smallest = np.finfo(np.promote_types(dtype, np.float32)).tiny
        allowed = (abs(actual) <= smallest) & (actual * np.sign(expected.high) >= 0)
        error = np.where(tiny, np.where(allowed, 0, np.inf), error)
    worst = int(error.argmax())
    element = [column[worst] for column in inputs]
    failing = (error > bound(op, dtype)).sum()
    assert not failing, (
        f"{describe(op, *element)} in {dtype.__name__}, point {worst}: {actual[worst]!r} is wrong "
        f"by {error[worst]:.3g} ULP, {bound(op, dtype)} allowed; "
        f"exactly {mp.nstr(op.value(*element), 20)}; {failing} points fail"
    )


@each_op
@each_dtype
def test_points_are_spread(op, dtype):
    """All exponents of the dtype, both signs where the argument can have both."""
    points = accuracy_points(op.name, dtype, N)
    low, high = op.reference.outputs if op.direction == "backward_from_output" else (-1e9, 1e9)
    info = np.finfo(dtype)
    octaves = np.unique(np.frexp(points[points != 0])[1])
    top = np.frexp(min(high, float(info.max)))[1]
    possible = top - (info.minexp - info.nmant) + 1
    assert len(points) == N
    assert len(octaves) > 0.3 * possible, f"{op} {dtype.__name__}: {len(octaves)} of {possible}"
    assert (points > 0).sum() > 0.3 * N
    assert low == 0 or (points < 0).sum() > 0.3 * N


def test_the_measure():
    """One unit wrong is 1 ULP: in the middle, at a power of two, in subnormals, at overflow."""
    for dtype in (np.float16, np.float32, np.float64):
        info = np.finfo(dtype)
        for value in map(dtype, (1.5, 1, info.tiny, info.smallest_subnormal, info.max, 0)):
            with np.errstate(all="ignore"):
                following = np.nextafter(value, dtype(np.inf))
            values = exact([mp.mpf(float(value))])
            assert ulps(np.array([value]), values) == [0], value
            assert ulps(np.array([following]), values) == [1], value
            assert ulps(np.array([np.nan], dtype), values) == [np.inf]
    assert ulps(np.array([1.0]), exact([1 + mp.mpf(2) ** -60])) == [2**-8]
    assert ulps(np.array([np.inf]), exact([mp.mpf(10) ** 5000])) == [0]
    assert ulps(np.array([0.0]), exact([mp.mpf(10) ** -5000])) < 1e-9
    assert ulps(np.array([0.0]), exact([mp.mpf(2) ** -60]), floor=2**-6) == [2**-2]
