"""A network as a file: what training would need to go on, and nothing that runs."""

import numpy as np

from relume import validation
from relume.nn.losses import PythonLoss
from relume.nn.metrics import OF_CLASSES, OF_VALUES
from relume.nn.optimizers.schedule import Schedule
from relume.nn.parameters.state_dict import state_dict_of
from relume.nn.saving import model_file, serialize

PARTS = ("optimizer.0.", "optimizer.1.", "average.")  # before the names of what goes with them


def save(net, path):
    """Write a network to a file; see `Network.save`."""
    path = validation.path(path)
    model_file.replace(path, model_file.packed(_settings(net), _tensors(net)))


def _settings(net):
    weights, known = net._weights, OF_CLASSES | OF_VALUES
    return {
        "layers": serialize.described(net.layers, "layers"),
        "loss": _described(net.loss, "loss"),
        "metrics": [
            name if known.get(name) is function else {"function": name}
            for name, function in net.metrics
        ],
        "optimizer": serialize.described(net.optimizer, "optimizer"),
        "schedule": _described(net.schedule, "schedule"),
        "schedule_state": {
            key: serialize.described(value, f"schedule's {key}")
            for key, value in _state_of(net.schedule).items()
        },
        "dtype": net.dtype.name,
        "random": serialize.generator_described(net._rng),
        "epoch": validation.integer(net.epoch, "epoch", 0),
        "n_features": None if weights is None else weights.plan.n_in,
        "steps": 0 if weights is None else int(weights.steps),
        "standardized": weights is not None and weights.standardized,
        "sparse": net.sparse,
    }


def _described(value, name):
    """A loss or a schedule; only the name of one that is written in Python."""
    if isinstance(value, PythonLoss):
        value = value.function
    if callable(value) and not serialize.is_known(value):
        return {"function": getattr(value, "__qualname__", type(value).__qualname__)}
    return serialize.described(value, name)


def _state_of(schedule):
    return schedule.state() if isinstance(schedule, Schedule) else {}


def _tensors(net):
    """The parameters by the names of `state_dict`; optimizer state and average by these too.

    State of which every bit is 0, as an optimizer begins with, is left out.
    """
    weights = net._weights
    if weights is None:
        return {}
    tensors = state_dict_of(weights, weights.parameters)
    flats = {
        part: flat
        for part, flat in zip(PARTS, (*weights.optimizer_state, weights.average), strict=True)
        if flat is not None and (part == "average." or flat.view(np.uint8).any())
    }
    for part, flat in flats.items():
        named = weights.named(flat, statistics=False)
        tensors |= {f"{part}{name}": view for name, view in named.items()}
    for name, value in tensors.items():
        _finite(value, name)
    return tensors


def _finite(value, name):
    """Raise unless values are finite; an optimizer's state may overflow and go on."""
    if not name.startswith("optimizer.") and not np.isfinite(value).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
