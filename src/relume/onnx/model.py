"""From a network or an estimator to a model."""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

import relume
from relume import validation
from relume.nn.data.target_form import MEAN, SCALE, TargetForm
from relume.nn.interop.from_sklearn import LOSSES, from_sklearn
from relume.nn.layers.ops import ops_of
from relume.nn.losses import BinaryCrossEntropy, Poisson, Quantile, loss_of
from relume.nn.network import Network
from relume.onnx.graph import Graph, onnx
from relume.onnx.scalers import scaled

# Pinned, so that a newer `onnx` does not make models that installed runtimes cannot read. 20 is
# the first operator set with Gelu, of onnx 1.15, which ONNX Runtime reads since 1.17.
OPSET = 20
OLDEST_OPSET = 13  # since then the axes of Squeeze are an input, and Softmax has one axis

OUTPUTS = ("predict", "proba", "raw")


def labels(g: Graph, index: str, classes: Any, n: int) -> None:
    """An output of the labels at some indices; of the indices where there are no labels."""
    array = label_array(np.arange(n) if classes is None else classes)
    if array.shape != (n,):
        raise ValueError(f"classes must hold {n} labels, got {validation.shown(classes)}")
    tensor = onnx().numpy_helper.from_array(array, "classes")
    if classes is not None:
        g.constants.append(tensor)
        index = g.node("Gather", "classes", index)
    g.output(index, "label", tensor.data_type)


def label_array(classes: Any) -> NDArray[Any]:
    """Labels as ONNX can hold them: int64, bool, floats as they are, or strings as objects."""
    array = np.asarray(classes)
    if array.dtype.kind == "O":
        array = np.array(array.tolist())
        if array.dtype.kind == "U" and not all(isinstance(each, str) for each in list(classes)):
            array = np.asarray(classes)
    if array.dtype.kind in "US":
        return array.astype(object)
    if array.dtype.kind in "iu":
        if array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"classes must be integers that int64 holds, got {array.max()}")
        return array.astype(np.int64)
    if array.dtype.kind == "b":
        return array
    if array.dtype.kind == "f":
        return array.astype(np.float64) if array.itemsize > 8 else array
    raise TypeError(
        "classes must be integers, floats, bools or strings, all of one kind, got dtype "
        f"{array.dtype}"
    )


def of_classes(g: Graph, z: str, n: int, output: str, classes: Any) -> None:
    """The outputs of a classifier with a logit for each class."""
    if output == "predict":
        labels(g, g.node("ArgMax", z, axis=1, keepdims=0), classes, n)
    g.output(g.node("Softmax", z, axis=1), "probabilities", g.float_type, n)


def of_binary(g: Graph, z: str, n: int, output: str, classes: Any) -> None:
    """The outputs of a classifier with a logit for each of n labels, or one for two classes."""
    types = onnx().TensorProto
    one_class = n == 1 and classes is not None and len(classes) == 1
    if one_class:  # it has the probability 1, whatever the network says
        z = g.node("Add", g.node("Mul", z, 0.0), 50.0)
    if n > 1 and classes is not None:
        raise ValueError(
            f"classes must be None for a network of {n} labels, got {validation.shown(classes)}"
        )
    if output == "predict":
        held = g.node("Cast", g.node("Greater", z, 0.0), to=types.INT64)
        if n > 1:
            g.output(held, "label", types.INT64, n)
        else:
            index = g.node("Squeeze", held, np.array([1]))
            if one_class:
                index = g.node("Mul", index, np.array(0))
            labels(g, index, classes, 1 if one_class else 2)
    if n == 1 and not one_class:
        z, n = g.node("Concat", g.node("Neg", z), z, axis=1), 2
    g.output(g.node("Sigmoid", z), "probabilities", g.float_type, n)


def ascending(g: Graph, y: str, n: int, k: int) -> str:
    """Runs of k of the n columns, each sorted."""
    runs = g.node("Reshape", y, np.array([0, n // k, k]))
    values, index = "sorted", "sorted_index"
    names = [runs, g.constant(np.array([k]))]
    g.nodes.append(onnx().helper.make_node("TopK", names, [values, index], values, largest=0))
    return g.node("Reshape", values, np.array([0, n]))


def of_values(g: Graph, z: str, n: int, loss: Any, form: TargetForm) -> None:
    """The output of a regressor: without a column if it is one, unless its targets had that."""
    y, kind = g.node("Exp", z) if isinstance(loss, Poisson) else z, g.float_type
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
        g.output(z, "output", g.float_type, n)
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
    dtype: DTypeLike | None = None,
    opset: int = OPSET,
) -> Any:
    """A network as an ONNX model.

    Its input is ``"X"``, of shape (n, n_features). A model in float32 has an input in float64 if
    the network begins with an `relume.nn.Standardize` of a feature whose mean is more than 100,000
    times its scale, such as seconds since 1970, whose digits float32 has not. Its outputs have the
    names that skl2onnx and, for the raw ones, most uses of ``torch.onnx.export`` give them.

    Parameters
    ----------
    net : Network
        Built.
    output : {"predict", "proba", "raw"}, default="predict"
        ``"predict"`` gives what `nn.Network.predict` returns: of a classifier ``"label"``, and
        beside it ``"probabilities"``; else ``"variable"``. ``"proba"`` gives the probabilities
        alone, ``"raw"`` what `nn.Network.forward` returns, ``"output"``.
    classes : array_like of shape (n_classes,) or None, default=None
        Labels instead of 0, 1, and so on: integers, which become int64; floats, bools, strings.
    scalers : iterable, default=()
        Fitted scalers of scikit-learn that the input goes through first: ``StandardScaler``,
        ``MinMaxScaler``, ``MaxAbsScaler``, ``RobustScaler``, ``Normalizer``.
    dtype : {"float32", "float64"} or None, default=None
        Precision of the model, its input and its outputs. None means the network's.
    opset : int, default=20
        The operator set, from 13 to the newest that the installed ``onnx`` knows. Older runtimes
        need an older one. Operators that it lacks, or that ONNX Runtime does not have in float64,
        are made of simpler ones.

    Returns
    -------
    onnx.ModelProto
        Checked by ``onnx.checker``.

    Raises
    ------
    ImportError
        If the package ``onnx`` is missing.
    RuntimeError
        If the network is not built.
    TypeError, ValueError
        If an argument is invalid, or a parameter is not finite in `dtype`.

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
    g = Graph(dtype_of(net, dtype), opset_of(opset))
    n_features = net._built().plan.n_in
    add_network(g, "X", net, output, classes, scalers)
    return _whole(g, n_features)


def dtype_of(net: Network, dtype: Any) -> np.dtype[Any]:
    """The precision of a model."""
    if dtype is None:
        return net.dtype
    return np.dtype(validation.choice(np.dtype(dtype).name, "dtype", ("float32", "float64")))


def opset_of(opset: Any) -> int:
    """A number of an operator set that there is."""
    newest = onnx().defs.onnx_opset_version()
    opset = validation.integer(opset, "opset", OLDEST_OPSET)
    if opset > newest:
        raise ValueError(
            f"opset must be {OLDEST_OPSET} to {newest}, the newest of the installed onnx, "
            f"got {opset}"
        )
    return opset


def add_network(
    g: Graph, x: str, net: Network, output: str, classes: Any, scalers: Iterable[Any] = ()
) -> None:
    """Add all that a model does with its input x."""
    state, n_features = net.state_dict(), net._built().plan.n_in
    for scaler in scalers:
        x = scaled(g, x, scaler, n_features)
    for op in ops_of(net.layers):
        prefix = f"{op.name}."
        own = {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
        x = op.layer.to_onnx(g, x, op, own)
    finished(g, x, net, output, classes)


def _whole(g, n_features):
    """The model of a graph, checked."""
    helper = onnx().helper
    X = helper.make_tensor_value_info("X", g.input_type, ["n", n_features])
    graph = helper.make_graph(g.nodes, "relume", [X], g.outputs, g.constants)
    operators = [helper.make_opsetid("", g.opset)]
    model = helper.make_model(
        graph, opset_imports=operators,
        ir_version=helper.find_min_ir_version_for(operators),
        producer_name="relume", producer_version=relume.__version__,
    )  # fmt: skip
    onnx().checker.check_model(model, full_check=True)
    return model


def from_estimator(
    estimator: Any,
    *,
    output: Literal["predict", "proba", "raw"] = "predict",
    dtype: DTypeLike | None = None,
    opset: int = OPSET,
) -> Any:
    """A fitted multilayer perceptron, or a pipeline that ends in one, as an ONNX model.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor or Pipeline
        Of scikit-learn or relume, fitted. The steps before the perceptron must be scalers that
        `model_of` takes, or ``"passthrough"``.
    output : {"predict", "proba", "raw"}, default="predict"
        As `model_of` says; the labels are the estimator's ``classes_``.
    dtype : {"float32", "float64"} or None, default=None
        Precision of the model, its input and its outputs. None means that of the fit.
    opset : int, default=20
        The operator set, as of `model_of`.

    Returns
    -------
    onnx.ModelProto
        As `model_of` returns it.

    Raises
    ------
    ImportError
        If the package ``onnx`` is missing.
    TypeError, ValueError
        If an argument is invalid.

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
    net, classes = network_of(mlp)
    return model_of(net, output=output, classes=classes, scalers=scalers, dtype=dtype, opset=opset)


def network_of(mlp: Any) -> tuple[Network, Any]:
    """The network of an estimator, with a loss that says what its outputs are; and its labels."""
    net = from_sklearn(mlp)
    net.loss = loss_of(LOSSES[mlp.out_activation_])  # it may be one written in Python
    multilabel = isinstance(net.loss, BinaryCrossEntropy) and net.n_outputs > 1
    return net, None if multilabel else getattr(mlp, "classes_", None)
