"""The streaming pass of `inspect`: what is summed over all rows, and what a fixed sample gives."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from relume import validation
from relume.engine.observer import WATCH_GRADIENTS
from relume.nn.units.layer_nodes import all_bounds, network_nodes, walk
from relume.nn.units.unit_statistics import UnitStatistics, new_observer
from relume.runtime.blas import single_threaded_blas

SAMPLE = 256  # rows, evenly spaced, of which steps and losses are tried,
HISTOGRAM_ROWS = 128  # and those of them whose values histograms hold
MOST_CLASSES = 128  # of which a table of labels against predictions is kept


@dataclass
class Evidence:
    """All that advice is made from."""

    net: object
    places: list[Any]
    rows: int
    values: list[Any]  # UnitStatistics of each place
    gradients: list[Any] | None  # of the gradient of each row's loss; None without y
    recorded: list[Any]  # values of the sample's first rows at each place
    sample: tuple[Any, Any]  # X and y, or None, of the sample
    outcome: object  # an Outcome, if y was given
    bounds: object  # of each place, beyond which it is saturated
    sequence: list[Any]  # all places, those within others too
    probe: object = None


def collect(inspected, blocks):
    """One pass over the blocks: an Evidence, without a probe."""
    net = inspected.net
    places = network_nodes(net)
    plan, parameters = net._weights.plan, net._weights.parameters
    with_y = blocks.has_targets
    observer = new_observer(plan, places, with_y)
    sample, outcome = Sample(blocks.n), Outcome(net.loss) if with_y else None
    loss = None
    with single_threaded_blas:
        for first, X, y in blocks:
            if with_y:
                loss = net.loss.for_engine(y, net.n_outputs, net.dtype)
            z, losses = observer.observe(parameters, X, y, loss)
            if z is None:
                raise validation.not_finite("X", net.dtype)
            sample.add(first, X, y)
            if with_y:
                outcome.add(z, y, losses)
        rows = sample.rows()[0]
        rows = rows[evenly(len(rows), HISTOGRAM_ROWS)]
        recorded = observer.record(parameters, rows)
    values, gradients = observer.figures()
    seen = observer.watching & WATCH_GRADIENTS
    return Evidence(
        net, places, blocks.n, [UnitStatistics(each, blocks.n) for each in values],
        [UnitStatistics(each, blocks.n) if seen[i] else None for i, each in enumerate(gradients)]
        if with_y
        else None,
        recorded, sample.rows(), outcome, all_bounds(places, plan.n_ops + 1), walk(places),
    )  # fmt: skip


def evenly(n, most):
    """At most so many of n rows, evenly spaced."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.intp)


class Sample:
    """Rows evenly spaced over all of them, the same ones whatever the blocks."""

    def __init__(self, n):
        self._places = evenly(n, SAMPLE)
        self._X, self._y = [], []

    def add(self, first, X, y):
        """Take those that lie in a block."""
        last = first + len(X)
        begin, end = np.searchsorted(self._places, [first, last])
        rows = self._places[begin:end] - first
        self._X.append(X[rows])
        self._y.append(None if y is None else y[rows])

    def rows(self):
        """X and y of the sample."""
        X = np.concatenate(self._X)
        return X, None if self._y[0] is None else np.concatenate(self._y)


class Outcome:
    """How well the outputs fit y: the mean loss, and of labels or values what advice goes by."""

    def __init__(self, loss):
        self.loss, self.n, self.total = loss, 0, 0.0
        self.confusion = None  # [label, prediction], where rows have one label each
        self.sums = None  # of y, its squares, the errors and their squares, by output

    def add(self, z, y, losses):
        """Add the outputs of a block."""
        self.n += len(z)
        self.total += float(losses.sum(dtype=np.float64))
        expected = self.loss.expected(y)
        if self.loss.classifies:
            if expected.ndim == 1:
                self._count(expected, self.loss.predictions(z), max(z.shape[1], 2))
            return
        if y.ndim == 2 and y.shape == z.shape:
            y = y.astype(np.float64)
            error = y - self.loss.predictions(z).reshape(z.shape)
            sums = np.stack([y.sum(0), (y * y).sum(0), error.sum(0), (error * error).sum(0)])
            self.sums = sums if self.sums is None else self.sums + sums

    def _count(self, labels, predictions, n):
        if n > MOST_CLASSES:
            return
        if self.confusion is None:
            self.confusion = np.zeros((n, n), np.int64)
        self.confusion += np.bincount(labels * n + predictions, minlength=n * n).reshape(n, n)

    @property
    def mean_loss(self):
        """Over all rows."""
        return self.total / self.n

    @property
    def unexplained(self):
        """The loss over that of the best constant answer: 1 is chance; None: not known.

        Of values it is the share of the variance, whatever the loss.
        """
        if self.confusion is not None:
            shares = self.confusion.sum(axis=1) / self.n
            entropy = -(shares[shares > 0] * np.log(shares[shares > 0])).sum()
            return float(self.mean_loss / entropy) if entropy > 0 else None
        if self.sums is not None:
            y, squares, _, errors = self.sums / self.n
            variance = (squares - y * y).sum()
            return float(errors.sum() / variance) if variance > 0 else None
        return None
