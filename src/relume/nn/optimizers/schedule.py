"""Learning rates over time: what a schedule is, and the factors it gives an epoch.

Time is counted in epochs of the network's life, as a float: 0.0 at the start of training, 1.5 in
the middle of the second epoch. A minibatch takes the factor of the time at which it begins. Any
function of one float is a schedule; those of relume compute an epoch's factors at once.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from relume import validation
from relume.keywords import misfit
from relume.nn.configurable import Configurable


class Schedule(Configurable):
    """What all schedules share: the linear warm-up before them, and their state."""

    warmup: float = 0.0

    def _factor(self, time):
        """The factors at an array of times since the end of the warm-up."""
        raise NotImplementedError

    def __call__(self, epoch: float) -> float:
        """The factor of the learning rate at a time.

        Parameters
        ----------
        epoch : float
            Time since the start of training, at least 0.

        Returns
        -------
        factor : float
        """
        if np.ndim(epoch) != 0:
            raise TypeError(f"epoch must be a number, got {validation.shown(epoch)}")
        return float(self._factors(np.array([epoch], np.float64), 0.0)[0])

    def factors(self, epoch: int, steps: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """The factors of all minibatches of an epoch.

        Parameters
        ----------
        epoch : int
            How many epochs are done.
        steps : int
            How many minibatches an epoch has.

        Returns
        -------
        factors : ndarray of shape (steps,)
        """
        return self._factors(epoch + np.arange(steps) / steps, 1 / steps)

    def _factors(self, time, step):
        """Warm-up counts the step at hand as done, so that none is made at a rate of 0."""
        if not self.warmup:
            return self._factor_of_steps(time, step)
        return self._factor_of_steps(np.maximum(time - self.warmup, 0), step) * np.minimum(
            (time + step) / self.warmup, 1
        )

    def _factor_of_steps(self, time, step):
        """The factors of steps that begin at some times, the length of a step being `step`."""
        return self._factor(time)

    def _at(self, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """The factor of all steps of an epoch of unknown length, as an array of one number."""
        return self.factors(epoch, 1)

    def state(self) -> dict[str, Any]:
        """What the schedule has learned from the logs of epochs; JSON can hold it.

        Returns
        -------
        state : dict of str to object
            Empty where time alone decides.
        """
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave.

        Parameters
        ----------
        state : dict of str to object
        """


def schedule_of(value: Any) -> Callable[[float], float] | None:
    """A schedule, checked: a `Schedule`, any function, or None."""
    if value is not None and (isinstance(value, type) or not callable(value)):
        raise TypeError(
            "schedule must be a schedule such as nn.Cosine(10), a function of the epoch or None, "
            f"got {validation.shown(value)}{validation.instance(value)}"
        )
    return value


def learn(schedule: Any, logs: dict[str, float]) -> None:
    """Show a schedule the logs of an epoch, if it has an ``update``, as `ReduceOnPlateau`."""
    update = getattr(schedule, "update", None)
    if update is not None:
        update(logs)


def learning_rates(lr, schedule, epoch, steps):
    """The learning rates of an epoch's minibatches, just one if their number is None."""
    if isinstance(schedule, Schedule) and steps is None:
        return lr * schedule._at(epoch)
    steps = steps or 1
    if schedule is None:
        return np.full(steps, lr, np.float64)
    if isinstance(schedule, Schedule):
        return lr * schedule.factors(epoch, steps)
    return lr * np.array([_checked(schedule, epoch + i / steps) for i in range(steps)])


def _checked(schedule, time):
    try:
        factor = schedule(time)
    except TypeError as error:
        raise misfit(error, schedule, "schedule(epoch)", time) from error.__cause__
    try:
        if math.isfinite(factor) and factor >= 0:
            return float(factor)
    except TypeError:
        pass
    raise ValueError(
        f"schedule must return a number of at least 0, got {validation.shown(factor)} at {time}"
    )
