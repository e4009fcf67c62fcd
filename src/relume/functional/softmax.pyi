from typing import Any, Literal, Unpack, overload

from numpy.typing import ArrayLike, DTypeLike, NDArray

from relume.functional.typing import Array, Axes, FloatArray, Options

__all__ = [
    "log_softmax",
    "log_softmax_backward",
    "log_softmax_backward_from_output",
    "logsumexp",
    "logsumexp_backward",
    "softmax",
    "softmax_backward",
    "softmax_backward_from_output",
]

@overload
def softmax(
    x: FloatArray, axis: Axes = -1, *, out: None = None, **kwargs: Unpack[Options]
) -> FloatArray: ...
@overload
def softmax(
    x: ArrayLike,
    axis: Axes = -1,
    *,
    out: Array,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Options],
) -> Array: ...
@overload
def softmax(
    x: ArrayLike,
    axis: Axes = -1,
    *,
    out: None = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Options],
) -> NDArray[Any]: ...
@overload
def softmax_backward(
    grad: FloatArray,
    x: FloatArray,
    axis: Axes = -1,
    *,
    out: None = None,
    **kwargs: Unpack[Options],
) -> FloatArray: ...
@overload
def softmax_backward(
    grad: ArrayLike,
    x: ArrayLike,
    axis: Axes = -1,
    *,
    out: Array,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Options],
) -> Array: ...
@overload
def softmax_backward(
    grad: ArrayLike,
    x: ArrayLike,
    axis: Axes = -1,
    *,
    out: None = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Options],
) -> NDArray[Any]: ...
@overload
def softmax_backward_from_output(
    grad: FloatArray,
    y: FloatArray,
    axis: Axes = -1,
    *,
    out: None = None,
    **kwargs: Unpack[Options],
) -> FloatArray: ...
@overload
def softmax_backward_from_output(
    grad: ArrayLike,
    y: ArrayLike,
    axis: Axes = -1,
    *,
    out: Array,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Options],
) -> Array: ...
@overload
def softmax_backward_from_output(
    grad: ArrayLike,
    y: ArrayLike,
    axis: Axes = -1,
    *,
    out: None = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Options],
) -> NDArray[Any]: ...
@overload
def log_softmax(
    x: FloatArray, axis: Axes = -1, *, out: None = None, **kwargs: Unpack[Options]
) -> FloatArray: ...
@overload
def log_softmax(
    x: ArrayLike,
    axis: Axes = -1,
    *,
    out: Array,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Options],
) -> Array: ...
@overload
def log_softmax(
    x: ArrayLike,
    axis: Axes = -1,
    *,
    out: None = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Options],
) -> NDArray[Any]: ...
@overload
def log_softmax_backward(
    grad: FloatArray,
    x: FloatArray,
    axis: Axes = -1,
    *,
    out: None = None,
    **kwargs: Unpack[Options],
) -> FloatArray: ...
@overload
def log_softmax_backward(
    grad: ArrayLike,
    x: ArrayLike,
    axis: Axes = -1,
    *,
    out: Array,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Options],
) -> Array: ...
@overload
def log_softmax_backward(
    grad: ArrayLike,
    x: ArrayLike,
    axis: Axes = -1,
    *,
    out: None = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Options],
) -> NDArray[Any]: ...
@overload
def log_softmax_backward_from_output(
    grad: FloatArray,
    y: FloatArray,
    axis: Axes = -1,
    *,
    out: None = None,
    **kwargs: Unpack[Options],
) -> FloatArray: ...
@overload
def log_softmax_backward_from_output(
    grad: ArrayLike,
    y: ArrayLike,
    axis: Axes = -1,
    *,
    out: Array,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Options],
) -> Array: ...
@overload
def log_softmax_backward_from_output(
    grad: ArrayLike,
    y: ArrayLike,
    axis: Axes = -1,
    *,
    out: None = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Options],
) -> NDArray[Any]: ...
@overload
def logsumexp(
    x: FloatArray,
    axis: Axes = -1,
    *,
    b: ArrayLike | None = None,
    keepdims: bool = False,
    return_sign: Literal[False] = False,
    out: None = None,
    **kwargs: Unpack[Options],
) -> FloatArray: ...
@overload
def logsumexp(
    x: ArrayLike,
    axis: Axes = -1,
    *,
    b: ArrayLike | None = None,
    keepdims: bool = False,
    return_sign: Literal[False] = False,
    out: Array,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Options],
) -> Array: ...
@overload
def logsumexp(
    x: ArrayLike,
    axis: Axes = -1,
    *,
    b: ArrayLike | None = None,
    keepdims: bool = False,
    return_sign: Literal[False] = False,
    out: None = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Options],
) -> NDArray[Any]: ...
@overload
def logsumexp(
    x: ArrayLike,
    axis: Axes = -1,
    *,
    b: ArrayLike | None = None,
    keepdims: bool = False,
    return_sign: Literal[True],
    out: NDArray[Any] | None = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Options],
) -> tuple[NDArray[Any], NDArray[Any]]: ...
@overload
def logsumexp_backward(
    grad: FloatArray,
    x: FloatArray,
    axis: Axes = -1,
    *,
    keepdims: bool = False,
    out: None = None,
    **kwargs: Unpack[Options],
) -> FloatArray: ...
@overload
def logsumexp_backward(
    grad: ArrayLike,
    x: ArrayLike,
    axis: Axes = -1,
    *,
    keepdims: bool = False,
    out: Array,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Options],
) -> Array: ...
@overload
def logsumexp_backward(
    grad: ArrayLike,
    x: ArrayLike,
    axis: Axes = -1,
    *,
    keepdims: bool = False,
    out: None = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Options],
) -> NDArray[Any]: ...
