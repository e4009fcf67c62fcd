"""Losses written in Python: their gradient checked, and outputs that are of classes."""

import copy

import numpy as np
import pytest

from relume import nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype("float32")
LABELS = RNG.integers(3, size=60)
PAIR = (X[:, 0] > 0).astype(int)


def focal(y, z):
    """Cross entropy, written with NumPy."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    rows = np.arange(len(y))
    grad = p.copy()
    grad[rows, y] -= 1
    return -np.log(p[rows, y]).mean(), grad / len(y)


def logistic(y, z):
    y = np.reshape(y, z.shape)
    return (np.logaddexp(0, z) - y * z).mean(), (1 / (1 + np.exp(-z)) - y) / z.size


def squared(y, z):
    d = z - np.reshape(y, z.shape)
    return (d**2).mean(), 2 * d / d.size


# -- check_loss -----------------------------------------------------------------------------------


def drawn(name, n=5):
    y = {"cross_entropy": LABELS, "binary_cross_entropy": PAIR, "poisson": LABELS}.get(
        name, X[:, 0]
    )
    return y[:n], RNG.normal(size=(n, 3 if name == "cross_entropy" else 1))


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "mse", "mae", "huber",
                                  "quantile", "poisson"])  # fmt: skip
def test_losses_of_relume_are_right(loss):
    assert nn.check_loss(loss, *drawn(loss)) < 1e-8


@pytest.mark.parametrize(
    ("loss", "y", "outputs"),
    [(focal, LABELS, 3), (logistic, PAIR, 1), (squared, X[:, 0], 1), (squared, X[:, :2], 2),
     (nn.Quantile([0.1, 0.9]), X[:, 0], 2), (nn.BinaryCrossEntropy(3.0, 0.2), X[:, :2] > 0, 2)],
    ids=["focal", "logistic", "squared", "two outputs", "quantiles", "smoothed"],
)  # fmt: skip
def test_right_gradients(loss, y, outputs):
    assert nn.check_loss(loss, y[:6], RNG.normal(size=(6, outputs))) < 1e-8


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_the_size_of_the_loss_does_not_matter(scale):
    def scaled(y, z):
        return tuple(scale * each for each in squared(y, z))

    def wrong(y, z):
        loss, grad = scaled(y, z)
        grad[2, 0] *= 1.001
        return loss, grad

    z = RNG.normal(size=(4, 1))
    nn.check_loss(scaled, X[:4, 0], z)
    with pytest.raises(ValueError, match=r"the gradient of .*wrong differs .* index \(2, 0\): it"):
        nn.check_loss(wrong, X[:4, 0], z)


def test_the_mean_is_not_the_sum():
    with pytest.raises(ValueError, match=r"index \(0, 0\): it is .*, but differences"):
        nn.check_loss(
            lambda y, z: (squared(y, z)[0], 2 * (z - y)), X[:4, :2], RNG.normal(size=(4, 2))
        )


@pytest.mark.parametrize("at_kink", [-1.0, -0.3, 0.0, 1.0])
def test_every_subgradient_is_allowed_at_a_kink(at_kink):
    def absolute(y, z):
        d = z - y
        return np.abs(d).sum(), np.where(d == 0, at_kink, np.sign(d))

    y = np.array([[1.0], [2.0]])
    assert nn.check_loss(absolute, y, y) < 1e-8
    assert nn.check_loss(absolute, y, y + np.array([[0.0], [0.5]])) < 1e-8


@pytest.mark.parametrize("at_kink", [-1.01, 1.5])
def test_no_other_number_is_allowed_at_a_kink(at_kink):
    def absolute(y, z):
        d = z - y
        return np.abs(d).sum(), np.where(d == 0, at_kink, np.sign(d))

    with pytest.raises(ValueError, match=r"index \(0, 0\)"):
        nn.check_loss(absolute, [[1.0]], [[1.0]])


def test_a_loss_that_computes_in_float32_is_told_so():
    """Its rounding is larger than the differences."""

    def coarse(y, z):
        loss, grad = squared(y.astype("float32"), z.astype("float32"))
        return loss, grad.astype("float32")

    y, z = X[:8, :1].astype(float), RNG.normal(size=(8, 1))
    with pytest.raises(ValueError, match=r"gradient is of float32, .* compute in y_pred's dtype"):
        nn.check_loss(coarse, y, z)


def test_arrays_that_a_loss_changes_are_copies():
    def changes(y, z):
        result = squared(y, z)
        y += 1
        z *= 0
        return result

    y, z = X[:3, :1].astype(float), RNG.normal(size=(3, 1))
    before = y.copy(), z.copy()
    assert nn.check_loss(changes, y, z) < 1e-8
    np.testing.assert_array_equal(y, before[0])
    np.testing.assert_array_equal(z, before[1])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("mse", [1.0], [1.0]), ValueError, r"z must have shape \(n, n_outputs\)"),
        (("mse", [1.0], [[1.0], [2.0]]), ValueError, "z and y must have the same length"),
        (("mse", [np.nan], [[1.0]]), ValueError, "y must be finite"),
        (("mse", [1.0], [[np.inf]]), ValueError, "z must be finite"),
        ((3, [1.0], [[1.0]]), TypeError, "loss must be one of"),
        ((lambda y, z: 1.0, [1.0], [[1.0]]), TypeError, r"must return \(loss, grad\)"),
        ((lambda y, z: (np.nan, z), [1.0], [[1.0]]), ValueError, "must be finite at z"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        nn.check_loss(*arguments)


# -- outputs of classes ---------------------------------------------------------------------------

CLASSES = {
    "logits": (focal, "logits", "cross_entropy", LABELS, 3),
    "one log odds": (logistic, "log_odds", "binary_cross_entropy", PAIR, 1),
    "several log odds": (logistic, "log_odds", "binary_cross_entropy",
                         (X[:, :2] > 0).astype(int), 2),
}  # fmt: skip
by_classes = pytest.mark.parametrize(
    ("function", "outputs", "own", "y", "n_out"), CLASSES.values(), ids=CLASSES
)


def network(loss, n_out, **options):
    layers = [nn.Dense(8, "tanh"), nn.Dense(n_out)]
    return nn.Network(layers, loss=loss, **{"seed": 0, "dtype": "float64"} | options)


@by_classes
def test_outputs_mean_what_those_of_the_own_loss_mean(function, outputs, own, y, n_out, tmp_path):
    net = network(nn.PythonLoss(function, outputs=outputs), n_out)
    same = network(own, n_out)
    history = net.fit(X, y, epochs=3, validation_data=(X, y))
    expected = same.fit(X, y, epochs=3, validation_data=(X, y))
    assert history["val_accuracy"] == expected["val_accuracy"]
    np.testing.assert_array_equal(net.predict(X), same.predict(X))
    np.testing.assert_allclose(net.predict_proba(X), same.predict_proba(X), rtol=1e-8)
    net.save(tmp_path / "net")
    for given in (function, nn.PythonLoss(function, outputs)):
        other = nn.load(tmp_path / "net", loss=given)
        assert other.loss.outputs == outputs
        np.testing.assert_array_equal(other.predict_proba(X), net.predict_proba(X))
    assert copy.copy(net).loss.outputs == outputs
    with pytest.raises(ValueError, match="class_weight must be None for a loss written in Python"):
        net.fit(X, y, class_weight="balanced")


@by_classes
def test_onnx_and_scikit_learn_see_classes(function, outputs, own, y, n_out, tmp_path):
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    net = network(nn.PythonLoss(function, outputs=outputs), n_out, dtype="float32")
    net.fit(X, y)
    net.to_onnx(tmp_path / "net.onnx")
    label, p = ort.InferenceSession(tmp_path / "net.onnx").run(None, {"X": X})
    np.testing.assert_array_equal(label, net.predict(X))
    np.testing.assert_allclose(p, net.predict_proba(X), rtol=1e-4)
    np.testing.assert_allclose(net.to_sklearn().predict_proba(X), net.predict_proba(X), rtol=1e-4)


def test_values_have_no_probabilities():
    net = network(squared, 1).build(4)
    with pytest.raises(RuntimeError, match="outputs='logits'"):
        net.predict_proba(X)
    with pytest.raises(ValueError, match="outputs must be one of"):
        nn.PythonLoss(squared, outputs="probabilities")


@pytest.mark.parametrize("strange", [3, -1, 0.5])
def test_labels_must_be_those_of_the_outputs(strange):
    y = LABELS.astype(float)
    y[5] = strange
    with pytest.raises(ValueError, match="y must hold"):
        network(nn.PythonLoss(focal, "logits"), 3).fit(X, y)
