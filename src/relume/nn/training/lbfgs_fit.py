"""A fit by L-BFGS, which takes all rows at once; the method is SciPy's."""

import math
import time

import numpy as np

from relume.engine.training import STATUS, Training
from relume.nn.data.minibatches import IterableBatches
from relume.nn.losses import PythonLoss
from relume.nn.training.fit_loop import raise_refused
from relume.nn.training.history import History, Progress
from relume.runtime.blas import single_threaded_blas


class Objective:
    """The loss over all rows, and its gradient, as a function of all parameters."""

    def __init__(self, net, source):
        if isinstance(source, IterableBatches):
            raise ValueError("X must be a matrix with nn.LBFGS, which sees all rows")
        if "batch_norm" in net._kinds:
            raise ValueError(
                "layers must not hold nn.BatchNorm with nn.LBFGS, which has no minibatches "
                "whose statistics it could follow"
            )
        net.build(source.width)
        self.source, self.weights = source, net._weights
        source.standardize(self.weights)
        self.X = source.X if source.in_memory else source.X.take(slice(None))
        loss = net.loss
        if not isinstance(loss, PythonLoss):
            loss = loss.kernel(source.y_like), net._loss_numbers
        self.gradient = np.zeros_like(self.weights.parameters)
        self.key = 0  # of random numbers: the same throughout an epoch, new for each
        self.training = Training(
            self.weights.plan, self.weights, len(source.X), loss, source.y_like, Unused()
        )

    def __call__(self, parameters):
        """The loss and its gradient in float64; an infinite loss where it is not finite."""
        self.weights.parameters[:] = parameters
        source = self.source
        with np.errstate(over="ignore"):
            status, _, loss = self.training.gradients(
                self.X, source.y, source.weight, self.gradient, self.key
            )
        raise_refused(status, self.training, self.weights.dtype)
        gradient = self.gradient.astype(np.float64)
        if status != STATUS["fine"] or not np.isfinite(gradient).all():
            return np.inf, np.zeros_like(gradient)
        return loss, gradient

    def show(self, observers):
        """Let observers look at the present parameters' values and gradients."""
        if observers:
            self.training.watch(observers)
            self(self.weights.parameters.copy())
            self.training.watch([])


class Unused:
    """What the engine asks of an optimizer that makes no step."""

    kernel, clip_norm, clip_value, ema_decay = "sgd", None, None, None

    def hyper(self):
        """As many numbers as the kernel takes, which is never called."""
        return [0.0] * 6


def fit_lbfgs(net, source, epochs, validation, hooks, progress):
    """A fit whose epochs are runs of SciPy's method, each over all rows."""
    good, history, begin = net.snapshot(), History(), time.perf_counter()
    try:
        objective = Objective(net, source)
        hooks.call("on_fit_begin", net)
        with single_threaded_blas, Progress(epochs, progress) as shown:
            for number in range(1, epochs + 1):
                hooks.call("on_epoch_begin", net, net.epoch + 1)
                observers = hooks.observers(net, len(source.X), 1)
                figures = {"loss": run(objective, net)}
                if not math.isfinite(figures["loss"]):
                    raise FloatingPointError(
                        f"the loss is not finite at the beginning of epoch {number} of this fit"
                    )
                objective.show(observers)
                if validation:
                    figures |= {f"val_{k}": v for k, v in net._evaluate(*validation).items()}
                skipped = objective.training.share_skipped()
                history.add(**figures, skipped=skipped, seconds=time.perf_counter() - begin)
                good = net.snapshot()
                shown.epoch(**figures)
                if hooks.call("on_epoch_end", net, net.epoch, figures):
                    break
    except BaseException:
        net.restore(good)  # also where a search was interrupted, which tries steps
        raise
    hooks.call("on_fit_end", net)
    history.layers = hooks.records
    return history


def run(objective, net):
    """One run of the method, which leaves the network at the best point; returned is its loss."""
    objective.key = net._key()
    import scipy.optimize

    optimizer = net.optimizer
    result = scipy.optimize.minimize(
        objective, net._weights.parameters.astype(np.float64), jac=True, method="L-BFGS-B",
        options={"maxiter": optimizer.max_iter, "maxcor": optimizer.history_size,
                 "gtol": optimizer.gtol, "ftol": optimizer.ftol},
    )  # fmt: skip
    net._weights.parameters[:] = result.x
    net._weights.steps += int(result.nit)
    net.epoch += 1
    return float(result.fun)
