"""PyTorch's layers beside relume's: fifty steps from the same weights, state_dicts both ways."""

import numpy as np
import pytest

from relume import nn
from tests.support import pytorch
from tests.support import twin as plain
from tests.support.pytorch.networks import STATE_DICTS, STEPS_CASES

TOLERANCES = {"float64": 1e-10, "float32": 1e-5}


def assert_close_states(state, recorded, tolerance):
    """`recorded` holds the values of all arrays of the state_dict one after the other."""
    ends = np.cumsum([value.size for value in state.values()])
    assert len(recorded) == ends[-1]
    for (name, value), part in zip(state.items(), np.split(recorded, ends[:-1]), strict=True):
        plain.assert_close(value, part.reshape(value.shape), tolerance, name)


@pytest.mark.parametrize("name", STEPS_CASES)
def test_fifty_steps(name):
    """The loss of each step, the weights after the last, and predictions with them."""
    case, theirs = STEPS_CASES[name], pytorch.load("networks").results[name]
    tolerance = TOLERANCES[case.dtype]
    net = case.network()
    *batches, (X_last, _) = case.batches()
    for t, (X, y) in enumerate(batches):
        loss = net.train_on_batch(X, y)
        assert loss == pytest.approx(theirs["losses"][t], rel=tolerance), f"loss of step {t + 1}"
    assert_close_states(net.state_dict(), theirs["state"], 2 * tolerance)
    plain.assert_close(net.forward(X_last), theirs["predictions"], 2 * tolerance, "predictions")
    assert (case.decay_of_average is not None) == ("average" in theirs)
    if "average" in theirs:
        assert_close_states(net.averaged().state_dict(), theirs["average"], 2 * tolerance)


@pytest.mark.parametrize("name", STATE_DICTS)
def test_state_dict_goes_both_ways(name):
    """Names, order, shapes and dtypes of a Sequential; PyTorch's values give its outputs."""
    case = STATE_DICTS[name]
    theirs = dict(pytorch.load("networks").results[name])
    outputs = theirs.pop("outputs")
    net = nn.Network(case.layers(), loss="mse", dtype=case.dtype).build(case.X().shape[1])
    mine = net.state_dict()
    assert list(mine) == list(theirs)
    for key, value in theirs.items():
        # The mean that Standardize subtracts has more digits than the network's numbers.
        wide = key == "0.mean" and isinstance(net.layers[0], nn.Standardize)
        dtype = np.float64 if wide else value.dtype
        assert (mine[key].shape, mine[key].dtype) == (value.shape, dtype), key
    other = nn.Network(case.layers(), loss="mse", dtype=case.dtype)
    other.load_state_dict(theirs)
    plain.assert_close(other.forward(case.X()), outputs, TOLERANCES[case.dtype], "outputs")
