"""Objects as JSON and back: class names and arguments, for a fixed list of classes.

A name in a file can only select one of the classes listed here. Nothing else is imported or
called.
"""

import inspect
import math
import numbers
from typing import Any

import numpy as np

from relume import validation
from relume.nn.configurable import Configurable
from relume.nn.layers import LAYERS
from relume.nn.layers.activations import ACTIVATIONS, Activation
from relume.nn.layers.initializers import INITIALIZERS
from relume.nn.losses import LOSSES
from relume.nn.optimizers.optimizers import OPTIMIZERS, Optimizer, Options
from relume.nn.optimizers.schedules import SCHEDULES, ReduceOnPlateau
from relume.nn.optimizers.scikit_learn import OF_SCIKIT_LEARN

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

TABLES = (LAYERS, ACTIVATIONS, INITIALIZERS, LOSSES, OPTIMIZERS, OF_SCIKIT_LEARN, SCHEDULES)
CLASSES = {cls.__name__: cls for table in TABLES for cls in table.values()}


def is_known(value: object) -> bool:
    """Whether the class of a value, not just a base class, is one that files can hold."""
    return CLASSES.get(type(value).__name__) is type(value)


def to_config(value: object, name: str) -> Json:
    """A value as JSON can hold it: objects become the name of their class and their arguments."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        value = float(value)
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, list | tuple):
        return [to_config(each, f"{name}[{i}]") for i, each in enumerate(value)]
    if isinstance(value, dict):
        return {"mapping": {str(key): to_config(each, name) for key, each in value.items()}}
    if isinstance(value, Configurable | Activation) and is_known(value):
        config = {key: to_config(each, f"{name}'s {key}") for key, each in value.config().items()}
        return {"class": type(value).__name__, "config": config}
    found = f"{type(value).__module__}.{type(value).__qualname__}"
    raise TypeError(f"{name} must be of a class of relume.nn to be saved, got {found}")


def from_config(value: Json, name: str) -> Any:
    """The value that `to_config` turned into JSON; ValueError says where the JSON is wrong."""
    if isinstance(value, list):
        return [from_config(each, f"{name}[{i}]") for i, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"float"} and isinstance(value["float"], str):
        return float(value["float"])
    if value.keys() == {"mapping"} and isinstance(value["mapping"], dict):
        return {key: from_config(each, name) for key, each in value["mapping"].items()}
    if value.keys() != {"class", "config"} or not isinstance(value["config"], dict):
        raise ValueError(f"{name} must have a class and a config, got {validation.shown(value)}")
    if not isinstance(value["class"], str):
        raise ValueError(f"the class of {name} must be a name, got {value['class']!r}")
    cls = CLASSES[validation.choice(value["class"], f"the class of {name}", CLASSES)]
    given = value["config"]
    if cls is ReduceOnPlateau and "min_delta" in given:
        given = _of_a_difference(given)
    known = _arguments(cls)
    for key in given:
        if key not in known and not known:
            raise ValueError(f"{name}, {cls.__name__}, takes no arguments, got {key!r}")
        validation.choice(key, f"an argument of {name}, {cls.__name__},", known)
    config = {key: from_config(each, f"{name}'s {key}") for key, each in given.items()}
    try:
        return cls(**config)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}, {cls.__name__}: {error}") from None


def _of_a_difference(config):
    """Arguments of a ReduceOnPlateau as they were until 0.1.0, whose threshold is a difference."""
    if "threshold" in config or "threshold_mode" in config:
        raise ValueError("min_delta must not stand beside threshold")
    difference = {"threshold": config["min_delta"], "threshold_mode": "abs"}
    return {name: each for name, each in config.items() if name != "min_delta"} | difference


def _arguments(cls):
    parameters = inspect.signature(cls).parameters.values()
    names = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
    return [*names, *(Options.__annotations__ if issubclass(cls, Optimizer) else ())]


# -- Random state ---------------------------------------------------------------------------------

GENERATORS = {
    cls.__name__: cls
    for cls in (
        np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox,
        np.random.SFC64,
    )
}  # fmt: skip
# Limits that NumPy does not check: the position in a buffer of 624 or 4 numbers, and a kept half.
MAX_INTEGERS = {"pos": 624, "buffer_pos": 4, "has_uint32": 1, "uinteger": 2**32 - 1}


def generator_to_config(rng: np.random.Generator) -> Json:
    """The state of a random generator; its integers of up to 128 bits become text."""
    name = type(rng.bit_generator).__name__
    if GENERATORS.get(name) is not type(rng.bit_generator):
        raise TypeError(
            f"seed must be a generator over one of {', '.join(GENERATORS)} to be saved, got {name}"
        )
    return state_to_config(rng.bit_generator.state)


def state_to_config(state: Any) -> Json:
    """The state of a bit generator; its integers of up to 128 bits become text."""
    return _texts(state)


def _texts(value: Any) -> Json:
    if isinstance(value, dict):
        return {key: _texts(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return [str(each) for each in value.tolist()]
    return str(value)


def generator_from_config(state: Json) -> np.random.Generator:
    """The random generator with a given state."""
    name = state.get("bit_generator") if isinstance(state, dict) else state
    if not isinstance(name, str):
        raise ValueError(f"random must have a bit_generator, got {validation.shown(state)}")
    bits = GENERATORS[validation.choice(name, "random's bit_generator", GENERATORS)](0)
    values = _numbers(state, bits.state, "random")
    try:
        bits.state = values
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"random must be a state of {name}: {error}") from None
    if _texts(bits.state) != state:
        raise ValueError(f"random must be a state of {name}")
    return np.random.Generator(bits)


def _numbers(value, like, name):
    """The texts as numbers, in the structure of `like`."""
    if isinstance(like, dict):
        if not isinstance(value, dict) or value.keys() != like.keys():
            raise ValueError(f"{name} must have {', '.join(like)}, got {validation.shown(value)}")
        return {key: _numbers(value[key], like[key], f"{name}'s {key}") for key in like}
    if isinstance(like, np.ndarray):
        if not isinstance(value, list) or len(value) != len(like):
            raise ValueError(
                f"{name} must have {len(like)} numbers, got {validation.shown(value)}"
            )
        limit = int(np.iinfo(like.dtype).max)
        return np.array([_integer(each, name, limit) for each in value], like.dtype)
    if isinstance(like, str):
        return value
    return _integer(value, name, MAX_INTEGERS.get(name.rpartition(" ")[2], 2**128 - 1))


def _integer(text, name, limit):
    if not isinstance(text, str) or not (text.isascii() and text.isdigit()) or len(text) > 40:
        raise ValueError(f"{name} must be the digits of an integer, got {validation.shown(text)}")
    if int(text) > limit:
        raise ValueError(f"{name} must be at most {limit}, got {text}")
    return int(text)
