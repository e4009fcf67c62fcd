"""The oracle for the functions along an axis: their definitions for one row.

A row is a list of mpmath numbers or floats. For floats, sums use math.fsum, which is exact enough
for rows so long that mpmath would be too slow. A gradient without the axis is a list of length 1.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

import relume
from tests.support.ops import exact, ulps
from tests.support.reference import exp, mp


def total(terms):
    return math.fsum(terms) if type(terms[0]) is float else mp.fsum(terms)


def log(x):
    return math.log(x) if type(x) is float else mp.log(x)


def shifted(x):
    """x minus its maximum, so that no exponential overflows, and the sum of the exponentials."""
    top = max(x)
    below = [value - top for value in x]
    return below, total([exp(value) for value in below])


def softmax(x):
    below, norm = shifted(x)
    return [exp(value) / norm for value in below]


def log_softmax(x):
    below, norm = shifted(x)
    return [value - log(norm) for value in below]


def logsumexp(x):
    return [max(x) + log(shifted(x)[1])]


def softmax_backward_from_output(grad, y):
    mean = total([g * p for g, p in zip(grad, y, strict=True)])
    return [p * (g - mean) for g, p in zip(grad, y, strict=True)]


def log_softmax_backward_from_output(grad, y):
    sum_of_grad = total(grad)
    return [g - exp(value) * sum_of_grad for g, value in zip(grad, y, strict=True)]


def softmax_backward(grad, x):
    return softmax_backward_from_output(grad, softmax(x))


def log_softmax_backward(grad, x):
    return log_softmax_backward_from_output(grad, log_softmax(x))


def logsumexp_backward(grad, x):
    return [grad[0] * p for p in softmax(x)]


class Function(NamedTuple):
    """A function of the library along an axis."""

    definition: Callable
    forward: Callable  # the definition, or for a gradient that of the forward function
    n_data: int = 2
    reduces: bool = False  # whether the forward function removes the axis
    from_output: bool = False

    def __str__(self):
        return self.definition.__name__

    def __call__(self, *arguments, **keywords):
        return getattr(relume, str(self))(*arguments, **keywords)

    def operands(self, dtype, shape, axis=-1, seed=0):
        """Ordinary values: x, or a gradient from -1 to 1 and x or y."""
        generator = np.random.default_rng(seed)
        x = generator.normal(scale=3, size=shape)
        if self.from_output:
            below = x - x.max(axis, keepdims=True) if x.size else x
            x = below - np.log(np.exp(below).sum(axis, keepdims=True)) if x.size else x
            x = np.exp(x) if self.forward is softmax else x
        grad = generator.uniform(-1, 1, np.delete(shape, axis) if self.reduces else shape)
        return [a.astype(dtype) for a in ([x] if self.n_data == 1 else [np.asarray(grad), x])]

    def expected(self, *operands, number=mp.mpf):
        """The exact results for operands of one row."""
        rows = [[number(value) for value in np.atleast_1d(a).tolist()] for a in operands]
        return self.definition(*rows)


FORWARD = [
    Function(softmax, softmax, 1),
    Function(log_softmax, log_softmax, 1),
    Function(logsumexp, logsumexp, 1, reduces=True),
]
BACKWARD = [
    Function(softmax_backward, softmax),
    Function(log_softmax_backward, log_softmax),
    Function(logsumexp_backward, logsumexp, reduces=True),
    Function(softmax_backward_from_output, softmax, from_output=True),
    Function(log_softmax_backward_from_output, log_softmax, from_output=True),
]
FUNCTIONS = FORWARD + BACKWARD


def each(functions):
    """Parametrize a test over functions, as `function`."""
    return pytest.mark.parametrize("function", list(functions), ids=str)


each_axis_function = each(FUNCTIONS)
each_forward = each(FORWARD)
each_backward = each(BACKWARD)


# -- measuring --


def unit(values, dtype):
    """The ULP of values in a dtype; the values may have a wider dtype."""
    info = np.finfo(dtype)
    return np.ldexp(1.0, np.maximum(np.frexp(values)[1], info.minexp + 1) - info.nmant - 1)


def errors(actual, values, floor):
    """The errors in ULP of the exact values, or of `floor` if that is larger."""
    if type(values[0]) is not float:
        return ulps(actual, exact(values), floor)
    values = np.array(values)
    return abs(actual.astype(np.float64) - values) / unit(
        np.maximum(floor, abs(values)), actual.dtype
    )


def assert_close(what, actual, values):
    """Check the bound of 4 ULP of max(1, |value|); float16 is rounded once from such a float32."""
    half = actual.dtype == np.float16
    error = errors(actual, values, 0 if half else 1)
    sizes = np.array([min(abs(float(value)), 1e300) for value in values])
    allowed = np.full(len(values), 4.0)
    if half:
        allowed = 0.51 + 4 * unit(np.maximum(1, sizes), np.float32) / unit(sizes, np.float16)
    worst = int((error / allowed).argmax())
    assert error[worst] <= allowed[worst], (
        f"{what} in {actual.dtype}, element {worst} of {len(values)}: {actual[worst]!r}, not "
        f"{mp.nstr(mp.mpf(values[worst]), 20)}: {error[worst]:.3g} ULP, {allowed[worst]:.3g} "
        f"allowed; {(error > allowed).sum()} fail"
    )
