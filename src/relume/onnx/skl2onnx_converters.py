"""Converters by which skl2onnx takes the estimators of `relume.sklearn`."""

from typing import Any

import numpy as np

from relume.nn.losses import BinaryCrossEntropy
from relume.onnx.graph import Graph, onnx
from relume.onnx.model import OLDEST_OPSET, add_network, label_array, network_of


def register_skl2onnx() -> None:
    """Let skl2onnx convert `relume.sklearn.MLPClassifier` and `relume.sklearn.MLPRegressor`.

    Call it once in a process. Then ``skl2onnx.to_onnx`` takes the estimators, and pipelines,
    searches and other estimators that hold them, with any steps that skl2onnx knows. The models
    are in the dtype of the input that skl2onnx is given: float64 for the accuracy of an estimator
    that was fitted to float64, else float32.

    Raises
    ------
    ImportError
        If skl2onnx or scikit-learn is missing.

    Examples
    --------
    >>> import numpy as np
    >>> import skl2onnx
    >>> from relume import onnx
    >>> from relume.sklearn import MLPRegressor
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> onnx.register_skl2onnx()
    >>> X = np.linspace(0, 1, 50)[:, None]
    >>> mlp = MLPRegressor(hidden_layer_sizes=[4], solver="lbfgs", random_state=0)
    >>> model = skl2onnx.to_onnx(make_pipeline(StandardScaler(), mlp).fit(X, X[:, 0]), X)
    >>> model.graph.output[0].name
    'variable'
    """
    try:
        from skl2onnx import update_registered_converter
    except ImportError as error:
        raise ImportError(
            "register_skl2onnx needs the package `skl2onnx`: pip install skl2onnx"
        ) from error
    from relume.sklearn import MLPClassifier, MLPRegressor

    options = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
    update_registered_converter(
        MLPClassifier, "RelumeMLPClassifier", _classifier_types, _convert, options=options
    )
    update_registered_converter(MLPRegressor, "RelumeMLPRegressor", _regressor_types, _convert)


def _dtype(operator: Any) -> np.dtype[Any]:
    """float64 for an input of that dtype; integers and bools become float32."""
    from skl2onnx.common.data_types import DoubleTensorType

    return np.dtype(np.float64 if isinstance(operator.inputs[0].type, DoubleTensorType) else "f4")


def _float_type(operator: Any) -> Any:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    return DoubleTensorType if _dtype(operator) == np.float64 else FloatTensorType


def _classifier_types(operator: Any) -> None:
    """The types and shapes of labels and probabilities."""
    from skl2onnx.common import data_types

    mlp, n = operator.raw_operator, operator.inputs[0].get_first_dimension()
    if _is_multilabel(mlp):
        operator.outputs[0].type = data_types.Int64TensorType([n, mlp.n_outputs_])
        operator.outputs[1].type = _float_type(operator)([n, mlp.n_outputs_])
        return
    labels = label_array(mlp.classes_)
    types = {
        "O": data_types.StringTensorType,
        "b": data_types.BooleanTensorType,
        "f": data_types.FloatTensorType if labels.itemsize == 4 else data_types.DoubleTensorType,
    }
    operator.outputs[0].type = types.get(labels.dtype.kind, data_types.Int64TensorType)([n])
    operator.outputs[1].type = _float_type(operator)([n, len(labels)])


def _is_multilabel(mlp: Any) -> bool:
    return isinstance(mlp.network_.loss, BinaryCrossEntropy) and mlp.n_outputs_ > 1


def _regressor_types(operator: Any) -> None:
    n, mlp = operator.inputs[0].get_first_dimension(), operator.raw_operator
    operator.outputs[0].type = _float_type(operator)([n, mlp.n_outputs_])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of a model to skl2onnx's, under names that are free there."""
    mlp = operator.raw_operator
    net, classes = network_of(mlp)
    if container.target_opset < OLDEST_OPSET:
        raise ValueError(
            f"target_opset must be at least {OLDEST_OPSET}, got {container.target_opset}"
        )
    g = Graph(_dtype(operator), container.target_opset)
    x = operator.inputs[0].full_name
    start = "input_as_floats"
    add_network(g, g.node("Cast", start, to=g.float_type), net, "predict", classes)
    if not hasattr(mlp, "classes_") and g.nodes[-2].op_type == "Squeeze":
        # A column, which skl2onnx gives for any regressor.
        squeezed = g.nodes.pop(-2)
        g.nodes[-1].input[0] = squeezed.input[0]
    names = {start: x}
    for output, variable in zip(g.outputs, operator.outputs, strict=True):
        names[output.name] = variable.full_name
    for constant in g.constants:
        names[constant.name] = scope.get_unique_variable_name(f"relume_{constant.name}")
        values = onnx().numpy_helper.to_array(constant)
        container.add_initializer(
            names[constant.name], constant.data_type, list(constant.dims), values.ravel().tolist()
        )
    for node in g.nodes:
        for result in node.output:
            if result not in names:
                names[result] = scope.get_unique_variable_name(f"relume_{result}")
        attributes = {
            each.name: onnx().helper.get_attribute_value(each) for each in node.attribute
        }
        container.add_node(
            node.op_type, [names[each] for each in node.input],
            [names[each] for each in node.output], op_version=g.opset,
            name=scope.get_unique_operator_name(f"relume_{node.name}"), **attributes,
        )  # fmt: skip
