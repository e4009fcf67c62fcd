"""The gated linear units, generated from the kernels' table.

Each takes two arrays, or one array that it splits into halves.
"""

import functools
import operator

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from relume.functional.containers import (
    concatenated,
    dtype_of,
    elementwise_pair,
    has_labels,
    in_order_of,
    kind_of,
    labelled,
    part,
    shape_of,
    sliceable,
    values_of,
)
from relume.functional.docstrings import gated_docstring
from relume.functional.split_axis import halves
from relume.keywords import of_ufunc, refuse_unknown
from relume.ufuncs import elementwise

ROWS = elementwise.gated_rows()


def _refuse_int(b):
    if type(b) is int:
        raise TypeError(f"b must be an array or a float, got {b!r}; pass an axis as axis={b}")


def _forward(ufunc, name):
    def function(a, b=None, *, axis=-1, out=None, **kwargs):
        if kwargs:
            refuse_unknown(function, kwargs)
        if b is None:
            if type(a) is not np.ndarray:
                if out is None and has_labels(a):
                    result = function(values_of(a), axis=axis, **kwargs)
                    return labelled(result, _first_half(a, axis))
                a = sliceable(values_of(a))
            a, b = halves(a, axis, "a")
        else:
            _refuse_int(b)
        try:
            return ufunc(a, b, out=out, **kwargs) if kwargs else ufunc(a, b, out=out)
        except TypeError as error:
            raise of_ufunc(error, function, kwargs) from None

    function.__name__ = function.__qualname__ = name
    return function


def _first_half(a, axis):
    axis = normalize_axis_index(operator.index(axis), a.ndim)
    return part(a, axis, slice(a.shape[axis] // 2))


def _backward(ufunc, name):
    def function(grad, a, b=None, *, axis=-1, out=None, **kwargs):
        if kwargs:
            refuse_unknown(function, kwargs)
        try:
            if b is not None:
                _refuse_int(b)
                if out is None and kind_of(grad, a, b) == "dask":
                    return _of_others(ufunc, "dask", grad, a, b, kwargs)
                return ufunc(grad, a, b, out=(None, None) if out is None else out, **kwargs)
            return split(grad, a, axis, out, kwargs)
        except TypeError as error:
            raise of_ufunc(error, function, kwargs) from None

    def split(grad, a, axis, out, kwargs):
        kind = ""
        if out is None and not (type(a) is np.ndarray is type(grad)):
            if has_labels(a):
                grad = in_order_of(grad, _first_half(a, axis), ("grad", "the first half of a"))
                return labelled(function(grad, values_of(a), axis=axis, **kwargs), a)
            grad = values_of(grad)
            kind = kind_of(a, grad)
        a = sliceable(values_of(a))
        inputs = halves(a, axis, "a")
        if kind:
            half, shape = inputs[0].shape, shape_of(grad)
            if np.broadcast_shapes(shape, half) != half:
                raise ValueError(f"grad must broadcast to the shape {half}, got {shape}")
            pair = _of_others(ufunc, kind, grad, *inputs, kwargs)
            result = concatenated(pair, normalize_axis_index(operator.index(axis), a.ndim))
            return result.rechunk(a.chunks) if kind_of(a) == "dask" else result
        if out is None:
            out = np.empty_like(a, _dtype(ufunc, grad, a, a, kwargs))
        elif isinstance(out, tuple):
            (out,) = out
        if out.shape != a.shape:
            raise ValueError(f"out must have the shape of a, {a.shape}, got {out.shape}")
        ufunc(grad, *inputs, out=halves(out, axis, "out"), **kwargs)
        return out

    function.__name__ = function.__qualname__ = name
    return function


def _of_others(ufunc, kind, grad, a, b, kwargs):
    """Both gradients of arrays of another library."""
    if kind == "dask":
        dtype = _dtype(ufunc, grad, a, b, kwargs)
        return elementwise_pair(functools.partial(ufunc, **kwargs), dtype, grad, a, b)
    return ufunc(grad, a, b, **kwargs)


def _dtype(ufunc, grad, a, b, kwargs):
    """The dtype of both gradients."""
    inputs = (dtype_of(each) for each in (grad, a, b))
    return kwargs.get("dtype") or np.result_type(*ufunc.resolve_dtypes((*inputs, None, None))[3:])


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
