"""Calls of every public function of relume.

How a function is called follows from its signature, so that a new one is called without an entry
here: `grad`, `x`, `y`, `a` and `b` take data, `axis` each axis, and what is left are parameters.
"""

import functools
import inspect
from collections import defaultdict

import numpy as np

import relume

DTYPES = [np.dtype(name) for name in ("f2", "f4", "f8", "i1", "u2", "i8")]
# Each length around the widths of vectors, a matrix, and one on which several threads work.
SHAPES = [(1,), (7,), (16,), (33,), (127,), (1000,), (6, 45), (50_000,)]
MATRICES = [(1, 9), (5, 33), (4, 130), (3, 4, 6), (200, 250)]  # for functions along an axis
LAYOUTS = ("contiguous", "strided", "negative", "transposed")
DATA = {"grad", "x", "y", "a", "b"}
CHOICES = {"approximate": ("none", "tanh")}  # parameters that are words
FACTORS = (1.0, 0.5, 2.0, 0.0, -1.0)  # of a parameter's default; some are outside of the domain


def public_functions():
    """The names of the functions of arrays, in order."""
    return sorted(name for name in relume.__all__ if _takes_arrays(getattr(relume, name)))


def _takes_arrays(value):
    if not inspect.isfunction(value):
        return isinstance(value, np.ufunc)
    return next(iter(inspect.signature(value).parameters), None) in DATA


# -- data -----------------------------------------------------------------------------------------


def _special(dtype):
    if dtype.kind != "f":
        info = np.iinfo(dtype)
        return np.array([0, 1, 5, 6, info.min, info.max], dtype)
    info = np.finfo(dtype)
    sizes = [0, info.smallest_subnormal, info.tiny, info.eps, 0.5, 1, 3, 6, info.max, np.inf]
    return np.array([*sizes, *(-size for size in sizes), np.nan], dtype)


@functools.lru_cache(maxsize=1024)
def numbers(dtype, shape, seed, special, layout):
    """An array of ordinary values and of all exponents; with `special` each fifth is special."""
    rng = np.random.default_rng([seed, *shape])
    if dtype.kind == "f":
        values = rng.normal(scale=3, size=shape)
        values *= np.where(rng.random(shape) < 0.2, 2.0 ** rng.integers(-14, 4, shape), 1)
        values = values.astype(dtype)
    else:
        values = rng.integers(-100 if dtype.kind == "i" else 0, 100, shape).astype(dtype)
    if special:
        values.flat[seed::5] = np.resize(_special(dtype), len(values.flat[seed::5]))
    return laid_out(values, layout)


def laid_out(values, layout):
    """The same values with other strides."""
    if layout == "strided":
        wide = np.zeros((*values.shape[:-1], 3 * values.shape[-1]), values.dtype)
        wide[..., ::3] = values
        return wide[..., ::3]
    if layout == "negative":
        return np.ascontiguousarray(values[..., ::-1])[..., ::-1]
    return np.asfortranarray(values) if layout == "transposed" else values


# -- calls ----------------------------------------------------------------------------------------


def results(name):
    """What a function gives: {(form, dtype, layout): list of results}."""
    function, found = getattr(relume, name), defaultdict(list)
    calls = calls_of(name, function)
    for dtype in DTYPES:
        for layout in LAYOUTS:
            for form, call, arguments in calls(functools.partial(_numbers, dtype, layout)):
                found[form, dtype.name, layout].append(outcome(call, arguments))
    return found


def _numbers(dtype, layout, shape, seed, special=True):
    return numbers(dtype, shape, seed, special, layout)


def outcome(call, arguments):
    """What a call returns; of an exception only its type, since messages may change."""
    try:
        with np.errstate(all="ignore"):
            return call(*arguments)
    except Exception as error:
        return f"raises {type(error).__name__}"


def calls_of(name, function):
    """The function that gives all calls of a function for arrays of a dtype and a layout."""
    if name in BY_HAND:
        return BY_HAND[name]
    parameters = {} if isinstance(function, np.ufunc) else inspect.signature(function).parameters
    along_axis = _gated if "a" in parameters else _along_axis
    calls = along_axis if "axis" in parameters else _elementwise
    return functools.partial(calls, name, function)


def _elementwise(name, function, array):
    data, parameters = _arguments(name, function)
    for shape in SHAPES:
        inputs = [array(shape, seed) for seed in range(data)]
        for form, values in _parameters(parameters, array, shape):
            yield form, function, [*inputs, *values]


def _arguments(name, function):
    """How many inputs are data, and the defaults of the parameters, by name."""
    if isinstance(function, np.ufunc):
        data = 2 if "_backward" in name else 1
        return data, dict.fromkeys(range(function.nin - data), 0.25)
    positional = [
        each
        for each in inspect.signature(function).parameters.values()
        if each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    given = [each for each in positional if each.name in DATA and each.default is each.empty]
    defaults = {
        each.name: 0.25 if each.default is each.empty else each.default
        for each in positional
        if each not in given
    }
    return len(given), defaults


def _parameters(parameters, array, shape):
    """The values for all parameters together, with the name of their form."""
    if not parameters:
        yield "", []
        return
    if parameters.keys() <= CHOICES.keys():
        for values in zip(*(CHOICES[name] for name in parameters), strict=True):
            yield values[0], values
        return
    for factor in FACTORS:
        yield "scalars", [default * factor for default in parameters.values()]
    # In the matrix each column has its parameters.
    kind = array(shape, 0).dtype
    factors = np.resize([1.0, 0.5, 2.0], shape[-1]).astype(kind if kind.kind == "f" else "f4")
    yield "arrays", [default * factors for default in parameters.values()]


def _along_axis(name, function, array):
    keepdims = "keepdims" in inspect.signature(function).parameters
    for shape in MATRICES:
        for axis in range(-1, len(shape) - 1):
            form = f"axis {axis}"
            for special in (False, True):
                x = array(shape, 0, special)
                if "_backward" not in name:
                    yield form, function, [x, axis]
                    continue
                yield form, function, [array(_grad_shape(name, shape, axis), 1, special), x, axis]
    if keepdims and "_backward" not in name:
        yield "keepdims", functools.partial(function, keepdims=True), [array((5, 33), 0)]


def _grad_shape(name, shape, axis):
    """Of the output: reduced along the axis, doubled, or as the input's."""
    shape = list(shape)
    if name.startswith("logsumexp"):
        del shape[axis]
    elif name.startswith("crelu"):
        shape[axis] *= 2
    return tuple(shape)


def _gated(name, function, array):
    backward = name.endswith("_backward")
    for shape in SHAPES:
        grad = [array(shape, 2)] if backward else []
        yield "two arrays", function, [*grad, array(shape, 0), array(shape, 1)]
    for shape in MATRICES:
        for axis in range(-1, len(shape) - 1):
            double = list(shape)
            double[axis] *= 2
            grad = [array(shape, 2)] if backward else []
            call = functools.partial(function, axis=axis)
            yield f"halves along axis {axis}", call, [*grad, array(tuple(double), 0)]


def _maxout_backward(array):
    for shape in MATRICES:
        which = np.random.default_rng(0).integers(3, size=shape)
        for axis in range(-1, len(shape)):
            yield f"axis {axis}", relume.maxout_backward, [array(shape, 0), which, 3, axis]


def _rrelu(array):
    for shape in SHAPES:
        x = array(shape, 0)
        yield "prediction", relume.rrelu, [x, 0.1, 0.5]
        drawn = functools.partial(
            relume.rrelu, training=True, rng=np.random.default_rng(0), return_slope=True
        )
        yield "training", drawn, [x]


def _rrelu_backward(array):
    for shape in SHAPES:
        grad, x = array(shape, 0), array(shape, 1)
        yield "prediction", relume.rrelu_backward, [grad, x, 0.1, 0.5]
        call = functools.partial(relume.rrelu_backward, slope=array(shape, 2))
        yield "training", call, [grad, x]


BY_HAND = {
    "maxout_backward": _maxout_backward,
    "rrelu": _rrelu,
    "rrelu_backward": _rrelu_backward,
}
