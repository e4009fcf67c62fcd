"""The schedules: factors of the learning rate as formulas of time, and one that reads the logs."""

import math
from typing import Any

import numpy as np

from relume import validation
from relume.nn.monitored_metric import MonitoredMetric
from relume.nn.optimizers.schedule import Schedule


def _at_least_0(value, name):
    return validation.number(value, name, "at least 0", lambda x: x >= 0)


class ConstantRate(Schedule):
    """The factor 1 at all times: warm-up alone.

    Parameters
    ----------
    warmup : float, default=0.0
        Epochs in which the factor rises linearly from 0, before the schedule begins.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    Examples
    --------
    >>> from relume import nn
    >>> schedule = nn.ConstantRate(warmup=2)
    >>> schedule(1.0), schedule(5.0)
    (0.5, 1.0)
    """

    def __init__(self, warmup: float = 0.0) -> None:
        self.warmup: float = _at_least_0(warmup, "warmup")

    def _factor(self, time):
        return np.ones_like(time)


class Step(Schedule):
    """``factor**floor(t / every)``: a step down every so many epochs, as ``StepLR`` of torch.

    Parameters
    ----------
    every : float
        Epochs from one step to the next, greater than 0.
    factor : float, default=0.1
        Of each step, greater than 0.
    warmup : float, default=0.0
        Epochs in which the factor rises linearly from 0, before the schedule begins.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    Examples
    --------
    >>> from relume import nn
    >>> schedule = nn.Step(10, factor=0.5)
    >>> schedule(9.9), schedule(10.0), schedule(20.0)
    (1.0, 0.5, 0.25)
    """

    def __init__(self, every: float, factor: float = 0.1, warmup: float = 0.0) -> None:
        self.every: float = validation.positive(every, "every")
        self.factor: float = validation.positive(factor, "factor")
        self.warmup: float = _at_least_0(warmup, "warmup")

    def _factor(self, time):
        return self.factor ** np.floor(time / self.every)


class Exponential(Schedule):
    """``factor**t``, falling within epochs too; at whole epochs as ``ExponentialLR`` of torch.

    Parameters
    ----------
    factor : float
        Of one epoch, greater than 0.
    warmup : float, default=0.0
        Epochs in which the factor rises linearly from 0, before the schedule begins.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Exponential(0.5)(2.0)
    0.25
    """

    def __init__(self, factor: float, warmup: float = 0.0) -> None:
        self.factor: float = validation.positive(factor, "factor")
        self.warmup: float = _at_least_0(warmup, "warmup")

    def _factor(self, time):
        return self.factor**time


def _cosine(start, end, share):
    """From start to end along half a cosine, as a share from 0 to 1 of the way passes."""
    weight = (1 + np.cos(np.pi * share)) / 2
    return start * weight + end * (1 - weight)  # exact at both ends


class Cosine(Schedule):
    """``final + (1 - final) (1 + cos(pi t / epochs)) / 2``, and `final` ever after.

    As ``CosineAnnealingLR`` of torch, which rises again after its end.

    Parameters
    ----------
    epochs : float
        How long it lasts, without the warm-up; greater than 0.
    final : float, default=0.0
        The factor at its end, at least 0.
    warmup : float, default=0.0
        Epochs in which the factor rises linearly from 0, before the schedule begins.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Examples
    --------
    >>> from relume import nn
    >>> schedule = nn.Cosine(30, final=0.01)
    >>> schedule(0.0), schedule(30.0)
    (1.0, 0.01)
    """

    def __init__(self, epochs: float, final: float = 0.0, warmup: float = 0.0) -> None:
        self.epochs: float = validation.positive(epochs, "epochs")
        self.final: float = _at_least_0(final, "final")
        self.warmup: float = _at_least_0(warmup, "warmup")

    def _factor(self, time):
        return _cosine(1.0, self.final, np.minimum(time / self.epochs, 1))


class OneCycle(Schedule):
    """Up from `start` to 1 and down to `final`, each along half a cosine.

    As ``OneCycleLR`` of torch with its defaults, where the optimizer's learning rate is
    ``max_lr``, ``start`` is ``1 / div_factor`` and ``final`` is
    ``1 / (div_factor * final_div_factor)``; momentum is left alone.

    Parameters
    ----------
    epochs : float
        How long it lasts, without the warm-up; greater than 0.
    peak : float, default=0.3
        The share of its time after which the factor is 1; greater than 0 and less than 1.
    start : float, default=1/25
        The factor at its start, at least 0.
    final : float, default=4e-06
        The factor at its end and ever after, at least 0.
    warmup : float, default=0.0
        Epochs in which the factor rises linearly from 0 to `start`, before the schedule begins.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    References
    ----------
    L. N. Smith and N. Topin, "Super-convergence: very fast training of neural networks using large
    learning rates", 2018 (arXiv:1708.07120).

    Examples
    --------
    >>> from relume import nn
    >>> schedule = nn.OneCycle(10)
    >>> schedule(0.0), schedule(3.0)
    (0.04, 1.0)
    """

    def __init__(
        self,
        epochs: float,
        peak: float = 0.3,
        start: float = 1 / 25,
        final: float = 1e-4 / 25,
        warmup: float = 0.0,
    ) -> None:
        self.epochs: float = validation.positive(epochs, "epochs")
        self.peak: float = validation.number(
            peak, "peak", "greater than 0 and less than 1", lambda x: 0 < x < 1
        )
        self.start: float = _at_least_0(start, "start")
        self.final: float = _at_least_0(final, "final")
        self.warmup: float = _at_least_0(warmup, "warmup")

    def _factor(self, time):
        top = self.peak * self.epochs
        up = _cosine(self.start, 1.0, np.minimum(time / top, 1))
        down = _cosine(1.0, self.final, np.clip((time - top) / (self.epochs - top), 0, 1))
        return np.where(time < top, up, down)


class InverseScaling(Schedule):
    """``(1 + t)**-power``.

    Parameters
    ----------
    power : float, default=0.5
        At least 0.
    warmup : float, default=0.0
        Epochs in which the factor rises linearly from 0, before the schedule begins.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    Examples
    --------
    >>> from relume import nn
    >>> nn.InverseScaling()(3.0)
    0.5
    """

    def __init__(self, power: float = 0.5, warmup: float = 0.0) -> None:
        self.power: float = _at_least_0(power, "power")
        self.warmup: float = _at_least_0(warmup, "warmup")

    def _factor(self, time):
        return (1 + time) ** -self.power


class ReduceOnPlateau(Schedule):
    """The factor falls when a monitored metric has stopped improving.

    As ``ReduceLROnPlateau`` of torch with an absolute threshold. A metric that is NaN is not
    better.

    Parameters
    ----------
    monitor : str or None, default=None
        Metric of an epoch to monitor; None is ``"val_loss"`` where there is validation data, else
        ``"loss"``.
    factor : float, default=0.1
        Factor of each reduction; greater than 0 and less than 1.
    patience : int, default=10
        Number of epochs in a row without an improvement before the next one reduces.
    min_delta : float, default=1e-4
        Smallest difference from the best value that counts as an improvement, at least 0.
    min_factor : float, default=0.0
        Smallest factor, at least 0.
    mode : {"auto", "min", "max"}, default="auto"
        Whether a lower or a higher value is better; "auto" knows it for relume's own metrics.
    warmup : float, default=0.0
        Epochs in which the factor rises linearly from 0. Metrics count from the first epoch on.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    Notes
    -----
    A network keeps a copy of its own, ``net.schedule``, which learns as the network is trained.

    Examples
    --------
    >>> from relume import nn
    >>> schedule = nn.ReduceOnPlateau(factor=0.5, patience=1)
    >>> for loss in (0.5, 0.5, 0.5):
    ...     schedule.update({"loss": loss})
    >>> schedule(3.0)
    0.5
    """

    def __init__(
        self,
        monitor: str | None = None,
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        min_factor: float = 0.0,
        mode: str = "auto",
        warmup: float = 0.0,
    ) -> None:
        monitored = MonitoredMetric(monitor, mode, min_delta)
        self.monitor, self.mode = monitored.name, monitored.mode
        self.min_delta: float = monitored.min_delta
        self.factor: float = validation.number(
            factor, "factor", "greater than 0 and less than 1", lambda x: 0 < x < 1
        )
        self.patience: int = validation.integer(patience, "patience", 0)
        self.min_factor: float = _at_least_0(min_factor, "min_factor")
        self.warmup: float = _at_least_0(warmup, "warmup")
        self._current, self._waited = 1.0, 0
        self._best: float | None = None

    def _factor(self, time):
        return np.full_like(time, self._current)

    def update(self, logs: dict[str, float]) -> None:
        """Learn from the logs of an epoch, after it.

        Parameters
        ----------
        logs : dict of str to float
            The loss and the metrics of the epoch.

        Raises
        ------
        ValueError
            If the monitored metric is not among them.
        """
        monitored = MonitoredMetric(self.monitor, self.mode, self.min_delta)
        value = monitored.value(logs)
        if monitored.is_better(value, self._best):
            self._best, self._waited = value, 0
            return
        self._waited += 1
        if self._waited > self.patience:
            reduced = max(self._current * self.factor, self.min_factor)
            self._current, self._waited = min(self._current, reduced), 0

    def state(self) -> dict[str, Any]:
        """The present factor, the best value (None before the first), and the epochs waited.

        Returns
        -------
        state : dict of str to object
        """
        return {"factor": self._current, "best": self._best, "waited": self._waited}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave.

        Parameters
        ----------
        state : dict of str to object

        Raises
        ------
        TypeError, ValueError
            If it is no such state.
        """
        if state.keys() != self.state().keys():
            raise ValueError(f"state must have {', '.join(self.state())}, got {state!r}")
        best = state["best"]
        if best is not None and (not isinstance(best, float | int) or math.isnan(best)):
            raise ValueError(f"best must be a number or None, got {best!r}")
        current = validation.number(
            state["factor"], "factor", "from 0 to 1", lambda x: 0 <= x <= 1
        )
        self._waited = validation.integer(state["waited"], "waited", 0)
        self._current, self._best = current, best


SCHEDULES: dict[str, type[Schedule]] = {
    cls.__name__: cls
    for cls in (ConstantRate, Step, Exponential, Cosine, OneCycle, InverseScaling, ReduceOnPlateau)
}
