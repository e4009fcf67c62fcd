"""The gradients of prelu with respect to its input and its weight."""

import functools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relume.functional.activations import prelu
from relume.functional.containers import (
    dtype_of,
    has_labels,
    in_order_of,
    kind_of,
    labelled,
    values_of,
)
from relume.ufuncs import along_axis, elementwise

__all__ = ["prelu", "prelu_backward"]


def _merged(shape, weight_shape):
    """Merge neighbouring axes that are all summed for the weight gradient, or all kept.

    Returns the sizes of the merged axes, and for each whether it is summed.
    """
    sizes: list[int] = []
    summed: list[bool] = []
    for n, kept in zip(shape, (1,) * (len(shape) - len(weight_shape)) + weight_shape, strict=True):
        if n == 1:
            continue
        if summed and summed[-1] == (kept == 1):
            sizes[-1] *= n
        else:
            sizes.append(n)
            summed.append(kept == 1)
    return sizes, summed


@functools.lru_cache(maxsize=128)
def _summation(shape, weight_shape):
    """How to sum the weight gradient, or None if there is nothing to sum.

    Returns the merged shape of the inputs, the axis that the kernel sums along (the longest of
    the summed axes), the shapes of the weight and of the kernel's sums without that axis, and the
    remaining axes to sum after the kernel has run.
    """
    sizes, summed = _merged(shape, weight_shape)
    if True not in summed:
        return None
    axis = max((n, i) for i, n in enumerate(sizes) if summed[i])[1]
    others = [i for i in range(len(sizes)) if i != axis]
    weight_sizes = [1 if summed[i] else sizes[i] for i in others]
    rest = tuple(k for k, i in enumerate(others) if summed[i])
    return sizes, axis, weight_sizes, [sizes[i] for i in others], rest


def _alike(ufunc, *inputs):
    """The dtype in which a ufunc with one output computes, and its inputs as arrays of it."""
    dtype = getattr(inputs[0], "dtype", None)
    same = [a for a in inputs if dtype is not None and getattr(a, "dtype", None) is dtype]
    if dtype is None or len(same) < len(inputs) or dtype.char not in "efd" or not dtype.isnative:
        inputs = [a if type(a) in (int, float) else np.asarray(a) for a in inputs]
        dtype = ufunc.resolve_dtypes((*map(dtype_of, inputs), None))[-1]
    return dtype, *(np.asarray(a, dtype) for a in inputs)


def _of_others(grad, x, weight):
    """Both gradients of arrays of other libraries or of subclasses; None for all else."""
    kind = kind_of(x, grad, weight)
    if kind in ("pandas", "xarray"):
        like = x if has_labels(x) else grad
        values = in_order_of(grad, like, ("grad", "x")), values_of(x)
        grad_x, grad_weight = prelu_backward(*values, in_order_of(weight, like, ("weight", "x")))
        if has_labels(like) and grad_x.shape == like.shape:
            grad_x = labelled(grad_x, like)
        return grad_x, labelled(grad_weight, weight) if has_labels(weight) else grad_weight
    if kind in ("dask", "masked"):
        grad_x = elementwise.prelu_backward(grad, x, weight)
        product = elementwise.prelu_parameter_gradient(grad, x)
        product = np.broadcast_to(product, grad_x.shape, subok=True) if kind == "masked" else (
            product + np.zeros_like(grad_x)
        )  # fmt: skip
        return grad_x, _summed(product, np.shape(weight), grad_x.dtype)
    if kind or any(type(each) is not np.ndarray for each in (grad, x) if _is_array(each)):
        grad_x = elementwise.prelu_backward(grad, x, weight)
        return grad_x, prelu_backward(*map(np.asarray, (grad, x, weight)))[1]
    return None


def _is_array(value):
    return isinstance(value, np.ndarray)


def _summed(product, weight_shape, dtype):
    """The terms of the weight gradient, summed in at least float32 to the shape of the weight."""
    kept = (1,) * (product.ndim - len(weight_shape)) + weight_shape
    axes = tuple(i for i, n in enumerate(kept) if n == 1)
    total = product.sum(axis=axes, dtype=np.promote_types(dtype, np.float32))
    return total.astype(dtype).reshape(weight_shape)


def prelu_backward(
    grad: ArrayLike, x: ArrayLike, weight: ArrayLike
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Compute the gradients of `prelu` with respect to its input and its weight.

    Computes ``grad * (1 where x > 0, else weight)``, and ``grad * (x where x < 0, else 0)``
    summed over the axes along which `weight` was broadcast.

    Parameters
    ----------
    grad : array_like
        Gradient with respect to the output.
    x : array_like
        Input of the forward pass.
    weight : array_like
        Slopes of the forward pass. Broadcasts against `x` along the last axes, as in NumPy.

    Returns
    -------
    grad_x : ndarray
        Gradient with respect to `x`, with the inputs' common dtype and broadcast shape.
    grad_weight : ndarray
        Gradient with respect to `weight`, with the same dtype and the shape of `weight`.

    Raises
    ------
    TypeError
        If an input has a dtype that cannot be cast safely to float16, float32 or float64.
    ValueError
        If the shapes do not broadcast.

    Notes
    -----
    At 0 the derivatives are ``weight`` and 0, as in PyTorch. NaN in `x` or `grad` gives NaN.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers: surpassing human-level
    performance on ImageNet classification", ICCV 2015.

    Examples
    --------
    >>> import numpy as np
    >>> import relume
    >>> relume.prelu_backward(np.ones(3), np.array([-2.0, 0.0, 3.0]), 0.5)
    (array([0.5, 0.5, 1. ]), array(-2.))
    """
    if not (type(x) is type(grad) is type(weight) is np.ndarray):
        found = _of_others(grad, x, weight)
        if found is not None:
            return found
    shape, weight_shape = np.broadcast(grad, x, weight).shape, np.shape(weight)
    summation = _summation(shape, weight_shape)
    if summation is None:
        grad_x = elementwise.prelu_backward(grad, x, weight)
        grad_weight = np.empty(weight_shape, grad_x.dtype)
        elementwise.prelu_parameter_gradient(grad, x, out=grad_weight.reshape(shape))
        return grad_x, grad_weight
    sizes, axis, weight_sizes, sums_sizes, rest = summation
    dtype, grad, x, weight = _alike(elementwise.prelu_backward, grad, x, weight)
    if not grad.shape == x.shape == shape:
        grad, x = np.broadcast_to(grad, shape), np.broadcast_to(x, shape)
    grad_x = np.empty(shape, dtype)
    sums = np.empty(sums_sizes, np.float64 if dtype == np.float64 else np.float32)
    along_axis.prelu_backward(
        grad.reshape(sizes), x.reshape(sizes), weight.reshape(weight_sizes),
        out=(grad_x.reshape(sizes), sums), axis=axis,
    )  # fmt: skip
    if rest or sums.dtype != dtype:
        with np.errstate(all="ignore"):
            sums = np.asarray(np.add.reduce(sums, axis=rest), dtype)
    return grad_x, sums.reshape(weight_shape)
