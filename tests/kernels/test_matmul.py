"""The engine's matrix products against NumPy's in float64, at every edge of their tiles."""

import numpy as np
import pytest

import relume
from relume import nn
from tests.support import twin as plain

# Rows, inputs, hidden units, outputs: tails of tiles in each, deeper than a panel (256), rows
# of weights so far apart that they are copied (4,096 bytes), one row, and so many rows and weights
# (512, 2 MB) that shards are larger.
SHAPES = [
    *((rows, 5, 33, 3) for rows in range(1, 20)),
    *((7, 6, width, 4) for width in range(1, 67)),
    *((9, width, 17, width) for width in (1, 2, 15, 16, 17, 31, 32, 33, 64, 65)),
    (1, 300, 600, 10), (3, 300, 600, 10), (70, 300, 600, 10), (129, 520, 40, 300),
    (70, 300, 1100, 10), (601, 520, 1100, 10),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-13)])
def test_products_and_gradients_are_numpys(dtype, tolerance):
    for rows, n_in, hidden, n_out in SHAPES:
        rng = np.random.default_rng(rows + hidden)
        X, dz = rng.normal(size=(rows, n_in)), rng.normal(size=(rows, n_out))
        net = nn.Network([nn.Dense(hidden, "relu", bias_init=0.1), nn.Dense(n_out)], loss="mse",
                         seed=0, dtype=dtype).build(n_in)  # fmt: skip
        state = {name: value.astype(np.float64) for name, value in net.state_dict().items()}
        X, dz = X.astype(dtype), dz.astype(dtype)
        W, V = state["0.weight"], state["2.weight"]
        h = np.maximum(X.astype(np.float64) @ W.T + state["0.bias"], 0)
        dh = (dz.astype(np.float64) @ V) * (h > 0)
        expected = {
            "z": h @ V.T + state["2.bias"], "dX": dh @ W, "0.weight": dh.T @ X,
            "0.bias": dh.sum(axis=0), "2.weight": dz.T @ h, "2.bias": dz.sum(axis=0),
        }  # fmt: skip
        found = {"z": net.forward(X, training=True), "dX": net.backward(dz), **net.gradients()}
        for name, value in expected.items():
            np.testing.assert_allclose(
                found[name], value, rtol=0, atol=tolerance * max(1, abs(value).max()),
                err_msg=f"{name} of {dtype}, shape {(rows, n_in, hidden, n_out)}",
            )  # fmt: skip
        np.testing.assert_array_equal(net.forward(X), found["z"])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_step_in_larger_shards_is_the_twins(threads):
    X, y = plain.data(601, 520, 10)
    net, twin = plain.pair(520, [1100, 10], [("relu", {}), None], optimizer=("SGD", {"lr": 0.1}))
    with relume.num_threads(threads):
        assert net.train_on_batch(X, y) == pytest.approx(twin.train_on_batch(X, y), rel=1e-12)
    plain.assert_close_parameters(net, twin, 1e-12)
