"""Parameters by the names and shapes of a torch.nn.Sequential, and back."""

import numpy as np

from relume import validation
from relume.nn.layers.residual import steps_of
from relume.nn.parameters.weights import Weights


def state_dict_of(weights, flat):
    """Copies of a flat buffer's arrays, as PyTorch has them: counts are integers."""
    return {
        name: np.array(value, np.int64 if name.endswith("num_batches_tracked") else None)
        for name, value in weights.named(flat).items()
    }


def from_state_dict(state, layers, dtype, n_features=None, sparse="auto"):
    """Weights with the values of a state_dict; ValueError names the first entry that is wrong."""
    weights = Weights(layers, n_features or _width_of(state, layers), dtype, sparse)
    views = weights.named(weights.parameters)
    for name in views:
        if name not in state:
            raise ValueError(f"state lacks {name!r}; it must hold {', '.join(views)}")
    for name in state:
        validation.choice(name, "a name in state", views)
    for name, view in views.items():
        value = validation.finite(state[name], name, dtype)
        if value.shape != view.shape:
            raise ValueError(f"{name} must have shape {view.shape}, got {value.shape}")
        _check_statistics(name, value)
        view[...] = value
    weights.standardized = True
    return weights


def _check_statistics(name, value):
    """Raise where a statistic is none that any data has; a scale is divided by."""
    if name.endswith(".running_var") and value.min() < 0:
        raise ValueError(f"{name} must hold no negative values, got {value.min()}")
    if name.endswith(".scale") and value.min() <= 0:
        raise ValueError(f"{name} must hold values greater than 0, got {value.min()}")
    if name.endswith(".num_batches_tracked") and (value < 0 or value != np.floor(value)):
        raise ValueError(f"{name} must be an integer of at least 0, got {value}")


def _width_of(state, layers):
    """The width of the input, by the first parameters that tell it."""
    sources = {"dense": "weight", "batch_norm": "weight", "layer_norm": "weight",
               "standardize": "mean"}  # fmt: skip
    for spec in steps_of(layers):
        if spec["kind"] in sources:
            name = f"{spec['name']}.{sources[spec['kind']]}"
            if name not in state:
                raise ValueError(f"state lacks {name!r}")
            shape = np.shape(state[name])
            if not shape or 0 in shape:
                raise ValueError(f"{name} must not be empty, got shape {shape}")
            return shape[-1]
    raise AssertionError("a network without a Dense")
