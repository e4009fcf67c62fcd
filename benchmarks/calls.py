"""The timed calls: the statements of peers/contenders as functions.

The lists of parameters are written out here instead of being read from the library, because a
history is comparable only if its parameters stay the same. New entries go to the end;
tests/project/test_benchmarks.py fails with the name of a missing one.
"""

import numpy as np
from scipy import special

import relume

from .peers.contenders import CASES
from .peers.contenders.arrays import operands

FUNCTIONS = [
    "relu",
    "relu6",
    "prelu",
    "leaky_relu",
    "threshold",
    "hardtanh",
    "relu_squared",
    "hardshrink",
    "softshrink",
    "hardsigmoid",
    "hardswish",
    "elu",
    "selu",
    "celu",
    "softplus",
    "logsigmoid",
    "sigmoid",
    "tanh",
    "tanhshrink",
    "silu",
    "quick_gelu",
    "gelu",
    "gelu_tanh",
    "mish",
    "softsign",
    "squareplus",
]
EVERYDAY = ["relu", "leaky_relu", "elu", "softplus", "sigmoid", "tanh", "silu", "gelu"]
OTHERS = [
    "rrelu",
    "rrelu training",
    "crelu",
    "maxout",
    "softmax",
    "log_softmax",
    "logsumexp",
    "softmax axis 0",
    "log_softmax axis 0",
    "logsumexp axis 0",
    "glu",
    "glu split",
    "reglu",
    "geglu",
    "swiglu",
]
DIRECTIONS = ["forward", "backward", "backward_from_output"]
DTYPES = ["float32", "float64", "float16"]
LIBRARIES = ["relume", "numpy"]


class Timed:
    """asv's settings for one set of parameters, short because a table has thousands of them."""

    version = "1"  # raise it when the timed code changes, which invalidates older results
    sample_time = 0.004
    repeat = (5, 20, 0.1)
    warmup_time = 0.01
    rounds = 1


def statement(library, function, direction):
    """The statement by which a library computes a function; the first one of NumPy's."""
    ways = CASES[function].ways(library, function.split()[0], direction != "forward")
    way = int(direction == "backward_from_output")
    if way >= len(ways) or (way and library == "numpy"):
        # asv skips this set of parameters. NumPy has one formula for backward, from the input or
        # from the output, whichever is simpler.
        raise NotImplementedError(f"{library} has no {direction} of {function}")
    return ways[way]


def prepared(library, function, direction, dtype, n, step=1):
    """A call without arguments, run once, on filled arrays."""
    way = statement(library, function, direction)
    forward = statement("numpy", function, "forward") if "y" in names_in(way) else ""
    case = CASES[function]
    names = None if function in OTHERS else names_in(way) | names_in(forward)
    scope = {
        **operands(case, n, dtype, step, names),
        "np": np,
        "special": special,
        "relume": relume,
        "rng": np.random.default_rng(1),
        "axis": case.axis,
    }
    if forward:
        exec(forward, scope)
        scope["y"][...] = scope["out"]
    exec(f"def call():\n    {way}", scope)
    try:
        scope["call"]()
    except AttributeError as error:  # a commit that does not have the function yet
        raise NotImplementedError(str(error)) from error
    return scope["call"]


def names_in(code):
    return {*compile(code, "<statement>", "exec").co_names}


def named(text):
    """A decorator that sets a benchmark's name in the web pages."""

    def decorate(function):
        function.pretty_name = text
        return function

    return decorate
