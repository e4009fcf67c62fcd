"""Cases of PyTorch's networks: fifty training steps each, and their state_dicts."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from relume import nn
from tests.support import twin as plain
from tests.support.reference import ROWS

from . import uniform
from .modules import sequential

N_IN, STEPS, ROWS_OF_BATCH = 7, 50, 37
DTYPES = ("float32", "float64")


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
    "group norm": lambda: [nn.GroupNorm(1), nn.Dense(16, "tanh"), nn.GroupNorm(2, 0.01),
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


# -- inputs --


def weights(like, dtype):
    """Weights for a network with these arrays, none of them at its initial value."""
    rng = np.random.RandomState(1)

    def draw(name, shape):
        kind = name.rpartition(".")[2]
        if kind == "num_batches_tracked":
            return np.zeros(shape, np.int64)
        if len(shape) == 2:
            return (uniform(rng, -1, 1, shape) * np.sqrt(3 / shape[1])).astype(dtype)
        if kind in ("bias", "mean", "running_mean"):
            return uniform(rng, -0.2, 0.2, shape).astype(dtype)
        return uniform(rng, 0.3, 1.2, shape).astype(dtype)  # factors, slopes and variances

    return {name: draw(name, array.shape) for name, array in like.items()}


def batch(rng, targets, dtype):
    """X of about unit variance and y for three outputs."""
    shape = (ROWS_OF_BATCH, 3)
    X = uniform(rng, -1.75, 1.75, (ROWS_OF_BATCH, N_IN)).astype(dtype)
    if targets == "labels":
        return X, rng.randint(3, size=ROWS_OF_BATCH, dtype=np.int64)
    if targets == "binary":
        return X, rng.randint(2, size=shape, dtype=np.int64).astype(dtype)
    if targets == "counts":
        return X, rng.randint(6, size=shape, dtype=np.int64).astype(dtype)
    return X, uniform(rng, -1.75, 1.75, shape).astype(dtype)


# -- losses and optimizers --


# relume's loss, the kind of targets, and PyTorch's loss as a function of torch, z and y. PyTorch
# has no quantile loss, so it is composed. Its slope and that of mae jump where z is y; in fifty
# steps no z comes so close to its y that float32 would take the other side.
LOSSES = {
    "cross_entropy": (
        lambda: nn.CrossEntropy(0.1), "labels",
        lambda torch, z, y: torch.nn.functional.cross_entropy(z, y, label_smoothing=0.1),
    ),
    "binary": (
        lambda: nn.BinaryCrossEntropy(pos_weight=2.0), "binary",
        lambda torch, z, y: torch.nn.functional.binary_cross_entropy_with_logits(
            z, y, pos_weight=torch.full((3,), 2.0, dtype=z.dtype)
        ),
    ),
    "mse": (nn.MSE, "values", lambda torch, z, y: torch.nn.functional.mse_loss(z, y)),
    "mae": (nn.MAE, "values", lambda torch, z, y: torch.nn.functional.l1_loss(z, y)),
    "quantile": (
        lambda: nn.Quantile(0.9), "values",
        lambda torch, z, y: torch.maximum(0.9 * (y - z), 0.1 * (z - y)).mean(),
    ),
    "huber": (
        lambda: nn.Huber(0.5), "values",
        lambda torch, z, y: torch.nn.functional.huber_loss(z, y, delta=0.5),
    ),
    "poisson": (
        nn.Poisson, "counts", lambda torch, z, y: torch.nn.functional.poisson_nll_loss(z, y)
    ),
}  # fmt: skip

# Adam divides rounding errors of a gradient of 0 by their own size: a larger eps keeps them small.
OPTIMIZERS = {
    "SGD": {"lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "RMSprop": {"lr": 0.002, "eps": 1e-2},
    "Adam": {"lr": 0.005, "eps": 1e-2},
    "AdamW": {"lr": 0.005, "eps": 1e-2, "weight_decay": 0.1},
    "NAdam": {"lr": 0.005, "eps": 1e-2},
}


# -- cases --


@dataclass(frozen=True)
class Steps:
    """Fifty steps. `options` are for relume alone, what follows them is the same in PyTorch."""

    layers: Callable
    dtype: str
    optimizer: str = "SGD"
    settings: dict = field(default_factory=lambda: OPTIMIZERS["SGD"])
    loss: str = "mse"
    options: dict = field(default_factory=dict)  # of relume's optimizer
    groups: Callable = lambda model: model.parameters()
    penalty: Callable = lambda model: 0
    limit: Callable = lambda torch, parameters: None  # of gradients, before a step
    decay_of_average: float | None = None

    def network(self):
        optimizer = getattr(nn, self.optimizer)(**self.settings, **self.options)
        net = nn.Network(
            self.layers(), loss=LOSSES[self.loss][0](), optimizer=optimizer, dtype=self.dtype
        ).build(N_IN)
        net.load_state_dict(weights(net.state_dict(), self.dtype))
        return net

    def batches(self):
        """One for each step, and one to predict."""
        rng = np.random.RandomState(2)
        return [batch(rng, LOSSES[self.loss][1], self.dtype) for _ in range(STEPS + 1)]

    def inputs(self):
        X, y = zip(*self.batches(), strict=True)
        return self.network().state_dict() | {"X": np.array(X), "y": np.array(y)}

    def compute(self, torch):
        model = _model(torch, self.layers(), self.dtype)
        state = {name: torch.tensor(a) for name, a in self.network().state_dict().items()}
        model.load_state_dict(state, strict=True)
        average = None
        if self.decay_of_average:  # copies the weights at its first update, before any step
            swa = torch.optim.swa_utils
            mean = swa.get_ema_multi_avg_fn(self.decay_of_average)
            average = swa.AveragedModel(model, multi_avg_fn=mean)
            average.update_parameters(model)
        optimizer = getattr(torch.optim, self.optimizer)(self.groups(model), **self.settings)
        *batches, (X_last, _) = self.batches()
        losses = []
        for X, y in batches:
            losses.append(self._step(torch, model, optimizer, torch.tensor(X), torch.tensor(y)))
            if average:
                average.update_parameters(model)
        results = {
            "losses": np.array(losses, self.dtype),
            "state": _flat(model, self.dtype),
            "predictions": _predict(torch, model, X_last),
        }
        return results | ({"average": _flat(average.module, self.dtype)} if average else {})

    def _step(self, torch, model, optimizer, X, y):
        optimizer.zero_grad()
        loss = LOSSES[self.loss][2](torch, model(X), y) + self.penalty(model)
        loss.backward()
        self.limit(torch, list(model.parameters()))
        optimizer.step()
        return loss.item()


@dataclass(frozen=True)
class StateDict:
    """A model as PyTorch initializes it: its weights, and its outputs for a batch."""

    layers: Callable
    dtype: str

    def X(self):
        return batch(np.random.RandomState(3), "values", self.dtype)[0]

    def inputs(self):
        return {"X": self.X()}

    def compute(self, torch):
        torch.manual_seed(0)
        model = _model(torch, self.layers(), self.dtype)
        return _state(model) | {"outputs": _predict(torch, model, self.X())}


def _model(torch, layers, dtype):
    return sequential(torch, layers, N_IN)[0].to(getattr(torch, dtype))


def _state(model):
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


def _predict(torch, model, X):
    model.eval()
    with torch.no_grad():
        return model(torch.tensor(X)).numpy()


def _flat(model, dtype):
    """Return all values in the order of the state_dict, which the StateDict cases record."""
    return np.concatenate([np.ravel(value).astype(dtype) for value in _state(model).values()])


# -- the tables --


# In float64 PyTorch's gradients of these hold a constant of float32, 1/6 and 1/alpha.
NO_WITNESS = {"hardsigmoid", "celu-0.3"}
ACTIVATIONS = {plain.case_id(case): case for case in plain.CASES if ROWS[case[0]].in_pytorch}
# relume's options, and what PyTorch does to its gradients.
LIMITS = {
    "clip_norm": ({"clip_norm": 0.3}, lambda torch, p: torch.nn.utils.clip_grad_norm_(p, 0.3)),
    "clip_value": (
        {"clip_value": 0.02}, lambda torch, p: torch.nn.utils.clip_grad_value_(p, 0.02)
    ),
}  # fmt: skip


def _layers():
    for name, layers in LAYERS.items():
        for optimizer in ("SGD", "Adam"):
            for dtype in DTYPES:
                case = Steps(layers, dtype, optimizer, OPTIMIZERS[optimizer])
                yield f"layers-{name}-{optimizer}-{dtype}", case


def _activations():
    """All of them, and those that PyTorch lacks, are compared with the NumPy twin elsewhere."""
    for name, case in ACTIVATIONS.items():
        for dtype in DTYPES:
            if dtype == "float64" and name in NO_WITNESS:
                continue

            def layers(case=case):
                return [nn.Dense(16, plain.activation(case)), nn.Dense(3)]

            settings = {"lr": 1e-3, "momentum": 0.9}
            yield f"activation-{name}-{dtype}", Steps(layers, dtype, settings=settings)


def _optimizers_and_losses():
    def layers():
        return [nn.Dense(16, nn.PReLU()), nn.LayerNorm(), nn.Dense(3)]

    for loss in LOSSES:
        for optimizer, settings in OPTIMIZERS.items():
            for dtype in DTYPES:
                case = Steps(layers, dtype, optimizer, settings, loss)
                yield f"{loss}-{optimizer}-{dtype}", case


def _options():
    """Limits and averages are of all that is learnt, slopes and norms too."""

    def layers():
        return [nn.Dense(16, nn.PReLU()), nn.BatchNorm(), nn.Dense(3)]

    for dtype in DTYPES:
        for name, (options, limit) in LIMITS.items():
            yield f"{name}-{dtype}", Steps(layers, dtype, options=options, limit=limit)
        yield (
            f"average-{dtype}",
            Steps(layers, dtype, options={"ema_decay": 0.9}, decay_of_average=0.9),
        )


def _options_of_dense():
    """Penalties, a frozen layer, and a learning rate of a layer's own."""

    def layers():
        return [
            nn.Dense(16, "tanh", l1=0.01, l2=0.02),
            nn.Dense(9, "tanh", trainable=False),
            nn.Dense(3, lr_scale=0.5, l2=0.1),
        ]

    def groups(model):
        last = {"params": model[4].parameters(), "lr": 0.5 * OPTIMIZERS["Adam"]["lr"]}
        return [{"params": model[0].parameters()}, last]

    def penalty(model):
        first, last = model[0].weight, model[4].weight
        return 0.01 * first.abs().sum() + 0.02 * (first**2).sum() + 0.1 * (last**2).sum()

    for dtype in DTYPES:
        yield (
            f"options of dense-{dtype}",
            Steps(layers, dtype, "Adam", OPTIMIZERS["Adam"], groups=groups, penalty=penalty),
        )


STEPS_CASES = dict(
    [
        *_layers(),
        *_activations(),
        *_optimizers_and_losses(),
        *_options(),
        *_options_of_dense(),
    ]
)
STATE_DICTS = {
    f"state_dict-{name}-{dtype}": StateDict(layers, dtype)
    for name, layers in LAYERS.items()
    for dtype in DTYPES
}
CASES = STEPS_CASES | STATE_DICTS
