"""Types for the arguments and results of relume's ufuncs, which `numpy.ufunc` leaves untyped.

A floating array or NumPy scalar gives a result of the same type, a Python float gives a float64,
`out` is returned as it is, and an array or table of another library gives one of the same class.
For all other inputs NumPy promotes the dtype, so the result is an array of Any. As in NumPy's own
types, a zero-dimensional result counts as an array there. tools/stubs.py writes the signatures
that use these types.
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypedDict, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray


class SupportsArrayUfunc(Protocol):
    """An object that handles ufuncs itself, such as arrays of Dask, xarray and pandas."""

    def __array_ufunc__(self, ufunc: Any, method: Any, *inputs: Any, **kwargs: Any) -> Any: ...


Floating = TypeVar("Floating", bound=NDArray[np.floating] | np.floating)
FloatArray = TypeVar("FloatArray", bound=NDArray[np.floating])
Array = TypeVar("Array", bound=NDArray[Any])
Other = TypeVar("Other", bound=SupportsArrayUfunc)
Anything = ArrayLike | SupportsArrayUfunc
Axes = int | tuple[int, ...] | None


class Options(TypedDict, total=False):
    """The keyword arguments of a ufunc that do not affect the type of its result."""

    where: ArrayLike
    casting: Literal["no", "equiv", "safe", "same_kind", "unsafe"]
    order: Literal["K", "A", "C", "F"] | None
    subok: bool


class Ufunc(Protocol):
    """The attributes of a `numpy.ufunc`."""

    @property
    def __name__(self) -> str: ...
    @property
    def nin(self) -> int: ...
    @property
    def nout(self) -> int: ...
    @property
    def nargs(self) -> int: ...
    @property
    def ntypes(self) -> int: ...
    @property
    def types(self) -> Sequence[str]: ...
    @property
    def identity(self) -> Any: ...
    @property
    def signature(self) -> str | None: ...
