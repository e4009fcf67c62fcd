"""What a model is put together with."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from relume import validation
from relume.onnx.operators import OPERATORS


def onnx() -> Any:
    """The package; ImportError says where to get it."""
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise ImportError(
            "an ONNX model needs the package `onnx`: pip install 'relume[onnx]'"
        ) from error
    return onnx


class Graph:
    """The nodes, constants and outputs of a model, as they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.outputs: list[Any] = []
        self.forks: list[str] = []  # values that go past the layers of a Residual

    def constant(self, value: ArrayLike, name: str | None = None) -> str:
        """Add an array, in float32 if it holds floats; returns its name."""
        array = np.asarray(value)
        if array.dtype.kind == "f":
            array = validation.finite(array, name or "a parameter", np.float32).reshape(
                array.shape
            )
        name = name or f"constant_{len(self.constants)}"
        self.constants.append(onnx().numpy_helper.from_array(array, name))
        return name

    def double(self, value: ArrayLike, name: str) -> str:
        """Add an array in float64; returns its name."""
        self.constants.append(onnx().numpy_helper.from_array(np.asarray(value, "f8"), name))
        return name

    def node(self, operator: str, *inputs: Any, **attributes: Any) -> str:
        """Add an operator on values, by name, or on constants; returns the name of its result."""
        names = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        result = f"{operator.lower()}_{len(self.nodes)}"
        node = onnx().helper.make_node(operator, names, [result], result, **attributes)
        self.nodes.append(node)
        return result

    def activation(self, name: str, x: str, *parameters: float) -> str:
        """Add the operators of an activation of relume's table; returns the name of the result."""
        return OPERATORS[name](self, x, *parameters)

    def output(self, value: str, name: str, kind: Any, *columns: int) -> None:
        """Make a value an output of the model."""
        self.nodes.append(onnx().helper.make_node("Identity", [value], [name], name))
        info = onnx().helper.make_tensor_value_info(name, kind, ["n", *columns])
        self.outputs.append(info)
