"""Where the values of each layer are, as an `Observer` of the engine counts places.

Place 0 is the input, place i + 1 the output of step i of the plan.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

import relume
from relume.nn.layers.activations import Activation
from relume.nn.layers.dense import Dense
from relume.nn.layers.layer import Elementwise
from relume.nn.layers.residual import Residual

FAR = 1e6  # where an activation shows its limits
MARGIN = 0.01  # of a bounded activation's range: closer to an end counts as saturated


@dataclass
class Place:
    """A layer of a network, and the places of what it computes."""

    name: str  # "layer 2", or "layer 2.1" of those within a Residual
    layer: Any
    first: int  # of its steps
    out: int  # the place of its outputs,
    pre: int | None  # of what its activation reads, if it has one,
    gradient: int  # and of the gradient that is reported
    activation: Any = None
    last: bool = False  # whether its outputs are the network's
    inner: list[Place] = field(default_factory=list)

    @property
    def walk(self):
        """The place, and all within it."""
        return [self, *(deeper for place in self.inner for deeper in place.walk)]


def places_of(layers, first=0, prefix="layer ", before="input"):
    """A Place for each layer; `first` counts steps, `before` is the kind of the step before."""
    places = []
    for number, layer in enumerate(layers, 1):
        specs = [spec for module in layer.modules() for spec in module]
        place = Place(f"{prefix}{number}", layer, first, first + len(specs), None, 0)
        place.gradient = place.out
        if isinstance(layer, Residual):
            place.inner = places_of(layer.layers, first + 1, f"{place.name}.", "fork")
        elif isinstance(layer, Dense) and layer.activation is not None:
            place.activation, place.pre = layer.activation, first + 1
            place.gradient = place.pre
        elif isinstance(layer, Activation | Elementwise):
            place.activation, place.pre = layer, first
            if before not in ("input", "fork"):
                place.gradient = place.pre
        places.append(place)
        first, before = place.out, specs[-1].kind
    return places


def network_places(net):
    """Those of a network's layers; the last one that changes values is marked."""
    places = places_of(net.layers)
    for place in reversed(places):
        place.last = True
        if isinstance(place.layer, Dense | Residual):
            break
    return places


def walk(places):
    """All places, those within others too."""
    return [each for place in places for each in place.walk]


# -- what activations do --------------------------------------------------------------------------


def _ends(activation):
    """The limits of an activation, or None where it is no function of its input alone."""
    if not isinstance(activation, Activation):
        return None
    function = getattr(relume, activation.name)
    return [float(function(np.float64(x), **activation.parameters)) for x in (-FAR, FAR)]


def is_rectifier(activation):
    """Whether its units can die: output and slope are 0 for all inputs below some value."""
    ends = _ends(activation)
    if ends is None or activation.initializer != "he" or ends[0] != 0:
        return False
    backward = getattr(relume, f"{activation.name}_backward")
    return float(backward(1.0, np.float64(-FAR), **activation.parameters)) == 0


def bounds_of(activation):
    """Outputs at or beyond these are saturated: (low, high), infinite where they never are."""
    ends = _ends(activation)
    if ends is None or abs(ends[1]) == FAR or ends[1] > 1e3:
        return -np.inf, np.inf
    low, high = ends
    margin = MARGIN * (high - low)
    if is_rectifier(activation):
        return -np.inf, high - margin
    if low < -1e3:
        return -np.inf, np.inf
    return low + margin, high - margin


def saturates(activation):
    """Whether it is bounded on both sides, such as tanh."""
    return bool(np.isfinite(bounds_of(activation)[0]))


def all_bounds(places, n_places):
    """The bounds of all places, as an `Observer` takes them."""
    bounds = np.tile([-np.inf, np.inf], (n_places, 1))
    for place in walk(places):
        if place.activation is not None:
            bounds[place.out] = bounds_of(place.activation)
    return bounds
