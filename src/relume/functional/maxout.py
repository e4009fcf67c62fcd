"""Functions that join, choose or split pieces along an axis: crelu and maxout."""

import math
import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from relume.ufuncs import along_axis as kernels
from relume.ufuncs import elementwise as ufuncs

__all__ = ["crelu", "crelu_backward", "maxout", "maxout_backward"]


def halves(x: NDArray[Any], axis: int, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Two views of the array `name` along an axis."""
    axis = normalize_axis_index(operator.index(axis), x.ndim)
    half, odd = divmod(x.shape[axis], 2)
    if odd:
        raise ValueError(f"{name} must have an even size along axis {axis}, got {2 * half + 1}")
    if axis == x.ndim - 1:  # two thirds of the time
        return x[..., :half], x[..., half:]
    before = (slice(None),) * axis
    return x[(*before, slice(half))], x[(*before, slice(half, None))]


# -- maxout: Goodfellow et al., 2013 --------------------------------------------------------------


def maxout(
    x: ArrayLike, axis: int = -1, *, out: Any = None, **kwargs: Any
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Largest of several pieces, and which it is.

    Computes ``max(x)`` and ``argmax(x)`` along an axis.

    Parameters
    ----------
    x : array_like
        The pieces side by side along `axis`.
    axis : int, default=-1
        The axis of the pieces.
    out : tuple of ndarray, optional
        Where both results go.
    **kwargs : optional
        ``casting``, ``order``, ``dtype`` and ``subok``, as for every `numpy.ufunc`.

    Returns
    -------
    best : ndarray
        The maximum, of `x`'s floating dtype and its shape without the axis.
    which : ndarray of intp
        The index of the first maximum, for `maxout_backward`.

    Raises
    ------
    ValueError
        If there are no pieces.
    numpy.exceptions.AxisError
        If `axis` is out of range, a ValueError and an IndexError.

    Notes
    -----
    NaN counts as the largest, the first one among several. Exact.

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
        raise ValueError(f"maxout needs at least one piece, got shape {x.shape} and axis={axis}")
    if out is not None:
        kwargs["out"] = out
    return kernels.maxout(x, axis=axis, **kwargs)


def maxout_backward(
    grad: ArrayLike,
    which: ArrayLike,
    pieces: int,
    axis: int = -1,
    *,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Gradient of `maxout`.

    Computes ``grad where the piece is the one that was chosen, else 0``.

    Parameters
    ----------
    grad : array_like
        Gradient with respect to the maximum.
    which : array_like of int
        The indices that `maxout` returned.
    pieces : int
        How many there were.
    axis : int, default=-1
        The axis of the pieces in the result.
    out : ndarray, optional
        Where the result goes.

    Returns
    -------
    ndarray
        Of `grad`'s dtype, with the axis of the pieces inserted.

    Raises
    ------
    IndexError
        If an index is not below `pieces`.
    ValueError
        If `out` has not the shape of the result.
    numpy.exceptions.AxisError
        If `axis` is out of range, a ValueError and an IndexError.

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
        kernels.maxout_backward(grad, which, out=result, axes=[(), (), (axis,)])
    else:
        result[...] = 0
        grad, which = np.expand_dims(grad, axis), np.expand_dims(which, axis)
        np.put_along_axis(result, which, grad, axis)
    return result


def _merged(arrays, axis):
    """The arrays as matrices whose last axis is `axis` and all after it, if none has gaps.

    Along the last axis all of these functions go, so the longer it is the better.
    """
    if axis == arrays[0].ndim - 1:
        return arrays, axis
    if not all(a.flags.c_contiguous and a.size for a in arrays):
        return arrays, axis
    return [a.reshape(math.prod(a.shape[:axis]), -1) for a in arrays], 1


# -- crelu: Shang et al., 2016 --------------------------------------------------------------------


def _doubled(shape, axis):
    return (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])


def crelu(x: ArrayLike, axis: int = -1, *, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Concatenated rectified linear unit: both signs of the input, each rectified.

    Computes ``concatenate([max(x, 0), max(-x, 0)])`` along an axis.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int, default=-1
        The axis along which the two are joined.
    out : ndarray, optional
        Where the result goes.

    Returns
    -------
    ndarray
        Of the dtype of ``relu(x)``, twice as long along `axis`.

    Raises
    ------
    ValueError
        If `out` has not the shape of the result.
    numpy.exceptions.AxisError
        If `axis` is out of range, a ValueError and an IndexError.

    Notes
    -----
    The derivative at 0 is 0 in both. NaN in x gives NaN in both. Exact.

    References
    ----------
    W. Shang, K. Sohn, D. Almeida and H. Lee, "Understanding and improving convolutional neural
    networks via concatenated rectified linear units", ICML 2016.

    Examples
    --------
    >>> import numpy as np
    >>> import relume
    >>> relume.crelu(np.array([-1.0, 2.0]))
    array([0., 2., 1., 0.])
    """
    x = np.asanyarray(x)
    axis = normalize_axis_index(operator.index(axis), x.ndim)
    shape = _doubled(x.shape, axis)
    dtype = ufuncs.relu.resolve_dtypes((x.dtype, None))[1]
    result = np.empty(shape, dtype) if out is None else out
    if result.shape != shape:
        raise ValueError(f"out must have the shape {shape}, got {result.shape}")
    if x.dtype.kind in "iu":
        for half, signed in zip(
            halves(result, axis, "out"), (x.copy(), np.negative(x)), strict=True
        ):
            ufuncs.relu(signed, out=half)
        return result
    (x, joined), axis = _merged((x, result), axis)
    kernels.crelu(x, out=halves(joined, axis, "out"))
    return result


def crelu_backward(
    grad: ArrayLike, x: ArrayLike, axis: int = -1, *, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Gradient of `crelu`.

    Computes ``first half of grad where x > 0, less second half where x < 0``.

    Parameters
    ----------
    grad : array_like
        Gradient with respect to the output, twice as long as `x` along `axis`.
    x : array_like
        Input of the forward pass.
    axis : int, default=-1
        The axis along which the two were joined.
    out : ndarray, optional
        Where the result goes.

    Returns
    -------
    ndarray
        Of the inputs' common floating dtype and the shape of `x`.

    Raises
    ------
    ValueError
        If `grad` is not twice as long as `x` along `axis`.
    numpy.exceptions.AxisError
        If `axis` is out of range, a ValueError and an IndexError.

    Notes
    -----
    The derivative at 0 is 0. NaN in x or grad gives NaN. Exact.

    References
    ----------
    W. Shang, K. Sohn, D. Almeida and H. Lee, "Understanding and improving convolutional neural
    networks via concatenated rectified linear units", ICML 2016.

    Examples
    --------
    >>> import numpy as np
    >>> import relume
    >>> relume.crelu_backward(np.array([1.0, 2.0, 3.0, 4.0]), np.array([-1.0, 2.0]))
    array([-3.,  2.])
    """
    grad, x = np.asanyarray(grad), np.asanyarray(x)
    axis = normalize_axis_index(operator.index(axis), x.ndim)
    shape = _doubled(x.shape, axis)
    if grad.shape != shape:
        raise ValueError(f"grad must have the shape {shape}, got {grad.shape}")
    if out is not None and (not isinstance(out, np.ndarray) or out.shape != x.shape):
        return kernels.crelu_backward(*halves(grad, axis, "grad"), x, out=out)
    (flat_grad, flat_x, *flat_out), axis = _merged(
        (grad, x) if out is None else (grad, x, out), axis
    )
    result = kernels.crelu_backward(
        *halves(flat_grad, axis, "grad"), flat_x, out=tuple(flat_out) or None
    )
    return result.reshape(x.shape) if out is None else out
