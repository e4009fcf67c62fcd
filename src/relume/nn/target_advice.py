"""What to do about targets that a loss does not take: the end of an error's text."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ENCODE = "encode them by np.unique(y, return_inverse=True)[1]"


def about_labels(y: NDArray[Any], n_out: int) -> str:
    """About what is no class labels for a network of so many outputs, under cross entropy."""
    if y.ndim == 2:
        return _about_matrix(y, n_out)
    if y.ndim != 1 or y.size == 0:
        return ""
    if y.dtype.kind not in "iubf":
        return f"; {ENCODE}"
    if not np.isfinite(y).all():
        return ""
    lowest, highest = y.min(), y.max()
    if y.dtype.kind == "f" and not np.array_equal(y, np.floor(y)):
        return "; for values, use loss='mse'"
    if n_out == 1 and lowest >= 0 and highest <= 1:
        return "; for two classes and one output, use loss='binary_cross_entropy'"
    if n_out == 1 and y.dtype.kind == "f":
        return "; for values and one output, use loss='mse'"
    if set(np.unique(y)) <= {-1, 1}:
        return "; make labels 0 and 1 of -1 and 1 by y > 0"
    if lowest == 1 and highest == n_out:
        return "; count labels from 0: y - 1"
    if lowest < 0:
        return f"; {ENCODE}, or use loss='mse' for values"
    return (
        f"; the last layer must be nn.Dense({int(highest) + 1}) for labels up to {int(highest)}, "
        "or use loss='mse' for values"
    )


def _about_matrix(y, n_out):
    n = y.shape[1]
    if y.dtype.kind not in "iubf" or y.size == 0:
        return ""
    if np.isin(y, (0, 1)).all():
        if (y.sum(axis=1) == 1).all():
            return f"; the last layer must be nn.Dense({n}) for one-hot labels of {n} classes"
        return f"; for {n} labels, any of which may hold, use loss='binary_cross_entropy'"
    return "; for values, use loss='mse'"


def about_zeros_and_ones(y: NDArray[Any]) -> str:
    """About what is not 0 and 1, under binary cross entropy."""
    if y.dtype.kind not in "iubf":
        return f"; {ENCODE}"
    if y.size == 0 or not np.isfinite(y).all():
        return ""
    if y.dtype.kind == "f" and not np.array_equal(y, np.floor(y)):
        return "; for values, use loss='mse'"
    if set(np.unique(y)) <= {-1, 1}:
        return "; make labels 0 and 1 of -1 and 1 by y > 0"
    if set(np.unique(y)) <= {1, 2}:
        return "; count labels from 0: y - 1"
    if y.ndim == 1 and y.min() >= 0:
        return f"; for more classes, use loss='cross_entropy' and nn.Dense({int(y.max()) + 1})"
    return ""


def about_shape(y: NDArray[Any], n_out: int, loss: str) -> str:
    """About the shape of targets, one for each output of the network."""
    if y.ndim == 2 and y.shape[1] > 0:
        n = y.shape[1]
        return f"; the last layer must be nn.Dense({n}) for {n} {_noun(loss)} a row"
    if y.ndim != 1:
        return ""
    if loss == "binary_cross_entropy":
        return (
            "; the last layer must be nn.Dense(1) for two classes, or use loss='cross_entropy', "
            "with an output for each class"
        )
    whole = y.dtype.kind in "iub" or (y.dtype.kind == "f" and np.array_equal(y, np.floor(y)))
    labels = ", or use loss='cross_entropy' for class labels" if whole else ""
    return f"; the last layer must be nn.Dense(1) for one value a row{labels}"


def _noun(loss):
    return "labels" if loss == "binary_cross_entropy" else "values"
