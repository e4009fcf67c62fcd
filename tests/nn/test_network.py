"""What a network computes: forward, backward, steps and predictions, against the plain twin."""

import numpy as np
import pytest
import scipy.sparse

import relume
from relume import datasets, nn
from tests.support import twin as plain

RELU, TANH = ("relu", {}), ("tanh", {})
LOSSES = ["cross_entropy", "mse"]
# Hidden layers: none, one of each width, two and three, one of them linear.
HIDDEN = {
    (): [],
    (1,): [RELU],
    (7,): [TANH],
    (64,): [RELU],
    (300,): [RELU],
    (7, 64): [RELU, TANH],
    (64, 7, 5): [("leaky_relu", {"negative_slope": 0.2}), None, ("sigmoid", {})],
}
# Around the 64 rows of a shard, and a single row.
ROWS = [1, 31, 64, 65, 200]
# float64: rounding, some hundred times over. float32: a sum of 300 products errs by about 1e-6
# of the largest, some layers and steps by ten times that; one digit is to spare.
TOLERANCES = {"float64": 1e-10, "float32": 1e-4}
OPTIMIZERS = {
    "sgd": ("SGD", {"lr": 0.05}),
    "momentum": ("SGD", {"lr": 0.02, "momentum": 0.9}),
    "nesterov": ("SGD", {"lr": 0.02, "momentum": 0.9, "nesterov": True}),
    "adam": ("Adam", {}),
    "adam-parameters": ("Adam", {"lr": 0.01, "betas": (0.7, 0.95), "eps": 1e-3}),
    "lion": ("Lion", {"lr": 1e-3, "betas": (0.8, 0.95), "weight_decay": 0.1}),
}
# Of fifty steps of the small networks here: the loss of each, and the weights after the last.
FIFTY = {"float64": 1e-10, "float32": 1e-5}
by_dtype = pytest.mark.parametrize("dtype", TOLERANCES)
by_loss = pytest.mark.parametrize("loss", LOSSES)
by_rows = pytest.mark.parametrize("rows", ROWS)
by_hidden = pytest.mark.parametrize("hidden", HIDDEN, ids=str)
by_case = pytest.mark.parametrize("case", plain.CASES, ids=plain.case_id)
by_sample = pytest.mark.parametrize("case", plain.SAMPLE, ids=plain.case_id)
by_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)


# -- Forward --


@by_dtype
@by_rows
@by_hidden
def test_forward(hidden, rows, dtype):
    net, twin = plain.pair(9, [*hidden, 10], [*HIDDEN[hidden], None], dtype=dtype)
    X, _ = plain.data(rows, 9, 10)
    for training in (False, True):
        z = net.forward(X, training=training)
        assert z.dtype == dtype
        plain.assert_close(z, twin.forward(X), TOLERANCES[dtype], f"training={training}")


@by_dtype
@pytest.mark.parametrize("sparse", [False, True])
def test_forward_without_bias(sparse, dtype):
    """What lies behind the weights was read as the bias of a layer that has none."""
    layers = [nn.Dense(units, use_bias=False) for units in (7, 5, 3)]
    net = nn.Network(layers, loss="mse", seed=0, dtype=dtype).build(9)
    X, expected = plain.data(200, 9, 3)[0], plain.data(200, 9, 3)[0]
    for weight in net.state_dict().values():
        expected = expected @ weight.T.astype("float64")
    plain.assert_close(
        net.predict(scipy.sparse.csr_array(X) if sparse else X), expected, TOLERANCES[dtype]
    )


@by_dtype
@by_case
def test_forward_of_each_activation(case, dtype):
    net, twin = plain.pair(7, [33, 12, 3], [case, case, None], dtype=dtype)
    X, _ = plain.data(70, 7, 3)
    plain.assert_close(net.forward(X), twin.forward(X), TOLERANCES[dtype])


@by_dtype
def test_forward_of_many_layers_and_outputs(dtype):
    """Forty layers, a thousand classes, more rows than a prediction takes at once."""
    cases = [*([TANH] * 40), None]
    net, twin = plain.pair(5, [*([11] * 40), 1000], cases, dtype=dtype)
    X, y = plain.data(3000, 5, 1000)
    plain.assert_close(net.forward(X), twin.forward(X), TOLERANCES[dtype])
    net.train_on_batch(X, y)
    twin.train_on_batch(X, y)
    plain.assert_close_parameters(net, twin, 100 * TOLERANCES[dtype])


def test_forward_on_extreme_inputs():
    """Saturated sums are no NaN: sigmoid, tanh and softmax have limits."""
    X = np.array([[1e30, -1e30], [3e38, 3e38], [-1e-40, 0.0]], dtype="float32")
    for name in ("sigmoid", "tanh"):
        net = nn.Network([nn.Dense(5, activation=name), nn.Dense(3)], seed=0).build(2)
        assert np.isfinite(net.forward(X)).all(), name
        assert np.isfinite(net.predict_proba(X)).all(), name
    net = nn.Network([nn.Dense(3)], seed=0).build(2)
    p = net.predict_proba(X[:1])
    assert sorted(p[0]) == [0, 0, 1], p


# -- Backward --


@by_dtype
@by_rows
@by_hidden
def test_backward(hidden, rows, dtype):
    net, twin = plain.pair(9, [*hidden, 4], [*HIDDEN[hidden], None], dtype=dtype)
    X, _ = plain.data(rows, 9, 4)
    dz = np.random.default_rng(5).normal(size=(rows, 4)).astype("float32")
    net.forward(X, training=True)
    dX = net.backward(dz)
    twin.forward(X)
    expected_dX, expected = twin.backward(dz)
    assert dX.dtype == dtype
    plain.assert_close(dX, expected_dX, TOLERANCES[dtype], "X")
    gradients = net.gradients()
    for (key, value), e in zip(gradients.items(), expected, strict=True):
        plain.assert_close(value, e, TOLERANCES[dtype], key)
    state = net.state_dict()
    assert {k: g.shape for k, g in gradients.items()} == {k: p.shape for k, p in state.items()}
    assert {g.dtype for g in gradients.values()} == {np.dtype(dtype)}


def central_difference(f, x, step=1e-5):
    """Return the gradient of `f` by each element of `x`, which is put back as it was."""
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        before = x[i]
        x[i] = before + step
        above = f()
        x[i] = before - step
        gradient[i] = (above - f()) / (2 * step)
        x[i] = before
    return gradient


@by_case
def test_backward_against_central_differences(case):
    """Hidden and output layer, so that each parameter and the input lie behind the activation."""
    net, _ = plain.pair(4, [6, 5, 3], [case, None, case])
    probe, _ = plain.pair(4, [6, 5, 3], [case, None, case])
    X = plain.data(9, 4, 3)[0].astype("float64")
    dz = np.random.default_rng(5).normal(size=(9, 3))
    net.forward(X, training=True)
    dX = net.backward(dz)
    state = net.state_dict()

    def objective():
        probe.load_state_dict(state)
        return np.sum(dz * probe.forward(X))

    plain.assert_close(dX, central_difference(objective, X), 1e-6, "X")
    for key, gradient in net.gradients().items():
        plain.assert_close(gradient, central_difference(objective, state[key]), 1e-6, key)


@by_loss
def test_loss_gradient_against_central_differences(loss):
    """A step of plain SGD with lr=1 moves each parameter by the gradient of `evaluate`."""
    net, _ = plain.pair(4, [6, 3], [TANH, None], loss, ("SGD", {"lr": 1.0}))
    X, y = plain.data(70, 4, 3, loss)
    state = net.state_dict()
    probe, _ = plain.pair(4, [6, 3], [TANH, None], loss)

    def objective():
        probe.load_state_dict(state)
        return probe.evaluate(X, y)["loss"]

    numeric = {key: central_difference(objective, state[key]) for key in state}
    net.train_on_batch(X, y)
    for key, value in net.state_dict().items():
        plain.assert_close(state[key] - value, numeric[key], 1e-6, key)


# -- Steps --


@by_dtype
@by_loss
@by_rows
@by_hidden
def test_one_step(hidden, rows, loss, dtype):
    # SGD: its step is the gradient, where Adam's first one is but the sign of it.
    cases = [*HIDDEN[hidden], None]
    net, twin = plain.pair(9, [*hidden, 10], cases, loss, ("SGD", {"lr": 0.1}), dtype)
    X, y = plain.data(rows, 9, 10, loss)
    mine, expected = net.train_on_batch(X, y), twin.train_on_batch(X, y)
    assert type(mine) is float
    assert mine == pytest.approx(expected, rel=TOLERANCES[dtype])
    plain.assert_close_parameters(net, twin, TOLERANCES[dtype])


def assert_fifty_steps(net, twin, X, y, dtype, batches=1):
    """The loss of each step and the weights after the last."""
    X, y = np.array_split(X, batches), np.array_split(y, batches)
    for step in range(50):
        batch = X[step % batches], y[step % batches]
        mine, expected = net.train_on_batch(*batch), twin.train_on_batch(*batch)
        assert mine == pytest.approx(expected, rel=FIFTY[dtype]), f"the loss of step {step + 1}"
    plain.assert_close_parameters(net, twin, FIFTY[dtype])


@by_dtype
@pytest.mark.parametrize("loss", plain.LOSSES)
@by_optimizer
def test_fifty_steps(optimizer, loss, dtype):
    """Ten epochs of five minibatches, of which some have a row less.

    The slopes of mae, of the quantiles and of relu jump. Of twelve seeds this one stays away from
    the jumps the farthest: 5e-6, about what rounding moves outputs in float32.
    """
    net, twin = plain.pair(9, [20, 8, 3], [RELU, TANH, None], loss, optimizer, dtype)
    X, y = plain.data(4 * 65 + 31, 9, 3, loss, seed=4)
    assert_fifty_steps(net, twin, X, y, dtype, batches=5)


@by_dtype
@by_hidden
def test_fifty_steps_of_each_shape(hidden, dtype):
    net, twin = plain.pair(9, [*hidden, 3], [*HIDDEN[hidden], None], dtype=dtype)
    assert_fifty_steps(net, twin, *plain.data(100, 9, 3), dtype)


@by_dtype
@by_case
def test_one_step_of_each_activation(case, dtype):
    """Hidden and of the output."""
    cases = [case, None, case]
    net, twin = plain.pair(7, [33, 12, 3], cases, "mse", ("SGD", {"lr": 1e-3}), dtype)
    X, y = plain.data(70, 7, 3, "mse")
    mine, expected = net.train_on_batch(X, y), twin.train_on_batch(X, y)
    assert mine == pytest.approx(expected, rel=TOLERANCES[dtype])
    plain.assert_close_parameters(net, twin, TOLERANCES[dtype])


@by_dtype
@by_case
def test_fifty_steps_of_each_activation(case, dtype):
    optimizer = ("SGD", {"lr": 1e-3, "momentum": 0.9})
    net, twin = plain.pair(7, [12, 3], [case, None], "mse", optimizer, dtype)
    assert_fifty_steps(net, twin, *plain.data(30, 7, 3, "mse"), dtype)


@by_dtype
@by_loss
@by_sample
def test_fifty_steps_with_an_activation_of_the_output(case, loss, dtype):
    net, twin = plain.pair(7, [12, 3], [TANH, case], loss, ("SGD", {"lr": 0.1}), dtype)
    X, y = plain.data(70, 7, 3, loss)
    assert_fifty_steps(net, twin, X, y, dtype)
    plain.assert_close(net.forward(X), twin.forward(X), FIFTY[dtype])


@by_dtype
@by_loss
def test_fifty_steps_by_hand(loss, dtype):
    """forward, backward and step with the loss's own gradient are `train_on_batch`."""
    optimizer = OPTIMIZERS["adam-parameters"]
    net, twin = plain.pair(9, [20, 3], [RELU, None], loss, optimizer, dtype)
    whole, _ = plain.pair(9, [20, 3], [RELU, None], loss, optimizer, dtype)
    X, y = plain.data(65, 9, 3, loss)
    for _ in range(50):
        net.backward(twin.loss(net.forward(X, training=True).astype("float64"), y)[1])
        net.step()
        twin.train_on_batch(X, y)
        whole.train_on_batch(X, y)
    plain.assert_close_parameters(net, twin, TOLERANCES[dtype])
    for key, value in whole.state_dict().items():
        plain.assert_close(net.state_dict()[key], value, TOLERANCES[dtype], key)


# -- Predictions and figures --


@by_dtype
@pytest.mark.parametrize("rows", [1, 5, 64, 200, 1000])
def test_predictions(rows, dtype):
    net, twin = plain.pair(9, [64, 7, 5], [RELU, TANH, None], dtype=dtype)
    X, y = plain.data(rows, 9, 5)
    z = twin.forward(X)
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    proba, labels = net.predict_proba(X), net.predict(X)
    assert (proba.dtype, labels.dtype) == (dtype, "int64")
    plain.assert_close(proba, p, TOLERANCES[dtype])
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-6)
    np.testing.assert_array_equal(labels, net.forward(X).argmax(1))
    figures = net.evaluate(X, y)
    assert list(figures) == ["loss", "accuracy"]
    assert {type(value) for value in figures.values()} == {float}
    assert figures["accuracy"] == pytest.approx(np.mean(labels == y), abs=1e-12)
    assert figures["loss"] == pytest.approx(twin.loss(z, y)[0], rel=TOLERANCES[dtype])


@by_dtype
@pytest.mark.parametrize("outputs", [1, 4])
def test_values(outputs, dtype):
    net, twin = plain.pair(9, [30, outputs], [RELU, None], "mse", dtype=dtype)
    X, y = plain.data(70, 9, outputs, "mse")
    z = twin.forward(X)
    expected = z[:, 0] if outputs == 1 else z
    plain.assert_close(net.predict(X), expected, TOLERANCES[dtype])
    figures = net.evaluate(X, y)
    assert list(figures) == ["loss"]
    assert figures["loss"] == pytest.approx(twin.loss(z, y)[0], rel=TOLERANCES[dtype])


@by_dtype
def test_rows_alone_and_in_a_batch(dtype):
    net, _ = plain.pair(50, [300, 64, 7], [RELU, TANH, None], dtype=dtype)
    X, _ = plain.data(130, 50, 7)
    z, p = net.forward(X), net.predict_proba(X)
    tolerance = {"float64": 1e-13, "float32": 1e-5}[dtype]
    for i in range(len(X)):
        plain.assert_close(net.forward(X[i : i + 1]), z[i : i + 1], tolerance, f"row {i}")
        plain.assert_close(net.predict_proba(X[i : i + 1]), p[i : i + 1], tolerance, f"row {i}")


@by_dtype
@pytest.mark.parametrize("outputs", [2, 3, 10, 33, 70])
@pytest.mark.parametrize("rows", [1, 3, 20, 517])
def test_probabilities_are_those_of_relume_softmax(rows, outputs, dtype):
    """Prediction and the function share one softmax, whatever rows a shard has."""
    net = nn.Network([nn.Dense(outputs)], dtype=dtype, seed=0).build(5)
    X = 9 * np.random.default_rng(0).normal(size=(rows, 5)).astype(dtype)
    z = net.forward(X)
    np.testing.assert_array_equal(net.predict_proba(X), relume.softmax(z))


def test_cross_entropy_of_confident_networks():
    """-log softmax is computed from the logits: exp alone overflows at 89, log alone gives inf."""
    net = nn.Network([nn.Dense(2)], seed=0).build(1)
    net.load_state_dict({"0.weight": [[1.0], [0.0]], "0.bias": [0.0, 0.0]})
    for logit in (50.0, 200.0, 30000.0):
        assert net.evaluate([[logit]], [1])["loss"] == pytest.approx(logit, rel=1e-6)
        assert net.evaluate([[logit]], [0])["loss"] == pytest.approx(0, abs=1e-20)
        assert net.train_on_batch([[-logit]], [1]) == pytest.approx(0, abs=1e-20)


# -- It learns --


@pytest.mark.parametrize("name", dict(plain.SAMPLE))
def test_learns_xor(name):
    X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    net = nn.Network([nn.Dense(16, activation=name), nn.Dense(2)], optimizer=nn.Adam(0.05), seed=0)
    net.fit(X, y, epochs=300)
    assert net.predict(X).tolist() == y


def test_learns_digits():
    X, y = datasets.load_digits(return_X_y=True)
    X = X / 16
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(y == label)) for label in range(10)]
    held_out = np.concatenate([r[: len(r) // 4] for r in rows])
    rest = np.concatenate([r[len(r) // 4 :] for r in rows])
    layers = [nn.Dense(64, activation="relu"), nn.Dense(32, activation="relu"), nn.Dense(10)]
    net = nn.Network(layers, seed=0)
    net.fit(X[rest], y[rest], epochs=30)
    assert net.evaluate(X[held_out], y[held_out])["accuracy"] >= 0.95
