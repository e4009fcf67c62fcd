"""The gradients of prelu: with respect to its input and to its weight, summed over its axes."""

import functools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relume.functional.activations import prelu
from relume.ufuncs import along_axis, elementwise

__all__ = ["prelu", "prelu_backward"]


def _merged(shape, weight_shape):
    """Axes that follow each other and are all summed for the weight, or all not, made one.

    Returns the sizes of what is left, and whether they are summed.
    """
    sizes, summed = [], []
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
    """How to sum for the weight; None if there is nothing to sum.

    The sizes of the inputs, the axis that the kernel sums along, which is the longest, the sizes
    of weight and sums there, and the few axes along which the sums are added up after it.
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
    """The dtype to which a ufunc of one output brings its inputs, and these as arrays of it."""
    dtype = getattr(inputs[0], "dtype", None)
    same = [a for a in inputs if dtype is not None and getattr(a, "dtype", None) is dtype]
    if len(same) < len(inputs) or dtype.char not in "efd" or not dtype.isnative:
        inputs = [a if type(a) in (int, float) else np.asarray(a) for a in inputs]
        dtype = ufunc.resolve_dtypes((*(getattr(a, "dtype", type(a)) for a in inputs), None))[-1]
    return dtype, *(np.asarray(a, dtype) for a in inputs)


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
        Slopes of the forward pass, broadcast against `x` as NumPy does (last axes).

    Returns
    -------
    grad_x : ndarray
        Of the inputs' common dtype and broadcast shape.
    grad_weight : ndarray
        Of the same dtype and the shape of `weight`.

    Raises
    ------
    TypeError
        If an input has a dtype that cannot be cast safely to float16, float32 or float64.
    ValueError
        If the shapes do not broadcast.

    Notes
    -----
    At 0 the derivatives are ``weight`` and 0, as PyTorch's. NaN in x or grad gives NaN.

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
        out=(grad_x.reshape(sizes), sums), axes=[(axis,), (axis,), (), (axis,), ()],
    )  # fmt: skip
    if rest or sums.dtype != dtype:
        with np.errstate(all="ignore"):
            sums = np.asarray(np.add.reduce(sums, axis=rest), dtype)
    return grad_x, sums.reshape(weight_shape)
