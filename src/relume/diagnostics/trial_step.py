"""A trial step: how far the optimizer's next step moves the weights, and how the loss changes.

It runs on a copy of the network and a sample of rows, so its cost does not depend on the number of
rows of X.
"""

import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relume.engine.prediction import predict
from relume.nn.data.target_form import TargetForm
from relume.nn.losses import PythonLoss
from relume.nn.network import Network
from relume.nn.optimizers.optimizers import Optimizer

FACTORS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)  # multiples of the learning rate to try


@dataclass
class TrialStep:
    """The step on one half of the sample, and the loss of the other half."""

    ratios: dict[str, float]  # norm of the update over norm of the weights, by parameter name
    before: float  # loss without the step
    after: dict[float, float]  # loss with the step, for each of FACTORS


def try_step(net: Network, X: NDArray[np.floating], y: NDArray[np.generic]) -> TrialStep | None:
    """Try a step; None if the optimizer has no single step or the sample is too small."""
    if not isinstance(net.optimizer, Optimizer) or len(X) < 8:
        return None
    trial = copy.copy(net)
    trial._scale_targets, trial._target_form = False, TargetForm()  # y is scaled already
    weights = trial._built()
    before = weights.parameters.copy()
    try:
        with np.errstate(all="ignore"):
            trial.train_on_batch(X[::2], y[::2])
    except FloatingPointError:
        return None
    after = weights.parameters.copy()
    named = [weights.named(flat, statistics=False) for flat in (before, after)]
    ratios = {
        name: _ratio(np.linalg.norm(named[1][name] - value), np.linalg.norm(value))
        for name, value in named[0].items()
        if name.endswith("weight")
    }
    X, y = X[1::2].copy(), y[1::2].copy()  # a copy of X stays what it is, centered or not
    losses = {}
    for factor in (0.0, *FACTORS):
        with np.errstate(all="ignore"):
            weights.write(before + weights.dtype.type(factor) * (after - before))
        losses[factor] = _loss(trial, X, y)
    return TrialStep(ratios, losses.pop(0.0), losses)


def _ratio(update, weight):
    return float(update / weight) if weight > 0 else 0.0


def _loss(net, X, y):
    """The mean loss of rows; infinity if it is not finite."""
    plan = net._built().plan
    with np.errstate(all="ignore"):
        z = predict(plan, net._built().parameters, X)
        if isinstance(net.loss, PythonLoss):
            loss = net.loss.function(y, z)[0]
        else:
            losses, _ = net._row_losses(z, y)
            loss = losses.mean(dtype=np.float64)
    return float(loss) if np.isfinite(loss) else float("inf")
