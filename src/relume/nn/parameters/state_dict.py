"""Parameters by the names and shapes of a torch.nn.Sequential, and back."""

import numpy as np

from relume import validation
from relume.engine.ops import COUNT, DIGITS
from relume.nn.layers.ops import ops_of, parameters
from relume.nn.parameters.weights import Weights, assign, whole


def state_dict_of(weights, flat):
    """Copies of a flat buffer's arrays, as PyTorch has them: counts are integers."""
    by_op, state = weights.by_op(flat), {}
    for view in weights.views(flat):
        spec, arrays = by_op[view.op]
        if view.role == COUNT:
            state[f"{spec.name}.{view.name}"] = np.array(whole(arrays, view.name), np.int64)
        elif view.role != DIGITS:
            state[f"{spec.name}.{view.name}"] = np.array(whole(arrays, view.name).T)
    return state


def from_state_dict(state, layers, dtype, n_features=None, sparse="auto"):
    """Weights with the values of a state_dict; ValueError names the first entry that is wrong."""
    weights = Weights(layers, n_features or _width_of(state, layers), dtype, sparse)
    arrays = parameters(weights.specs, weights.plan.n_in)
    for name in arrays:
        if name not in state:
            raise _lacks(name, state, arrays)
    for name in state:
        validation.choice(name, "a name in state", arrays)
    values = {}
    for name, array in arrays.items():
        value = validation.finite(state[name], name, dtype)
        if value.shape != array.shape:
            raise ValueError(f"{name} must have shape {array.shape}, got {value.shape}")
        _check_values(name, value, array)
        wide = np.int64 if array.role == COUNT else np.float64 if array.wide else dtype
        values[name] = value if wide == dtype else np.asarray(state[name]).astype(wide)
    take_over(weights, values)
    weights.standardized = True
    return weights


def _lacks(name, state, arrays):
    """The error for an entry that is not in a state, with what is there instead."""
    needed = f"; it must hold {', '.join(arrays)}" if arrays else ""
    unknown = ", ".join(map(str, list(state)[:8])) or "nothing"
    remedy = ""
    if arrays and all(each in arrays for each in state):
        remedy = "; to change some parameters only, pass net.state_dict() | state"
    return ValueError(f"state lacks {name!r}{needed}; got {unknown}{remedy}")


def take_over(weights, values):
    """Set all arrays of the parameters, by their names in a state_dict, to checked values."""
    for spec, arrays in weights.by_op():
        for name in arrays:
            if f"{spec.name}.{name}" in values:
                assign(arrays, name, values[f"{spec.name}.{name}"].T)


def _check_values(name, value, parameter):
    """Raise where a statistic is one that no data has; a scale is divided by."""
    words, allowed = parameter.op.layer.constraints.get(name.rpartition(".")[2], ("", None))
    if allowed and not allowed(value).all():
        raise ValueError(f"{name} must hold {words}, got {value.min()}")
    if parameter.role == COUNT and (value < 0 or value != np.floor(value)):
        raise ValueError(f"{name} must be an integer of at least 0, got {value}")


def _width_of(state, layers):
    """The width of the input, by the first parameters that tell it."""
    for op in ops_of(layers):
        if op.layer.tells_width:
            name = f"{op.name}.{op.layer.tells_width}"
            if name not in state:
                raise _lacks(name, state, ())
            shape = np.shape(state[name])
            if not shape or 0 in shape:
                raise ValueError(f"{name} must not be empty, got shape {shape}")
            return shape[-1]
    raise AssertionError("a network without a Dense")
