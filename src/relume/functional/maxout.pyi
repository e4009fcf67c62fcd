from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relume.functional.typing import Array, FloatArray

__all__ = ["maxout", "maxout_backward"]

@overload
def maxout(
    x: FloatArray, axis: int = -1, *, out: None = None, **kwargs: Any
) -> tuple[FloatArray, NDArray[np.intp]]: ...
@overload
def maxout(
    x: ArrayLike,
    axis: int = -1,
    *,
    out: tuple[NDArray[Any], NDArray[np.intp]] | None = None,
    **kwargs: Any,
) -> tuple[NDArray[Any], NDArray[np.intp]]: ...
@overload
def maxout_backward(
    grad: FloatArray, which: ArrayLike, pieces: int, axis: int = -1, *, out: None = None
) -> FloatArray: ...
@overload
def maxout_backward(
    grad: ArrayLike, which: ArrayLike, pieces: int, axis: int = -1, *, out: Array
) -> Array: ...
@overload
def maxout_backward(
    grad: ArrayLike, which: ArrayLike, pieces: int, axis: int = -1, *, out: None = None
) -> NDArray[Any]: ...
