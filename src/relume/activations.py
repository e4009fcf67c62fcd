"""The public activation functions, made from the kernels' table: nothing here names one, but
prelu.

A row without parameters, or whose parameter has no default, is its ufunc. A row with parameters
that have defaults is a thin function over a ufunc in which each parameter is one more broadcasting
input.
"""

import math
import textwrap

import numpy as np

from relume.kernels import ufuncs

ROWS = {row["name"]: row for row in ufuncs.rows()}

_INPUTS = {
    "forward": ["x"],
    "backward": ["grad", "x"],
    "backward_from_output": ["grad", "y"],
    "parameter_gradient": ["grad", "x"],
}
_EXPRESSION = {
    "forward": "{formula}",
    "backward": "grad * ({derivative})",
    "backward_from_output": "grad * ({derivative})`` from ``y = {name}(x)",
    "parameter_gradient": "grad * (derivative by the parameter)",
}
_INPUT_DOC = {
    "x": "x : array_like\n    Input.",
    "y": "y : array_like\n    Output of the forward pass.",
    "grad": "grad : array_like\n    Gradient with respect to the output.",
}
_DOC = """{summary}

{computes}

Parameters
----------
{parameters}
**kwargs : optional
    ``out``, ``where``, ``casting``, ``order``, ``dtype`` and ``subok``, as for every
    `numpy.ufunc`.

Returns
-------
ndarray or scalar
    Of float16, float32 or float64 as the inputs are{integers}; of their broadcast shape.

Raises
------
TypeError
    If an input has a dtype that cannot be cast safely to one of these.
ValueError
    If the shapes do not broadcast{domain}.

Notes
-----
{notes}

References
----------
{reference}

Examples
--------
>>> import numpy as np
>>> import relume
>>> relume.{function}({example}).shape
(2,)
"""


def parameters_of(row):
    """The parameters of a row as {name: default, or None where it has none}."""
    pairs = (text.partition("=") for text in row["parameters"].split(",") if text)
    return {name.strip(): float(value) if value else None for name, _, value in pairs}


def holds(domain, values):
    """Whether a domain, a Python expression in the parameters' names, is true of these values."""
    return not domain or bool(eval(domain, {"inf": math.inf}, dict(values)))


def _domain(row, direction):
    """What parameters must fulfil in a direction, as a Python expression; empty if nothing."""
    return row["from_output_domain" if direction == "backward_from_output" else "domain"]


def _paragraph(text):
    return textwrap.fill(text, 79)


def _docstring(row, direction, function):
    parameters = parameters_of(row)
    documented = [_INPUT_DOC[name] for name in _INPUTS[direction]]
    for name, default in parameters.items():
        optional = "" if default is None else f", default={default:g}"
        documented.append(f"{name} : array_like{optional}\n    Broadcast against the inputs.")
    domain = _domain(row, direction)
    required = [n for n, default in parameters.items() if default is None]
    return _DOC.format(
        summary=row["summary"] if direction == "forward" else f"Gradient of `{row['name']}`.",
        computes=_paragraph(f"Computes ``{_EXPRESSION[direction].format(**row)}``."),
        parameters="\n".join(documented),
        integers=", or integer" if direction == "forward" and row["integers"] else "",
        domain=f", or if not ``{domain}``" if domain else "",
        notes=_paragraph(
            f"The derivative is {row['derivative']}. {row['special']} NaN in x or grad gives NaN. "
            f"The error is at most {2 if direction == 'forward' else 4} ULP in float32 and "
            "float64, 0.51 in float16. Results do not depend on array length, strides or number "
            "of threads."
        ),
        reference=_paragraph(row["reference"]),
        function=function,
        example=", ".join(
            ["np.array([-1.0, 2.0])"] * len(_INPUTS[direction]) + ["0.1"] * len(required)
        ),
    )


def _require(condition, domain, values, arrays):
    """Raise unless a condition on parameters holds; on arrays it counts only if `arrays`."""
    values = {
        name: value if isinstance(value, int | float) else np.asarray(value)
        for name, value in values.items()
    }
    fulfilled = condition(**values)
    if np.all(fulfilled) or (np.ndim(fulfilled) and not arrays):
        return
    got = ", ".join(f"{name}={value!r}" for name, value in values.items())
    raise ValueError(f"{got} is outside the domain; allowed is {domain}")


def _function(row, direction, name, ufunc):
    """The function `name(*inputs, <parameter>=<default>, **kwargs)` over a ufunc.

    Written as source and compiled, as dataclasses does, so that it costs a call no more than a
    function written by hand, and has its signature.
    """
    parameters = parameters_of(row)
    names = ", ".join(parameters)
    inputs = ", ".join(_INPUTS[direction])
    defaults = ", ".join(f"{key}={default!r}" for key, default in parameters.items())
    lines = [f"def {name}({inputs}, {defaults}, **kwargs):"]
    if domain := _domain(row, direction):
        floats = " and ".join(f"type({key}) is float" for key in parameters)
        values = ", ".join(f"{key}={key}" for key in parameters)
        arrays = direction != "forward"
        lines += [
            f"    if not ({floats} and {domain}):",
            f"        require(lambda {names}: {domain}, {domain!r}, dict({values}), {arrays})",
        ]
    lines += [f"    return ufunc({inputs}, {names}, **kwargs)"]
    scope = {"require": _require, "ufunc": ufunc, "inf": math.inf, "__name__": __name__}
    exec(compile("\n".join(lines), f"<relume.{name}>", "exec"), scope)
    function = scope[name]
    function.__doc__ = _docstring(row, direction, name)
    function.ufunc = ufunc
    return function


def _make(row, direction):
    """The public function or ufunc of one direction of a row."""
    name = row["name"] if direction == "forward" else f"{row['name']}_{direction}"
    parameters = {} if direction == "parameter_gradient" else parameters_of(row)
    shared = list(ROWS.values())[row["same_kernel_as"]]
    if direction == "forward" and shared is not row:
        ufunc = getattr(ufuncs, shared["name"])
    else:
        doc = _docstring(row, direction, name)
        ufunc = ufuncs.make_ufunc(row["index"], direction, len(parameters), name, doc)
    if not parameters or None in parameters.values():
        return name, ufunc
    return name, _function(row, direction, name, ufunc)


def _summed(elementwise, grad, x, like, shape):
    """A gradient of `like`'s shape and dtype, an element each, summed to `shape`.

    Summed are the axes that `shape` lacks or has as 1. They are laid out last, where NumPy sums
    pairwise.
    """
    padded = (1,) * (like.ndim - len(shape)) + shape
    kept = [axis for axis in range(like.ndim) if padded[axis] != 1]
    order = kept + [axis for axis in range(like.ndim) if padded[axis] == 1]
    product = np.empty([like.shape[axis] for axis in order], like.dtype)
    elementwise(grad, x, out=product.transpose(np.argsort(order)))
    rows = product.reshape(
        *(like.shape[axis] for axis in kept), math.prod(product.shape[len(kept) :])
    )
    with np.errstate(all="ignore"):
        return np.asarray(np.add.reduce(rows, axis=-1)).reshape(shape)


def prelu_backward(grad, x, weight):
    """Compute the gradients of `prelu` with respect to its input and its weight.

    Computes ``grad * (1 where x > 0, else weight)``, and ``grad * (x where x < 0, else 0)``
    summed, pairwise, over the axes along which `weight` was broadcast.

    Parameters
    ----------
    grad : array_like
        Gradient with respect to the output.
    x : array_like
        Input of the forward pass.
    weight : array_like
        Slopes of the forward pass, broadcast against `x` as NumPy does (last axes).

    Returns
    -------
    grad_x : ndarray
        Of the inputs' common dtype and broadcast shape.
    grad_weight : ndarray
        Of the same dtype and the shape of `weight`.

    Raises
    ------
    TypeError
        If an input has a dtype that cannot be cast safely to float16, float32 or float64.
    ValueError
        If the shapes do not broadcast.

    Notes
    -----
    At 0 the derivatives are ``weight`` and 0, as PyTorch's. NaN in x or grad gives NaN.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers: surpassing human-level
    performance on ImageNet classification", ICCV 2015.

    Examples
    --------
    >>> import numpy as np
    >>> import relume
    >>> relume.prelu_backward(np.ones(3), np.array([-2.0, 0.0, 3.0]), 0.5)
    (array([0.5, 0.5, 1. ]), array(-2.))
    """
    grad_x = ufuncs.prelu_backward(grad, x, weight)
    grad_weight = _summed(
        ufuncs.prelu_parameter_gradient, grad, x, np.asarray(grad_x), np.shape(weight)
    )
    return grad_x, grad_weight


_made = [
    (row, direction, *_make(row, direction))
    for row in ROWS.values()
    for direction in row["directions"]
]
# A learnable parameter's row gives its two gradients together, by a function of this module.
_public = {
    name: made
    for row, direction, name, made in _made
    if direction == "forward" or "parameter_gradient" not in row["directions"]
}
globals().update(_public)
__all__ = [*_public, "prelu_backward"]
