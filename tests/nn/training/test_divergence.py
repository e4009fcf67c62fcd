"""A loss that stops being finite: where it is reported, and what the network is then."""

import contextlib
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


# -- A single step that would make a value infinite or NaN --


def everything(net):
    """All that a step changes, as bits."""
    weights = net._weights
    average = None if weights.average is None else weights.average.tobytes()
    rng = net._rng.bit_generator.state
    state = weights.optimizer_state[:2].tobytes(), weights.optimizer_state[2:].any()
    return weights.parameters.tobytes(), state, average, weights.steps, net.epoch, rng


def in_batch(net, X, y):
    return net.train_on_batch(X, y)


def by_hand(net, X, y):
    z = net.forward(X, training=True)
    net.backward(2 * (z - y[:, None]) / z.size)
    before = everything(net)
    try:
        net.step()
    except FloatingPointError:
        assert everything(net) == before
        raise


by_step = pytest.mark.parametrize("train", [in_batch, by_hand])
OVERFLOWING = {
    "SGD": lambda **options: nn.SGD(0.01, **options),
    "SGD-momentum": lambda **options: nn.SGD(0.01, 0.9, nesterov=True, **options),
    "SGD-dampening": lambda **options: nn.SGD(0.01, 0.9, dampening=0.1, **options),
    "RMSprop": lambda **options: nn.RMSprop(0.01, momentum=0.9, **options),
    "RMSprop-centered": lambda **options: nn.RMSprop(0.01, centered=True, **options),
    "Adam": lambda **options: nn.Adam(0.01, **options),
    "Adam-amsgrad": lambda **options: nn.Adam(0.01, amsgrad=True, **options),
    "AdamW": lambda **options: nn.AdamW(0.01, weight_decay=0.1, **options),
    "NAdam": lambda **options: nn.NAdam(0.01, **options),
    "Lion": lambda **options: nn.Lion(0.01, weight_decay=0.1, **options),
}
by_optimizer = pytest.mark.parametrize("optimizer", OVERFLOWING.values(), ids=OVERFLOWING)
SETUPS = {
    "plain": ({}, {}),
    "average": ({}, {"ema_decay": 0.9}),
    "max_norm": ({"max_norm": 1.0}, {}),
    "penalties": ({"l1": 0.01, "l2": 0.1}, {"clip_norm": 1.0, "ema_decay": 0.9}),
    "clip_value": ({"l2": 0.1, "max_norm": 2.0}, {"clip_value": 0.5}),
}


def pair_of_networks(optimizer, setup, dtype="float32", batch_norm=True):
    layer, options = SETUPS[setup]
    norm = [nn.BatchNorm()] if batch_norm else []
    return [
        nn.Network(
            [nn.Dense(6, "tanh", **layer), *norm, nn.Dropout(0.2), nn.Dense(1, **layer)],
            loss="mse", optimizer=optimizer(**options), seed=0, dtype=dtype,
        ).build(4)
        for _ in range(2)
    ]  # fmt: skip


@by_step
@by_optimizer
@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("steps", [0, 3])
def test_step_of_a_huge_rate_is_undone(train, optimizer, setup, steps):
    """The loss is finite, and so were the gradients; the weights were infinite after the step."""
    X, y = plain.data(20, 4, 1, "mse")
    net, untouched = pair_of_networks(optimizer, setup)
    for n in (net, untouched):
        for _ in range(steps):
            train(n, X, y)
    before, rate = everything(net), net.optimizer.lr
    net.optimizer.lr = 1e200
    with pytest.raises(FloatingPointError, match=r"no step was made"):
        train(net, X, y)
    net.optimizer.lr = rate
    if train is in_batch:
        assert everything(net) == before
        for n in (net, untouched):
            train(n, X, y)
        plain.assert_same_bits(net, untouched, "after training on")
    else:  # which drew random numbers, and tracked statistics, in forward
        net.step()
        train(untouched, X, y)
        plain.assert_same_bits(net, untouched, "the same step, at a rate that it can be made")


@by_optimizer
@pytest.mark.parametrize("value", [3e37, np.inf, np.nan])
@pytest.mark.parametrize("train", ["in_batch", "by_hand"])
def test_step_of_gradients_that_overflow_is_undone(train, optimizer, value):
    """A loss of one's own may be finite where its gradient, or the sum over rows, is not."""
    X, y = plain.data(20, 4, 1, "mse")
    net = pair_of_networks(optimizer, "average", batch_norm=False)[0]
    net.train_on_batch(X, y)
    if train == "by_hand" and np.isfinite(value):
        net.forward(X, training=True)
        net.backward(np.full((20, 1), value))
        before = everything(net)
        with pytest.raises(FloatingPointError, match=r"no step was made"):
            net.step()
        assert everything(net) == before
    elif train == "in_batch":
        net.loss = lambda y, z: (0.0, np.full_like(z, value))
        before = everything(net)
        with pytest.raises(FloatingPointError, match=r"no step was made"):
            net.train_on_batch(X, y)
        assert everything(net) == before


@by_step
def test_moments_that_overflow_are_noticed_too(train):
    """The velocity overflows where the rate is so small that the weights do not."""
    X, y = np.ones((1, 1), "float32"), np.array([-3e37], "float32")
    net = nn.Network(
        [nn.Dense(1)],
        loss=lambda y, z: (0.0, z - y[:, None]),
        optimizer=nn.SGD(1e-30, 0.999),
        seed=0,
    ).build(1)
    for _ in range(100):
        before = everything(net)
        try:
            train(net, X, y)
        except FloatingPointError:
            break
    assert everything(net) == before
    assert net._weights.steps in (5, 11)  # 6e37 or 3e37, times 1 + 0.999 + ..., beyond 3.4e38


@by_step
def test_weights_near_the_limit_after_a_restore(train):
    """What the engine knows of the weights' size must not outlive other weights."""
    X, y = np.ones((1, 1), "float32"), np.zeros(1, "float32")
    net = nn.Network([nn.Dense(1)], loss="mse", optimizer=nn.SGD(1e-3), seed=0).build(1)
    small = net.snapshot()
    net._weights.views(net._weights.parameters)
    large = net.snapshot()
    large.weights[0][:2] = np.float32(3.3e38), -np.float32(3.3e38)
    net.restore(small)
    train(net, X, y)
    net.restore(large)
    net.optimizer.weight_decay = 200.0  # a step of 0.2 times the weight, with the other's sign
    net.optimizer.lr = 1.0
    before = everything(net)
    with pytest.raises(FloatingPointError):
        train(net, X, y)
    assert everything(net) == before


def test_statistics_that_overflow_are_noticed():
    """The variance of a minibatch was infinite, and so was the running one, for ever."""
    net = nn.Network([nn.BatchNorm(), nn.Dense(1)], loss="mse", seed=0).build(2)
    X = np.array([[1e30, 1.0], [-3e38, 2.0]], "float32")
    before = everything(net)
    try:
        net.train_on_batch(X, [0.0, 1.0])
    except FloatingPointError:
        assert everything(net) == before
    assert_finite(net)


def test_first_step_of_a_network_that_is_not_built():
    X, y = plain.data(20, 4, 1, "mse")
    net, untouched = (nn.Network([nn.Dense(1)], loss="mse", optimizer=nn.SGD(0.1), seed=0)
                      for _ in range(2))  # fmt: skip
    net.optimizer.lr = 1e200
    with pytest.raises(FloatingPointError):
        net.train_on_batch(X, y)
    net.optimizer.lr = 0.1
    for n in (net, untouched):
        n.train_on_batch(X, y)
    plain.assert_same_bits(net, untouched)


def test_lbfgs_leaves_finite_weights():
    """SciPy's float64 may hold weights that float32 cannot."""
    X, y = np.array([[1e-30], [2e-30]]), np.array([3e15, 6e15])
    net = nn.Network([nn.Dense(1, use_bias=False)], loss="mse", optimizer=nn.LBFGS(), seed=0)
    net.build(1)
    with contextlib.suppress(FloatingPointError):
        net.fit(X, y, epochs=3)
    assert_finite(net)
