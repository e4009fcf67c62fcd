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


# The mean over the scale of a feature from which rounding to float32 costs more than 0.6 % of its
# scale; predictions would then differ in more than the last digits.
COARSE = 100_000


class Graph:
    """The nodes, constants and outputs of a model, as they are added.

    Parameters
    ----------
    dtype : numpy.dtype
        Of all floats: float32 or float64.
    opset : int
        The operator set that the nodes are of.
    """

    def __init__(self, dtype: Any = np.float32, opset: int = 20) -> None:
        self.dtype, self.opset = np.dtype(dtype), opset
        self.float_type = onnx().helper.np_dtype_to_tensor_dtype(self.dtype)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.outputs: list[Any] = []
        self.forks: list[str] = []  # values that go past the layers of a Residual
        self.input_type = self.float_type  # of X

    def constant(self, value: ArrayLike, name: str | None = None) -> str:
        """Add an array, in the graph's dtype if it holds floats; returns its name."""
        array = np.asarray(value)
        if array.dtype.kind == "f":
            array = validation.finite(array, name or "a parameter", self.dtype).reshape(
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

    def subtract(self, x: str, mean: Any, scale: Any, name: str) -> str:
        """Subtract an array in float64; returns the name of the result, in the graph's dtype.

        Where float32 values near the mean are too coarse for differences of `scale`, the model's
        input, or else x, becomes double.
        """
        if self.dtype == np.float64:
            return self.node("Sub", x, self.constant(mean, name))
        types, near = onnx().TensorProto, np.asarray(mean).astype(np.float32)
        if (np.abs(mean) > COARSE * scale).any():
            if x == "X":
                self.input_type = types.DOUBLE
            else:
                x = self.node("Cast", x, to=types.DOUBLE)
            self.constants.append(onnx().numpy_helper.from_array(mean.astype(np.float64), name))
            return self.node("Cast", self.node("Sub", x, name), to=types.FLOAT)
        x = self.node("Sub", x, self.constant(near, name))
        low = (mean - near).astype(np.float32)
        return self.node("Sub", x, low) if (np.abs(low) > 1e-7 * scale).any() else x

    def activation(self, name: str, x: str, *parameters: float) -> str:
        """Add the operators of an activation of relume's table; returns the name of the result."""
        return OPERATORS[name](self, x, *parameters)

    def output(self, value: str, name: str, kind: Any, *columns: int) -> None:
        """Make a value an output of the model."""
        self.nodes.append(onnx().helper.make_node("Identity", [value], [name], name))
        info = onnx().helper.make_tensor_value_info(name, kind, ["n", *columns])
        self.outputs.append(info)
