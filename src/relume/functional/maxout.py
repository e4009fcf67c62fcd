"""Maxout (Goodfellow et al., 2013): the maximum of several pieces along an axis."""

import functools
import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from relume.functional.containers import kind_of, labelled, part, shape_of, values_of
from relume.keywords import of_ufunc
from relume.ufuncs import along_axis
from relume.validation import integer

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
    kind = "" if type(x) is np.ndarray or out is not None else kind_of(x)
    if kind != "other":
        x = x if kind else np.asanyarray(x)
        _check_pieces(x, axis)
    if kind in OTHERS:
        return OTHERS[kind](x, normalize_axis_index(operator.index(axis), x.ndim), kwargs)
    if out is not None:
        kwargs["out"] = out
    try:
        return along_axis.maxout(x, axis=axis, **kwargs)
    except TypeError as error:
        raise of_ufunc(error, maxout, kwargs, along_axis.maxout) from None


def _check_pieces(x, axis):
    if x.shape[normalize_axis_index(operator.index(axis), x.ndim)] == 0:
        raise ValueError(
            f"x must have at least one piece along axis={axis}, got an array of shape {x.shape}"
        )


def _of_labels(x, axis, kwargs):
    """Maximum and index with the labels of the other axes."""
    best, which = maxout(values_of(x), axis, **kwargs)
    if x.ndim == 1:
        return best, which
    like = part(x, axis, 0)
    like = like.rename(None)  # else a Series has the name of the first piece
    return labelled(best, like), labelled(which, like)


def _of_dask(x, axis, kwargs):
    """Maximum and index, lazily; the pieces must be in one chunk."""
    import dask.array

    dtype = kwargs.get("dtype") or along_axis.maxout.resolve_dtypes((x.dtype, None, None))[1]
    function = functools.partial(along_axis.maxout, **kwargs)
    return dask.array.apply_gufunc(
        function, "(i)->(),()", x, axis=axis, output_dtypes=[dtype, np.intp], allow_rechunk=True
    )


def _of_masked(x, axis, kwargs):
    """Maximum of the pieces that are not masked, and its index; masked where all are."""
    mask = np.ma.getmaskarray(x)
    values = np.array(x.data, along_axis.maxout.resolve_dtypes((x.dtype, None, None))[1])
    values[mask] = -np.inf
    best, which = along_axis.maxout(values, axis=axis, **kwargs)
    # A piece of -inf may be the first maximum and masked.
    hidden = np.take_along_axis(mask, np.expand_dims(which, axis), axis).squeeze(axis)
    which = np.where(hidden, mask.argmin(axis), which)
    nothing = mask.all(axis)
    return np.ma.array(best, mask=nothing), np.ma.array(which, mask=nothing)


OTHERS = {"dask": _of_dask, "masked": _of_masked, "pandas": _of_labels, "xarray": _of_labels}


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
    TypeError
        If `which` does not hold integers, or `pieces` is none.
    IndexError
        If an index is out of bounds for the number of pieces.
    ValueError
        If `which` does not have the shape of `grad`, or `out` that of the result.
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
    kind = "" if out is not None else kind_of(grad, which)
    pieces = integer(pieces, "pieces")
    _check_index(which, shape_of(grad))
    if kind == "dask":
        return _gradient_of_dask(grad, which, pieces, axis)
    is_masked = kind == "masked"
    if is_masked:
        mask = np.ma.mask_or(np.ma.getmaskarray(grad), np.ma.getmaskarray(which), shrink=False)
        which = np.where(mask, 0, np.ma.getdata(which))
        grad = np.where(mask, np.ma.getdata(grad).dtype.type(0), np.ma.getdata(grad))
    grad = np.asanyarray(grad)
    which = np.asarray(which)
    if which.dtype.kind == "u":
        which = which.astype(np.intp)
    axis = normalize_axis_index(operator.index(axis), grad.ndim + 1)
    shape = (*grad.shape[:axis], pieces, *grad.shape[axis:])
    result = np.empty(shape, grad.dtype) if out is None else out
    if result.shape != shape:
        raise ValueError(f"out must have the shape {shape}, got {result.shape}")
    if grad.dtype.char in "efd" and which.dtype.kind == "i":
        along_axis.maxout_backward(grad, which, out=result, axis=axis)
    else:
        result[...] = 0
        grad, which = np.expand_dims(grad, axis), np.expand_dims(which, axis)
        try:
            np.put_along_axis(result, which, grad, axis)
        except IndexError:
            raise IndexError(
                f"which must hold indices of the {pieces} pieces, "
                f"got {which.min()} to {which.max()}"
            ) from None
    if is_masked:
        hidden = np.broadcast_to(np.expand_dims(mask, axis), shape)
        return np.ma.array(result, mask=hidden)
    return result


def _check_index(which, shape):
    which = which if hasattr(which, "dtype") else np.asarray(which)
    if getattr(which.dtype, "kind", "i") not in "iu":
        raise TypeError(
            f"which must hold the integers that maxout gives second, got dtype {which.dtype}"
        )
    if which.shape == shape:
        return
    fits = len(which.shape) <= len(shape) and all(
        size in (1, n) for size, n in zip(which.shape[::-1], shape[::-1], strict=False)
    )
    if not fits:
        raise ValueError(
            f"which must have the shape of grad, {shape}, got {which.shape}; it is the second "
            "array that maxout gives"
        )


def _gradient_of_dask(grad, which, pieces, axis):
    """The gradient, lazily, with the pieces in one chunk."""
    import dask.array

    like = grad if kind_of(grad) == "dask" or shape_of(grad) != which.shape else which
    chunks = dask.array.asarray(like).chunks
    grad = dask.array.asarray(grad).rechunk(chunks)
    which = dask.array.broadcast_to(dask.array.asarray(which), grad.shape).rechunk(chunks)
    axis = normalize_axis_index(operator.index(axis), grad.ndim + 1)
    function = functools.partial(maxout_backward, pieces=pieces)
    return dask.array.apply_gufunc(
        function, "(),()->(i)", grad, which, axes=[(), (), (axis,)],
        output_dtypes=grad.dtype, output_sizes={"i": pieces}, vectorize=False,
    )  # fmt: skip
