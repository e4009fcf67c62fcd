"""nn.Standardize of data with more digits than the network's dtype, in every way of using it."""

import warnings

import numpy as np
import pandas as pd
import pytest

from relume import nn
from relume.diagnostics import inspect
from tests.support import twin as plain

RNG = np.random.default_rng(0)
N = 90
SECONDS = 1.7e9 + RNG.permutation(N).astype(float)  # since 1970
DATA = {
    "seconds": SECONDS[:, None],
    "near 1e6": 1e6 + RNG.uniform(-0.5, 0.5, size=(N, 2)),
    "int64": (2**40 + RNG.integers(0, 100, size=(N, 2))),
    "int64 nanoseconds": (1_700_000_000_000_000_000 + RNG.integers(0, 1000, size=(N, 2))),
    "uint64": np.uint64(2**63) + RNG.integers(0, 10**6, size=(N, 1)).astype("uint64"),
    "int32": (2**30 + RNG.integers(0, 50, size=(N, 2))).astype("int32"),
    "longdouble": (1e9 + RNG.normal(size=(N, 1))).astype("longdouble"),
    "big and constant": np.column_stack([np.full(N, 1e12), SECONDS]),
}
DTYPES = ["float32", "float64"]


def exact(X):
    """(X - mean) / std, computed about the first row, which loses no digits."""
    if X.dtype.kind in "iu":
        near = (X - X.min(0)).astype("longdouble")
    else:
        near = (X - X[0]).astype("longdouble")
    std = near.std(0)
    return (near - near.mean(0)) / np.where(std > 0, std, 1)


def network(width, dtype="float32", learns=None):
    """One whose outputs are the standardized features."""
    net = nn.Network([nn.Standardize(), nn.Dense(width, use_bias=False)], loss="mse", dtype=dtype)
    if learns is not None:
        net.build(width)
        net.optimizer.lr = 1e-30
        learns(net)
        net.load_state_dict(net.state_dict() | {"1.weight": np.eye(width)})
    return net


WAYS = {
    "fit": lambda X: lambda net: net.fit(X, np.zeros(X.shape)),
    "train_on_batch": lambda X: lambda net: net.train_on_batch(X, np.zeros(X.shape)),
    "forward": lambda X: lambda net: net.forward(X, training=True),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", DATA)
def test_no_digits_are_lost(name, way, dtype):
    """The mean was subtracted in the network's dtype, which had rounded the data away."""
    X = DATA[name]
    net = network(X.shape[1], dtype, WAYS[way](X))
    # The mean of integers beyond 2^53 is one in float64, 128 off at most.
    slack = 0.5 if X.dtype.kind in "iu" and X.max() > 2**53 else 1e-5
    assert np.abs(net.forward(X).astype("longdouble") - exact(X)).max() < slack
    assert np.abs(net.forward(X).std(0)[exact(X).std(0) > 0] - 1).max() < 1e-5
    assert net.state_dict()["0.mean"].dtype == np.float64


FORMS = {
    "list": lambda X: X.tolist(),
    "frame": pd.DataFrame,
    "Fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "read-only": lambda X: np.frombuffer(X.tobytes()).reshape(X.shape),
}


@pytest.mark.parametrize("form", [*FORMS, "memory map"])
def test_forms_of_the_data_give_the_same_bits(form, tmp_path):
    X = np.column_stack([SECONDS, 1e6 + RNG.uniform(size=N)])
    y = X - X.mean(0)
    given = FORMS.get(form, lambda X: X)(X)
    if form == "memory map":
        np.save(tmp_path / "X.npy", X)
        given = np.load(tmp_path / "X.npy", mmap_mode="r")
    nets = [nn.Network([nn.Standardize(), nn.Dense(2)], loss="mse", seed=0) for _ in range(2)]
    for net, data in zip(nets, (X, given), strict=True):
        net.fit(data, y, epochs=2, validation_data=(data, y))
    plain.assert_same_bits(*nets)
    net = nets[0]
    for method in (net.predict, net.forward, lambda X: net.evaluate(X, y)["loss"]):
        np.testing.assert_array_equal(method(given), method(X))
    one = np.concatenate([net.forward(X[i : i + 1]) for i in range(N)])
    np.testing.assert_array_equal(one, net.forward(X))


def test_values_that_float32_holds_have_the_same_bits_in_every_dtype():
    """The engine subtracts from float32 rows what NumPy subtracts from wider ones."""
    X = (1e5 + RNG.normal(size=(N, 3))).astype("float32")
    nets = [nn.Network([nn.Standardize(), nn.Dense(2)], loss="mse", seed=0) for _ in range(2)]
    for net, data in zip(nets, (X, X.astype(float)), strict=True):
        net.fit(data, X[:, :2], epochs=2)
    plain.assert_same_bits(*nets)
    np.testing.assert_array_equal(nets[0].predict(X), nets[0].predict(X.astype(float)))
    np.testing.assert_array_equal(nets[0].predict(X[:1]), nets[0].predict(X[:1].tolist()))


def test_a_line_over_time_is_learned_everywhere(tmp_path):
    """By fit, held-out rows, minibatches, L-BFGS, copies, files, compact, inspect and Monitor."""
    X = SECONDS[:, None]
    y = (SECONDS - SECONDS.mean()) / SECONDS.std()
    net = nn.Network(
        [nn.Standardize(), nn.Dense(8, "relu"), nn.Dense(1)], loss="mse",
        optimizer=nn.Adam(0.02), seed=0,
    )  # fmt: skip
    history = net.fit(X, y, epochs=200, validation_split=0.2, callbacks=[nn.Monitor()])
    assert history["loss"][-1] < 0.01
    assert history["val_loss"][-1] < 0.02
    net.fit([(X[:50], y[:50]), (X[50:], y[50:])], epochs=2)
    assert net.evaluate(X, y)["loss"] < 0.01
    net.save(tmp_path / "net.safetensors")
    loaded = nn.load(tmp_path / "net.safetensors")
    small, _ = net.compact(X)
    for other in (loaded, small):
        np.testing.assert_allclose(other.predict(X), net.predict(X), atol=1e-5)
    np.testing.assert_array_equal(loaded.state_dict()["0.mean"], net.state_dict()["0.mean"])
    assert inspect(net, X, y).loss < 0.01
    by_lbfgs = nn.Network([nn.Standardize(), nn.Dense(1)], loss="mse", optimizer=nn.LBFGS())
    by_lbfgs.fit(X, y, epochs=2)
    assert by_lbfgs.evaluate(X, y)["loss"] < 1e-6


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1e150, 1e200, 1e306, 1e-200])
def test_features_whose_squares_overflow(size, dtype):
    """A scale of infinity made all features 0; float32 cannot hold these, and says so."""
    X = RNG.uniform(-1, 1, size=(N, 2)) * size
    if dtype == "float64":
        net = network(2, dtype, lambda net: net.train_on_batch(X, np.zeros((N, 2))))
        assert np.abs(net.forward(X) - exact(X / size)).max() < 1e-12
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = network(2)
        for call in (net.fit, net.train_on_batch):
            plain.assert_raises(ValueError, [r"\bX\b", "float32"], lambda: call(X, X * 0))  # noqa: B023
        with pytest.raises(RuntimeError):
            net.state_dict()


# -- ways of training agree --


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_loop_of_ones_own_learns_as_train_on_batch(dtype):
    """In forward it stayed the identity, silently, and a later fit moved the network's input."""
    Z = RNG.normal(100, 5, (64, 3)).astype(dtype)
    y = RNG.normal(size=(64, 1)).astype(dtype)
    nets = [
        nn.Network([nn.Standardize(), nn.Dense(1)], loss="mse", seed=0, dtype=dtype,
                   optimizer=nn.SGD(0.1)) for _ in range(2)
    ]  # fmt: skip
    nets[0].train_on_batch(Z, y)
    z = nets[1].forward(Z, training=True)
    nets[1].backward(2 * (z - y) / len(y))
    nets[1].step()
    states = [net.state_dict() for net in nets]
    for key in ("0.mean", "0.scale"):
        np.testing.assert_array_equal(states[0][key], states[1][key])
    np.testing.assert_allclose(states[0]["1.weight"], states[1]["1.weight"], rtol=1e-5)
    nets[1].fit(Z * 2, y)
    np.testing.assert_array_equal(nets[1].state_dict()["0.mean"], states[1]["0.mean"])


def test_a_forward_that_fails_teaches_nothing():
    Z = RNG.normal(size=(9, 3))
    net = nn.Network([nn.Standardize(), nn.Dropout(0.5), nn.Dense(1)], loss="mse", seed=0)
    bad = Z.copy()
    bad[4, 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        net.forward(bad, training=True)
    with pytest.raises(RuntimeError):
        net.state_dict()
    twin = nn.Network([nn.Standardize(), nn.Dropout(0.5), nn.Dense(1)], loss="mse", seed=0)
    np.testing.assert_array_equal(net.forward(Z, training=True), twin.forward(Z, training=True))
