"""What all layers have in common. Each layer says which ops the engine makes of it."""

from dataclasses import replace
from typing import Any, ClassVar

from relume import validation
from relume.engine.op_spec import OpSpec
from relume.nn.configurable import Configurable, CountedList
from relume.nn.layers.activations import Activation
from relume.nn.layers.traits import Traits


class Layer(Traits, Configurable):
    """What all layers have in common.

    Examples
    --------
    >>> from relume import nn
    >>> isinstance(nn.Dropout(0.2), nn.Layer)
    True
    """

    structural = True

    def modules(self) -> list[list[OpSpec]]:
        """The ops of the engine's plan, in the modules of PyTorch that do the same."""
        return [[replace(self.spec(), layer=self)]]

    def spec(self) -> OpSpec:
        """The op of a layer that is one."""
        raise NotImplementedError


class Elementwise(Layer):
    """A layer that stands for a `Dense`'s activation too: by an object, its class or its name."""

    name: ClassVar[str]
    initializer: ClassVar[str] = "he"  # the family of initial weights that suits it
    unitwise = True

    @property
    def slope(self) -> float:
        """What it multiplies negative inputs by, at the beginning."""
        return 0.0


def checked_layers(layers: Any, name: str) -> list[Layer | Activation]:
    """A list of layers; the first that is none is named."""
    if not isinstance(layers, list | tuple):
        raise TypeError(f"{name} must be a list of layers, got {validation.shown(layers)}")
    if not layers:
        raise ValueError(f"{name} must hold at least one layer, got an empty list")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer | Activation):
            raise TypeError(
                f"{name}[{i}] must be a layer such as nn.Dense(64), got {validation.shown(layer)}"
                f"{validation.instance(layer)}"
            )
    return CountedList(layers)
