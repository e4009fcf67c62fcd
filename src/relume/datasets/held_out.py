"""The data sets with pixels scaled to 0 to 1, split into training rows and held-out rows."""

import numpy as np
from numpy.typing import NDArray

from relume import datasets

# X_train, y_train, X_test, y_test
Split = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]


def stratified_split(
    y: NDArray[np.int64], held_out: float, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Random training rows and held-out rows; the share held out is the same in each class."""
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(y == label)) for label in np.unique(y)]
    cuts = [round(len(class_rows) * held_out) for class_rows in rows]
    test = np.concatenate([class_rows[:cut] for class_rows, cut in zip(rows, cuts, strict=True)])
    train = np.concatenate([class_rows[cut:] for class_rows, cut in zip(rows, cuts, strict=True)])
    return rng.permutation(train), rng.permutation(test)


def load_digits_split() -> Split:
    """Load the digits with pixels from 0 to 1 and a stratified random quarter held out."""
    X, y = datasets.load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    train, test = stratified_split(y, held_out=0.25, seed=0)
    return X[train], y[train], X[test], y[test]


def load_fashion_mnist_split() -> Split:
    """Load Fashion-MNIST with pixels from 0 to 1 and its test set held out."""
    data = datasets.load_fashion_mnist()
    X_train, X_test = (X.astype(np.float32) / 255 for X in (data.X_train, data.X_test))
    return X_train, data.y_train, X_test, data.y_test
