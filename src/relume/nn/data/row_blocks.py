"""Rows of X and y in blocks, so that nothing is as long as X."""

import numpy as np

from relume import validation
from relume.engine.arrays import Centered
from relume.nn.data import check_data
from relume.nn.data.rows import RawRows, csr_of, is_sparse

ROWS = 4096  # rows that are brought together at a time: 13 MB of 784 float32


class NetworkRows:
    """What a built network takes for rows of X and y, whatever matrix or table they come from."""

    def __init__(self, net):
        net._built()
        self.net = net

    def features(self, X):
        """Rows of X as a contiguous matrix of the network's dtype, less a Standardize's mean."""
        if is_sparse(X):
            X = csr_of(X, "X").toarray()
        rows = check_data.features(self.net, X)
        if isinstance(rows, np.ndarray) and not isinstance(rows, Centered):
            if self.net._built().standardization()[0] is None:
                return rows
            rows = RawRows(rows, self.net.dtype)
        if isinstance(rows, RawRows):
            self.net._built().adapt(rows)
        return rows if isinstance(rows, np.ndarray) else rows.take(slice(None))

    def targets(self, y):
        """Rows of y as the network's loss takes them."""
        return check_data.targets(self.net, y)


class RowBlocks:
    """X and y in blocks of rows.

    Parameters
    ----------
    model : NetworkRows
        Its methods turn rows of X and y into what the network takes.
    X, y : array_like, sparse matrix, DataFrame
        Read where they lie if possible.
    """

    def __init__(self, model, X, y=None):
        self.model = model
        self._X = _sliceable(X)
        self.has_targets = y is not None
        self._y = None if y is None else _sliceable(y)
        self.n = len(self._X) if not hasattr(self._X, "shape") else self._X.shape[0]
        if self.n == 0:
            raise ValueError(f"X must not be empty, got shape {np.shape(X)}")
        if self._y is not None and np.shape(self._y)[:1] != (self.n,):
            rows = np.shape(self._y)[0] if np.ndim(self._y) else "a single value"
            raise ValueError(f"X and y must have the same length, got {self.n} and {rows}")

    def __iter__(self):
        """The first row, features and targets (or None) of each block."""
        for first in range(0, self.n, ROWS):
            rows = slice(first, min(first + ROWS, self.n))
            X = self.model.features(_part(self._X, rows))
            y = None if self._y is None else self.model.targets(_part(self._y, rows))
            yield first, X, y


def _sliceable(values):
    """What `_part` takes rows of, without a copy where there need not be one."""
    if is_sparse(values):
        return csr_of(values, "X")
    if hasattr(values, "iloc") or (isinstance(values, np.ndarray) and values.ndim):
        return values
    array = validation.as_array(values, "X")
    if array.ndim == 0:
        raise ValueError(
            f"X must have shape (n_samples, n_features), got {validation.shown(values)}"
        )
    return array


def _part(values, rows):
    return values.iloc[rows] if hasattr(values, "iloc") else values[rows]
