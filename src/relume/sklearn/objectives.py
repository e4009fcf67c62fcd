"""What is minimized: a loss of relume.nn, in scikit-learn's scale where it is one of its own."""

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from relume.nn.losses import (
    LOSSES,
    MAE,
    MSE,
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    Poisson,
    PythonLoss,
    loss_of,
)

CLASSIFIER_LOSSES = ["log_loss", "cross_entropy", "binary_cross_entropy"]
REGRESSOR_LOSSES = [
    "squared_error", "absolute_error",
    *(name for name, cls in LOSSES.items() if not cls.classifies),
]  # fmt: skip


@dataclass
class Objective:
    """A loss, and what the engine multiplies its gradient and its values by.

    The engine's losses are means over the outputs of a row. scikit-learn's are sums, of halves for
    the squared error; but the squared error that it reports is a mean over the outputs.
    """

    loss: Loss
    scale: float = 1.0
    loss_scale: float = 1.0
    limit: float = 0.0  # the most that a row's loss is taken for; 0: no limit
    deviance: bool = False  # poisson: with the part of the deviance that depends on y alone

    def kernel(self, network, y):
        """What the engine's `Training` takes for a loss."""
        if isinstance(self.loss, PythonLoss):
            return self.loss
        return self.loss.kernel(y), network._loss_numbers

    def constants(self, y):
        """Of each row of y, what is to be added to its loss; None where it is nothing."""
        if not self.deviance:
            return None
        y = y.astype(np.float64)
        return (xlogy(y, y) - y).sum(axis=1)

    def value(self, network, z, y, weight):
        """The mean loss of outputs z, without penalties."""
        if isinstance(self.loss, PythonLoss):
            return self.loss(y, z)[0]
        kernel, numbers = self.kernel(network, y)
        losses, _ = network._weights.plan.row_losses(kernel, numbers, z, y)
        losses = losses.astype(np.float64)
        if self.limit:
            losses = np.minimum(losses, self.limit)
        losses *= self.loss_scale
        if self.deviance:
            losses += self.constants(y)
        return float(np.average(losses, weights=weight))


def for_classes(loss, kind, n_outputs, dtype):
    """The objective of a classifier; `kind` is that of y."""
    if loss == "log_loss":
        # scikit-learn keeps probabilities away from 0 by eps. For several labels it does so for
        # each, which the limit of a row cannot tell.
        limit = -float(np.log(np.finfo(dtype).eps))
        if kind == "multiclass":
            return Objective(CrossEntropy(), limit=limit)
        return Objective(
            BinaryCrossEntropy(), n_outputs, n_outputs, limit if n_outputs == 1 else 0.0
        )
    loss = loss_of(loss)
    if not loss.classifies and not isinstance(loss, PythonLoss):
        raise ValueError(f"loss must be one for classes, such as 'log_loss', got {loss!r}")
    if isinstance(loss, BinaryCrossEntropy) and kind == "multiclass":
        raise ValueError(f"loss={loss!r} needs two classes, or a multilabel y; got {n_outputs}")
    if isinstance(loss, CrossEntropy) and kind != "multiclass":
        raise ValueError(f"loss={loss!r} needs one label a row, got a multilabel y")
    return Objective(loss)


def for_values(loss, n_outputs):
    """The objective of a regressor."""
    if loss == "squared_error":
        return Objective(MSE(), n_outputs / 2, 0.5)
    if loss == "poisson":
        return Objective(Poisson(), n_outputs, n_outputs, deviance=True)
    loss = MAE() if loss == "absolute_error" else loss_of(loss)
    if loss.classifies:
        raise ValueError(f"loss must be one for values, such as 'squared_error', got {loss!r}")
    return Objective(loss)
