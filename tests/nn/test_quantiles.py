"""Several quantiles from one network: their meaning, order, shapes and other forms."""

import numpy as np
import pytest

from relume import nn

RNG = np.random.default_rng(0)
Q = [0.1, 0.5, 0.9]


def data(n=4000):
    """Noise whose spread depends on x, and its true quantiles."""
    X = RNG.uniform(-1, 1, (n, 1)).astype("float32")
    spread = 0.5 + X[:, 0] ** 2
    y = 3 + np.sin(3 * X[:, 0]) + spread * RNG.normal(size=n)
    true = (3 + np.sin(3 * X[:, 0]))[:, None] + spread[:, None] * [-1.2815515, 0, 1.2815515]
    return X, y, true


def network(outputs=3, q=Q, **options):
    layers = [nn.Dense(32, "tanh"), nn.Dense(32, "tanh"), nn.Dense(outputs)]
    return nn.Network(layers, loss=nn.Quantile(q), **{"seed": 0} | options)


@pytest.mark.parametrize("scale", [False, True])
def test_coverage(scale):
    """A share q of new rows lies below the q-quantile, also for small and for large x."""
    X, y, _ = data()
    net = network(optimizer=nn.Adam(0.03), scale_targets=scale, schedule=nn.Cosine(40))
    net.fit(X, y, epochs=40, batch_size=100)
    X, y, true = data(20000)
    predicted = net.predict(X)
    assert predicted.shape == (20000, 3)
    for part in (np.abs(X[:, 0]) < 0.5, np.abs(X[:, 0]) >= 0.5):
        share = (y[:, None] <= predicted)[part].mean(axis=0)
        np.testing.assert_allclose(share, Q, atol=0.04)
    assert np.abs(predicted - true).mean() < 0.2


def test_predictions_do_not_cross_and_fit_no_worse():
    net = network(6).build(1)  # untrained, so that the outputs cross
    X, y, _ = data(500)
    y = np.column_stack([y, -y])
    z, predicted = net.forward(X), net.predict(X)
    assert (np.diff(z[:, :3]) < 0).any()
    for column in (slice(3), slice(3, 6)):
        assert (np.diff(predicted[:, column]) >= 0).all()
        np.testing.assert_array_equal(predicted[:, column], np.sort(z[:, column]))

    def pinball(values):
        d = np.repeat(y, 3, axis=1) - values
        return np.maximum(d * np.tile(Q, 2), d * (np.tile(Q, 2) - 1)).mean()

    assert net.evaluate(X, y)["loss"] == pytest.approx(pinball(z), rel=1e-5)
    assert pinball(predicted) <= pinball(z)


def test_each_output_is_trained_as_alone():
    """Without shared layers each output is the network of one quantile."""
    X, y, _ = data(200)
    layers = {"layers": [nn.Dense(3)], "seed": 0, "optimizer": nn.SGD(0.1), "dtype": "float64"}
    net = nn.Network(loss=nn.Quantile(Q), **layers).build(1)
    start = net.state_dict()
    net.fit(X, y, epochs=3, shuffle=False)
    for i, q in enumerate(Q):
        one = nn.Network([nn.Dense(1)], loss=nn.Quantile(q), optimizer=nn.SGD(0.1 / 3),
                         dtype="float64")  # fmt: skip
        one.load_state_dict({name: value[i : i + 1] for name, value in start.items()})
        one.fit(X, y, epochs=3, shuffle=False)
        np.testing.assert_allclose(net.forward(X)[:, i], one.forward(X)[:, 0], rtol=1e-10)


@pytest.mark.parametrize("columns", [1, 2])
def test_targets_of_several_columns(columns):
    X, y, _ = data(50)
    y = np.column_stack([y, y + 5])[:, :columns]
    net = network(3 * columns, metrics=["mae"])
    net.fit(X, y, validation_split=0.2)
    assert net.predict(X).shape == (50, 3 * columns)
    repeated = network(3 * columns, metrics=["mae"])
    repeated.fit(X, np.repeat(y, 3, axis=1), validation_split=0.2)
    np.testing.assert_array_equal(net.predict(X), repeated.predict(X))
    error = np.abs(net.predict(X) - np.repeat(y, 3, axis=1)).mean()
    assert net.evaluate(X, y)["mae"] == pytest.approx(error)


@pytest.mark.parametrize(
    ("q", "message"),
    [
        ([], "q must be a number or a list of at least one"),
        ([0.5, 0.1], "q must hold quantiles in ascending order"),
        ([0.5, 0.5], "q must hold quantiles in ascending order"),
        ([0.1, 1.0], r"q\[1\] must be greater than 0 and less than 1"),
        ([[0.1, 0.5]], "q must be a number or a list"),
    ],
    ids=str,
)
def test_bad_quantiles(q, message):
    with pytest.raises(ValueError, match=message):
        nn.Quantile(q)


def test_outputs_must_be_as_many():
    with pytest.raises(ValueError, match="3 quantiles need 3 outputs, or a multiple of 3; got 4"):
        network(4)
    X, y, _ = data(20)
    with pytest.raises(ValueError, match=r"y must have shape \(n, 2\)"):
        network(6).fit(X, np.column_stack([y] * 4))
    with pytest.raises(ValueError, match=r"\(n, 2\), or a column .* nn.Dense\(3\) for 3"):
        network(6).fit(X, y)


def test_outputs_that_another_loss_had_must_be_as_many():
    """The error asked for targets of 0 columns."""
    X, y, _ = data(20)
    net = nn.Network([nn.Dense(2)], loss="mse", seed=0)
    net.fit(X, np.column_stack([y] * 2))
    net.loss = nn.Quantile([0.1, 0.5])
    net.loss.q = [0.1, 0.5, 0.9]
    with pytest.raises(ValueError, match="3 quantiles need 3 outputs, or a multiple of 3; got 2"):
        net.fit(X, y)


def test_saved_and_loaded(tmp_path):
    X, y, _ = data(50)
    net = network(scale_targets=True)
    net.fit(X, y)
    net.save(tmp_path / "net")
    other = nn.load(tmp_path / "net")
    assert other.loss == nn.Quantile(Q)
    np.testing.assert_array_equal(other.predict(X), net.predict(X))


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("columns", [1, 2])
def test_onnx_sorts_too(columns, scale, tmp_path):
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    X, y, _ = data(50)
    net = network(3 * columns, scale_targets=scale)
    net.fit(X, np.column_stack([y, -y])[:, :columns])
    assert (np.diff(net.forward(X)[:, :3]) < 0).any()
    net.to_onnx(tmp_path / "net.onnx")
    (found,) = ort.InferenceSession(tmp_path / "net.onnx").run(None, {"X": X})
    np.testing.assert_allclose(found, net.predict(X), rtol=1e-5, atol=1e-5)


def test_scikit_learn_cannot_sort():
    with pytest.raises(ValueError, match="which sorts them; use to_onnx"):
        network().build(1).to_sklearn()
