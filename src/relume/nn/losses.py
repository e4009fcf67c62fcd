"""Losses: what y must be, and what else is measured. The arithmetic is in the kernels."""

import numpy as np

from relume.nn import checks


def _labels(y, name, n_out):
    """Class labels 0 .. n_out - 1 as int64."""
    labels = checks.as_array(y, name)
    if labels.ndim != 1:
        raise ValueError(f"{name} must hold one class label a row, shape (n,), got {labels.shape}")
    if labels.dtype.kind not in "iubf":
        raise TypeError(
            f"{name} must hold integer class labels 0 to {n_out - 1}, got dtype {labels.dtype}"
        )
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.floor(labels)):
        strange = labels[~(labels == np.floor(labels))][0]
        raise ValueError(f"{name} must hold integer class labels 0 to {n_out - 1}, got {strange}")
    if labels.size and (labels.min() < 0 or labels.max() >= n_out):
        strange = labels[(labels < 0) | (labels >= n_out)][0]
        raise ValueError(
            f"{name} must hold class labels 0 to {n_out - 1}, since the network has {n_out} "
            f"outputs; got {strange}"
        )
    return checks.contiguous(labels, np.int64)


class CrossEntropy:
    """``-log softmax(z)[label]``, averaged over rows."""

    name = "cross_entropy"
    classifies = True

    def targets(self, y, name, n_out, dtype):
        """Labels as the engine takes them."""
        return _labels(y, name, n_out)

    def metrics(self, z, y):
        """The share of rows whose largest output is the labelled one."""
        return {"accuracy": float(np.mean(z.argmax(axis=1) == y))}


class MeanSquaredError:
    """``(z - y)**2``, averaged over outputs and rows."""

    name = "mse"
    classifies = False

    def targets(self, y, name, n_out, dtype):
        """Values as the engine takes them: one column for a network of one output."""
        values = checks.finite(y, name, dtype)
        if values.ndim == 1 and n_out == 1:
            values = values.reshape(-1, 1)
        if values.ndim != 2 or values.shape[1] != n_out:
            raise ValueError(
                f"{name} must have shape (n, {n_out}), as the network has outputs; "
                f"got {np.shape(y)}"
            )
        return values

    def metrics(self, z, y):
        """Nothing beside the loss."""
        return {}


LOSSES = {loss.name: loss for loss in (CrossEntropy(), MeanSquaredError())}
