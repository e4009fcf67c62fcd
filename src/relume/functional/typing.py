"""Types for what relume's ufuncs take and return, since `numpy.ufunc`'s own say nothing.

Floats come back as what they were: an array or NumPy scalar with its dtype, a Python float as
float64, `out` as itself, and another library's array or table of its own class. Of everything else
NumPy promotes the dtype: an array of Any. As in NumPy's own types what has no dimensions counts as
an array there. tools/stubs.py writes the signatures made of these.
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypedDict, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray


class SupportsArrayUfunc(Protocol):
    """What handles ufuncs itself: arrays of Dask and xarray, objects of pandas."""

    def __array_ufunc__(self, ufunc: Any, method: Any, *inputs: Any, **kwargs: Any) -> Any: ...


Floating = TypeVar("Floating", bound=NDArray[np.floating] | np.floating)
FloatArray = TypeVar("FloatArray", bound=NDArray[np.floating])
Array = TypeVar("Array", bound=NDArray[Any])
Other = TypeVar("Other", bound=SupportsArrayUfunc)
Anything = ArrayLike | SupportsArrayUfunc


class Options(TypedDict, total=False):
    """The keywords of a ufunc that leave the type of its result as it is."""

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
