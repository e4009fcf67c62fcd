"""scikit-learn's perceptrons and relume's networks, made of each other."""

import pickle
import re
import subprocess
import sys

import numpy as np
import pytest

from relume import nn

neural_network = pytest.importorskip(
    "sklearn.neural_network", reason="scikit-learn is not installed"
)
from sklearn.exceptions import ConvergenceWarning  # noqa: E402

MLPClassifier, MLPRegressor = neural_network.MLPClassifier, neural_network.MLPRegressor
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5))
TARGETS = {
    "binary": np.array(["no", "yes"])[RNG.integers(2, size=60)],
    "classes": 10 * RNG.integers(4, size=60),
    "labels": RNG.integers(2, size=(60, 3)),
}
LOSSES = {
    "binary": "binary_cross_entropy",
    "classes": "cross_entropy",
    "labels": "binary_cross_entropy",
}
by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def tolerance(dtype):
    return 1e-5 if dtype == "float32" else 1e-12


def assert_close(found, expected, dtype):
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=tolerance(dtype), atol=tolerance(dtype))


@pytest.fixture
def fitted():
    """Fits a perceptron for a few epochs, whose warning that these are few is left out."""

    def fit(mlp, X, y):
        with pytest.warns(ConvergenceWarning):
            return mlp.set_params(max_iter=5, random_state=0).fit(X, y)

    return fit


# -- from scikit-learn ----------------------------------------------------------------------------


@by_dtype
@pytest.mark.parametrize("hidden", [(), (8,), (8, 6, 4)], ids=str)
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("kind", TARGETS)
def test_from_classifier(fitted, kind, activation, hidden, dtype):
    y, data = TARGETS[kind], X.astype(dtype)
    mlp = fitted(MLPClassifier(hidden, activation=activation), data, y)
    net = nn.from_sklearn(mlp)
    assert (net.loss.name, net.dtype) == (LOSSES[kind], dtype)
    assert_close(net.predict_proba(data), mlp.predict_proba(data), dtype)
    labels = net.predict(data)
    np.testing.assert_array_equal(
        labels if kind == "labels" else mlp.classes_[labels], mlp.predict(data)
    )


@by_dtype
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_from_regressor(fitted, loss, outputs, dtype):
    data, y = X.astype(dtype), np.abs(X[:, :outputs]).astype(dtype)
    y = y.ravel() if outputs == 1 else y
    mlp = fitted(MLPRegressor(hidden_layer_sizes=(8,), loss=loss), data, y)
    net = nn.from_sklearn(mlp)
    assert net.loss.name == {"squared_error": "mse", "poisson": "poisson"}[loss]
    assert_close(net.predict(data), mlp.predict(data), dtype)


OPTIMIZERS = {
    "adam": (
        {"learning_rate_init": 0.02, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-4},
        nn.Adam(0.02, betas=(0.8, 0.9), eps=1e-4),
    ),
    "sgd": ({"learning_rate_init": 0.02}, nn.SGD(0.02, momentum=0.9, nesterov=True)),
    "plain": ({"solver": "sgd", "momentum": 0.0}, nn.SGD(0.001)),
    "lbfgs": ({"tol": 1e-3}, nn.LBFGS(max_iter=5, gtol=1e-3)),
}


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_optimizer_of_solver(fitted, solver):
    options, optimizer = OPTIMIZERS[solver]
    mlp = MLPClassifier((4,), **{"solver": solver, **options})
    assert nn.from_sklearn(fitted(mlp, X, TARGETS["classes"])).optimizer == optimizer


@pytest.mark.parametrize(
    ("options", "rows"),
    [({"batch_size": 20}, 20), ({}, 60), ({"early_stopping": True}, 54), ({"solver": "lbfgs"}, 0)],
)
def test_alpha(fitted, options, rows):
    """Its penalty is divided by the rows of a minibatch, which L-BFGS does not tell."""
    mlp = fitted(MLPClassifier((4,), alpha=0.5, **options), X, TARGETS["classes"])
    l2 = [layer.l2 for layer in nn.from_sklearn(mlp).layers]
    assert l2 == pytest.approx(2 * [0.5 / 2 / rows if rows else 0.0])


def test_training_goes_on(fitted):
    """The gradient is that of scikit-learn, so that a step of SGD makes the same of both."""
    y = TARGETS["classes"]
    mlp = fitted(
        MLPClassifier((4,), solver="sgd", momentum=0, alpha=0.5, batch_size=60, shuffle=False),
        X, y,
    )  # fmt: skip
    net = nn.from_sklearn(mlp)
    net.train_on_batch(X, np.searchsorted(mlp.classes_, y))
    mlp.partial_fit(X, y)
    for i, coef in enumerate(mlp.coefs_):
        np.testing.assert_allclose(net.state_dict()[f"{2 * i}.weight"].T, coef, rtol=1e-10)


def test_network_of_an_estimator_is_taken():
    """relume's own estimators keep theirs."""

    class Estimator:
        network_ = nn.Network([nn.Dense(1)])

    net = nn.from_sklearn(Estimator())
    assert repr(net) == repr(Estimator.network_)
    assert net is not Estimator.network_


def test_what_is_no_perceptron():
    with pytest.raises(TypeError, match="mlp must be a fitted MLPClassifier or MLPRegressor"):
        nn.from_sklearn("mlp")
    with pytest.raises(TypeError, match="mlp must be a fitted MLPClassifier or MLPRegressor"):
        nn.from_sklearn(MLPClassifier)
    with pytest.raises(ValueError, match="mlp must be fitted: call its fit first"):
        nn.from_sklearn(MLPClassifier())


# -- to scikit-learn ------------------------------------------------------------------------------


def drawn(layers, loss="mse", dtype="float64", seed=0):
    """A network whose statistics, too, are not what they begin with."""
    net = nn.Network(layers, loss=loss, seed=seed, dtype=dtype).build(X.shape[1])
    rng = np.random.default_rng(seed)
    state = {
        key: np.abs(value + rng.normal(0, 0.1, value.shape))
        if key.endswith(("var", "scale"))
        else value + (0 if key.endswith("tracked") else rng.normal(0, 0.1, value.shape))
        for key, value in net.state_dict().items()
    }
    net.load_state_dict(state)
    return net


CHAINS = {
    "none": [nn.Dense(3)],
    "relu": [nn.Dense(8, activation="relu"), nn.Dense(4, activation="relu"), nn.Dense(3)],
    "tanh": [nn.Dense(8, activation="tanh"), nn.Dense(3)],
    "sigmoid": [nn.Dense(8), nn.Sigmoid(), nn.Dense(3)],
    "linear": [nn.Dense(8), nn.Dense(4, activation="linear"), nn.Dense(3)],
    "no bias": [nn.Dense(8, activation="relu", use_bias=False), nn.Dense(3, use_bias=False)],
    "dropout": [nn.Dense(8, activation="relu"), nn.Dropout(), nn.AlphaDropout(), nn.Dense(3)],
    "standardize": [nn.Standardize(), nn.Dense(8, activation="relu"), nn.Dense(3)],
    "scale": [nn.Scale(), nn.Dense(8), nn.Scale(), nn.ReLU(), nn.Scale(), nn.Dense(3), nn.Scale()],
    "penalty": [nn.Dense(8, activation="relu"), nn.ActivityL1(0.1), nn.Dense(3)],
    "before": [nn.Dense(8), nn.BatchNorm(), nn.ReLU(), nn.Dense(3)],
    "after": [nn.BatchNorm(), nn.Dense(8, activation="relu"), nn.BatchNorm(), nn.Dense(3)],
    "all": [
        nn.Standardize(), nn.BatchNorm(), nn.Dense(8, activation="tanh"), nn.BatchNorm(),
        nn.Dropout(), nn.BatchNorm(), nn.Dense(4), nn.BatchNorm(), nn.BatchNorm(), nn.Tanh(),
        nn.Dense(3), nn.BatchNorm(),
    ],
}  # fmt: skip


@by_dtype
@pytest.mark.parametrize("layers", CHAINS.values(), ids=CHAINS)
def test_to_regressor(layers, dtype):
    net, data = drawn(layers, dtype=dtype), X.astype(dtype)
    assert_close(net.to_sklearn().predict(data), net.predict(data), dtype)


@by_dtype
@pytest.mark.parametrize(
    ("loss", "n"),
    [("cross_entropy", 2), ("cross_entropy", 4), ("binary_cross_entropy", 1),
     ("binary_cross_entropy", 3)],
)  # fmt: skip
def test_to_classifier(loss, n, dtype):
    net, data = drawn([nn.Dense(8, activation="relu"), nn.Dense(n)], loss, dtype), X.astype(dtype)
    mlp = net.to_sklearn()
    assert isinstance(mlp, MLPClassifier)
    np.testing.assert_array_equal(mlp.predict(data), net.predict(data))
    assert_close(mlp.predict_proba(data), net.predict_proba(data), dtype)
    back = nn.from_sklearn(pickle.loads(pickle.dumps(mlp)))
    assert_close(back.predict_proba(data), net.predict_proba(data), dtype)


@pytest.mark.parametrize(("loss", "n"), [("poisson", 1), ("poisson", 2), ("mae", 1), ("huber", 1)])
def test_to_regressor_of_other_losses(loss, n):
    net = drawn([nn.Dense(n)], loss)
    mlp = net.to_sklearn()
    assert mlp.loss == ("poisson" if loss == "poisson" else "squared_error")
    assert_close(mlp.predict(X), net.predict(X), "float64")


@pytest.mark.parametrize("scale_targets", [False, True])
def test_means_of_raw_data_keep_their_digits(scale_targets):
    """Unix time in float32 is exact to a minute or two: so were the predictions."""
    t = 1.7e9 + np.arange(100.0)[:, None]
    y = np.arange(100.0) + (1e9 if scale_targets else 0)
    net = nn.Network([nn.Standardize(), nn.Dense(8, "relu"), nn.Dense(1)], loss="mse", seed=0,
                     scale_targets=scale_targets)  # fmt: skip
    net.fit(t, y, epochs=5)
    mlp = net.to_sklearn()
    np.testing.assert_allclose(mlp.predict(t), net.predict(t), rtol=1e-14, atol=1e-4)
    assert np.isfinite(mlp.partial_fit(t, y).predict(t)).all()


def test_classes():
    net = drawn([nn.Dense(8, activation="relu"), nn.Dense(3)], "cross_entropy")
    mlp = net.to_sklearn(classes=["a", "b", "c"])
    assert mlp.predict(X).tolist() == np.array(["a", "b", "c"])[net.predict(X)].tolist()
    two = drawn([nn.Dense(1)], "binary_cross_entropy")
    np.testing.assert_array_equal(two.to_sklearn([3, 7]).predict(X), 3 + 4 * two.predict(X))
    for classes in (["a", "b"], ["b", "a", "c"], ["a", "b", "b"]):
        text = re.escape(f"classes must hold 3 labels in ascending order, got {classes}")
        with pytest.raises(ValueError, match=text):
            net.to_sklearn(classes=classes)
    with pytest.raises(ValueError, match="classes must be None for values"):
        drawn([nn.Dense(3)]).to_sklearn(classes=["a", "b", "c"])
    with pytest.raises(ValueError, match="classes must be None for a network of 3 labels"):
        drawn([nn.Dense(3)], "binary_cross_entropy").to_sklearn(classes=["a", "b", "c"])


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_solver_of_optimizer(solver):
    optimizer = OPTIMIZERS[solver][1]
    net = nn.Network([nn.Dense(2)], optimizer=optimizer).build(5)
    mlp = net.to_sklearn()
    assert nn.from_sklearn(mlp).optimizer == optimizer
    assert nn.Network([nn.Dense(2)], optimizer="lion").build(5).to_sklearn().solver == "adam"


def test_partial_fit_goes_on():
    """By the settings of the network's optimizer, from its weights."""
    net = drawn([nn.Dense(8, activation="relu"), nn.Dense(4)], "cross_entropy")
    net.optimizer = nn.SGD(0.1)
    mlp, y = net.to_sklearn(), TARGETS["classes"] // 10
    mlp.set_params(batch_size=60).partial_fit(X, y)
    net.train_on_batch(X, y)
    assert_close(mlp.predict_proba(X), net.predict_proba(X), "float64")


MISFITS = {
    "layers[0] must be": [nn.Dense(8, activation="gelu"), nn.Dense(3)],
    "got PReLU(": [nn.Dense(8), nn.PReLU(), nn.Dense(3)],
    "got LayerNorm(": [nn.LayerNorm(), nn.Dense(3)],
    "got GroupNorm(": [nn.Dense(8), nn.GroupNorm(2), nn.Dense(3)],
    "layers[1] must be": [nn.Dense(3), nn.Residual([nn.Dense(3)])],
    "layers[2] must be": [nn.Dense(3), nn.ReLU(), nn.ReLU()],
    "got ReLU()": [nn.ReLU(), nn.Dense(3)],
    "the last of layers must be linear, got Dense(3, activation=ReLU())": [
        nn.Dense(3, activation="relu")
    ],
    "the last of layers must be linear, got BatchNorm(": [nn.Dense(3), nn.ReLU(), nn.BatchNorm()],
    "the same activation in scikit-learn's MLP, got relu and, of 4 units, tanh": [
        nn.Dense(8, activation="relu"), nn.Dense(4, activation="tanh"), nn.Dense(3)
    ],
}  # fmt: skip


@pytest.mark.parametrize(("text", "layers"), MISFITS.items(), ids=MISFITS)
def test_layers_that_do_not_fit(text, layers):
    net = nn.Network(layers, loss="mse").build(3)
    with pytest.raises(ValueError, match=re.escape(text)):
        net.to_sklearn()


def test_not_built():
    with pytest.raises(RuntimeError, match="not built"):
        nn.Network([nn.Dense(3)]).to_sklearn()


def test_import_error_names_the_extra():
    """relume.nn itself does without scikit-learn."""
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from relume import nn\n"
        "nn.Network([nn.Dense(1)]).build(2).to_sklearn()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "pip install 'relume[sklearn]'" in result.stderr
