"""Dormant units made new: which they are, and what is done to their weights.

A unit that is given new incoming weights has outgoing ones of 0, so that the outputs stay as they
are until training finds a use for it: recycling dormant neurons, G. Sokar et al., "The dormant
neuron phenomenon in deep reinforcement learning", ICML 2023.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relume import validation
from relume.nn.layers import initializers
from relume.nn.layers.activations import Activation
from relume.nn.layers.dense import Dense
from relume.nn.layers.layer import Layer
from relume.nn.layers.parametric import PReLU
from relume.nn.layers.residual import Residual
from relume.nn.parameters.weights import Weights
from relume.nn.units.layer_nodes import is_rectifier, network_nodes, walk

HOW = ("reinit", "bias", "leaky")
SLOPE = 0.01  # of a unit that is made leaky


@dataclass
class Revivable:
    """A layer whose units can be revived: its node, and the dense ops before and after it."""

    node: Any
    incoming: int
    outgoing: int


@dataclass
class Dormant:
    """The dormant units of a layer, and what is known of the rows on which they are dormant."""

    layer: Revivable
    units: NDArray[np.intp]
    pre: NDArray[np.float64] | None = None  # mean pre-activation of each unit of the layer
    inputs: NDArray[np.float64] | None = None  # mean of each input of the layer


def revivable(net, layers=None, how="reinit"):
    """The layers to revive; ValueError names the first whose structure forbids it."""
    specs = net._weights.specs
    nodes = [node for node in walk(network_nodes(net)) if is_rectifier(node.activation)]
    names = [node.name for node in nodes]
    if isinstance(layers, str):
        raise TypeError(f"layers must be a list of names or None, got {layers!r}")
    for name in layers or []:
        validation.choice(name, "a name in layers", names)
    found = []
    for node in nodes:
        if node.last or (layers is not None and node.name not in layers):
            continue
        incoming, outgoing = _neighbours(specs, node)
        if how == "leaky" and node.activation.name != "relu":
            raise ValueError(
                f"how='leaky' makes a PReLU of relu, got {node.name} with {node.activation!r}"
            )
        found.append(Revivable(node, incoming, outgoing))
    return found


def _neighbours(specs, node):
    """The dense ops that an activation stands between."""
    index = node.out - 1
    if index == 0 or not isinstance(specs[index - 1].layer, Dense):
        before = specs[index - 1].layer if index else "the input"
        _refuse(node, f"its values come from {before!r}, not from a Dense of its own")
    if not specs[index - 1].trainable:
        _refuse(node, "it is not trainable")
    after = index + 1
    while after < len(specs) and specs[after].layer.unitwise:
        after += 1
    layer = specs[after].layer if after < len(specs) else None
    if layer is not None and layer.normalizes:
        _refuse(node, f"its output is normalized by {layer!r}")
    if isinstance(layer, Residual):
        _refuse(node, "its output is added to a shortcut by nn.Residual")
    if not isinstance(layer, Dense):
        _refuse(node, "no Dense follows it, whose weights could be 0")
    return index - 1, after


def _refuse(node, why):
    raise ValueError(
        f"{node.name}, {node.layer!r}, cannot be revived: {why}, so that new weights would "
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


def revive_units(net, dormant, how, rng):
    """Give the dormant units of a layer a new life.

    Drawn weights may leave a unit dead on all rows. Where the mean input of the layer is known,
    the sign of the weights and the bias are chosen so that the unit's mean pre-activation is
    positive, which makes the unit active on some row.
    """
    layer, units, pre = dormant.layer, dormant.units, dormant.pre
    weights = net._weights
    node, by_op = layer.node, weights.by_op()
    incoming, outgoing = by_op[layer.incoming][1], by_op[layer.outgoing][1]
    if how == "bias":
        if "bias" not in incoming:
            raise ValueError(f"how='bias' needs a bias, which {node.name} has not")
        incoming["bias"][units] -= pre[units]
    elif how == "reinit":
        spec = by_op[layer.incoming][0].layer
        n_in, n_out = incoming["weight"].shape
        drawn = initializers.draw(rng, node.activation, n_in, n_out, spec.weight_init)
        incoming["weight"][:, units] = drawn[:, units]
        if "bias" in incoming:
            fixed = not isinstance(spec.bias_init, initializers.Initializer)
            incoming["bias"][units] = spec.bias_init if fixed else 0.0
        if dormant.inputs is not None:
            _make_mean_positive(incoming, units, dormant.inputs)
    outgoing["weight"][units] = 0
    _forget(weights, layer, units)


def _make_mean_positive(incoming, units, inputs):
    """Choose signs of new weights, and biases, so that mean pre-activations are positive."""
    mean = inputs @ incoming["weight"][:, units]
    incoming["weight"][:, units] *= np.where(mean < 0, -1, 1)
    if "bias" in incoming:
        below = np.abs(mean) + incoming["bias"][units] <= 0
        incoming["bias"][units[below]] = 0


def wake(net, layer, units, largest, attempt):
    """Change revived units that are still 0 on all rows; their outgoing weights are 0.

    At the first attempt the weights change their signs, since the pre-activations were all
    negative. Later attempts raise the bias until the largest pre-activation is 1, 2, 4 and so on.

    Parameters
    ----------
    net : Network
    layer : Revivable
    units : ndarray of int
    largest : ndarray of float
        The largest pre-activation of each of these units.
    attempt : int
        Number of attempts before.
    """
    weights = net._weights
    incoming = weights.by_op()[layer.incoming][1]
    with weights.lock.writing():
        if attempt == 0 or "bias" not in incoming:
            incoming["weight"][:, units] *= -1
        else:
            incoming["bias"][units] += 2.0 ** (attempt - 1) - largest
        _forget(weights, layer, units)


def _forget(weights, layer, units):
    """Let the optimizer begin anew with the weights into and out of units; their average too."""
    flats = [*weights.optimizer_state, *([] if weights.average is None else [weights.average])]
    starts = [*fresh_state(weights), *([] if weights.average is None else [weights.parameters])]
    for flat, start in zip(flats, starts, strict=True):
        for view, new in zip(weights.views(flat), weights.views(start), strict=True):
            if view.op == layer.incoming:
                view.values[..., units] = new.values[..., units]
            elif view.op == layer.outgoing and view.name == "weight":
                view.values[units] = new.values[units]


def fresh_state(weights):
    """The optimizer's state of parameters whose next step is to be the first of a new optimizer.

    The engine reads a second moment below 0 so: one of 0 would be corrected for the many steps
    made, and Adam would take a first step three times too long.
    """
    state = np.zeros_like(weights.optimizer_state)
    state[1] = -1 if weights.steps else 0
    return state


# -- leaky slopes ---------------------------------------------------------------------------------


def make_leaky(net, found):
    """Give dead units a slope below 0, by layers with a slope a unit.

    The other units of such a layer have the slope 0, and begin as the relu that they were.
    """
    old = net._weights
    layers = _with_leaky(net.layers, [layer.node for layer, _ in found])
    new = Weights(layers, old.plan.n_in, old.dtype)
    slopes = {layer.node.out - 1: units for layer, units in found}
    _copy(old, new)
    for i, (_, arrays) in enumerate(new.by_op()):
        if i in slopes:
            arrays["weight"][slopes[i]] = SLOPE
    if new.average is not None:
        for average, now in zip(new.views(new.average), new.views(new.parameters), strict=True):
            if now.op in slopes:
                average.values[...] = now.values
    net._weights = None
    net.layers = layers
    net._weights = new


def _with_leaky(layers, nodes):
    """The layers, with a PReLU where nodes are; those within a Residual too."""
    chosen = [node.layer for node in nodes]
    result: list[Layer | Activation] = []
    for layer in layers:
        if isinstance(layer, Residual):
            result.append(Residual(_with_leaky(layer.layers, nodes)))
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
    new.state_for(len(old.optimizer_state))
    new.optimizer_state[:] = fresh_state(new)
    pairs = [(old.parameters, new.parameters)]
    pairs += list(zip(old.optimizer_state, new.optimizer_state, strict=True))
    if old.average is not None:
        new.average = np.zeros_like(new.parameters)
        pairs.append((old.average, new.average))
    for source, target in pairs:
        values = {(view.op, view.name): view.values for view in old.views(source)}
        for view in new.views(target):
            if (view.op, view.name) in values:
                view.values[...] = values[view.op, view.name]
