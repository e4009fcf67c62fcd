"""The randomized leaky ReLU (Xu et al., 2015), which draws a slope for each element."""

import functools
import math
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relume.keywords import of_ufunc
from relume.ufuncs import elementwise

__all__ = ["rrelu", "rrelu_backward"]


def _mean_slope(lower, upper):
    if not -math.inf < lower <= upper < math.inf:
        raise ValueError(
            f"lower and upper must be finite with lower <= upper, got lower={lower!r} and "
            f"upper={upper!r}"
        )
    return (lower + upper) / 2


@functools.lru_cache(maxsize=16)
def _interval(lower, upper, dtype):
    """The dtype of the random numbers, and in it the minimum, width and maximum of the slopes."""
    # Rounding could give `upper`, which the half-open interval excludes.
    below = np.nextafter(dtype.type(upper), dtype.type(-math.inf))
    drawn = np.promote_types(dtype, np.float32)
    ends = (lower, upper - lower, max(below, dtype.type(lower)))
    return drawn, *(np.asarray(end, drawn) for end in ends)


def _drawn(lower, upper, x, rng):
    """A slope in [lower, upper) for each element of x, with the dtype of the result."""
    x = np.asarray(x)
    dtype = x.dtype
    if not (dtype.char in "efd" and dtype.isnative):
        dtype = elementwise.sigmoid.resolve_dtypes((dtype, None))[1]
    drawn, min_slope, width, max_slope = _interval(float(lower), float(upper), dtype)
    # One double makes two float32 slopes.
    numbers = rng.random(x.size if drawn == np.float64 else (x.size + 1) // 2).view(drawn)
    slope = elementwise.uniform(numbers, min_slope, width, max_slope)[: x.size].reshape(x.shape)
    return slope if drawn == dtype else np.minimum(slope.astype(dtype), max_slope.astype(dtype))


@overload
def rrelu(
    x: ArrayLike, lower: float = ..., upper: float = ..., training: bool = ..., *,
    rng: np.random.Generator | None = ..., return_slope: Literal[False] = ...,
    out: NDArray[Any] | None = ...,
    **kwargs: Any,
) -> NDArray[Any]: ...  # fmt: skip
@overload
def rrelu(
    x: ArrayLike, lower: float = ..., upper: float = ..., training: bool = ..., *,
    rng: np.random.Generator | None = ..., return_slope: Literal[True],
    out: NDArray[Any] | None = ...,
    **kwargs: Any,
) -> tuple[NDArray[Any], Any]: ...  # fmt: skip
def rrelu(
    x,
    lower=1 / 8,
    upper=1 / 3,
    training=False,
    *,
    rng=None,
    return_slope=False,
    out=None,
    **kwargs,
):
    """Randomized leaky rectified linear unit.

    Computes ``x where x > 0, else slope * x``. In training, a slope is drawn for each element.

    Parameters
    ----------
    x : array_like
        Input.
    lower, upper : float, default=1/8, 1/3
        Bounds of the slopes, which are drawn uniformly from [lower, upper).
    training : bool, default=False
        Whether to draw the slopes. If false, every slope is ``(lower + upper) / 2``.
    rng : numpy.random.Generator, optional
        Random number generator for the slopes. Required if `training` is true.
    return_slope : bool, default=False
        Whether to return the slopes too, for use in the backward pass.
    out : ndarray, optional
        Array into which the result is written.
    **kwargs : optional
        ``where``, ``casting``, ``order``, ``dtype`` and ``subok``, as for any `numpy.ufunc`.

    Returns
    -------
    y : ndarray or scalar
        Result with the floating dtype and shape of `x`.
    slope : ndarray or float
        Slopes with the same dtype and shape, or the mean slope if `training` is false. Returned
        only if `return_slope` is true.

    Raises
    ------
    TypeError
        If `training` is true and `rng` is not a Generator.
    ValueError
        Unless ``lower <= upper`` and both are finite.

    Notes
    -----
    The derivative at 0 is the slope, as in PyTorch. NaN in `x` gives NaN. The error is at most
    2 ULP.

    References
    ----------
    B. Xu, N. Wang, T. Chen and M. Li, "Empirical evaluation of rectified activations in
    convolutional network", arXiv:1505.00853.

    Examples
    --------
    >>> import numpy as np
    >>> import relume
    >>> relume.rrelu(np.array([-2.0, 3.0]), 0.25, 0.75)
    array([-1.,  3.])
    >>> y, slope = relume.rrelu(np.array([-2.0, 3.0]), training=True, return_slope=True,
    ...                         rng=np.random.default_rng(0))
    >>> bool(y[0] == -2 * slope[0])
    True
    """
    slope = _mean_slope(lower, upper)
    if training:
        if not isinstance(rng, np.random.Generator):
            from relume.validation import shown

            raise TypeError(f"rng must be a numpy.random.Generator if training, got {shown(rng)}")
        slope = _drawn(lower, upper, x, rng)
    try:
        if kwargs:
            y = elementwise.prelu(x, slope, out=out, **kwargs)
        else:
            y = elementwise.prelu(x, slope, out=out)
    except TypeError as error:
        raise of_ufunc(error, rrelu, kwargs, elementwise.prelu) from None
    return (y, slope) if return_slope else y


def rrelu_backward(
    grad: ArrayLike,
    x: ArrayLike,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    *,
    slope: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    **kwargs: Any,
) -> NDArray[Any]:
    """Gradient of `rrelu`.

    Computes ``grad * (1 where x > 0, else slope)``.

    Parameters
    ----------
    grad : array_like
        Gradient with respect to the output.
    x : array_like
        Input of the forward pass.
    lower, upper : float, default=1/8, 1/3
        Bounds of the slopes. If `slope` is not given, every slope is ``(lower + upper) / 2``.
    slope : array_like, optional
        Slopes returned by the forward pass.
    out : ndarray, optional
        Array into which the result is written.
    **kwargs : optional
        ``where``, ``casting``, ``order``, ``dtype`` and ``subok``, as for any `numpy.ufunc`.

    Returns
    -------
    ndarray or scalar
        Gradient with the inputs' common dtype and broadcast shape.

    Raises
    ------
    ValueError
        Unless ``lower <= upper`` and both are finite.

    Notes
    -----
    The derivative at 0 is the slope, as in PyTorch. NaN in `x` or `grad` gives NaN. The error is
    at most 2 ULP.

    References
    ----------
    B. Xu, N. Wang, T. Chen and M. Li, "Empirical evaluation of rectified activations in
    convolutional network", arXiv:1505.00853.

    Examples
    --------
    >>> import numpy as np
    >>> import relume
    >>> relume.rrelu_backward(np.ones(2), np.array([-2.0, 3.0]), 0.25, 0.75)
    array([0.5, 1. ])
    """
    mean = _mean_slope(lower, upper)
    slope = mean if slope is None else slope
    try:
        if kwargs:
            return elementwise.prelu_backward(grad, x, slope, out=out, **kwargs)
        return elementwise.prelu_backward(grad, x, slope, out=out)
    except TypeError as error:
        raise of_ufunc(error, rrelu_backward, kwargs, elementwise.prelu_backward) from None
