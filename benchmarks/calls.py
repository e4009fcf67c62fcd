"""The calls that are timed: the statements of peers/contenders, made functions.

Lists of parameters are written out here, not taken from the library: a history stays comparable
only if its parameters stay. What is new goes to the end; tests/project/test_benchmarks.py fails by
the name of what is missing.
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
    """What asv may spend on one set of parameters: of a table of thousands each must be short."""

    version = "1"  # raise it when something else is timed: older results then no longer count
    sample_time = 0.004
    repeat = (5, 20, 0.1)
    warmup_time = 0.01
    rounds = 1


def statement(library, function, direction):
    """How a library computes a function; of several ways of NumPy the first."""
    ways = CASES[function].ways(library, function.split()[0], direction != "forward")
    way = int(direction == "backward_from_output")
    if way >= len(ways) or (way and library == "numpy"):
        # For asv, a set of parameters that is skipped. NumPy's formula has one backward, from
        # input or output, whichever is easier.
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
    except AttributeError as error:  # a commit before the function
        raise NotImplementedError(str(error)) from error
    return scope["call"]


def names_in(code):
    return {*compile(code, "<statement>", "exec").co_names}


def named(text):
    """A decorator: what the web pages call a benchmark."""

    def decorate(function):
        function.pretty_name = text
        return function

    return decorate
