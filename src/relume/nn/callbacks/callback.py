"""Hooks: the points of a fit at which callbacks are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from relume import validation
from relume.keywords import misfit
from relume.nn.configurable import CheckedSettings
from relume.nn.monitored_metric import names_of_logs

if TYPE_CHECKING:
    from relume.engine.observer import Observer
    from relume.nn.network import Network

Hook = Callable[..., Any]


class Callback(CheckedSettings):
    """Hooks of a fit; a subclass overrides those it needs, and the others are never called.

    A callback that keeps something from epoch to epoch also overrides `state_dict` and
    `load_state_dict`, so that its state travels in the files that `Network.save` and
    `ModelCheckpoint` write.

    Epochs count from 1 over the network's life, as ``net.epoch``, and minibatches from 1 in each
    epoch. A hook may read the network, copy it, predict with it, and change its weights and
    settings. If a hook raises, the fit ends with that error, and the network is as after the last
    complete epoch. Callbacks are called in the order of the list, but `ModelCheckpoint` comes last
    after an epoch and at the end of a fit: it saves what the others have made.

    See Also
    --------
    Network.fit : Train with a list of callbacks; a plain function is called as `on_epoch_end`.

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

    _saves: ClassVar[bool] = False  # whether it comes after the others

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in vars(cls):
            if name.startswith("on_") and name not in HOOKS:
                raise TypeError(
                    f"{cls.__qualname__}.{name} is not a hook and would never be called; the "
                    f"hooks are {', '.join(HOOKS)}{validation.hint(name, HOOKS)}"
                )

    def _checking_classes(self) -> list[type]:
        """relume's own classes: the constructor of another may open a file, for one."""
        return [cls for cls in type(self).__mro__ if cls.__module__.startswith("relume.")]

    @property
    def _identity(self) -> dict[str, Any]:
        """Entries of the state that tell it apart from others of the same class."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return what the callback has recorded so far, to be saved with the network.

        Returns
        -------
        state : dict of str to object
            Values that JSON can hold, NumPy arrays of numbers, what `Network.snapshot` returns,
            and lists and dicts of them. Empty unless overridden.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> bool | None:
        """Continue from a saved state.

        Called after `on_fit_begin` in the first fit of a network that `relume.nn.load` has loaded,
        with the state of the callback of the same class in the file; the first one of a class
        takes the first state, and so on.

        Parameters
        ----------
        state : dict of str to object
            What `state_dict` returned.

        Returns
        -------
        done : bool or None
            True if the callback had ended the fit: then it ends at once, without an epoch.
        """
        return None

    def on_fit_begin(self, net: Network) -> None:
        """Called when a fit has checked its arguments and built the network.

        Parameters
        ----------
        net : Network
        """

    def on_fit_end(self, net: Network) -> None:
        """Called after the last epoch, also where Ctrl-C ends the fit; not where an error does.

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
            The loss and the metrics of the epoch, as `History` records them. What a hook adds is
            recorded too, and later callbacks see it.

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
class WatchesTargets(Protocol):
    """A callback that looks at some of a fit's rows, at its beginning."""

    def watch_targets(self, X: Any, y: NDArray[Any]) -> None:
        """Keep rows of X and y, as the engine takes them."""


@runtime_checkable
class RecordsLayers(Protocol):
    """A callback whose records of the layers become part of a fit's history."""

    records: list[dict[str, dict[str, Any]]]


SAMPLE = 256  # rows that `WatchesTargets` is shown

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
        self._stateful: list[Callback] = []
        self._hooks = NO_HOOKS
        self._callbacks: Sequence[Any] = ()
        if callbacks is None:
            return
        if not isinstance(callbacks, list | tuple):
            raise TypeError(
                f"callbacks must be a list of callbacks or None, got {validation.shown(callbacks)}"
            )
        self._callbacks = callbacks
        self._hooks = {name: [] for name in HOOKS}
        self._watching = [each for each in callbacks if isinstance(each, WatchesTraining)]
        found = [(each, _hooks_of(each, f"callbacks[{i}]")) for i, each in enumerate(callbacks)]
        for _, hooks in sorted(found, key=lambda each: _saves(each[0])):
            for name, hook in hooks:
                self._hooks[name].append(hook)
        # All of them decide before the first one saves the states of all.
        saving = [each for each in callbacks if _saves(each)]
        n = len(self._hooks["on_epoch_end"]) - len(saving)
        self._hooks["on_epoch_end"][n:n] = [each._decide for each in saving]
        self._stateful = [
            each
            for each in callbacks
            if isinstance(each, Callback) and type(each).state_dict is not Callback.state_dict
        ]

    def __getitem__(self, name: str) -> list[Hook]:
        return self._hooks[name]

    def observers(self, net: Network, rows: int, steps: int | None) -> list[Observer]:
        """The observers of the next epoch's minibatches."""
        if not self._watching:
            return []
        found = [each.observer_for(net, net.epoch + 1, rows, steps) for each in self._watching]
        return [each for each in found if each is not None]

    def show_targets(self, source: Any) -> None:
        """Show some rows of a fit's data to callbacks that look at them."""
        watching = [each for each in self._watching if isinstance(each, WatchesTargets)]
        rows = source.sample(SAMPLE) if watching else None
        for each in watching:
            if rows is not None:
                each.watch_targets(*rows)

    @property
    def records(self) -> list[dict[str, dict[str, Any]]]:
        """The records of the layers by the first callback that makes some, such as `Monitor`."""
        return next(
            (each.records for each in self._watching if isinstance(each, RecordsLayers)), []
        )

    def states(self) -> list[dict[str, Any]]:
        """The class's name and the state of each callback that has one."""
        found = [
            {"class": type(each).__qualname__, "state": _state_of(each)} for each in self._stateful
        ]
        return found if any(each["state"] for each in found) else []

    def resume(self, saved: list[dict[str, Any]]) -> bool:
        """Give callbacks the saved states that are theirs; tells whether the fit had ended."""
        answers = [
            callback.load_state_dict(state) for callback, state in _matched(self._stateful, saved)
        ]
        return any(_is_true(answer) for answer in answers)

    def check_logs(self, net: Network, validated: bool) -> None:
        """Raise where a callback or the schedule needs what no epoch's logs will hold.

        A callback of the user may put more into the logs, or change the network, so those after
        it are left to find out.
        """
        names = names_of_logs(net.metrics, validated)
        if all(type(each).__module__.startswith("relume.") for each in self._callbacks):
            _check_logs(net.schedule, names)
        for callback in self._callbacks:
            if not type(callback).__module__.startswith("relume."):
                return
            _check_logs(callback, names)

    def call(self, name: str, *arguments: Any) -> bool:
        """Call all hooks of a name; tells whether one of them returned True."""
        hooks = self._hooks[name]
        if not hooks:
            return False
        end = False
        for hook in hooks:
            try:
                end |= _is_true(hook(*arguments))
            except TypeError as error:
                raise misfit(error, hook, _call_of(name), *arguments) from error.__cause__
        return end


def _call_of(name: str) -> str:
    """How a hook is called, for an error."""
    import inspect

    _, *parameters = inspect.signature(getattr(Callback, name)).parameters
    return f"{name}({', '.join(parameters)})"


def _is_true(answer: Any) -> bool:
    return isinstance(answer, bool | np.bool_) and bool(answer)


def _saves(callback: Any) -> bool:
    return isinstance(callback, Callback) and callback._saves


def _state_of(callback: Callback) -> dict[str, Any]:
    state = callback.state_dict()
    if not isinstance(state, dict):
        raise TypeError(
            f"state_dict of {type(callback).__qualname__} must return a dict, got {type(state)}"
        )
    return state


def _matched(
    callbacks: list[Callback], saved: list[dict[str, Any]]
) -> list[tuple[Callback, dict[str, Any]]]:
    """Callbacks with the saved states of their class: alike ones first, then in their order."""
    left, found = list(saved), {}
    for alike in (True, False):
        for i, callback in enumerate(callbacks):
            if not left or i in found:
                continue
            own = callback._identity.items() if alike else ()
            for entry in left:
                same = all(entry["state"].get(name) == value for name, value in own)
                if entry["class"] == type(callback).__qualname__ and same:
                    found[i] = entry["state"]
                    left = [each for each in left if each is not entry]
                    break
    return [(callbacks[i], state) for i, state in sorted(found.items()) if state]


def numbers_of(state: dict[str, Any], *names: str) -> list[float | None]:
    """Entries of a saved state that must be a number or None."""
    for name in names:
        if name not in state:
            raise ValueError(f"state must have {', '.join(names)}, got {', '.join(state)}")
        value = state[name]
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise TypeError(f"state's {name} must be a number or None, got {type(value)}")
    return [state[name] for name in names]


def _check_logs(user: Any, names: list[str]) -> None:
    check = getattr(user, "_check_logs", None)
    if check is not None:
        check(names)


def _about(callback: Any) -> str:
    """What to do with an object that has hooks, but is no callback."""
    if any(hasattr(callback, name) for name in HOOKS):
        return "; derive its class from nn.Callback"
    return ""


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
            f"f(net, epoch, logs), got {validation.shown(callback)}"
            f"{validation.instance(callback) or _about(callback)}"
        )
    return [("on_epoch_end", callback)]
