"""Loading a network from a file. The whole file is checked before the network is built.

See docs/saving_and_loading.md for the format.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from types import UnionType
from typing import Any

import numpy as np

from relume import validation
from relume.engine.ops import COUNT, LEARNT
from relume.engine.skip_zeros import SPARSITIES
from relume.nn.data.target_form import MEAN, SCALE, TargetForm
from relume.nn.layers.layer import checked_layers
from relume.nn.layers.ops import ops_of, parameters
from relume.nn.layers.residual import width_of
from relume.nn.losses import Loss, PythonLoss, loss_of
from relume.nn.network import DTYPES, Network
from relume.nn.optimizers.schedule import Schedule, schedule_of
from relume.nn.parameters.state_dict import take_over
from relume.nn.parameters.weights import Weights
from relume.nn.saving import callback_states, model_file, safetensors_format, serialize
from relume.nn.saving.save import PARTS, SQUARES, STATE, _finite

KINDS: dict[str, type | UnionType] = {
    "layers": list, "loss": dict, "metrics": list, "optimizer": dict, "schedule": dict | None,
    "schedule_state": dict, "dtype": str, "random": dict, "epoch": int, "steps": int,
    "n_features": int | None, "standardized": bool, "sparse": str,
}  # fmt: skip
OPTIONAL: dict[str, type | UnionType] = {"callbacks": list, "targets": dict}


def load(
    path: str | os.PathLike[str],
    loss: Loss | Callable[..., Any] | str | None = None,
    *,
    metrics: Iterable[str | Callable[..., float]] | None = None,
    schedule: Callable[[float], float] | None = None,
    resume: bool = True,
) -> Network:
    """Load a network from a file written by `Network.save`.

    The network predicts, evaluates and continues training with the same bits as the one that was
    saved. Loading executes no code from the file, and checks the whole file before it builds
    anything.

    Parameters
    ----------
    path : str or path-like
        Path of the file.
    loss : callable, Loss, str or None, default=None
        Loss to use instead of the one in the file. Required if that is a Python function, because
        the file contains only its name.
    metrics : list or None, default=None
        Metrics to use instead of those in the file. Required if one of them is a Python function.
    schedule : Schedule, callable or None, default=None
        Schedule to use instead of the one in the file. Required if that is a Python function or
        an object of your own class. A schedule with a state continues from the saved one.
    resume : bool, default=True
        Whether the callbacks of the next fit continue from their states in the file, see
        `Callback.load_state_dict`. With False they start afresh, for instance to train on other
        data after `EarlyStopping` has ended the saved fit.

    Returns
    -------
    Network
        The network with its weights, optimizer, random state and number of epochs.

    Raises
    ------
    ModelFileError
        If the file was altered or truncated, contains no network, or has an unknown version of the
        format. It is a ValueError.
    OSError
        If the file cannot be read.

    See Also
    --------
    Network.save : Save a network to a file.

    Examples
    --------
    >>> import os, tempfile
    >>> from relume import nn
    >>> net = nn.Network([nn.Dense(4, activation="relu"), nn.Dense(1)], loss="mse", seed=0)
    >>> history = net.fit([[0.0], [1.0]], [0.0, 1.0], epochs=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "net.safetensors")
    ...     net.save(path)
    ...     other = nn.load(path)
    >>> other.epoch, bool((other.predict([[0.5]]) == net.predict([[0.5]])).all())
    (4, True)
    """
    path, resume = validation.path(path), validation.flag(resume, "resume")
    loss, schedule = None if loss is None else loss_of(loss), schedule_of(schedule)
    with open(path, "rb", buffering=0) as file, _of_file(path):
        if file.seekable():  # not a pipe; another file may be larger than memory
            safetensors_format.header_size(file.read(8))
            file.seek(0)
        data = file.read()
    with _of_file(path):
        found, tensors = model_file.unpacked(data)
        _check_kinds(found)
        layers = checked_layers(serialize.from_config(found["layers"], "layers"), "layers")
        dtype = DTYPES[validation.choice(found["dtype"], "dtype", DTYPES)]
        states = callback_states.from_config(
            found.get("callbacks", []),
            {name: tensors.pop(name) for name in [*tensors]
             if name.startswith(callback_states.PREFIX)},
        )  # fmt: skip
        expected = _expected(found, tensors, layers, dtype)
        if _targets(found)[0] and expected and (MEAN in tensors or SCALE in tensors):
            shape = (width_of(layers),)
            expected |= {name: (np.dtype(np.float64), shape) for name in (MEAN, SCALE)}
        _check_tensors(tensors, expected)
        net = _without_weights(found, layers, loss, metrics, schedule)
        if found["n_features"] is not None:
            net._weights = _weights(found, tensors, net)
        if MEAN in tensors:
            net._target_form = net._target_form.of_arrays(
                tensors[MEAN], tensors[SCALE], net.n_outputs
            )
        if resume:
            net._callback_states, net._resumes = states, True
        return net


@contextmanager
def _of_file(path):
    try:
        yield
    except (RecursionError, TypeError, ValueError) as error:
        raise model_file.ModelFileError(f"{path}: {error}") from error


def _check_kinds(found):
    for name in found:
        validation.choice(name, "an entry of its settings", KINDS | OPTIONAL)
    for name, kind in (KINDS | OPTIONAL).items():
        if name not in found and name in OPTIONAL:
            continue
        if name not in found:
            raise ValueError(f"its settings lack {name!r}")
        value = found[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(
                f"{name} must be {getattr(kind, '__name__', kind)}, got {validation.shown(value)}"
            )
    for name in ("epoch", "steps"):
        if not 0 <= found[name] < 2**63:
            raise ValueError(f"{name} must be at least 0 and less than 2**63, got {found[name]}")


def _without_weights(found, layers, loss, metrics, schedule):
    """The network without its weights."""
    scale, column = _targets(found)
    net = Network(
        layers,
        loss=_known(loss, found["loss"], "loss", Loss),
        optimizer=serialize.from_config(found["optimizer"], "optimizer"),
        seed=serialize.generator_from_config(found["random"]),
        dtype=found["dtype"],
        metrics=_metrics(found["metrics"]) if metrics is None else metrics,
        schedule=_known(schedule, found["schedule"], "schedule", Schedule | None),
        sparse=validation.choice(found["sparse"], "sparse", SPARSITIES),
        scale_targets=scale,
    )
    net._target_form = TargetForm(column)
    net.epoch = found["epoch"]
    state = {
        key: serialize.from_config(each, key) for key, each in found["schedule_state"].items()
    }
    if state and (schedule is None or _is_function(found["schedule"])):
        if not isinstance(net.schedule, Schedule):
            raise ValueError(
                f"schedule must be an nn.Schedule, which has a state; got {net.schedule!r}"
            )
        net.schedule.set_state(state)
    return net


def _targets(found):
    """Whether targets are scaled, and whether they were a column."""
    targets = found.get("targets", {"scale": False, "column": False})
    if targets.keys() != {"scale", "column"} or not all(
        isinstance(each, bool) for each in targets.values()
    ):
        raise ValueError(f"targets must hold scale and column, true or false, got {targets!r}")
    return targets["scale"], targets["column"]


def _is_function(value):
    return isinstance(value, dict) and value.keys() in ({"function"}, {"function", "outputs"})


def _known(given, value, name, kind):
    """The given setting, or else the one in the file."""
    if isinstance(given, PythonLoss) and given.outputs == "values" and _is_function(value):
        return PythonLoss(given.function, value.get("outputs", "values"))
    if given is not None:
        return given
    if _is_function(value):
        raise ValueError(
            f"{name} must be given, nn.load(path, {name}=...): the file holds only the name of "
            f"the Python function, {value['function']!r}"
        )
    value = serialize.from_config(value, name)
    if not isinstance(value, kind):
        raise ValueError(f"{name} must be a {name} of relume.nn, got {validation.shown(value)}")
    return value


def _metrics(values):
    functions = [value["function"] for value in values if _is_function(value)]
    if functions:
        raise ValueError(
            "metrics must be given, nn.load(path, metrics=[...]): the file holds only the names "
            f"of the Python functions, {functions}"
        )
    return values


def _expected(found, tensors, layers, dtype):
    """The dtype and shape of each tensor, by name."""
    if found["n_features"] is None:
        return {}
    n_features = validation.integer(found["n_features"], "n_features")
    arrays = parameters(ops_of(layers), n_features)
    expected = {
        name: (np.dtype(np.int64) if each.role == COUNT else dtype, each.shape)
        for name, each in arrays.items()
    }
    for name, each in arrays.items():
        # In float64; files of earlier versions have it in the network's dtype.
        if each.wide and each.role != COUNT and name in tensors:
            wide = tensors[name].dtype == np.float64
            expected[name] = (np.dtype(np.float64) if wide else dtype, each.shape)
    for part in (*PARTS, SQUARES):
        if any(name.startswith(part) for name in tensors):
            expected |= {
                part + name: (dtype, each.shape)
                for name, each in arrays.items()
                if each.role == LEARNT
            }
    return expected


def _check_tensors(tensors, expected):
    """Raise at the first tensor that is missing, unexpected, or wrong for the layers."""
    for name, (dtype, shape) in expected.items():
        if name not in tensors:
            raise ValueError(f"it lacks the tensor {name!r}")
        value = tensors[name]
        if value.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {value.shape}")
        if value.dtype != dtype:
            raise ValueError(f"{name} must have dtype {dtype}, got {value.dtype}")
        _finite(value, name)
        if name.startswith(SQUARES) and not (value >= 0).all():
            raise ValueError(f"{name} must be at least 0, got a negative number or NaN")
        if value.dtype == np.int64 and value < 0:
            raise ValueError(f"{name} must be at least 0, got {value}")
    for name in sorted(tensors):
        if not expected:
            raise ValueError(
                f"it must hold no tensors, because its network is not built; got {name!r}"
            )
        validation.choice(name, "a tensor", expected)


def _weights(found, tensors, net):
    """Weights with the values of the tensors, which have been checked."""
    weights = Weights(net.layers, found["n_features"], net.dtype, net.sparse)
    weights.steps, weights.standardized = found["steps"], found["standardized"]
    take_over(weights, tensors)
    weights.state_for(len(STATE) if any(name.startswith(STATE[-1]) for name in tensors) else 2)
    flats = dict(zip(STATE, weights.optimizer_state, strict=False))
    if any(name.startswith("average.") for name in tensors):
        weights.average = flats["average."] = np.zeros_like(weights.parameters)
    for part, flat in flats.items():
        for name, view in weights.named(flat).items():
            if part + name in tensors:
                view[...] = tensors[part + name]
    for name, view in weights.named(weights.optimizer_state[1]).items():
        if SQUARES + name in tensors:
            view[...] = _roots(tensors[SQUARES + name])
    return weights


def _roots(squares):
    """The roots of an optimizer's second moments; those that have overflowed were larger."""
    return np.sqrt(np.minimum(squares, np.finfo(squares.dtype).max))
