"""Exported models in ONNX Runtime beside the networks they come from."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import relume
from relume import nn
from relume.nn.layers.parametric import ELEMENTWISE
from relume.onnx import from_estimator, model_of
from relume.onnx.operators import OPERATORS

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
pytest.importorskip("onnx.reference", reason="the package onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

RNG = np.random.default_rng(0)
X = (3 * RNG.normal(size=(50, 6))).astype("float32")


def run(model, X):
    """The outputs by name, of X in the dtype of the model's input."""
    session = runtime.InferenceSession(model.SerializeToString())
    if session.get_inputs()[0].type == "tensor(double)":
        X = X.astype(np.float64)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": X}), strict=True))


def assert_close(found, expected, what=""):
    """Within 1e-5 of the largest: a runtime sums in another order."""
    assert found.shape == expected.shape, what
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * scale, err_msg=what)


def trained(layers, loss="mse", y=None, dtype="float32", X=X):
    """A network after two epochs, so that statistics and slopes are not their initial values."""
    net = nn.Network(layers, loss=loss, optimizer=nn.SGD(1e-3), seed=0, dtype=dtype)
    y = RNG.normal(size=(len(X), net.n_outputs)) if y is None else y
    net.fit(X, y, epochs=2, batch_size=10)
    return net


def assert_raw(net, X=X):
    assert_close(run(model_of(net, output="raw"), X)["output"], net.forward(X), repr(net))


# -- activations and layers -----------------------------------------------------------------------

PARAMETERS = {
    "leaky_relu": [(0.01,), (-0.5,), (1.5,)],
    "threshold": [(0.5, -0.25), (-1.0, 2.0)],
    "hardtanh": [(-1.0, 1.0), (-0.5, 2.0), (1.0, 1.0)],
    "hardshrink": [(0.5,), (0.0,), (-1.0,)],
    "softshrink": [(0.5,), (0.0,), (2.0,)],
    "elu": [(1.0,), (0.3,), (-0.5,)],
    "celu": [(1.0,), (0.3,), (-0.5,)],
    "softplus": [(1.0,), (3.0,), (0.2,)],
    "squareplus": [(4.0,), (0.0,), (0.1,)],
}


def test_every_activation_has_its_operators():
    """A new block in src/relume/kernels/activations needs a row in onnx/operators.py."""
    assert set(OPERATORS) == set(nn.ACTIVATIONS)
    with_parameters = {
        name for name, cls in nn.ACTIVATIONS.items() if cls.__signature__.parameters
    }
    assert set(PARAMETERS) == with_parameters


def activations():
    for name, cls in nn.ACTIVATIONS.items():
        for values in PARAMETERS.get(name, [()]):
            yield cls(*values)
    yield from (cls() for cls in ELEMENTWISE.values())
    yield from (nn.PReLU(0.3, per_unit=True), nn.RReLU(-0.5, 0.25), nn.Sine(2.0))


@pytest.mark.parametrize("activation", list(activations()), ids=repr)
def test_activation(activation):
    """Between layers, and of inputs that are large, small, 0 and at kinks."""
    net = nn.Network([nn.Dense(7, activation=activation), nn.Dense(2)], loss="mse", seed=0)
    assert_raw(net.build(X.shape[1]))
    extremes = np.array([0, 1, -1, 3, -3, 6, 0.5, 1e-30, -1e-4, 90, -90, 1e4, -1e4], "float32")
    x = np.repeat(extremes[:, None], 2, axis=1)
    net = nn.Network([nn.Dense(2, use_bias=False, activation=activation)], loss="mse").build(2)
    state = {key: value for key, value in net.state_dict().items() if key != "0.weight"}
    net.load_state_dict({"0.weight": np.eye(2), **state})
    found = run(model_of(net, output="raw"), x)["output"]
    np.testing.assert_allclose(found, net.forward(x), rtol=2e-5, atol=1e-6, err_msg=repr(net))


LAYERS = {
    "no bias": [nn.Dense(5, use_bias=False, activation="relu"), nn.Dense(1, use_bias=False)],
    "dropout": [nn.Dense(5, activation="relu"), nn.Dropout(0.5), nn.Dense(2)],
    "activity_l1": [nn.Dense(5, activation="relu"), nn.ActivityL1(0.1), nn.Dense(2)],
    "alpha_dropout": [nn.Dense(5, activation="selu"), nn.AlphaDropout(0.3), nn.Dense(2)],
    "batch_norm": [nn.BatchNorm(), nn.Dense(5), nn.BatchNorm(eps=0.1), nn.ReLU(), nn.Dense(2)],
    "layer_norm": [nn.LayerNorm(), nn.Dense(5, activation="tanh"), nn.LayerNorm(0.1), nn.Dense(2)],
    "group_norm": [
        nn.GroupNorm(3),
        nn.Dense(8, activation="tanh"),
        nn.GroupNorm(2, 0.1),
        nn.Dense(2),
    ],
    "scale": [nn.Scale(), nn.Dense(5, activation="relu"), nn.Scale(), nn.Dense(2)],
    "standardize": [nn.Standardize(), nn.Dense(2)],
    "standardize without mean": [nn.Standardize(with_mean=False), nn.Dense(2)],
    "alone": [nn.Dense(5), nn.PReLU(per_unit=True), nn.Dense(4), nn.Sine(), nn.Dense(2)],
    "residual": [nn.Residual([nn.Dense(6, activation="relu"), nn.Dense(6)]), nn.Dense(2)],
    "projection": [nn.Residual([nn.Dense(4, activation="relu"), nn.Dense(3)]), nn.Dense(2)],
    "nested": [
        nn.Residual([nn.Dense(4), nn.Residual([nn.BatchNorm(), nn.Dense(5)]), nn.PReLU()]),
        nn.Dense(2),
    ],
    "last": [nn.Dense(5, activation="relu"), nn.Residual([nn.LayerNorm(), nn.Dense(3)])],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_layers(layers, dtype):
    assert_raw(trained(layers, dtype=dtype))


def test_standardize_of_large_means():
    """The mean is subtracted before anything is multiplied."""
    far = (1e5 + X).astype("float32")
    assert_raw(
        trained([nn.Standardize(), nn.Dense(8, activation="relu"), nn.Dense(2)], X=far), far
    )


@pytest.mark.parametrize("seed", range(20))
def test_random_networks(seed):
    """Layers in an order nobody thought of."""
    rng = np.random.default_rng(seed)
    pool = list(activations())

    def draw(depth):
        kinds = [
            lambda: nn.Dense(int(rng.integers(1, 9)), activation=pool[rng.integers(len(pool))]),
            nn.BatchNorm,
            nn.LayerNorm,
            nn.Scale,
            lambda: nn.GroupNorm(1),
            nn.Dropout,
            nn.PReLU,
        ]
        if depth < 2:
            kinds.append(lambda: nn.Residual([*draw(depth + 1), nn.Dense(4)]))
        return [kinds[k]() for k in rng.integers(len(kinds), size=rng.integers(1, 5))]

    net = nn.Network([nn.Standardize(), *draw(0), nn.Dense(3)], loss="mse", seed=seed).build(6)
    state = net.state_dict()
    for key, value in state.items():
        if not key.endswith("num_batches_tracked"):
            state[key] = np.abs(value + rng.normal(0, 0.1, value.shape)) + 0.01
    net.load_state_dict(state)
    assert_raw(net)


# -- operator sets and float64 --------------------------------------------------------------------

OPSETS = [13, 17, onnx.defs.onnx_opset_version()]
WIDE = 100 * np.vstack([X[:, :2], [[0, 1e-9], [-1e-9, 1], [-1, 3], [-3, 5], [0.3, -0.3]]])


def reference(model, X):
    """The outputs by name, by onnx's own slow evaluation in NumPy."""
    names = [output.name for output in model.graph.output]
    values = onnx.reference.ReferenceEvaluator(model).run(None, {"X": X})
    return dict(zip(names, values, strict=True))


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("activation", list(activations()), ids=repr)
def test_activation_in_double(activation, opset):
    """ONNX Runtime has many operators in float32 alone; attributes are in float32 always."""
    net = nn.Network(
        [nn.Dense(2, use_bias=False, activation=activation)], loss="mse", dtype="float64"
    ).build(2)
    state = {key: value for key, value in net.state_dict().items() if key != "0.weight"}
    net.load_state_dict({"0.weight": np.eye(2), **state})
    model = model_of(net, output="raw", opset=opset)
    assert model.opset_import[0].version == opset
    found = run(model, WIDE / 20)["output"]
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, net.forward(WIDE / 20), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("activation", list(activations()), ids=repr)
def test_activation_of_each_operator_set(activation, opset):
    net = nn.Network([nn.Dense(5, activation=activation), nn.Dense(2)], loss="mse", seed=0)
    model = model_of(net.build(X.shape[1]), output="raw", opset=opset)
    assert_close(run(model, X)["output"], net.forward(X), repr(net))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_layers_of_each_operator_set(layers, opset, dtype):
    net = trained(layers, dtype=dtype)
    model = model_of(net, output="raw", opset=opset)
    expected = net.forward(X.astype(dtype))
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    for found in (run(model, X), reference(model, X.astype(dtype))):
        np.testing.assert_allclose(
            found["output"], expected, rtol=tolerance, atol=tolerance * np.abs(expected).max()
        )


def test_precision_that_is_asked_for():
    """The network's own unless another is asked for."""
    for own in ("float32", "float64"):
        net = trained([nn.Dense(4, activation="gelu"), nn.Dense(2)], dtype=own)
        for asked in (None, "float32", np.float64):
            model = model_of(net, dtype=asked)
            kind = {"float32": 1, "float64": 11}[np.dtype(asked or own).name]
            assert model.graph.input[0].type.tensor_type.elem_type == kind
            assert model.graph.output[0].type.tensor_type.elem_type == kind
            assert_close(run(model, X)["variable"], net.predict(X.astype(own)).astype(
                np.dtype(asked or own)
            ))  # fmt: skip


def test_precision_and_operator_set_of_a_file(tmp_path):
    net = trained([nn.Dense(4, activation="gelu"), nn.Dense(2)])
    net.to_onnx(tmp_path / "m.onnx", dtype="float64", opset=15)
    model = onnx.load(tmp_path / "m.onnx")
    assert (model.opset_import[0].version, model.ir_version) == (15, 8)
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.DOUBLE


@pytest.mark.parametrize(("options", "error", "text"), [
    ({"opset": 12}, ValueError, "opset must be at least 13, got 12"),
    ({"opset": 999}, ValueError, "opset must be 13 to .*, the newest of the installed onnx"),
    ({"opset": "20"}, TypeError, "opset must be an integer"),
    ({"dtype": "float16"}, ValueError, "dtype must be one of .*; got 'float16'"),
], ids=str)  # fmt: skip
def test_bad_precision_or_operator_set(options, error, text):
    with pytest.raises(error, match=text):
        model_of(nn.Network([nn.Dense(3)]).build(2), **options)


# -- labels ---------------------------------------------------------------------------------------

LABELS = {
    **{f"{kind}{bits}": np.array([1, 4, 100], f"{kind}{bits}")
       for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
    "negative": np.array([-9, -1, 4]),
    "float16": np.array([0.5, 1.5, 2.5], "float16"),
    "float32": np.array([0.5, 1.5, 2.5], "float32"),
    "float64": np.array([0.1, 0.2, 0.3]),
    "longdouble": np.array([0.1, 0.2, 0.3], "longdouble"),
    "strings": np.array(["a", "bcd", "ä"]),
    "string objects": np.array(["a", "bcd", "e"], object),
    "integer objects": np.array([3, -4, 2**40], object),
    "float objects": np.array([3.0, 0.5, 2.0], object),
}  # fmt: skip


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_of_every_dtype(labels):
    net = trained([nn.Dense(3)], "cross_entropy", RNG.integers(3, size=len(X)))
    found = run(model_of(net, classes=labels), X)["label"]
    assert found.tolist() == labels[net.predict(X)].tolist()


@pytest.mark.parametrize("labels", [
    np.array([False, True]), np.array([False, True], object), [True, False],
], ids=str)  # fmt: skip
def test_labels_that_are_bools(labels):
    net = trained([nn.Dense(1)], "binary_cross_entropy", X[:, 0] > 0)
    found = run(model_of(net, classes=labels), X)["label"]
    assert found.dtype == bool
    assert found.tolist() == np.asarray(labels)[net.predict(X)].tolist()


@pytest.mark.parametrize(("labels", "text"), [
    (np.array([1, 2, 2**63], "uint64"), "classes must be integers that int64 holds, got 92233"),
    (np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[D]"), "classes must be int"),
    (np.array([1, "a", 2.0], object), "classes must be integers, floats, bools or strings, all"),
    (np.array([1j, 2, 3]), "classes must be integers, floats, bools or strings"),
], ids=["uint64", "dates", "mixed", "complex"])  # fmt: skip
def test_labels_that_onnx_cannot_hold(labels, text):
    net = nn.Network([nn.Dense(3)]).build(2)
    with pytest.raises((TypeError, ValueError), match=text):
        model_of(net, classes=labels)


# -- outputs --------------------------------------------------------------------------------------


def heads():
    labels = RNG.integers(3, size=len(X))
    yield [nn.Dense(3)], "cross_entropy", labels
    yield [nn.Dense(3)], nn.CrossEntropy(0.1), labels
    yield [nn.Dense(1)], "binary_cross_entropy", labels > 0
    yield [nn.Dense(3)], "binary_cross_entropy", np.eye(3)[labels]


@pytest.mark.parametrize(("layers", "loss", "y"), list(heads()))
def test_classifier(layers, loss, y):
    net = trained([nn.Dense(8, activation="relu"), *layers], loss, y)
    outputs = run(model_of(net), X)
    assert list(outputs) == ["label", "probabilities"]
    np.testing.assert_array_equal(outputs["label"], net.predict(X))
    assert outputs["label"].dtype == np.int64
    assert_close(outputs["probabilities"], net.predict_proba(X))
    proba = run(model_of(net, output="proba"), X)
    assert list(proba) == ["probabilities"]
    assert_close(proba["probabilities"], net.predict_proba(X))
    assert_raw(net)


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("loss", ["mse", "huber", "poisson"])
def test_values(loss, n):
    net = trained([nn.Dense(8, activation="relu"), nn.Dense(n)], loss, RNG.random((len(X), n)))
    outputs = run(model_of(net), X)
    assert list(outputs) == ["variable"]
    assert_close(outputs["variable"], net.predict(X))


CLASSES = [
    ["cat", "dog", "eel"], [7, 3, 5], np.array([1, 2, 4], "uint8"), [0.5, 1.5, 2.5],
    [b"a", b"b", b"c"],
]  # fmt: skip


@pytest.mark.parametrize("classes", CLASSES, ids=str)
def test_classes(classes):
    net = trained([nn.Dense(3)], "cross_entropy", RNG.integers(3, size=len(X)))
    found = run(model_of(net, classes=classes), X)["label"]
    expected = np.asarray(classes)[net.predict(X)]
    assert [str(each) for each in found] == [
        each.decode() if isinstance(each, bytes) else str(each) for each in expected
    ]


def test_any_number_of_rows():
    net = trained([nn.Dense(3)], "cross_entropy", RNG.integers(3, size=len(X)))
    session = runtime.InferenceSession(model_of(net).SerializeToString())
    for n in (0, 1, 2, 50):
        label, p = session.run(None, {"X": X[:n]})
        assert (label.shape, p.shape) == ((n,), (n, 3))


def test_to_onnx_writes_a_file(tmp_path):
    net = trained([nn.Dense(8, activation="gelu"), nn.Dense(2)])
    net.to_onnx(tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    assert (model.opset_import[0].version, model.ir_version) == (20, 9)
    assert (model.producer_name, model.producer_version) == ("relume", relume.__version__)
    assert {each.name for each in model.graph.initializer} >= {"0.weight", "0.bias", "2.weight"}
    assert_close(run(model, X)["variable"], net.predict(X))
    net.to_onnx(str(tmp_path / "raw.onnx"), output="raw")
    assert list(run(onnx.load(tmp_path / "raw.onnx"), X)) == ["output"]


# -- estimators and pipelines ---------------------------------------------------------------------


@pytest.fixture
def sklearn():
    reason = "scikit-learn is not installed"
    for module in ("neural_network", "pipeline", "preprocessing"):
        pytest.importorskip(f"sklearn.{module}", reason=reason)
    return sys.modules["sklearn"]


SCALERS = {
    "StandardScaler": [{}, {"with_mean": False}, {"with_std": False}],
    "MinMaxScaler": [{}, {"feature_range": (-1, 2)}, {"clip": True}],
    "MaxAbsScaler": [{}],
    "RobustScaler": [{}, {"with_centering": False}, {"with_scaling": False}],
    "Normalizer": [{}, {"norm": "l1"}, {"norm": "max"}],
}


@pytest.mark.parametrize(
    ("name", "options"), [(name, each) for name in SCALERS for each in SCALERS[name]]
)
def test_pipeline(sklearn, name, options):
    data = X.copy()
    data[3] = 0
    data[:, 2] = 5
    y = np.array(["no", "yes", "perhaps"])[RNG.integers(3, size=len(X))]
    pipeline = sklearn.pipeline.make_pipeline(
        getattr(sklearn.preprocessing, name)(**options),
        "passthrough",
        sklearn.neural_network.MLPClassifier([8], solver="lbfgs", max_iter=20, random_state=0),
    )
    with pytest.warns(sklearn.exceptions.ConvergenceWarning):
        pipeline.fit(data[:40], y[:40])
    outputs = run(from_estimator(pipeline), data)
    assert outputs["label"].tolist() == pipeline.predict(data).tolist()
    assert_close(outputs["probabilities"], pipeline.predict_proba(data))


@pytest.mark.parametrize("labels", [2, 3, "many"])
def test_classifier_of_sklearn(sklearn, labels):
    y = RNG.integers(2, size=(len(X), 3)) if labels == "many" else 10 + np.arange(len(X)) % labels
    mlp = sklearn.neural_network.MLPClassifier([8], max_iter=300, tol=1, activation="logistic")
    mlp.fit(X, y)
    outputs = run(from_estimator(mlp), X)
    np.testing.assert_array_equal(outputs["label"], mlp.predict(X))
    assert_close(outputs["probabilities"], mlp.predict_proba(X))


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_regressor_of_sklearn(sklearn, loss):
    mlp = sklearn.neural_network.MLPRegressor(
        hidden_layer_sizes=[8, 4], loss=loss, activation="tanh", tol=1
    )
    mlp.fit(X, np.abs(X[:, 0]))
    assert_close(run(from_estimator(mlp), X)["variable"], mlp.predict(X))


def test_estimators_of_relume(sklearn):
    """They bring a network of their own, with what scikit-learn's have not."""
    estimators = pytest.importorskip("relume.sklearn", reason="relume.sklearn is not there")
    y = np.array(["no", "yes", "perhaps"])[RNG.integers(3, size=len(X))]
    pipeline = sklearn.pipeline.make_pipeline(
        sklearn.preprocessing.StandardScaler(),
        estimators.MLPClassifier((8, 4), activation="mish", dropout=0.2, tol=1, random_state=0),
    ).fit(X, y)
    outputs = run(from_estimator(pipeline), X)
    assert outputs["label"].tolist() == pipeline.predict(X).tolist()
    assert_close(outputs["probabilities"], pipeline.predict_proba(X))
    mlp = estimators.MLPRegressor(hidden_layer_sizes=(8,), loss="huber", tol=1, random_state=0)
    mlp.fit(X, X[:, 0])
    assert_close(run(from_estimator(mlp), X)["variable"], mlp.predict(X))


@pytest.mark.parametrize("loss", ["log_loss", "cross_entropy"])
@pytest.mark.parametrize("label", [7, "only"])
def test_one_class(sklearn, loss, label):
    """A network of one output was taken for one of two classes."""
    estimators = pytest.importorskip("relume.sklearn", reason="relume.sklearn is not there")
    mlp = estimators.MLPClassifier((4,), loss=loss, tol=1, random_state=0)
    mlp.fit(X, np.full(len(X), label))
    outputs = run(from_estimator(mlp), X)
    assert outputs["label"].tolist() == [label] * len(X)
    np.testing.assert_array_equal(outputs["probabilities"], np.ones((len(X), 1)))


def test_float64_estimator(sklearn):
    """It is exported in the precision of its fit."""
    estimators = pytest.importorskip("relume.sklearn", reason="relume.sklearn is not there")
    pipeline = sklearn.pipeline.make_pipeline(
        sklearn.preprocessing.StandardScaler(),
        estimators.MLPRegressor(hidden_layer_sizes=(8,), activation="gelu", tol=1),
    ).fit(X.astype("float64"), X[:, 0])
    found = run(from_estimator(pipeline, opset=15), X)["variable"]
    np.testing.assert_allclose(found, pipeline.predict(X.astype("float64")), rtol=1e-12)
    assert run(from_estimator(pipeline, dtype="float32"), X)["variable"].dtype == np.float32


# -- errors ---------------------------------------------------------------------------------------


def test_bad_arguments(sklearn):
    net = nn.Network([nn.Dense(3)]).build(2)
    with pytest.raises(TypeError, match=r"net must be an nn.Network, got 3"):
        model_of(3)
    with pytest.raises(RuntimeError, match="not built"):
        model_of(nn.Network([nn.Dense(3)]))
    with pytest.raises(ValueError, match=r"output must be one of .*; got 'logits'"):
        model_of(net, output="logits")
    with pytest.raises(ValueError, match=r"classes must hold 3 labels, got \['a'\]"):
        model_of(net, classes=["a"])
    values = nn.Network([nn.Dense(3)], loss="mse").build(2)
    with pytest.raises(ValueError, match="output='proba' needs a classifier, got loss='mse'"):
        model_of(values, output="proba")
    with pytest.raises(ValueError, match="classes must be None"):
        model_of(values, classes=[1, 2, 3])
    many = nn.Network([nn.Dense(3)], loss="binary_cross_entropy").build(2)
    with pytest.raises(ValueError, match="classes must be None for a network of 3 labels"):
        model_of(many, classes=[1, 2, 3])
    polynomial = sklearn.preprocessing.PolynomialFeatures()
    with pytest.raises(TypeError, match=re.escape("got PolynomialFeatures()")):
        model_of(net, scalers=[polynomial])


def test_what_float32_cannot_hold():
    net = nn.Network([nn.Dense(1, bias_init=1e300)], loss="mse", dtype="float64").build(2)
    with pytest.raises(ValueError, match=r"0.bias must be finite in float32"):
        model_of(net, dtype="float32")
    assert run(model_of(net), X[:, :2])["variable"][0] == pytest.approx(1e300)


def test_scaler_of_another_width(sklearn):
    scaler = sklearn.preprocessing.StandardScaler().fit(X)
    with pytest.raises(ValueError, match="must have 2 features, as the network, got 6"):
        model_of(nn.Network([nn.Dense(3)]).build(2), scalers=[scaler])


def test_import_error_names_the_extra(tmp_path):
    """In a fresh interpreter whose `onnx` is missing; relume.onnx itself can be imported."""
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "from relume import nn, onnx\n"
        "nn.Network([nn.Dense(1)]).build(2).to_onnx('m.onnx')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(relume.__file__).parent.parent)},
    )  # fmt: skip
    assert "pip install 'relume[onnx]'" in result.stderr
    assert not list(tmp_path.iterdir())


# -- Standardize of features whose digits float32 has not -----------------------------------------

SECONDS = 1.7e9 + RNG.permutation(80).astype(float)


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (SECONDS[:, None], "float64"),
        (np.column_stack([SECONDS, RNG.normal(size=80)]), "float64"),
        (1e6 + RNG.uniform(-0.5, 0.5, size=(80, 2)), "float64"),
        (100 + RNG.normal(size=(80, 3)), "float32"),
        (RNG.normal(size=(80, 3)), "float32"),
    ],
    ids=["seconds", "seconds and others", "near 1e6", "near 100", "normal"],
)
def test_standardize_of_wide_data(data, dtype):
    """The input is double where float32 has not the digits; predictions are the network's."""
    y = (data[:, 0] - data[:, 0].mean()) / data[:, 0].std()
    net = nn.Network([nn.Standardize(), nn.Dense(1)], loss="mse", optimizer=nn.SGD(0.1), seed=0)
    net.fit(data, y, epochs=50)
    assert net.evaluate(data, y)["loss"] < 0.01
    model = model_of(net)
    types = {"float32": onnx.TensorProto.FLOAT, "float64": onnx.TensorProto.DOUBLE}
    assert model.graph.input[0].type.tensor_type.elem_type == types[dtype]
    rounded = data.astype(dtype)
    found = run(model, rounded)["variable"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, net.predict(rounded), rtol=1e-5, atol=1e-5)
