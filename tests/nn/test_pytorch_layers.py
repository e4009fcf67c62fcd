"""PyTorch's layers beside relume's: fifty steps from the same weights, state_dicts both ways."""

import numpy as np
import pytest

from relume import nn
from tests.functional.test_pytorch import LACKING
from tests.support import twin as plain

TOLERANCES = {"float64": 1e-10, "float32": 1e-5}
by_dtype = pytest.mark.parametrize("dtype", TOLERANCES)
STEPS = 50


@pytest.fixture(scope="module")
def torch():
    """Imported only here, so that no other test meets its threads.

    NAdam keeps its product of momenta in the default dtype: in float32 it is off by 1e-9.
    """
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; it is compared with")
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(torch.float32)


# -- relume's layers as PyTorch's --


def residual(torch, layer, width):
    """A module with the names that the docstring of nn.Residual gives."""

    class Residual(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, out = sequential(torch, layer.layers, width)
            self.projection = None
            if out != width:
                self.projection = torch.nn.Linear(width, out, bias=False)

        def forward(self, x):
            return self.layers(x) + (x if self.projection is None else self.projection(x))

    module = Residual()
    return module, width if module.projection is None else module.projection.out_features


def sine(torch, layer):
    class Sine(torch.nn.Module):
        def forward(self, x):
            return torch.sin(layer.omega * x)

    return Sine()


def standardize(torch, width):
    class Standardize(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(width))
            self.register_buffer("scale", torch.ones(width))

        def forward(self, x):
            return (x - self.mean) / self.scale

    return Standardize()


def scale(torch, width):
    class Scale(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(width))

        def forward(self, x):
            return x * self.weight

    return Scale()


def module_of(torch, layer, width):
    """One layer, and the width behind it."""
    if isinstance(layer, nn.Dense):
        return torch.nn.Linear(width, layer.units, bias=layer.use_bias), layer.units
    if isinstance(layer, nn.Residual):
        return residual(torch, layer, width)
    if isinstance(layer, nn.Sine):
        return sine(torch, layer), width
    if isinstance(layer, nn.Standardize):
        return standardize(torch, width), width
    if isinstance(layer, nn.FATReLU):
        return torch.nn.Threshold(layer.threshold, 0.0), width
    if isinstance(layer, nn.GELUTanh):
        return torch.nn.GELU(approximate="tanh"), width
    if isinstance(layer, nn.PReLU):
        return torch.nn.PReLU(width if layer.per_unit else 1), width
    if isinstance(layer, nn.RReLU):
        return torch.nn.RReLU(layer.lower, layer.upper), width
    if isinstance(layer, nn.BatchNorm):
        return torch.nn.BatchNorm1d(width, layer.eps, layer.momentum), width
    if isinstance(layer, nn.LayerNorm):
        return torch.nn.LayerNorm(width, layer.eps), width
    if isinstance(layer, nn.GroupNorm):
        return torch.nn.GroupNorm(layer.groups, width, layer.eps), width
    if isinstance(layer, nn.Scale):
        return scale(torch, width), width
    if isinstance(layer, nn.Dropout):  # AlphaDropout too
        return getattr(torch.nn, type(layer).__name__)(layer.rate), width
    return getattr(torch.nn, type(layer).__name__)(**layer.config()), width


def sequential(torch, layers, width):
    """A torch.nn.Sequential, and its number of outputs."""
    modules = []
    for layer in layers:
        module, width = module_of(torch, layer, width)
        modules.append(module)
        if isinstance(layer, nn.Dense) and layer.activation is not None:
            modules.append(module_of(torch, layer.activation, width)[0])
    return torch.nn.Sequential(*modules), width


def pair(torch, layers, dtype, **options):
    """A network and its PyTorch twin with the same weights, none of them at its initial value."""
    net = nn.Network(layers, seed=0, dtype=dtype, **options).build(7)
    rng = np.random.default_rng(1)
    state = {
        name: value if value.dtype == np.int64 else value + 0.2 * rng.random(value.shape)
        for name, value in net.state_dict().items()
    }
    net.load_state_dict(state)
    model, _ = sequential(torch, layers, 7)
    model = model.to(getattr(torch, dtype))
    model.load_state_dict({k: torch.tensor(v) for k, v in net.state_dict().items()}, strict=True)
    return net, model


LAYERS = {
    "dense": lambda: [nn.Dense(16, "gelu"), nn.Dense(9, "tanh"), nn.Dense(3)],
    "no bias": lambda: [nn.Dense(16, "silu", use_bias=False), nn.Dense(3, use_bias=False)],
    "activations": lambda: [nn.Dense(16), nn.ELU(), nn.LeakyReLU(0.2), nn.Dense(9, "relu"),
                            nn.Dense(3, nn.Softplus())],
    "prelu": lambda: [nn.Dense(16, nn.PReLU()), nn.Dense(9, nn.PReLU(per_unit=True)), nn.Dense(3)],
    "rrelu": lambda: [nn.Dense(16, nn.RReLU(0.2, 0.2)), nn.Dense(3)],
    "dropout": lambda: [nn.Dropout(0.0), nn.Dense(16, "relu"), nn.AlphaDropout(0.0), nn.Dense(3)],
    "batch norm": lambda: [nn.BatchNorm(), nn.Dense(16, use_bias=False), nn.BatchNorm(1e-3, 0.3),
                           nn.ReLU(), nn.Dense(3)],
    "layer norm": lambda: [nn.LayerNorm(), nn.Dense(16, "tanh"), nn.LayerNorm(0.01), nn.Dense(3)],
    "group norm": lambda: [nn.GroupNorm(7), nn.Dense(16, "tanh"), nn.GroupNorm(4, 0.01),
                           nn.Dense(3)],
    "scale": lambda: [nn.Scale(), nn.Dense(16, "relu"), nn.Scale(), nn.Dense(3)],
    "residual": lambda: [
        nn.Residual([nn.Dense(16, "tanh")]),
        nn.Residual([nn.LayerNorm(), nn.Residual([nn.Dense(16, "silu")]), nn.Dense(16)]),
        nn.Dense(3),
    ],
    "residual of norms": lambda: [
        nn.Dense(8, use_bias=False),
        nn.Residual([nn.BatchNorm(), nn.Tanh(), nn.Dense(8)]),
        nn.BatchNorm(),
        nn.Dense(3),
    ],
    "sine": lambda: [nn.Dense(16, nn.Sine(2.0)), nn.Dense(3)],
    "standardize": lambda: [nn.Standardize(), nn.Dense(16, "tanh"), nn.Dense(3)],
    "fat relu": lambda: [nn.Dense(16, "fat_relu"), nn.Dense(3)],
}  # fmt: skip
by_layers = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)

# Adam divides what is left of a gradient that is 0 by its like: a larger eps keeps that small.
OPTIMIZERS = {
    "SGD": {"lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "RMSprop": {"lr": 0.002, "eps": 1e-2},
    "Adam": {"lr": 0.005, "eps": 1e-2},
    "AdamW": {"lr": 0.005, "eps": 1e-2, "weight_decay": 0.1},
    "NAdam": {"lr": 0.005, "eps": 1e-2},
}


def data(rng, kind, dtype, rows=37):
    X = rng.normal(size=(rows, 7)).astype(dtype)
    if kind == "labels":
        return X, rng.integers(3, size=rows)
    if kind == "binary":
        return X, rng.integers(2, size=(rows, 3)).astype(dtype)
    if kind == "counts":
        return X, rng.poisson(2, size=(rows, 3)).astype(dtype)
    return X, rng.normal(size=(rows, 3)).astype(dtype)


LOSSES = ["cross_entropy", "binary", "mse", "mae", "quantile", "huber", "poisson"]


def losses(torch):
    """relume's loss, PyTorch's, and what their targets are.

    PyTorch has no quantile loss, but what it is made of. Its slope and that of mae jump where z is
    y; in fifty steps no z of these data is so near its y that float32 would confuse them.
    """
    f = torch.nn.functional
    return {
        "cross_entropy": (nn.CrossEntropy(0.1),
                          lambda z, y: f.cross_entropy(z, y, label_smoothing=0.1), "labels"),
        "binary": (nn.BinaryCrossEntropy(pos_weight=2.0),
                   lambda z, y: f.binary_cross_entropy_with_logits(
                       z, y, pos_weight=torch.full((3,), 2.0, dtype=z.dtype)), "binary"),
        "mse": (nn.MSE(), f.mse_loss, "values"),
        "mae": (nn.MAE(), f.l1_loss, "values"),
        "quantile": (nn.Quantile(0.9),
                     lambda z, y: torch.maximum(0.9 * (y - z), 0.1 * (z - y)).mean(), "values"),
        "huber": (nn.Huber(0.5), lambda z, y: f.huber_loss(z, y, delta=0.5), "values"),
        "poisson": (nn.Poisson(), f.poisson_nll_loss, "counts"),
    }  # fmt: skip


def assert_fifty_steps(torch, net, model, step, kind, dtype):
    """The loss of each step and the weights after the last; `step` is PyTorch's."""
    rng = np.random.default_rng(2)
    for t in range(STEPS):
        X, y = data(rng, kind, dtype)
        mine = net.train_on_batch(X, y)
        theirs = step(torch.tensor(X), torch.tensor(y))
        assert mine == pytest.approx(theirs, rel=TOLERANCES[dtype]), f"the loss of step {t + 1}"
    state = net.state_dict()
    for name, value in model.state_dict().items():
        plain.assert_close(state[name], value.numpy(), 2 * TOLERANCES[dtype], name)
    X, _ = data(rng, kind, dtype)
    model.eval()
    with torch.no_grad():
        z = model(torch.tensor(X)).numpy()
    plain.assert_close(net.forward(X), z, 2 * TOLERANCES[dtype], "prediction")


def stepper(model, loss, optimizer, before_step=lambda: None):
    def step(X, y):
        optimizer.zero_grad()
        value = loss(model(X), y)
        value.backward()
        before_step()
        optimizer.step()
        return value.item()

    return step


@by_dtype
@pytest.mark.parametrize("name", ["SGD", "Adam"])
@by_layers
def test_layers(torch, make, name, dtype):
    mine = getattr(nn, name)(**OPTIMIZERS[name])
    net, model = pair(torch, make(), dtype, loss="mse", optimizer=mine)
    theirs = getattr(torch.optim, name)(model.parameters(), **OPTIMIZERS[name])
    step = stepper(model, torch.nn.functional.mse_loss, theirs)
    assert_fifty_steps(torch, net, model, step, "values", dtype)


# In float64 PyTorch's gradients of these hold a constant of float32, 1/6 and 1/alpha.
NO_WITNESS = {"hardsigmoid", "celu-0.3"}
ACTIVATIONS = [case for case in plain.CASES if case[0] not in LACKING]


@by_dtype
@pytest.mark.parametrize("case", ACTIVATIONS, ids=plain.case_id)
def test_activations(torch, case, dtype):
    """All of them, and those that PyTorch lacks, stand beside the plain twin in test_network."""
    if dtype == "float64" and plain.case_id(case) in NO_WITNESS:
        pytest.skip("PyTorch's gradient is not exact to 1e-10")
    layers = [nn.Dense(16, plain.activation(case)), nn.Dense(3)]
    settings = {"lr": 1e-3, "momentum": 0.9}
    net, model = pair(torch, layers, dtype, loss="mse", optimizer=nn.SGD(**settings))
    theirs = torch.optim.SGD(model.parameters(), **settings)
    step = stepper(model, torch.nn.functional.mse_loss, theirs)
    assert_fifty_steps(torch, net, model, step, "values", dtype)


@by_dtype
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_optimizers_and_losses(torch, loss, name, dtype):
    layers = [nn.Dense(16, nn.PReLU()), nn.LayerNorm(), nn.Dense(3)]
    mine, theirs, kind = losses(torch)[loss]
    optimizer = getattr(nn, name)(**OPTIMIZERS[name])
    net, model = pair(torch, layers, dtype, loss=mine, optimizer=optimizer)
    step = stepper(
        model, theirs, getattr(torch.optim, name)(model.parameters(), **OPTIMIZERS[name])
    )
    assert_fifty_steps(torch, net, model, step, kind, dtype)


LIMITS = {
    "clip_norm": (
        {"clip_norm": 0.3},
        lambda torch: lambda p: torch.nn.utils.clip_grad_norm_(p, 0.3),
    ),
    "clip_value": (
        {"clip_value": 0.02},
        lambda torch: lambda p: torch.nn.utils.clip_grad_value_(p, 0.02),
    ),
}  # fmt: skip


@by_dtype
@pytest.mark.parametrize(("options", "clip"), LIMITS.values(), ids=LIMITS)
def test_limits_of_gradients(torch, options, clip, dtype):
    """Of all that is learnt, slopes and norms too."""
    layers = [nn.Dense(16, nn.PReLU()), nn.BatchNorm(), nn.Dense(3)]
    settings = OPTIMIZERS["SGD"]
    net, model = pair(torch, layers, dtype, loss="mse", optimizer=nn.SGD(**settings, **options))
    theirs = torch.optim.SGD(model.parameters(), **settings)
    clip = clip(torch)
    step = stepper(
        model, torch.nn.functional.mse_loss, theirs, lambda: clip(list(model.parameters()))
    )
    assert_fifty_steps(torch, net, model, step, "values", dtype)


@by_dtype
def test_average(torch, dtype):
    """AveragedModel copies the weights at its first update, which is that before any step."""
    layers = [nn.Dense(16, nn.PReLU()), nn.BatchNorm(), nn.Dense(3)]
    settings = OPTIMIZERS["SGD"]
    net, model = pair(
        torch, layers, dtype, loss="mse", optimizer=nn.SGD(**settings, ema_decay=0.9)
    )
    ema = torch.optim.swa_utils
    average = ema.AveragedModel(model, multi_avg_fn=ema.get_ema_multi_avg_fn(0.9))
    average.update_parameters(model)
    theirs = torch.optim.SGD(model.parameters(), **settings)
    step = stepper(model, torch.nn.functional.mse_loss, theirs)

    def step_and_average(X, y):
        loss = step(X, y)
        average.update_parameters(model)
        return loss

    assert_fifty_steps(torch, net, model, step_and_average, "values", dtype)
    mine = net.averaged().state_dict()
    for name, value in average.module.state_dict().items():
        plain.assert_close(mine[name], value.numpy(), 2 * TOLERANCES[dtype], name)


@by_dtype
def test_what_a_dense_takes(torch, dtype):
    """Penalties, a frozen layer, and a learning rate of a layer's own."""
    layers = [
        nn.Dense(16, "tanh", l1=0.01, l2=0.02),
        nn.Dense(9, "tanh", trainable=False),
        nn.Dense(3, lr_scale=0.5, l2=0.1),
    ]
    net, model = pair(torch, layers, dtype, loss="mse", optimizer=nn.Adam(0.005, eps=1e-2))
    theirs = torch.optim.Adam(
        [{"params": model[0].parameters()}, {"params": model[4].parameters(), "lr": 0.0025}],
        lr=0.005, eps=1e-2,
    )  # fmt: skip

    def loss(z, y):
        first, last = model[0].weight, model[4].weight
        penalty = 0.01 * first.abs().sum() + 0.02 * (first**2).sum() + 0.1 * (last**2).sum()
        return torch.nn.functional.mse_loss(z, y) + penalty

    assert_fifty_steps(torch, net, model, stepper(model, loss, theirs), "values", dtype)


@by_dtype
@by_layers
def test_state_dict_goes_both_ways(torch, make, dtype):
    """Keys, shapes and dtypes of a Sequential; PyTorch's values give its outputs."""
    net, model = pair(torch, make(), dtype, loss="mse")
    mine, theirs = net.state_dict(), model.state_dict()
    assert list(mine) == list(theirs)
    for name, value in theirs.items():
        assert mine[name].shape == tuple(value.shape), name
        assert str(mine[name].dtype) == str(value.dtype).removeprefix("torch."), name
    torch.manual_seed(0)
    fresh, _ = sequential(torch, make(), 7)
    fresh = fresh.to(getattr(torch, dtype))
    other = nn.Network(make(), loss="mse", dtype=dtype)
    other.load_state_dict({name: value.numpy() for name, value in fresh.state_dict().items()})
    X, _ = data(np.random.default_rng(3), "values", dtype)
    fresh.eval()
    with torch.no_grad():
        expected = fresh(torch.tensor(X)).numpy()
    plain.assert_close(other.forward(X), expected, TOLERANCES[dtype], "outputs")
