"""Fits by L-BFGS, which takes all rows at once; the method is SciPy's."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from relume.nn.callbacks.callback import Hooks
from relume.nn.data.minibatches import ArrayBatches
from relume.nn.optimizers.lbfgs import LBFGS
from relume.nn.training.fit_scope import fit_scope
from relume.nn.training.history import History, Progress
from relume.nn.training.run import (
    PLAIN,
    Diverged,
    HeldOut,
    LossScale,
    check_form,
    checked,
    new_training,
)
from relume.runtime.blas import single_threaded_blas

if TYPE_CHECKING:
    from relume.nn.network import Network


class Objective:
    """The loss over all rows, penalties included, and its gradient by all parameters.

    Parameters
    ----------
    net : Network
        Built; a call changes its parameters.
    source : ArrayBatches
        All rows.
    key : int
        Seed of the layers' random numbers: the same for all calls, so that they have a minimum.
    scale : LossScale
    """

    def __init__(
        self, net: Network, source: ArrayBatches, key: int = 0, scale: LossScale = PLAIN
    ) -> None:
        self.weights, self.y, self.weight, self.key = net._built(), source.y, source.weight, key
        self.X = source.X if source.in_memory else source.X.take(slice(None))
        self.gradient = np.zeros_like(self.weights.parameters)
        self.training = new_training(net, len(self.y), source.y_like, scale, steps=False)

    def __call__(self, parameters: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        """Both, the gradient in an array that the next call overwrites.

        Raises
        ------
        Diverged
            If the loss is not finite.
        """
        self.weights.write(parameters)
        result = self.training.gradients(self.X, self.y, self.weight, self.gradient, self.key)
        _, loss = checked(result, self.training, self.weights.dtype)
        return loss, self.gradient


class _Run:
    """One run of the method over all rows, which is an epoch of a fit."""

    def __init__(self, objective):
        self.objective = objective

    def __call__(self, parameters):
        """The loss and its gradient in float64; an infinite loss where it is not finite."""
        try:
            with np.errstate(over="ignore"):
                loss, gradient = self.objective(parameters)
        except Diverged:
            loss, gradient = math.inf, self.objective.gradient
        gradient = gradient.astype(np.float64)
        if not (math.isfinite(loss) and np.isfinite(gradient).all()):
            return np.inf, np.zeros_like(gradient)
        return loss, gradient

    def minimize(self, net):
        """Leave the network at the best point, and return its loss."""
        import scipy.optimize

        weights, optimizer = net._built(), net.optimizer
        result = scipy.optimize.minimize(
            self, weights.parameters.astype(np.float64), jac=True, method="L-BFGS-B",
            options={"maxiter": optimizer.max_iter, "maxcor": optimizer.history_size,
                     "gtol": optimizer.gtol, "ftol": optimizer.ftol},
        )  # fmt: skip
        with np.errstate(over="ignore"):
            weights.write(result.x)
        weights.steps += int(result.nit)
        net.epoch += 1
        return float(result.fun)

    def show(self, observers):
        """Let observers look at the present parameters' values and gradients."""
        if observers:
            self.objective.training.watch(observers)
            self(self.objective.weights.parameters.copy())
            self.objective.training.watch([])


def check_fit(net: Network, by_minibatches: bool) -> None:
    """Raise unless L-BFGS can train a network, and is given all rows at once."""
    if by_minibatches:
        raise ValueError("X must be a matrix with nn.LBFGS, which sees all rows")
    if net._has_batch_norm():
        raise ValueError(
            "layers must not hold nn.BatchNorm with nn.LBFGS, which has no minibatches "
            "whose statistics it could follow"
        )


def plain(net: Network, source: ArrayBatches) -> Objective:
    """The objective of an epoch, which has random numbers of its own."""
    return Objective(net, source, net._key())


def fit_lbfgs(
    net: Network,
    source: Any,
    epochs: int,
    held_out: Any,
    hooks: Hooks,
    progress: bool,
    objective: Callable[..., Any] = plain,
) -> History:
    """A fit whose epochs are runs of SciPy's method, each over all rows.

    `objective` makes an epoch's `Objective`, or one like it, of the network and the source.
    """
    import scipy.optimize  # noqa: F401, before its BLAS is limited

    good = net.snapshot()
    try:
        net.build(source.width)
        source.standardize(net._built())
        if source.target_form is not None:
            net._target_form = source.target_form
    except BaseException:
        good.roll_back(net)
        raise
    loss, validation = net.loss, HeldOut(net, held_out)
    with fit_scope(net, hooks, lambda stage, error: good.roll_back(net)) as (history, done):
        if not done:
            _epochs(net, source, loss, epochs, validation, hooks, progress, history, objective)
    return history


def _epochs(net, source, loss, epochs, validation, hooks, progress, history, objective):
    """The epochs; where something fails, the network goes back to the end of the last one."""
    good, begin, form = net.snapshot(), time.perf_counter(), net._target_form
    hooks.show_targets(source)
    try:
        with single_threaded_blas, Progress(epochs, progress) as shown:
            for number in range(1, epochs + 1):
                hooks.call("on_epoch_begin", net, net.epoch + 1)
                if not isinstance(net.optimizer, LBFGS):
                    raise RuntimeError(
                        "optimizer must stay nn.LBFGS within a fit that began with it; end the "
                        "fit, and call fit again"
                    )
                check_form(net, form)
                if net.loss is not loss:
                    source.adopt_loss(net, loss)
                    loss = net.loss
                observers = hooks.observers(net, len(source.X), 1)
                run = _Run(objective(net, source))
                logs = {"loss": run.minimize(net)}
                if not (math.isfinite(logs["loss"]) and net._built().are_finite()):
                    raise FloatingPointError(
                        f"the loss is not finite at the beginning of epoch {number} of this fit"
                    )
                run.show(observers)
                logs |= validation.logs(net)
                skipped = run.objective.training.share_skipped()
                seconds = time.perf_counter() - begin
                history.add(net.epoch, **logs, skipped=skipped, seconds=seconds)
                good = net.snapshot()
                shown.epoch(**logs)
                recorded = set(logs)
                done = hooks.call("on_epoch_end", net, net.epoch, logs)
                history.complete(logs, recorded)
                if done:
                    break
    except BaseException:
        good.roll_back(net)  # also where a search was interrupted, which tries steps
        raise
