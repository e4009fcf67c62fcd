"""The single pass of `inspect` over X: statistics of all rows, and a fixed sample of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from relume import validation
from relume.engine.observer import OBSERVE_GRADIENTS
from relume.nn.losses import Loss
from relume.nn.units.layer_nodes import all_bounds, network_nodes, walk
from relume.nn.units.unit_statistics import UnitStatistics, new_observer

if TYPE_CHECKING:
    from relume.diagnostics.inspected_model import InspectedModel
    from relume.diagnostics.trial_step import TrialStep
    from relume.nn.data.row_blocks import RowBlocks
    from relume.nn.network import Network
    from relume.nn.units.layer_nodes import LayerNode

SAMPLE_ROWS = 256  # evenly spaced rows on which a step and losses are tried
HISTOGRAM_ROWS = 128  # rows of the sample whose values the histograms show
MAX_CLASSES = 128  # above this, no table of labels against predictions is kept


@dataclass
class Evidence:
    """Everything that the report and its advice are made from."""

    net: Network
    nodes: list[LayerNode]  # of the layers given to the network
    rows: int
    values: list[UnitStatistics]  # of each node of the plan
    gradients: list[UnitStatistics | None] | None  # of each row's loss; None without y
    recorded: list[NDArray[np.floating]]  # values of the histogram rows at each node
    sample: tuple[NDArray[np.floating], NDArray[np.generic] | None]  # X and y of the sample
    outcome: Outcome | None  # None without y
    bounds: NDArray[np.float64]  # of each node: beyond them a unit is saturated
    sequence: list[LayerNode]  # all nodes, including those inside other layers
    trial: TrialStep | None = None


def collect(inspected: InspectedModel, blocks: RowBlocks) -> Evidence:
    """Run all row blocks through the inspected model once."""
    net = inspected.net
    nodes = network_nodes(net)
    plan, parameters = net._built().plan, net._built().parameters
    observer = new_observer(plan, nodes, blocks.has_targets)
    sample, outcome = Sample(blocks.n), Outcome(net.loss) if blocks.has_targets else None
    for first, X, y in blocks:
        loss = None
        if outcome is not None:
            loss = net.loss.for_engine(y, net.n_outputs, net.dtype)
        z, losses = observer.observe(parameters, X, y, loss)
        if z is None:
            raise validation.not_finite("X", net.dtype)
        sample.add(first, X, y)
        if outcome is not None:
            outcome.add(z, y, losses)
    rows = sample.rows()[0]
    rows = rows[evenly(len(rows), HISTOGRAM_ROWS)]
    recorded = observer.record(parameters, rows)
    values, gradients = observer.statistics()
    seen = observer.observed & OBSERVE_GRADIENTS
    return Evidence(
        net, nodes, blocks.n, [UnitStatistics(each, blocks.n) for each in values],
        [UnitStatistics(each, blocks.n) if seen[i] else None for i, each in enumerate(gradients)]
        if blocks.has_targets
        else None,
        recorded, sample.rows(), outcome, all_bounds(nodes, plan.n_ops + 1), walk(nodes),
    )  # fmt: skip


def evenly(n, max_rows):
    """Indices of at most `max_rows` out of n rows, evenly spaced."""
    return np.linspace(0, n - 1, min(n, max_rows)).astype(np.intp)


class Sample:
    """Evenly spaced rows out of all; which ones does not depend on the row blocks."""

    def __init__(self, n: int) -> None:
        self._indices = evenly(n, SAMPLE_ROWS)
        self._X: list[NDArray[np.floating]] = []
        self._y: list[NDArray[np.generic]] = []

    def add(self, first, X, y):
        """Take the sample's rows out of the row block that starts at row `first`."""
        begin, end = np.searchsorted(self._indices, [first, first + len(X)])
        rows = self._indices[begin:end] - first
        self._X.append(X[rows])
        if y is not None:
            self._y.append(y[rows])

    def rows(self):
        """X and y of the sample; y is None if there are no targets."""
        return np.concatenate(self._X), np.concatenate(self._y) if self._y else None


class Outcome:
    """How well the outputs fit y: the mean loss, and a confusion table or sums of errors."""

    def __init__(self, loss: Loss) -> None:
        self.loss, self.n, self.total = loss, 0, 0.0
        # [label, prediction], if each row has one label
        self.confusion: NDArray[np.int64] | None = None
        # of y, y squared, the errors and the squared errors, by output
        self.sums: NDArray[np.float64] | None = None

    def add(self, z, y, losses):
        """Add the outputs of a row block."""
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
        if n > MAX_CLASSES:
            return
        if self.confusion is None:
            self.confusion = np.zeros((n, n), np.int64)
        self.confusion += np.bincount(labels * n + predictions, minlength=n * n).reshape(n, n)

    @property
    def mean_loss(self) -> float:
        """The mean loss of all rows."""
        return self.total / self.n

    @property
    def unexplained(self) -> float | None:
        """The loss relative to that of the best constant prediction; None if unknown.

        1 is no better than a constant. For values it is the unexplained share of the variance,
        whatever the loss.
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
