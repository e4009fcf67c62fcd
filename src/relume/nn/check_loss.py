"""A loss's gradient compared with differences of its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relume import validation
from relume.engine.plan import Plan
from relume.nn.layers.activations import ACTIVATIONS
from relume.nn.layers.ops import ops_of
from relume.nn.losses import Loss, PythonLoss, loss_of

if TYPE_CHECKING:
    from relume.nn.network import LossOf

STEP = float(np.cbrt(np.finfo(np.float64).eps))  # where rounding and curvature err alike


def check_loss(loss: LossOf, y: ArrayLike, z: ArrayLike, *, rtol: float = 1e-5) -> float:
    """Compare the gradient of a loss with central differences of its value, in float64.

    Parameters
    ----------
    loss : callable, Loss or str
        What a network takes as its `loss`: above all a function ``(y_true, y_pred)`` that returns
        the mean loss and its gradient, see `PythonLoss`.
    y : array_like of shape (n,) or (n, n_outputs)
        Targets as the loss takes them. A few rows are enough: the loss is computed three times for
        each number in z.
    z : array_like of shape (n, n_outputs)
        Outputs at which to compare, such as random ones.
    rtol : float, default=1e-5
        Largest difference allowed, relative to the largest element of the gradient.

    Returns
    -------
    difference : float
        The largest one that was found, relative to the largest element of the gradient.

    Raises
    ------
    ValueError
        If the gradient differs; the message gives the first index where it does, and both numbers.
        Also if the loss or its gradient is not finite, or an argument is invalid.
    TypeError
        If the loss does not return a number and an array, or an argument is invalid.

    Notes
    -----
    Where the loss has a kink, such as ``abs(z - y)`` at ``z == y``, every number from the slope on
    its left to that on its right is a subgradient, and allowed. The differences are taken over
    ``6e-6 * max(1, abs(z))``, so this holds for outputs that close to a kink too.

    Examples
    --------
    >>> import numpy as np
    >>> from relume import nn
    >>> def squared(y_true, y_pred):
    ...     d = y_pred - y_true[:, None]
    ...     return np.mean(d**2), 2 * d / d.size
    >>> nn.check_loss(squared, [1.0, 2.0], [[0.5], [3.0]]) < 1e-8
    True
    >>> def wrong(y_true, y_pred):
    ...     return squared(y_true, y_pred)[0], 2 * (y_pred - y_true[:, None])
    >>> nn.check_loss(wrong, [1.0, 4.0], [[0.5], [3.0]])
    Traceback (most recent call last):
        ...
    ValueError: the gradient of wrong differs from the slope of the loss at index (0, 0): ...
    """
    loss = loss_of(loss)
    rtol = validation.positive(rtol, "rtol")
    outputs = np.array(validation.finite(z, "z", np.float64))
    if outputs.ndim != 2 or outputs.size == 0:
        raise ValueError(f"z must have shape (n, n_outputs) and not be empty, got {outputs.shape}")
    loss.numbers(outputs.shape[1], np.float64)
    targets = loss.targets(y, "y", outputs.shape[1], np.float64)
    validation.same_length(outputs, targets, ("z", "y"))
    value = _function(loss, targets, outputs.shape[1])
    center, gradient = value(outputs)
    if not (np.isfinite(center) and np.isfinite(gradient).all()):
        raise ValueError(f"the loss of {loss.name} and its gradient must be finite at z")
    scale = float(np.abs(gradient).max()) or 1.0
    worst = 0.0
    for index in np.ndindex(outputs.shape):
        difference, slopes = _difference(value, outputs, index, center, gradient[index])
        noise = 8 * np.finfo(np.float64).eps * abs(center) / STEP  # of differences of the loss
        if not difference <= rtol * scale + noise:
            raise ValueError(
                f"the gradient of {loss.name} differs from the slope of the loss at index "
                f"{index}: it is {gradient[index]:.6g}, but differences of the loss give "
                f"{slopes.mean():.6g}{_about_precision(loss, targets, outputs)}"
            )
        worst = max(worst, difference / scale)
    return worst


def _function(loss: Loss, y: NDArray[Any], n_out: int) -> Any:
    """The mean loss of outputs and its gradient, in float64; it may change neither y nor z."""
    if isinstance(loss, PythonLoss):
        return lambda z: loss(y.copy(), z.copy())
    dtype = np.dtype(np.float64)
    plan = Plan(n_out, ops_of([ACTIVATIONS["relu"]()]), dtype)  # of so many outputs
    kernel = loss.kernel(y), loss.numbers(n_out, dtype)

    def mean_loss(z):
        losses, gradient = plan.row_losses(*kernel, z, y)
        return losses.mean(), gradient / len(z)

    return mean_loss


def _about_precision(loss, y, z):
    """The end of an error's text where the function does not compute in float64."""
    if not isinstance(loss, PythonLoss):
        return ""
    dtype = np.asarray(loss.function(y.copy(), z.copy())[1]).dtype
    if dtype.kind != "f" or dtype.itemsize >= z.itemsize:
        return ""
    return (
        f"; the gradient is of {dtype}, too coarse for differences: let {loss.name} compute in "
        "y_pred's dtype, which is float64 here"
    )


def _difference(value, z, index, center, given):
    """How far a gradient is from the slopes on both sides, and those slopes."""
    h = STEP * max(1.0, abs(z[index]))
    losses = []
    for step in (-h, h):
        moved = z.copy()
        moved[index] += step
        losses.append((value(moved)[0], moved[index] - z[index]))
    (below, left), (above, right) = losses
    slopes = np.array([(below - center) / left, (above - center) / right])
    slope = (above - below) / (right - left)  # far more exact than either where there is no kink
    outside = max(slopes.min() - given, given - slopes.max(), 0.0)
    return min(abs(given - slope), outside), slopes
