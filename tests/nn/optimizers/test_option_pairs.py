"""Options together: penalties, clipping, weight decay, `max_norm` and the running average.

The twin applies them one after the other, in plain NumPy and float64, to the gradients that the
network gives.
"""

import itertools

import numpy as np
import pytest

from relume import nn
from tests.nn.optimizers.test_optimizers import TOLERANCES, TWINS
from tests.support import twin as plain

L1, L2 = 0.01, 0.3
OPTIMIZERS = {
    "SGD": ("SGD", {"lr": 0.1, "momentum": 0.5}),
    "RMSprop": ("RMSprop", {"lr": 0.05, "eps": 1e-3}),
    "Adam": ("Adam", {"lr": 0.05, "eps": 1e-3, "amsgrad": True}),
    "AdamW": ("AdamW", {"lr": 0.05, "eps": 1e-3}),
    "NAdam": ("NAdam", {"lr": 0.05, "eps": 1e-3}),
    "Lion": ("Lion", {"lr": 0.01}),
}
OPTIONS = {
    "penalties": {},
    "max_norm": {},
    "clip_norm": {"clip_norm": 0.8},
    "clip_value": {"clip_value": 0.1},
    "ema": {"ema_decay": 0.7},
    "decay": {"weight_decay": 0.2},
}
PAIRS = [*itertools.combinations(OPTIONS, 2), tuple(OPTIONS)]
by_pair = pytest.mark.parametrize("pair", PAIRS, ids="-".join)
by_optimizer = pytest.mark.parametrize(("name", "settings"), OPTIMIZERS.values(), ids=OPTIMIZERS)


def network(name, settings, pair, dtype="float64"):
    options = settings | {key: value for each in pair for key, value in OPTIONS[each].items()}
    layer = {"l1": L1, "l2": L2} if "penalties" in pair else {}
    limit = {"max_norm": 0.9} if "max_norm" in pair else {}
    layers = [nn.Dense(6, "tanh", **layer), nn.Dense(4, **layer, **limit)]
    optimizer = getattr(nn, name)(**options)
    return nn.Network(layers, loss="mse", optimizer=optimizer, seed=0, dtype=dtype).build(5)


class Twin:
    """The parameters of a network, and what each option does to a step."""

    def __init__(self, net, name, settings, pair):
        self.step, self.pair = TWINS[name], pair
        # AdamW has a weight decay by default.
        self.settings = settings | (OPTIONS["decay"] if "decay" in pair else {})
        self.p = {key: value.astype("float64") for key, value in net.state_dict().items()}
        self.mean = {key: value.copy() for key, value in self.p.items()}
        self.states, self.t = {key: {} for key in self.p}, 0

    def take(self, gradients):
        self.t += 1
        g = {key: value.astype("float64") for key, value in gradients.items()}
        for key, p in self.p.items():
            if "penalties" in self.pair and key.endswith("weight"):
                g[key] = g[key] + L1 * np.sign(p) + 2 * L2 * p
            if "clip_value" in self.pair:
                g[key] = np.clip(g[key], -0.1, 0.1)
        norm = np.sqrt(sum((value**2).sum() for value in g.values()))
        factor = min(1, 0.8 / (norm + 1e-6)) if "clip_norm" in self.pair else 1
        for key, p in self.p.items():
            now = self.step(p, factor * g[key], self.states[key], self.t, **self.settings)
            if "max_norm" in self.pair and key == "2.weight":  # a row a unit, as in state_dict
                norms = np.sqrt((now**2).sum(1, keepdims=True))
                now = now * np.minimum(1, 0.9 / norms)
            self.p[key] = now
            self.mean[key] = 0.7 * self.mean[key] + (1 - 0.7) * now


@pytest.mark.parametrize("dtype", TOLERANCES)
@by_pair
@by_optimizer
def test_options_together(name, settings, pair, dtype):
    rng = np.random.default_rng(0)
    net = network(name, settings, pair, dtype)
    twin = Twin(net, name, settings, pair)
    for _ in range(12):
        net.forward(rng.normal(size=(9, 5)), training=True)
        net.backward(rng.normal(size=(9, 4)))
        gradients = net.gradients()
        net.step()
        twin.take(gradients)
    # A twin's own path: where a mean is close to 0, Lion's sign is that of rounding errors.
    for key, value in net.state_dict().items():
        plain.assert_close(value, twin.p[key], TOLERANCES[dtype], key)
    if "ema" in pair:
        for key, value in net.averaged().state_dict().items():
            plain.assert_close(value, twin.mean[key], TOLERANCES[dtype], key)


@by_pair
@by_optimizer
def test_minibatches_make_the_same_steps(name, settings, pair):
    """The gradient of a block is updated as soon as it is known, unless norms are limited."""
    X, y = plain.data(20, 5, 4, "mse")
    by_hand, by_batch, by_fit = (network(name, settings, pair) for _ in range(3))
    for _ in range(5):
        z = by_hand.forward(X, training=True)
        by_hand.backward(2 * (z - y.reshape(z.shape)) / z.size)
        by_hand.step()
        by_batch.train_on_batch(X, y)
    by_fit.fit(X, y, epochs=5, batch_size=20, shuffle=False)
    plain.assert_same_bits(by_batch, by_fit)
    for key, value in by_hand.state_dict().items():
        plain.assert_close(by_batch.state_dict()[key], value, 1e-9, key)


@pytest.mark.parametrize("l2", [0.0, 5.0])
@pytest.mark.parametrize("train", ["train_on_batch", "fit"])
def test_norm_of_a_step_is_that_of_the_limit(train, l2):
    """The limit is of the gradients with their penalties, not of the loss's alone."""
    X, y = plain.data(20, 5, 4, "mse")
    layers = [nn.Dense(6, "tanh", l2=l2), nn.Dense(4, l2=l2)]
    optimizer = nn.SGD(1.0, clip_norm=1e-3)
    net = nn.Network(layers, loss="mse", optimizer=optimizer, seed=0, dtype="float64").build(5)
    for _ in range(3):
        before = net.state_dict()
        getattr(net, train)(X, y)
        moved = sum(((value - before[key]) ** 2).sum() for key, value in net.state_dict().items())
        # As torch's clip_grad_norm_, which adds 1e-6 to the norm.
        assert 0.99e-3 < np.sqrt(moved) <= 1e-3


# -- Norms whose squares overflow or underflow --


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("limit", [1e-3, 1.0, 1e12])
@pytest.mark.parametrize("size", ["huge", "tiny"])
def test_clip_norm_of_extreme_gradients(size, limit, dtype):
    """In float64 the norm's square overflowed, and the step was 0; in float32 the factor did."""
    top = {"float32": 1e38, "float64": 1e300}[dtype]
    g = np.array([[0.6, -0.8]]).astype(dtype) * (top if size == "huge" else dtype_tiny(dtype))
    optimizer = nn.SGD(1.0, clip_norm=limit)
    net = nn.Network([nn.Dense(2, use_bias=False)], loss="mse", optimizer=optimizer, dtype=dtype)
    net.build(1).load_state_dict({"0.weight": np.zeros((2, 1), dtype)})
    net.forward(np.ones((1, 1)), training=True)
    net.backward(g)
    net.step()
    expected = -g / (top if size == "huge" else 1) * (limit if size == "huge" else 1)
    np.testing.assert_allclose(net.state_dict()["0.weight"].T, expected, rtol=1e-6)


def dtype_tiny(dtype):
    return float(np.finfo(dtype).tiny) * 100


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("limit", [1e-25, 1e-3, 2.0, 1e25])
@pytest.mark.parametrize("exponent", [-0.8, -0.55, 0.0, 0.55, 0.9])
def test_max_norm_of_extreme_weights(exponent, limit, dtype):
    """Weights whose squares overflow became 0; a tiny limit was never met."""
    top = {"float32": 38, "float64": 308}[dtype]
    w = np.array([[3.0, 4.0, 0.0], [0.3, -0.4, 0.0], [0.0, 0.0, 0.0]])  # a row a unit
    w = (w * 10.0 ** (exponent * top)).astype(dtype)
    net = nn.Network([nn.Dense(3, use_bias=False, max_norm=limit)], loss="mse",
                     optimizer=nn.SGD(1e-3), dtype=dtype)  # fmt: skip
    net.build(3).load_state_dict({"0.weight": w})
    net.forward(np.zeros((1, 3)), training=True)
    net.backward(np.zeros((1, 3)))
    net.step()
    exact = w.astype("longdouble")
    norms = np.sqrt((exact**2).sum(1, keepdims=True))
    expected = exact * np.minimum(1, limit / np.where(norms > 0, norms, 1))
    rtol = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(net.state_dict()["0.weight"], expected.astype(dtype), rtol=rtol)


def test_penalty_of_weights_whose_squares_overflow():
    """The penalty was summed in float32, and infinite."""
    net = nn.Network([nn.Dense(1, use_bias=False, l2=1e-30)], loss="mse", optimizer=nn.SGD(1e-9))
    net.build(2).load_state_dict({"0.weight": np.array([[3e25, 4e25]], "float32")})
    loss = net.train_on_batch(np.zeros((1, 2)), [0.0])
    np.testing.assert_allclose(loss, 25e20, rtol=1e-6)
