"""Idiomatic handwritten NumPy: float32, in place where that is natural."""

import os

import numpy as np
from problems import BETAS, EPS, LEARNING_RATE

from . import Fit


def set_up(threads, **arguments):
    """Nothing to do: NumPy's BLAS reads the number of threads when it is loaded."""
    assert os.environ["OPENBLAS_NUM_THREADS"] == str(threads)


def softmax(z):
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)
    return z


def activations(weights, X):
    """The input of each layer, and the probabilities."""
    inputs = [X]
    for weight, bias in weights[:-1]:
        z = inputs[-1] @ weight
        z += bias
        inputs.append(np.maximum(z, 0, out=z))
    weight, bias = weights[-1]
    return inputs, softmax(inputs[-1] @ weight + bias)


def gradients(weights, X, y):
    inputs, dz = activations(weights, X)
    dz[np.arange(len(y)), y] -= 1
    dz /= len(y)
    found = []
    for (weight, _), x in zip(weights[::-1], inputs[::-1], strict=True):
        found += [dz.sum(axis=0), x.T @ dz]
        if x is not X:
            dz = dz @ weight.T
            dz *= x > 0
    return found[::-1]


class Adam:
    def __init__(self, parameters):
        self.parameters, self.t = parameters, 0
        self.m, self.v = ([np.zeros_like(p) for p in parameters] for _ in range(2))

    def step(self, gradients):
        self.t += 1
        (beta1, beta2), t = BETAS, self.t
        rate, root = LEARNING_RATE / (1 - beta1**t), (1 - beta2**t) ** -0.5
        for p, g, m, v in zip(self.parameters, gradients, self.m, self.v, strict=True):
            m += (1 - beta1) * (g - m)
            g *= g
            v += (1 - beta2) * (g - v)
            p -= rate * m / (root * np.sqrt(v) + EPS)


def training(problem):
    X, y, size = problem.X, problem.y, problem.batch_size
    weights = optimizer = rng = None

    def reset():
        nonlocal weights, optimizer, rng
        weights = [(weight.copy(), bias.copy()) for weight, bias in problem.weights]
        optimizer, rng = Adam([p for pair in weights for p in pair]), problem.rng()

    def run(epochs, n):
        for _ in range(epochs):
            order = rng.permutation(n)
            for start in range(0, n, size):
                rows = order[start : start + size]
                optimizer.step(gradients(weights, X[rows], y[rows]))

    return Fit(reset, run, lambda: weights)


def prediction(problem):
    return lambda: activations(problem.weights, problem.X)[1]


def layer(problem):
    """The matrix product alone, with out=."""
    weight, _ = problem.weights[0]
    out = np.ones((len(problem.X), weight.shape[1]), np.float32)
    return lambda: np.matmul(problem.X, weight, out=out)
