"""The oracle: one mpmath row for each activation of the table, and how to measure against it.

Adding an activation is one entry of ROWS. Its functions take finite mpmath numbers and are written
so that nothing cancels: then 40 digits are exact enough for every dtype. From the table and these
rows come OPS, one for each activation and direction, over which all tests are parametrized.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from mpmath import MPContext

import relume

INF = float("inf")
PERIOD = 9973  # random data repeat after this many: a prime, so never in step with a block
mp = MPContext()
mp.dps = 40


@dataclass(frozen=True)
class Row:
    """What an activation is, by definition. Parameters follow the first argument everywhere."""

    forward: Callable  # (x, *parameters)
    derivative: Callable  # by x; at a kink the value there
    limits: Callable  # (*parameters) -> (f(-inf), f(inf)), (f'(-inf), f'(inf))
    from_output: Callable | None = None  # the derivative by x, as a function of y
    from_output_needs: Callable = lambda *parameters: True  # where that function exists
    outputs: tuple = (-INF, INF)  # the range of y
    parameter_derivative: Callable | None = None  # (x): a learnable parameter is a factor
    parameters: tuple = ((),)  # the sets of values to test with
    kinks: Callable = lambda *parameters: {}  # {x: PyTorch's derivative there}
    zeros: tuple = (None, None)  # f(-0.0) and f(0.0) where the sign of a zero result is promised
    hard: tuple = ()  # branches, overflow, tails: tested with their neighbours and negatives
    ulp: float = 2
    backward_ulp: float = 4
    floor: float = 0  # errors of the derivative count in ULP of max(|f'|, floor)


LEAKY = Row(
    forward=lambda x, slope: x if x > 0 else slope * x,
    derivative=lambda x, slope: 1 if x > 0 else slope,
    limits=lambda slope: ((-INF * slope if slope else 0, INF), (slope, 1)),
    parameters=((0.01,), (0.0,), (-0.5,), (3.0,)),
    kinks=lambda slope: {0: slope},
)
# Where exp is near overflow, underflow and the halfway points of its argument reduction.
EXP_PLACES = (0.34657359, 0.69314718, 1.03972077, 11.0903549, 16.6355, 36.7368, 37.43, 87.33654)
EXP_PLACES += (88.02969, 88.72284, 103.2789, 103.972, 707.7, 708.3964, 709.7827, 744.44, 745.1332)

ROWS = {
    "relu": Row(
        forward=lambda x: x if x > 0 else 0,
        derivative=lambda x: 1 if x > 0 else 0,
        limits=lambda: ((0, INF), (0, 1)),
        from_output=lambda y: 1 if y > 0 else 0,
        outputs=(0, INF),
        kinks=lambda: {0: 0},
        zeros=(0.0, 0.0),
    ),
    "prelu": replace(LEAKY, parameter_derivative=lambda x: x if x < 0 else 0),
    "leaky_relu": replace(
        LEAKY,
        from_output=lambda y, slope: 1 if y > 0 else slope,
        from_output_needs=lambda slope: slope > 0,
    ),
    "sigmoid": Row(
        forward=lambda x: 1 / (1 + mp.exp(-x)),
        derivative=lambda x: 1 / ((1 + mp.exp(-x)) * (1 + mp.exp(x))),
        limits=lambda: ((0, 1), (0, 0)),
        from_output=lambda y: y * (1 - y),
        outputs=(0, 1),
        hard=(*EXP_PLACES, 8.318, 17.328, 36.04),
    ),
    "tanh": Row(
        forward=mp.tanh,
        derivative=lambda x: mp.sech(x) ** 2,
        limits=lambda: ((-1, 1), (0, 0)),
        from_output=lambda y: (1 - y) * (1 + y),
        outputs=(-1, 1),
        zeros=(-0.0, 0.0),
        hard=(*EXP_PLACES, *(p / 2 for p in EXP_PLACES), 2.4e-4, 0.02, 0.25, 0.55, 0.625, 9.0109),
    ),
}


# -- one function of the library: an activation in a direction --


class Op(NamedTuple):
    name: str
    direction: str
    row: dict  # the table's
    reference: Row
    function: Callable  # the public one; the ufunc where the public one is not elementwise
    ufunc: np.ufunc

    def __str__(self):
        return self.name

    @property
    def n_data(self):
        """How many of the inputs are not parameters."""
        return 1 if self.direction == "forward" else 2

    @property
    def parameter_sets(self):
        """The sets of parameters that this direction allows."""
        sets = self.reference.parameters
        if self.direction == "backward_from_output":
            return [p for p in sets if self.reference.from_output_needs(*p)]
        return [()] if self.direction == "parameter_gradient" else list(sets)

    def kinks(self, *parameters):
        """The kinks with the derivative by x there."""
        return self.reference.kinks(*(parameters or self.reference.parameters[0]))

    def factor(self, x, *parameters):
        """What `grad` is multiplied by."""
        row = self.reference
        if self.direction == "backward_from_output":
            return row.from_output(x, *parameters)
        if self.direction == "parameter_gradient":
            return row.parameter_derivative(x)
        if abs(x) == INF:
            return row.limits(*parameters)[1][int(x > 0)]
        return row.derivative(x, *parameters)

    def value(self, *inputs):
        """The exact result for one element; by the contract at NaN, infinities and kinks."""
        data, parameters = inputs[: self.n_data], tuple(map(float, inputs[self.n_data :]))
        x = mp.mpf(float(data[-1]))
        if any(value != value for value in data):
            return mp.nan
        if self.direction != "forward":
            factor = self.factor(x, *parameters)
            return mp.mpf(float(data[0])) * factor if factor else mp.zero
        if abs(x) == INF:
            return mp.mpf(self.reference.limits(*parameters)[0][int(x > 0)])
        return mp.mpf(self.reference.forward(x, *parameters))

    def random(self, dtype, shape=(), seed=0):
        """One array for each input that is not a parameter, of ordinary values."""
        generator = np.random.default_rng(seed)
        data = list(generator.normal(scale=3, size=(self.n_data, PERIOD)))
        if self.direction == "backward_from_output":
            low, high = (np.clip(end, -4, 4) for end in self.reference.outputs)
            data[1] = generator.uniform(low, high, PERIOD)
        return [np.resize(column.astype(dtype), shape) for column in data]

    def slopes(self, dtype, shape=(), seed=1):
        """One array for each parameter, of values drawn from the sets to test with."""
        sets = np.array(self.parameter_sets, dtype)
        index = np.random.default_rng(seed).integers(len(sets), size=PERIOD)
        return [np.resize(column[index], shape) for column in sets.T]


def _ops():
    for name, row in relume.activations.ROWS.items():
        for direction in row["directions"]:
            public = name if direction == "forward" else f"{name}_{direction}"
            if direction != "forward" and "parameter_gradient" in row["directions"]:
                function = getattr(relume.kernels.ufuncs, public)
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


def special_points(op, dtype, parameters=()):
    """The x, or y, where something could go wrong, each once."""
    info = np.finfo(dtype)
    points = [0.0, info.smallest_subnormal, info.tiny, info.eps, 0.5, 1.0, 3.0, info.max, INF]
    low, high = op.reference.outputs if op.direction == "backward_from_output" else (-INF, INF)
    points += [end for end in (low, high) if abs(end) < INF]
    for kink in op.kinks(*parameters):
        points += [
            kink,
            np.nextafter(dtype(kink), dtype(INF)),
            np.nextafter(dtype(kink), -dtype(INF)),
        ]
    signed = np.array([sign * point for point in points for sign in (1, -1)], dtype)
    bits = np.unique(signed.view(f"u{signed.itemsize}")).view(dtype)
    return np.append(bits[(low <= bits) & (bits <= high)], dtype(np.nan))


def special_inputs(op, dtype, parameters=()):
    """The special points, with every special gradient where the direction has one."""
    points = special_points(op, dtype, parameters)
    if op.n_data == 1:
        return [points]
    grads = np.array([1, -1, 0.0, -0.0, INF, -INF, np.nan, 0.3], dtype)
    pairs = np.array(list(itertools.product(grads, points)), dtype)
    return [np.ascontiguousarray(column) for column in pairs.T]


def neighbours(points, dtype):
    """The points as `dtype` and the two numbers on either side of each."""
    around = [np.asarray(points, np.float64).astype(dtype)]
    for end in (INF, -INF):
        step = around[0]
        for _ in range(2):
            step = np.nextafter(step, dtype(end))
            around.append(step)
    return np.concatenate(around)


@cache
def accuracy_points(op_name, dtype, n):
    """The hard places, and log-uniform points of both signs over all exponents, n in all."""
    op = next(op for op in OPS if op.name == op_name)
    info = np.finfo(dtype)
    generator = np.random.default_rng(len(op_name))
    all_exponents = generator.uniform(info.minexp - info.nmant, info.maxexp, 4 * n)
    usual = generator.uniform(-12, min(11, info.maxexp), n)
    hard = [info.max, info.tiny, info.smallest_subnormal, info.eps, 0.0, 0.5, 1, 2]
    hard += op.reference.hard
    low, high = op.reference.outputs if op.direction == "backward_from_output" else (-INF, INF)
    with np.errstate(all="ignore"):
        hard = neighbours([*hard, *(-np.array(hard))], dtype)
        spread, usual = (
            (np.exp2(e) * generator.choice([-1, 1], len(e))).astype(dtype)
            for e in (all_exponents, usual)
        )
        near_ends = [end + sign * usual**4 for end in (low, high) for sign in (1, -1)]
    groups = [hard, np.unique(np.concatenate([usual, *near_ends])), spread]
    groups = [p[(low <= p) & (p <= high) & np.isfinite(p)] for p in groups]
    groups[1] = generator.permutation(groups[1])[: (n - len(groups[0])) // 2]
    return generator.permutation(np.concatenate(groups)[:n])


# -- measuring --


class Exact(NamedTuple):
    """mpmath values as (high + low) * 2**exponent, 0.5 <= |high| <= 1: all exponents alike."""

    high: np.ndarray
    low: np.ndarray
    exponent: np.ndarray


def exact(values):
    """Split finite mpmath values; beyond any dtype's range only the side matters."""
    parts = []
    for value in values:
        mantissa, exponent = mp.frexp(value)
        high = float(mantissa)
        limited = max(-5000, min(5000, int(exponent))) if mantissa else -5000
        parts.append((high, float(mantissa - high), limited))
    high, low, exponent = zip(*parts, strict=True)
    return Exact(np.array(high), np.array(low), np.array(exponent))


def ulps(actual, expected, floor=0):
    """The error in units in the last place of the exact value, or of `floor` if that is larger.

    Infinity counts as the first number beyond the range; NaN is infinitely wrong.
    """
    info = np.finfo(actual.dtype)
    beyond = expected.exponent > info.maxexp
    high = np.where(beyond, np.copysign(0.5, expected.high), expected.high)
    low = np.where(beyond, 0, expected.low)
    exponent = np.where(beyond, info.maxexp + 1, expected.exponent)
    at_least = np.where(np.asarray(floor) > 0, np.frexp(floor)[1], info.minexp + 1)
    unit = np.maximum(np.maximum(exponent, at_least), info.minexp + 1) - info.nmant - 1
    mantissa, shift = np.frexp(actual.astype(np.float64))
    infinite = np.isinf(actual)
    mantissa = np.where(infinite, np.copysign(0.5, mantissa), mantissa)
    shift = np.where(infinite, info.maxexp + 1, shift)
    with np.errstate(all="ignore"):
        error = np.ldexp(mantissa, shift - unit) - np.ldexp(high, exponent - unit)
        error -= np.ldexp(low, exponent - unit)
    return np.where(np.isnan(error), INF, abs(error))


def underflows(expected, dtype):
    """Where a product is too small for the dtype's full precision (float16 has float32's)."""
    return expected.exponent <= np.finfo(np.promote_types(dtype, np.float32)).minexp


def wake_threads():
    """Wait, since after a large call in which threads did not pay they rest for a while."""
    time.sleep(0.04)


def describe(op, *inputs):
    """The inputs of one element, for a failure message."""
    return f"{op}({', '.join(repr(value) for value in inputs)})"


def assert_same(actual, expected, what):
    """The same dtype, shape and bits, but for the sign and payload of NaN."""
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
