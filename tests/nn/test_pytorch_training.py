"""PyTorch's optimizers and losses beside relume's: the same steps, values and gradients."""

import numpy as np
import pytest

from relume import nn
from tests.nn.optimizers.test_optimizers import by_case, stepped
from tests.nn.test_losses import row_losses
from tests.support import twin as plain

TOLERANCES = {"float64": 1e-10, "float32": 1e-5}
by_dtype = pytest.mark.parametrize("dtype", TOLERANCES)


@pytest.fixture(scope="module")
def torch():
    """Imported only here, so that no other test meets its threads.

    NAdam keeps its product of momenta in the default dtype: in float32 it is off by 1e-9.
    """
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; it is compared with")
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(torch.float32)


@by_dtype
@by_case
def test_fifty_steps(torch, name, options, dtype):
    """PyTorch goes its own way, in float64, with relume's gradients."""
    theirs = getattr(torch.optim, name, None)
    if theirs is None:
        pytest.skip(f"PyTorch has no {name}")
    mine = getattr(nn, name)(**options)
    settings = {key: value for key, value in mine.config().items() if value is not None}
    parameters, optimizer = None, None
    for _, net, gradients, before in stepped(mine, dtype):  # noqa: B007
        if parameters is None:
            parameters = {
                key: torch.tensor(value.astype("float64"), requires_grad=True)
                for key, value in before.items()
            }
            optimizer = theirs(parameters.values(), **settings)
        for key, p in parameters.items():
            p.grad = torch.tensor(gradients[key].astype("float64"))
        optimizer.step()
    for key, value in net.state_dict().items():
        plain.assert_close(value, parameters[key].detach().numpy(), TOLERANCES[dtype], key)


@by_dtype
@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam", "AdamW", "NAdam"])
def test_defaults(torch, name, dtype):
    """Every default is PyTorch's, but SGD's lr, which was none once and is 0.001 now."""
    optimizer = getattr(torch.optim, name)([torch.zeros(1)])
    for key, value in getattr(nn, name)().config().items():
        if key in optimizer.defaults and (name, key) != ("SGD", "lr"):
            assert optimizer.defaults[key] == value, key


# -- Losses: PyTorch's of a row is the mean over its outputs, but for cross entropy --


def by_mean(function):
    def rows(torch, z, y):
        return function(torch.nn.functional, z, y, reduction="none").mean(1)

    return rows


def cross_entropy(label_smoothing=0.0):
    def rows(torch, z, y):
        return torch.nn.functional.cross_entropy(
            z, y, label_smoothing=label_smoothing, reduction="none"
        )

    return rows


WEIGHTS = [1.0, 20.0, 0.5]


def binary(torch, z, y):
    weight = torch.tensor(WEIGHTS, dtype=z.dtype)
    return torch.nn.functional.binary_cross_entropy_with_logits(
        z, y, pos_weight=weight, reduction="none"
    ).mean(1)


def labels(rng, shape):
    return rng.integers(shape[1], size=shape[0])


LOSSES = {
    "labels": (nn.CrossEntropy(), cross_entropy(), labels),
    "smoothed": (nn.CrossEntropy(0.1), cross_entropy(0.1), labels),
    "soft": (nn.CrossEntropy(), cross_entropy(), lambda rng, shape: rng.random(shape)),
    "soft-smoothed": (nn.CrossEntropy(0.1), cross_entropy(0.1), lambda rng, s: rng.random(s)),
    "binary": (nn.BinaryCrossEntropy(WEIGHTS), binary, lambda rng, s: rng.integers(2, size=s)),
    "mse": (nn.MSE(), by_mean(lambda f, z, y, **k: f.mse_loss(z, y, **k)), None),
    "mae": (nn.MAE(), by_mean(lambda f, z, y, **k: f.l1_loss(z, y, **k)), None),
    "huber": (nn.Huber(), by_mean(lambda f, z, y, **k: f.huber_loss(z, y, **k)), None),
    "poisson": (
        nn.Poisson(),
        by_mean(lambda f, z, y, **k: f.poisson_nll_loss(z, y, **k)),
        lambda rng, shape: rng.poisson(3, size=shape),
    ),
}  # fmt: skip


@by_dtype
@pytest.mark.parametrize("scale", [1.0, 20.0, 1e4])
@pytest.mark.parametrize(("loss", "rows", "draw"), LOSSES.values(), ids=LOSSES)
def test_losses(torch, loss, rows, draw, scale, dtype):
    if scale == 1e4 and isinstance(loss, nn.Poisson):
        pytest.skip("exp(1e4) is infinite")
    rng = np.random.default_rng(0)
    z = (scale * rng.normal(size=(40, 3))).astype(dtype)
    z[:5] = np.round(z[:5])
    y = z.copy() if draw is None else draw(rng, z.shape)
    if draw is None:
        y[5:] += rng.normal(size=(35, 3))  # and five rows at the kink
    theirs = torch.tensor(z.astype("float64"), requires_grad=True)
    value = rows(torch, theirs, torch.tensor(y if y.ndim == 1 else y.astype("float64")))
    value.sum().backward()
    mine, gradient = row_losses(loss, z, y, dtype)
    plain.assert_close(mine, value.detach().numpy(), TOLERANCES[dtype])
    plain.assert_close(gradient, theirs.grad.numpy(), TOLERANCES[dtype])
