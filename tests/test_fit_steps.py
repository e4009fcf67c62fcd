"""The same step in all its forms; limits of gradients and averages; losses in Python; L-BFGS."""

import numpy as np
import pytest

import relume
from relume import nn

from . import twin as plain

by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def half_square(y, z):
    """A loss whose gradient a loop of one's own has to the bit."""
    return float(((z - y) ** 2).mean() / 2), (z - y) / z.dtype.type(z.size)


def everything(loss=half_square, optimizer=None, dtype="float32"):
    """A network of each kind of layer."""
    layers = [
        nn.Standardize(),
        nn.Dense(33, nn.PReLU(), l1=1e-3, l2=1e-3, max_norm=2.0),
        nn.Residual([nn.BatchNorm(), nn.ReLU(), nn.Dropout(0.2), nn.Dense(20)]),
        nn.LayerNorm(),
        nn.Dense(20, nn.RReLU(), use_bias=False, lr_scale=0.5),
        nn.AlphaDropout(0.1),
        nn.Dense(7, nn.Sine(), trainable=False),
        nn.Dense(3),
    ]
    optimizer = optimizer or nn.Adam(0.01)
    return nn.Network(layers, loss=loss, optimizer=optimizer, seed=0, dtype=dtype)


OPTIMIZERS = {
    "adam": lambda: nn.Adam(0.01),
    "sgd": lambda: nn.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
    "limits": lambda: nn.Lion(0.001, clip_norm=0.5, clip_value=0.05, ema_decay=0.8),
}


@by_dtype
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_step_is_a_step(optimizer, dtype):
    """A fit's, train_on_batch's, and forward, backward and step: the same bits."""
    X, y = plain.data(130, 6, 3, "mse")
    nets = [everything(optimizer=optimizer(), dtype=dtype) for _ in range(4)]
    for net in nets:
        net.fit(X, y, batch_size=130)  # so that all know the data's mean
    for _ in range(3):
        nets[0].fit(X, y, batch_size=130, shuffle=False)
        nets[1].train_on_batch(X, y)
        z = nets[2].forward(X, training=True)
        nets[2].backward(half_square(y, z)[1])
        nets[2].step()
        nets[3].fit([(X, y)])
    for net, name in zip(nets[1:], ("train_on_batch", "by hand", "iterable"), strict=True):
        plain.assert_same_bits(net, nets[0], name)
        if optimizer().ema_decay:
            plain.assert_same_bits(net.averaged(), nets[0].averaged(), name)


class Nothing(nn.Callback):
    """Has every hook, and each looks at the network."""

    def on_batch_begin(self, net, batch):
        net.predict(np.zeros((1, 6)))

    def on_batch_end(self, net, batch, loss):
        net.snapshot()

    def on_epoch_begin(self, net, epoch):
        net.state_dict()

    def on_epoch_end(self, net, epoch, figures):
        net.evaluate(np.zeros((1, 6)), np.zeros((1, 3)))


@by_dtype
@pytest.mark.parametrize("loss", ["mse", half_square], ids=["kernel", "python"])
def test_bits_do_not_depend_on_hooks(loss, dtype):
    X, y = plain.data(129, 6, 3, "mse")
    weight = None if callable(loss) else np.linspace(0, 1, 129)
    nets, figures = [], []
    for callbacks in (None, [Nothing()], [lambda net, epoch, figures: None]):
        net = everything(loss, dtype=dtype)
        options = {"sample_weight": weight, "callbacks": callbacks, "validation_data": (X, y)}
        history = net.fit(X, y, epochs=3, batch_size=32, **options)
        nets.append(net)
        figures.append([history["loss"], history["val_loss"]])
    plain.assert_same_bits(nets[1], nets[0], "all hooks")
    plain.assert_same_bits(nets[2], nets[0], "a function")
    assert figures[0] == figures[1] == figures[2]


def test_bits_do_not_depend_on_threads():
    X, y = plain.data(1000, 60, 3, "mse")
    nets = []
    for threads in (1, 2, 3):
        with relume.num_threads(threads):
            nets.append(everything("mse", nn.Adam(0.01, clip_norm=1.0)))
            nets[-1].fit(X, y, epochs=2, batch_size=333)
    plain.assert_same_bits(nets[1], nets[0])
    plain.assert_same_bits(nets[2], nets[0])


# -- limits and averages --


def gradients_of(net, dz, X):
    """Gradients as a step without penalties takes them, by name."""
    net.forward(X, training=True)
    net.backward(dz)
    return net.gradients()


@by_dtype
@pytest.mark.parametrize("limits", [{"clip_norm": 0.5}, {"clip_value": 0.01},
                                    {"clip_norm": 1e9}, {"clip_norm": 0.2, "clip_value": 0.02}],
                         ids=str)  # fmt: skip
def test_limits(limits, dtype):
    """Each element first, then the norm of all that is learnt, as torch's two functions."""
    rng = np.random.default_rng(0)
    layers = [nn.Dense(300, nn.PReLU(per_unit=True)), nn.Dense(9, trainable=False), nn.Dense(3)]
    optimizer = nn.SGD(1.0, **limits)
    net = nn.Network(layers, loss="mse", optimizer=optimizer, seed=0, dtype=dtype).build(70)
    before = net.state_dict()
    g = gradients_of(net, rng.normal(size=(5, 3)), rng.normal(size=(5, 70)))
    g = {name: value.astype("float64") for name, value in g.items()}
    learnt = [name for name in g if name[0] != "2"]
    if "clip_value" in limits:
        most = limits["clip_value"]
        g = {name: np.clip(value, -most, most) for name, value in g.items()}
    norm = np.sqrt(sum((g[name] ** 2).sum() for name in learnt))
    factor = min(limits.get("clip_norm", np.inf) / (norm + 1e-6), 1)
    net.step()
    for name, value in net.state_dict().items():
        change = factor * g[name] if name in learnt else 0 * g[name]
        tolerance = {"float32": 1e-6, "float64": 1e-13}[dtype]
        plain.assert_close(value, before[name] - change, tolerance, name)


def test_average():
    """Begun with the initial values; of parameters, with the statistics as they are."""
    X, y = plain.data(40, 6, 3, "mse")
    layers = [nn.Dense(8), nn.BatchNorm(), nn.Dense(3)]
    optimizer = nn.SGD(0.1, ema_decay=0.7)
    net = nn.Network(layers, loss="mse", optimizer=optimizer, seed=0, dtype="float64").build(6)
    plain.assert_raises(RuntimeError, ["ema_decay"], net.averaged)
    average = net.state_dict()
    for _ in range(5):
        net.train_on_batch(X, y)
        now = net.state_dict()
        for name in average:
            learnt = "running" not in name and "num_batches" not in name
            average[name] = 0.7 * average[name] + 0.3 * now[name] if learnt else now[name]
    for name, value in net.averaged().state_dict().items():
        np.testing.assert_allclose(value, average[name], rtol=1e-12, err_msg=name)
    plain.assert_same_bits(net, net)
    other = net.averaged()
    before = plain.bits(net)
    other.fit(X, y)
    assert plain.bits(net) == before


# -- losses in Python --


@by_dtype
def test_a_loss_in_python_is_one_of_the_kernels(dtype):
    def mse(y, z):
        return ((z - y) ** 2).mean(), 2 * (z - y) / z.size

    X, y = plain.data(130, 6, 3, "mse")
    nets = [everything(loss, dtype=dtype) for loss in (mse, "mse")]
    a, b = (net.fit(X, y, epochs=3, validation_data=(X, y)) for net in nets)
    tolerance = {"float32": 1e-4, "float64": 1e-11}[dtype]
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=tolerance)
    np.testing.assert_allclose(a["val_loss"], b["val_loss"], rtol=tolerance)


@pytest.mark.parametrize("shape", ["(n,)", "(n, 2, 2)", "strided", "int8", "big endian"])
def test_a_loss_in_python_gets_y_as_it_was_given(shape):
    n = 50
    y = {
        "(n,)": np.arange(n),
        "(n, 2, 2)": np.arange(4 * n).reshape(n, 2, 2),
        "strided": np.arange(2 * n)[::2],
        "int8": np.arange(n, dtype="int8"),
        "big endian": np.arange(n, dtype=">i4"),
    }[shape]
    seen = []

    def loss(y_true, z):
        seen.append(y_true.copy())
        return 0.0, np.zeros_like(z)

    net = nn.Network([nn.Dense(3)], loss=loss)
    net.fit(np.zeros((n, 2)), y, shuffle=False, batch_size=20)
    np.testing.assert_array_equal(np.concatenate(seen), y)
    assert all(part.dtype == y.dtype.newbyteorder("=") for part in seen)


def test_a_loss_in_python_that_fails():
    """Within an epoch: the network is as before it, its optimizer's steps too."""
    X, y = plain.data(64, 6, 3, "mse")
    calls = []

    def loss(y_true, z):
        calls.append(len(z))
        if len(calls) == 4:
            raise KeyError("not found")
        return half_square(y_true, z)

    nets = [everything(loss), everything()]
    nets[0].fit(X, y)
    with pytest.raises(KeyError, match="not found"):
        nets[0].fit(X, y)
    nets[1].fit(X, y)
    plain.assert_same_bits(*nets)
    for net in nets:
        net.fit(X, y)
    plain.assert_same_bits(*nets, "after the error")


# -- L-BFGS --


def test_lbfgs_reaches_the_optimum():
    """Of a least-squares problem, and of ridge regression, which NumPy solves."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 8)) * np.logspace(0, 1, 8)
    y = X @ rng.normal(size=(8, 2)) + rng.normal(size=(200, 2))
    with_one = np.hstack([X, np.ones((200, 1))])
    for l2 in (0.0, 0.3):
        optimizer = nn.LBFGS(max_iter=5000, gtol=1e-10, ftol=0.0)
        net = nn.Network([nn.Dense(2, l2=l2)], loss="mse", optimizer=optimizer, dtype="float64")
        history = net.fit(X, y)
        penalty = np.diag([l2 * y.size] * 8 + [0.0])
        exact = np.linalg.solve(with_one.T @ with_one + penalty, with_one.T @ y)
        np.testing.assert_allclose(net.state_dict()["0.weight"], exact[:8].T, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(net.state_dict()["0.bias"], exact[8], rtol=1e-5, atol=1e-6)
        residue = ((with_one @ exact - y) ** 2).mean() + l2 * (exact[:8] ** 2).sum()
        assert history["loss"][-1] == pytest.approx(residue, rel=1e-10)


def test_lbfgs_weights_and_frozen_layers():
    """Weighted rows are repeated rows; what is frozen stays."""
    X, y = plain.data(60, 4, 1, "mse")
    counts = np.random.default_rng(0).integers(0, 3, 60)
    layers = [nn.Dense(5, "tanh", trainable=False), nn.Dense(1)]
    nets = [
        nn.Network(layers, loss="mse", optimizer=nn.LBFGS(500, gtol=1e-9), seed=0, dtype="float64")
        for _ in range(2)
    ]
    before = nets[0].build(4).state_dict()
    nets[0].fit(X, y, sample_weight=counts)
    nets[1].fit(X.repeat(counts, 0), y.repeat(counts))
    for name, value in nets[0].state_dict().items():
        np.testing.assert_allclose(value, nets[1].state_dict()[name], rtol=1e-5, atol=1e-6)
        assert np.array_equal(value, before[name]) == (name[0] == "0"), name


def test_lbfgs_that_fails():
    """A loss or a hook that raises in the middle of a search leaves the last complete run."""
    X, y = plain.data(60, 4, 3, "mse")
    calls = []

    def loss(y_true, z):
        calls.append(0)
        if len(calls) in (3, 13):
            raise KeyError("not found")
        return half_square(y_true, z)

    for _ in range(2):
        net = nn.Network([nn.Dense(3, "tanh")], loss=loss, optimizer=nn.LBFGS(4), seed=0).build(4)
        before = plain.bits(net)
        states = [before]
        keep = lambda net, epoch, figures: states.append(plain.bits(net))  # noqa: B023, E731
        with pytest.raises(KeyError):
            net.fit(X, y, epochs=20, callbacks=[keep])
        assert plain.bits(net) == states[-1]
        assert net.epoch == len(states) - 1
    net = nn.Network([nn.Dense(3)], loss="mse", optimizer=nn.LBFGS(), seed=0).build(4)
    before = plain.bits(net)
    with pytest.raises(FloatingPointError):
        net.fit(X * 1e30, y)
    assert plain.bits(net) == before
