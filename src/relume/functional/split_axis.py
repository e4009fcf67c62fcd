"""Split an array into halves along an axis."""

import operator
from typing import Any

from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import NDArray

from relume.ufuncs import along_axis


def halves(x: NDArray[Any], axis: int, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The two halves of x along an axis, as views; `name` is the argument named in errors."""
    pair = along_axis.halves(x, axis)
    if pair is not None:
        return pair
    axis = normalize_axis_index(operator.index(axis), x.ndim)
    half, odd = divmod(x.shape[axis], 2)
    if odd:
        raise ValueError(f"{name} must have an even size along axis {axis}, got {2 * half + 1}")
    before = (slice(None),) * axis
    return x[(*before, slice(half))], x[(*before, slice(half, None))]
