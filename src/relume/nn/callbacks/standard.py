"""The callbacks: what a fit may be given to call between its epochs."""

from __future__ import annotations

import csv
import os
import string
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from relume import validation
from relume.nn.callbacks.callback import Callback
from relume.nn.monitored_metric import WatchedFigure

if TYPE_CHECKING:
    from relume.nn.network import Network
    from relume.nn.parameters.snapshot import Snapshot


class EarlyStopping(Callback):
    """End the fit when a figure has stopped getting better, and go back to its best epoch.

    Parameters
    ----------
    monitor : str or None, default=None
        A figure of an epoch; None is ``"val_loss"`` where there is validation data, else
        ``"loss"``.
    patience : int, default=10
        After how many epochs in a row without an improvement the fit ends, at least 1.
    min_delta : float, default=0.0
        By how much a figure must be better than the best so far to count, at least 0.
    mode : {"auto", "min", "max"}, default="auto"
        Whether less or more is better; "auto" knows it of relume's own figures.
    restore_best : bool, default=True
        Whether the network is, at the end of the fit, again as after the best epoch: weights,
        optimizer, random state and number of epochs.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said; in the fit, if the figure is not among an epoch's.

    Notes
    -----
    Each fit begins anew. ``best`` and ``best_epoch`` tell the best figure and its epoch;
    ``stopped_epoch`` tells after which epoch the fit was ended, None if it was not. A figure that
    is NaN is not better.

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
        self._figure = WatchedFigure(monitor, mode, min_delta)
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
        """Forget the fit before."""
        self._begin()

    def on_epoch_end(self, net: Network, epoch: int, figures: dict[str, float]) -> bool:
        """Compare the figure with the best so far."""
        value = self._figure.value(figures)
        if self._figure.is_better(value, self.best):
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
    """Save the network as it is trained.

    Parameters
    ----------
    path : str or path-like
        Where to; ``{epoch}`` and the names of figures stand for their values, as in
        ``"net-{epoch:03d}-{val_loss:.2f}.safetensors"``. Directories are made if need be.
    monitor : str or None, default=None
        The figure that `save_best_only` goes by; None is ``"val_loss"`` where there is validation
        data, else ``"loss"``.
    save_best_only : bool, default=False
        Whether only those epochs are saved whose figure is better than all before.
    every : int, default=1
        Epochs from one look to the next: it is at epochs that this number divides.
    mode : {"auto", "min", "max"}, default="auto"
        Whether less or more is better; "auto" knows it of relume's own figures.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said; in the fit, if a figure is not among an epoch's.

    Notes
    -----
    The best figure, ``best``, is kept from one fit to the next, as the file is. A network that
    `relume.nn.load` makes of the file trains on as this one would have.

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
        self._figure = WatchedFigure(monitor, mode)
        self.save_best_only: bool = validation.flag(save_best_only, "save_best_only")
        self.every: int = validation.integer(every, "every")
        self.best: float | None = None

    def on_epoch_end(self, net: Network, epoch: int, figures: dict[str, float]) -> None:
        """Save the network if it is time, and if it is the best."""
        if epoch % self.every:
            return
        best = self.best
        if self.save_best_only:
            best = self._figure.value(figures)
            if not self._figure.is_better(best, self.best):
                return
        try:
            path = self.path.format(epoch=epoch, **figures)
        except (KeyError, IndexError, ValueError) as error:
            names = ", ".join(["epoch", *figures])
            raise ValueError(f"path must be formed from {names}; got {self.path!r}") from error
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        net.save(path)
        self.best = best


class CSVLogger(Callback):
    """Write the figures of each epoch as a line of a CSV file, at once.

    The columns are ``epoch`` and the names of the figures; the file is in UTF-8, its numbers
    convert back to the same ones.

    Parameters
    ----------
    path : str or path-like
        The file.
    append : bool, default=False
        Whether to go on in a file that exists, without a second header; otherwise each fit begins
        it anew.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said; in the fit, if the file to go on in has other columns.

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
        """See that the file can be written, and begin it anew if need be."""
        with open(self.path, "a" if self.append else "w", encoding="utf-8"):
            pass
        self._columns: list[str] | None = None

    def on_epoch_end(self, net: Network, epoch: int, figures: dict[str, float]) -> None:
        """Write a line; the file is open no longer than that takes, so nothing is lost."""
        row = {"epoch": epoch, **figures}
        lines: list[list[Any]] = [list(row.values())]
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

    A schedule of the network, such as ``schedule=nn.Cosine(10)``, multiplies it further.

    Parameters
    ----------
    f : callable
        ``f(epoch, lr)`` returns the learning rate of an epoch, counted from 1 over the network's
        life, from the present one. It must be greater than 0.

    Raises
    ------
    TypeError, ValueError
        If `f` cannot be called; in the fit, if it returns no such number, or the optimizer has no
        learning rate.

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
    """End the fit where a figure is NaN or infinite, instead of training on or raising.

    Without it, a training loss that is not finite raises a FloatingPointError; either way the
    network is then as at the beginning of that epoch. Any other figure, such as ``"val_loss"``, is
    looked at after the epoch.

    Attributes
    ----------
    stopped_epoch : int or None
        In which epoch the last fit was ended, None if it was not.

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
        """Forget the fit before."""
        self.stopped_epoch = None

    def on_divergence(self, net: Network, epoch: int, error: FloatingPointError) -> bool:
        """End the fit."""
        self.stopped_epoch = epoch
        return True

    def on_epoch_end(self, net: Network, epoch: int, figures: dict[str, float]) -> bool:
        """End the fit if a figure is not finite."""
        if np.isfinite(list(figures.values())).all():
            return False
        self.stopped_epoch = epoch
        return True
