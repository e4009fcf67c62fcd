"""Estimators that skl2onnx converts, beside what they predict."""

import subprocess
import sys

import numpy as np
import pytest

import relume.onnx
from tests.support.scikit_learn import NOT_CONVERGED

pytest.importorskip("onnx", reason="the package onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
estimators = pytest.importorskip("relume.sklearn", reason="scikit-learn is not installed")

pytestmark = NOT_CONVERGED
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5))
THREE = np.arange(60) % 3
SMALL = {"hidden_layer_sizes": (6,), "max_iter": 3, "random_state": 0, "activation": "mish"}


@pytest.fixture(autouse=True, scope="module")
def registered():
    relume.onnx.register_skl2onnx()
    relume.onnx.register_skl2onnx()  # a second time changes nothing


def run(model, X):
    session = runtime.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": X}), strict=True))


def piped(mlp):
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    columns = ColumnTransformer([
        ("scaled", StandardScaler(), [0, 1, 2]), ("ranged", MinMaxScaler(), [3, 4]),
    ])  # fmt: skip
    return make_pipeline(columns, mlp)


LABELS = {
    "three": THREE, "two": THREE > 1, "one": THREE * 0 + 4, "negative": THREE - 5,
    "names": np.array(["a", "bc", "d"])[THREE],
    "objects": np.array(["a", "bc"], object)[THREE % 2],
    "uint8": THREE.astype("uint8"), "floats": THREE.astype(float),
    "labels": (X[:, :3] > 0).astype(int), "two labels": (X[:, :2] > 0).astype(int),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_classifier(y, dtype):
    data = X.astype(dtype)
    model = piped(estimators.MLPClassifier(**SMALL)).fit(data, y)
    converted = skl2onnx.to_onnx(model, data[:1], options={"zipmap": False})
    outputs = run(converted, data)
    assert outputs["label"].tolist() == model.predict(data).tolist()
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    p = outputs["probabilities"]
    np.testing.assert_allclose(p, model.predict_proba(data), tolerance, tolerance)
    assert p.dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["squared_error", "poisson", "huber"])
@pytest.mark.parametrize("n", [1, 2])
def test_regressor(n, loss, dtype):
    data, y = X.astype(dtype), np.abs(X[:, :n])
    model = piped(estimators.MLPRegressor(loss, **SMALL)).fit(data, y[:, 0] if n == 1 else y)
    found = run(skl2onnx.to_onnx(model, data[:1]), data)["variable"]
    assert (found.shape, found.dtype) == ((60, n), dtype)
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(found, model.predict(data).reshape(60, n), tolerance, tolerance)


@pytest.mark.parametrize("opset", [13, 15, 18, 20, 22])
def test_operator_sets(opset):
    mlp = estimators.MLPClassifier(normalization="layer", residual=True, **SMALL).fit(X, THREE)
    options = {"zipmap": False}
    converted = skl2onnx.to_onnx(mlp, X[:1], target_opset=opset, options=options)
    p = run(converted, X)["probabilities"]
    np.testing.assert_allclose(p, mlp.predict_proba(X), rtol=1e-12, atol=1e-12)


def test_a_dict_for_each_row():
    """skl2onnx's default form of probabilities."""
    mlp = estimators.MLPClassifier(**SMALL).fit(X, LABELS["names"])
    rows = run(skl2onnx.to_onnx(mlp, X[:1].astype("float32")), X.astype("float32"))
    first = rows["output_probability"][0]
    assert list(first) == ["a", "bc", "d"]
    np.testing.assert_allclose(list(first.values()), mlp.predict_proba(X[:1])[0], rtol=1e-4)


def test_two_estimators_in_one_model():
    """Names of nodes and constants must not meet."""
    from sklearn.ensemble import VotingClassifier

    both = VotingClassifier(
        [(f"of {n}", estimators.MLPClassifier((n,), max_iter=2, random_state=n)) for n in (3, 4)],
        voting="soft",
        flatten_transform=False,
    ).fit(X, THREE)
    converted = skl2onnx.to_onnx(both, X[:1], options={"zipmap": False})
    p = run(converted, X)["probabilities"]
    np.testing.assert_allclose(p, both.predict_proba(X), rtol=1e-6)


def test_nothing_is_registered_unasked():
    code = (
        "import sys, relume, relume.onnx, relume.sklearn; assert 'skl2onnx' not in sys.modules\n"
        "sys.modules['skl2onnx'] = None; relume.onnx.register_skl2onnx()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "ImportError: register_skl2onnx needs the package `skl2onnx`" in result.stderr
