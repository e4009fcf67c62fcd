"""Cases of PyTorch's optimizers and losses by themselves, all computed in float64."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from relume import nn
from tests.support.optimizer_settings import SETTINGS

from . import uniform

STEPS = 50
DTYPES = ("float32", "float64")


class Optimizer(NamedTuple):
    """Fifty steps with gradients that do not depend on the weights, those of a linear layer.

    Inputs are fractions of 1/64, so that each gradient is a sum without any rounding in float32,
    in whatever order it is taken.
    """

    name: str
    options: dict

    def weights(self):
        rng = np.random.RandomState(0)
        drawn = {"0.weight": uniform(rng, -1, 1, (30, 20)), "0.bias": uniform(rng, -1, 1, 30)}
        return {name: value.astype("float32").astype("float64") for name, value in drawn.items()}

    def batches(self):
        """X and the gradient by the outputs, for each step."""
        rng = np.random.RandomState(1)
        shape = (STEPS, 9, 20 + 30)
        both = rng.randint(-64, 65, size=shape, dtype=np.int64) / 64
        return [(part[:, :20], part[:, 20:]) for part in both]

    def inputs(self):
        X, dz = zip(*self.batches(), strict=True)
        return self.weights() | {"X": np.array(X), "dz": np.array(dz)}

    def compute(self, torch):
        parameters = {
            name: torch.tensor(value, requires_grad=True) for name, value in self.weights().items()
        }
        optimizer = getattr(torch.optim, self.name)(parameters.values(), **self.options)
        for X, dz in self.batches():
            parameters["0.weight"].grad = torch.tensor(dz.T @ X)
            parameters["0.bias"].grad = torch.tensor(dz.sum(0))
            optimizer.step()
        return {name: value.detach().numpy() for name, value in parameters.items()}


class Defaults(NamedTuple):
    """The default settings of an optimizer."""

    name: str

    def inputs(self):
        return {}

    def compute(self, torch):
        defaults = getattr(torch.optim, self.name)([torch.zeros(1)]).defaults
        return {key: np.array(value) for key, value in defaults.items() if value is not None}


# -- Losses: PyTorch's of a row is the mean over its outputs, but for cross entropy --


def by_mean(name):
    def rows(torch, z, y):
        return getattr(torch.nn.functional, name)(z, y, reduction="none").mean(1)

    return rows


def cross_entropy(label_smoothing=0.0):
    def rows(torch, z, y):
        return torch.nn.functional.cross_entropy(
            z, y, label_smoothing=label_smoothing, reduction="none"
        )

    return rows


WEIGHTS = [1.0, 20.0, 0.5]


def binary(torch, z, y):
    return torch.nn.functional.binary_cross_entropy_with_logits(
        z, y, pos_weight=torch.tensor(WEIGHTS, dtype=z.dtype), reduction="none"
    ).mean(1)


def labels(rng, z):
    return rng.randint(z.shape[1], size=len(z), dtype=np.int64)


def soft(rng, z):
    return rng.random_sample(z.shape)


def near(rng, z):
    """Values around z, and five rows at the kink."""
    y = z.copy()
    y[5:] += uniform(rng, -2, 2, (len(z) - 5, z.shape[1]))
    return y


def below(high):
    """Integers from 0 to `high` - 1."""

    def draw(rng, z):
        return rng.randint(high, size=z.shape, dtype=np.int64)

    return draw


LOSSES = {
    "labels": (nn.CrossEntropy(), cross_entropy(), labels),
    "smoothed": (nn.CrossEntropy(0.1), cross_entropy(0.1), labels),
    "soft": (nn.CrossEntropy(), cross_entropy(), soft),
    "soft-smoothed": (nn.CrossEntropy(0.1), cross_entropy(0.1), soft),
    "binary": (nn.BinaryCrossEntropy(WEIGHTS), binary, below(2)),
    "mse": (nn.MSE(), by_mean("mse_loss"), near),
    "mae": (nn.MAE(), by_mean("l1_loss"), near),
    "huber": (nn.Huber(), by_mean("huber_loss"), near),
    "poisson": (nn.Poisson(), by_mean("poisson_nll_loss"), below(8)),
}


class Loss(NamedTuple):
    """The loss of each of 40 rows and its gradient by the outputs."""

    loss: object
    rows: Callable
    draw: Callable
    scale: float
    dtype: str

    def data(self):
        rng = np.random.RandomState(0)
        z = (self.scale * uniform(rng, -2, 2, (40, 3))).astype(self.dtype)
        z[:5] = np.round(z[:5])
        return z, self.draw(rng, z)

    def inputs(self):
        z, y = self.data()
        return {"z": z, "y": y}

    def compute(self, torch):
        z, y = self.data()
        z = torch.tensor(z.astype("float64"), requires_grad=True)
        value = self.rows(torch, z, torch.tensor(y if y.ndim == 1 else y.astype("float64")))
        value.sum().backward()
        return {"value": value.detach().numpy(), "gradient": z.grad.numpy()}


LACKING = {"Lion"}  # PyTorch has none of these
OPTIMIZER_CASES = {
    f"steps-{name}": Optimizer(*case) for name, case in SETTINGS.items() if case[0] not in LACKING
}
DEFAULTS = {f"defaults-{case.name}": Defaults(case.name) for case in OPTIMIZER_CASES.values()}
LOSS_CASES = {
    f"{name}-{scale:g}-{dtype}": Loss(*LOSSES[name], scale, dtype)
    for name in LOSSES
    for scale in (1.0, 20.0, 1e4)
    for dtype in DTYPES
    if (name, scale) != ("poisson", 1e4)  # exp(1e4) is infinite
}
CASES = OPTIMIZER_CASES | DEFAULTS | LOSS_CASES
