"""What an estimator minimizes: a loss of relume.nn, in scikit-learn's scale where it has it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from relume import validation
from relume.nn.losses import (
    LOSSES,
    MAE,
    MSE,
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    Poisson,
    PythonLoss,
    Quantile,
    loss_of,
)
from relume.nn.network import Network
from relume.nn.training.run import LossScale

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
    gradient_scale: float = 1.0
    loss_scale: float = 1.0
    limit: float = 0.0  # upper limit of a row's loss; 0 is no limit
    deviance: bool = False  # poisson: with the part of the deviance that depends on y alone

    @property
    def scale(self) -> LossScale:
        """The scales as a `Run` takes them; penalties are divided by the rows."""
        return LossScale(True, self.gradient_scale, self.loss_scale, self.limit)

    def constants(self, y: NDArray[Any]) -> NDArray[np.float64] | None:
        """For each row of y, what must be added to its loss; None where nothing must."""
        if not self.deviance:
            return None
        y = y.astype(np.float64)
        return (xlogy(y, y) - y).sum(axis=1)

    def value(
        self, network: Network, z: NDArray[Any], y: NDArray[Any], weight: NDArray[Any] | None
    ) -> float:
        """The mean loss of outputs z, without penalties."""
        if isinstance(network.loss, PythonLoss):
            return network.loss(y, z)[0]
        losses, _ = network._row_losses(z, y)
        losses = losses.astype(np.float64)
        if self.limit:
            losses = np.minimum(losses, self.limit)
        losses *= self.loss_scale
        constants = self.constants(y)
        if constants is not None:
            losses += constants
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
        raise ValueError(
            f"loss must be one for classes, such as 'log_loss', got {validation.shown(loss)}"
        )
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
        raise ValueError(
            f"loss must be one for values, such as 'squared_error', got {validation.shown(loss)}"
        )
    if isinstance(loss, Quantile) and loss.n_quantiles > 1:
        raise ValueError(
            f"loss must give one value for each column of y, got {loss!r}: use nn.Network, or an "
            "estimator for each quantile"
        )
    return Objective(loss)
