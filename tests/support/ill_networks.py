"""Networks with a known problem, and healthy ones, for tests of diagnostics."""

import numpy as np

from relume import nn
from relume.datasets.held_out import load_digits_split

DIGITS = load_digits_split()  # X, y, and X, y held out


def mlp(sizes, activation, n_outputs, **options):
    layers = [*(nn.Dense(n, activation=activation) for n in sizes), nn.Dense(n_outputs)]
    return nn.Network(layers, **options)


def digits_net(
    activation="relu", sizes=(64, 32), epochs=8, optimizer=None, X=DIGITS[0], **options
):
    net = mlp(sizes, activation, 10, optimizer=optimizer or nn.Adam(2e-3), **options)
    net.build(X.shape[1])
    if epochs:
        net.fit(X, DIGITS[1], epochs=epochs)
    return net


def changed(net, change):
    """The network after `change(name, array)` was called for each entry of its state."""
    state = net.state_dict()
    for name, value in state.items():
        change(name, value)
    net.load_state_dict(state)
    return net


def scaled(factor):
    def change(name, value):
        if name.endswith("weight"):
            value *= factor

    return change


def dead_layer(seed):
    def change(name, value):
        if name == "2.bias":
            value[:] = -100

    return changed(digits_net(seed=seed), change), *DIGITS[2:]


def exploding(seed):
    return changed(digits_net(sizes=(64,) * 4, epochs=0, seed=seed), scaled(8.0)), *DIGITS[:2]


def vanishing(seed):
    return digits_net("sigmoid", sizes=(32,) * 8, epochs=1, seed=seed), *DIGITS[:2]


def saturated(seed):
    return changed(digits_net("sigmoid", seed=seed), scaled(50.0)), *DIGITS[2:]


def unscaled(seed):
    return digits_net(X=DIGITS[0] * 255, epochs=3, seed=seed), DIGITS[2] * 255, DIGITS[3]


def wrong_initialization(seed):
    layers = [nn.Dense(64, "relu", weight_init=nn.Constant(0.1)), nn.Dense(10)]
    # Not trained: Adam magnifies rounding, so that the units differ after some epochs.
    return nn.Network(layers, seed=seed).build(64), *DIGITS[:2]


def too_high_rate(seed):
    return digits_net(optimizer=nn.Adam(0.1), epochs=5, seed=seed), *DIGITS[2:]


def too_low_rate(seed):
    return digits_net(optimizer=nn.Adam(1e-6), epochs=5, seed=seed), *DIGITS[2:]


def constant_feature(seed):
    X = DIGITS[0].copy()
    X[:, [0, 20]] = 0.5
    return digits_net(X=X, seed=seed), X, DIGITS[1]


def label_shift(seed):
    return digits_net(seed=seed), DIGITS[2], (DIGITS[3] + 1) % 10


ILL = {
    "dead_units": dead_layer,
    "exploding_gradient": exploding,
    "vanishing_gradient": vanishing,
    "saturated_units": saturated,
    "unscaled_input": unscaled,
    "bad_initialization": wrong_initialization,
    "learning_rate_high": too_high_rate,
    "learning_rate_low": too_low_rate,
    "constant_feature": constant_feature,
    "label_shift": label_shift,
}


def blobs(seed, n=600, width=8, classes=4):
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    X = rng.normal(0, 2, (classes, width))[y] + rng.normal(size=(n, width))
    return X.astype("float32"), y


def values(seed, n=800):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6)).astype("float32")
    return X, (np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=n)).astype("float32")


def _fitted(net, data, epochs):
    net.fit(*data, epochs=epochs)
    return net, *data


def deep_residual(seed):
    blocks = [nn.Residual([nn.Dense(32, "relu"), nn.Dense(32)]) for _ in range(5)]
    return nn.Network([nn.Dense(32, "relu"), *blocks, nn.Dense(10)], seed=seed)


def normalized(seed):
    return nn.Network(
        [nn.Dense(64), nn.BatchNorm(), nn.ReLU(), nn.Dropout(0.2), nn.Dense(32, "relu"),
         nn.LayerNorm(), nn.Dense(10)], seed=seed,
    )  # fmt: skip


def autoencoder(seed):
    layers = [nn.Dense(32, "relu"), nn.Dense(8), nn.Dense(32, "relu"), nn.Dense(64)]
    return nn.Network(layers, loss="mse", seed=seed)


HEALTHY = {
    "relu": lambda seed: (digits_net(seed=seed), *DIGITS[2:]),
    "usual": lambda seed: (
        digits_net(sizes=(256, 128), optimizer=nn.Adam(1e-3), seed=seed), *DIGITS[2:]
    ),
    "tanh": lambda seed: (digits_net("tanh", seed=seed), *DIGITS[2:]),
    "sigmoid": lambda seed: (digits_net("sigmoid", seed=seed), *DIGITS[2:]),
    "gelu": lambda seed: (digits_net("gelu", seed=seed), *DIGITS[2:]),
    "untrained": lambda seed: (digits_net(epochs=0, seed=seed), *DIGITS[:2]),
    "untrained and deep": lambda seed: (
        digits_net(sizes=(64,) * 8, epochs=0, seed=seed), *DIGITS[:2]
    ),
    "momentum": lambda seed: (digits_net(optimizer=nn.SGD(0.1, 0.9), seed=seed), *DIGITS[2:]),
    "residual": lambda seed: _fitted(deep_residual(seed), DIGITS[:2], 5),
    "normalized": lambda seed: _fitted(normalized(seed), DIGITS[:2], 5),
    "autoencoder": lambda seed: _fitted(autoencoder(seed), (DIGITS[0], DIGITS[0]), 10),
    "blobs": lambda seed: _fitted(mlp([16], "relu", 4, seed=seed), blobs(seed), 20),
    "tiny": lambda seed: _fitted(
        mlp([6], "tanh", 3, seed=seed, optimizer=nn.Adam(0.01)), blobs(seed, 300, 2, 3), 30
    ),
    "values": lambda seed: _fitted(
        mlp([32, 32], "relu", 1, loss="mse", seed=seed), values(seed), 20
    ),
}  # fmt: skip
