"""Maxout (Goodfellow et al., 2013): the maximum of several pieces along an axis."""

import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from relume.ufuncs import along_axis

__all__ = ["maxout", "maxout_backward"]


def maxout(
    x: ArrayLike,
    axis: int = -1,
    *,
    out: tuple[NDArray[Any], NDArray[np.intp]] | None = None,
    **kwargs: Any,
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the maximum of several pieces, and its index.

    Computes ``max(x)`` and ``argmax(x)`` along an axis.

    Parameters
    ----------
    x : array_like
        Input. Its elements along `axis` are the pieces.
    axis : int, default=-1
        Axis of the pieces.
    out : tuple of ndarray, optional
        Arrays into which the maximum and the index are written.
    **kwargs : optional
        ``casting``, ``order``, ``dtype`` and ``subok``, as for any `numpy.ufunc`.

    Returns
    -------
    best : ndarray
        Maximum, with the floating-point dtype of `x`, and its shape without the axis.
    which : ndarray of intp
        Index of the maximum, the first one if there are several, as `maxout_backward` expects it.

    Raises
    ------
    ValueError
        If `x` has size 0 along `axis`.
    numpy.exceptions.AxisError
        If `axis` is out of range. It is both a ValueError and an IndexError.

    Notes
    -----
    NaN counts as the maximum; among several NaNs, the first one counts. The result is exact.

    References
    ----------
    I. J. Goodfellow, D. Warde-Farley, M. Mirza, A. Courville and Y. Bengio, "Maxout networks",
    ICML 2013.

    Examples
    --------
    >>> import numpy as np
    >>> import relume
    >>> relume.maxout(np.array([[1.0, 3.0, 2.0], [5.0, 5.0, 4.0]]))
    (array([3., 5.]), array([1, 0]))
    """
    x = np.asanyarray(x)
    if x.shape[normalize_axis_index(operator.index(axis), x.ndim)] == 0:
        raise ValueError(
            f"x must have at least one piece along axis={axis}, got an array of shape {x.shape}"
        )
    if out is not None:
        kwargs["out"] = out
    return along_axis.maxout(x, axis=axis, **kwargs)


def maxout_backward(
    grad: ArrayLike,
    which: ArrayLike,
    pieces: int,
    axis: int = -1,
    *,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Gradient of `maxout`.

    Computes ``grad`` at the index of the maximum, and 0 at all other indices.

    Parameters
    ----------
    grad : array_like
        Gradient with respect to the maximum.
    which : array_like of int
        Indices returned by `maxout`.
    pieces : int
        Number of pieces.
    axis : int, default=-1
        Axis of the pieces in the result.
    out : ndarray, optional
        Array into which the result is written.

    Returns
    -------
    ndarray
        Array with the dtype of `grad` and its shape, with the axis of the pieces inserted.

    Raises
    ------
    IndexError
        If an index is out of bounds for the number of pieces.
    ValueError
        If `out` does not have the shape of the result.
    numpy.exceptions.AxisError
        If `axis` is out of range. It is both a ValueError and an IndexError.

    References
    ----------
    I. J. Goodfellow, D. Warde-Farley, M. Mirza, A. Courville and Y. Bengio, "Maxout networks",
    ICML 2013.

    Examples
    --------
    >>> import numpy as np
    >>> import relume
    >>> relume.maxout_backward(np.array([1.0, 2.0]), np.array([1, 0]), 3)
    array([[0., 1., 0.],
           [2., 0., 0.]])
    """
    grad = np.asanyarray(grad)
    which = np.asarray(which)
    axis = normalize_axis_index(operator.index(axis), grad.ndim + 1)
    shape = (*grad.shape[:axis], pieces, *grad.shape[axis:])
    result = np.empty(shape, grad.dtype) if out is None else out
    if result.shape != shape:
        raise ValueError(f"out must have the shape {shape}, got {result.shape}")
    if grad.dtype.char in "efd" and which.dtype.kind == "i":
        along_axis.maxout_backward(grad, which, out=result, axes=[(), (), (axis,)])
    else:
        result[...] = 0
        grad, which = np.expand_dims(grad, axis), np.expand_dims(which, axis)
        np.put_along_axis(result, which, grad, axis)
    return result
