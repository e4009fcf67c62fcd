"""Saving a network to a file: everything needed to continue training, and no code."""

import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from relume import validation
from relume.nn.losses import PythonLoss
from relume.nn.metrics import OF_CLASSES, OF_VALUES
from relume.nn.optimizers.schedule import Schedule
from relume.nn.parameters.state_dict import state_dict_of
from relume.nn.saving import callback_states, model_file, serialize
from relume.runtime import files

if TYPE_CHECKING:
    from relume.nn.network import Network

# Prefixes of the parameters' names: of the optimizer's arrays in their order, the second of which
# holds roots of second moments, and of the average.
STATE = ("optimizer.0.", "optimizer.r.", "optimizer.2.")
PARTS = (*STATE, "average.")
SQUARES = "optimizer.1."  # as earlier versions wrote the squares of "optimizer.r."


def save(net: "Network", path: str | os.PathLike[str]) -> None:
    """Write a network to a file; see `Network.save`."""
    path = validation.path(path)
    with net._one_thread.absent():
        settings, tensors = _settings(net), _tensors(net)
        states, arrays = callback_states.to_config(net._states_of_callbacks())
        if states:
            settings["callbacks"] = states
        data = model_file.packed(settings, tensors | arrays)
    files.replace(path, data)


def _settings(net: "Network") -> dict[str, serialize.Json]:
    weights, known = net._weights, OF_CLASSES | OF_VALUES
    settings: dict[str, serialize.Json] = {
        "layers": serialize.to_config(net.layers, "layers"),
        "loss": _to_config(net.loss, "loss"),
        "metrics": [
            name if known.get(name) is function else {"function": name}
            for name, function in net.metrics
        ],
        "optimizer": serialize.to_config(net.optimizer, "optimizer"),
        "schedule": _to_config(net.schedule, "schedule"),
        "schedule_state": {
            key: serialize.to_config(value, f"schedule's {key}")
            for key, value in _state_of(net.schedule).items()
        },
        "dtype": net.dtype.name,
        "random": serialize.generator_to_config(net._rng),
        "epoch": validation.integer(net.epoch, "epoch", 0),
        "n_features": None if weights is None else weights.plan.n_in,
        "steps": 0 if weights is None else int(weights.steps),
        "standardized": weights is not None and weights.standardized,
        "sparse": net.sparse,
    }
    if net.scale_targets or net._target_form.column:
        settings["targets"] = {"scale": net.scale_targets, "column": net._target_form.column}
    return settings


def _to_config(value, name):
    """The config of a loss or schedule; for a Python function, only its name."""
    if isinstance(value, PythonLoss):
        config = _to_config(value.function, name)
        return config if value.outputs == "values" else config | {"outputs": value.outputs}
    if callable(value) and not serialize.is_known(value):
        return {"function": getattr(value, "__qualname__", type(value).__qualname__)}
    return serialize.to_config(value, name)


def _state_of(schedule):
    return schedule.state() if isinstance(schedule, Schedule) else {}


def _tensors(net: "Network") -> dict[str, NDArray[np.generic]]:
    """The parameters under the names of `state_dict`; the optimizer's state and the average too.

    An optimizer's state that is still all zero bits, as at the start, is left out.
    """
    weights = net._weights
    if weights is None:
        return {}
    tensors = state_dict_of(weights, weights.parameters)
    for name, value in tensors.items():  # a mean in float64 only where it has the digits
        if value.dtype == np.float64 != net.dtype and (value == value.astype(net.dtype)).all():
            tensors[name] = value.astype(net.dtype)
    flats = {
        part: flat
        for part, flat in zip(STATE, weights.optimizer_state, strict=False)
        if flat.view(np.uint8).any()
    }
    if weights.average is not None:
        flats["average."] = weights.average
    for part, flat in flats.items():
        named = weights.named(flat, statistics=False)
        tensors |= {f"{part}{name}": view for name, view in named.items()}
    if net._target_form.learned:
        tensors |= net._target_form.arrays(weights.plan.n_out)
    for name, value in tensors.items():
        _finite(value, name)
    return tensors


def _finite(value, name):
    """Raise unless the values are finite; an optimizer's state may overflow without harm."""
    if not name.startswith("optimizer.") and not np.isfinite(value).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
