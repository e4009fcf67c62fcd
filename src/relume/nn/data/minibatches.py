"""Minibatches: what a fit is fed, from arrays or from an iterable of the user's."""

import itertools
from collections.abc import Iterator

import numpy as np

from relume.nn.data.rows import SparseRows, moments


class ArrayBatches:
    """Minibatches of X and y, in an order that is new for each epoch if `shuffle`.

    Where one row alone is of no use (`joins`: to BatchNorm), a last minibatch of one row joins the
    one before it.
    """

    def __init__(self, X, y, weight, batch_size, shuffle=True, joins=False):
        self.X, self.y, self.weight, self.shuffle = X, y, weight, shuffle
        n = len(X)
        self.batch_size = min(batch_size, n)
        self.steps = -(-n // self.batch_size)
        alone = joins and self.steps > 1 and n % self.batch_size == 1
        self.steps -= alone
        self.rows = self.batch_size + alone
        self.width = X.shape[1]
        self.y_like = y[:0]

    @property
    def in_memory(self):
        """Whether the engine can gather the rows itself."""
        return isinstance(self.X, np.ndarray)

    def standardize(self, weights):
        """Let a first layer of the network learn the data's mean and scale, if it has not yet."""
        mean, scale = weights.standardization()
        if scale is not None and not weights.standardized:
            with np.errstate(over="ignore", invalid="ignore"):
                center, variance = moments(self.X)
            if not np.isfinite(center).all():
                return  # as the engine will say when it reads X
            deviation = np.sqrt(variance)
            scale[...] = np.where(deviation > 10 * np.finfo(scale.dtype).eps * abs(center),
                                  deviation, 1)  # fmt: skip
            if mean is not None and not isinstance(self.X, SparseRows):
                mean[...] = center
            weights.standardized = True
        weights.adapt(self.X)

    def order(self, rng):
        """The rows in the order of an epoch."""
        n = len(self.X)
        return rng.permutation(n) if self.shuffle else np.arange(n)

    def batches(self, order):
        """X, y and weights of each minibatch."""
        for i in range(self.steps):
            last = None if i == self.steps - 1 else (i + 1) * self.batch_size
            rows = order[i * self.batch_size : last]
            X = self.X[rows] if self.in_memory else self.X.take(rows)
            yield X, self.y[rows], None if self.weight is None else self.weight[rows]


class IterableBatches:
    """Minibatches that an iterable, begun anew each epoch, gives: (X, y[, sample_weight]).

    `checked` makes of each what the engine takes. An iterator cannot be begun anew: it goes on
    where it was, `steps` minibatches an epoch.
    """

    in_memory = False

    def __init__(self, iterable, steps, checked):
        self._iterable, self._checked = iterable, checked
        self._once = iter(iterable) if isinstance(iterable, Iterator) else None
        self.steps = len(iterable) if steps is None and hasattr(iterable, "__len__") else steps
        self.y_like = None
        self._first = next(self._items(), None)
        if self._first is None:
            raise ValueError("X must give at least one minibatch, got an empty iterable")
        X, y, _ = self._first
        self.rows, self.width, self.y_like = len(y), X.shape[1], y[:0]

    def standardize(self, weights):
        """Raise where the data's mean would be needed before all of it has been seen."""
        if weights.standardization()[1] is not None and not weights.standardized:
            raise ValueError(
                "nn.Standardize needs the training data as an array: give a fit some rows of it "
                "first, or load a state with the mean and scale"
            )

    def order(self, rng):
        """Theirs."""
        return

    def _items(self):
        source = self._iterable if self._once is None else self._once
        return (self._alike(self._checked(item)) for item in source)

    def _alike(self, item):
        """A minibatch whose targets are of the first one's kind; the engine takes no other."""
        y, like = item[1], self.y_like
        if like is not None and (y.dtype != like.dtype or y.shape[1:] != like.shape[1:]):
            raise ValueError(
                "y of all minibatches must be of one kind, the first one's: "
                f"{like.dtype} of shape {('n', *like.shape[1:])}; got {y.dtype} of shape {y.shape}"
            )
        return item

    def batches(self, order):
        """X, y and weights of each minibatch of an epoch; none if an iterator is exhausted."""
        items = self._items()
        if self._once is not None and self._first is not None:
            items = itertools.chain([self._first], items)
        self._first = None
        for X, y, weight in itertools.islice(items, self.steps):
            yield X if isinstance(X, np.ndarray) else X.take(slice(None)), y, weight
