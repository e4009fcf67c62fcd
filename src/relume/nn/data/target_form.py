"""What a network keeps of the targets that it was trained on: their scale and their shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relume import validation

if TYPE_CHECKING:
    from relume.nn.losses import Loss

MEAN, SCALE = "targets.mean", "targets.scale"  # names in a state_dict and in model files


class TargetForm:
    """The scale and the shape of targets, and how outputs become predictions of the same form.

    Objects are shared between networks, copies and snapshots, and are never changed.

    Parameters
    ----------
    column : bool
        Whether y had the shape (n, 1), which predictions for one output then have too.
    mean, scale : ndarray of float64 of shape (n_outputs,) or None
        The outputs stand for ``(y - mean) / scale``. None where nothing was learned.
    """

    __slots__ = ("column", "mean", "plain", "scale")

    def __init__(
        self,
        column: bool = False,
        mean: NDArray[np.float64] | None = None,
        scale: NDArray[np.float64] | None = None,
    ) -> None:
        self.column, self.mean, self.scale = column, mean, scale
        self.plain = not column and mean is None  # read by every prediction

    def __reduce__(self) -> Any:
        """Pickle by the arguments; the oldest protocols know no slots."""
        return TargetForm, (self.column, self.mean, self.scale)

    @property
    def learned(self) -> bool:
        """Whether there are a mean and a scale."""
        return self.mean is not None

    def scales_as(self, other: TargetForm) -> bool:
        """Whether another form has the same mean and scale."""
        pairs = ((self.mean, other.mean), (self.scale, other.scale))
        return all(
            a is b or (a is not None and b is not None and np.array_equal(a, b)) for a, b in pairs
        )

    def of_shape(self, y: ArrayLike) -> TargetForm:
        """The same scale, for targets of the shape of y as it was given."""
        shape = np.shape(y)
        return TargetForm(len(shape) == 2 and shape[1] == 1, self.mean, self.scale)

    def fitted(self, y: NDArray[np.float64], weight: NDArray[Any] | None) -> TargetForm:
        """The same shape, with the mean and standard deviation of each column of y.

        Rows count by their weights, as in the loss. A constant column has the scale 1.
        """
        largest = np.abs(y).max(axis=0)
        unit = np.where(largest > 0, largest, 1.0)  # sums of squares must not overflow
        mean = np.average(y / unit, axis=0, weights=weight)
        std = np.sqrt(np.average(np.square(y / unit - mean), axis=0, weights=weight))
        varies = std > 10 * np.finfo(np.float64).eps * np.abs(mean)
        return TargetForm(self.column, mean * unit, np.where(varies, std * unit, 1.0))

    def of_arrays(self, mean: ArrayLike, scale: ArrayLike, n_out: int) -> TargetForm:
        """The same shape, with a mean and a scale from a state or a file, once they are checked.

        A mean of 0 and a scale of 1 are those of a network that has learned nothing.
        """
        arrays = []
        for name, values in ((MEAN, mean), (SCALE, scale)):
            array = np.array(validation.finite(values, name, np.float64))
            if array.shape != (n_out,):
                raise ValueError(f"{name} must have shape ({n_out},), got {array.shape}")
            arrays.append(array)
        if not (arrays[1] > 0).all():
            raise ValueError(f"{SCALE} must hold positive values, got {arrays[1].min()}")
        if not arrays[0].any() and (arrays[1] == 1).all():
            return TargetForm(self.column)
        return TargetForm(self.column, *arrays)

    def arrays(self, n_out: int) -> dict[str, NDArray[np.float64]]:
        """Copies of the mean and the scale by their names; 0 and 1 where nothing was learned."""
        if self.mean is None or self.scale is None:
            return {MEAN: np.zeros(n_out), SCALE: np.ones(n_out)}
        return {MEAN: self.mean.copy(), SCALE: self.scale.copy()}

    def scaled(self, y: NDArray[np.float64], name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Targets as the outputs stand for them, rounded once."""
        if self.mean is None or self.scale is None:
            return validation.finite(y, name, dtype)
        with np.errstate(over="ignore"):
            return validation.finite((y - self.mean) / self.scale, name, dtype)

    def unscaled(self, z: NDArray[Any]) -> NDArray[Any]:
        """Outputs, or scaled targets, in the units of y, in float64; unchanged without a scale."""
        if self.mean is None or self.scale is None:
            return z
        return z.astype(np.float64) * self.scale + self.mean

    def predictions(self, loss: Loss, z: NDArray[Any]) -> NDArray[Any]:
        """The predictions that outputs stand for, in the units and the shape of y."""
        values = loss.predictions(self.unscaled(z))
        return values[:, None] if self.column and values.ndim == 1 == z.shape[1] else values
