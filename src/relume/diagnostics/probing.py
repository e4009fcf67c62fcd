"""A step on trial: what the optimizer would do to a network next, and what that does to the loss.

All of it happens on a copy and a sample of rows, so that its cost does not depend on X's length.
"""

import copy
from dataclasses import dataclass

import numpy as np

from relume.engine.prediction import predict
from relume.nn.losses import PythonLoss
from relume.nn.optimizers.optimizers import Optimizer
from relume.runtime.blas import single_threaded_blas

FACTORS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)  # of the learning rate, that are tried


@dataclass
class Probe:
    """A step on half of the sample: its size in each layer, and the loss of the other half."""

    ratios: dict[str, float]  # of parameters by name: norm of the update over norm of the weights
    before: float  # the loss without the step,
    after: dict[float, float]  # and with it, at each of FACTORS


def probe(net, X, y):
    """Try a step; None where the optimizer makes none, or the sample is too small to tell."""
    if not isinstance(net.optimizer, Optimizer) or len(X) < 8:
        return None
    trial = copy.copy(net)
    weights = trial._weights
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
    X, y = (np.ascontiguousarray(each[1::2]) for each in (X, y))
    losses = {}
    for factor in (0.0, *FACTORS):
        with np.errstate(all="ignore"):
            weights.parameters[:] = before + weights.dtype.type(factor) * (after - before)
        losses[factor] = _loss(trial, X, y)
    return Probe(ratios, losses.pop(0.0), losses)


def _ratio(update, weight):
    return float(update / weight) if weight > 0 else 0.0


def _loss(net, X, y):
    """The mean loss of some rows; infinite where it is not finite."""
    plan = net._weights.plan
    with single_threaded_blas, np.errstate(all="ignore"):
        z = predict(plan, net._weights.parameters, X)
        if isinstance(net.loss, PythonLoss):
            loss = net.loss.function(y, z)[0]
        else:
            losses, _ = net._row_losses(z, y)
            loss = losses.mean(dtype=np.float64)
    return float(loss) if np.isfinite(loss) else float("inf")
