"""The standard callbacks: early stopping, checkpoints, logging, learning rates."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import string
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from relume import validation
from relume.keywords import misfit
from relume.nn.callbacks.callback import Callback, numbers_of
from relume.nn.monitored_metric import MonitoredMetric, missing
from relume.runtime import files

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
    Each fit starts afresh, except the first fit of a network that `relume.nn.load` has loaded: it
    continues from the state in the file, and ends at once if the callback had ended the saved fit.
    After a fit, the attributes ``best`` and ``best_epoch`` are the best value and its epoch, and
    ``stopped_epoch`` is the epoch after which the callback ended the fit, or None. NaN never
    counts as an improvement.

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
        metric = MonitoredMetric(monitor, mode, min_delta)
        self.monitor: str | None = metric.name
        self.mode: str = metric.mode
        self.min_delta: float = metric.min_delta
        self.patience: int = validation.integer(patience, "patience")
        self.restore_best: bool = validation.flag(restore_best, "restore_best")
        self._begin()

    @property
    def _metric(self) -> MonitoredMetric:
        return MonitoredMetric(self.monitor, self.mode, self.min_delta)

    def _begin(self) -> None:
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._waited: int = 0
        self._snapshot: Snapshot | None = None
        self._restored: bool = False  # whether the network is as after the best epoch

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, its epoch and snapshot, and the epochs waited since.

        Returns
        -------
        state : dict of str to object
        """
        return {
            **self._identity,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "stopped_epoch": self.stopped_epoch,
            "waited": self._waited,
            "snapshot": self._snapshot,
            "restored": self._restored,
        }

    @property
    def _identity(self) -> dict[str, Any]:
        return {"monitor": self.monitor, "mode": self.mode}

    def load_state_dict(self, state: dict[str, Any]) -> bool:
        """Continue from a saved state, unless another metric was monitored.

        Parameters
        ----------
        state : dict of str to object
            What `state_dict` returned.

        Returns
        -------
        done : bool
            Whether the saved fit had ended after at least ``patience`` epochs of waiting.
        """
        if not self._metric.is_that_of(state):
            return False
        best, best_epoch, stopped, waited = numbers_of(
            state, "best", "best_epoch", "stopped_epoch", "waited"
        )
        self.best = None if best is None else float(best)
        self.best_epoch = None if best_epoch is None else int(best_epoch)
        self._waited = int(waited or 0)
        self._snapshot = state.get("snapshot") if self.restore_best else None
        self._restored = state.get("restored") is True
        if stopped is not None and self._waited >= self.patience:
            self.stopped_epoch = int(stopped)
            return True
        if self._restored:
            self._waited = 0
        return False

    def _check_logs(self, names: list[str]) -> None:
        self._metric.check(names)

    def on_fit_begin(self, net: Network) -> None:
        """Discard the state of the previous fit."""
        self._begin()

    def on_epoch_begin(self, net: Network, epoch: int) -> None:
        """Take the snapshot of the best epoch from a network that was saved as after it."""
        if self._restored and self.restore_best:
            self._snapshot = net.snapshot()
        self._restored = False

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
            self._snapshot, self._restored = None, True


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
    from the file with `relume.nn.load` continues training as this one would have: the file also
    holds the state of all callbacks, this best value among them. Where another callback, such as
    `EarlyStopping`, takes the network back to an earlier epoch at the end of a fit, the file of
    that epoch is written once more, and so is a file whose path is the same for all epochs, unless
    it holds the best epoch of another one.

    Examples
    --------
    >>> from relume import nn
    >>> checkpoint = nn.ModelCheckpoint("net-{epoch:03d}.safetensors", every=10)
    """

    _saves = True

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
            _fields_of(self.path)
        except ValueError as error:
            raise ValueError(f"path must be a format string, got {path!r}: {error}") from None
        metric = MonitoredMetric(monitor, mode)
        self.monitor: str | None = metric.name
        self.mode: str = metric.mode
        self.save_best_only: bool = validation.flag(save_best_only, "save_best_only")
        self.every: int = validation.integer(every, "every")
        self.best: float | None = None
        self._best_before: float | None = None
        self._due: bool | None = None  # whether to save after this epoch; None: not decided yet
        self._epoch: int = 0  # the last one that was seen
        self._saved: dict[str, int] = {}  # the epoch of each file of this fit

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, if there is one.

        Returns
        -------
        state : dict of str to object
        """
        return {} if self.best is None else {**self._identity, "best": self.best}

    @property
    def _identity(self) -> dict[str, Any]:
        return {"path": self.path, "monitor": self.monitor, "mode": self.mode}

    @property
    def _metric(self) -> MonitoredMetric:
        return MonitoredMetric(self.monitor, self.mode)

    @property
    def _one_file(self) -> bool:
        return all(field is None for field in _fields_of(self.path))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved best value, unless another metric was monitored.

        Parameters
        ----------
        state : dict of str to object
            What `state_dict` returned.
        """
        if self._metric.is_that_of(state):
            (best,) = numbers_of(state, "best")
            self.best = None if best is None else float(best)

    def _check_logs(self, names: list[str]) -> None:
        if self.save_best_only:
            self._metric.check(names)
        try:
            self.path.format(epoch=1, **dict.fromkeys(names, 1.0))
        except KeyError as error:
            raise missing("a name in path", str(error.args[0]), ["epoch", *names]) from None
        except (IndexError, ValueError):
            self._path_of(1, dict.fromkeys(names, 1.0))

    def on_fit_begin(self, net: Network) -> None:
        """Note the epoch that the fit continues from."""
        if self._due:  # an error came before it was saved
            self.best = self._best_before
        self._due, self._epoch, self._saved = None, net.epoch, {}

    def _decide(self, net: Network, epoch: int, logs: dict[str, float]) -> None:
        """Decide whether to save after this epoch; if so, the best value is this one."""
        self._due, self._epoch = epoch % self.every == 0, epoch
        self._best_before = self.best
        if self._due and self.save_best_only:
            value = self._metric.value(logs)
            self._due = self._metric.is_better(value, self.best)
            if self._due:
                self.best = value

    def on_epoch_end(self, net: Network, epoch: int, logs: dict[str, float]) -> None:
        """Save the network if the epoch is due and, with `save_best_only`, if it is the best."""
        if self._due is None:
            self._decide(net, epoch, logs)
        due, self._due = self._due, None
        if not due:
            return
        try:
            self._save(net, self._path_of(epoch, logs), epoch)
        except BaseException:
            self.best = self._best_before
            raise

    def on_fit_end(self, net: Network) -> None:
        """Save the network again if it was taken back to an earlier epoch."""
        if net.epoch >= self._epoch:
            return
        path = next((path for path, epoch in self._saved.items() if epoch == net.epoch), None)
        if path is None and self._one_file and not self.save_best_only:
            path = self._path_of(net.epoch, {})
        if path is not None:
            self._save(net, path, net.epoch)

    def _save(self, net, path, epoch):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        net.save(path)
        self._saved[path] = epoch

    def _path_of(self, epoch, logs):
        try:
            return self.path.format(epoch=epoch, **logs)
        except (KeyError, IndexError, ValueError) as error:
            names = ", ".join(["epoch", *logs])
            raise ValueError(
                f"path must be a format string of {names}; got {self.path!r}"
            ) from error


def _fields_of(path: str) -> list[str | None]:
    """The names in a format string; ValueError if it is none."""
    return [field for _, field, _, _ in string.Formatter().parse(path)]


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
        overwrites it, except the first fit of a network that `relume.nn.load` has loaded from a
        run with the same log: it continues the file after the epochs that the network has done.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; before training, if the file to continue has other columns.

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
        self._columns: list[str] | None = None
        self._continues: bool = False  # whether the fit continues the file of a saved one
        self._begun: bool = False

    def state_dict(self) -> dict[str, Any]:
        """Return the path of the file.

        Returns
        -------
        state : dict of str to object
        """
        return self._identity

    @property
    def _identity(self) -> dict[str, Any]:
        return {"path": self.path}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue the file, if it is the one of the saved fit.

        Parameters
        ----------
        state : dict of str to object
            What `state_dict` returned.
        """
        self._continues = state.get("path") == self.path

    def on_fit_begin(self, net: Network) -> None:
        """Check that the file can be written and, if it is to be continued, its columns."""
        with open(self.path, "ab"):
            pass
        self._columns, self._continues, self._begun = None, False, False
        if self.append:
            names = getattr(net, "_log_names", None)
            self._continue(["epoch", *names] if names else None)

    def _continue(self, columns):
        """Check the columns, and remove a last line that was not written to its end."""
        with open(self.path, "rb") as file:
            header = file.readline()
        if not header:
            return
        if header.endswith(b"\n"):
            self._columns = self._parsed(header)
            self._check(columns, self._columns)
        elif not ",".join(columns or ["epoch", "loss"]).encode().startswith(header):
            self._check(columns, self._parsed(header), torn=True)
        _remove_torn_line(self.path)

    @staticmethod
    def _parsed(header):
        return next(csv.reader([header.decode("utf-8", "replace")]), [])

    def _check(self, columns, found, torn=False):
        """Raise if the file has other columns; without `columns`, only its first are known."""
        same = found[:2] == ["epoch", "loss"] if columns is None else found == columns
        if torn or not same:
            raise ValueError(
                f"path must be a file with the columns {','.join(columns or ('epoch', 'loss'))}, "
                f"got {self.path!r} with {','.join(found)[:200]}"
            )

    def on_epoch_end(self, net: Network, epoch: int, logs: dict[str, float]) -> None:
        """Write a line. The file is closed at once, so that no line is lost."""
        row = {"epoch": epoch, **logs}
        lines: list[Sequence[str | float]] = [list(row.values())]
        if not self._begun:
            self._begin(epoch, list(row))
        if self._columns is None:
            lines.insert(0, list(row))
        else:
            self._check(list(row), self._columns)
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(lines)
        size = os.path.getsize(self.path)
        try:
            with open(self.path, "ab") as file:
                file.write(text.getvalue().encode())
        except BaseException:  # such as a full disk: leave no half of a line
            with contextlib.suppress(OSError):
                os.truncate(self.path, size)
            raise
        self._columns = list(row)

    def _begin(self, epoch, columns):
        """Empty the file, or remove the lines of epochs that a continued fit repeats."""
        if self._continues:
            self._continue(columns)
            with open(self.path, newline="", encoding="utf-8") as file:
                kept = [line for line in file if not _is_from(line, epoch)]
            files.replace(self.path, "".join(kept).encode())
        elif not self.append:
            with open(self.path, "wb"):
                pass
        self._begun = True


def _is_from(line: str, epoch: int) -> bool:
    """Whether a line of a log is of an epoch, or of a later one."""
    number = line.partition(",")[0]
    return number.isdecimal() and int(number) >= epoch


def _remove_torn_line(path):
    """Remove the end of a file that has no end of line."""
    with open(path, "rb+") as file:
        end = size = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 4096)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            file.truncate(end)


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
            raise TypeError(f"f must be a function f(epoch, lr), got {validation.shown(f)}")
        self.f: Callable[[int, float], float] = f

    def on_epoch_begin(self, net: Network, epoch: int) -> None:
        """Set the learning rate."""
        if not hasattr(net.optimizer, "lr"):
            raise ValueError(f"optimizer must have a learning rate, got {net.optimizer!r}")
        lr = net.optimizer.lr
        try:
            lr = self.f(epoch, lr)
        except TypeError as error:
            raise misfit(error, self.f, "f(epoch, lr)", epoch, lr) from error.__cause__
        net.optimizer.lr = validation.positive(lr, "what f returns")


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

    def __init__(self) -> None:
        self.stopped_epoch: int | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch in which the callback ended the fit, if it did.

        Returns
        -------
        state : dict of str to object
        """
        return {} if self.stopped_epoch is None else {"stopped_epoch": self.stopped_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> bool:
        """Continue from a saved state.

        Parameters
        ----------
        state : dict of str to object
            What `state_dict` returned.

        Returns
        -------
        done : bool
            Whether the callback had ended the saved fit.
        """
        if not state:
            return False
        (stopped,) = numbers_of(state, "stopped_epoch")
        self.stopped_epoch = None if stopped is None else int(stopped)
        return stopped is not None

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
