"""The inputs of all contenders (rows, initial weights and the order of rows), and the oracle.

They are made with NumPy in the driving process, so that a contender's process loads only its own
library. The number of rows is a multiple of the batch size, so no minibatch is short.
"""

import functools
import itertools
from typing import NamedTuple

import numpy as np

SEED = 1
LEARNING_RATE, BETAS, EPS = 1e-3, (0.9, 0.999), 1e-8


class Problem(NamedTuple):
    """A network's rows and initial weights, and how to train it."""

    X: np.ndarray
    y: np.ndarray
    weights: list  # (weight (n_in, n_out), bias) for each layer, with ReLU between the layers
    batch_size: int = 1
    epochs: int = 1

    @property
    def layers(self):
        return [len(self.weights[0][0]), *(len(bias) for _, bias in self.weights)]

    @property
    def steps(self):
        """The number of steps in all epochs."""
        return self.epochs * len(self.X) // self.batch_size

    def rng(self):
        """The generator whose permutations are the orders of rows, as in a relume fit."""
        return np.random.default_rng(SEED)

    def state_dict(self):
        """The weights with the names of a torch.nn.Sequential of Linear and ReLU."""
        state = {}
        for i, (weight, bias) in enumerate(self.weights):
            state |= {f"{2 * i}.weight": weight.T, f"{2 * i}.bias": bias}
        return state

    def copied(self):
        """A copy whose arrays are allocated by NumPy in this process."""
        weights = [(np.array(weight), np.array(bias)) for weight, bias in self.weights]
        return self._replace(X=np.array(self.X), y=np.array(self.y), weights=weights)


def weights_of_state_dict(state):
    """The inverse of `Problem.state_dict`."""
    arrays = [np.array(value) for value in state.values()]
    return [(w.T, b) for w, b in zip(arrays[::2], arrays[1::2], strict=True)]


# -- making problems --


@functools.cache
def rows_of(data):
    """X from 0 to 1 and y of "digits" or "Fashion-MNIST", and a description of the data."""
    from relume import datasets

    if data == "digits":
        X, y = datasets.load_digits(return_X_y=True)
        return (X / 16).astype(np.float32), y, "digits"
    try:
        fashion = datasets.load_fashion_mnist()
        X, y = fashion.X_train, fashion.y_train
        source = "Fashion-MNIST itself"
    except FileNotFoundError:
        rng = np.random.default_rng(SEED)
        X = rng.integers(0, 256, (60_000, 784)) * (rng.random((60_000, 784)) < 0.5)
        y = rng.integers(0, 10, 60_000)
        source = "instead of Fashion-MNIST random data of its shape"
    return np.divide(X, 255, dtype=np.float32), y, source


def training_problem(data, layers, batch_size, epochs):
    X, y, _ = rows_of(data)
    n = len(X) // batch_size * batch_size
    return Problem(X[:n], y[:n].astype(np.int64), initial_weights(layers), batch_size, epochs)


def random_problem(layers, rows, zeros=None, batch_size=1, epochs=1):
    """Normal rows. `zeros` is the share of zeros in X and, on average, in each ReLU's output."""
    rng = np.random.default_rng(SEED)
    X = rng.standard_normal((max(rows, 1_000), layers[0]), np.float32)
    weights = initial_weights(layers)
    if zeros is not None:
        X = np.where(rng.random(X.shape) < zeros, np.float32(0), np.abs(X))
        weights = shifted(weights, X, zeros)
    y = rng.integers(0, layers[-1], rows)
    return Problem(X[:rows].copy(), y, weights, batch_size, epochs)


def random_shapes(seed, n=40):
    """Layers and batch sizes of random networks.

    3 to 1,000 inputs, 1 to 6 layers of 8 to 600 units, batch 16 to 1,024, 2 to 100 classes.
    """
    rng = np.random.default_rng(seed)
    for _ in range(n):
        inputs = rng.integers(3, 1_000, endpoint=True)
        hidden = rng.integers(8, 600, rng.integers(1, 6, endpoint=True), endpoint=True)
        batch_size = rng.integers(16, 1_024, endpoint=True)
        classes = rng.integers(2, 100, endpoint=True)
        yield (int(inputs), *hidden.tolist(), int(classes)), int(batch_size)


def operations(layers, batch_size):
    """Multiplications and additions of a step; the first layer's input needs no gradient."""
    products = [2 * batch_size * n_in * n_out for n_in, n_out in itertools.pairwise(layers)]
    return 3 * sum(products) - products[0]


def initial_weights(layers):
    """Normal weights (He et al., ICCV 2015), with small biases that detect a missing bias."""
    rng = np.random.default_rng(SEED)
    weights = []
    for n_in, n_out in itertools.pairwise(layers):
        weight = rng.standard_normal((n_in, n_out), np.float32) * np.float32((2 / n_in) ** 0.5)
        weights.append((weight, rng.uniform(-0.01, 0.01, n_out).astype(np.float32)))
    return weights


def shifted(weights, X, zeros):
    """The weights with biases for which each hidden unit is 0 for a share of the rows."""
    hidden = []
    for weight, _ in weights[:-1]:
        z = X @ weight
        bias = -np.quantile(z, zeros, axis=0).astype(np.float32)
        X = np.maximum(z + bias, 0)
        hidden.append((weight, bias))
    return [*hidden, weights[-1]]


# -- the oracle --


def log_probabilities(weights, X):
    """The logarithms of the class probabilities, in float64."""
    for i, (weight, bias) in enumerate(weights):
        X = (np.maximum(X, 0) if i else X.astype(np.float64)) @ weight.astype(np.float64) + bias
    X -= X.max(axis=1, keepdims=True)
    return X - np.log(np.exp(X).sum(axis=1, keepdims=True))


def loss_of(weights, problem, n):
    """The mean cross-entropy of n rows, in float64."""
    X, y = problem.X[:n], problem.y[:n]
    return -log_probabilities(weights, X)[np.arange(len(y)), y].mean()
