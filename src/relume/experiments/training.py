"""What experiments share: data sets of images, networks, training and measurements."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relume import datasets, nn
from relume.datasets.held_out import stratified_split


class Split(NamedTuple):
    """Training rows and held-out rows."""

    X: NDArray[Any]
    y: NDArray[Any]
    X_test: NDArray[Any]
    y_test: NDArray[Any]


def digits(seed: int, rows: int | None = None) -> Split:
    """The digits, with pixels from 0 to 1; each seed holds out another stratified quarter."""
    X, y = datasets.load_digits(return_X_y=True)
    return _split((X / 16).astype(np.float32), y, seed, rows)


def fashion(seed: int, rows: int | None = None) -> Split:
    """8,000 random images of Fashion-MNIST, of which a quarter is held out."""
    data = _fashion_mnist()
    chosen = np.random.default_rng(seed).choice(len(data.X_train), 8000, replace=False)
    return _split(data.X_train[chosen].astype(np.float32) / 255, data.y_train[chosen], seed, rows)


_fashion_mnist = functools.lru_cache(maxsize=1)(datasets.load_fashion_mnist)


def _split(X, y, seed, rows):
    train, test = stratified_split(y, held_out=0.25, seed=seed)
    train = train[:rows]
    return Split(X[train], y[train], X[test], y[test])


def image_sets() -> dict[str, Callable[..., Split]]:
    """The available data sets: the digits, and Fashion-MNIST if its files are present."""
    try:
        _fashion_mnist()
    except FileNotFoundError:
        return {"digits": digits}
    return {"digits": digits, "Fashion-MNIST": fashion}


def hidden(activation: Any, units: int, depth: int, **options: Any) -> list[nn.Layer]:
    """Equal hidden layers."""
    return [nn.Dense(units, activation, **options) for _ in range(depth)]


def classifier(layers: Sequence[Any], seed: int, **options: Any) -> nn.Network:
    """A network for ten classes."""
    return nn.Network([*layers, nn.Dense(10)], seed=seed, **options)


def train(net: nn.Network, split: Split, epochs: int, **options: Any) -> nn.Network:
    """Fit the network. If the loss overflows, training ends with the state before that epoch."""
    options = {"callbacks": [nn.TerminateOnNaN()]} | options
    net.fit(split.X, split.y, epochs=epochs, **options)
    return net


def accuracy(net: nn.Network, split: Split) -> float:
    """Accuracy on the held-out rows in per cent."""
    return 100 * net.evaluate(split.X_test, split.y_test)["accuracy"]


def layer_outputs(net: nn.Network, X: NDArray[Any]) -> Iterator[tuple[Any, NDArray[Any]]]:
    """Each layer of the network with its outputs, from a network that ends after that layer."""
    state = net.state_dict()
    for end, layer in enumerate(net.layers, 1):
        part = nn.Network(net.layers[:end], loss="mse", dtype=net.dtype).build(X.shape[1])
        part.load_state_dict({name: state[name] for name in part.state_dict()})
        yield layer, part.forward(X)


def hidden_outputs(net: nn.Network, X: NDArray[Any]) -> list[NDArray[Any]]:
    """The outputs of the hidden layers that end in an activation."""
    return [
        outputs
        for layer, outputs in layer_outputs(net, X)
        if isinstance(layer, nn.Activation) or getattr(layer, "activation", None)
    ]


def dead_share(net: nn.Network, X: NDArray[Any]) -> float:
    """Share of hidden units that are 0 for every row, in per cent."""
    dead = [(outputs == 0).all(axis=0) for outputs in hidden_outputs(net, X)]
    return 100 * float(np.concatenate(dead).mean())
