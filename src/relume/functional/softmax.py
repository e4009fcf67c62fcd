"""Softmax, log-softmax and logsumexp along an axis, with their gradients."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relume.functional.several_axes import axes_of, call, is_direct, is_small, weighted_logsumexp
from relume.keywords import refuse_unknown
from relume.ufuncs import along_axis

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

_DOC = """{summary}

Computes ``{formula}`` along an axis.

Parameters
----------
{inputs}
axis : int, tuple of int or None, default=-1
    Axis or axes along which to compute; None is all of them.
{keepdims}out : ndarray, optional
    Array into which the result is written.
**kwargs : optional
    ``casting``, ``order``, ``dtype`` and ``subok``, as for any `numpy.ufunc`.

Returns
-------
ndarray
    Array with the inputs' common dtype (float16, float32 or float64) and {shape}.
{second}
Raises
------
TypeError
    If an input's dtype cannot be cast safely to one of these dtypes.
numpy.exceptions.AxisError
    If `axis` is out of range. It is both a ValueError and an IndexError.
ValueError
    If an axis is given twice, or if shapes do not match.

Notes
-----
In these notes, a row is the elements along `axis`.
{notes}NaN in a row makes the whole result for that row NaN.

The error is at most {ulp} in float32
and float64, and 0.51 ULP in float16. Results do not depend on strides or the number of threads.
Scratch memory does not grow with the row, unless `out` overlaps an input in part.

References
----------
P. Blanchard, D. J. Higham and N. J. Higham, "Accurately computing the log-sum-exp and softmax
functions", IMA Journal of Numerical Analysis 41, 2021.

Examples
--------
>>> import numpy as np
>>> import relume
{example}
"""
_X = "x : array_like\n    Input."
_GRAD = "grad : array_like\n    Gradient with respect to the output.\n"
_Y = "y : array_like\n    Output of the forward pass."
_KEEPDIMS = "keepdims : bool, default=False\n    Whether to keep the reduced axis with size 1.\n"
_MAXIMUM = """A row that contains inf, or only -inf, gives NaN, because there is no unique limit.
In a row with finite elements, an element of -inf has probability 0.
"""


def _documented(**fields):
    """Fill these fields into the docstring template and set it on a function."""
    fields = {
        "keepdims": "",
        "second": "",
        "notes": _MAXIMUM,
        "shape": "broadcast shape",
        "ulp": "4 ULP of max(1, abs(result))",
        **fields,
    }

    def decorate(function):
        function.__doc__ = _DOC.format(**fields)
        return function

    return decorate


@_documented(
    summary="Convert numbers into probabilities proportional to their exponentials.",
    formula="exp(x) / sum(exp(x))",
    inputs=_X,
    shape="the shape of `x`",
    example=">>> relume.softmax(np.array([0.0, 1.0, 2.0])).round(4)\n"
    "array([0.09  , 0.2447, 0.6652])",
)
def softmax(
    x: ArrayLike,
    axis: int | tuple[int, ...] | None = -1,
    *,
    out: NDArray[Any] | None = None,
    **kwargs: Any,
) -> NDArray[Any]:
    if not kwargs and is_small(axis, x):  # not unpacking an empty dict saves 0.2 us
        return along_axis.softmax(x, axis=axis, out=out)
    if kwargs:
        refuse_unknown(softmax, kwargs)
    if is_direct(axis, kwargs, x, out):
        return along_axis.softmax(x, axis=axis, out=out, **kwargs)
    return call("softmax", (x,), axis, out=out, **kwargs)


@_documented(
    summary="Logarithm of `softmax`.",
    formula="x - log(sum(exp(x)))",
    inputs=_X,
    shape="the shape of `x`",
    ulp="4 ULP of the result (8 ULP in rows of more than 100 elements)",
    example=">>> relume.log_softmax(np.array([0.0, 1.0, 2.0])).round(4)\n"
    "array([-2.4076, -1.4076, -0.4076])",
)
def log_softmax(
    x: ArrayLike,
    axis: int | tuple[int, ...] | None = -1,
    *,
    out: NDArray[Any] | None = None,
    **kwargs: Any,
) -> NDArray[Any]:
    if not kwargs and is_small(axis, x):  # not unpacking an empty dict saves 0.2 us
        return along_axis.log_softmax(x, axis=axis, out=out)
    if kwargs:
        refuse_unknown(log_softmax, kwargs)
    if is_direct(axis, kwargs, x, out):
        return along_axis.log_softmax(x, axis=axis, out=out, **kwargs)
    return call("log_softmax", (x,), axis, out=out, **kwargs)


def _sign_of_sum(logarithm):
    """The sign of a sum of exponentials: 1, 0 if there are none, or NaN."""
    one = np.where(np.isnan(logarithm), logarithm, np.ones_like(logarithm))
    return np.where(logarithm == -np.inf, np.zeros_like(logarithm), one)[()]


@_documented(
    summary="Logarithm of a sum of exponentials.",
    formula="log(sum(exp(x)))",
    inputs=_X,
    keepdims="b : array_like, optional\n"
    "    Weights of the exponentials, which broadcast against `x`: the sum is "
    "``sum(b * exp(x))``. Where a\n    weight is 0, `x` does not count, even if it is infinite.\n"
    + _KEEPDIMS
    + "return_sign : bool, default=False\n    Whether to return the sign of the sum, too.\n",
    shape="the shape of `x` without the axis",
    second="ndarray\n    Only if `return_sign` is true: the sign of the sum, 1, 0 or -1. The "
    "first array is then\n    the logarithm of its absolute value.\n",
    ulp="4 ULP of max(abs(max(x)), abs(result)) (8 ULP in rows of more than 100 elements)",
    notes="A row that is empty or contains only -inf gives -inf; a row that contains inf gives "
    "inf. A\nnegative sum gives NaN without `return_sign`.\n",
    example=">>> float(relume.logsumexp(np.array([1000.0, 1000.0])).round(4))\n1000.6931",
)
def logsumexp(
    x: ArrayLike,
    axis: int | tuple[int, ...] | None = -1,
    *,
    b: ArrayLike | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
    out: NDArray[Any] | None = None,
    **kwargs: Any,
) -> Any:
    plain = b is None and not (kwargs or keepdims or return_sign)
    if (
        plain
        and is_small(axis, x)
        and (out is None or (type(out) is np.ndarray and not np.may_share_memory(out, x)))
    ):
        return along_axis.logsumexp(x, axis=axis, out=out)
    if kwargs:
        refuse_unknown(logsumexp, kwargs)
    if return_sign and b is None:
        value = logsumexp(x, axis, keepdims=keepdims, out=out, **kwargs)
        return value, _sign_of_sum(value)
    if b is not None:
        return weighted_logsumexp(
            x, b, axis, return_sign=return_sign, keepdims=keepdims, out=out, **kwargs
        )
    if out is None and is_direct(axis, kwargs, x):
        return along_axis.logsumexp(x, axis=axis, keepdims=keepdims, **kwargs)
    return call("logsumexp", (x,), axis, keepdims=keepdims, out=out, **kwargs)


@_documented(
    summary="Gradient of `softmax`.",
    formula="y * (grad - sum(grad * y))`` with ``y = softmax(x)",
    inputs=_GRAD + _X,
    example=">>> relume.softmax_backward(np.array([1.0, 0.0]), np.array([0.0, 0.0]))\n"
    "array([ 0.25, -0.25])",
)
def softmax_backward(
    grad: ArrayLike,
    x: ArrayLike,
    axis: int | tuple[int, ...] | None = -1,
    *,
    out: NDArray[Any] | None = None,
    **kwargs: Any,
) -> NDArray[Any]:
    if not kwargs and is_small(axis, x) and is_small(axis, grad):
        return along_axis.softmax_backward(grad, x, axis=axis, out=out)
    if kwargs:
        refuse_unknown(softmax_backward, kwargs)
    if is_direct(axis, kwargs, grad, x, out):
        return along_axis.softmax_backward(grad, x, axis=axis, out=out, **kwargs)
    return call("softmax_backward", (grad, x), axis, out=out, **kwargs)


@_documented(
    summary="Gradient of `softmax`, computed from its output.",
    formula="y * (grad - sum(grad * y))",
    inputs=_GRAD + _Y,
    notes="",
    example=">>> relume.softmax_backward_from_output(np.array([1.0, 0.0]), np.array([0.5, 0.5]))\n"
    "array([ 0.25, -0.25])",
)
def softmax_backward_from_output(
    grad: ArrayLike,
    y: ArrayLike,
    axis: int | tuple[int, ...] | None = -1,
    *,
    out: NDArray[Any] | None = None,
    **kwargs: Any,
) -> NDArray[Any]:
    if not kwargs and is_small(axis, y) and is_small(axis, grad):
        return along_axis.softmax_backward_from_output(grad, y, axis=axis, out=out)
    if kwargs:
        refuse_unknown(softmax_backward_from_output, kwargs)
    if is_direct(axis, kwargs, grad, y, out):
        return along_axis.softmax_backward_from_output(grad, y, axis=axis, out=out, **kwargs)
    return call("softmax_backward_from_output", (grad, y), axis, out=out, **kwargs)


@_documented(
    summary="Gradient of `log_softmax`.",
    formula="grad - softmax(x) * sum(grad)",
    inputs=_GRAD + _X,
    example=">>> relume.log_softmax_backward(np.array([1.0, 0.0]), np.array([0.0, 0.0]))\n"
    "array([ 0.5, -0.5])",
)
def log_softmax_backward(
    grad: ArrayLike,
    x: ArrayLike,
    axis: int | tuple[int, ...] | None = -1,
    *,
    out: NDArray[Any] | None = None,
    **kwargs: Any,
) -> NDArray[Any]:
    if not kwargs and is_small(axis, x) and is_small(axis, grad):
        return along_axis.log_softmax_backward(grad, x, axis=axis, out=out)
    if kwargs:
        refuse_unknown(log_softmax_backward, kwargs)
    if is_direct(axis, kwargs, grad, x, out):
        return along_axis.log_softmax_backward(grad, x, axis=axis, out=out, **kwargs)
    return call("log_softmax_backward", (grad, x), axis, out=out, **kwargs)


@_documented(
    summary="Gradient of `log_softmax`, computed from its output.",
    formula="grad - exp(y) * sum(grad)",
    inputs=_GRAD + _Y,
    notes="",
    example=">>> y = relume.log_softmax(np.array([0.0, 0.0]))\n"
    ">>> relume.log_softmax_backward_from_output(np.array([1.0, 0.0]), y)\n"
    "array([ 0.5, -0.5])",
)
def log_softmax_backward_from_output(
    grad: ArrayLike,
    y: ArrayLike,
    axis: int | tuple[int, ...] | None = -1,
    *,
    out: NDArray[Any] | None = None,
    **kwargs: Any,
) -> NDArray[Any]:
    if not kwargs and is_small(axis, y) and is_small(axis, grad):
        return along_axis.log_softmax_backward_from_output(grad, y, axis=axis, out=out)
    if kwargs:
        refuse_unknown(log_softmax_backward_from_output, kwargs)
    if is_direct(axis, kwargs, grad, y, out):
        return along_axis.log_softmax_backward_from_output(grad, y, axis=axis, out=out, **kwargs)
    return call("log_softmax_backward_from_output", (grad, y), axis, out=out, **kwargs)


@_documented(
    summary="Gradient of `logsumexp`.",
    formula="grad * softmax(x)",
    inputs="grad : array_like\n    Gradient with respect to the output, without the axis.\n" + _X,
    keepdims="keepdims : bool, default=False\n"
    "    Whether `grad` has the reduced axis with size 1.\n",
    shape="the shape of `x`",
    example=">>> relume.logsumexp_backward(1.0, np.array([0.0, 0.0]))\narray([0.5, 0.5])",
)
def logsumexp_backward(
    grad: ArrayLike,
    x: ArrayLike,
    axis: int | tuple[int, ...] | None = -1,
    *,
    keepdims: bool = False,
    out: NDArray[Any] | None = None,
    **kwargs: Any,
) -> NDArray[Any]:
    if (
        not (kwargs or keepdims)
        and is_small(axis, x)
        and type(grad) is np.ndarray
        and (grad.ndim == x.ndim - 1)
    ):
        return along_axis.logsumexp_backward(grad, x, axis=axis, out=out)
    if kwargs:
        refuse_unknown(logsumexp_backward, kwargs)
    if keepdims:
        grad = np.squeeze(np.asanyarray(grad), axes_of(axis, np.ndim(x)))
    if (
        is_direct(axis, kwargs, x, out)
        and np.ndim(grad) < np.ndim(x)
        and not isinstance(grad, np.ma.MaskedArray)
    ):
        return along_axis.logsumexp_backward(grad, x, axis=axis, out=out, **kwargs)
    return call("logsumexp_backward", (grad, x), axis, out=out, **kwargs)
