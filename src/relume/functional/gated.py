"""The gated linear units, generated from the kernels' table.

Each takes two arrays, or one array that it splits into halves.
"""

import numpy as np

from relume.functional.docstrings import gated_docstring
from relume.functional.split_axis import halves
from relume.ufuncs import elementwise

ROWS = elementwise.gated_rows()


def _refuse_int(b):
    if type(b) is int:
        raise TypeError(f"b must be an array or a float, got {b!r}; pass an axis as axis={b}")


def _forward(ufunc, name):
    def function(a, b=None, *, axis=-1, out=None, **kwargs):
        if b is None:
            a, b = halves(np.asanyarray(a), axis, "a")
        else:
            _refuse_int(b)
        return ufunc(a, b, out=out, **kwargs) if kwargs else ufunc(a, b, out=out)

    function.__name__ = function.__qualname__ = name
    return function


def _backward(ufunc, name):
    def function(grad, a, b=None, *, axis=-1, out=None, **kwargs):
        if b is not None:
            _refuse_int(b)
            return ufunc(grad, a, b, out=(None, None) if out is None else out, **kwargs)
        a = np.asanyarray(a)
        inputs = halves(a, axis, "a")
        if out is None:
            dtype = kwargs.get("dtype") or np.result_type(*ufunc.resolve_dtypes(
                (np.asanyarray(grad).dtype, a.dtype, a.dtype, None, None))[3:])  # fmt: skip
            out = np.empty_like(a, dtype)
        elif isinstance(out, tuple):
            (out,) = out
        if out.shape != a.shape:
            raise ValueError(f"out must have the shape of a, {a.shape}, got {out.shape}")
        ufunc(grad, *inputs, out=halves(out, axis, "out"), **kwargs)
        return out

    function.__name__ = function.__qualname__ = name
    return function


def _functions():
    for index, row in enumerate(ROWS):
        for direction, wrap in (("forward", _forward), ("backward", _backward)):
            name = row["name"] if direction == "forward" else f"{row['name']}_backward"
            doc = gated_docstring(row, direction)
            ufunc = elementwise.make_gated_ufunc(index, direction, name, doc)
            function = wrap(ufunc, name)
            function.__doc__, function.ufunc = doc, ufunc
            yield name, function


_made = dict(_functions())
globals().update(_made)
__all__ = [*_made]
