"""The states of callbacks as JSON and tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relume import validation
from relume.nn.data.target_form import TargetForm
from relume.nn.layers.layer import checked_layers
from relume.nn.layers.residual import width_of
from relume.nn.optimizers.lbfgs import LBFGS
from relume.nn.optimizers.optimizers import Optimizer
from relume.nn.parameters.snapshot import Snapshot
from relume.nn.parameters.weights import Weights
from relume.nn.saving import serialize

PREFIX = "callbacks."  # of the names of tensors
DTYPES = {name: np.dtype(name) for name in ("float32", "float64")}

TARGETS = ("column", "mean", "scale")

Tensors = dict[str, NDArray[Any]]


def to_config(states: list[dict[str, Any]]) -> tuple[list[serialize.Json], Tensors]:
    """States, each with the name of its class, as JSON can hold them, and arrays by name."""
    tensors: Tensors = {}
    configs: list[serialize.Json] = []
    for each in states:
        name = f"the state of {each['class']}"
        configs.append({"class": each["class"], "state": _to_config(each["state"], name, tensors)})
    return configs, tensors


def _to_config(value: Any, name: str, tensors: Tensors) -> serialize.Json:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fiub" or value.dtype.itemsize > 8:
            raise TypeError(f"{name} must hold arrays of numbers, got dtype {value.dtype}")
        key = f"{PREFIX}{len(tensors)}"
        tensors[key] = value.astype(value.dtype.newbyteorder("="), copy=False)
        return {"tensor": key}
    if isinstance(value, Snapshot):
        return {"snapshot": _to_config(_fields_of(value, name), name, tensors)}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{name} must have strings as keys, got {key!r}")
        return {"mapping": {key: _to_config(each, f"{name}, {key}", tensors)
                            for key, each in value.items()}}  # fmt: skip
    if isinstance(value, list | tuple):
        return [_to_config(each, f"{name}[{i}]", tensors) for i, each in enumerate(value)]
    if isinstance(value, np.bool_):
        return bool(value)
    try:
        return serialize.to_config(value, name)
    except TypeError:
        raise TypeError(
            f"{name} must hold numbers, strings, arrays, snapshots, lists and dicts only, to be "
            f"saved; got {type(value)}"
        ) from None


def _fields_of(snapshot: Snapshot, name: str) -> dict[str, Any]:
    """The values of a snapshot, which `_snapshot` takes."""
    weights: dict[str, Any] | None = None
    if snapshot.weights is not None:
        parameters, state, average, steps, standardized = snapshot.weights
        if not np.isfinite(parameters).all():
            raise ValueError(f"{name} must be finite, got NaN or infinity")
        weights = {
            "parameters": parameters,
            # Many optimizers use but one row, or none.
            "optimizer_state": [row if row.view(np.uint8).any() else None for row in state],
            "average": average,
            "steps": int(steps),
            "standardized": bool(standardized),
        }
    return {
        "layers": snapshot.layers,
        "dtype": snapshot.dtype.name,
        "n_features": snapshot.n_features,
        "weights": weights,
        "random": serialize.state_to_config(snapshot.rng),
        "epoch": snapshot.epoch,
        "optimizer": snapshot.optimizer,
        "schedule": snapshot.schedule,
        "targets": {name: getattr(snapshot.targets, name) for name in TARGETS},
    }


def from_config(configs: list[Any], tensors: Tensors) -> list[dict[str, Any]]:
    """The states that `to_config` turned into JSON; ValueError says where it is wrong."""
    unused = dict(tensors)
    states = []
    for i, config in enumerate(configs):
        name = f"callbacks[{i}]"
        if not isinstance(config, dict) or config.keys() != {"class", "state"}:
            raise ValueError(f"{name} must have a class and a state")
        state = _from_config(config["state"], name, unused)
        if not isinstance(config["class"], str) or not isinstance(state, dict):
            raise ValueError(f"{name} must have the name of a class, and a mapping as its state")
        states.append({"class": config["class"], "state": state})
    if unused:
        raise ValueError(f"no state of a callback holds the tensor {min(unused)!r}")
    return states


def _from_config(value: Any, name: str, unused: Tensors) -> Any:
    if isinstance(value, list):
        return [_from_config(each, f"{name}[{i}]", unused) for i, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"mapping"} and isinstance(value["mapping"], dict):
        return {
            key: _from_config(each, f"{name}, {key}", unused)
            for key, each in value["mapping"].items()
        }
    if value.keys() == {"tensor"}:
        return unused.pop(validation.choice(value["tensor"], f"a tensor of {name}", unused))
    if value.keys() == {"snapshot"}:
        return _snapshot(_from_config(value["snapshot"], name, unused), name)
    return serialize.from_config(value, name)


def _snapshot(fields: Any, name: str) -> Snapshot:
    """A snapshot whose arrays are of the shapes that its layers need."""
    names = (
        "layers", "dtype", "n_features", "weights", "random", "epoch", "optimizer", "schedule",
        "targets",
    )  # fmt: skip
    if not isinstance(fields, dict) or fields.keys() != set(names):
        raise ValueError(f"a snapshot of {name} must have {', '.join(names)}")
    layers = checked_layers(fields["layers"], f"layers of {name}")
    optimizer, schedule = fields["optimizer"], fields["schedule"]
    if not isinstance(optimizer, Optimizer | LBFGS) or not isinstance(schedule, dict):
        raise ValueError(f"a snapshot of {name} must have an optimizer and a schedule's state")
    dtype = DTYPES[validation.choice(fields["dtype"], f"dtype of {name}", DTYPES)]
    n_features, weights = fields["n_features"], None
    if (n_features is None) != (fields["weights"] is None):
        raise ValueError(f"a snapshot of {name} must have both n_features and weights, or neither")
    if n_features is not None:
        n_features = validation.integer(n_features, f"n_features of {name}")
        weights = _weights(fields["weights"], Weights(layers, n_features, dtype), name)
    return Snapshot(
        layers, dtype, n_features, weights,
        serialize.generator_from_config(fields["random"]).bit_generator.state,
        validation.integer(fields["epoch"], f"epoch of {name}", 0), optimizer, schedule,
        _targets(fields["targets"], width_of(layers), name),
    )  # fmt: skip


def _targets(found: Any, n_outputs: int | None, name: str) -> TargetForm:
    """The form of targets, whose scale fits the outputs of the layers."""
    if not isinstance(found, dict) or found.keys() != set(TARGETS):
        raise ValueError(f"the targets of {name} must have {', '.join(TARGETS)}")
    form = TargetForm(validation.flag(found["column"], f"column of {name}"))
    if found["mean"] is None and found["scale"] is None:
        return form
    return form.of_arrays(found["mean"], found["scale"], n_outputs or 0)


def _weights(found: Any, like: Weights, name: str) -> tuple[Any, ...]:
    """The values as `Weights.restore` takes them."""
    names = ("parameters", "optimizer_state", "average", "steps", "standardized")
    if not isinstance(found, dict) or found.keys() != set(names):
        raise ValueError(f"the weights of {name} must have {', '.join(names)}")
    rows = found["optimizer_state"]
    if not isinstance(rows, list) or len(rows) not in (2, 3):
        raise ValueError(f"the optimizer_state of {name} must have two or three rows")
    arrays = {"parameters": found["parameters"], "average": found["average"]}
    arrays |= {f"optimizer_state[{i}]": row for i, row in enumerate(rows)}
    for key, array in arrays.items():
        if array is None and key != "parameters":
            continue
        shape, dtype = like.parameters.shape, like.dtype
        if getattr(array, "shape", None) != shape or array.dtype != dtype:
            raise ValueError(f"{key} of {name} must be an array of shape {shape} of {dtype}")
        if not key.startswith("optimizer_state") and not np.isfinite(array).all():
            raise ValueError(f"{key} of {name} must be finite, got NaN or infinity")
    state = np.zeros((len(rows), *like.parameters.shape), like.dtype)
    for row, values in zip(state, rows, strict=True):
        if values is not None:
            row[...] = values
    steps = validation.integer(found["steps"], f"steps of {name}", 0)
    standardized = validation.flag(found["standardized"], f"standardized of {name}")
    return found["parameters"], state, found["average"], steps, standardized
