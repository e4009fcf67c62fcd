"""The concatenated ReLU (Shang et al., 2016), which doubles the size of an axis."""

import math
import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from relume.functional.containers import (
    concatenated,
    has_labels,
    kind_of,
    labelled,
    sliceable,
    values_of,
)
from relume.functional.split_axis import halves
from relume.ufuncs import along_axis, elementwise

__all__ = ["crelu", "crelu_backward"]


def _doubled(shape, axis):
    return (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])


def _negative(x):
    """-x, or 0 where the dtype has no negative numbers."""
    return np.bitwise_xor(x, x) if x.dtype.kind in "ub" else np.negative(x)


def crelu(x: ArrayLike, axis: int = -1, *, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Concatenated rectified linear unit: rectify `x` and ``-x`` and join the results.

    Computes ``concatenate([max(x, 0), max(-x, 0)])`` along an axis.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int, default=-1
        Axis along which the two halves are joined.
    out : ndarray, optional
        Array into which the result is written.

    Returns
    -------
    ndarray
        Array with the dtype of ``relu(x)`` and the shape of `x`, twice as long along `axis`.

    Raises
    ------
    ValueError
        If `out` does not have the shape of the result.
    numpy.exceptions.AxisError
        If `axis` is out of range. It is both a ValueError and an IndexError.

    Notes
    -----
    The derivative at 0 is 0 in both halves. NaN in `x` gives NaN in both halves. The result is
    exact. The second half of unsigned integers and booleans is 0. The negative of the smallest
    signed integer wraps around, as in NumPy, so it gives 0 in both halves.

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
    if type(x) is not np.ndarray:
        kind = kind_of(x) if out is None else ""
        if kind in ("dask", "masked") or (kind == "other" and hasattr(x, "__array_function__")):
            axis = normalize_axis_index(operator.index(axis), x.ndim)
            return concatenated((elementwise.relu(x), elementwise.relu(_negative(x))), axis)
        x = np.asanyarray(x)
    axis = normalize_axis_index(operator.index(axis), x.ndim)
    shape = _doubled(x.shape, axis)
    if not (out is None or hasattr(out, "shape")):
        raise TypeError(f"out must be an array of shape {shape}, got {type(out).__name__}")
    if out is None:
        dtype = elementwise.relu.resolve_dtypes((x.dtype, None))[1]
        result = np.empty_like(x, dtype, "C", shape=shape)
    else:
        result = out
    if result.shape != shape:
        raise ValueError(f"out must have the shape {shape}, got {result.shape}")
    if x.dtype.kind in "iub":
        both = x.copy(), _negative(x)
        for half, signed in zip(halves(result, axis, "out"), both, strict=True):
            elementwise.relu(signed, out=half)
        return result
    (x, joined), axis = _merged((x, result), axis)
    along_axis.crelu(x, out=halves(joined, axis, "out"))
    return result


def crelu_backward(
    grad: ArrayLike, x: ArrayLike, axis: int = -1, *, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Gradient of `crelu`.

    Computes ``grad1 where x > 0, -grad2 where x < 0, else 0``, where ``grad1`` and ``grad2`` are
    the halves of `grad`.

    Parameters
    ----------
    grad : array_like
        Gradient with respect to the output, twice as long as `x` along `axis`.
    x : array_like
        Input of the forward pass.
    axis : int, default=-1
        Axis along which the two halves were joined.
    out : ndarray, optional
        Array into which the result is written.

    Returns
    -------
    ndarray
        Array with the inputs' common floating dtype and the shape of `x`.

    Raises
    ------
    ValueError
        If `grad` is not twice as long as `x` along `axis`.
    numpy.exceptions.AxisError
        If `axis` is out of range. It is both a ValueError and an IndexError.

    Notes
    -----
    The derivative at 0 is 0. NaN in `x` or `grad` gives NaN. The result is exact.

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
    if out is None and not (type(grad) is type(x) is np.ndarray):
        if has_labels(x):
            return labelled(crelu_backward(values_of(grad), values_of(x), axis), x)
        grad, x = sliceable(values_of(grad)), sliceable(x)
        if kind_of(grad, x):
            axis = normalize_axis_index(operator.index(axis), x.ndim)
            if grad.shape != _doubled(x.shape, axis):
                raise ValueError(
                    f"grad must have the shape {_doubled(x.shape, axis)}, got {grad.shape}"
                )
            first, second = halves(grad, axis, "grad")
            below = elementwise.relu_backward(second, np.negative(x))
            return elementwise.relu_backward(first, x) - below
    grad, x = np.asanyarray(grad), np.asanyarray(x)
    axis = normalize_axis_index(operator.index(axis), x.ndim)
    shape = _doubled(x.shape, axis)
    if grad.shape != shape:
        raise ValueError(f"grad must have the shape {shape}, got {grad.shape}")
    if out is not None and (not isinstance(out, np.ndarray) or out.shape != x.shape):
        return along_axis.crelu_backward(*halves(grad, axis, "grad"), x, out=out)
    (flat_grad, flat_x, *flat_out), axis = _merged(
        (grad, x) if out is None else (grad, x, out), axis
    )
    result = along_axis.crelu_backward(
        *halves(flat_grad, axis, "grad"), flat_x, out=tuple(flat_out) or None
    )
    return result.reshape(x.shape) if out is None else out


def _merged(arrays, axis):
    """Reshape contiguous arrays to matrices by merging `axis` with all axes after it.

    The kernels work along the last axis, so a longer last axis is faster. Arrays that are not
    contiguous are returned unchanged.
    """
    if axis == arrays[0].ndim - 1:
        return arrays, axis
    if not all(a.flags.c_contiguous and a.size for a in arrays):
        return arrays, axis
    return [a.reshape(math.prod(a.shape[:axis]), -1) for a in arrays], 1
