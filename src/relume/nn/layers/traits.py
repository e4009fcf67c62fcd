"""What the rest of relume has to know about a layer, with the defaults."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relume.engine.op_spec import OpSpec

Values = Mapping[str, NDArray[Any]]  # an op's parameters, by their names in it


class OnnxGraph(Protocol):
    """What a layer adds its operators to: `relume.onnx.graph.Graph`."""

    forks: list[str]
    opset: int  # the operator set; a newer one has more operators
    dtype: np.dtype[Any]  # of all floats

    def constant(self, value: ArrayLike, name: str | None = None) -> str:
        """Add an array; returns its name."""

    def node(self, operator: str, *inputs: Any, **attributes: Any) -> str:
        """Add an operator on values, by name, or on arrays; returns the name of its result."""

    def subtract(self, x: str, mean: NDArray[Any], scale: NDArray[Any], name: str) -> str:
        """Subtract an array in float64, in as many digits as differences of `scale` need."""

    def activation(self, name: str, x: str, *parameters: float) -> str:
        """Add the operators of an activation of relume's table."""


class Traits:
    """What layers and activations say of themselves.

    Parameters' names and shapes are not here: an op of the engine has them (engine/ops.pyx), and
    its names are those of the `torch.nn` module that does the same.
    """

    # Whether each output unit depends on one input unit only, the one of the same index. Then
    # units before the layer can be removed or drawn anew: `Network.compact`, `nn.Revive`.
    unitwise: ClassVar[bool] = False
    # Whether it acts in training only: in prediction its output is its input.
    only_training: ClassVar[bool] = False
    # Whether its output does not depend on the scale of its input.
    normalizes: ClassVar[bool] = False
    # The parameter whose last axis, as PyTorch has it, is the width of the input.
    tells_width: ClassVar[str | None] = None
    # What the values of a statistic must be, in words and as a test of an array.
    constraints: ClassVar[dict[str, tuple[str, Callable[[Any], Any]]]] = {}

    def modules(self) -> list[list[OpSpec]]:
        """The ops of the engine's plan, in the modules of PyTorch that do the same."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator, arrays: Values) -> None:
        """Give an op's parameters, by name, their initial values; zeros until then."""

    def to_onnx(self, g: OnnxGraph, x: str, op: OpSpec, values: Values) -> str:
        """Add the operators that do in prediction what an op of the layer does to x."""
        if self.only_training:
            return x
        raise ValueError(f"{self!r} must have a method to_onnx to be exported")

    def affine(self, values: Values) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """A factor and a shift of each unit, where that is all it does in prediction."""
        return None
