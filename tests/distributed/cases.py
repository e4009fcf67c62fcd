"""Fits that have the same bits on any number of processes, and the digest that tells it."""

import hashlib

import numpy as np

import relume
from relume import nn

N = 301
UNEVEN = (100, 0, 37, 1, 0, 90, 73)


def data(dtype="float32", n=N):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 9)).astype(dtype)
    return X, (X[:, :3] + 0.3 * rng.normal(size=(n, 3))).argmax(axis=1)


def plain(**options):
    return [nn.Dense(40, activation="relu"), nn.Dense(3)], options


def dropout():
    return [nn.Dense(40, activation="relu"), nn.Dropout(0.3), nn.Dense(3)], {}


def penalties():
    hidden = nn.Dense(300, activation="relu", l2=0.01, max_norm=1.0)
    optimizer = nn.AdamW(0.01, ema_decay=0.9, clip_norm=0.2)
    return [hidden, nn.Dense(3, l1=0.001)], {"optimizer": optimizer, "schedule": nn.Cosine(3)}


def clipped():
    """Gradients whose squares overflow in float64, and are large in float32."""
    return plain(loss="mse", optimizer=nn.Adam(0.01, clip_norm=0.2))


def batch_norm():
    return [nn.Dense(40), nn.BatchNorm(), nn.ReLU(), nn.Dense(3)], {}


CASES = {
    "cross entropy": plain,
    "mse": lambda: plain(loss="mse"),
    "dropout": dropout,
    "penalties": penalties,
    "clipped": clipped,
    "weights": plain,
    "batch norm": batch_norm,
    "lbfgs": lambda: plain(optimizer=nn.LBFGS(max_iter=5)),
    "early stopping": plain,
}


def case(name, groups, dtype):
    """A network, and X, y and the arguments of a fit."""
    layers, options = CASES[name]()
    net = nn.Network(layers, seed=1, dtype=dtype, **{"optimizer": nn.Adam(0.01)} | options)
    X, y = data(dtype)
    if name == "mse":
        y = X[:, :3] ** 2
    arguments = {"epochs": 2, "batch_size": 70, "groups": groups}
    if name == "clipped":
        y = X[:, :3] * (1e17 if dtype == "float32" else 1e152)
    if name == "weights":
        arguments["class_weight"] = "balanced"
        arguments["sample_weight"] = np.random.default_rng(3).random(N).astype(dtype)
    if name == "early stopping":
        arguments["epochs"] = 6
        arguments["callbacks"] = [nn.EarlyStopping(patience=1, min_delta=10.0)]
        arguments["validation_data"] = data(dtype, 50)
    return net, X, y, arguments


def digest(net, history):
    """A hash of all that a fit leaves, but for what depends on times."""
    weights = net._built()
    found = hashlib.blake2b(weights.parameters.tobytes(), digest_size=12)
    found.update(weights.optimizer_state.tobytes())
    found.update(b"" if weights.average is None else weights.average.tobytes())
    logs = {name: values for name, values in history.items() if name not in ("seconds", "skipped")}
    found.update(repr((history.epochs, sorted(logs.items()), weights.steps, net.epoch)).encode())
    return found.hexdigest()


def local(name, groups, dtype, threads=1):
    """The digest of a fit in this process."""
    net, X, y, arguments = case(name, groups, dtype)
    with relume.num_threads(threads):
        return digest(net, net.fit(X, y, **arguments))
