"""PyTorch's optimizers and losses beside relume's: the same steps, values and gradients."""

import numpy as np
import pytest

from relume import nn
from tests.nn.test_losses import row_losses
from tests.support import pytorch
from tests.support import twin as plain
from tests.support.pytorch.training import DEFAULTS, LOSS_CASES, OPTIMIZER_CASES

TOLERANCES = {"float64": 1e-10, "float32": 1e-5}
by_dtype = pytest.mark.parametrize("dtype", TOLERANCES)


def recorded(name):
    return pytorch.load("training").results[name]


@by_dtype
@pytest.mark.parametrize("name", OPTIMIZER_CASES)
def test_fifty_steps(name, dtype):
    """PyTorch goes its own way, in float64, with the same gradients."""
    case = OPTIMIZER_CASES[name]
    weights = case.weights()
    n_out, n_in = weights["0.weight"].shape
    optimizer = getattr(nn, case.name)(**case.options)
    net = nn.Network([nn.Dense(n_out)], loss="mse", optimizer=optimizer, dtype=dtype).build(n_in)
    net.load_state_dict(weights)
    for X, dz in case.batches():
        net.forward(X, training=True)
        net.backward(dz)
        gradients = net.gradients()
        np.testing.assert_array_equal(gradients["0.weight"], dz.T @ X)
        np.testing.assert_array_equal(gradients["0.bias"], dz.sum(0))
        net.step()
    for key, value in net.state_dict().items():
        plain.assert_close(value, recorded(name)[key], TOLERANCES[dtype], key)


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults(name):
    """Every default is PyTorch's, but SGD's lr, which was none once and is 0.001 now."""
    ours = getattr(nn, DEFAULTS[name].name)().config()
    for key, value in ours.items():
        if value is not None and (name, key) != ("defaults-SGD", "lr"):
            theirs = recorded(name)[key]
            assert np.array_equal(value, theirs), f"{key}: {value}, not {theirs}"


@pytest.mark.parametrize("name", LOSS_CASES)
def test_losses(name):
    case = LOSS_CASES[name]
    value, gradient = row_losses(case.loss, *case.data(), case.dtype)
    plain.assert_close(value, recorded(name)["value"], TOLERANCES[case.dtype])
    plain.assert_close(gradient, recorded(name)["gradient"], TOLERANCES[case.dtype])
