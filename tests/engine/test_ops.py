"""Every layer: outputs beside a plain twin, gradients beside central differences, threads."""

import numpy as np
import pytest

import relume
from relume import nn
from tests.support import layer_twin
from tests.support import twin as plain

TOLERANCES = {"float64": 1e-12, "float32": 1e-5}
by_dtype = pytest.mark.parametrize("dtype", TOLERANCES)

# Lists of layers between an input of any width and 3 outputs, as functions: each test has its own.
CASES = {
    "linear": lambda: [nn.Dense(3)],
    "no bias": lambda: [nn.Dense(5, "tanh", use_bias=False), nn.Dense(3, use_bias=False)],
    "activation first": lambda: [nn.SiLU(), nn.Dense(3)],
    "activation of its own": lambda: [nn.Dense(5), nn.LeakyReLU(0.2), nn.Dense(3)],
    "activation last": lambda: [nn.Dense(3, "tanh")],
    "activations in a row": lambda: [nn.Dense(5, "gelu"), nn.Tanh(), nn.ELU(), nn.Dense(3)],
    "prelu": lambda: [nn.Dense(17, nn.PReLU()), nn.Dense(3)],
    "prelu per unit": lambda: [nn.Dense(17, nn.PReLU(0.1, per_unit=True)), nn.Dense(3)],
    "prelu first": lambda: [nn.PReLU(per_unit=True), nn.Dense(3)],
    "prelu last": lambda: [nn.Dense(3, nn.PReLU(-0.3, per_unit=True))],
    "prelu twice": lambda: [nn.PReLU(), nn.PReLU(0.5), nn.Dense(3), nn.PReLU()],
    "rrelu": lambda: [nn.Dense(17, nn.RReLU()), nn.Dense(3)],
    "rrelu first": lambda: [nn.RReLU(0.2, 0.2), nn.Dense(3)],
    "dropout": lambda: [nn.Dense(17, "relu"), nn.Dropout(0.4), nn.Dense(3)],
    "dropout behind silu": lambda: [nn.Dense(17, "silu"), nn.Dropout(0.4), nn.Dense(3)],
    "dropout first": lambda: [nn.Dropout(0.3), nn.Dense(3)],
    "dropout last": lambda: [nn.Dense(3), nn.Dropout(0.3)],
    "dropout twice": lambda: [nn.Dense(9), nn.Dropout(0.3), nn.Dropout(0.2), nn.Dense(3)],
    "alpha dropout": lambda: [nn.Dense(17, "selu"), nn.AlphaDropout(0.2), nn.Dense(3)],
    "batch norm": lambda: [nn.Dense(9), nn.BatchNorm(), nn.ReLU(), nn.Dense(3)],
    "batch norm first": lambda: [nn.BatchNorm(eps=0.1), nn.Dense(3)],
    "batch norm last": lambda: [nn.Dense(3), nn.BatchNorm()],
    "batch norm twice": lambda: [nn.Dense(9), nn.BatchNorm(), nn.BatchNorm(), nn.Dense(3)],
    "layer norm": lambda: [nn.Dense(9, "tanh"), nn.LayerNorm(), nn.Dense(3)],
    "layer norm first": lambda: [nn.LayerNorm(eps=0.01), nn.Dense(3)],
    "layer norm last": lambda: [nn.Dense(3), nn.LayerNorm()],
    "group norm": lambda: [nn.Dense(12, "tanh"), nn.GroupNorm(4), nn.Dense(3)],
    "group norm first": lambda: [nn.GroupNorm(2, eps=0.01), nn.Dense(3)],
    "group norm last": lambda: [nn.Dense(3), nn.GroupNorm(1)],
    "group norm of wide groups": lambda: [nn.Dense(74), nn.GroupNorm(2), nn.Dense(3)],
    "groups of one unit": lambda: [nn.Dense(5, "silu"), nn.GroupNorm(5), nn.Dense(3)],
    "scale": lambda: [nn.Dense(9, "relu"), nn.Scale(), nn.Dense(3)],
    "scale first": lambda: [nn.Scale(), nn.Dense(3)],
    "scale last": lambda: [nn.Dense(3), nn.Scale()],
    "scale behind an activation": lambda: [nn.Dense(9, "tanh"), nn.Scale(), nn.ReLU(),
                                           nn.Dropout(0.2), nn.Scale(), nn.Dense(3)],
    "residual of scale and groups": lambda: [
        nn.Residual([nn.GroupNorm(3), nn.Scale(), nn.Dense(6), nn.Scale()]),
        nn.Dense(3),
    ],
    "norms in a row": lambda: [
        nn.Dense(9),
        nn.LayerNorm(),
        nn.BatchNorm(),
        nn.Tanh(),
        nn.Dense(3),
    ],
    "residual": lambda: [
        nn.Dense(5),
        nn.Residual([nn.Dense(8, "tanh"), nn.Dense(5)]),
        nn.Dense(3),
    ],
    "residual projected": lambda: [nn.Dense(5), nn.Residual([nn.Dense(8, "tanh")]), nn.Dense(3)],
    "residual first": lambda: [nn.Residual([nn.Dense(7, "silu")]), nn.Dense(3)],
    "residual alone": lambda: [nn.Residual([nn.Dense(3)])],
    "residual begins with an activation": lambda: [
        nn.Dense(5, "relu"),
        nn.Residual([nn.Tanh(), nn.Dense(5), nn.ReLU()]),
        nn.Dense(3),
    ],
    "residual of noise": lambda: [
        nn.Dense(5),
        nn.Residual([nn.Dropout(0.3), nn.Dense(5, nn.RReLU()), nn.Dropout(0.2)]),
        nn.Dropout(0.1),
        nn.Dense(3),
    ],
    "residual of norms": lambda: [
        nn.Residual([nn.BatchNorm(), nn.ReLU(), nn.Dense(6), nn.LayerNorm(), nn.Dense(6)]),
        nn.BatchNorm(),
        nn.Dense(3),
    ],
    "nested": lambda: [
        nn.Residual([nn.Residual([nn.Dense(4, "tanh"), nn.BatchNorm()]), nn.Dense(6), nn.PReLU()]),
        nn.Residual([nn.Residual([nn.Tanh(), nn.Dense(6)]), nn.Dropout(0.2)]),
        nn.Dense(3),
    ],
    "standardize": lambda: [nn.Standardize(), nn.Dense(7, "tanh"), nn.Dense(3)],
    "standardize, then residual": lambda: [nn.Standardize(), nn.Residual([nn.Dense(3)])],
    "activity penalty of 0": lambda: [nn.Dense(9, "relu"), nn.ActivityL1(0.0), nn.Dense(3)],
    "sine": lambda: [nn.Dense(9, nn.Sine(3.0)), nn.Dense(3)],
    "fat relu": lambda: [nn.Dense(9, "fat_relu"), nn.Dense(7, nn.FATReLU(0.5)), nn.Dense(3)],
    "sine first": lambda: [nn.Sine(), nn.Dense(3), nn.Sine(0.5)],
}  # fmt: skip
by_case = pytest.mark.parametrize("make", CASES.values(), ids=CASES)


def randomized(layers, width, dtype="float64", **options):
    """A network whose parameters and statistics all differ from their initial values."""
    net = nn.Network(layers, loss="mse", seed=0, dtype=dtype, **options).build(width)
    rng = np.random.default_rng(3)
    state = {
        name: value if value.dtype == np.int64 else value + 0.3 * rng.random(value.shape)
        for name, value in net.state_dict().items()
    }
    net.load_state_dict(state)
    return net


def plainer(layers):
    """The layers, with noise of rate 0."""
    for layer in layers:
        if isinstance(layer, nn.Dropout):
            layer.rate = 0.0
        elif isinstance(layer, nn.Residual):
            plainer(layer.layers)
        rrelu = getattr(layer, "activation", layer)
        if isinstance(rrelu, nn.RReLU):
            rrelu.lower = rrelu.upper
    return layers


@by_dtype
@by_case
@pytest.mark.parametrize("rows", [2, 63, 64, 65, 150])
def test_outputs(make, rows, dtype):
    """In prediction, and in training without noise, whose output `forward` keeps."""
    X = np.random.default_rng(4).normal(size=(rows, 6)).astype(dtype)
    net = randomized(make(), 6, dtype)
    state = {name: value.astype("float64") for name, value in net.state_dict().items()}
    expected = layer_twin.forward(net.layers, state, X)
    plain.assert_close(net.forward(X), expected, TOLERANCES[dtype] * 10, "prediction")
    net = randomized(plainer(make()), 6, dtype)
    state = {name: value.astype("float64") for name, value in net.state_dict().items()}
    expected = layer_twin.forward(net.layers, state, X, training=True)
    plain.assert_close(net.forward(X, training=True), expected, TOLERANCES[dtype] * 20, "training")


@by_case
def test_one_row(make):
    net = randomized(make(), 6)
    X = np.random.default_rng(4).normal(size=(150, 6))
    for i in (0, 63, 64, 149):
        plain.assert_close(net.forward(X[i : i + 1]), net.forward(X)[i : i + 1], 1e-13, f"row {i}")
    if "BatchNorm" in repr(net):
        call = lambda: net.forward(X[:1], training=True)  # noqa: E731
        plain.assert_raises(ValueError, [r"\bX\b", "at least 2", "BatchNorm"], call)
    else:
        z = net.forward(X[:1], training=True)
        assert net.backward(np.ones_like(z)).shape == (1, 6)


# -- gradients --


def differences(f, array, step=1e-6):
    """Central differences of the number f() by each element of an array, which it reads."""
    result = np.empty_like(array)
    for place in np.ndindex(array.shape):
        value = array[place]
        ends = []
        for array[place] in (value + step, value - step):
            ends.append(f())
        array[place] = value
        result[place] = (ends[0] - ends[1]) / (2 * step)
    return result


@by_case
@pytest.mark.parametrize("rows", [5, 67])
def test_gradients(make, rows):
    """By the parameters and by X; the noise of all passes is made the same."""
    rng = np.random.default_rng(5)
    net = randomized(make(), 6)
    X, dz = rng.normal(size=(rows, 6)), rng.normal(size=(rows, 3))
    random = net._rng.bit_generator.state

    def total():
        net._rng.bit_generator.state = random
        return float((net.forward(X, training=True) * dz).sum())

    total()
    dX = net.backward(dz)
    gradients = net.gradients()
    last = slice(max(rows - 7, 0), rows)  # on both sides of the border of two shards
    plain.assert_close(dX[last], differences(total, X[last]), 1e-6, "X")
    views = net._weights.named(net._weights.parameters, statistics=False)
    assert gradients.keys() == views.keys()
    # To the largest of all: the bias before a batch_norm has none.
    largest = max(np.abs(g).max() for g in gradients.values())
    for name, view in views.items():
        error = np.abs(gradients[name] - differences(total, view)).max()
        assert error <= 1e-6 * largest, f"{name}: error {error:.2e} beside {largest:.2e}"


PENALIZED = {
    "weights": lambda: [nn.Dense(5, "tanh", l1=0.03, l2=0.02), nn.Dense(3, l2=0.1)],
    "activity": lambda: [nn.Dense(5, "tanh"), nn.ActivityL1(0.3), nn.Dense(3)],
    "activity before relu": lambda: [nn.Dense(5), nn.ActivityL1(0.3), nn.ReLU(), nn.Dense(3)],
    "both": lambda: [
        nn.Residual([nn.Dense(5, "silu", l1=0.03), nn.ActivityL1(0.2), nn.Dense(6)]),
        nn.LayerNorm(),
        nn.ActivityL1(0.1),
        nn.Dense(3, l1=0.02),
    ],
}  # fmt: skip


@pytest.mark.parametrize("make", PENALIZED.values(), ids=PENALIZED)
@pytest.mark.parametrize("rows", [5, 67])
def test_gradients_of_penalties(make, rows):
    """Of the loss that a step reports: SGD of rate 1 subtracts its gradient.

    abs and relu have a kink at 0: a value within 1e-6 of it, as none is here, would fail.
    """
    X, y = plain.data(rows, 6, 3, "mse")
    net = randomized(make(), 6, optimizer=nn.SGD(1.0))
    before = net.state_dict()
    moved = {name: value.copy() for name, value in before.items()}

    def loss():
        net.load_state_dict(moved)
        return net.train_on_batch(X, y)

    loss()
    after = net.state_dict()
    for name, value in moved.items():
        numeric = differences(loss, value)
        plain.assert_close(before[name] - after[name], numeric, 1e-6, name)


# -- threads --

WIDE = {
    "dense": lambda: [nn.Dense(65, "relu", use_bias=False, l1=1e-3, l2=1e-3, max_norm=2.0)],
    "prelu": lambda: [nn.Dense(65, nn.PReLU()), nn.Dense(65, nn.PReLU(per_unit=True))],
    "noise": lambda: [nn.Dropout(0.1), nn.Dense(65, nn.RReLU()), nn.AlphaDropout(0.2)],
    "norms": lambda: [nn.Dense(65), nn.BatchNorm(), nn.ReLU(), nn.LayerNorm()],
    "groups": lambda: [nn.Dense(65, "relu"), nn.Scale(), nn.GroupNorm(13)],
    "residual": lambda: [
        nn.Residual([nn.Dense(65, "relu"), nn.BatchNorm(), nn.Dropout(0.2), nn.Dense(31)]),
        nn.Residual([nn.Dense(31, "silu")]),
    ],
    "standardize": lambda: [nn.Standardize(), nn.Dense(65, nn.Sine())],
}  # fmt: skip


@by_dtype
@pytest.mark.parametrize("make", WIDE.values(), ids=WIDE)
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.1, "ema_decay": 0.9}], ids=str)
def test_bits_do_not_depend_on_threads(make, options, dtype):
    """Minibatches of 200 rows are four shards; the last ones, of 130, three."""
    X, y = plain.data(530, 300, 3)
    nets, outputs = [], []
    for threads in (1, 2, 3):
        with relume.num_threads(threads):
            net = nn.Network(
                [*make(), nn.Dense(3)], optimizer=nn.Adam(0.01, **options), seed=0, dtype=dtype
            )
            net.fit(X, y, epochs=2, batch_size=200)
            net.train_on_batch(X, y)
            net.backward(net.forward(X, training=True))
            net.step()
            nets.append(net)
            outputs.append(net.forward(X))
    for threads, net, z in zip((2, 3), nets[1:], outputs[1:], strict=True):
        plain.assert_same_bits(net, nets[0], f"{threads} threads")
        np.testing.assert_array_equal(z, outputs[0])
        if options:
            plain.assert_same_bits(net.averaged(), nets[0].averaged(), f"{threads} threads")


# -- what a Dense takes --


def stepped(layers, rows=40, **options):
    """A network, its state before and after one step of SGD at the rate 1, and the loss."""
    X, y = plain.data(rows, 6, 3, "mse")
    net = randomized(layers, 6, optimizer=nn.SGD(1.0, **options))
    before = net.state_dict()
    loss = net.train_on_batch(X, y)
    return net, before, net.state_dict(), loss, (X, y)


def test_penalties():
    """By the loss that a step reports, and by the change that it makes: of weights, not biases."""
    layers = [nn.Dense(4, "tanh", l1=0.3, l2=0.2), nn.Dense(3, l2=0.5)]
    net, before, after, loss, (X, y) = stepped(layers)
    _, _, free, loss_free, _ = stepped([nn.Dense(4, "tanh"), nn.Dense(3)])
    w0, w1 = before["0.weight"], before["2.weight"]
    penalty = 0.3 * np.abs(w0).sum() + 0.2 * (w0**2).sum() + 0.5 * (w1**2).sum()
    assert loss == pytest.approx(loss_free + penalty, rel=1e-12)
    by_weight = {"0.weight": 0.3 * np.sign(w0) + 0.4 * w0, "2.weight": w1}
    for name, value in after.items():
        expected = free[name] - by_weight.get(name, 0)
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12, err_msg=name)
    assert net.evaluate(X, y)["loss"] < net.train_on_batch(X, y), "evaluate is without penalties"


def test_max_norm():
    """Of the weights into each unit, biases apart; the average follows what is kept."""
    layers = [nn.Dense(33, "tanh", max_norm=0.7), nn.Dense(3)]
    net, before, after, _, _ = stepped(layers, ema_decay=0.75)
    _, _, free, _, _ = stepped([nn.Dense(33, "tanh"), nn.Dense(3)])
    norms = np.linalg.norm(free["0.weight"], axis=1, keepdims=True)
    assert (norms > 0.7).any()
    assert (norms < 0.7).any()
    free["0.weight"] /= np.maximum(norms / 0.7, 1)
    for name, value in after.items():
        np.testing.assert_allclose(value, free[name], rtol=1e-12, atol=1e-14, err_msg=name)
    for name, value in net.averaged().state_dict().items():
        expected = 0.75 * before[name] + 0.25 * after[name]
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-14, err_msg=name)


def test_frozen_layers():
    """Nothing of them changes, by decay and limits neither; what is before them learns on."""
    layers = [
        nn.Dense(8, "tanh"),
        nn.Dense(8, nn.PReLU(), l2=0.1, max_norm=0.1, trainable=False),
        nn.Dense(3),
    ]
    _, before, after, _, _ = stepped(layers, weight_decay=0.1, momentum=0.9, clip_norm=1.0)
    frozen = {name for name in before if np.array_equal(before[name], after[name])}
    assert frozen == {"2.weight", "2.bias", "3.weight"}


@pytest.mark.parametrize("scale", [0.25, 2.0])
def test_lr_scale(scale):
    """Of the layer and the slopes that it learns."""
    first = {"units": 8, "activation": nn.PReLU(per_unit=True)}
    _, before, after, _, _ = stepped([nn.Dense(**first, lr_scale=scale), nn.Dense(3)])
    _, _, free, _, _ = stepped([nn.Dense(**first), nn.Dense(3)])
    for name, value in after.items():
        factor = scale if name[0] in "01" else 1
        expected = before[name] + factor * (free[name] - before[name])
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-13, err_msg=name)


def test_initial_biases():
    net = nn.Network([nn.Dense(4, bias_init=0.5), nn.Dense(3, bias_init=nn.Constant(2.0))]).build(
        6
    )
    assert (net.state_dict()["0.bias"] == 0.5).all()
    assert (net.state_dict()["1.bias"] == 2.0).all()


def test_all_layers_frozen():
    """A network that learns nothing still trains, as far as there is anything to do."""
    _, before, after, loss, _ = stepped([nn.Dense(3, trainable=False)], clip_norm=1.0)
    assert np.isfinite(loss)
    for name, value in after.items():
        np.testing.assert_array_equal(value, before[name])


@by_dtype
@pytest.mark.parametrize("omega", [1.0, 30.0])
def test_sine_and_its_slope_are_accurate(omega, dtype):
    """To a few units in the last place, as far as the docstring of nn.Sine goes."""
    most = {"float32": 6e3, "float64": 1e8}[dtype] / omega
    X = np.random.default_rng(0).uniform(-most, most, size=(500, 200)).astype(dtype)
    X[:100] = np.random.default_rng(0).uniform(-3, 3, size=(100, 200))
    net = nn.Network([nn.Sine(omega), nn.Dense(200, use_bias=False)], loss="mse", dtype=dtype)
    net.load_state_dict({"1.weight": np.eye(200)})
    turned = (X * np.asarray(omega, dtype)).astype("longdouble")
    eps = np.finfo(dtype).eps
    assert np.abs(net.forward(X, training=True) - np.sin(turned)).max() < 2 * eps
    slope = net.backward(np.ones_like(X))
    assert np.abs(slope - omega * np.cos(turned)).max() < 3 * eps * omega


def test_wrong_statistics_are_not_loaded():
    """A scale of 0 was, and predictions were NaN; so were counts of -1 and 1.5."""
    net = nn.Network([nn.Standardize(), nn.Dense(3), nn.BatchNorm()]).build(6)
    before = plain.bits(net)
    for name, value, word in (
        ("2.running_var", np.full(3, -1.0), "negative"),
        ("0.scale", np.zeros(6), "greater than 0"),
        ("2.num_batches_tracked", -1, "integer"),
        ("2.num_batches_tracked", 1.5, "integer"),
    ):
        state = net.state_dict() | {name: value}
        plain.assert_raises(ValueError, [name, word], lambda: net.load_state_dict(state))  # noqa: B023
        assert plain.bits(net) == before


@by_dtype
def test_max_norm_of_weights_whose_squares_overflow(dtype):
    """The limit made all weights of such a unit 0."""
    size = {"float32": 1e25, "float64": 1e200}[dtype]
    net = nn.Network(
        [nn.Dense(3, max_norm=0.5)], loss="mse", dtype=dtype, optimizer=nn.SGD(1e-300), seed=0
    ).build(4)
    weight = np.random.default_rng(0).normal(size=(3, 4))
    weight[0] *= size
    net.load_state_dict({"0.weight": weight, "0.bias": np.zeros(3)})
    net.train_on_batch(np.zeros((2, 4)), np.zeros((2, 3)))
    norms = np.sqrt((weight.astype("longdouble") ** 2).sum(axis=1, keepdims=True))
    expected = (weight * np.minimum(1, 0.5 / norms)).astype(dtype)
    np.testing.assert_allclose(net.state_dict()["0.weight"], expected, rtol=1e-5)
