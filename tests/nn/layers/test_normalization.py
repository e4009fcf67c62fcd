"""BatchNorm's statistics, and minibatches that are too short for it; GroupNorm; Standardize."""

import numpy as np
import pytest

from relume import nn
from tests.support import twin as plain


def network(*layers, **options):
    return nn.Network([*layers, nn.Dense(2)], loss="mse", seed=0, dtype="float64", **options)


@pytest.mark.parametrize("momentum", [0.1, 0.7, 1.0])
def test_running_statistics(momentum):
    """(1 - momentum) running + momentum batch, of the variance over rows - 1."""
    rng = np.random.default_rng(0)
    net = network(nn.BatchNorm(momentum=momentum)).build(5)
    mean, variance = np.zeros(5), np.ones(5)
    for step, rows in enumerate([2, 70, 33], 1):
        X = 3 + rng.normal(size=(rows, 5)) * np.arange(1, 6)
        if step == 2:
            net.forward(X, training=True)
        else:
            net.train_on_batch(X, rng.normal(size=(rows, 2)))
        mean = (1 - momentum) * mean + momentum * X.mean(0)
        variance = (1 - momentum) * variance + momentum * X.var(0, ddof=1)
        state = net.state_dict()
        np.testing.assert_allclose(state["0.running_mean"], mean, rtol=1e-12)
        np.testing.assert_allclose(state["0.running_var"], variance, rtol=1e-12)
        assert state["0.num_batches_tracked"].dtype == np.int64
        assert state["0.num_batches_tracked"] == step
    before = plain.bits(net)
    net.forward(X), net.evaluate(X, np.zeros((33, 2)))
    assert plain.bits(net) == before


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-11), ("float32", 1e-5)])
def test_a_large_mean_costs_no_digits(dtype, tolerance):
    """Neither of the mean nor of the variance, with many rows."""
    rng = np.random.default_rng(0)
    X = (1000 + rng.normal(size=(50_000, 3))).astype(dtype)
    net = nn.Network([nn.BatchNorm(momentum=1.0), nn.Dense(1)], loss="mse", dtype=dtype)
    net.forward(X, training=True)
    state, exact = net.state_dict(), X.astype("longdouble")
    assert np.abs(state["0.running_mean"] - exact.mean(0)).max() < 10 * tolerance
    np.testing.assert_allclose(state["0.running_var"], exact.var(0, ddof=1), rtol=10 * tolerance)


class Rows(nn.Callback):
    """Counts minibatches."""

    def __init__(self):
        self.batches = 0

    def on_batch_end(self, net, batch, loss):
        self.batches += 1


@pytest.mark.parametrize(
    ("rows", "batch_size", "batches"),
    [(65, 32, 2), (66, 32, 3), (5, 2, 2), (3, 2, 1), (33, 40, 1)],
)
def test_a_last_row_alone_joins_the_minibatch_before(rows, batch_size, batches):
    X, y = plain.data(rows, 5, 2, "mse")
    counter = Rows()
    nets = [network(nn.BatchNorm()), network(nn.BatchNorm())]
    nets[0].fit(X, y, batch_size=batch_size, epochs=2)
    nets[1].fit(X, y, batch_size=batch_size, epochs=2, callbacks=[counter])
    plain.assert_same_bits(*nets)
    assert counter.batches == 2 * batches
    assert nets[0].state_dict()["0.num_batches_tracked"] == 2 * batches


def test_one_row_is_too_few():
    X, y = plain.data(9, 5, 2, "mse")
    words = ["BatchNorm", "at least 2"]
    calls = {
        "batch_size": lambda net: net.fit(X, y, batch_size=1),
        "X": lambda net: net.fit(X[:1], y[:1]),
        "X ": lambda net: net.train_on_batch(X[:1], y[:1]),
        "X  ": lambda net: net.forward(X[:1], training=True),
        "X   ": lambda net: net.fit([(X[:1], y[:1])]),
    }
    for name, call in calls.items():
        net = network(nn.Residual([nn.BatchNorm(), nn.Dense(5)])).build(5)
        before = plain.bits(net)
        plain.assert_raises(ValueError, [rf"\b{name.strip()}\b", *words], lambda: call(net))  # noqa: B023
        assert plain.bits(net) == before
    net = network(nn.BatchNorm(), optimizer=nn.LBFGS())
    plain.assert_raises(ValueError, ["BatchNorm", "LBFGS"], lambda: net.fit(X, y))


def test_a_minibatch_that_fails_is_not_tracked():
    X, y = plain.data(9, 5, 2, "mse")
    net = network(nn.BatchNorm()).build(5)
    before = plain.bits(net)
    for bad in (np.where(np.arange(9)[:, None] == 8, np.nan, X), X * np.float64(1e300)):
        with pytest.raises((ValueError, FloatingPointError)):
            net.train_on_batch(bad, y * np.float64(1e200))
        assert plain.bits(net) == before


# -- GroupNorm --


def call_build(net):
    net.build(5)


def call_fit(net):
    net.fit(np.ones((4, 5)), np.ones((4, 2)))


@pytest.mark.parametrize("call", [call_build, call_fit])
@pytest.mark.parametrize(
    "layers",
    [
        [nn.Dense(8), nn.GroupNorm(3)],
        [nn.GroupNorm(2)],
        [nn.Residual([nn.Dense(8), nn.GroupNorm(16)])],
    ],
    ids=repr,
)
def test_groups_must_divide_the_units(layers, call):
    """The error names both; the network is left as it was, and loads nothing either."""
    net = network(*layers)
    plain.assert_raises(ValueError, [r"units\b", r"groups=\d", r"\b[58]\b"], lambda: call(net))
    with pytest.raises(RuntimeError):
        net.state_dict()


def test_one_group_is_layer_norm():
    X = np.random.default_rng(0).normal(size=(70, 6))
    nets = [network(layer).build(6) for layer in (nn.GroupNorm(1), nn.LayerNorm())]
    np.testing.assert_array_equal(nets[0].forward(X), nets[1].forward(X))


@pytest.mark.parametrize("value", [0, -2, 2.5, "2", None, True])
def test_groups_that_are_none(value):
    error = ValueError if value in (0, -2) and value is not True else TypeError
    plain.assert_raises(error, ["groups"], lambda: nn.GroupNorm(value))


# -- Standardize --


def test_standardize_learns_once():
    """From the first data, in float64 though the network is in float32; constants are left."""
    rng = np.random.default_rng(0)
    X = (1e4 + rng.normal(size=(5000, 4)) * [1, 10, 0.1, 0]).astype("float32")
    net = nn.Network([nn.Standardize(), nn.Dense(1)], loss="mse", seed=0)
    net.fit(X, X[:, 0])
    state, exact = net.state_dict(), X.astype("float64")
    np.testing.assert_allclose(state["0.mean"], exact.mean(0), rtol=1e-7)
    np.testing.assert_allclose(state["0.scale"][:3], exact[:, :3].std(0), rtol=1e-6)
    assert state["0.scale"][3] == 1
    net.fit(X * 2, X[:, 0])
    np.testing.assert_array_equal(net.state_dict()["0.mean"], state["0.mean"])


def test_standardize_without_mean():
    X = 5 + np.random.default_rng(0).normal(size=(50, 3))
    net = nn.Network([nn.Standardize(with_mean=False), nn.Dense(1)], loss="mse", dtype="float64")
    net.fit(X, X[:, 0])
    assert not net.state_dict()["0.mean"].any()
    np.testing.assert_allclose(net.state_dict()["0.scale"], X.std(0), rtol=1e-12)


@pytest.mark.parametrize("method", ["fit", "train_on_batch"])
def test_data_that_is_not_finite_teaches_nothing(method):
    X, y = plain.data(9, 5, 2, "mse")
    bad = X.copy()
    bad[3, 2] = np.inf
    nets = [network(nn.Standardize(), nn.Dropout(0.5)).build(5) for _ in range(2)]
    plain.assert_raises(ValueError, [r"\bX\b", "finite"], lambda: getattr(nets[0], method)(bad, y))
    plain.assert_same_bits(*nets)
    for net in nets:
        getattr(net, method)(X, y)
    plain.assert_same_bits(*nets)


def test_standardize_stands_first():
    for layers in ([nn.Dense(2), nn.Standardize()],
                   [nn.Residual([nn.Standardize(), nn.Dense(2)])]):  # fmt: skip
        plain.assert_raises(ValueError, ["Standardize", "first"], lambda: nn.Network(layers))  # noqa: B023


# -- values whose squares the dtype cannot hold --


def normalized(X, axis, eps):
    """(X - mean) / sqrt(var + eps) in extended precision, which holds all these squares."""
    X = X.astype("longdouble")
    centered = X - X.mean(axis, keepdims=True)
    return centered / np.sqrt((centered**2).mean(axis, keepdims=True) + np.longdouble(eps))


def grouped(X, eps):
    return normalized(X.reshape(len(X), 2, -1), 2, eps).reshape(X.shape)


NORMS = {
    "LayerNorm": (nn.LayerNorm, lambda X, eps: normalized(X, 1, eps)),
    "GroupNorm": (lambda eps: nn.GroupNorm(2, eps), grouped),
    "BatchNorm": (nn.BatchNorm, lambda X, eps: normalized(X, 0, eps)),
}
EXTREMES = [
    ("float32", 1e20, 1e-5), ("float32", 1e37, 1e-5), ("float32", 1e-25, 1e-60),
    ("float32", 1e-25, 1e-5), ("float32", 1e-18, 1e-36), ("float32", 1e-15, 1e-30),
    ("float64", 1e200, 1e-5), ("float64", 1e306, 1e-5), ("float64", 1e-200, 1e-307),
    ("float64", 1e-150, 1e-300), ("float64", 1.0, 1e-5),
]  # fmt: skip


@pytest.mark.parametrize("shift", [0, 3])
@pytest.mark.parametrize(("dtype", "size", "eps"), EXTREMES)
@pytest.mark.parametrize("name", NORMS)
def test_squares_beyond_the_dtype_are_normalized(name, dtype, size, eps, shift):
    """They overflowed, and all was 0; or underflowed, and eps alone was left."""
    layer, expected = NORMS[name]
    rng = np.random.default_rng(0)
    X = ((rng.uniform(-3, 3, size=(32, 18)) + shift) * size).astype(dtype)
    net = nn.Network([layer(eps=eps), nn.Dense(18, use_bias=False)], loss="mse", dtype=dtype)
    net.build(18)
    net.load_state_dict(net.state_dict() | {"1.weight": np.eye(18)})
    found, exact = net.forward(X, training=True), expected(X, eps)
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(found, exact.astype(dtype), rtol=tolerance, atol=1e-4 * tolerance
                               + tolerance * float(abs(exact).max()))  # fmt: skip
    # Central differences in extended precision, of one input at a time.
    weights = rng.normal(size=X.shape).astype(dtype)
    slopes = net.backward(weights)
    for i, j in ((0, 0), (5, 17), (31, 8)):
        step = np.longdouble(size) * np.longdouble(1e-5)
        sums = []
        for sign in (1, -1):
            moved = X.astype("longdouble")
            moved[i, j] += sign * step
            sums.append((weights * expected(moved, eps)).sum())
        slope = float((sums[0] - sums[1]) / (2 * step) * size)
        largest = float(np.abs(slopes.astype("longdouble")).max() * size)
        assert abs(float(slopes[i, j] * np.longdouble(size)) - slope) <= 1e-3 * largest + 1e-30


@pytest.mark.parametrize("name", ["LayerNorm", "GroupNorm"])
@pytest.mark.parametrize("value", [0.0, 1e20, 3e38, 1e-30])
def test_constant_rows_stay_0(name, value):
    """Also where their sum overflows; the gradient is finite."""
    net = nn.Network([NORMS[name][0](eps=1e-60), nn.Dense(6)], loss="mse", seed=0).build(6)
    net.load_state_dict(net.state_dict() | {"1.weight": np.eye(6), "1.bias": np.zeros(6)})
    X = np.full((3, 6), value, "float32")
    assert not net.forward(X, training=True).any()
    assert not np.isnan(net.backward(np.zeros((3, 6)))).any()


def test_rows_of_all_sizes_keep_the_bits_of_one_alone():
    """A row whose squares overflow takes another way, for that row alone."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 7)).astype("float32") * 10.0 ** rng.uniform(-30, 37, size=(150, 1))
    X = X.astype("float32")
    net = nn.Network([nn.LayerNorm(1e-30), nn.Dense(2)], loss="mse", seed=0).build(7)
    alone = np.concatenate([net.forward(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_array_equal(net.forward(X), alone)


def test_a_running_variance_beyond_the_dtype_is_an_error():
    """Predictions were the bias, silently."""
    X = (np.random.default_rng(0).normal(size=(32, 4)) * 1e20).astype("float32")
    net = nn.Network([nn.BatchNorm(), nn.Dense(2)], loss="mse", seed=0)
    assert np.isfinite(net.forward(X, training=True)).all()
    for call in (net.predict, net.forward, lambda X: net.evaluate(X, np.zeros((32, 2)))):
        words = ["running_var", "float32", "Standardize", "float64"]
        plain.assert_raises(FloatingPointError, words, lambda: call(X))  # noqa: B023


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batches_are_counted_beyond_2_to_24(dtype, tmp_path):
    """Where float32 has no next integer; in training, copies and files."""
    X = np.random.default_rng(0).normal(size=(8, 3))
    net = nn.Network([nn.BatchNorm(), nn.Dense(1)], loss="mse", seed=0, dtype=dtype).build(3)
    for count in (2**24 - 2, 2**24, 2**25 + 1, 2**40 + 2**24 - 1):
        net.load_state_dict(net.state_dict() | {"0.num_batches_tracked": count})
        assert net.state_dict()["0.num_batches_tracked"] == count
        net.forward(X, training=True)
        net.train_on_batch(X, X[:, 0])
        net.fit(X, X[:, 0], batch_size=4)
        found = net.state_dict()["0.num_batches_tracked"]
        assert found.dtype == np.int64
        assert found == count + 4
        net.save(tmp_path / "net.safetensors")
        loaded = nn.load(tmp_path / "net.safetensors").state_dict()
        assert loaded["0.num_batches_tracked"] == count + 4


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 8, 12, 15, 16, 30])
@pytest.mark.parametrize("groups", [1, 2])
def test_bits_of_a_row_do_not_depend_on_the_others(groups, n, dtype):
    """Short rows are transposed in tiles of 16, unless the squares of one of them overflow."""
    if n % groups:
        pytest.skip("the groups must have the same number of units")
    layer = nn.LayerNorm() if groups == 1 else nn.GroupNorm(groups)
    net = nn.Network([layer, nn.Dense(n)], loss="mse", dtype=dtype, seed=0).build(n)
    same = {"1.weight": np.eye(n), "1.bias": np.zeros(n)}
    net.load_state_dict({**net.state_dict(), **same})
    X = np.random.default_rng(n).normal(size=(37, n)).astype(dtype)
    X[20] *= 1e25
    whole = net.forward(X)
    for start, stop in [(0, 1), (3, 20), (20, 21), (5, 37), (16, 32)]:
        np.testing.assert_array_equal(net.forward(X[start:stop]), whole[start:stop])
    parts = X.astype(np.float64).reshape(37, groups, n // groups)
    centered = parts - parts.mean(-1, keepdims=True)
    expected = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(
        whole, expected.reshape(37, n), rtol=0, atol=2e-5 if dtype == "float32" else 1e-12
    )
