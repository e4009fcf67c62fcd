"""Statistics of units over all rows of a data set, from one pass of an observer."""

import numpy as np

from relume import validation
from relume.engine.observer import FIGURES, WATCH_GRADIENTS, WATCH_VALUES, Observer
from relume.nn.data.row_blocks import NetworkRows, RowBlocks
from relume.nn.units.layer_nodes import all_bounds, network_nodes, walk
from relume.runtime.blas import single_threaded_blas

INDEX = {name: i for i, name in enumerate(FIGURES)}


class UnitStatistics:
    """Statistics of the units of one node over all rows: arrays with one number a unit."""

    def __init__(self, statistics, rows):
        self.rows = rows
        self.active, self.clipped = statistics[INDEX["active"]], statistics[INDEX["clipped"]]
        self.least, self.most = statistics[INDEX["least"]], statistics[INDEX["most"]]
        self._sum, self._squares = statistics[INDEX["sum"]], statistics[INDEX["squares"]]

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


def observed(net, X):
    """The statistics of all nodes over the rows of X: nodes, a list of arrays, number of rows."""
    net._built()
    nodes, blocks = network_nodes(net), RowBlocks(NetworkRows(net), X)
    observer = new_observer(net._weights.plan, nodes, False)
    with single_threaded_blas:
        for _, part, _ in blocks:
            if observer.observe(net._weights.parameters, part)[0] is None:
                raise validation.not_finite("X", net.dtype)
    return nodes, observer.figures()[0], blocks.n


def new_observer(plan, nodes, gradients):
    """One that watches all values, and the gradients that are reported."""
    watched = np.full(plan.n_ops + 1, WATCH_VALUES, np.uint8)
    if gradients:
        for node in walk(nodes):
            watched[node.gradient] |= WATCH_GRADIENTS
    return Observer(plan, watched, all_bounds(nodes, plan.n_ops + 1))
