"""The data sets with pixels from 0 to 1, split into rows to train on and rows held out."""

import numpy as np

from relume import datasets


def stratified_split(y, held_out, seed):
    """Rows to train on and rows held out: the same share of each class, drawn at random."""
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(y == label)) for label in np.unique(y)]
    cuts = [round(len(of_class) * held_out) for of_class in rows]
    test = np.concatenate([of_class[:cut] for of_class, cut in zip(rows, cuts, strict=True)])
    train = np.concatenate([of_class[cut:] for of_class, cut in zip(rows, cuts, strict=True)])
    return rng.permutation(train), rng.permutation(test)


def load_digits():
    """The digits: pixels from 0 to 1, a stratified random quarter held out."""
    X, y = datasets.load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    train, test = stratified_split(y, held_out=0.25, seed=0)
    return X[train], y[train], X[test], y[test]


def load_fashion_mnist():
    """Fashion-MNIST: pixels from 0 to 1, its own test set held out."""
    data = datasets.load_fashion_mnist()
    X_train, X_test = (X.astype(np.float32) / 255 for X in (data.X_train, data.X_test))
    return X_train, data.y_train, X_test, data.y_test
