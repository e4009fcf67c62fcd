"""Minibatches of a fit, from arrays or from a user's iterable."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from relume import validation
from relume.nn.data.rows import MappedRows, RawRows, SparseRows, moments
from relume.nn.data.shards import GroupedShards, Shards
from relume.nn.data.target_form import TargetForm
from relume.nn.losses import Loss, targets_of_another

if TYPE_CHECKING:
    from relume.nn.network import Network
    from relume.nn.parameters.weights import Weights

NO_FORM = TargetForm()
Features = NDArray[Any] | MappedRows | SparseRows
Batch = tuple[Any, NDArray[Any], NDArray[Any] | None]  # X as the engine takes it, y, weights


def learn_standardization(weights: Weights, X: Features) -> None:
    """Let a first layer nn.Standardize learn mean and scale of X, if it has not seen data yet."""
    mean, scale = weights.standardization()
    if scale is None or weights.standardized:
        return
    center, std = moments(X)
    if not (np.isfinite(center) & np.isfinite(std)).all():
        raise validation.not_finite("X", scale.dtype)
    limits = np.finfo(scale.dtype)
    largest = np.maximum(np.abs(center), std)
    for bad in np.flatnonzero((largest > limits.max) | ((std > 0) & (std < limits.tiny))):
        raise ValueError(
            f"X must have features whose mean and standard deviation {scale.dtype} can hold, got "
            f"{center[bad]:.3g} and {std[bad]:.3g} for feature {bad}; scale it, or build the "
            'network with dtype="float64"'
        )
    takes_mean = mean is not None and not isinstance(X, SparseRows)
    weights.learn_standardization(center if takes_mean else None, np.where(std > 0, std, 1))


class ArrayBatches:
    """Minibatches of X and y.

    Parameters
    ----------
    X : ndarray, MappedRows or SparseRows
    y : ndarray
    weight : ndarray or None
    batch_size : int
    shuffle : bool
        Whether each epoch has an order of its own.
    joins : bool
        Whether a last minibatch of one row joins the one before it; BatchNorm cannot use one row.
    n : int or None
        Number of rows of an epoch; None takes all of X.
    """

    def __init__(
        self,
        X: Features,
        y: NDArray[Any],
        weight: NDArray[Any] | None,
        batch_size: int,
        shuffle: bool = True,
        joins: bool = False,
        n: int | None = None,
    ) -> None:
        self.X: Any = X
        self.y, self.weight, self.shuffle = y, weight, shuffle
        n = len(X) if n is None else n
        self.batch_size = min(batch_size, n)
        self.steps = -(-n // self.batch_size)
        alone = joins and self.steps > 1 and n % self.batch_size == 1
        self.steps -= alone
        self.rows = self.batch_size + alone
        self.width = X.shape[1]
        self.y_like = y[:0]
        self.target_form: TargetForm | None = None  # None leaves the network's as it is

    @property
    def in_memory(self) -> bool:
        """Whether the engine can gather the rows itself."""
        return isinstance(self.X, np.ndarray)

    def adopt_loss(self, net: Network, old: Loss) -> None:
        """Let y, prepared for an old loss, be what the network's present loss takes."""
        self.y = targets_of_another(old, net.loss, self.y, "y", net.n_outputs, net.dtype)

    def standardize(self, weights: Weights) -> None:
        """Let a first layer of the network learn the data's mean and scale, if it has not yet."""
        learn_standardization(weights, self.X)
        weights.adapt(self.X)
        if isinstance(self.X, RawRows) and self.X.in_memory:
            self.X = self.X.all()

    def sample(self, n: int) -> tuple[Any, NDArray[Any]]:
        """X and y of at most n rows, evenly spaced among those that count."""
        rows = np.arange(len(self.y)) if self.weight is None else np.flatnonzero(self.weight)
        rows = rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(np.intp)]
        return self.X[rows] if self.in_memory else self.X.take(rows), self.y[rows]

    def order(self, rng: np.random.Generator) -> NDArray[np.int64] | None:
        """The rows in the order of an epoch."""
        n = len(self.X)
        return rng.permutation(n) if self.shuffle else np.arange(n)

    def batches(self, order: NDArray[np.int64]) -> Iterator[Batch]:
        """X, y and weights of each minibatch of an epoch in this order."""
        for i in range(self.steps):
            last = None if i == self.steps - 1 else (i + 1) * self.batch_size
            rows = order[i * self.batch_size : last]
            X = self.X[rows] if self.in_memory else self.X.take(rows)
            yield X, self.y[rows], None if self.weight is None else self.weight[rows]


class IterableBatches:
    """Minibatches (X, y) or (X, y, sample_weight) from an iterable, which each epoch starts anew.

    It is started once an epoch, and gives no more minibatches than are trained on.

    Parameters
    ----------
    iterable : iterable
        An iterator cannot start anew: each epoch takes its next `steps` minibatches.
    steps : int or None
        Number of minibatches of an epoch; None takes all.
    checked : callable
        Makes of each minibatch what the engine takes.
    form : TargetForm
        The network's; that of the minibatches has the same scale.
    """

    in_memory = False

    def __init__(
        self,
        iterable: Iterable[Any],
        steps: int | None,
        checked: Callable[[Any], Any],
        form: TargetForm = NO_FORM,
    ) -> None:
        self._iterable, self._checked, self._form = iterable, checked, form
        self._once = iter(iterable) if isinstance(iterable, Iterator) else None
        self.steps: int | None = _length_of(iterable) if steps is None else steps
        self.y_like: Any = None
        self.target_form: TargetForm | None = None
        self._items: Iterator[Any] | None = None  # of the first epoch, once it has begun
        self._first: Batch | None = None  # until the first epoch

    def begin(self) -> None:
        """Begin the first epoch: its first minibatch says what all of them are like."""
        items = self._begun()
        first = next(items, None)
        if first is None:
            raise ValueError(
                "X must give at least one minibatch; it is empty, or an iterator that is exhausted"
            )
        X, y, _ = first
        self.rows, self.width, self.y_like = len(y), X.shape[1], y[:0]
        self._items = itertools.chain([first], items)
        self._first = first

    def adopt_loss(self, net: Network, old: Loss) -> None:
        """Nothing: minibatches are checked as they come."""

    def standardize(self, weights: Weights) -> None:
        """Raise where the data's mean would be needed before all of it has been seen."""
        if weights.standardization()[1] is not None and not weights.standardized:
            raise no_mean()

    def sample(self, n: int) -> tuple[Any, NDArray[Any]] | None:
        """X and y of at most n rows of the first minibatch, as long as it is kept."""
        if self._first is None:
            return None
        X, y, _ = self._first
        return X[:n] if isinstance(X, np.ndarray) else X.take(slice(n)), y[:n]

    def order(self, rng: np.random.Generator) -> None:
        """None: an iterable keeps its own order."""

    def _begun(self):
        source = self._iterable if self._once is None else self._once
        return (self._alike(self._checked(item), item) for item in source)

    def _alike(self, item, given):
        """A minibatch whose targets are of the first one's kind; the engine takes no other."""
        y, like = item[1], self.y_like
        if like is None:
            self.target_form = self._form.of_shape(given[1])
        if like is not None and (y.dtype != like.dtype or y.shape[1:] != like.shape[1:]):
            raise ValueError(
                "y of all minibatches must be of one kind, the first one's: "
                f"{like.dtype} of shape {('n', *like.shape[1:])}; got {y.dtype} of shape {y.shape}"
            )
        return item

    def batches(self, order: Any) -> Iterator[Batch]:
        """X, y and weights of each minibatch of an epoch; none if an iterator is exhausted."""
        items = self._begun() if self._items is None else self._items
        self._items = self._first = None
        for X, y, weight in itertools.islice(items, self.steps):
            yield X if isinstance(X, np.ndarray) else X.take(slice(None)), y, weight


class ShardBatches:
    """Minibatches of shards, which are read as they are needed.

    Parameters
    ----------
    shards : Shards
    batch_size : int
    shuffle : bool
        Whether each epoch has an order of its own.
    joins : bool
        Whether a last minibatch of one row joins the one before it; BatchNorm cannot use one row.
    checked : callable
        Makes of X, y and weights what the engine takes.
    form : TargetForm
        The network's; that of the minibatches has the same scale.
    """

    in_memory = False

    def __init__(
        self,
        shards: Shards,
        batch_size: int,
        shuffle: bool,
        joins: bool,
        checked: Callable[[Any], Batch],
        form: TargetForm = NO_FORM,
    ) -> None:
        self.shards, self.shuffle, self._checked = shards, shuffle, checked
        n, self.width = shards.shape
        self.batch_size = min(batch_size, n)
        self.steps = -(-n // self.batch_size)
        alone = joins and self.steps > 1 and n % self.batch_size == 1
        self.steps -= alone
        self.rows = self.batch_size + alone
        self.target_form = form.of_shape(shards.column("y")[:1])
        self.y_like: Any = None

    def begin(self) -> None:
        """Read some rows, which tell what all of them are like."""
        self.y_like = self.sample(2)[1][:0]

    def adopt_loss(self, net: Network, old: Loss) -> None:
        """Let y be what the network's present loss takes; minibatches are checked as they come."""
        self.begin()

    def standardize(self, weights: Weights) -> None:
        """Let a first layer of the network learn the data's mean and scale, if it has not yet."""
        X = self.shards.column("X")
        learn_standardization(weights, RawRows(X, weights.parameters.dtype))

    def sample(self, n: int) -> tuple[Any, NDArray[Any]]:
        """X and y of the first n rows, or of all."""
        X, y, _ = self._taken(self.shards.rows(0, min(n, len(self.shards))))
        return X, y

    def order(self, rng: np.random.Generator) -> int:
        """Seed of an epoch's order."""
        return int(rng.integers(2**63)) if self.shuffle else 0

    def batches(self, order: int) -> Iterator[Batch]:
        """X, y and weights of each minibatch of an epoch in this order."""
        n = len(self.shards)
        data = GroupedShards(self.shards, [n], self.shuffle)
        for i in range(self.steps):
            last = n if i == self.steps - 1 else (i + 1) * self.batch_size
            yield self._taken(data.rows(order, 0, 0, slice(i * self.batch_size, last)))

    def _taken(self, rows):
        X, y, weight = self._checked(rows)
        return X if isinstance(X, np.ndarray) else X.take(slice(None)), y, weight


def _length_of(iterable: Any) -> int | None:
    """The number of minibatches, if the iterable knows it."""
    try:
        return len(iterable) if isinstance(iterable, Sized) else None
    except TypeError:  # as of a DataLoader over a stream, which has a __len__ that raises
        return None


def no_mean() -> ValueError:
    """The error of an nn.Standardize that would have to learn from minibatches."""
    return ValueError(
        "nn.Standardize needs the training data as an array: give a fit some rows of it first, or "
        "load a state with the mean and scale"
    )
