"""Docstrings of the functions that are generated from the kernels' table."""

import re
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
    "backward_from_output": "grad * ({derivative})",
    "parameter_gradient": "grad * (derivative with respect to the parameter)",
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
    Array into which the result is written.
**kwargs : optional
    ``where``, ``casting``, ``order``, ``dtype`` and ``subok``, as for any `numpy.ufunc`.

Returns
-------
ndarray or scalar
    Array with the inputs' broadcast shape and common dtype: {dtypes}.
    The result is a scalar if all inputs are scalars.

Raises
------
TypeError
    If an input's dtype cannot be cast safely to one of these dtypes.
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
    First input. If `b` is not given, `a` holds both inputs, joined along `axis`.
b : array_like, optional
    Second input, which broadcasts against `a`.
axis : int, default=-1
    Axis along which `a` is split into halves if `b` is not given.
out : {out_type}, optional
    {out}
**kwargs : optional
    ``where``, ``casting``, ``order``, ``dtype`` and ``subok``, as for any `numpy.ufunc`.

Returns
-------
{returns}

Raises
------
TypeError
    If `b` is an int: an axis must be passed as a keyword argument.
ValueError
    If the shapes do not broadcast, or if `a` must be split and has an odd size along `axis`.
numpy.exceptions.AxisError
    If `axis` is out of range. It is both a ValueError and an IndexError.

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
    "forward": "ndarray or scalar\n    Array with the inputs' common dtype and broadcast shape. If"
    " `b` is not given, the shape is\n    that of `a` with half the size along `axis`.",
    "backward": "ndarray or tuple of ndarray\n    The gradients with respect to `a` and `b`. If "
    "`b` is not given, one array with the shape\n    of `a`.",
}
_OUT = {
    "forward": "Array into which the result is written.",
    "backward": "Array or arrays into which the result is written.",
}
_FLOATS = "float16, float32 or float64"


def _paragraph(text):
    return textwrap.fill(text, 79)


def domain_of(row, direction):
    """The condition on the parameters in a direction, as a Python expression; may be empty."""
    return row["from_output_domain" if direction == "backward_from_output" else "domain"]


def in_words(domain):
    """A condition on the parameters as a reader expects it: ``a == a`` says that a is not NaN."""
    text = re.sub(r"\(([^()]+)\)", r"\1", domain)
    text = re.sub(r"(\w+ <=? (\w+)) & \2 (<=? \w+)", r"\1 \3", text)
    return re.sub(r"\b(\w+) == \1\b", r"\1 is not NaN", text).replace(" & ", " and ")


def _computation(row, direction):
    """The expression that is computed, as code, and the definitions of its symbols, as text."""
    name = "formula" if direction == "forward" else "derivative"
    expression, _, symbols = row[name].partition(", where ")
    code = _EXPRESSION[direction].format(**{name: expression})
    source = f" from ``y = {row['name']}(x)``" if direction == "backward_from_output" else ""
    return f"Computes ``{code}``{source}{f', where {symbols}' if symbols else ''}."


def _example(row, direction, function, required):
    """A call at -2, 0 and 3, with the results that are stated in the row."""
    values = "".join(f", {value}" for value in ["0.5", "0.0"][:required])
    x = ">>> x = np.array([-2.0, 0.0, 3.0])\n"
    if direction == "forward":
        return f"{x}>>> relume.{function}(x{values}).round(4)\narray({row['values']})"
    if direction == "backward":
        call = f">>> relume.{function}(np.ones(3), x{values}).round(4)"
        return f"{x}{call}\narray({row['slopes']})"
    return (
        f"{x}>>> y = relume.{row['name']}(x{values})\n"
        f">>> relume.{function}(np.ones(3), y{values}).round(4)\narray({row['slopes']})"
    )


def docstring(row, direction, function, parameters):
    """The docstring for one direction of an activation."""
    documented = [_INPUT_DOC[name] for name in INPUTS[direction]]
    for name, default in parameters.items():
        optional = "" if default is None else f", default={default:g}"
        documented.append(
            f"{name} : array_like{optional}\n"
            "    Parameter of the formula above, which broadcasts against the inputs."
        )
    domain = domain_of(row, direction)
    required = sum(default is None for default in parameters.values())
    ulp = row["ulp"] if direction == "forward" else 4
    integers = direction == "forward" and row["integers"]
    inputs = " or ".join(f"``{name}``" for name in reversed(INPUTS[direction]))
    return _DOC.format(
        summary=row["summary"] if direction == "forward" else f"Gradient of `{row['name']}`.",
        computes=_paragraph(_computation(row, direction)),
        parameters="\n".join(documented),
        dtypes=f"an integer dtype, {_FLOATS}" if integers else _FLOATS,
        domain=f", or if this does not hold: {in_words(domain)}" if domain else "",
        notes=_paragraph(
            f"The derivative is {row['derivative']}. {row['special']} NaN in {inputs} gives NaN. "
            f"The error is at most {ulp} ULP in float32 and float64, and 0.51 ULP in float16. "
            "Results do not depend on the length or the strides of the arrays, or on the number "
            "of threads."
        ),
        reference=_paragraph(row["reference"]),
        example=_example(row, direction, function, required),
    )


def gated_docstring(row, direction):
    """The docstring for one direction of a gated function."""
    forward = direction == "forward"
    name = row["name"] if forward else f"{row['name']}_backward"
    return _GATED_DOC.format(
        summary=row["summary"] if forward else f"Compute the gradients of `{row['name']}`.",
        computes=_paragraph(
            f"Computes ``{row['formula']}``."
            if forward
            else f"Computes `grad` times the derivatives of ``{row['formula']}``, which are "
            f"{row['derivative']}."
        ),
        grad="" if forward else _INPUT_DOC["grad"] + "\n",
        out_type="ndarray" if forward else "ndarray or tuple of ndarray",
        out=_OUT[direction],
        returns=_RETURNS[direction],
        notes=_paragraph(
            "NaN in an input gives NaN. A factor of exactly 0 gives 0, even if the other factor "
            f"is infinite. The error is at most {4 if forward else 5} ULP in float32 and float64 "
            "as long as the activation is not a subnormal number."
        ),
        reference=_paragraph(row["reference"]),
        example=f">>> round(float(relume.{name}(2.0, 3.0)), 4)\n{row['values']}"
        if forward
        else f">>> relume.{name}(1.0, np.array([2.0, 3.0])).round(4)\narray({row['slopes']})",
    )
