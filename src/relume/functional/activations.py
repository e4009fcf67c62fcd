"""The public activation functions, generated from the kernels' table.

A row of the table without parameters, or with a learnable parameter, becomes a plain ufunc. A row
with parameters becomes a thin function over a ufunc that takes each parameter as one more
broadcasting input. `gelu` has two forms and is written by hand.
"""

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np

from relume.functional.docstrings import INPUTS, docstring, domain_of, in_words
from relume.keywords import of_ufunc
from relume.ufuncs import elementwise
from relume.ufuncs.rows import ActivationRow

ROWS: dict[str, ActivationRow] = {row["name"]: row for row in elementwise.rows()}


def parameters_of(row: ActivationRow) -> dict[str, float | None]:
    """The parameters of a row as {name: default}; the default is None if the row gives none."""
    pairs = (text.partition("=") for text in row["parameters"].split(",") if text)
    return {name.strip(): float(value) if value else None for name, _, value in pairs}


def holds(domain: str, values: Mapping[str, float]) -> bool:
    """Whether the values satisfy a domain, which is a Python expression in the parameter names."""
    return not domain or bool(eval(domain, {"inf": math.inf}, dict(values)))


def _require(condition, domain, values, arrays):
    """Raise ValueError unless the parameters satisfy a condition.

    Array parameters are checked only if `arrays` is true.
    """
    values = {
        name: value if isinstance(value, int | float) else np.asarray(value)
        for name, value in values.items()
    }
    fulfilled = condition(**values)
    if np.all(fulfilled) or (np.ndim(fulfilled) and not arrays):
        return
    from relume.validation import shown

    got = ", ".join(f"{name}={shown(value)}" for name, value in values.items())
    raise ValueError(f"{got} is outside the allowed domain: {in_words(domain)}")


def _function(row, direction, name, ufunc):
    """Make `name(*inputs, <parameter>[=<default>], *, out=None, **kwargs)`, which calls a ufunc.

    The function is generated as source and compiled, as dataclasses does. It therefore has the
    signature of a handwritten function and is as fast to call. A call without keyword arguments
    takes 1.0 us instead of 1.3 us because it unpacks none.
    """
    parameters = parameters_of(row)
    names = ", ".join(parameters)
    inputs = ", ".join(INPUTS[direction])
    defaults = ", ".join(
        key if default is None else f"{key}={default!r}" for key, default in parameters.items()
    )
    lines = [f"def {name}({inputs}, {defaults}, *, out=None, **kwargs):"]
    if domain := domain_of(row, direction):
        floats = " and ".join(f"type({key}) is float" for key in parameters)
        values = ", ".join(f"{key}={key}" for key in parameters)
        arrays = direction != "forward"
        lines += [
            f"    if not ({floats} and {domain}):",
            f"        require(lambda {names}: {domain}, {domain!r}, dict({values}), {arrays})",
        ]
    lines += [
        "    try:",
        "        if kwargs:",
        f"            return ufunc({inputs}, {names}, out=out, **kwargs)",
        f"        return ufunc({inputs}, {names}, out=out)",
        "    except TypeError as error:",
        "        raise of_ufunc(error, this, kwargs) from None",
    ]
    scope = {"require": _require, "ufunc": ufunc, "inf": math.inf, "__name__": __name__}
    scope["of_ufunc"] = of_ufunc
    exec(compile("\n".join(lines), f"<relume.{name}>", "exec"), scope)
    function = scope["this"] = scope[name]  # a parameter may have the function's name
    function.__doc__ = docstring(row, direction, name, parameters)
    function.ufunc = ufunc
    return function


def _make(row, direction):
    """The name and the public function or ufunc for one direction of a row."""
    name = row["name"] if direction == "forward" else f"{row['name']}_{direction}"
    parameters = {} if direction == "parameter_gradient" else parameters_of(row)
    shared = list(ROWS.values())[row["same_kernel_as"]]
    if direction == "forward" and shared is not row:
        ufunc = getattr(elementwise, shared["name"])
    else:
        doc = docstring(row, direction, name, parameters)
        ufunc = elementwise.make_ufunc(row["index"], direction, len(parameters), name, doc)
    if not parameters or "parameter_gradient" in row["directions"]:
        return name, ufunc
    return name, _function(row, direction, name, ufunc)


def _public():
    """The public functions as {name: function}."""
    functions = {}
    for row in ROWS.values():
        for direction in row["directions"]:
            name, made = _make(row, direction)
            # For a learnable parameter, a handwritten function returns both gradients together.
            if direction == "forward" or "parameter_gradient" not in row["directions"]:
                functions[name] = made
                if row["alias"]:
                    functions[name.replace(row["name"], row["alias"])] = made
    return functions


_functions = _public()
globals().update(_functions)
__all__ = [*_functions]


# -- gelu -----------------------------------------------------------------------------------------


def _gelu(approximate, exact, by_tanh):
    """The ufunc selected by `approximate`."""
    if isinstance(approximate, str):  # an array has no single truth value
        if approximate == "none":
            return exact
        if approximate == "tanh":
            return by_tanh
    from relume.validation import shown

    raise ValueError(f"approximate must be 'none' or 'tanh', got {shown(approximate)}")


def gelu(x, approximate: Literal["none", "tanh"] = "none", **kwargs):
    ufunc = _gelu(approximate, elementwise.gelu, elementwise.gelu_tanh)
    try:
        return ufunc(x, **kwargs)
    except TypeError as error:
        raise of_ufunc(error, gelu, kwargs) from None


def gelu_backward(grad, x, approximate: Literal["none", "tanh"] = "none", **kwargs):
    ufunc = _gelu(approximate, elementwise.gelu_backward, elementwise.gelu_tanh_backward)
    try:
        return ufunc(grad, x, **kwargs)
    except TypeError as error:
        raise of_ufunc(error, gelu_backward, kwargs) from None


for _function_by_hand in (gelu, gelu_backward):
    _ufunc = getattr(elementwise, _function_by_hand.__name__)
    _function_by_hand.ufunc = _ufunc
    # NumPy puts the signature of a ufunc before its docstring.
    _function_by_hand.__doc__ = _ufunc.__doc__.partition(")\n\n")[2].replace(
        "out : ndarray, optional",
        'approximate : {"none", "tanh"}, default="none"\n'
        '    "none" computes the exact function; "tanh" computes the approximation `gelu_tanh`.\n'
        "out : ndarray, optional",
    )
