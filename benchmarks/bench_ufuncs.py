"""Activations and NumPy's formulas for them: one call with out= on filled arrays, one thread."""

import numpy as np

import relume

from .calls import (
    DIRECTIONS,
    DTYPES,
    EVERYDAY,
    FUNCTIONS,
    LIBRARIES,
    OTHERS,
    Timed,
    named,
    prepared,
)

SIZES = [1_000, 100_000, 4_000_000]  # fits the L1 cache, the L2 cache, no cache
STEPS = {"contiguous": 1, "strided": 2}


class Table(Timed):
    """The whole table. It takes too long for a history, which has the slice `Everyday`."""

    params = [LIBRARIES, FUNCTIONS, DIRECTIONS, DTYPES, SIZES, list(STEPS)]
    param_names = ["library", "function", "direction", "dtype", "n", "layout"]

    def setup(self, library, function, direction, dtype, n, layout):
        relume.set_num_threads(1)
        self.call = prepared(library, function, direction, dtype, n, STEPS[layout])

    @named("The whole table: one call")
    def time_call(self, *parameters):
        self.call()


class Everyday(Timed):
    """The slice of the table for a history: relume at 100,000 float32, contiguous."""

    params = [EVERYDAY, DIRECTIONS[:2]]
    param_names = ["function", "direction"]

    def setup(self, function, direction):
        relume.set_num_threads(1)
        self.call = prepared("relume", function, direction, "float32", 100_000)

    @named("Activations: one call, 100,000 float32")
    def time_call(self, *parameters):
        self.call()


class Exponential(Timed):
    """Sigmoid and tanh written with NumPy's exp; expit and np.tanh are in the table."""

    params = [["sigmoid", "tanh"], DTYPES[:2], SIZES]
    param_names = ["function", "dtype", "n"]

    def setup(self, function, dtype, n):
        self.x = np.random.default_rng(0).standard_normal(n, np.float32).astype(dtype)
        self.out = np.ones_like(self.x)
        self.formula = {"sigmoid": sigmoid, "tanh": tanh}[function]

    @named("NumPy's exp-based sigmoid and tanh: one call")
    def time_formula(self, *parameters):
        self.formula(self.x, self.out)


def sigmoid(x, out):
    """1 / (1 + exp(-x))."""
    np.negative(x, out=out)
    np.exp(out, out=out)
    np.add(out, 1, out=out)
    np.divide(1, out, out=out)


def tanh(x, out):
    """1 - 2 / (1 + exp(2 x))."""
    np.add(x, x, out=out)
    np.exp(out, out=out)
    np.add(out, 1, out=out)
    np.divide(2, out, out=out)
    np.subtract(1, out, out=out)


class Others(Timed):
    """Functions along an axis, gated and compound functions: 100,000 elements."""

    params = [LIBRARIES, OTHERS, DIRECTIONS[:2], DTYPES]
    param_names = ["library", "function", "direction", "dtype"]

    def setup(self, library, function, direction, dtype):
        relume.set_num_threads(1)
        self.call = prepared(library, function, direction, dtype, 100_000)

    @named("Functions along an axis and gated ones: one call")
    def time_call(self, *parameters):
        self.call()


class Threads(Timed):
    """The same call on one thread and on several."""

    params = [["relu", "gelu", "tanh"], DIRECTIONS[:2], [100_000, 4_000_000], [1, 2, 4]]
    param_names = ["function", "direction", "n", "threads"]

    def setup(self, function, direction, n, threads):
        if threads > relume.get_num_threads():
            raise NotImplementedError(f"{threads} threads on fewer CPUs")
        relume.set_num_threads(threads)
        self.call = prepared("relume", function, direction, "float32", n)

    @named("Threads: one call, float32")
    def time_call(self, *parameters):
        self.call()


class Broadcasting(Timed):
    """A slope per element, row or column, or a broadcast x, of (1000, 256) float32."""

    params = [LIBRARIES, ["scalar slope", "slope a row", "slope a column", "all", "x a row"]]
    param_names = ["library", "operands"]

    def setup(self, library, operands):
        relume.set_num_threads(1)
        rng = np.random.default_rng(0)
        shape = {"slope a row": (1000, 1), "slope a column": (256,), "all": (1000, 256)}
        self.slope = rng.uniform(0.1, 0.3, shape.get(operands, ())).astype(np.float32)
        self.x = rng.standard_normal((1000, 256), np.float32)
        self.out = np.ones_like(self.x)
        if operands == "x a row":
            self.x = np.broadcast_to(self.x[0], self.x.shape)
        self.run = {"relume": relume.prelu, "numpy": leaky}[library]

    @named("Broadcasting: leaky ReLU of (1000, 256) float32")
    def time_slopes(self, *parameters):
        self.run(self.x, self.slope, out=self.out)


def leaky(x, slope, out):
    """NumPy's formula for a slope below 1."""
    np.multiply(x, slope, out=out)
    np.maximum(x, out, out=out)
