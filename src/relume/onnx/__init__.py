"""Networks as ONNX models, for programs that run where relume is not.

The graph is in float32, of standard operators only, and the number of rows is free. It is for
finite input: what relume refuses, NaN and infinities, goes through as the runtime likes. The
package ``onnx`` is an extra, imported when a model is made: ``pip install 'relume[onnx]'``.
"""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

import relume
from relume import validation
from relume.nn.data.target_form import MEAN, SCALE, TargetForm
from relume.nn.interop.from_sklearn import LOSSES, from_sklearn
from relume.nn.layers.ops import ops_of
from relume.nn.losses import BinaryCrossEntropy, Poisson, Quantile, loss_of
from relume.nn.network import Network
from relume.onnx.graph import Graph, onnx
from relume.onnx.scalers import scaled
from relume.public_names import publish as _publish

__all__ = ["from_estimator", "model_of"]

# Pinned, so that a newer `onnx` does not make models that installed runtimes cannot read. 20 is
# the first operator set with Gelu, 9 the version of files in its release: onnx 1.15, which ONNX
# Runtime reads since 1.17.
OPSET, IR_VERSION = 20, 9

OUTPUTS = ("predict", "proba", "raw")


def labels(g: Graph, index: str, classes: Any, n: int) -> None:
    """An output of the labels at some indices; of the indices where there are no labels."""
    array = np.arange(n) if classes is None else np.asarray(classes)
    if array.shape != (n,):
        raise ValueError(f"classes must hold {n} labels, got {validation.shown(classes)}")
    if array.dtype.kind in "US":
        array = array.astype(object)
    elif array.dtype.kind in "iu":
        array = array.astype(np.int64)
    tensor = onnx().numpy_helper.from_array(array, "classes")
    if classes is not None:
        g.constants.append(tensor)
        index = g.node("Gather", "classes", index)
    g.output(index, "label", tensor.data_type)


def of_classes(g: Graph, z: str, n: int, output: str, classes: Any) -> None:
    """The outputs of a classifier with a logit for each class."""
    if output == "predict":
        labels(g, g.node("ArgMax", z, axis=1, keepdims=0), classes, n)
    g.output(g.node("Softmax", z, axis=1), "probabilities", onnx().TensorProto.FLOAT, n)


def of_binary(g: Graph, z: str, n: int, output: str, classes: Any) -> None:
    """The outputs of a classifier with a logit for each of n labels, or one for two classes."""
    types = onnx().TensorProto
    if n > 1 and classes is not None:
        raise ValueError(
            f"classes must be None for a network of {n} labels, got {validation.shown(classes)}"
        )
    if output == "predict":
        held = g.node("Cast", g.node("Greater", z, 0.0), to=types.INT64)
        if n > 1:
            g.output(held, "label", types.INT64, n)
        else:
            labels(g, g.node("Squeeze", held, np.array([1])), classes, 2)
    if n == 1:
        z, n = g.node("Concat", g.node("Neg", z), z, axis=1), 2
    g.output(g.node("Sigmoid", z), "probabilities", types.FLOAT, n)


def ascending(g: Graph, y: str, n: int, k: int) -> str:
    """Runs of k of the n columns, each sorted."""
    runs = g.node("Reshape", y, np.array([0, n // k, k]))
    values, index = "sorted", "sorted_index"
    names = [runs, g.constant(np.array([k]))]
    g.nodes.append(onnx().helper.make_node("TopK", names, [values, index], values, largest=0))
    return g.node("Reshape", values, np.array([0, n]))


def of_values(g: Graph, z: str, n: int, loss: Any, form: TargetForm) -> None:
    """The output of a regressor: without a column if it is one, unless its targets had that."""
    y, kind = g.node("Exp", z) if isinstance(loss, Poisson) else z, onnx().TensorProto.FLOAT
    if isinstance(loss, Quantile) and loss.n_quantiles > 1:
        y = ascending(g, y, n, loss.n_quantiles)
    if form.mean is not None and form.scale is not None:
        kind = onnx().TensorProto.DOUBLE  # as predict: float32 has too few digits for many means
        mean, scale = g.double(form.mean, MEAN), g.double(form.scale, SCALE)
        y = g.node("Add", g.node("Mul", g.node("Cast", y, to=kind), scale), mean)
    if n == 1 and not form.column:
        g.output(g.node("Squeeze", y, np.array([1])), "variable", kind)
    else:
        g.output(y, "variable", kind, n)


def finished(g: Graph, z: str, net: Network, output: str, classes: Any) -> None:
    """The outputs, made of the raw ones."""
    n, loss = net.n_outputs, net.loss
    if output == "raw":
        g.output(z, "output", onnx().TensorProto.FLOAT, n)
    elif loss.outputs == "logits":
        of_classes(g, z, n, output, classes)
    elif loss.outputs == "log_odds":
        of_binary(g, z, n, output, classes)
    elif output == "proba":
        raise ValueError(f"output='proba' needs a classifier, got loss={loss.name!r}")
    elif classes is not None:
        raise ValueError(f"classes must be None for values, got {validation.shown(classes)}")
    else:
        of_values(g, z, n, loss, net._target_form)


def model_of(
    net: Network,
    *,
    output: Literal["predict", "proba", "raw"] = "predict",
    classes: ArrayLike | None = None,
    scalers: Iterable[Any] = (),
) -> Any:
    """A network as an ONNX model, in float32.

    Its input is ``"X"``, of shape (n, n_features), in float32; in float64 if the network begins
    with an `relume.nn.Standardize` of a feature whose mean is more than 100,000 times its scale,
    such as seconds since 1970, whose digits float32 has not. Its outputs have the names that
    skl2onnx and, for the raw ones, most uses of ``torch.onnx.export`` give them.

    Parameters
    ----------
    net : Network
        Built. One in float64 is rounded.
    output : {"predict", "proba", "raw"}, default="predict"
        ``"predict"`` gives what `nn.Network.predict` returns: of a classifier ``"label"``, and
        beside it ``"probabilities"``; else ``"variable"``. ``"proba"`` gives the probabilities
        alone, ``"raw"`` what `nn.Network.forward` returns, ``"output"``.
    classes : array_like of shape (n_classes,) or None, default=None
        Numbers or strings that are the labels instead of 0, 1, and so on.
    scalers : iterable, default=()
        Fitted scalers of scikit-learn that the input goes through first: ``StandardScaler``,
        ``MinMaxScaler``, ``MaxAbsScaler``, ``RobustScaler``, ``Normalizer``.

    Returns
    -------
    onnx.ModelProto
        Checked by ``onnx.checker``; of operator set 20.

    Raises
    ------
    ImportError
        If the package ``onnx`` is missing.
    RuntimeError
        If the network is not built.
    TypeError, ValueError
        If an argument is not as said, or a parameter is not finite in float32.

    Examples
    --------
    >>> from relume import nn, onnx
    >>> net = nn.Network([nn.Dense(8, activation="gelu"), nn.Dense(3)], seed=0).build(4)
    >>> model = onnx.model_of(net)
    >>> [node.op_type for node in model.graph.node]
    ['Gemm', 'Gelu', 'Gemm', 'ArgMax', 'Identity', 'Softmax', 'Identity']
    >>> [output.name for output in model.graph.output]
    ['label', 'probabilities']
    """
    if not isinstance(net, Network):
        raise TypeError(f"net must be an nn.Network, got {validation.shown(net)}")
    output = validation.choice(output, "output", OUTPUTS)
    state, g, x = net.state_dict(), Graph(), "X"
    n_features = net._built().plan.n_in
    for scaler in scalers:
        x = scaled(g, x, scaler, n_features)
    for op in ops_of(net.layers):
        prefix = f"{op.name}."
        own = {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
        x = op.layer.to_onnx(g, x, op, own)
    finished(g, x, net, output, classes)
    return _whole(g, n_features)


def _whole(g, n_features):
    """The model of a graph, checked."""
    helper = onnx().helper
    X = helper.make_tensor_value_info(
        "X", getattr(onnx().TensorProto, g.input_type), ["n", n_features]
    )
    graph = helper.make_graph(g.nodes, "relume", [X], g.outputs, g.constants)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
        producer_name="relume", producer_version=relume.__version__,
    )  # fmt: skip
    onnx().checker.check_model(model, full_check=True)
    return model


def from_estimator(
    estimator: Any, *, output: Literal["predict", "proba", "raw"] = "predict"
) -> Any:
    """A fitted multilayer perceptron, or a pipeline that ends in one, as an ONNX model.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor or Pipeline
        Of scikit-learn or relume, fitted. The steps before the perceptron must be scalers that
        `model_of` takes, or ``"passthrough"``.
    output : {"predict", "proba", "raw"}, default="predict"
        As `model_of` says; the labels are the estimator's ``classes_``.

    Returns
    -------
    onnx.ModelProto
        As `model_of` returns it.

    Raises
    ------
    ImportError
        If the package ``onnx`` is missing.
    TypeError, ValueError
        If an argument is not as said.

    Examples
    --------
    >>> from relume import onnx
    >>> from sklearn.neural_network import MLPRegressor
    >>> mlp = MLPRegressor(hidden_layer_sizes=[4], solver="lbfgs", random_state=0)
    >>> mlp = mlp.fit([[0.0], [1.0]], [1.0, 0.0])
    >>> [node.op_type for node in onnx.from_estimator(mlp).graph.node]
    ['Gemm', 'Relu', 'Gemm', 'Squeeze', 'Identity']
    """
    steps = [step for _, step in estimator.steps] if hasattr(estimator, "steps") else [estimator]
    *scalers, mlp = steps
    net = from_sklearn(mlp)
    net.loss = loss_of(LOSSES[mlp.out_activation_])  # it may be one written in Python
    multilabel = isinstance(net.loss, BinaryCrossEntropy) and net.n_outputs > 1
    classes = None if multilabel else getattr(mlp, "classes_", None)
    return model_of(net, output=output, classes=classes, scalers=scalers)


_publish(globals())
