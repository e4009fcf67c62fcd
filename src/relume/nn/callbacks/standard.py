"""The standard callbacks: early stopping, checkpoints, logging, learning rates."""

from __future__ import annotations

import csv
import os
import string
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from relume import validation
from relume.nn.callbacks.callback import Callback
from relume.nn.monitored_metric import MonitoredMetric

if TYPE_CHECKING:
    from relume.nn.network import Network
    from relume.nn.parameters.snapshot import Snapshot


class EarlyStopping(Callback):
    """End the fit when a metric has stopped improving, and go back to the best epoch.

    Parameters
    ----------
    monitor : str or None, default=None
        Name of a metric in the epoch's logs. None means ``"val_loss"`` if there is validation
        data, else ``"loss"``.
    patience : int, default=10
        Number of epochs in a row without an improvement after which the fit ends, at least 1.
    min_delta : float, default=0.0
        Smallest change that counts as an improvement, at least 0.
    mode : {"auto", "min", "max"}, default="auto"
        Whether lower or higher values are better. "auto" works for relume's own metrics; any other
        metric needs "min" or "max".
    restore_best : bool, default=True
        Whether to restore the state after the best epoch at the end of the fit: weights,
        optimizer, random state and number of epochs.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; during the fit, if the logs have no such metric.

    Notes
    -----
    Each fit starts afresh. After a fit, the attributes ``best`` and ``best_epoch`` are the best
    value and its epoch, and ``stopped_epoch`` is the epoch after which the callback ended the fit,
    or None. NaN never counts as an improvement.

    Examples
    --------
    >>> from relume import nn
    >>> stopping = nn.EarlyStopping(patience=3)
    >>> net = nn.Network([nn.Dense(1)], loss="mse", optimizer=nn.SGD(0.5), seed=0)
    >>> data = [[0.0], [1.0]], [0.0, 1.0]
    >>> history = net.fit(*data, epochs=10_000, validation_data=data, callbacks=[stopping])
    >>> net.epoch == stopping.best_epoch == len(history["loss"]) - 3
    True
    """

    def __init__(
        self,
        monitor: str | None = None,
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        self._metric = MonitoredMetric(monitor, mode, min_delta)
        self.patience: int = validation.integer(patience, "patience")
        self.restore_best: bool = validation.flag(restore_best, "restore_best")
        self._begin()

    def _begin(self) -> None:
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._waited: int = 0
        self._snapshot: Snapshot | None = None

    def on_fit_begin(self, net: Network) -> None:
        """Discard the state of the previous fit."""
        self._begin()

    def on_epoch_end(self, net: Network, epoch: int, logs: dict[str, float]) -> bool:
        """Compare the metric with its best value so far."""
        value = self._metric.value(logs)
        if self._metric.is_better(value, self.best):
            self.best, self.best_epoch, self._waited = value, epoch, 0
            self._snapshot = net.snapshot() if self.restore_best else None
            return False
        self._waited += 1
        if self._waited < self.patience:
            return False
        self.stopped_epoch = epoch
        return True

    def on_fit_end(self, net: Network) -> None:
        """Go back to the best epoch."""
        if self._snapshot is not None:
            net.restore(self._snapshot)
            self._snapshot = None


class ModelCheckpoint(Callback):
    """Save the network during training.

    Parameters
    ----------
    path : str or path-like
        Path of the file. ``{epoch}`` and the names of the epoch's logs are replaced by their
        values, as in ``"net-{epoch:03d}-{val_loss:.2f}.safetensors"``. Missing directories are
        created.
    monitor : str or None, default=None
        Name of the metric for `save_best_only`. None means ``"val_loss"`` if there is validation
        data, else ``"loss"``.
    save_best_only : bool, default=False
        Whether to save only when the metric is better than in all epochs before.
    every : int, default=1
        Save only after epochs whose number is a multiple of this.
    mode : {"auto", "min", "max"}, default="auto"
        Whether lower or higher values are better. "auto" works for relume's own metrics; any other
        metric needs "min" or "max".

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; during the fit, if the logs lack a name that is used.

    Notes
    -----
    The best value, ``best``, is kept from one fit to the next, as the file is. A network loaded
    from the file with `relume.nn.load` continues training as this one would have.

    Examples
    --------
    >>> from relume import nn
    >>> checkpoint = nn.ModelCheckpoint("net-{epoch:03d}.safetensors", every=10)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str | None = None,
        save_best_only: bool = False,
        every: int = 1,
        mode: str = "auto",
    ) -> None:
        self.path: str = validation.path(path)
        try:
            list(string.Formatter().parse(self.path))
        except ValueError as error:
            raise ValueError(f"path must be a format string, got {path!r}: {error}") from None
        self._metric = MonitoredMetric(monitor, mode)
        self.save_best_only: bool = validation.flag(save_best_only, "save_best_only")
        self.every: int = validation.integer(every, "every")
        self.best: float | None = None

    def on_epoch_end(self, net: Network, epoch: int, logs: dict[str, float]) -> None:
        """Save the network if the epoch is due and, with `save_best_only`, if it is the best."""
        if epoch % self.every:
            return
        best = self.best
        if self.save_best_only:
            best = self._metric.value(logs)
            if not self._metric.is_better(best, self.best):
                return
        try:
            path = self.path.format(epoch=epoch, **logs)
        except (KeyError, IndexError, ValueError) as error:
            names = ", ".join(["epoch", *logs])
            raise ValueError(
                f"path must be a format string of {names}; got {self.path!r}"
            ) from error
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        net.save(path)
        self.best = best


class CSVLogger(Callback):
    """Append the logs of each epoch to a CSV file as soon as the epoch ends.

    The columns are ``epoch`` and the names of the logs. The file is encoded in UTF-8, and its
    numbers have all digits needed to restore their values.

    Parameters
    ----------
    path : str or path-like
        Path of the file.
    append : bool, default=False
        Whether to continue an existing file without a second header. Otherwise each fit
        overwrites it.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; during the fit, if the file to continue has other columns.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from relume import nn
    >>> net = nn.Network([nn.Dense(1)], loss="mse", seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "log.csv")
    ...     history = net.fit([[0.0]], [0.0], epochs=2, callbacks=[nn.CSVLogger(path)])
    ...     print(path.read_text())
    epoch,loss
    1,0.0
    2,0.0
    <BLANKLINE>
    """

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self.path: str = validation.path(path)
        self.append: bool = validation.flag(append, "append")

    def on_fit_begin(self, net: Network) -> None:
        """Check that the file can be written, and empty it unless it is to be continued."""
        with open(self.path, "a" if self.append else "w", encoding="utf-8"):
            pass
        self._columns: list[str] | None = None

    def on_epoch_end(self, net: Network, epoch: int, logs: dict[str, float]) -> None:
        """Write a line. The file is closed at once, so that no line is lost."""
        row = {"epoch": epoch, **logs}
        lines: list[Sequence[str | float]] = [list(row.values())]
        if self._columns is None:
            self._columns = self._header()
            if not self._columns:
                self._columns = list(row)
                lines.insert(0, self._columns)
        if self._columns != list(row):
            raise ValueError(
                f"path must be a file with the columns {','.join(row)}, "
                f"got {self.path!r} with {','.join(self._columns)}"
            )
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)

    def _header(self):
        with open(self.path, newline="", encoding="utf-8") as file:
            return next(csv.reader(file), [])


class LearningRateScheduler(Callback):
    """Set the optimizer's learning rate before each epoch.

    If the network has a schedule, such as ``schedule=nn.Cosine(10)``, its factor is applied on
    top.

    Parameters
    ----------
    f : callable
        ``f(epoch, lr)`` takes the number of the epoch, counted from 1 over all fits, and the
        present learning rate. It returns the new learning rate, greater than 0.

    Raises
    ------
    TypeError, ValueError
        If `f` is not callable; during the fit, if it returns no positive number, or if the
        optimizer has no learning rate.

    Examples
    --------
    >>> from relume import nn
    >>> halved = nn.LearningRateScheduler(lambda epoch, lr: lr / 2 if epoch % 10 == 0 else lr)
    """

    def __init__(self, f: Callable[[int, float], float]) -> None:
        if not callable(f):
            raise TypeError(f"f must be a function f(epoch, lr), got {f!r}")
        self.f: Callable[[int, float], float] = f

    def on_epoch_begin(self, net: Network, epoch: int) -> None:
        """Set the learning rate."""
        if not hasattr(net.optimizer, "lr"):
            raise ValueError(f"optimizer must have a learning rate, got {net.optimizer!r}")
        net.optimizer.lr = validation.positive(self.f(epoch, net.optimizer.lr), "what f returns")


class TerminateOnNaN(Callback):
    """End the fit without an error when a metric becomes NaN or infinite.

    Without this callback, a training loss that is not finite raises a FloatingPointError. In both
    cases the network is restored to its state before that epoch. All other metrics, such as
    ``"val_loss"``, are checked after each epoch.

    Attributes
    ----------
    stopped_epoch : int or None
        The epoch in which the callback ended the last fit, or None.

    Examples
    --------
    >>> from relume import nn
    >>> net = nn.Network([nn.Dense(1)], loss="mse", optimizer=nn.SGD(1e30), seed=0)
    >>> guard = nn.TerminateOnNaN()
    >>> history = net.fit([[1.0], [2.0]], [0.0, 1.0], epochs=9, callbacks=[guard])
    >>> guard.stopped_epoch is not None
    True
    """

    stopped_epoch: int | None = None

    def on_fit_begin(self, net: Network) -> None:
        """Discard the state of the previous fit."""
        self.stopped_epoch = None

    def on_divergence(self, net: Network, epoch: int, error: FloatingPointError) -> bool:
        """End the fit."""
        self.stopped_epoch = epoch
        return True

    def on_epoch_end(self, net: Network, epoch: int, logs: dict[str, float]) -> bool:
        """End the fit if a metric is not finite."""
        if np.isfinite(list(logs.values())).all():
            return False
        self.stopped_epoch = epoch
        return True
