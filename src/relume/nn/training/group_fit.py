"""Fits whose rows belong to groups, so that the bits do not depend on who computes which group.

`GroupFitLoop` trains on all groups in this process. Its bits are those of every engine that
overrides `step`, and `GroupObjective.sums`, to bring the sums of several processes together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from relume.engine.group_training import TAIL, GroupTraining
from relume.nn.data.minibatches import ArrayBatches, ShardBatches
from relume.nn.data.shards import GroupedShards
from relume.nn.losses import PythonLoss
from relume.nn.training.fit_loop import FitLoop
from relume.nn.training.groups import Groups, key, order, seed_of
from relume.nn.training.run import Diverged, checked, new_training

if TYPE_CHECKING:
    from relume.nn.network import Network
    from relume.nn.parameters.weights import Weights

Exchange = Callable[[NDArray[Any]], tuple[NDArray[Any], list[tuple[int, int]]]]
# X, y, weights, order and counts, as `GroupTraining.step` takes them
Step = tuple[Any, NDArray[Any], NDArray[Any] | None, NDArray[np.int64] | None, list[int]]


def check_groups(net: Network, groups: Groups) -> None:
    """Raise where a network cannot be trained on rows in groups."""
    if groups.rows == 0:
        raise ValueError("X must have at least one row in all groups together, got none")
    if isinstance(net.loss, PythonLoss):
        raise ValueError(
            "loss must be one of relume's own where rows are in groups, since the mean that a "
            "function returns does not tell the losses of rows"
        )
    if net._has_batch_norm() and groups.min_rows() < 2:
        raise ValueError(
            f"batch_size must leave at least 2 rows in each step with nn.BatchNorm, got "
            f"{groups.batch_size} for groups of {groups.sizes} rows"
        )


class GroupBatches(ArrayBatches):
    """Minibatches of rows in groups, some of which one process owns.

    Parameters
    ----------
    X, y, weight
        The rows of the owned groups, group after group, as of `ArrayBatches`.
    groups : Groups
        All groups.
    shuffle : bool
    first, last : int
        The owned groups, without the last; by default all.
    """

    def __init__(
        self,
        X: Any,
        y: NDArray[Any],
        weight: NDArray[Any] | None,
        groups: Groups,
        shuffle: bool = True,
        first: int = 0,
        last: int | None = None,
    ) -> None:
        self.X, self.y, self.weight, self.shuffle = X, y, weight, shuffle
        self.groups, self.first = groups, first
        self.last = len(groups.sizes) if last is None else last
        self.batch_size, self.steps = groups.batch_size, groups.steps
        self.rows = groups.max_rows(self.first, self.last)
        self.width, self.y_like = X.shape[1], y[:0]
        self.target_form = None
        sizes = groups.sizes[self.first : self.last]
        self.starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.orders: list[NDArray[np.int64]] = []

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Put the rows of each group into their order of an epoch."""
        self.orders = []
        for g in range(self.first, self.last):
            n, start = self.groups.sizes[g], self.starts[g - self.first]
            rows = order(seed, epoch, g, n) if self.shuffle else np.arange(n)
            self.orders.append(start + rows)

    def step(self, i: int) -> Step:
        """What the i'th step of the epoch takes."""
        parts = [
            rows[self.groups.slice(g, i)]
            for g, rows in zip(range(self.first, self.last), self.orders, strict=True)
        ]
        return self._taken(parts)

    def all(self) -> Step:
        """All rows, as one minibatch."""
        owned = zip(self.starts[:-1], self.starts[1:], strict=True)
        return self._taken([np.arange(start, stop) for start, stop in owned])

    def _taken(self, parts: list[NDArray[np.int64]]) -> Step:
        counts = [len(part) for part in parts]
        rows = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        if self.in_memory:
            return self.X, self.y, self.weight, rows, counts
        y, weight = self.y[rows], None if self.weight is None else self.weight[rows]
        if hasattr(self.X, "by_rows"):  # a sparse matrix
            X: Any = [self.X.take(part) if len(part) else None for part in parts]
        else:
            X = self.X.take(rows)
        return X, y, weight, None, counts


class GroupShardBatches(ShardBatches):
    """Minibatches of shards whose rows are in groups, some of which one process owns.

    Parameters
    ----------
    source : ShardBatches
        All rows.
    groups : Groups
    first, last : int
        The owned groups, without the last; by default all.
    """

    def __init__(
        self, source: ShardBatches, groups: Groups, first: int = 0, last: int | None = None
    ) -> None:
        self.__dict__.update(source.__dict__)
        self.groups, self.first = groups, first
        self.last = len(groups.sizes) if last is None else last
        self.batch_size, self.steps = groups.batch_size, groups.steps
        self.rows = groups.max_rows(self.first, self.last)
        self._data = GroupedShards(self.shards, groups.sizes, self.shuffle)
        self._position = 0, 0

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Put the rows of each group into their order of an epoch."""
        self._position = seed, epoch

    def step(self, i: int) -> Step:
        """What the i'th step of the epoch takes."""
        owned = range(self.first, self.last)
        parts = [self._data.rows(*self._position, g, self.groups.slice(g, i)) for g in owned]
        counts = [len(part[0]) for part in parts]
        if not sum(counts):
            return np.empty((0, self.width), self.dtype), self.y_like, None, None, counts
        rows = [
            None if column[0] is None else np.concatenate(column)
            for column in zip(*parts, strict=True)
        ]
        return (*self._taken(rows), None, counts)

    def standardize(self, weights: Weights) -> None:
        """As of all shards; the dtype is then known."""
        super().standardize(weights)
        self.dtype = weights.dtype


class GroupFitLoop(FitLoop):
    """One fit of a network to rows in groups.

    Parameters
    ----------
    net : Network
    source : GroupBatches
    held_out : tuple of X, y and weights, or None
    hooks : Hooks
    """

    source: Any
    exchange: Exchange | None = None

    def new_training(self) -> GroupTraining:
        """The engine's part, of the network as it is now."""
        source = self.source
        training = new_training(self.net, source.rows, source.y_like, kind=GroupTraining)
        training.own(source.first, source.last, len(source.groups.sizes), self.exchange)
        return training

    def order_and_key(self) -> tuple[None, int]:
        """No order, since each group has its own, and the seed of the epoch.

        The network's random state stays as it is, so that it is the same in all processes.
        """
        return None, seed_of(self.net._rng)

    def epoch(self, order: Any, seed: int) -> tuple[int, float]:
        """Train for an epoch, as `Run.epoch`."""
        net, source = self.net, self.source
        epoch, by_step = net.epoch, self.hooks["on_batch_begin"] or self.hooks["on_batch_end"]
        self.synchronize()
        rates, time = net._learning_rates(source.steps), self._time()
        self.observers = self.hooks.observers(net, source.rows, source.steps)
        self.training.watch(self.observers)
        self.begin_epoch(seed, epoch)
        loss = total = 0.0
        random = self.plan.random
        for i in range(source.steps):
            if by_step:
                self.call("on_batch_begin", i + 1)
                self.synchronize()
                self.training.watch(self.observers)
                if time != self._time():
                    rates, time = net._learning_rates(source.steps), self._time()
            try:
                share, batch_loss = self.step(i, rates[i], key(seed, epoch, i) if random else 0)
            except Diverged:
                raise Diverged(i) from None
            except ValueError as error:
                self.failed("data", error)
                raise
            if share == 0:  # no row counts: no step was made
                continue
            loss, total = loss + batch_loss * share, total + share
            if by_step:
                self.call("on_batch_end", i + 1, batch_loss)
        if total == 0:
            error = ValueError(
                "sample_weight must not be 0 throughout an epoch, got minibatches of weight 0 only"
            )
            self.failed("data", error)
            raise error
        return source.steps, loss / total

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Called before the steps of an epoch."""
        self.source.begin_epoch(seed, epoch)

    def step(self, i: int, rate: float, key: int) -> tuple[float, float]:
        """Make the i'th step of the epoch.

        Parameters
        ----------
        i : int
        rate : float
            The learning rate.
        key : int
            Seed of the step's random numbers.

        Returns
        -------
        total : float
            The weight of all rows of the step; 0 if no step was made because of that.
        loss : float
            Their mean loss, penalties included.
        """
        X, y, weight, rows, counts = self.source.step(i)
        result = self.training.step(X, y, weight, rows, counts, rate, key)
        return checked(result, self.training, self.net.dtype)


class GroupObjective:
    """The loss over all rows and its gradient, as `lbfgs_fit.Objective`, of rows in groups.

    Parameters
    ----------
    net : Network
        Built; a call changes its parameters.
    source : GroupBatches
    """

    exchange: Exchange | None = None

    def __init__(self, net: Network, source: GroupBatches) -> None:
        self.weights, self.source = net._built(), source
        self.rows = source.all()
        self.key = key(seed_of(net._rng), net.epoch, 0) if self.weights.plan.random else 0
        self.training = new_training(
            net, max(sum(self.rows[-1]), 1), source.y_like, steps=False, kind=GroupTraining
        )
        self.training.own(source.first, source.last, len(source.groups.sizes), self.exchange)
        self.gradient = np.zeros_like(self.weights.parameters)

    def __call__(self, parameters: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        """Both, the gradient in an array that the next call overwrites.

        Raises
        ------
        Diverged
            If the loss is not finite.
        """
        self.weights.write(parameters)
        tail = self.sums()
        result = self.training.begin_update(self.gradient, tail)
        _, loss = checked(result, self.training, self.weights.dtype)
        return loss + self.training.penalties(), self.gradient

    def sums(self) -> NDArray[np.float64]:
        """Write the sum of all gradients to `gradient`, and return what travels with it."""
        X, y, weight, rows, counts = self.rows
        tails = np.zeros((1, len(TAIL)))
        self.training.sums(
            X, y, weight, rows, counts, self.gradient.reshape(1, -1), tails, self.key
        )
        return tails[0]
