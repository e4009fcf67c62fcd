"""Hooks: the points of a fit at which callbacks are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from relume.engine.observer import Observer
    from relume.nn.network import Network

Hook = Callable[..., Any]


class Callback:
    """Hooks of a fit; a subclass overrides those it needs, and the others are never called.

    Epochs count from 1 over the network's life, as ``net.epoch``, and minibatches from 1 in each
    epoch. A hook may read the network, copy it, predict with it, and change its weights and
    settings. If a hook raises, the fit ends with that error, and the network is as after the last
    complete epoch.

    See Also
    --------
    Network.fit : Takes a list of callbacks; a plain function is an `on_epoch_end`.

    Examples
    --------
    >>> from relume import nn
    >>> class Stop(nn.Callback):
    ...     def on_epoch_end(self, net, epoch, logs):
    ...         return logs["loss"] < 0.1
    >>> net = nn.Network([nn.Dense(1)], loss="mse", optimizer=nn.SGD(0.5), seed=0)
    >>> history = net.fit([[0.0], [1.0]], [0.0, 1.0], epochs=100, callbacks=[Stop()])
    >>> len(history["loss"]) < 100
    True
    """

    def on_fit_begin(self, net: Network) -> None:
        """Called when a fit has checked its arguments and built the network.

        Parameters
        ----------
        net : Network
        """

    def on_fit_end(self, net: Network) -> None:
        """Called after the last epoch; not where an error ends the fit.

        Parameters
        ----------
        net : Network
        """

    def on_epoch_begin(self, net: Network, epoch: int) -> None:
        """Called before an epoch.

        Parameters
        ----------
        net : Network
        epoch : int
        """

    def on_epoch_end(self, net: Network, epoch: int, logs: dict[str, float]) -> bool | None:
        """Called after an epoch and its validation.

        Parameters
        ----------
        net : Network
        epoch : int
        logs : dict of str to float
            The loss and the metrics of the epoch, as `History` records them.

        Returns
        -------
        end : bool or None
            True ends the fit.
        """
        return None

    def on_batch_begin(self, net: Network, batch: int) -> None:
        """Called before a minibatch.

        Parameters
        ----------
        net : Network
        batch : int
        """

    def on_batch_end(self, net: Network, batch: int, loss: float) -> None:
        """Called after the optimizer's step on a minibatch.

        Parameters
        ----------
        net : Network
        batch : int
        loss : float
            Before the step.
        """

    def on_divergence(self, net: Network, epoch: int, error: FloatingPointError) -> bool | None:
        """Called where the loss stopped being finite, the network being as before the epoch.

        Parameters
        ----------
        net : Network
        epoch : int
        error : FloatingPointError
            What `Network.fit` will raise.

        Returns
        -------
        end : bool or None
            True ends the fit without the error.
        """
        return None


@runtime_checkable
class WatchesTraining(Protocol):
    """A callback that lets the engine show it what minibatches leave on the tape."""

    def observer_for(
        self, net: Network, epoch: int, rows: int, steps: int | None
    ) -> Observer | None:
        """The observer of an epoch's minibatches; None leaves the epoch out."""


@runtime_checkable
class RecordsLayers(Protocol):
    """A callback whose records of the layers become part of a fit's history."""

    records: list[dict[str, dict[str, Any]]]


HOOKS = [name for name in vars(Callback) if name.startswith("on_")]


NO_HOOKS: dict[str, list[Hook]] = {name: [] for name in HOOKS}


class Hooks:
    """The hooks that some callbacks override: a list for each, looked up once.

    Parameters
    ----------
    callbacks : list of Callback and callable, or None
    """

    def __init__(self, callbacks: Any) -> None:
        self._watching: list[WatchesTraining] = []
        self._hooks = NO_HOOKS
        if callbacks is None:
            return
        if not isinstance(callbacks, list | tuple):
            raise TypeError(f"callbacks must be a list of callbacks or None, got {callbacks!r}")
        self._hooks = {name: [] for name in HOOKS}
        self._watching = [each for each in callbacks if isinstance(each, WatchesTraining)]
        for i, callback in enumerate(callbacks):
            for name, hook in _hooks_of(callback, f"callbacks[{i}]"):
                self._hooks[name].append(hook)

    def __getitem__(self, name: str) -> list[Hook]:
        return self._hooks[name]

    def observers(self, net: Network, rows: int, steps: int | None) -> list[Observer]:
        """The observers of the next epoch's minibatches."""
        if not self._watching:
            return []
        found = [each.observer_for(net, net.epoch + 1, rows, steps) for each in self._watching]
        return [each for each in found if each is not None]

    @property
    def records(self) -> list[dict[str, dict[str, Any]]]:
        """The records of the layers by the first callback that makes some, such as `Monitor`."""
        return next(
            (each.records for each in self._watching if isinstance(each, RecordsLayers)), []
        )

    def call(self, name: str, *arguments: Any) -> bool:
        """Call all hooks of a name; tells whether one of them returned True."""
        hooks = self._hooks[name]
        if not hooks:
            return False
        answers = [hook(*arguments) for hook in hooks]
        return any(isinstance(answer, bool | np.bool_) and bool(answer) for answer in answers)


def _hooks_of(callback: Any, name: str) -> list[tuple[str, Hook]]:
    """Names and hooks of a callback: a `Callback`, or a function."""
    if isinstance(callback, Callback):
        return [
            (hook, getattr(callback, hook))
            for hook in HOOKS
            if hook in vars(callback) or getattr(type(callback), hook) != getattr(Callback, hook)
        ]
    if isinstance(callback, type) or not callable(callback):
        raise TypeError(
            f"{name} must be a callback such as nn.EarlyStopping() or a function "
            f"f(net, epoch, logs), got {callback!r}"
        )
    return [("on_epoch_end", callback)]
