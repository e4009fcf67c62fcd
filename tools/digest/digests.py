"""Digests of all that is drawn and called: what two trees are compared by."""

import hashlib
import itertools
from collections.abc import Mapping

import numpy as np

from tools.digest import functions
from tools.digest.draw import NAMES, Draw, public_classes
from tools.digest.estimators import draw_estimator, train_estimator
from tools.digest.networks import draw_network, train_network

NETWORKS = 200
SEED = 15


def digest(value):
    """SHA-256 over dtypes, shapes and bytes of arrays, numbers, texts and containers of them.

    All NaNs count as the same one: sign and payload of a NaN follow from the order in which a
    compiler puts the operands of an addition or a multiplication, and relume promises neither.
    """
    sha = hashlib.sha256()
    _feed(sha, value)
    return sha.hexdigest()


def _feed(sha, value):
    if isinstance(value, Mapping):
        value = [[name, value[name]] for name in sorted(value)]
    if isinstance(value, list | tuple):
        sha.update(f"{len(value)} of".encode())
        for each in value:
            _feed(sha, each)
    elif value is None or isinstance(value, str):
        sha.update(f"{len(str(value))}: {value}".encode())
    else:
        array = np.asarray(value)
        if array.dtype.kind == "O":
            raise TypeError(f"an object has no digest, got {value!r}")
        if array.dtype.kind == "f":
            array = np.where(np.isnan(array), array.dtype.type(np.nan), array)
        sha.update(f"{array.dtype.str} {array.shape}".encode())
        sha.update(np.ascontiguousarray(array))


def public_names():
    """What can be called and drawn here; two trees are compared by what both have."""
    return {"functions": functions.public_functions(), "classes": public_classes()}


def descriptions(classes):
    """The networks that are drawn from these classes; the number of each is its seed."""
    draw, kinds = Draw(SEED), itertools.cycle([draw_network] * 4 + [draw_estimator])
    found = {}
    while len(found) < NETWORKS:
        found[next(kinds)(draw, classes)] = None
    return list(found)


def train(number, description):
    """What a network gives."""
    expression, _, training = description.rpartition(") ")
    how, _, arguments = training.partition("(")
    options = eval(f"dict({arguments}", dict(NAMES))
    train = train_estimator if expression.startswith("MLP") else train_network
    return train(number, f"{expression})", how, **options)


def digests(names):
    """{item: digest}, the items of functions and those of networks apart.

    A network that raises has the exception as its digest, by its type alone: messages may change.
    """
    of_functions, of_networks = {}, {}
    for name in names["functions"]:
        for form, values in functions.results(name).items():
            of_functions[f"{name}: {', '.join(filter(None, form))}"] = digest(values)
    for number, description in enumerate(descriptions(names["classes"])):
        try:
            found = digest(train(number, description))
        except Exception as error:
            found = f"raises {type(error).__name__}"
        of_networks[f"network {number}: {description}"] = found
    return {"functions": of_functions, "networks": of_networks}
