"""Metrics: by hand, and against scikit-learn where it is installed."""

import numpy as np
import pytest

from relume import nn
from relume.nn.metrics import OF_CLASSES, OF_VALUES, metric_values, metrics_of
from tests.support import twin as plain


def figure(name, loss, z, y):
    """One figure of outputs z against y as a user has it."""
    z = np.asarray(z, "float64")
    y = loss.targets(y, "y", z.shape[1], z.dtype)
    found = metric_values(metrics_of([name], loss), loss, z, y)
    assert list(found) == [name]
    assert type(found[name]) is float
    return found[name]


# Outputs of three classes, of which the labels are found in 3 of 4, 1 of 1 and 0 of 1 rows.
Z = np.eye(3)[[0, 0, 0, 1, 1, 1]]
Y = [0, 0, 0, 0, 1, 2]
BINARY = [[-1.0], [2.0], [3.0], [-4.0]]
MANY = [[1.0, -1.0], [2.0, 2.0], [-1.0, -2.0]]
BY_HAND = {
    "accuracy": ("accuracy", nn.CrossEntropy(), Z, Y, 4 / 6),
    "accuracy of soft labels": ("accuracy", nn.CrossEntropy(), Z, np.eye(3)[Y] * 0.9, 4 / 6),
    "balanced": ("balanced_accuracy", nn.CrossEntropy(), Z, Y, (3 / 4 + 1 + 0) / 3),
    "balanced without a class": ("balanced_accuracy", nn.CrossEntropy(), Z[:4], Y[:4], 3 / 4),
    "f1": ("f1", nn.CrossEntropy(), Z, Y, (6 / 7 + 2 / 4 + 0) / 3),
    "f1 of two outputs": ("f1", nn.CrossEntropy(), Z[:, :2], [0, 0, 0, 0, 1, 1], 4 / 5),
    "f1 of one output": ("f1", nn.BinaryCrossEntropy(), BINARY, [1, 1, 0, 0], 2 / 4),
    "f1 without positives": ("f1", nn.BinaryCrossEntropy(), [[-1.0]], [0], 0),
    "f1 of many": ("f1", nn.BinaryCrossEntropy(), MANY, [[1, 1], [1, 1], [1, 0]], 11 / 15),
    "accuracy of one output": ("accuracy", nn.BinaryCrossEntropy(), BINARY, [1, 1, 0, 0], 0.5),
    "all right": ("accuracy", nn.BinaryCrossEntropy(), MANY, [[1, 0], [1, 0], [0, 0]], 2 / 3),
    "log loss": ("log_loss", nn.CrossEntropy(0.5), [[0.0, np.log(3.0)]], [1], np.log(4 / 3)),
    "log loss at 1e4": ("log_loss", nn.CrossEntropy(), [[1e4, 0.0]], [1], 1e4),
    "log loss of one output": (
        "log_loss",
        nn.BinaryCrossEntropy(9.0),
        [[np.log(3.0)], [1e4]],
        [1, 0],
        (np.log(4 / 3) + 1e4) / 2,
    ),
    "log loss of many": (
        "log_loss",
        nn.BinaryCrossEntropy(),
        [[np.log(3.0), 0.0]],
        [[0, 1]],
        (np.log(4) + np.log(2)) / 2,
    ),
    "top 5": ("top_5_accuracy", nn.CrossEntropy(), [np.arange(9.0)] * 3, [3, 4, 8], 2 / 3),
    "top 5 of three": ("top_5_accuracy", nn.CrossEntropy(), Z, Y, 1),
    "mae": ("mae", nn.MSE(), [[1.0], [2.0]], [3.0, 1.0], 1.5),
    "mse": ("mse", nn.MAE(), [[1.0], [2.0]], [3.0, 1.0], 2.5),
    "rmse": ("rmse", nn.MSE(), [[1.0, 2.0]], [[3.0, 1.0]], np.sqrt(2.5)),
    "r2": ("r2", nn.MSE(), [[1.0], [2.0], [4.0]], [1.0, 2.0, 3.0], 0.5),
    "r2 of two": ("r2", nn.MSE(), [[1.0, 0.0], [2.0, 0.0]], [[1.0, 1.0], [2.0, 0.0]], 0.0),
    "r2 of a constant": ("r2", nn.MSE(), [[1.0, 2.0], [1.0, 3.0]], np.ones((2, 2)), 0.5),
    "rates": ("mae", nn.Poisson(), [[np.log(4.0)], [np.log(1.0)]], [3, 3], 1.5),
}  # fmt: skip


@pytest.mark.parametrize(("name", "loss", "z", "y", "expected"), BY_HAND.values(), ids=BY_HAND)
def test_by_hand(name, loss, z, y, expected):
    assert figure(name, loss, z, y) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_every_metric_is_tested():
    assert {case[0] for case in BY_HAND.values()} == {*OF_CLASSES, *OF_VALUES}


def test_r2_of_a_row_is_nan():
    assert np.isnan(figure("r2", nn.MSE(), [[1.0]], [1.0]))


def test_metrics_in_float64():
    """The mean of many float32 errors; in float32 the sum would lose the last ones."""
    z = np.full((1 << 22, 1), 1.1, "float32")
    loss = nn.MSE()
    found = metric_values(metrics_of(["mae"], loss), loss, z, np.zeros_like(z))
    assert found["mae"] == pytest.approx(float(z[0, 0]), rel=1e-13)


@pytest.fixture(scope="module")
def sklearn_metrics():
    return pytest.importorskip(
        "sklearn.metrics", reason="scikit-learn is not installed; it is compared with"
    )


def test_classes_as_scikit_learn(sklearn_metrics):
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(300, 8)), rng.integers(8, size=300)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(y, z.argmax(1)),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(y, z.argmax(1)),
        "f1": sklearn_metrics.f1_score(y, z.argmax(1), average="macro"),
        "log_loss": sklearn_metrics.log_loss(y, p),
        "top_5_accuracy": sklearn_metrics.top_k_accuracy_score(y, p, k=5),
    }
    for name, value in expected.items():
        assert figure(name, nn.CrossEntropy(), z, y) == pytest.approx(value, rel=1e-12), name
    loss = nn.BinaryCrossEntropy()
    z, y = rng.normal(size=(300, 1)), rng.integers(2, size=300)
    one = sklearn_metrics.f1_score(y, z.ravel() > 0)
    assert figure("f1", loss, z, y) == pytest.approx(one, rel=1e-12)
    z, y = rng.normal(size=(300, 4)), rng.integers(2, size=(300, 4))
    many = sklearn_metrics.f1_score(y, z > 0, average="macro")
    assert figure("f1", loss, z, y) == pytest.approx(many, rel=1e-12)
    right = sklearn_metrics.accuracy_score(y, z > 0)
    assert figure("accuracy", loss, z, y) == pytest.approx(right, rel=1e-12)


def test_values_as_scikit_learn(sklearn_metrics):
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(2, 50, 3))
    y[:, 1] = 2.0
    expected = {
        "mae": sklearn_metrics.mean_absolute_error(y, z),
        "mse": sklearn_metrics.mean_squared_error(y, z),
        "rmse": sklearn_metrics.mean_squared_error(y, z) ** 0.5,
        "r2": sklearn_metrics.r2_score(y, z),
    }
    for name, value in expected.items():
        assert figure(name, nn.MSE(), z, y) == pytest.approx(value, rel=1e-12), name


# -- What a user gives --


def largest_error(y_true, y_pred):
    return np.abs(y_true - y_pred).max()


def test_a_function_is_a_metric_of_predictions():
    loss = nn.MSE()
    metrics = metrics_of([largest_error, "mae"], loss)
    found = metric_values(metrics, loss, np.array([[1.0], [5.0]]), np.array([[2.0], [2.0]]))
    assert found == {"largest_error": 3.0, "mae": 2.0}
    metrics = metrics_of([lambda y_true, y_pred: (y_true + y_pred).sum()], nn.CrossEntropy())
    found = metric_values(metrics, nn.CrossEntropy(), Z, np.array(Y))
    assert found == {"<lambda>": 6.0}


def test_without_metrics():
    assert [metric.name for metric in metrics_of(None, nn.CrossEntropy())] == ["accuracy"]
    assert [metric.name for metric in metrics_of(None, nn.BinaryCrossEntropy())] == ["accuracy"]
    assert metrics_of(None, nn.MSE()) == metrics_of([], nn.CrossEntropy()) == []


CLASSES, VALUES = nn.CrossEntropy(), nn.MSE()
WRONG = {
    "a name": ("accuracy", CLASSES, TypeError, ["list of names and callables", "'accuracy'"]),
    "a number": (3, CLASSES, TypeError, ["list of names and callables", "got 3"]),
    "unknown": (["acuracy"], CLASSES, ValueError, ["accuracy.*f1", "'acuracy'"]),
    "of values": (["r2"], CLASSES, ValueError, ["under cross_entropy", "'r2'"]),
    "of classes": (["accuracy"], VALUES, ValueError, ["under mse", "'accuracy'"]),
    "in the list": ([3], VALUES, TypeError, ["names or callables", "got 3"]),
    "twice": (["mae", "mae"], VALUES, ValueError, ["different names", "mae"]),
}


@pytest.mark.parametrize(("values", "loss", "error", "words"), WRONG.values(), ids=WRONG)
def test_bad_metrics(values, loss, error, words):
    plain.assert_raises(error, ["metric", *words], lambda: metrics_of(values, loss))


def test_bad_results():
    loss = nn.BinaryCrossEntropy()
    for name in ("balanced_accuracy", "top_5_accuracy"):
        with pytest.raises(ValueError, match=f"{name}.* needs one label per row"):
            figure(name, loss, MANY, [[1, 0], [1, 0], [0, 0]])
    metrics = metrics_of([lambda y_true, y_pred: y_pred], loss)
    with pytest.raises(TypeError, match="must return a number"):
        metric_values(metrics, loss, np.array(MANY), np.zeros((3, 2)))


# -- weights of rows ------------------------------------------------------------------------------

WEIGHT = np.array([0.0, 3.0, 1.0, 0.5, 2.0, 0.0, 1.0, 7.0])
RNG = np.random.default_rng(3)
ONE, THREE = RNG.normal(size=(8, 1)), RNG.normal(size=(8, 3))
LABELS, PAIR = np.array([0, 1, 2, 1, 0, 0, 1, 2]), np.array([0, 1, 1, 1, 0, 0, 1, 0])
SEVERAL = (RNG.random((8, 3)) > 0.5).astype(int)
SEVERAL[3] = THREE[3] > 0  # one row with all labels right
WEIGHED = {
    "accuracy": ("accuracy_score", "cross_entropy", THREE, LABELS, {}),
    "accuracy of many": ("accuracy_score", "binary_cross_entropy", THREE, SEVERAL, {}),
    "balanced_accuracy": ("balanced_accuracy_score", "cross_entropy", THREE, LABELS, {}),
    "f1": ("f1_score", "cross_entropy", THREE, LABELS, {"average": "macro"}),
    "f1 of one": ("f1_score", "binary_cross_entropy", ONE, PAIR, {}),
    "f1 of many": ("f1_score", "binary_cross_entropy", THREE, SEVERAL, {"average": "macro"}),
    "log_loss": ("log_loss", "cross_entropy", THREE, LABELS, {}),
    "log_loss of one": ("log_loss", "binary_cross_entropy", ONE, PAIR, {}),
    "top_5_accuracy": ("top_k_accuracy_score", "cross_entropy", RNG.normal(size=(8, 7)),
                       np.array([0, 6, 2, 5, 0, 4, 1, 2]), {"k": 5, "labels": range(7)}),
    "mae": ("mean_absolute_error", "mse", ONE, THREE[:, 0], {}),
    "mse": ("mean_squared_error", "mse", THREE, SEVERAL, {}),
    "rmse": ("root_mean_squared_error", "mse", ONE, THREE[:, 0], {}),
    "r2": ("r2_score", "mse", ONE, THREE[:, 0], {}),
    "r2 of several": ("r2_score", "mse", THREE, SEVERAL, {}),
}  # fmt: skip


def outputs_of(z, loss, metrics):
    """A network whose outputs for the rows of the unit matrix are z."""
    net = nn.Network([nn.Dense(z.shape[1], use_bias=False)], loss=loss, metrics=metrics,
                     dtype="float64")  # fmt: skip
    net.load_state_dict({"0.weight": z.T})
    return net


@pytest.mark.parametrize("case", WEIGHED)
def test_weights_count_as_in_scikit_learn(case):
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    function, loss, z, y, options = WEIGHED[case]
    name = case.partition(" ")[0]
    net = outputs_of(z, loss, [name])
    X = np.eye(8)
    predicted = net.predict(X)
    if name == "log_loss":
        predicted = net.predict_proba(X)
    elif name == "top_5_accuracy":
        predicted = z
    want = getattr(sklearn_metrics, function)(y, predicted, sample_weight=WEIGHT, **options)
    assert net.evaluate(X, y, WEIGHT)[name] == pytest.approx(want, rel=1e-12)
    assert net.evaluate(X, y)[name] != pytest.approx(want, rel=1e-6)
    history = net.fit(X, y, validation_data=(X, y, WEIGHT))
    assert history[f"val_{name}"][0] == net.evaluate(X, y, WEIGHT)[name]


def test_every_metric_is_weighed():
    assert {case.partition(" ")[0] for case in WEIGHED} == {*OF_CLASSES, *OF_VALUES}


def test_a_function_is_given_the_weights_if_it_has_the_parameter():
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    given = []

    def plain_mean(y_true, y_pred):
        return abs(y_true - y_pred).mean()

    def weighed(y_true, y_pred, *, sample_weight=None):
        given.append(sample_weight)
        return 0.0

    y = THREE[:, 0]
    net = outputs_of(ONE, "mse", [sklearn_metrics.median_absolute_error, plain_mean, weighed])
    logs = net.evaluate(np.eye(8), y, WEIGHT)
    error = abs(ONE.ravel() - y)
    assert logs["median_absolute_error"] == sklearn_metrics.median_absolute_error(
        y, ONE.ravel(), sample_weight=WEIGHT
    )
    assert logs["plain_mean"] == pytest.approx(error.mean())
    np.testing.assert_array_equal(given.pop(), WEIGHT)
    net.evaluate(np.eye(8), y)
    assert given == [None]


@pytest.mark.parametrize("name", [*OF_CLASSES, *OF_VALUES])
def test_weights_of_1_change_nothing(name):
    loss = "cross_entropy" if name in OF_CLASSES else "mse"
    y = LABELS if name in OF_CLASSES else SEVERAL
    net = outputs_of(THREE, loss, [name])
    logs = net.evaluate(np.eye(8), y)
    assert net.evaluate(np.eye(8), y, np.ones(8)) == pytest.approx(logs, rel=1e-12)


@pytest.mark.parametrize(("loss", "units"), [("binary_cross_entropy", 1), ("cross_entropy", 2)])
def test_metrics_of_probabilities(loss, units):
    """scikit-learn's metrics of scores were given labels, and were wrong in silence."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = (X[:, 0] + rng.normal(size=200) > 0).astype(int)
    net = nn.Network([nn.Dense(units)], loss=loss, metrics=[roc_auc_score], seed=0)
    net.fit(X, y, epochs=3)
    assert net.evaluate(X, y)["roc_auc_score"] == roc_auc_score(y, net.predict_proba(X)[:, 1])
    with pytest.raises(ValueError, match="takes probabilities of classes, which loss='mse'"):
        nn.Network([nn.Dense(1)], loss="mse", metrics=[roc_auc_score])
