from typing import Any, overload

from numpy.typing import ArrayLike, NDArray

from relume.functional.typing import Array, FloatArray

__all__ = ["crelu", "crelu_backward"]

@overload
def crelu(x: FloatArray, axis: int = -1, *, out: None = None) -> FloatArray: ...
@overload
def crelu(x: ArrayLike, axis: int = -1, *, out: Array) -> Array: ...
@overload
def crelu(x: ArrayLike, axis: int = -1, *, out: None = None) -> NDArray[Any]: ...
@overload
def crelu_backward(
    grad: FloatArray, x: FloatArray, axis: int = -1, *, out: None = None
) -> FloatArray: ...
@overload
def crelu_backward(grad: ArrayLike, x: ArrayLike, axis: int = -1, *, out: Array) -> Array: ...
@overload
def crelu_backward(
    grad: ArrayLike, x: ArrayLike, axis: int = -1, *, out: None = None
) -> NDArray[Any]: ...
