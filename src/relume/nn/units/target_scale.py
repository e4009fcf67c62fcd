"""Targets of a size that a network learns slowly, such as prices or years, and has not learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relume.nn.units.layer_nodes import limits, network_nodes

if TYPE_CHECKING:
    from relume.nn.network import Network

LARGE, SMALL = 10.0, 0.01  # mean or standard deviation of targets that are not scaled
OFFSET = 20.0  # a mean above 1 that is so many standard deviations from 0 hides what varies
# Loss relative to that of the best constant prediction. A network that does no better than a
# constant has not learned a target of large spread, but may have learned all there is to learn of
# one that is far from 0.
UNLEARNED, UNREACHED = 0.9, 1.5
OUTSIDE = 0.05  # share of rows whose targets the last activation cannot reach
MIN_ROWS = 8


class UnscaledTarget(NamedTuple):
    """An output whose target has a size that the network has not reached."""

    output: int
    mean: float
    std: float

    @property
    def text(self) -> str:
        """What is wrong, and what to do about it."""
        return (
            f"the target is not scaled: y of output {self.output} has the mean {self.mean:.3g} "
            f"and the standard deviation {self.std:.3g}, which the outputs have not reached; "
            "networks learn targets of about mean 0 and deviation 1. Use "
            "nn.Network(..., scale_targets=True), or scale y"
        )


def unscaled_target(
    net: Network, z: NDArray[np.floating], y: NDArray[np.generic]
) -> UnscaledTarget | None:
    """The output with the worst target, by the outputs z of some rows; None if all are well.

    Parameters
    ----------
    net : Network
        Built, with a loss of values.
    z, y : ndarray of shape (n, n_outputs)
        Outputs, and targets as the loss takes them.
    """
    if not net.loss.scales or net.scale_targets or y.shape != z.shape or len(y) < MIN_ROWS:
        return None
    values = y.astype(np.float64)
    mean, std = values.mean(axis=0), values.std(axis=0)
    std[std <= 1e-6 * abs(mean)] = 0  # rounding of a constant
    far = (abs(mean) > LARGE) | ((abs(mean) > 1) & (abs(mean) > OFFSET * std))
    far |= (std > 0) & (np.hypot(mean, std).max() < SMALL)  # one of many may be small by nature
    wide = (std > LARGE) & (abs(mean) < 2 * std)
    limit = np.where(wide, UNLEARNED, np.where(far, UNREACHED, np.inf))
    excess = np.zeros(len(mean))
    for j in np.flatnonzero(np.isfinite(limit)):
        excess[j] = _relative_loss(net, z, y, j, mean[j], std[j]) / limit[j]
    low, high = limits(network_nodes(net)[-1].activation)
    beyond = (values < low - 0.1 * std) | (values > high + 0.1 * std)
    excess[beyond.mean(axis=0) > OUTSIDE] = np.inf
    worst = int(excess.argmax())
    if not excess[worst] > 1:
        return None
    return UnscaledTarget(worst, float(mean[worst]), float(std[worst]))


def _relative_loss(net, z, y, j, mean, std):
    """The loss of output j, relative to that of the best constant prediction."""

    def loss(values):
        other = y.copy()  # all other outputs are right
        other[:, j] = values
        return float(net._row_losses(other, y)[0].mean(dtype=np.float64))

    constants = [mean, *np.quantile(y[:, j].astype(np.float64), np.linspace(0.01, 0.99, 25))]
    if std == 0:  # no prediction is exact: 10 % beside it is near enough
        constants = [1.1 * mean]
    with np.errstate(all="ignore"):
        best = min(loss(constant) for constant in constants)
        return loss(z[:, j]) / best if best > 0 else 0.0
