"""Arrays of other libraries in functions that NumPy's protocol for ufuncs does not cover.

A ufunc is handed to the library that an operand comes from. The functions that split, join or
reduce an axis, or return two arrays, do it here: Dask's arrays stay lazy, masks are kept, and the
labels of pandas and xarray are put on the results.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def kind_of(*arrays: Any) -> str:
    """Whose arrays these are: "dask", "pandas", "xarray", "masked", "other", or "" for NumPy's.

    "other" has its own ``__array_ufunc__``. The first array that is not NumPy's decides.
    """
    for array in arrays:
        if type(array) is np.ndarray:
            continue
        if isinstance(array, np.ndarray):
            if isinstance(array, np.ma.MaskedArray):
                return "masked"
        elif getattr(type(array), "__array_ufunc__", None) is not None:
            if _is(array, "pandas", "Series", "DataFrame"):
                return "pandas"
            if _is(array, "xarray", "DataArray"):
                return "xarray"
            if _is(array, "dask.array", "Array"):
                return "dask"
            if not isinstance(array, np.generic):
                return "other"
    return ""


def dtype_of(array: Any) -> Any:
    """The dtype of an operand; of a Python number its type, which does not promote (NEP 50)."""
    if type(array) in (int, float):
        return type(array)
    return array.dtype if hasattr(array, "dtype") else np.asarray(array).dtype


def shape_of(array: Any) -> tuple[int, ...]:
    """The shape of an operand; np.shape may be handed to the array's library."""
    return array.shape if hasattr(array, "shape") else np.shape(array)


def _is(array: Any, module: str, *names: str) -> bool:
    """Whether an array is of a class of a module, which is not imported for it."""
    classes = (getattr(sys.modules.get(module), name, None) for name in names)
    return any(isinstance(array, cls) for cls in classes if isinstance(cls, type))


def values_of(array: Any) -> Any:
    """The values behind labels, which may be lazy; anything without labels unchanged."""
    kind = kind_of(array)
    if kind == "pandas":
        return array.to_numpy()
    return array.data if kind == "xarray" else array


def has_labels(array: Any) -> bool:
    """Whether an array is one of pandas or xarray."""
    return kind_of(array) in ("pandas", "xarray")


def sliceable(array: Any) -> Any:
    """An array of NumPy, or one that can be sliced as it is and has ufuncs of its own."""
    names = ("ndim", "shape", "__getitem__")
    if kind_of(array) in ("dask", "other") and all(hasattr(array, name) for name in names):
        return array
    return np.asanyarray(array)


def in_order_of(array: Any, like: Any, names: tuple[str, str]) -> Any:
    """The values of an array for the labels of another; ValueError if it has other labels."""
    kinds = kind_of(array), kind_of(like)
    if kinds == ("xarray", "xarray") and set(array.dims) == set(like.dims):
        return array.transpose(*like.dims).data
    if kinds == ("pandas", "pandas"):
        axes = like.axes[-array.ndim :]
        if not all(mine.equals(other) for mine, other in zip(array.axes, axes, strict=False)):
            raise ValueError(f"{names[0]} must have the labels of {names[1]}")
    return values_of(array)


def labelled(values: Any, like: Any) -> Any:
    """Values with the labels of a Series, DataFrame or DataArray of the same shape."""
    if kind_of(like) == "xarray":
        return like.copy(data=values)
    if like.ndim == 1:
        return like._constructor(values, index=like.index, name=like.name)
    return like._constructor(values, index=like.index, columns=like.columns)


def part(array: Any, axis: int, where: Any) -> Any:
    """An array of any kind, indexed along one axis by a slice or an integer."""
    if kind_of(array) == "xarray":
        return array.isel({array.dims[axis]: where}, drop=True)
    index = (slice(None),) * axis + (where,)
    return array.iloc[index] if kind_of(array) == "pandas" else array[index]


def concatenated(parts: Any, axis: int) -> Any:
    """Arrays of the same kind, without labels, joined along an axis."""
    if kind_of(*parts) == "masked":
        return np.ma.concatenate(parts, axis)
    return np.concatenate(parts, axis)


def elementwise_pair(
    function: Callable[..., tuple[Any, Any]], dtype: np.dtype[Any], *inputs: Any
) -> tuple[Any, Any]:
    """Two lazy results of the shape of the inputs, each block of which is computed once."""
    import dask.array

    def both(*blocks: Any, **_: Any) -> NDArray[Any]:
        return np.stack(np.broadcast_arrays(*function(*blocks)))

    shape = np.broadcast_shapes(*map(np.shape, inputs))
    last = tuple(range(len(shape)))[::-1]
    arguments: list[Any] = []
    for each in inputs:
        n = np.ndim(each)
        arguments += [each, tuple(reversed(last[:n])) if n else None]
    pair = dask.array.blockwise(
        both, (len(shape), *reversed(last)), *arguments,
        new_axes={len(shape): 2}, dtype=dtype, meta=np.empty((0,) * (len(shape) + 1), dtype),
    )  # fmt: skip
    return pair[0], pair[1]
