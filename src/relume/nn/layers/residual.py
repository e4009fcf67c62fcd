"""The residual block, and the width of a list of layers."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from relume import validation
from relume.engine.op_spec import OpSpec
from relume.nn.layers import initializers
from relume.nn.layers.activations import Activation
from relume.nn.layers.dense import Dense
from relume.nn.layers.layer import Layer, checked_layers
from relume.nn.layers.ops import ops_of
from relume.nn.layers.traits import OnnxGraph, Values

__all__ = ["Residual"]


class Residual(Layer):
    """Layers past which their input goes too: ``layers(x) + x``.

    Where the layers change the width, the shortcut is ``x @ weight``, a learned projection
    without a bias.

    Parameters
    ----------
    layers : list of Layer
        At least one of them a `Dense`.

    Raises
    ------
    TypeError, ValueError
        If `layers` is invalid.

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
                f"that its input does not hold; got {validation.shown(layers)}"
            )

    def modules(self) -> list[list[OpSpec]]:
        """One module: a fork, the layers, and where they meet their input again."""
        inner = [replace(op, name=f"layers.{op.name}") for op in ops_of(self.layers)]
        join = OpSpec(kind="join", layer=self, name="projection")
        return [[OpSpec(kind="fork", layer=self), *inner, join]]

    def draw(self, rng: np.random.Generator, arrays: Values) -> None:
        """The projection as a linear layer's."""
        if "weight" in arrays:
            weight = arrays["weight"]
            weight[:] = initializers.draw(rng, None, *weight.shape)

    def to_onnx(self, g: OnnxGraph, x: str, op: OpSpec, values: Values) -> str:
        """Where it begins its input is remembered; where it ends that is added, or projected."""
        if op.kind == "fork":
            g.forks.append(x)
            return x
        past = g.forks.pop()
        if values:
            weight = g.constant(values["weight"], f"{op.name}.weight")
            past = g.node("Gemm", past, weight, transB=1)
        return g.node("Add", x, past)


def width_of(layers: Sequence[Layer | Activation]) -> int | None:
    """The number of outputs; None where no layer sets it."""
    for layer in reversed(layers):
        if isinstance(layer, Dense):
            return layer.units
        if isinstance(layer, Residual):
            return width_of(layer.layers)
    return None
