"""Measure the error of float32 functions of one input at all 2**32 inputs.

Parameters have their defaults, and gradients are 1. The reference is computed in float64, by the
NumPy and SciPy formulas below or else by relume's own float64 function, and is first checked
against mpmath at a sample of points. Prints the maximum error, the input at which it occurs, and
the number of inputs above the documented bound. The exit status is 1 if there are any.

    python tools/sweep.py [--step N] [ACTIVATION ...]
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import expit, ndtr
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import relume  # noqa: E402
from tests.support.ops import OPS, accuracy_points, bound  # noqa: E402

USUAL = ("relu", "sigmoid", "tanh", "elu", "gelu", "silu", "softplus", "mish")
SWEPT = {
    op.name: op
    for op in OPS
    if op.direction in ("forward", "backward") and op.has_defaults and op.row["name"] != "prelu"
}
ALL = 1 << 32
CHUNK = 1 << 24  # inputs per task of a process
BLOCK = 1 << 16  # inputs that are measured at once, so that they stay in the cache
TINY = float(np.finfo(np.float32).tiny)


# -- the reference: (x, *parameters, *constants) in float64, and its derivative --


def gated(x, u, slope):
    """The derivative of x * sigmoid(u), where u' = slope."""
    return expit(u) * (1 + x * slope * expit(-u))


def mish_tanh(x):
    small = np.exp(-abs(x))
    n = np.where(x > 0, 1 + 2 * small, small * (small + 2))
    return n / (n + np.where(x > 0, 2 * small**2, 2))


def cubic(x, k, c):
    return 2 * k * (x + c * x**3)


def scaled_elu(x, above, below):
    return np.where(x > 0, above * x, below * np.expm1(np.minimum(x, 0)))


def scaled_elu_derivative(x, above, below):
    return np.where(x > 0, above, below * np.exp(np.minimum(x, 0)))


FORMULAS = {
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(x.dtype)),
    "elu": (lambda x, a: scaled_elu(x, 1, a), lambda x, a: scaled_elu_derivative(x, 1, a)),
    "selu": (scaled_elu, scaled_elu_derivative),
    "softplus": (
        lambda x, beta: np.logaddexp(0, beta * x) / beta,
        lambda x, beta: expit(beta * x),
    ),
    "sigmoid": (expit, lambda x: expit(x) * expit(-x)),
    "tanh": (np.tanh, lambda x: 4 * expit(2 * x) * expit(-2 * x)),
    "silu": (lambda x: x * expit(x), lambda x: gated(x, x, 1)),
    "mish": (
        lambda x: x * mish_tanh(x),
        lambda x: mish_tanh(x) + x * (1 - mish_tanh(x) ** 2) * expit(x),
    ),
    "gelu": (
        lambda x: x * ndtr(x),
        lambda x: ndtr(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi),
    ),
    "gelu_tanh": (
        lambda x, k, c: x * expit(cubic(x, k, c)),
        lambda x, k, c: gated(x, cubic(x, k, c), 2 * k * (1 + 3 * c * x * x)),
    ),
    "quick_gelu": (lambda x, q: x * expit(q * x), lambda x, q: gated(x, q * x, q)),
}


def call(op, x, *parameters):
    """Call a function, with a gradient of 1 if it is a backward function."""
    return op.function(*[np.ones_like(x)] * (op.n_data - 1), x, *parameters)


def reference(op, x):
    """The reference in float64, for finite x."""
    parameters = op.reference.parameters[0]
    arguments = op.arguments(parameters, np.float32)
    formulas = FORMULAS.get(op.row["name"])
    if formulas is None:
        return call(op, x, *arguments[: len(parameters)])
    with np.errstate(all="ignore"):
        return formulas[op.n_data - 1](x, *arguments)


# -- measuring --


class Found(NamedTuple):
    """The maximum error in ULP, its input, and the number of inputs above the bound."""

    error: float = -1.0
    x: float = 0.0
    above: int = 0

    def __add__(self, other):
        worst = max(self, other, key=lambda found: found.error)
        return Found(worst.error, worst.x, self.above + other.above)


def units(expected, floor):
    """The float32 ULP of float64 values, or of `floor` if that is larger."""
    min_exponent = int(np.frexp(max(floor, TINY))[1]) - 1
    exponent = (np.abs(expected).view(np.int64) >> 52) - 1023
    return ((np.maximum(exponent, min_exponent) - 23 + 1023) << 52).view(np.float64)


def errors(op, x):
    """The errors in ULP at finite float32 inputs.

    Where a gradient underflows, only its sign and its magnitude's bound are checked.
    """
    actual, expected = call(op, x).astype(np.float64), reference(op, x.astype(np.float64))
    beyond = 2.0**128  # stands for infinity
    limited = np.clip(expected, -beyond, beyond)
    floor = op.reference.floor if op.n_data == 2 else 0
    error = abs(np.clip(actual, -beyond, beyond) - limited) / units(limited, floor)
    if op.n_data == 2:
        tiny = (abs(expected) < TINY) & (expected != 0)
        right = (abs(actual) <= TINY) & (actual * np.sign(expected) >= 0)
        error[tiny] = np.where(right, 0, np.inf)[tiny]
    return np.where(np.isnan(error), np.inf, error)


def errors_at_infinity(op, x):
    """Errors of 0 or infinity: NaN must give NaN, and infinities must give the limits."""
    actual = call(op, x)
    arguments = op.arguments(op.reference.parameters[0], np.float32)
    below, above = op.reference.limits(*arguments)[op.n_data - 1]
    expected = np.where(np.isnan(x), np.nan, np.where(x > 0, above, below)).astype(np.float32)
    return np.where((actual == expected) | (np.isnan(actual) & np.isnan(expected)), 0, np.inf)


def measure(op, start=0, stop=ALL, step=1):
    """The errors at the inputs whose bits are range(start, stop, step)."""
    found = Found()
    for block in range(start, stop, BLOCK * step):
        bits = np.arange(block, min(block + BLOCK * step, stop), step, dtype=np.uint32)
        x = bits.view(np.float32)
        for points, measured in (
            (x[np.isfinite(x)], errors),
            (x[~np.isfinite(x)], errors_at_infinity),
        ):
            if len(points):
                error = measured(op, points)
                worst = int(error.argmax())
                above = int((error > bound(op, np.float32)).sum())
                found += Found(float(error[worst]), float(points[worst]), above)
    return found


def check_reference(op, n=2000):
    """The maximum error of the reference against mpmath, in float32 ULP."""
    parameters = op.reference.parameters[0]
    x = accuracy_points(op, parameters, np.float32, n)
    exact = [op.value([1] * (op.n_data - 1) + [point], parameters, np.float32) for point in x]
    exact = np.array([float(value) for value in exact])
    floor = op.reference.floor if op.n_data == 2 else 0
    with np.errstate(all="ignore"):
        error = abs(reference(op, x.astype(np.float64)) - exact) / units(exact, floor)
    return float(error[abs(exact) < 2.0**128].max())


def measure_chunk(name, step, start):
    with relume.num_threads(1):
        return measure(SWEPT[name], start, min(start + CHUNK * step, ALL), step)


def main(arguments):
    parser = argparse.ArgumentParser(
        description="Measure the error of float32 functions at all inputs."
    )
    parser.add_argument(
        "names",
        metavar="ACTIVATION",
        nargs="*",
        help=f"activations to measure (default: {', '.join(USUAL)})",
    )
    parser.add_argument(
        "--step", type=int, default=1, metavar="N", help="measure only every N-th input"
    )
    options = parser.parse_args(arguments)
    names = options.names or USUAL
    if unknown := [name for name in names if name not in SWEPT]:
        parser.error(f"not a function of one input with defaults: {', '.join(unknown)}")
    print(f"{'function':24} bound  max ULP  at                                  above the bound")
    failures, starts = 0, range(0, ALL, CHUNK * options.step)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for op in (SWEPT[n] for name in names for n in (name, f"{name}_backward")):
            if (error := check_reference(op)) > 2**-10:
                sys.exit(f"the float64 reference of {op} is wrong by {error:.3g} float32 ULP")
            found = pool.map(partial(measure_chunk, op.name, options.step), starts)
            found = sum(tqdm(found, op.name, len(starts), leave=False, disable=None), Found())
            where = f"{found.x:.9g} = {found.x.hex()}"
            limit = bound(op, np.float32)
            print(f"{op.name:24} {limit:5g}  {found.error:7.4g}  {where:36}{found.above:15,}")
            failures += found.above > 0
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
