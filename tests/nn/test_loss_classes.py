"""The loss classes: what y must be, what the outputs mean, and what a class is made of."""

import json

import numpy as np
import pytest

from relume import nn
from relume.nn.losses import LOSSES
from tests.support import twin as plain

NAN, INF = float("nan"), float("inf")

# -- What y must be --

WRONG = {
    "one label too large": (nn.CrossEntropy(), [0, 3], ValueError, ["0 to 2", "got 3;"]),
    "two columns": (nn.CrossEntropy(), [[0.5, 0.5]], ValueError, [r"\(n,\)", r"\(n, 3\); got"]),
    "below 0": (nn.CrossEntropy(), [[0.5, 0.6, -0.1]], ValueError, ["at least 0", r"got -0\.1"]),
    "soft nan": (nn.CrossEntropy(), [[0.5, NAN, 0]], ValueError, ["finite"]),
    "soft strings": (nn.CrossEntropy(), [["a", "b", "c"]], TypeError, ["real numbers", "<U"]),
    "2": (nn.BinaryCrossEntropy(), [[0, 1, 2]], ValueError, ["0 and 1", "got 2$"]),
    "below": (nn.BinaryCrossEntropy(), [[0, 1, -0.5]], ValueError, ["0 and 1", r"got -0\.5;"]),
    "nan": (nn.BinaryCrossEntropy(), [[0, NAN, 1]], ValueError, ["0 and 1", "got nan"]),
    "words": (nn.BinaryCrossEntropy(), [["a", "b", "c"]], TypeError, ["0 and 1", "<U"]),
    "a column": (nn.BinaryCrossEntropy(), [0, 1], ValueError, [r"\(n, 3\)", r"got \(2,\)"]),
    "four": (nn.BinaryCrossEntropy(), [[0, 1, 1, 0]], ValueError, [r"\(n, 3\)", r"\(1, 4\)"]),
    "count below 0": (nn.Poisson(), [[0, 1, -1]], ValueError, ["counts, at least 0", r"got -1"]),
} | {
    f"{cls.__name__} {what}": (cls(), y, error, words)
    for cls in (nn.MSE, nn.MAE, nn.Huber, nn.Quantile, nn.Poisson)
    for what, y, error, words in [
        ("shape", [[1.0, 2.0]], ValueError, [r"\(n, 3\)", r"got \(1, 2\)"]),
        ("column", [1.0, 2.0], ValueError, [r"\(n, 3\)", r"got \(2,\)"]),
        ("inf", [[1.0, 2.0, INF]], ValueError, ["finite"]),
        ("words", [["a", "b", "c"]], TypeError, ["real numbers", "<U"]),
    ]
}  # fmt: skip


@pytest.mark.parametrize(("loss", "y", "error", "words"), WRONG.values(), ids=WRONG)
def test_bad_targets(loss, y, error, words):
    def fit():
        nn.Network([nn.Dense(3)], loss=loss).fit(np.ones((len(y), 2)), y)

    plain.assert_raises(error, [r"^y must", *words], fit)


def test_targets_as_users_have_them():
    for y in ([0, 1, 1], [False, True, True], [0.0, 1.0, 1.0], [[0], [1], [1]]):
        y = nn.BinaryCrossEntropy().targets(y, "y", 1, "float32")
        assert (y.tolist(), y.dtype) == ([[0], [1], [1]], "float32")
    y = nn.CrossEntropy().targets(np.eye(3, dtype=bool), "y", 3, "float64")
    assert (y.tolist(), y.dtype) == (np.eye(3).tolist(), "float64")
    y = np.asfortranarray(np.random.default_rng(0).random((5, 3)))
    for loss in (nn.CrossEntropy(), nn.MSE()):
        mine = loss.targets(y, "y", 3, "float64")
        assert mine.flags.c_contiguous
        np.testing.assert_array_equal(mine, y)


# -- What the outputs mean --


def test_predictions_of_two_classes_by_one_output():
    net = nn.Network([nn.Dense(1)], loss="binary_cross_entropy", seed=0).build(1)
    net.load_state_dict({"0.weight": [[1.0]], "0.bias": [0.0]})
    X, y = [[-2.0], [0.0], [3.0]], [0, 0, 0]
    labels = net.predict(X)
    assert (labels.tolist(), labels.dtype) == ([0, 0, 1], "int64")
    p = 1 / (1 + np.exp(-np.ravel(X)))
    np.testing.assert_allclose(net.predict_proba(X), np.stack([1 - p, p], 1), rtol=1e-6)
    assert net.evaluate(X, y)["accuracy"] == pytest.approx(2 / 3)


def test_predictions_of_many_labels():
    net = nn.Network([nn.Dense(2)], loss="binary_cross_entropy", seed=0).build(1)
    net.load_state_dict({"0.weight": [[1.0], [-1.0]], "0.bias": [0.0, 5.0]})
    X = [[-2.0], [3.0], [6.0]]
    assert net.predict(X).tolist() == [[0, 1], [1, 1], [1, 0]]
    p = 1 / (1 + np.exp(-np.array([[-2.0, 7.0], [3.0, 2.0], [6.0, -1.0]])))
    np.testing.assert_allclose(net.predict_proba(X), p, rtol=1e-6)
    figures = net.evaluate(X, [[0, 1], [1, 1], [1, 1]])
    assert figures["accuracy"] == pytest.approx(2 / 3), "a row is right with all its labels"


def test_predictions_of_soft_labels_and_rates():
    net = nn.Network([nn.Dense(2)], seed=0).build(1)
    y = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert net.loss.expected(y).tolist() == [0, 1]
    assert set(net.evaluate([[1.0], [2.0]], y)) == {"loss", "accuracy"}
    net = nn.Network([nn.Dense(1)], loss=nn.Poisson(), seed=0).build(1)
    X = np.array([[0.5], [-0.5]], "float32")
    np.testing.assert_allclose(net.predict(X), np.exp(net.forward(X)).ravel(), rtol=1e-6)
    with pytest.raises(RuntimeError, match="'poisson' has no class probabilities"):
        net.predict_proba(X)


# -- What they are made of --

ARGUMENTS = {
    nn.CrossEntropy: {"label_smoothing": 0.1},
    nn.BinaryCrossEntropy: {"pos_weight": [1.0, 2.0]},
    nn.MSE: {},
    nn.MAE: {},
    nn.Huber: {"delta": 2.0},
    nn.Quantile: {"q": 0.9},
    nn.Poisson: {},
}


def test_config_makes_the_same_again():
    assert set(ARGUMENTS) == set(LOSSES.values())
    for cls, arguments in ARGUMENTS.items():
        assert nn.Network([nn.Dense(3)], loss=cls.name).loss == cls()
        for loss in (cls(), cls(**arguments)):
            assert cls(**json.loads(json.dumps(loss.config()))) == loss
            assert eval(repr(loss), vars(nn)) == loss
        assert cls(**arguments).config() == arguments
        assert (cls(**arguments) == cls()) is not bool(arguments)
    assert nn.MSE() != nn.MAE()


BAD_ARGUMENTS = [
    (
        nn.CrossEntropy,
        "label_smoothing",
        [(1.1, ValueError), (-0.1, ValueError), ("a", TypeError)],
    ),
    (
        nn.BinaryCrossEntropy,
        "pos_weight",
        [(0.0, ValueError), ("a", TypeError), (NAN, ValueError)],
    ),
    (nn.Huber, "delta", [(0.0, ValueError), (INF, ValueError), (None, TypeError)]),
    (nn.Quantile, "q", [(0.0, ValueError), (1.0, ValueError), (True, TypeError)]),
]


@pytest.mark.parametrize(("cls", "name", "cases"), BAD_ARGUMENTS)
def test_bad_arguments_are_named(cls, name, cases):
    for value, error in cases:
        with pytest.raises(error, match=rf"^{name} must be .*, got {value!r}$"):
            cls(**{name: value})
    with pytest.raises(ValueError, match=r"^pos_weight\[1\] must be greater than 0, got -1"):
        nn.BinaryCrossEntropy([1.0, -1])


def test_what_is_no_loss():
    for value in (3, None, nn.MSE, [nn.MSE()]):
        with pytest.raises(TypeError, match=r"loss must be one of .*huber.*nn.MSE\(\)"):
            nn.Network([nn.Dense(3)], loss=value)


# -- In Python --


def squares(y_true, y_pred):
    d = y_pred - y_true
    return np.mean(d**2), 2 * d / d.size


def test_a_function_is_a_loss():
    loss = nn.Network([nn.Dense(3)], loss=squares).loss
    assert (loss.name, loss.config(), loss.classifies) == (
        "squares", {"function": squares, "outputs": "values"}, False
    )  # fmt: skip
    z, y = np.ones((2, 3), "float32"), np.zeros((2, 3))
    value, grad = loss(y, z)
    assert (value, type(value), grad.dtype) == (1.0, float, "float32")
    np.testing.assert_allclose(grad, 1 / 3)


@pytest.mark.parametrize(
    ("result", "error", "words"),
    [
        (3.0, TypeError, ["must return .loss, grad.", "float"]),
        ((1.0,), TypeError, ["must return .loss, grad."]),
        ((np.ones(2), np.ones((2, 3))), TypeError, ["the loss of .* must be a number"]),
        ((None, np.ones((2, 3))), TypeError, ["the loss of .* must be a number, got None"]),
        (("1", np.ones((2, 3))), TypeError, ["the loss of .* must be a number, got '1'"]),
        ((1j, np.ones((2, 3))), TypeError, ["the loss of .* must be a number, got 1j"]),
        ((1.0, np.ones(3)), ValueError, ["the gradient of .* shape", r"\(2, 3\)", r"got \(3,\)"]),
        ((1.0, "a"), TypeError, ["the gradient of .* real numbers"]),
    ],
)
def test_a_function_that_returns_something_else(result, error, words):
    loss = nn.PythonLoss(lambda y_true, y_pred: result)
    plain.assert_raises(error, words, lambda: loss(np.ones(2), np.ones((2, 3))))
