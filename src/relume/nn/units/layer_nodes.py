"""Where the values of each layer are, as an `Observer` of the engine counts nodes.

Node 0 is the input, node i + 1 the output of op i of the plan.
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
class LayerNode:
    """A layer of a network, and the nodes of what it computes."""

    name: str  # "layer 2", or "layer 2.1" of those within a Residual
    layer: Any
    first: int  # of its ops
    out: int  # the node of its outputs,
    pre: int | None  # of what its activation reads, if it has one,
    gradient: int  # and of the gradient that is reported
    activation: Any = None
    last: bool = False  # whether its outputs are the network's
    inner: list[LayerNode] = field(default_factory=list)

    @property
    def dense(self) -> bool:
        """Whether the layer is a `Dense`, whose units have weights and a gradient of their own."""
        return isinstance(self.layer, Dense)

    @property
    def walk(self):
        """The node, and all within it."""
        return [self, *(deeper for node in self.inner for deeper in node.walk)]


def nodes_of(layers, first=0, prefix="layer ", before="input"):
    """A LayerNode for each layer; `first` counts ops, `before` is the kind of the op before."""
    nodes = []
    for number, layer in enumerate(layers, 1):
        specs = [spec for module in layer.modules() for spec in module]
        node = LayerNode(f"{prefix}{number}", layer, first, first + len(specs), None, 0)
        node.gradient = node.out
        if isinstance(layer, Residual):
            node.inner = nodes_of(layer.layers, first + 1, f"{node.name}.", "fork")
        elif isinstance(layer, Dense) and layer.activation is not None:
            node.activation, node.pre = layer.activation, first + 1
            node.gradient = node.pre
        elif isinstance(layer, Activation | Elementwise):
            node.activation, node.pre = layer, first
            if before not in ("input", "fork"):
                node.gradient = node.pre
        nodes.append(node)
        first, before = node.out, specs[-1].kind
    return nodes


def network_nodes(net):
    """Those of a network's layers; the last one that changes values is marked."""
    nodes = nodes_of(net.layers)
    for node in reversed(nodes):
        node.last = True
        if isinstance(node.layer, Dense | Residual):
            break
    return nodes


def walk(nodes):
    """All nodes, those within others too."""
    return [each for node in nodes for each in node.walk]


# -- what activations do --------------------------------------------------------------------------


def _ends(activation):
    """The limits of an activation, or None where it is no function of its input alone."""
    if not isinstance(activation, Activation):
        return None
    function = getattr(relume, activation.name)
    return [float(function(np.float64(x), **activation.parameters)) for x in (-FAR, FAR)]


def limits(activation):
    """The lowest and the highest output of an activation; infinite where it has no such end."""
    ends = _ends(activation)
    if ends is None:
        return -np.inf, np.inf
    low, high = ends
    return (low if low > -1e3 else -np.inf), (high if high < 1e3 else np.inf)


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


def all_bounds(nodes, n_nodes):
    """The bounds of all nodes, as an `Observer` takes them."""
    bounds = np.tile([-np.inf, np.inf], (n_nodes, 1))
    for node in walk(nodes):
        if node.activation is not None:
            bounds[node.out] = bounds_of(node.activation)
    return bounds
