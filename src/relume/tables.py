"""Data frames and their columns as arrays of numbers: those of pandas, polars and Arrow.

None of these libraries is imported. NumPy makes an array of Python objects of a frame with columns
of several kinds, such as numbers and booleans, and of columns whose values may be missing.
"""

from __future__ import annotations

import decimal
import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray

REAL = "fiub"  # kinds of dtypes
NUMBERS = (numbers.Real, np.bool_, decimal.Decimal)
INTEGERS = (numbers.Integral, np.bool_)


def columns_of(values: Any) -> list[tuple[Any, Any]] | None:
    """Names and columns of a data frame; None for anything else."""
    if isinstance(values, np.ndarray | list | tuple):
        return None
    if hasattr(values, "iloc") and hasattr(values, "columns"):  # pandas
        return [(name, values.iloc[:, i]) for i, name in enumerate(values.columns)]
    if hasattr(values, "get_columns"):  # polars
        return [(column.name, column) for column in values.get_columns()]
    if hasattr(values, "column_names") and hasattr(values, "columns"):  # a Table of Arrow
        return list(zip(values.column_names, values.columns, strict=True))
    return None


def as_array(values: Any, name: str) -> NDArray[Any] | None:
    """A data frame or a column as an array, with NaN for missing values; None for anything else.

    Raises
    ------
    TypeError
        If a column of a frame does not hold real numbers. A single column is left as it is then.
    """
    columns = columns_of(values)
    if columns is None:
        return _numbers(values) if _is_column(values) else None
    if all(isinstance(getattr(each, "dtype", None), np.dtype) for _, each in columns):
        array = np.asarray(values)
        if array.dtype.kind in REAL:
            return array
    arrays = [_numbers(column) for _, column in columns]
    for (label, column), array in zip(columns, arrays, strict=True):
        if array.dtype.kind not in REAL:
            kind = getattr(column, "dtype", getattr(column, "type", array.dtype))
            raise TypeError(
                f"{name} must hold real numbers, got column {label!r} of dtype {kind}; encode it "
                "as numbers, or leave it out"
            )
    dtype = np.result_type(*arrays) if arrays else np.float64
    array = np.empty((len(values), len(arrays)), dtype)
    for i, column in enumerate(arrays):
        array[:, i] = column
    return array


def not_finite_in(values: Any, array: NDArray[Any]) -> str:
    """Which column of a frame is not finite in its array, as the end of an error; else nothing."""
    columns = columns_of(values)
    if columns is None:
        return ""
    bad = np.flatnonzero(~np.isfinite(array).all(axis=0))
    return f" in column {columns[bad[0]][0]!r}" if len(bad) else ""


def _is_column(values: Any) -> bool:
    return not isinstance(values, np.ndarray | list | tuple) and hasattr(values, "to_numpy")


def _numbers(column: Any) -> NDArray[Any]:
    """The numbers of a column; an array of another kind where there are others among them."""
    kind = getattr(getattr(column, "dtype", None), "kind", "")
    if kind in REAL and hasattr(column, "isna") and hasattr(column.dtype, "na_value"):
        # Nullable dtypes of pandas, with Arrow's among them.
        if column.isna().any():
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
        kind = getattr(column.dtype, "numpy_dtype", None)
        if kind is not None and kind.kind in REAL:
            return column.to_numpy(dtype=kind)
    array = np.asarray(column)
    return of_objects(array) if array.dtype == object else array


def of_objects(array: NDArray[Any]) -> NDArray[Any]:
    """Numbers of Python as integers or floats, missing ones as NaN; unchanged if not numbers."""
    kinds = set(map(type, array.flat))
    missing = tuple(kind for kind in kinds if kind is type(None) or kind.__name__ == "NAType")
    kinds -= {*missing}
    if not all(issubclass(kind, NUMBERS) for kind in kinds):
        return array
    if missing:
        found = [np.nan if isinstance(each, missing) else each for each in array.flat]
        array = np.array(found, object).reshape(array.shape)
    elif all(issubclass(kind, INTEGERS) for kind in kinds):
        try:
            return array.astype(np.int64)
        except OverflowError:
            pass
    return array.astype(np.float64)
