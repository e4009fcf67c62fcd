"""The contenders. A module a library, and what it can, as functions of a `problems.Problem`:

set_up(threads)      -> None: all imports, and as many threads
training(problem)    -> Fit: the whole fit from the initial weights, in the order of the problem
prediction(problem)  -> function without arguments: class probabilities of X, as a NumPy array
layer(problem)       -> function without arguments: the product of X and the first weights

Each takes what a user has, NumPy arrays, and uses its library as its documentation shows. A
contender is a module and keyword arguments for these functions.
"""

from collections.abc import Callable
from typing import NamedTuple

CONTENDERS = {  # name: module, arguments
    "relume": ("relume", {}),
    "relume never": ("relume", {"sparse": "never"}),
    "relume always": ("relume", {"sparse": "always"}),
    "relume gelu": ("relume", {"activation": "gelu"}),
    "relume.sklearn": ("sklearn", {"package": "relume.sklearn"}),
    "NumPy": ("numpy", {}),
    "scikit-learn": ("sklearn", {"package": "sklearn.neural_network"}),
    "PyTorch": ("torch", {}),
    "PyTorch compiled": ("torch", {"compiled": True}),
    "JAX": ("jax", {}),
    "ONNX Runtime": ("onnxruntime", {}),
}
PEERS = [name for name in CONTENDERS if not name.startswith("relume")]


class Fit(NamedTuple):
    """A training that can be repeated."""

    reset: Callable  # to the initial weights, a fresh optimizer and random state
    run: Callable  # run(epochs, n) trains on the first n rows, and is what is timed
    weights: Callable  # returns the current weights, as in a Problem


class NotBuilt(Exception):
    """The requested function does not exist yet."""
