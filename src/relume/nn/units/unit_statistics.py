"""Statistics of units over all rows of a data set, from one pass of an observer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from relume import validation
from relume.engine.observer import OBSERVE_GRADIENTS, OBSERVE_VALUES, STATISTICS, Observer
from relume.nn.data.row_blocks import NetworkRows, RowBlocks
from relume.nn.units.layer_nodes import all_bounds, network_nodes, walk

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from relume.engine.plan import Plan
    from relume.nn.network import Network
    from relume.nn.units.layer_nodes import LayerNode


INDEX = {name: i for i, name in enumerate(STATISTICS)}


class UnitStatistics:
    """Statistics of the units of one node over all rows: arrays with one number per unit."""

    def __init__(self, statistics: NDArray[np.float64], rows: int) -> None:
        self.rows = rows
        self.active, self.clipped = statistics[INDEX["active"]], statistics[INDEX["clipped"]]
        self.min, self.max = statistics[INDEX["min"]], statistics[INDEX["max"]]
        self._sum, self._squares = statistics[INDEX["sum"]], statistics[INDEX["squares"]]

    @property
    def units(self) -> int:
        """The number of units."""
        return len(self.active)

    @property
    def means(self) -> NDArray[np.float64]:
        """The mean of each unit."""
        return self._sum / self.rows

    @property
    def mean(self) -> float:
        """The mean of all values."""
        return float(self._sum.sum() / (self.rows * self.units))

    @property
    def std(self) -> float:
        """The standard deviation of all values."""
        return float(np.sqrt(max(self.square - self.mean**2, 0.0)))

    @property
    def square(self) -> float:
        """The mean square of all values."""
        return float(self._squares.sum() / (self.rows * self.units))

    @property
    def squares(self) -> NDArray[np.float64]:
        """The mean square of each unit."""
        return self._squares / self.rows

    @property
    def norm(self) -> float:
        """The norm of a row, root mean square over rows."""
        return float(np.sqrt(self._squares.sum() / self.rows))

    @property
    def zero_fraction(self) -> float:
        """The share of values that are exactly 0."""
        return float(1 - self.active.sum() / (self.rows * self.units))

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Which units have the same value on all rows."""
        return self.min == self.max


def observed(net: Network, X: ArrayLike) -> tuple[list[LayerNode], list[NDArray[np.float64]], int]:
    """The nodes of the layers, the statistics of all nodes over X, and the number of rows."""
    weights = net._built()
    nodes, blocks = network_nodes(net), RowBlocks(NetworkRows(net), X)
    observer = new_observer(weights.plan, nodes, False)
    for _, part, _ in blocks:
        if observer.observe(weights.parameters, part)[0] is None:
            raise validation.not_finite("X", net.dtype)
    return nodes, observer.statistics()[0], blocks.n


def new_observer(plan: Plan, nodes: list[LayerNode], gradients: bool) -> Observer:
    """An observer of all values and, if asked for, of the gradients that reports show."""
    bits = np.full(plan.n_ops + 1, OBSERVE_VALUES, np.uint8)
    if gradients:
        for node in walk(nodes):
            bits[node.gradient] |= OBSERVE_GRADIENTS
    return Observer(plan, bits, all_bounds(nodes, plan.n_ops + 1))
