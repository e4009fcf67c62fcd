"""Dormant units made new: which they are, and what is done to their weights.

A unit that is given new incoming weights has outgoing ones of 0, so that the outputs stay as they
are until training finds a use for it: recycling dormant neurons, G. Sokar et al., "The dormant
neuron phenomenon in deep reinforcement learning", ICML 2023.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from relume import validation
from relume.nn.layers import initializers
from relume.nn.layers.dense import Dense
from relume.nn.layers.parametric import PReLU
from relume.nn.layers.residual import Residual
from relume.nn.parameters.weights import Weights
from relume.nn.units.layer_nodes import is_rectifier, network_places, walk

HOW = ("reinit", "bias", "leaky")
SLOPE = 0.01  # of a unit that is made leaky


@dataclass
class Revivable:
    """A layer whose units can be revived: its place, and the dense steps before and after it."""

    place: Any
    incoming: int
    outgoing: int


def revivable(net, layers=None, how="reinit"):
    """The layers to revive; ValueError names the first whose structure forbids it."""
    specs = net._weights.specs
    places = [place for place in walk(network_places(net)) if is_rectifier(place.activation)]
    names = [place.name for place in places]
    for name in layers or []:
        validation.choice(name, "a name in layers", names)
    found = []
    for place in places:
        if place.last or (layers is not None and place.name not in layers):
            continue
        incoming, outgoing = _neighbours(specs, place)
        if how == "leaky" and place.activation.name != "relu":
            raise ValueError(
                f"how='leaky' makes a PReLU of relu, got {place.name} with {place.activation!r}"
            )
        found.append(Revivable(place, incoming, outgoing))
    return found


def _neighbours(specs, place):
    """The dense steps that an activation stands between."""
    step = place.out - 1
    if step == 0 or specs[step - 1]["kind"] != "dense":
        before = specs[step - 1]["layer"] if step else "the input"
        _refuse(place, f"its values come from {before!r}, not from a Dense of its own")
    if not specs[step - 1].get("trainable", True):
        _refuse(place, "it is not trainable")
    after = step + 1
    while after < len(specs) and specs[after]["kind"] in ("dropout", "alpha_dropout"):
        after += 1
    kind = specs[after]["kind"] if after < len(specs) else "nothing"
    if kind in ("batch_norm", "layer_norm"):
        _refuse(place, f"its output is normalized by {specs[after]['layer']!r}")
    if kind in ("join", "fork"):
        _refuse(place, "its output is added to a shortcut by nn.Residual")
    if kind != "dense":
        _refuse(place, "no Dense follows it, whose weights could be 0")
    return step - 1, after


def _refuse(place, why):
    raise ValueError(
        f"{place.name}, {place.layer!r}, cannot be revived: {why}, so that new weights would "
        "change what the network computes. Name the layers to revive by layers=[...]"
    )


def dormant(values, rows, threshold):
    """Which units' mean absolute output is at most `threshold` of their layer's mean.

    `values` are (active, sum) of each unit; the outputs of rectifiers are hardly ever negative.
    """
    active, total = values
    mean = np.abs(total).mean()
    score = np.abs(total) / mean if mean > 0 else np.zeros_like(total)
    return np.flatnonzero((active == 0) | ((score <= threshold) if threshold > 0 else False))


def revive_units(net, layer, units, how, rng, pre=None):
    """Give some units of a layer a new life; `pre` are their mean pre-activations, for "bias"."""
    weights = net._weights
    place, by_step = layer.place, weights.by_step()
    incoming, outgoing = by_step[layer.incoming][1], by_step[layer.outgoing][1]
    if how == "bias":
        if "bias" not in incoming:
            raise ValueError(f"how='bias' needs a bias, which {place.name} has not")
        incoming["bias"][units] -= pre[units]
    elif how == "reinit":
        spec = by_step[layer.incoming][0]["layer"]
        n_in, n_out = incoming["weight"].shape
        drawn = initializers.draw(rng, place.activation, n_in, n_out, spec.weight_init)
        incoming["weight"][:, units] = drawn[:, units]
        if "bias" in incoming:
            fixed = not isinstance(spec.bias_init, initializers.Initializer)
            incoming["bias"][units] = spec.bias_init if fixed else 0.0
    outgoing["weight"][units] = 0
    _forget(weights, layer, units)


def _forget(weights, layer, units):
    """Clear the optimizer's state of the weights into and out of units; their average is anew."""
    flats = [*weights.optimizer_state, *([] if weights.average is None else [weights.average])]
    for flat in flats:
        start = weights.parameters if flat is weights.average else np.zeros_like(flat)
        new = {(i, name): view for i, name, view in weights._views(start)}
        for i, name, view in weights._views(flat):
            if i == layer.incoming:
                view[..., units] = new[i, name][..., units]
            elif i == layer.outgoing and name == "weight":
                view[units] = new[i, name][units]


# -- leaky slopes ---------------------------------------------------------------------------------


def make_leaky(net, found):
    """Give dead units a slope below 0, by layers with a slope a unit.

    The other units of such a layer have the slope 0, and begin as the relu that they were.
    """
    old = net._weights
    layers = _rebuilt(net.layers, [layer.place for layer, _ in found])
    new = Weights(layers, old.plan.n_in, old.dtype)
    slopes = {layer.place.out - 1: units for layer, units in found}
    _copy(old, new)
    for step, (_, arrays) in enumerate(new.by_step()):
        if step in slopes:
            arrays["weight"][slopes[step]] = SLOPE
    if new.average is not None:
        averages = [view for i, _, view in new._views(new.average) if i in slopes]
        values = [view for i, _, view in new._views(new.parameters) if i in slopes]
        for average, value in zip(averages, values, strict=True):
            average[...] = value
    net.layers, net._weights, net._tape = layers, new, None


def _rebuilt(layers, places):
    """The layers, with a PReLU where places are; those within a Residual too."""
    chosen = [place.layer for place in places]
    result = []
    for layer in layers:
        if isinstance(layer, Residual):
            result.append(Residual(_rebuilt(layer.layers, places)))
        elif not any(layer is each for each in chosen):
            result.append(layer)
        elif isinstance(layer, Dense):
            result.append(type(layer)(**layer.config() | {"activation": _leaky()}))
        else:
            result.append(_leaky())
    return result


def _leaky():
    return PReLU(init=0.0, per_unit=True)


def _copy(old, new):
    """Take over all values whose arrays both have: a slope is new, all others are as they were."""
    new.steps, new.standardized = old.steps, old.standardized
    new.parameters[:] = 0
    pairs = [(old.parameters, new.parameters)]
    pairs += list(zip(old.optimizer_state, new.optimizer_state, strict=True))
    if old.average is not None:
        new.average = np.zeros_like(new.parameters)
        pairs.append((old.average, new.average))
    for source, target in pairs:
        values = {(i, name): view for i, name, view in old._views(source)}
        for i, name, view in new._views(target):
            if (i, name) in values:
                view[...] = values[i, name]
