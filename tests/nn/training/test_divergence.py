"""A loss that stops being finite: where it is reported, and what the network is then."""

import re

import numpy as np
import pytest

from relume import nn
from tests.support import twin as plain


def network(loss="mse", lr=0.05, momentum=0.9, dtype="float64", activation="relu"):
    last = nn.Dense(3 if loss == "cross_entropy" else 1)
    layers = [nn.Dense(6, activation=activation), last]
    return nn.Network(layers, loss=loss, optimizer=nn.SGD(lr, momentum), seed=0, dtype=dtype)


def assert_finite(net):
    for key, value in net.state_dict().items():
        assert np.isfinite(value).all(), key


def first_failure(net, X, y, **options):
    """Fit epoch by epoch; return epoch and step of the failure, and the weights before it."""
    for epoch in range(1, 1000):
        before = plain.bits(net.build(X.shape[1]))
        try:
            net.fit(X, y, **options)
        except FloatingPointError as error:
            where = re.search(r"\bepoch 1\b.*\bstep (\d+)\b", str(error))
            return epoch, where and int(where[1]), before
    return None, None, before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [100, 32])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_divergence_keeps_the_weights_of_the_beginning_of_the_epoch(loss, batch_size, dtype):
    """Fits of one epoch show at which epoch it comes; one long fit must stop there alike."""
    X, y = plain.data(100, 4, 3 if loss == "cross_entropy" else 1, loss)
    # Weights grow by a factor a step: beyond the dtype within some epochs.
    lr = {"mse": 30.0, "cross_entropy": 1e20 if dtype == "float32" else 1e160}[loss]
    short, long = (network(loss, lr, momentum=0.0, dtype=dtype) for _ in range(2))
    epoch, step, before = first_failure(short, X, y, batch_size=batch_size)
    assert epoch is not None, "does not diverge"
    assert step in range(1, -(-100 // batch_size) + 1)
    words = [rf"\bepoch {epoch}\b.*\bstep {step}\b"]
    options = {"epochs": 1000, "batch_size": batch_size}
    plain.assert_raises(FloatingPointError, words, lambda: long.fit(X, y, **options))
    for net in (short, long):
        assert_finite(net)
        assert plain.bits(net) == before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ["SGD", "momentum", "Adam"])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_huge_learning_rate(loss, optimizer, dtype):
    X, y = plain.data(100, 4, 3 if loss == "cross_entropy" else 1, loss)
    layers = [nn.Dense(6, "tanh"), nn.Dense(6, "relu"), nn.Dense(3 if loss != "mse" else 1)]
    lr = {"float32": 1e30, "float64": 1e300}[dtype]
    made = {"SGD": nn.SGD(lr), "momentum": nn.SGD(lr, 0.9), "Adam": nn.Adam(lr)}[optimizer]
    net = nn.Network(layers, loss=loss, optimizer=made, seed=0, dtype=dtype).build(4)
    before = plain.bits(net)
    with pytest.raises(FloatingPointError, match=r"\bepoch \d+\b.*\bstep \d+\b"):
        net.fit(X, y, epochs=300, batch_size=10)
    assert_finite(net)
    assert plain.bits(net) == before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_last_step_that_spoils_the_weights(dtype):
    """The loss before the last step is finite, the weights after it are not."""
    largest = float(np.finfo(dtype).max)
    net = nn.Network([nn.Dense(1)], loss="mse", optimizer=nn.SGD(3e38), seed=0, dtype=dtype)
    net.build(1)
    before = plain.bits(net)
    value = np.sqrt(largest) / 100
    with pytest.raises(FloatingPointError):
        net.fit([[value]], [0.0] if dtype == "float32" else [value])
    assert plain.bits(net) == before


@pytest.mark.parametrize("step", [1, 2, 4])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("what", ["X", "y"])
def test_training_on_after_divergence(what, optimizer, step):
    """Weights, optimizer state and random state are as at the beginning of that epoch."""
    X, y = (a.astype("float64") for a in plain.data(100, 4, 1, "mse"))
    worse, worse_y = X.copy(), y.copy()
    if what == "X":
        worse[25 * step - 1] = 1e308
    else:
        worse_y[25 * step - 1] = 1e200
    net, untouched = (
        nn.Network(
            [nn.Dense(6, "relu"), nn.Dense(1)],
            loss="mse",
            optimizer={"SGD": nn.SGD(0.01, 0.9), "Adam": nn.Adam(0.01)}[optimizer],
            seed=0,
            dtype="float64",
        )
        for _ in range(2)
    )
    for n in (net, untouched):
        n.fit(X, y, epochs=2, batch_size=25)
    with pytest.raises(FloatingPointError, match=rf"\bepoch 1\b.*\bstep {step}\b"):
        net.fit(worse, worse_y, batch_size=25, shuffle=False)
    plain.assert_same_bits(net, untouched, "at once")
    with pytest.raises(FloatingPointError, match=r"\bepoch 1\b.*\bstep \d\b"):
        net.fit(worse, worse_y, batch_size=25)
    with pytest.raises(FloatingPointError):
        net.train_on_batch(worse, worse_y)
    plain.assert_same_bits(net, untouched, "after a shuffled fit and a step")
    for n in (net, untouched):
        n.fit(X, y, epochs=2, batch_size=25)
    plain.assert_same_bits(net, untouched, "after training on")


def test_divergence_of_the_first_fit():
    """The network stays built, with its initial weights, and can be trained."""
    X, y = plain.data(100, 4, 1, "mse")
    net, untouched = network(), network()
    with pytest.raises(FloatingPointError):
        net.fit(X, np.where(np.arange(100) == 99, 1e200, y.astype("float64")), batch_size=10)
    untouched.build(4)
    plain.assert_same_bits(net, untouched)
    for n in (net, untouched):
        n.fit(X, y)
    plain.assert_same_bits(net, untouched)


def test_divergence_is_not_a_warning():
    """NumPy's state of floating-point errors stays the caller's."""
    X, y = plain.data(100, 4, 1, "mse")
    with np.errstate(all="raise"):
        network().fit(X, y)
        network(activation="sigmoid").fit(X * 1000, y / 1000)
