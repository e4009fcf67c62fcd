"""The functions under test, the points at which they are tested, and the measure of errors.

OPS is made from the library's table and the rows of tests/support/reference.py. It has one entry
for each activation and direction, and the tests are parametrized over it.
"""

import itertools
import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pytest

import relume
from tests.support.reference import INF, ROWS, Row, mp

PERIOD = 9973  # period of the random data: a prime, so that it never coincides with a block


@lru_cache(1 << 14)
def _exactly(function, x, arguments):
    return mp.mpf(function(mp.mpf(x), *map(mp.mpf, arguments)))


class Op(NamedTuple):
    """One direction of an activation."""

    name: str
    direction: str
    row: dict  # the row of the library's table
    reference: Row
    function: Callable  # the public function, or the ufunc if that is not elementwise
    ufunc: np.ufunc

    def __str__(self):
        return self.name

    @property
    def n_data(self):
        """The number of inputs that are not parameters."""
        return 1 if self.direction == "forward" else 2

    @property
    def parameter_sets(self):
        """The sets of parameters that this direction allows."""
        sets = self.reference.parameters
        if self.direction == "backward_from_output":
            return [p for p in sets if self.reference.from_output_needs(*p)]
        return [()] if self.direction == "parameter_gradient" else list(sets)

    @property
    def parameter_names(self):
        """The names of the parameters, from the reference."""
        count = len(self.parameter_sets[0])
        return self.reference.forward.__code__.co_varnames[1 : 1 + count] if count else ()

    @property
    def has_defaults(self):
        """Whether the function can be called without parameters."""
        return not self.parameter_names or "=" in self.row["parameters"]

    def arguments(self, parameters, dtype):
        """The arguments after x of the reference's functions: rounded parameters and constants."""
        constant = np.promote_types(dtype, np.float32).type  # float16 is computed in float32
        rounded = [np.dtype(dtype).type(p) for p in parameters]
        rounded += [constant(float(c)) for c in self.reference.constants]
        return tuple(map(float, rounded))

    def kinks(self, parameters, dtype):
        """The kinks as {x: derivative with respect to x}."""
        return self.reference.kinks(
            *self.arguments(parameters or self.reference.parameters[0], dtype)
        )

    def domain(self, parameters, dtype):
        """The minimum and maximum of x, or of y."""
        if self.direction != "backward_from_output":
            return -INF, INF
        return self.reference.outputs(*self.arguments(parameters, dtype))

    def factor(self, x, parameters, dtype):
        """The factor of `grad`."""
        row, x = self.reference, float(x)
        arguments = self.arguments(parameters, dtype)
        if self.direction == "backward_from_output":
            return _exactly(row.from_output, x, arguments)
        if self.direction == "parameter_gradient":
            return _exactly(row.parameter_derivative, x, ())
        if abs(x) == INF:
            return mp.mpf(row.limits(*arguments)[1][int(x > 0)])
        return _exactly(row.derivative, x, arguments)

    def value(self, data, parameters, dtype):
        """The exact result for one element; at NaN, infinities and kinks, that of the contract."""
        *grad, x = map(float, data)
        if any(value != value for value in data):
            return mp.nan
        if self.direction != "forward":
            factor = self.factor(x, parameters, dtype)
            return mp.mpf(grad[0]) * factor if factor else mp.zero
        arguments = self.arguments(parameters, dtype)
        if abs(x) == INF:
            return mp.mpf(self.reference.limits(*arguments)[0][int(x > 0)])
        return _exactly(self.reference.forward, x, arguments)

    def random(self, dtype, shape=(), seed=0):
        """An array of ordinary values for each input that is not a parameter."""
        generator = np.random.default_rng(seed)
        data = list(generator.normal(scale=3, size=(self.n_data, PERIOD)))
        if self.direction == "backward_from_output":
            data[1] = generator.uniform(
                *np.clip(self.domain(self.parameter_sets[0], dtype), -4, 4), PERIOD
            )
        return [np.resize(column.astype(dtype), shape) for column in data]

    def slopes(self, dtype, shape=(), seed=1, mixed=False):
        """An array for each parameter, with values drawn from the sets of parameters.

        With `mixed`, the values of different parameters may come from different sets. Not all
        sets allow that.
        """
        sets = np.array(self.parameter_sets, dtype)
        count = 2 if mixed and sets.shape[1] > 1 else len(sets)
        index = np.random.default_rng(seed).integers(count, size=PERIOD)
        return [np.resize(column[index], shape) for column in sets.T]

    def operands(self, dtype, shape=(), mixed=False):
        """An array of ordinary values for each input."""
        return [*self.random(dtype, shape), *self.slopes(dtype, shape, mixed=mixed)]


def _ops():
    for name, row in relume.functional.activations.ROWS.items():
        for direction in row["directions"]:
            public = name if direction == "forward" else f"{name}_{direction}"
            if direction != "forward" and "parameter_gradient" in row["directions"]:
                function = getattr(relume.ufuncs.elementwise, public)
            else:
                function = getattr(relume, public)
            ufunc = getattr(function, "ufunc", function)
            if name in ROWS:
                yield Op(public, direction, row, ROWS[name], function, ufunc)


OPS = list(_ops())
UFUNCS = list({op.ufunc: op for op in OPS}.values())  # one op for each ufunc
DTYPES = [np.float16, np.float32, np.float64]


def each(ops):
    """Parametrize a test over functions, as `op`."""
    return pytest.mark.parametrize("op", list(ops), ids=str)


each_op = each(OPS)
each_ufunc = each(UFUNCS)
each_forward = each(op for op in OPS if op.direction == "forward")
each_derivative = each(op for op in OPS if op.direction == "backward")
each_with_gradient = each(op for op in OPS if op.n_data == 2)
each_with_parameters = each(op for op in OPS if op.parameter_sets[0])
each_function = each(op for op in OPS if op.function is not op.ufunc)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)


# -- points --


def special_points(op, parameters, dtype):
    """The unique x, or y, at which errors are likely."""
    info = np.finfo(dtype)
    points = [0.0, info.smallest_subnormal, info.tiny, info.eps, 0.5, 1.0, 3.0, info.max, INF]
    low, high = op.domain(parameters, dtype)
    points += [end for end in (low, high) if abs(end) < INF]
    for kink in op.kinks(parameters, dtype):
        points += [
            kink,
            np.nextafter(dtype(kink), dtype(INF)),
            np.nextafter(dtype(kink), -dtype(INF)),
        ]
    signed = np.array([sign * point for point in points for sign in (1, -1)], dtype)
    bits = np.unique(signed.view(f"u{signed.itemsize}")).view(dtype)
    return np.append(bits[(low <= bits) & (bits <= high)], dtype(np.nan))


def special_inputs(op, parameters, dtype):
    """The special points, combined with special gradients if the direction has a gradient."""
    points = special_points(op, parameters, dtype)
    if op.n_data == 1:
        return [points]
    grads = np.array([1, -1, 0.0, -0.0, INF, -INF, np.nan, 0.3], dtype)
    pairs = np.array(list(itertools.product(grads, points)), dtype)
    return [np.ascontiguousarray(column) for column in pairs.T]


def hard_points(op, parameters, dtype, *others):
    """The unique hard points, kinks and `others`, with both signs and their neighbours."""
    arguments = op.arguments(parameters or op.reference.parameters[0], dtype)
    ends = [end for end in op.domain(parameters, dtype) if abs(end) < INF]
    points = [*others, *ends, *op.reference.hard(*arguments), *op.kinks(parameters, dtype)]
    with np.errstate(all="ignore"):
        around = [np.array([*points, *(-point for point in points)], np.float64).astype(dtype)]
        for end in (INF, -INF):
            neighbour = around[0]
            for _ in range(2):
                neighbour = np.nextafter(neighbour, dtype(end))
                around.append(neighbour)
    return within(op, parameters, np.concatenate(around))


def within(op, parameters, points):
    """The unique points that are finite and in the domain."""
    low, high = op.domain(parameters, points.dtype)
    points = np.unique(points)
    return points[np.isfinite(points) & (low <= points) & (points <= high)]


def accuracy_points(op, parameters, dtype, n, seed=0):
    """Hard points, points of usual size and near the ends, and all exponents with both signs."""
    info = np.finfo(dtype)
    generator = np.random.default_rng([len(op.name), seed])
    exponents = generator.uniform(info.minexp - info.nmant, info.maxexp, 4 * n)
    usual = generator.uniform(-12, min(11, info.maxexp), n)
    always = (info.max, info.tiny, info.smallest_subnormal, info.eps, 0.0, 0.5, 1, 2)
    with np.errstate(all="ignore"):
        spread, usual = (
            (np.exp2(e) * generator.choice([-1, 1], len(e))).astype(dtype)
            for e in (exponents, usual)
        )
        ends = op.domain(parameters, dtype)
        near_ends = [end + sign * usual**4 for end in ends for sign in (1, -1)]
    groups = [
        hard_points(op, parameters, dtype, *map(float, always)),
        within(op, parameters, np.concatenate([usual, *near_ends])),
        within(op, parameters, spread),
    ]
    groups = [generator.permutation(group) for group in groups]
    chosen = np.concatenate([groups[0][: n // 4], groups[1][: n // 4], groups[2]])
    return generator.permutation(np.resize(chosen[:n], n))


def accuracy_inputs(op, dtype, n):
    """All inputs for n points, which are divided among the parameter sets."""
    columns = []
    for k, parameters in enumerate(op.parameter_sets):
        share = n // len(op.parameter_sets) + (k < n % len(op.parameter_sets))
        points = accuracy_points(op, parameters, dtype, share, seed=k)
        grads = [] if op.n_data == 1 else [np.ones(share, dtype)]
        columns.append([*grads, points, *(np.full(share, p, dtype) for p in parameters)])
    return [np.concatenate(column) for column in zip(*columns, strict=True)]


# -- measuring --


class Exact(NamedTuple):
    """mpmath values as (high + low) * 2**exponent with 0.5 <= |high| <= 1, for any exponent."""

    high: np.ndarray
    low: np.ndarray
    exponent: np.ndarray


def exact(values):
    """Split finite mpmath values. Exponents far beyond the range of the dtypes are clamped."""
    parts = []
    for value in values:
        mantissa, exponent = mp.frexp(value)
        high = float(mantissa)
        limited = max(-5000, min(5000, int(exponent))) if mantissa else -5000
        parts.append((high, float(mantissa - high), limited))
    high, low, exponent = zip(*parts, strict=True)
    return Exact(np.array(high), np.array(low), np.array(exponent))


def exact_results(op, inputs):
    """The exact results for columns of inputs."""
    dtype = inputs[0].dtype.type
    elements = zip(*(column.tolist() for column in inputs), strict=True)
    return exact([op.value(e[: op.n_data], e[op.n_data :], dtype) for e in elements])


def ulps(actual, expected, floor=0):
    """The error in ULP of the exact value, or of `floor` if that is larger.

    Infinity counts as the first number beyond the range, and NaN has an infinite error.
    """
    info = np.finfo(actual.dtype)
    beyond = expected.exponent > info.maxexp
    high = np.where(beyond, np.copysign(0.5, expected.high), expected.high)
    low = np.where(beyond, 0, expected.low)
    exponent = np.where(beyond, info.maxexp + 1, expected.exponent)
    min_exponent = np.where(np.asarray(floor) > 0, np.frexp(floor)[1], info.minexp + 1)
    unit = np.maximum(np.maximum(exponent, min_exponent), info.minexp + 1) - info.nmant - 1
    mantissa, shift = np.frexp(actual.astype(np.float64))
    infinite = np.isinf(actual)
    mantissa = np.where(infinite, np.copysign(0.5, mantissa), mantissa)
    shift = np.where(infinite, info.maxexp + 1, shift)
    with np.errstate(all="ignore"):
        error = np.ldexp(mantissa, shift - unit) - np.ldexp(high, exponent - unit)
        error -= np.ldexp(low, exponent - unit)
    return np.where(np.isnan(error), INF, abs(error))


def errors(op, actual, expected, grads=1.0):
    """The errors in ULP, as defined by the contract.

    The error of a derivative is relative to at least the floor of its row. For a product that
    underflows (in float32 for float16), only the sign and a bound on the magnitude are checked. A
    derivative that underflows may lose its last bits before it is multiplied by a large gradient.
    """
    if op.n_data == 1:
        return ulps(actual, expected)
    smallest = np.finfo(np.promote_types(actual.dtype, np.float32)).tiny
    error = ulps(actual, expected, np.abs(grads) * max(op.reference.floor, float(smallest)))
    tiny = (expected.exponent <= np.frexp(smallest)[1] - 1) & (expected.high != 0)
    same_side = (actual == 0) | (np.signbit(actual) == np.signbit(expected.high))
    allowed = (abs(actual) <= smallest) & same_side
    return np.where(tiny, np.where(allowed, 0, INF), error)


def bound(op, dtype):
    """The documented bound on errors in ULP, for a gradient of 1."""
    if dtype is np.float16:
        return 0.51
    return op.reference.ulp if op.direction == "forward" else op.reference.backward_ulp


def wake_threads():
    """Wait until threads are used again, after large calls in which they did not pay off."""
    time.sleep(0.04)


def describe(op, *inputs):
    """The call for one element, for a failure message."""
    return f"{op}({', '.join(repr(value) for value in inputs)})"


def assert_same(actual, expected, what):
    """Check that dtype, shape and bits are equal, except for the sign and payload of NaN."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype, f"{what}: {actual.dtype}, not {expected.dtype}"
    assert actual.shape == expected.shape, f"{what}: {actual.shape}, not {expected.shape}"
    same = actual == expected
    if actual.dtype.kind == "f":
        same &= np.signbit(actual) == np.signbit(expected)
        same |= np.isnan(actual) & np.isnan(expected)
    if not same.all():
        i = tuple(map(int, np.argwhere(~same)[0])) if same.ndim else ()
        raise AssertionError(
            f"{what}: {actual.dtype} of shape {actual.shape} differs in {(~same).sum()} elements, "
            f"first at {i}: {actual[i]!r}, not {expected[i]!r}"
        )
