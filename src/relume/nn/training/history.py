"""The history of a fit, and its progress on the screen."""

from __future__ import annotations

import functools
import math
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

from relume.nn import notebook
from relume.nn.monitored_metric import missing


class History(dict[str, list[float]]):
    """The loss and the metrics of each epoch of a fit, as a dict of lists.

    Each list has one entry per epoch:

    - ``"loss"``: mean loss of the epoch's minibatches, each before its step
    - ``"val_loss"``, and ``"val_accuracy"`` or other metrics: with validation data only
    - ``"seconds"``: time since the fit began
    - ``"skipped"``: fraction of the multiplications that were skipped because a factor is 0, see
      ``Network(sparse=...)``. With ``"auto"`` it depends on measured times and differs from run to
      run.

    If a callback changes the network's metrics, the entries of the other epochs are NaN.
    A history is a dict, so ``json.dumps(history)`` and ``pandas.DataFrame(history)`` work.

    Attributes
    ----------
    epochs : list of int
        Number of each epoch, counted from the network's first fit.
    layers : list of dict
        Records of a `Monitor` among the callbacks: for each recorded epoch, a dict of the
        statistics of each layer. Empty without a `Monitor`.

    Examples
    --------
    >>> from relume import nn
    >>> net = nn.Network([nn.Dense(1)], loss="mse", optimizer=nn.SGD(0.1), seed=0)
    >>> history = net.fit([[0.0], [1.0]], [0.0, 1.0], epochs=2)
    >>> len(history["loss"]), history.epochs
    (2, [1, 2])
    """

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[int] = []
        self.layers: list[dict[str, dict[str, Any]]] = []

    def __missing__(self, name: object) -> NoReturn:
        raise KeyError(str(missing("key", str(name), self)))

    def add(self, epoch: int, /, **values: float) -> None:
        """Add an epoch."""
        for name in values:
            if name not in self:
                self[name] = [math.nan] * len(self.epochs)
        self.epochs.append(epoch)
        for name, column in self.items():
            column.append(values.get(name, math.nan))

    def complete(self, logs: dict[str, float], recorded: set[str], /) -> None:
        """Add what callbacks have added to the logs of the last epoch: names not yet recorded."""
        for name, value in logs.items():
            if name not in recorded:
                self.setdefault(name, [math.nan] * len(self.epochs))[-1] = value

    def to_frame(self) -> Any:  # a pandas.DataFrame, whose types mypy has not
        """The history as a table.

        Returns
        -------
        frame : pandas.DataFrame
            With a column for each metric, and a row for each epoch, whose index is its number.

        Raises
        ------
        ImportError
            If pandas is missing.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ImportError("to_frame needs pandas: pip install pandas") from None
        return pd.DataFrame(dict(self), index=pd.Index(self.epochs, dtype="int64", name="epoch"))

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.items() if values)
        return f"History({len(self.epochs)} epochs{': ' + last if last else ''})"

    def _repr_html_(self) -> str:
        """The history in a notebook: for each metric a line, and its values."""
        rows = [(name, *_in_cells(name, values)) for name, values in self.items() if values]
        title = f"History of {len(self.epochs)} epochs"
        if self.epochs and self.epochs[0] != 1:
            title += f", {self.epochs[0]} to {self.epochs[-1]}"
        head = ("metric", "by epoch", "first", "min", "max", "last")
        return notebook.fragment(title, notebook.table(head, rows))


def _in_cells(name: str, values: list[float]) -> Iterator[str]:
    """A metric's line, and its first, min, max and last value."""
    yield notebook.sparkline(values, name)
    known = [value for value in values if not math.isnan(value)] or [math.nan]
    for value in (values[0], min(known), max(known), values[-1]):
        yield notebook.number(value)


class Progress:
    """A bar in a terminal or a notebook, else a plain line an epoch."""

    def __init__(self, epochs, shown):
        self._epochs, self._done, self._bar = epochs, 0, None
        self._lines = shown and not (sys.stderr.isatty() or _in_notebook())
        if shown and not self._lines:
            self._bar = bar_class()(total=epochs, unit="epoch", leave=False)

    def epoch(self, **values):
        """Show the end of an epoch."""
        self._done += 1
        text = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update()
        elif self._lines:
            print(f"epoch {self._done}/{self._epochs}  {text}", file=sys.stderr, flush=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._bar is not None:
            self._bar.close()


def _in_notebook() -> bool:
    """Whether a kernel of Jupyter runs this process."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return "IPKernelApp" in getattr(shell, "config", ())


@functools.cache
def bar_class() -> Any:
    """tqdm's bar, which is a widget in a notebook, with a lock that a forked child replaces.

    All bars of tqdm share one lock. A child that was forked while another thread was drawing a bar
    could never draw one.
    """
    from tqdm.auto import tqdm

    # Without a monitor_interval, no thread watches over the bars.
    bar: Any = type("Bar", (tqdm,), {"monitor_interval": 0})

    def replace_lock() -> None:
        bar.set_lock(threading.RLock())

    replace_lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=replace_lock)
    return bar
