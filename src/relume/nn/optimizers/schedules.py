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
    """The constant factor 1, optionally with a warm-up.

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
        periods = time / self.every
        whole = np.rint(periods)
        # A minibatch at the beginning of a period may be some rounding errors before it.
        begins = np.abs(periods - whole) <= 1e-12 * np.maximum(whole, 1)
        return self.factor ** np.where(begins, whole, np.floor(periods))


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
    """``final + (1 - final) (1 + cos(pi t / epochs)) / 2``, then constantly `final`.

    As ``CosineAnnealingLR`` of torch, which rises again after its end. As there, the first
    minibatch after `epochs` is the first one with the factor `final`.

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
    ``1 / (div_factor * final_div_factor)``; momentum is left alone. In a fit, as there, the first
    minibatch of the cycle has the factor `start`, and the last one `final`. As a function of time,
    and for steps whose number in an epoch is not known, such as those of `Network.train_on_batch`,
    the factor is `final` at the time `epochs`.

    Parameters
    ----------
    epochs : float
        How long it lasts, without the warm-up; greater than 0.
    peak : float, default=0.3
        The share of its time after which the factor is 1; greater than 0 and less than 1.
    start : float, default=1/25
        The factor at its start, at least 0.
    final : float, default=4e-06
        The factor at the end and afterwards, at least 0.
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
        return self._between(time, self.peak * self.epochs, self.epochs)

    def _factor_of_steps(self, time, step):
        # The first step is at 0, and the last one at its end: one step less than the steps last.
        return self._between(time, self.peak * self.epochs - step, self.epochs - step)

    def _at(self, epoch):
        warmed = min((epoch + 1) / self.warmup, 1) if self.warmup else 1.0
        return self._factor(np.array([max(epoch - self.warmup, 0.0)])) * warmed

    def _between(self, time, top, end):
        """The factors where the cycle has its highest factor at `top`, and ends at `end`."""
        with np.errstate(divide="ignore", invalid="ignore"):
            up = _cosine(self.start, 1.0, np.minimum(time / top, 1))
            share = (time - top) / (end - top)
        # A minibatch at the end of the cycle may be some rounding errors before it.
        share = np.where(share >= 1 - 1e-12, 1, np.maximum(share, 0))
        return np.where(time < top, up, _cosine(1.0, self.final, share))


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

    As ``ReduceLROnPlateau`` of torch. A metric that is NaN is not better.

    Parameters
    ----------
    monitor : str or None, default=None
        Metric of an epoch to monitor; None is ``"val_loss"`` where there is validation data, else
        ``"loss"``.
    factor : float, default=0.1
        Factor of each reduction; greater than 0 and less than 1.
    patience : int, default=10
        Number of epochs in a row without an improvement before the next one reduces.
    threshold : float, default=1e-4
        How much better than the best value a value must be to count as an improvement, at least 0.
    min_factor : float, default=0.0
        Smallest factor, at least 0.
    mode : {"auto", "min", "max"}, default="auto"
        Whether a lower or a higher value is better; "auto" knows it for relume's own metrics.
    warmup : float, default=0.0
        Epochs in which the factor rises linearly from 0. Metrics count from the first epoch on.
    threshold_mode : {"rel", "abs"}, default="rel"
        "rel" takes `threshold` as a share of the best value: less than ``best * (1 - threshold)``
        counts, or more than ``best * (1 + threshold)`` where a higher value is better. "abs" takes
        it as a difference from the best value.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    Notes
    -----
    A network keeps a copy, ``net.schedule``, which learns as the network is trained.

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
        threshold: float = 1e-4,
        min_factor: float = 0.0,
        mode: str = "auto",
        warmup: float = 0.0,
        threshold_mode: str = "rel",
    ) -> None:
        monitored = MonitoredMetric(monitor, mode)
        self.monitor, self.mode = monitored.name, monitored.mode
        self.threshold: float = _at_least_0(threshold, "threshold")
        self.threshold_mode: str = validation.choice(
            threshold_mode, "threshold_mode", ("rel", "abs")
        )
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

    def _check_logs(self, names: list[str]) -> None:
        MonitoredMetric(self.monitor, self.mode).check(names)

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
        monitored = MonitoredMetric(self.monitor, self.mode)
        value = monitored.value(logs)
        best = -monitored.sign * math.inf if self._best is None else self._best
        if self.threshold_mode == "rel":
            limit = best * (1 + monitored.sign * self.threshold)
        else:
            limit = best + monitored.sign * self.threshold
        if monitored.sign * value > monitored.sign * limit:
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
            raise ValueError(
                f"state must have {', '.join(self.state())}, got {validation.shown(state)}"
            )
        best = state["best"]
        if best is not None and (not isinstance(best, float | int) or math.isnan(best)):
            raise ValueError(f"best must be a number or None, got {validation.shown(best)}")
        current = validation.number(
            state["factor"], "factor", "from 0 to 1", lambda x: 0 <= x <= 1
        )
        self._waited = validation.integer(state["waited"], "waited", 0)
        self._current, self._best = current, best


SCHEDULES: dict[str, type[Schedule]] = {
    cls.__name__: cls
    for cls in (ConstantRate, Step, Exponential, Cosine, OneCycle, InverseScaling, ReduceOnPlateau)
}
