"""The residual block, and the ops of a list of layers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relume.nn.layers import initializers
from relume.nn.layers.activations import Activation
from relume.nn.layers.dense import Dense
from relume.nn.layers.layer import Layer, Spec, checked_layers


class Residual(Layer):
    """Layers past which their input goes too: ``layers(x) + x``.

    Where the layers change the width, what goes past them is ``x @ weight``, a learnt projection
    without a bias.

    Parameters
    ----------
    layers : list of Layer
        At least one of them a `Dense`.

    Raises
    ------
    TypeError, ValueError
        If `layers` is not as said.

    Notes
    -----
    As module k of a network it has the parameters ``"k.layers.0.weight"`` and so on, and
    ``"k.projection.weight"`` if there is one.

    References
    ----------
    K. He et al., "Deep residual learning for image recognition", CVPR 2016.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Residual([nn.Dense(64, activation="relu"), nn.Dense(64)])
    Residual(layers=[Dense(64, activation=ReLU()), Dense(64)])
    """

    def __init__(self, layers: Sequence[Layer | Activation]) -> None:
        self.layers = checked_layers(layers, "layers of nn.Residual")
        if width_of(self.layers) is None:
            raise ValueError(
                "layers of nn.Residual must hold a Dense, since without one nothing is learnt "
                f"that its input does not hold; got {layers!r}"
            )

    def modules(self) -> list[list[Spec]]:
        """One module: a fork, the layers, and where they meet their input again."""
        inner = [spec | {"name": f"layers.{spec['name']}"} for spec in steps_of(self.layers)]
        join = {"kind": "join", "name": "projection", "layer": self}
        return [[{"kind": "fork", "layer": self}, *inner, join]]

    def draw(self, rng: np.random.Generator, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The projection as a linear layer's."""
        if "weight" in arrays:
            weight = arrays["weight"]
            weight[:] = initializers.draw(rng, None, *weight.shape)


def steps_of(layers: Sequence[Layer | Activation]) -> list[Spec]:
    """The steps of the engine's plan: each with its kind's needs, its name, and its layer."""
    modules = [module for layer in layers for module in layer.modules()]
    return [
        spec | {"name": f"{index}.{spec['name']}" if "name" in spec else f"{index}"}
        for index, module in enumerate(modules)
        for spec in module
    ]


def width_of(layers: Sequence[Layer | Activation]) -> int | None:
    """The number of outputs; None where no layer sets it."""
    for layer in reversed(layers):
        if isinstance(layer, Dense):
            return layer.units
        if isinstance(layer, Residual):
            return width_of(layer.layers)
    return None
