"""scikit-learn's MLPClassifier, and relume's with the same interface.

Both are given the initial weights in place and the problem's order of rows by a random state. It
adds eps to the root of v as it is, others to the corrected one: the loss differs in the 6th digit.
"""

import importlib
import os
import warnings

import numpy as np
from problems import BETAS, EPS, LEARNING_RATE

from . import Fit

warnings.filterwarnings("ignore", "Stochastic Optimizer: Maximum iterations")


def set_up(threads, package):
    """Nothing to do: OpenBLAS and relume read the number of threads when they are loaded."""
    importlib.import_module(package)
    assert os.environ["OPENBLAS_NUM_THREADS"] == os.environ["RELUME_NUM_THREADS"] == str(threads)


class Orders(np.random.RandomState):
    """Shuffles rows 0 to n - 1 so that, of the rows in their last order, the next one results."""

    def begin(self, rng):
        self.rng, self.last = rng, None

    def shuffle(self, x):
        if self.last is None:
            self.last = np.arange(len(x))
        rank = np.empty_like(self.last)
        rank[self.last] = np.arange(len(x))
        self.last = self.rng.permutation(len(x))
        x[:] = rank[self.last]


def classifier(problem, package):
    """A fitted estimator, which has weights to replace."""
    mlp = importlib.import_module(package).MLPClassifier(
        problem.layers[1:-1], alpha=0, batch_size=problem.batch_size, max_iter=1,
        learning_rate_init=LEARNING_RATE, beta_1=BETAS[0], beta_2=BETAS[1], epsilon=EPS,
        n_iter_no_change=10**6, warm_start=True, random_state=0,
    )  # fmt: skip
    classes = np.arange(problem.layers[-1])
    mlp.fit(np.zeros((max(problem.batch_size, len(classes)), problem.layers[0]), np.float32),
            np.resize(classes, max(problem.batch_size, len(classes))))  # fmt: skip
    put(mlp, problem)
    return mlp


def put(mlp, problem):
    for kept, bias, (weight, start) in zip(
        mlp.coefs_, mlp.intercepts_, problem.weights, strict=True
    ):
        kept[...], bias[...] = weight, start


def training(problem, package):
    mlp, orders = classifier(problem, package), Orders()
    mlp.set_params(random_state=orders)

    def reset():
        put(mlp, problem)
        orders.begin(problem.rng())

    def run(epochs, n):
        mlp.max_iter = epochs
        mlp.fit(problem.X[:n], problem.y[:n])

    return Fit(reset, run, lambda: list(zip(mlp.coefs_, mlp.intercepts_, strict=True)))


def prediction(problem, package):
    mlp, X = classifier(problem, package), problem.X
    return lambda: mlp.predict_proba(X)
