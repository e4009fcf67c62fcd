"""The docstrings of the functions that are made from the kernels' table."""

import textwrap

INPUTS = {
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
out : ndarray, optional
    Where the result goes.
**kwargs : optional
    ``where``, ``casting``, ``order``, ``dtype`` and ``subok``, as for every `numpy.ufunc`.

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
{example}
"""
_GATED_DOC = """{summary}

{computes}

Parameters
----------
{grad}a : array_like
    The first factor; without `b`, both factors side by side along `axis`.
b : array_like, optional
    The second factor, broadcast against `a`.
axis : int, default=-1
    Without `b`, the axis along which `a` is split into halves.
out : {out_type}, optional
    Where the result goes.
**kwargs : optional
    ``where``, ``casting``, ``order``, ``dtype`` and ``subok``, as for every `numpy.ufunc`.

Returns
-------
{returns}

Raises
------
TypeError
    If `b` is an int: an axis is given by its name.
ValueError
    If the shapes do not broadcast, or `a` cannot be halved.
numpy.exceptions.AxisError
    If `axis` is out of range, a ValueError and an IndexError.

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
{example}
"""
_RETURNS = {
    "forward": "ndarray or scalar\n    Of the inputs' dtype and broadcast shape; without `b` of "
    "`a`'s shape with half as many\n    along `axis`.",
    "backward": "ndarray or tuple of ndarray\n    The gradients by `a` and by `b`; without `b` "
    "one array of the shape of `a`.",
}


def _paragraph(text):
    return textwrap.fill(text, 79)


def domain_of(row, direction):
    """What parameters must fulfil in a direction, as a Python expression; empty if nothing."""
    return row["from_output_domain" if direction == "backward_from_output" else "domain"]


def _example(row, direction, function, required):
    """A call at -2, 0 and 3, with the values that the row states."""
    values = "".join(f", {value}" for value in ["0.5", "0.0"][:required])
    x = "np.array([-2.0, 0.0, 3.0])"
    if direction == "forward":
        return f">>> relume.{function}({x}{values}).round(4)\narray({row['values']})"
    if direction == "backward":
        return f">>> relume.{function}(np.ones(3), {x}{values}).round(4)\narray({row['slopes']})"
    return (
        f">>> y = relume.{row['name']}({x}{values})\n"
        f">>> relume.{function}(np.ones(3), y{values}).round(4)\narray({row['slopes']})"
    )


def docstring(row, direction, function, parameters):
    """The docstring of one direction of an activation."""
    documented = [_INPUT_DOC[name] for name in INPUTS[direction]]
    for name, default in parameters.items():
        optional = "" if default is None else f", default={default:g}"
        documented.append(f"{name} : array_like{optional}\n    Broadcast against the inputs.")
    domain = domain_of(row, direction)
    required = sum(default is None for default in parameters.values())
    ulp = row["ulp"] if direction == "forward" else 4
    return _DOC.format(
        summary=row["summary"] if direction == "forward" else f"Gradient of `{row['name']}`.",
        computes=_paragraph(f"Computes ``{_EXPRESSION[direction].format(**row)}``."),
        parameters="\n".join(documented),
        integers=", or integer" if direction == "forward" and row["integers"] else "",
        domain=f", or if not ``{domain}``" if domain else "",
        notes=_paragraph(
            f"The derivative is {row['derivative']}. {row['special']} NaN in x or grad gives NaN. "
            f"The error is at most {ulp} ULP in float32 and float64, 0.51 in float16. Results do "
            "not depend on array length, strides or number of threads."
        ),
        reference=_paragraph(row["reference"]),
        example=_example(row, direction, function, required),
    )


def gated_docstring(row, direction):
    """The docstring of a gated function, for two arrays and for one that is split."""
    forward = direction == "forward"
    name = row["name"] if forward else f"{row['name']}_backward"
    return _GATED_DOC.format(
        summary=row["summary"] if forward else f"Compute the gradients of `{row['name']}`.",
        computes=_paragraph(
            f"Computes ``{row['formula']}``."
            if forward
            else f"Of ``{row['formula']}`` the derivative is {row['derivative']}; each is "
            "multiplied by `grad`."
        ),
        grad="" if forward else _INPUT_DOC["grad"] + "\n",
        out_type="ndarray" if forward else "ndarray or tuple of ndarray",
        returns=_RETURNS[direction],
        notes=_paragraph(
            "NaN in an input gives NaN; a factor of exactly 0 gives 0 for an infinite other too. "
            f"The error is at most {4 if forward else 5} ULP in float32 and float64 while the "
            "activation is a normal number."
        ),
        reference=_paragraph(row["reference"]),
        example=f">>> round(float(relume.{name}(2.0, 3.0)), 4)\n{row['values']}"
        if forward
        else f">>> relume.{name}(1.0, np.array([2.0, 3.0])).round(4)\narray({row['slopes']})",
    )
