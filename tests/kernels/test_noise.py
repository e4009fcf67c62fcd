"""Dropout, alpha dropout and random slopes: the distributions, and the independence of draws."""

import numpy as np
import pytest

from relume import nn

ROWS, WIDTH = 400, 250


def passed(layer, X, **options):
    """A network, and a function that returns the layer's output for X in training.

    The dense layer after it has the identity as its weight.
    """
    net = nn.Network([layer, nn.Dense(X.shape[1])], loss="mse", seed=7, **options)
    net.build(X.shape[1])
    state = net.state_dict()
    name = next(name for name, value in state.items() if value.ndim == 2)
    net.load_state_dict({**state, name: np.eye(X.shape[1])})
    return net, lambda: net.forward(X, training=True)


def correlation(a, b):
    return abs(np.corrcoef(a.ravel().astype("float64"), b.ravel().astype("float64"))[0, 1])


LIMIT = 5 / np.sqrt(ROWS * WIDTH)  # five standard deviations of independent draws' correlation


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout(rate, dtype):
    X = np.ones((ROWS, WIDTH))
    net, draw = passed(nn.Dropout(rate), X, dtype=dtype)
    first, second = draw(), draw()
    one = np.dtype(dtype).type(1)
    kept = one / (one - one * rate)
    assert set(np.unique(first)) == {0, kept}
    for mask in (first, second):
        std = np.sqrt(rate * (1 - rate) / mask.size)
        assert abs((mask == 0).mean() - rate) < 5 * std
        for axis in (0, 1):  # no row and no column with a rate of its own
            n = mask.shape[axis]
            shares = (mask == 0).mean(axis)
            assert abs(shares - rate).max() < 6 * np.sqrt(rate * (1 - rate) / n)
            assert shares.std() == pytest.approx(np.sqrt(rate * (1 - rate) / n), rel=0.25)
    assert correlation(first, second) < LIMIT, "steps"
    assert correlation(first[1:], first[:-1]) < LIMIT, "neighbouring rows"
    assert correlation(first[:, 1:], first[:, :-1]) < LIMIT, "neighbouring units"
    assert correlation(first[64:], first[:-64]) < LIMIT, "shards"
    np.testing.assert_array_equal(net.forward(X), X.astype(dtype), err_msg="prediction")


def test_layers_draw_apart():
    X = np.ones((ROWS, WIDTH))
    net = nn.Network([nn.Dropout(0.5), nn.Dropout(0.5), nn.Dense(1)], loss="mse", seed=0)
    net.build(WIDTH)
    net.load_state_dict({"2.weight": np.ones((1, WIDTH)), "2.bias": np.zeros(1)})
    share = net.forward(X, training=True).mean() / (4 * WIDTH)
    assert abs(share - 0.25) < 5 * np.sqrt(0.25 * 0.75 / X.size), "both masks kept a quarter"


class Masks(nn.Callback):
    """Records the inputs that a step has kept, from the gradient of a linear layer."""

    def __init__(self):
        self.seen = []

    def on_batch_end(self, net, batch, loss):
        self.seen.append(net.state_dict()["1.weight"][0] != 0)
        net.load_state_dict({"1.weight": np.zeros((1, WIDTH)), "1.bias": np.zeros(1)})


def test_steps_and_epochs_draw_apart():
    """A step has one row; the inputs that it drops have no gradient."""
    masks = Masks()
    net = nn.Network([nn.Dropout(0.5), nn.Dense(1)], loss="mse", optimizer="sgd", seed=0)
    net.build(WIDTH)
    net.load_state_dict({"1.weight": np.zeros((1, WIDTH)), "1.bias": np.zeros(1)})
    X, y = np.ones((20, WIDTH)), np.ones(20)
    net.fit(X, y, epochs=4, batch_size=1, callbacks=[masks])
    net.fit(X, y, epochs=2, batch_size=1, callbacks=[masks])
    seen = np.array(masks.seen, float)
    assert seen.shape == (120, WIDTH)
    assert abs(seen.mean() - 0.5) < 2.5 / np.sqrt(seen.size)
    related = abs(np.corrcoef(seen) - np.eye(120)).max()
    assert related < 6 / np.sqrt(WIDTH), f"two steps are related: {related}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [0.05, 0.3, 0.7])
def test_alpha_dropout_keeps_mean_and_variance(rate, dtype):
    X = np.random.default_rng(0).normal(size=(ROWS, WIDTH))
    net, draw = passed(nn.AlphaDropout(rate), X, dtype=dtype)
    out = draw().astype("float64")
    assert out.mean() == pytest.approx(0, abs=6 / np.sqrt(out.size))
    assert out.var() == pytest.approx(1, abs=0.03)
    values, counts = np.unique(out, return_counts=True)
    dropped = out == values[counts.argmax()]
    assert abs(dropped.mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / out.size)
    a = ((1 - rate) * (1 + rate * 1.7580993408473766**2)) ** -0.5
    shift = a * 1.7580993408473766 * rate
    np.testing.assert_allclose(out[~dropped], (a * X + shift)[~dropped], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(out[dropped], a * -1.7580993408473766 + shift, rtol=1e-5)
    np.testing.assert_array_equal(net.forward(X), X.astype(dtype), err_msg="prediction")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_slopes(dtype):
    X = np.full((ROWS, WIDTH), -1.0)
    X[:, ::7] = 2.0
    net, draw = passed(nn.RReLU(0.1, 0.5), X, dtype=dtype)
    first, second = draw(), draw()
    assert (first[:, ::7] == 2).all()
    slopes = -first[X < 0]
    assert slopes.min() >= 0.1
    assert slopes.max() < 0.5 + 1e-7
    counts, _ = np.histogram(slopes, bins=20, range=(0.1, 0.5))
    expected = slopes.size / 20
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert chi2 < 19 + 6 * np.sqrt(38), "the slopes are not uniform"
    assert correlation(slopes, -second[X < 0]) < LIMIT * 1.1
    np.testing.assert_allclose(net.forward(X)[X < 0], -0.3, rtol=1e-6)


def test_same_seed_same_noise():
    X = np.ones((5, 30))
    nets = [passed(nn.Dropout(0.5), X)[0] for _ in range(2)]
    np.testing.assert_array_equal(*(net.forward(X, training=True) for net in nets))
