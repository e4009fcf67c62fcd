"""The streaming pass of `inspect`: what is summed over all rows, and what a fixed sample gives."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from relume.diagnostics.inspected_model import Blocks, subject_of
from relume.engine.observer import FIGURES, WATCH_GRADIENTS, WATCH_VALUES, Observer
from relume import validation as checks
from relume.runtime.blas import single_threaded_blas
from relume.nn.losses import PythonLoss
from relume.nn.units.layer_nodes import all_bounds, network_places, walk

SAMPLE = 256  # rows, evenly spaced, of which steps and losses are tried,
HISTOGRAM_ROWS = 128  # and those of them whose values histograms hold
MOST_CLASSES = 128  # of which a table of labels against predictions is kept

INDEX = {name: i for i, name in enumerate(FIGURES)}


class Moments:
    """Figures of some units over all rows, as arrays of one number a unit."""

    def __init__(self, figures, rows):
        self.rows = rows
        self.active, self.clipped = figures[INDEX["active"]], figures[INDEX["clipped"]]
        self.least, self.most = figures[INDEX["least"]], figures[INDEX["most"]]
        self._sum, self._squares = figures[INDEX["sum"]], figures[INDEX["squares"]]

    @property
    def units(self):
        """How many there are."""
        return len(self.active)

    @property
    def means(self):
        """Of each unit."""
        return self._sum / self.rows

    @property
    def mean(self):
        """Of all values."""
        return float(self._sum.sum() / (self.rows * self.units))

    @property
    def deviation(self):
        """The standard deviation of all values."""
        return float(np.sqrt(max(self.square - self.mean**2, 0.0)))

    @property
    def square(self):
        """The mean of all squares."""
        return float(self._squares.sum() / (self.rows * self.units))

    @property
    def squares(self):
        """The mean square of each unit."""
        return self._squares / self.rows

    @property
    def norm(self):
        """The root mean square, over rows, of a row's norm."""
        return float(np.sqrt(self._squares.sum() / self.rows))

    @property
    def zero_fraction(self):
        """The share of values that are exactly 0."""
        return float(1 - self.active.sum() / (self.rows * self.units))

    @property
    def constant(self):
        """Which units have the same value on all rows."""
        return self.least == self.most


@dataclass
class Evidence:
    """All that advice is made from."""

    net: object
    places: list[Any]
    rows: int
    values: list[Any]  # Moments of each place
    gradients: list[Any] | None  # of the gradient of each row's loss; None without y
    recorded: list[Any]  # values of the sample's first rows at each place
    sample: tuple[Any, Any]  # X and y, or None, of the sample
    outcome: object  # an Outcome, if y was given
    bounds: object  # of each place, beyond which it is saturated
    sequence: list[Any]  # all places, those within others too
    probe: object = None


def collect(subject, blocks):
    """One pass over the blocks: an Evidence, without a probe."""
    net = subject.net
    places = network_places(net)
    plan, parameters = net._weights.plan, net._weights.parameters
    with_y = blocks._y is not None
    observer = new_observer(plan, places, with_y)
    sample, outcome = Sample(blocks.n), Outcome(net.loss) if with_y else None
    loss = None
    with single_threaded_blas:
        for first, X, y in blocks:
            if with_y:
                loss = loss_of(net, y)
            z, losses = observer.observe(parameters, X, y, loss)
            if z is None:
                raise checks.not_finite("X", net.dtype)
            sample.add(first, X, y)
            if with_y:
                outcome.add(z, y, losses)
        rows = sample.rows()[0]
        rows = rows[evenly(len(rows), HISTOGRAM_ROWS)]
        recorded = observer.record(parameters, rows)
    values, gradients = observer.figures()
    seen = observer.watching & WATCH_GRADIENTS
    return Evidence(
        net, places, blocks.n, [Moments(each, blocks.n) for each in values],
        [Moments(each, blocks.n) if seen[i] else None for i, each in enumerate(gradients)]
        if with_y
        else None,
        recorded, sample.rows(), outcome, all_bounds(places, plan.n_steps + 1), walk(places),
    )  # fmt: skip


def observed(net, X):
    """The figures of all places over the rows of X: places, a list of arrays, how many rows."""
    subject = subject_of(net)
    places, blocks = network_places(subject.net), Blocks(subject, X)
    observer = new_observer(subject.net._weights.plan, places, False)
    with single_threaded_blas:
        for _, part, _ in blocks:
            if observer.observe(subject.net._weights.parameters, part)[0] is None:
                raise checks.not_finite("X", subject.net.dtype)
    return places, observer.figures()[0], blocks.n


def new_observer(plan, places, gradients):
    """One that watches all values, and the gradients that are reported."""
    watched = np.full(plan.n_steps + 1, WATCH_VALUES, np.uint8)
    if gradients:
        for place in walk(places):
            watched[place.gradient] |= WATCH_GRADIENTS
    return Observer(plan, watched, all_bounds(places, plan.n_steps + 1))


def loss_of(net, y):
    """A network's loss as the engine takes it."""
    if isinstance(net.loss, PythonLoss):
        return net.loss
    return net.loss.kernel(y), net._loss_numbers


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
