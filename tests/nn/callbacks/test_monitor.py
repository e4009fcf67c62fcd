"""Monitor: statistics of each epoch, from what training computes anyway, and warnings."""

import warnings

import numpy as np
import pytest

import relume.sklearn
from relume import nn
from tests.support.ill_networks import DIGITS, digits_net, mlp

X, Y, X_TEST, Y_TEST = DIGITS


def test_statistics_are_in_the_history():
    net = digits_net(sizes=(64, 32), epochs=0, seed=0)
    history = net.fit(X, Y, epochs=3, callbacks=[nn.Monitor()])
    assert len(history.layers) == 3
    assert list(history.layers[0]) == ["layer 1", "layer 2", "layer 3"]
    assert list(history) == ["loss", "skipped", "seconds"]
    layer = history.layers[-1]["layer 1"]
    assert {"zero_fraction", "dead_fraction", "mean", "std", "gradient_norm"} <= set(layer)
    assert layer["active"].shape == (64,)
    assert net.fit(X, Y, epochs=1).layers == []


def test_statistics_of_one_large_minibatch_are_those_of_numpy():
    """The whole data as one minibatch, with a rate so small that the weights stay."""
    net = mlp([32], "relu", 10, seed=0, optimizer=nn.SGD(1e-12)).build(64)
    state = net.state_dict()
    history = net.fit(X, Y, batch_size=len(X), shuffle=False, callbacks=[nn.Monitor()])
    z = X @ state["0.weight"].T + state["0.bias"]
    h = np.maximum(z, 0)
    layer = history.layers[0]["layer 1"]
    np.testing.assert_allclose(layer["active"], (h > 0).mean(axis=0), atol=1e-3)
    assert layer["zero_fraction"] == pytest.approx((h == 0).mean(), abs=1e-3)
    assert layer["mean"] == pytest.approx(h.mean(), rel=1e-4)
    logits = h @ state["2.weight"].T + state["2.bias"]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) - np.eye(10)[Y]
    grad = (p @ state["2.weight"]) * (z > 0)
    norm = np.sqrt((grad**2).sum() / len(X))
    assert layer["gradient_norm"] == pytest.approx(norm, rel=1e-3)


def test_training_is_the_same_with_a_monitor():
    plain, monitored = (digits_net(epochs=0, seed=3) for _ in range(2))
    plain.fit(X, Y, epochs=2)
    monitored.fit(X, Y, epochs=2, callbacks=[nn.Monitor(), nn.Monitor(X_TEST)])
    for a, b in zip(plain.state_dict().values(), monitored.state_dict().values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_and_rows_of_ones_own():
    monitor = nn.Monitor(X_TEST, every=2)
    net = digits_net(epochs=0, seed=0)
    net.fit(X, Y, epochs=5, callbacks=[monitor])
    assert len(monitor.records) == 2
    h = np.maximum(X_TEST @ net.state_dict()["0.weight"].T + net.state_dict()["0.bias"], 0)
    net.fit(X, Y, epochs=1, callbacks=[other := nn.Monitor(X_TEST)])
    assert other.records[0]["layer 1"]["active"].shape == (h.shape[1],)


@pytest.mark.parametrize("given", [False, True], ids=["minibatches", "rows of its own"])
def test_units_that_wake_only_in_a_later_block_are_active(given):
    """On one row each: the first and the last of blocks of rows, and of shards."""
    late = [0, 63, 64, 4095, 4096, 8191, 8192, 9999]
    X = np.zeros((10_000, len(late)), np.float32)
    X[late, range(len(late))] = 1
    first = nn.Dense(len(late), "relu", use_bias=False)  # which a step would raise above 0
    net = nn.Network([first, nn.Dense(1)], loss="mse", seed=0,
                     optimizer=nn.SGD(1e-12)).build(len(late))  # fmt: skip
    net.load_state_dict(net.state_dict() | {"0.weight": np.eye(len(late))})
    monitor = nn.Monitor(X if given else None)
    y = np.random.default_rng(0).normal(size=len(X))
    net.fit(X, y, batch_size=len(X), shuffle=False, callbacks=[monitor])
    record = monitor.records[0]["layer 1"]
    np.testing.assert_allclose(record["active"], 1 / len(X))
    assert record["dead_fraction"] == 0


def test_dying_units_are_warned_of_once_by_name():
    net = digits_net(sizes=(128, 64), epochs=0, optimizer=nn.Adam(0.3), seed=0)
    with pytest.warns(nn.TrainingWarning) as caught:
        net.fit(X, Y, epochs=4, callbacks=[nn.Monitor()])
    texts = [str(each.message) for each in caught]
    assert sum("layer 1" in text and "dead" in text for text in texts) == 1


def test_vanishing_gradients_are_warned_of_by_name():
    net = digits_net("sigmoid", sizes=(32,) * 8, epochs=0, seed=0)
    with pytest.warns(nn.TrainingWarning, match=r"layer \d: its gradient vanishes"):
        net.fit(X, Y, epochs=1, callbacks=[nn.Monitor()])


def test_exploding_gradients_are_warned_of_by_name():
    layers = [nn.Dense(64, "relu", weight_init=nn.Orthogonal(10.0)) for _ in range(5)]
    net = nn.Network([*layers, nn.Dense(10)], seed=0, optimizer=nn.SGD(1e-20))
    with pytest.warns(nn.TrainingWarning, match=r"layer 1: its gradient explodes"):
        net.fit(X, Y, epochs=1, callbacks=[nn.Monitor()])


def test_a_loss_that_stops_is_warned_of():
    net = digits_net(epochs=0, optimizer=nn.SGD(1e-9), seed=0)
    with pytest.warns(nn.TrainingWarning, match=r"the loss has stopped at 2\.\d+"):
        net.fit(X, Y, epochs=12, callbacks=[nn.Monitor()])


def test_a_sound_fit_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for activation in ("relu", "tanh"):
            digits_net(activation, epochs=0, seed=1).fit(X, Y, epochs=15, callbacks=[nn.Monitor()])


def test_minibatches_from_python_estimators_and_lbfgs():
    batches = [(X[i : i + 100], Y[i : i + 100]) for i in range(0, 1300, 100)]
    history = digits_net(epochs=0, seed=0).fit(batches, epochs=2, callbacks=[nn.Monitor()])
    assert len(history.layers) == 2
    monitor = nn.Monitor()
    relume.sklearn.MLPClassifier(
        [32], max_iter=3, tol=1e9, n_iter_no_change=1, random_state=0, callbacks=[monitor]
    ).fit(X, Y)
    assert len(monitor.records) == 3
    net = mlp([16], "relu", 10, seed=0, optimizer=nn.LBFGS(5))
    history = net.fit(X, Y, callbacks=[nn.Monitor()])
    h = np.maximum(X @ net.state_dict()["0.weight"].T + net.state_dict()["0.bias"], 0)
    np.testing.assert_allclose(
        history.layers[0]["layer 1"]["active"], (h > 0).mean(axis=0), atol=2e-3
    )


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        nn.Monitor(every=0)
    with pytest.raises(ValueError, match="X must have 64 features"):
        digits_net(epochs=0, seed=0).fit(X, Y, callbacks=[nn.Monitor(X[:, :3])])
