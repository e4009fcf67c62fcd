"""Checks of arguments: an error names the argument, the value received, and what is allowed."""

import difflib
import math
import numbers
import os
import reprlib
from typing import Any

import numpy as np

from relume import tables
from relume.keywords import meant

OBJECTS = np.dtype(object)


class _Short(reprlib.Repr):
    """Representations for errors: of a line at most, and of arrays the shape and dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 100
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 8

    def repr1(self, x: Any, level: int) -> str:
        if isinstance(x, type):
            return repr(x)
        shape = getattr(x, "shape", ())
        if isinstance(shape, tuple) and shape:
            dtype = getattr(x, "dtype", None)
            return f"<{type(x).__name__} of shape {shape}{f', dtype {dtype}' if dtype else ''}>"
        if isinstance(x, str | bytes | list | tuple | dict | set | frozenset | int):
            return super().repr1(x, level)
        text = " ".join(repr(x).split())
        if len(text) > self.maxother:
            return f"{text[: self.maxother - 3]}..."
        return text

    def repr_set(self, x: Any, level: int) -> str:
        return f"{{{self._in_order(x, level)}}}" if x else "set()"

    def _in_order(self, x: Any, level: int) -> str:
        """The elements of a set in an order that is the same in every run."""
        return self.repr_list(sorted(x, key=repr), level)[1:-1]


_short = _Short()


def shown(value: Any) -> str:
    """How errors show a value that was given: on one line, and no array's elements."""
    text = _short.repr(value)
    return text if len(text) <= 300 else f"{text[:297]}..."


def hint(value: Any, allowed: Any) -> str:
    """`; did you mean 'x'?` where one of the allowed names is meant, else an empty text."""
    guess = meant(value, allowed)
    return "" if guess is None else f"; did you mean {guess!r}?"


def instance(value: Any) -> str:
    """`; did you mean nn.Adam()?` where a class of relume.nn is given for one of its objects."""
    if not isinstance(value, type) or value.__module__ != "relume.nn":
        return ""
    return f"; did you mean nn.{value.__name__}()?"


def integer(value, name, minimum=1):
    """An integer of at least `minimum`."""
    if type(value) is int and value >= minimum:
        return value
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer of at least {minimum}, got {shown(value)}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {shown(value)}")
    return int(value)


def number(value, name, allowed, holds):
    """A finite real number for which `holds` is true; `allowed` describes it in errors."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, {allowed}, got {shown(value)}")
    if not (math.isfinite(value) and holds(value)):
        raise ValueError(f"{name} must be {allowed}, got {shown(value)}")
    return float(value)


def positive(value, name):
    """A number greater than 0."""
    return number(value, name, "greater than 0", lambda x: x > 0)


def not_negative(value, name):
    """A number of at least 0."""
    return number(value, name, "at least 0", lambda x: x >= 0)


def fraction(value, name):
    """A number of at least 0 and less than 1."""
    return number(value, name, "at least 0 and less than 1", lambda x: 0 <= x < 1)


def flag(value, name):
    """True or False."""
    if value is True or value is False:
        return value
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def path(value, name="path"):
    """The path of a file as a string."""
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise TypeError(f"{name} must be a string or a path, got {shown(value)}")
    return path


def choice(value, name, allowed):
    """One of the names in `allowed`; the error lists them, the closest first."""
    if isinstance(value, str) and value in allowed:
        return value
    likeness = {
        key: difflib.SequenceMatcher(None, shown(value).lower(), key).ratio() for key in allowed
    }
    guess = meant(value, allowed)
    ordered = sorted(allowed, key=lambda key: (key != guess, -likeness[key], key))
    listed = ", ".join(ordered) or "none"
    raise ValueError(f"{name} must be one of {listed}; got {shown(value)}{hint(value, allowed)}")


def as_array(values, name):
    """The values as an array of any dtype; ValueError if masked or of unequal rows."""
    if type(values) is np.ndarray and values.dtype is not OBJECTS:
        return values
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(
            f"{name} must have no masked elements, got {np.ma.count_masked(values)}; fill them "
            "with .filled(value), or leave out their rows"
        )
    array = tables.as_array(values, name)
    if array is not None:
        return array
    try:
        array = np.asarray(values)
    except MemoryError:
        raise
    except Exception as error:  # of NumPy, or of another library's `__array__`
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{name} must be an array of real numbers: {error}") from error
    return tables.of_objects(array) if array.dtype is OBJECTS and array.ndim else array


def real(values, name):
    """An array of real numbers, of any dtype."""
    array = as_array(values, name)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}{_about(values)}")
    return array


def _about(values):
    """What to do with something that is no array of numbers: the end of an error's text."""
    if hasattr(values, "collect"):  # a LazyFrame of polars
        return "; load it by .collect()"
    if isinstance(values, list | tuple | np.ndarray | str) or hasattr(values, "dtype"):
        return ""
    return f": it is {shown(values)}"


def contiguous(array, dtype):
    """The array aligned, C-contiguous and of a dtype, copied only if it is not so already.

    Values that the dtype cannot hold become infinite; the caller checks for them.
    """
    if array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned:
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        return np.require(array, dtype, ["C", "A"])


def not_finite(name, dtype, where=""):
    """The error for an array that is not finite in a dtype."""
    return ValueError(f"{name} must be finite in {np.dtype(dtype)}, got NaN or infinity{where}")


def finite(values, name, dtype):
    """Real numbers as an array of a dtype, all finite in it."""
    array = contiguous(real(values, name), dtype)
    if not np.isfinite(array).all():
        raise not_finite(name, dtype)
    return array


def finite_frame(frame, array, name):
    """Raise with the name of the column where a data frame's array is not finite."""
    where = tables.not_finite_in(frame, array)
    if where:
        raise not_finite(name, array.dtype, where)


def matrix(X, name, dtype, width=None, no_rows=False):
    """X as a contiguous matrix of a dtype, copied only if it is not one already.

    Whether its values are finite is checked by the engine, as it reads them.
    """
    if no_rows and isinstance(X, list | tuple) and not X and width is not None:
        return np.empty((0, width), dtype)  # a list of rows that has none
    array = real(X, name)
    shape(array.shape, name, width, no_rows)
    array = contiguous(array, dtype)
    finite_frame(X, array, name)
    return array


def shape(found, name, width=None, no_rows=False):
    """Raise unless a shape is that of a matrix of `width` columns, with rows unless `no_rows`."""
    if len(found) != 2:
        remedy = ""
        if len(found) == 1:
            remedy = f"; use {name}.reshape(-1, 1) for one feature, reshape(1, -1) for one row"
        elif len(found) > 2:
            remedy = f"; use {name}.reshape(len({name}), -1) to make a row of each sample"
        raise ValueError(f"{name} must have shape (n_samples, n_features), got {found}{remedy}")
    if found[1] == 0 or (found[0] == 0 and not no_rows):
        raise ValueError(f"{name} must not be empty, got shape {found}")
    if width is not None and found[1] != width:
        raise ValueError(f"{name} must have {width} features, got {found[1]}")


def same_length(X, y, names):
    """Raise unless the arrays X and y have the same number of rows."""
    if y.ndim == 0 and y.dtype.kind == "O":  # no array at all
        value = y.item()
        if value is None:
            raise TypeError(f"{names[1]} must be given, got None")
        dense = "dense, " if hasattr(value, "toarray") else ""
        raise TypeError(f"{names[1]} must be {dense}an array of real numbers, got {shown(value)}")
    if y.ndim == 0 or X.shape[0] != len(y):
        rows = len(y) if y.ndim else f"the single value {shown(y)}"
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same length, got {X.shape[0]} and {rows}"
        )


def weights(values, name, dtype, n, all_zero=False):
    """A weight of each of n rows, none negative, some positive unless all may be 0."""
    array = finite(values, name, dtype)
    if array.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), got {array.shape}")
    if array.min() < 0 or (array.max() == 0 and not all_zero):
        raise ValueError(f"{name} must be at least 0, and not 0 throughout; got {array.min()}")
    if 0 < array.max() < np.finfo(dtype).tiny:  # the reciprocal of their sum overflows
        raise ValueError(
            f"{name} must hold a weight of at least {np.finfo(dtype).tiny:.2g} in "
            f"{np.dtype(dtype)}, got {array.max():.2g} at most; divide all by their maximum"
        )
    return array
